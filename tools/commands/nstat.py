# SPDX-License-Identifier: Apache-2.0
"""`sennit nstat`: counters under the names that the kernel's MIBs have."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterable, Sequence

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json
from sennit.tools.errors import UsageError

# What the kernel has a name for, beside the MPTcpExt family, whose counters are called alike on purpose.
TCP_NAMES = {
    "tcp_active_opens": "TcpActiveOpens",
    "tcp_passive_opens": "TcpPassiveOpens",
    "tcp_rx_segments": "TcpInSegs",
    "tcp_tx_segments": "TcpOutSegs",
    "tcp_retrans": "TcpRetransSegs",
    "tcp_rst_tx": "TcpOutRsts",
    "tcp_rto": "TcpExtTCPTimeouts",
    "tcp_fast_retrans": "TcpExtTCPFastRetrans",
    "tcp_paws": "TcpExtPAWSEstab",
    "tcp_challenge_acks": "TcpExtTCPChallengeACK",
    "tcp_ooo": "TcpExtTCPOFOQueue",
    "tcp_ooo_drop": "TcpExtTCPOFODrop",
    "tcp_probes": "TcpExtTCPWinProbe",
    "tcp_tlp": "TcpExtTCPLossProbes",
    "tcp_tlp_mended": "TcpExtTCPLossProbeRecovery",
    "tcp_out_of_window": "TcpExtBeyondWindow",
    "tcp_syn_drop": "TcpExtListenDrops",
    "TCPKeepAlive": "TcpExtTCPKeepAlive",
    "ListenOverflows": "TcpExtListenOverflows",
    "SyncookiesSent": "TcpExtSyncookiesSent",
    "SyncookiesRecv": "TcpExtSyncookiesRecv",
    "SyncookiesFailed": "TcpExtSyncookiesFailed",
    "rx_drop_tcp": "TcpInErrs",
}
OURS_ONLY = {"MPOptBad"}  # written like the kernel's, but the kernel has none of that name


def mib_name(counter: str) -> str:
    """The kernel's name of a counter; what only sennit counts keeps its own, with a prefix."""
    if counter in TCP_NAMES:
        return TCP_NAMES[counter]
    if counter[0].isupper() and counter not in OURS_ONLY:
        return f"MPTcpExt{counter}"
    return f"Sennit_{counter}"


def _family(name: str) -> tuple[int, str]:
    for rank, start in enumerate(("TcpExt", "Tcp", "MPTcpExt")):
        if name.startswith(start):
            return (1, name) if rank == 0 else (0 if rank == 1 else 2, name)
    return 3, name


def collect(workers: Iterable[messages.WorkerInfo], patterns: Sequence[str], zeros: bool) -> dict[str, int]:
    """Sums over workers, in the order of the families, those that match."""
    sums: dict[str, int] = {}
    for worker in workers:
        for counter, value in worker.counters.items():
            name = mib_name(counter)
            sums[name] = sums.get(name, 0) + value
    return {
        name: sums[name]
        for name in sorted(sums, key=_family)
        if (zeros or sums[name]) and (not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns))
    }


class Nstat(Command):
    help = "show counters under the kernel's names (MPTcpExt..., Tcp...), summed over workers"
    examples = (
        "  sennit nstat\n  sennit nstat -z 'MPTcpExtMPJoin*'\n  sennit nstat --json | jq .sennit.MPTcpExtMPTCPRetrans\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument("-z", "--zeros", action="store_true", help="counters that are zero as well")
        parser.add_argument("--worker", type=int, metavar="N", help="of one worker only")
        parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names to show, with * and ? (default: all)")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        with Client(options.name) as client:
            workers = client.status(0).workers
        if options.worker is not None:
            workers = tuple(w for w in workers if w.worker == options.worker)
            if not workers:
                raise UsageError(f"--worker {options.worker}: there is no such worker")
        shown = collect(workers, options.patterns, options.zeros)
        if options.json:
            print_json({"sennit": shown})
        else:
            print("#sennit")
            for name, value in shown.items():
                print(f"{name:<33}{value:<18} 0.0")
        return 0
