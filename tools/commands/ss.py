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


CA_STATES = {"recovery": "Recovery", "loss": "Loss"}


def _milliseconds(us: float) -> str:
    return f"{us / 1000:.3f}".rstrip("0").rstrip(".")


def _words(**values: object) -> str:
    """name:value of what is not zero."""
    return " ".join(f"{name}:{value}" for name, value in values.items() if value)


def _ago(**values: float | None) -> str:
    """name:milliseconds of what ever was."""
    return " ".join(f"{name}:{value:.0f}" for name, value in values.items() if value is not None)


def _rate(name: str, octets_per_s: float) -> str:
    return f"{name} {round(octets_per_s * 8)}bps" if octets_per_s else ""


def subflow_flags(sf: messages.SubflowInfo) -> str:
    """The kernel's letters: M or J which handshake, m or j if we began it, B, b backup asked for by the peer, by us,
    e established, c connected."""
    return "".join(
        letter
        for letter, there in (
            ("J" if sf.join else "M", True),
            ("j" if sf.join else "m", sf.active),
            ("B", sf.peer_backup),
            ("b", sf.our_backup or (sf.backup and not sf.peer_backup)),
            ("ec", sf.usable),
        )
        if there
    )


def subflow_details(conn: messages.ConnInfo, sf: messages.SubflowInfo) -> str:
    """The line of one subflow, as of a TCP socket with the MPTCP upper-layer protocol."""
    mss = sf.mss or 1
    words = [
        " ".join(name for name in ("ts", "sack", "ecn") if name in sf.options),
        sf.cc,
        f"wscale:{sf.snd_wscale},{sf.rcv_wscale}" if "wscale" in sf.options else "",
        f"rto:{_milliseconds(sf.rto_us)}",
        _words(backoff=sf.backoff),
        f"rtt:{_milliseconds(sf.srtt_us)}/{_milliseconds(sf.rttvar_us)}",
        _words(
            mss=sf.mss,
            pmtu=sf.pmtu,
            cwnd=max(1, sf.cwnd // sf.mss) if sf.mss else 0,
            ssthresh=sf.ssthresh // sf.mss if sf.mss and sf.ssthresh < 1 << 30 else 0,
            bytes_sent=sf.bytes_sent,
            bytes_retrans=sf.bytes_retrans,
            bytes_acked=sf.bytes_acked,
            bytes_received=sf.bytes_received,
            segs_out=sf.segs_sent,
            segs_in=sf.segs_received,
        ),
        _rate("send", sf.cwnd * 1e6 / sf.srtt_us if sf.srtt_us else 0),
        _ago(lastsnd=sf.last_sent_ms, lastrcv=sf.last_recv_ms, lastack=sf.last_acked_ms),
        _rate("pacing_rate", sf.pacing_rate),
        _rate("delivery_rate", sf.delivery_rate),
        _words(
            delivered=-(-sf.delivered // mss),
            ca_state=CA_STATES.get(sf.ca_state, ""),
            unacked=-(-sf.unacked // mss),
            retrans=f"0/{sf.retrans}" if sf.retrans else "",
            lost=sf.lost,
            sacked=sf.sacked,
            rcv_ooopack=sf.rcv_ooo,
            minrtt=_milliseconds(sf.min_rtt_us) if sf.min_rtt_us else "",
            snd_wnd=sf.snd_wnd,
            rcv_wnd=sf.rcv_wnd,
        ),
    ]
    if conn.mptcp:
        remote, local = f"{conn.remote_token:08x}(id:{sf.remote_id})", f"{conn.token:08x}(id:{sf.local_id})"
        words.append(f"tcp-ulp-mptcp flags:{subflow_flags(sf)} token:{remote}/{local}")
        words += [name for name, there in (("stale", sf.stale), ("silent", sf.silent)) if there]
    return " ".join(word for word in words if word)


def conn_details(conn: messages.ConnInfo) -> str:
    """The line of an MPTCP connection, the attributes in the order in which ss writes struct mptcp_info."""
    words = (
        f"subflows:{conn.extra_subflows or sum(sf.join for sf in conn.subflows)}",
        _words(
            add_addr_signal=conn.add_addr_signal,
            add_addr_accepted=conn.add_addr_accepted,
            subflows_max=conn.subflows_max,
            add_addr_accepted_max=conn.add_addr_accepted_max,
        ),
        "fallback" if conn.fallback else "",
        "remote_key" if conn.remote_key_received else "",
        f"token:{conn.token:08x} write_seq:{conn.write_seq:x} snd_una:{conn.snd_una:x} rcv_nxt:{conn.rcv_nxt:x}",
        "csum_enabled" if conn.csum_enabled else "",
        "deny_join_id0" if conn.peer_no_join else "",
        _words(
            retransmits=conn.retransmits,
            bytes_retrans=conn.bytes_retrans,
            bytes_sent=conn.bytes_sent,
            bytes_received=conn.bytes_received,
            bytes_acked=conn.bytes_acked,
            subflows_total=len(conn.subflows),
        ),
        _ago(last_data_sent=conn.last_sent_ms, last_data_recv=conn.last_recv_ms, last_ack_recv=conn.last_acked_ms),
        _words(snd_wnd=conn.snd_wnd, rcv_wnd=conn.rcv_wnd),
        f"scheduler:{conn.scheduler} {'server' if conn.server else 'client'} worker:{conn.worker}",
    )
    return " ".join(word for word in words if word)


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
