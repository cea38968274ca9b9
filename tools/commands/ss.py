# SPDX-License-Identifier: Apache-2.0
"""`sennit ss`: connections and their subflows, written the way `ss -Mtin` writes the kernel's."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json

STATES = {
    "SYN_SENT": "SYN-SENT", "SYN_RCVD": "SYN-RECV", "ESTABLISHED": "ESTAB", "FIN_WAIT_1": "FIN-WAIT-1",
    "FIN_WAIT_2": "FIN-WAIT-2", "CLOSE_WAIT": "CLOSE-WAIT", "CLOSING": "CLOSING", "LAST_ACK": "LAST-ACK",
    "TIME_WAIT": "TIME-WAIT", "CLOSED": "UNCONN",
    "new": "UNCONN", "connecting": "SYN-SENT", "established": "ESTAB", "closing": "FIN-WAIT-1", "closed": "UNCONN",
}  # fmt: skip
HEADER = ("Netid", "State", "Recv-Q", "Send-Q", "Local Address:Port", "Peer Address:Port")
Row = tuple[tuple[str, ...], str]  # the columns, and the details below them


def _milliseconds(us: float) -> str:
    return f"{us / 1000:.3f}".rstrip("0").rstrip(".")


def _words(**values: object) -> str:
    """name:value of what is not zero."""
    return " ".join(f"{name}:{value}" for name, value in values.items() if value)


def subflow_details(conn: messages.ConnInfo, sf: messages.SubflowInfo) -> str:
    """The line of one subflow, as of a TCP socket with the MPTCP upper-layer protocol."""
    segments = max(1, sf.cwnd // sf.mss) if sf.mss else 0
    rates = f"send {round(sf.cwnd * 8 * 1e6 / sf.srtt_us)}bps" if sf.srtt_us else ""
    # As the kernel's subflow flags: e established, j join, b backup; S where it is stale.
    flags = ("J" if sf.join else "M") + ("e" if sf.usable else "") + ("b" if sf.backup else "")
    words = [
        "ts sack",
        f"rto:{_milliseconds(sf.rto_us)}",
        f"rtt:{_milliseconds(sf.srtt_us)}/{_milliseconds(sf.rttvar_us)}",
        _words(
            mss=sf.mss,
            cwnd=segments,
            ssthresh=sf.ssthresh // sf.mss if sf.mss and sf.ssthresh < 1 << 30 else 0,
            bytes_sent=sf.bytes_sent,
            bytes_retrans=sf.bytes_retrans,
            bytes_acked=sf.bytes_acked,
            bytes_received=sf.bytes_received,
            segs_out=sf.segs_sent,
            segs_in=sf.segs_received,
        ),
        rates,
        _words(
            unacked=-(-sf.in_flight // sf.mss) if sf.mss else 0,
            retrans=f"0/{sf.retrans}" if sf.retrans else "",
            minrtt=_milliseconds(sf.min_rtt_us) if sf.min_rtt_us else "",
        ),
    ]
    if conn.mptcp:
        words.append(f"tcp-ulp-mptcp flags:{flags} token:{conn.token:08x}(id:{sf.local_id})/(id:{sf.remote_id})")
        if sf.stale:
            words.append("stale")
    return " ".join(word for word in words if word)


def conn_details(conn: messages.ConnInfo) -> str:
    """The line of an MPTCP connection."""
    joins = sum(sf.join for sf in conn.subflows)
    return " ".join(
        (
            f"subflows:{joins} subflows_total:{len(conn.subflows)}",
            f"token:{conn.token:08x}",
            _words(
                bytes_sent=conn.bytes_sent,
                bytes_retrans=conn.bytes_retrans,
                bytes_acked=conn.bytes_acked,
                bytes_received=conn.bytes_received,
            ),
            f"scheduler:{conn.scheduler} {'server' if conn.server else 'client'} worker:{conn.worker}",
        )
    )


def rows(conns: tuple[messages.ConnInfo, ...], mptcp: bool, tcp: bool) -> Iterator[Row]:
    """MPTCP sockets first, then the TCP sockets below them, as ss lists them."""
    for c in conns if mptcp else ():
        if c.mptcp:
            queues = str(c.recv_queue), str(c.send_queue)
            yield ("mptcp", STATES.get(c.state, c.state), *queues, c.local, c.remote), conn_details(c)
    for c in conns if tcp else ():
        for sf in c.subflows:
            queues = ("0", str(sf.in_flight)) if c.mptcp else (str(c.recv_queue), str(c.send_queue))
            yield ("tcp", STATES.get(sf.state, sf.state), *queues, sf.local, sf.remote), subflow_details(c, sf)


def lines(found: list[Row], details: bool) -> Iterator[str]:
    """Aligned text."""
    widths = [max(len(row[i]) for row in (HEADER, *(columns for columns, _ in found))) for i in range(len(HEADER))]
    for columns, detail in [(HEADER, ""), *found]:
        yield " ".join(word.ljust(width) for word, width in zip(columns, widths, strict=True)).rstrip()
        if details and detail:
            yield f"\t {detail}"


class Ss(Command):
    help = "show connections and subflows the way `ss -Mtin` does"
    examples = (
        "  sennit ss\n"
        "  sennit ss -M          MPTCP connections only\n"
        "  sennit ss -t          subflows and TCP only\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument("-M", "--mptcp", action="store_true", help="MPTCP connections")
        parser.add_argument("-t", "--tcp", action="store_true", help="subflows and TCP connections")
        parser.add_argument("--brief", action="store_true", help="without the line of details")
        parser.add_argument("--max-conns", type=int, default=4096, metavar="N", help="per worker (default: 4096)")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        both = options.mptcp == options.tcp
        with Client(options.name) as client:
            conns = client.status(max(options.max_conns, 0)).conns
        if options.json:
            print_json([c for c in conns if both or c.mptcp == options.mptcp])
        else:
            for line in lines(list(rows(conns, both or options.mptcp, both or options.tcp)), not options.brief):
                print(line)
        return 0
