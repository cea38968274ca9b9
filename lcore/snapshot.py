# SPDX-License-Identifier: Apache-2.0
"""From the C side's plain structs to messages. Pure: the same structs give the same messages."""

from __future__ import annotations

import ipaddress
from typing import Any

from sennit.shm import messages

CONN_STATES = ("new", "connecting", "established", "closing", "closed")
TCP_STATES = (
    "CLOSED", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING", "LAST_ACK",
    "TIME_WAIT",
)  # fmt: skip
SCHEDULERS = ("default", "minrtt", "round-robin")


def word(words: tuple[str, ...], value: int) -> str:
    return words[value] if 0 <= value < len(words) else str(value)


def address(raw: bytes) -> str:
    """16 bytes; IPv4-mapped addresses are shown as IPv4."""
    ip = ipaddress.IPv6Address(raw)
    return str(ip.ipv4_mapped or ip)


def endpoint(raw: bytes, port: int) -> str:
    text = address(raw)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def subflow(s: Any) -> messages.SubflowInfo:
    return messages.SubflowInfo(
        id=s.id,
        state=word(TCP_STATES, s.state),
        join=bool(s.join),
        backup=bool(s.backup),
        usable=bool(s.established),
        stale=bool(s.stale),
        port=s.port,
        local=endpoint(bytes(s.laddr), s.lport),
        remote=endpoint(bytes(s.raddr), s.rport),
        local_id=s.laddr_id,
        remote_id=s.raddr_id,
        cwnd=s.cwnd,
        ssthresh=s.ssthresh,
        in_flight=s.in_flight,
        mss=s.mss,
        srtt_us=s.srtt_ns / 1000,
        rttvar_us=s.rttvar_ns / 1000,
        min_rtt_us=s.min_rtt_ns / 1000,
        rto_us=s.rto_ns / 1000,
        bytes_sent=s.bytes_sent,
        bytes_acked=s.bytes_acked,
        bytes_received=s.bytes_received,
        bytes_retrans=s.bytes_retrans,
        segs_sent=s.segs_sent,
        segs_received=s.segs_received,
        retrans=s.retrans,
        rtos=s.rtos,
    )


def conn(
    c: Any, subflows: tuple[messages.SubflowInfo, ...], *, worker: int, session: int, now: int
) -> messages.ConnInfo:
    """now: on the engine's clock."""
    return messages.ConnInfo(
        worker=worker,
        conn=c.conn,
        session=session,
        token=c.token,
        state=word(CONN_STATES, c.state),
        mptcp=bool(c.mptcp),
        server=bool(c.server),
        scheduler=word(SCHEDULERS, c.sched),
        local=endpoint(bytes(c.laddr), c.lport),
        remote=endpoint(bytes(c.raddr), c.rport),
        bytes_sent=c.bytes_sent,
        bytes_acked=c.bytes_acked,
        bytes_received=c.bytes_received,
        bytes_retrans=c.bytes_retrans,
        send_queue=c.send_queue,
        recv_queue=c.recv_queue,
        age_s=max(0, now - c.opened_ns) / 1e9,
        subflows=subflows,
    )


def table(t: Any) -> messages.TableInfo:
    return messages.TableInfo(used=t.used, peak=t.peak, count=t.count, item_size=t.item_size)


def idle_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """(busy, idle) nanoseconds at two moments."""
    busy, idle = after[0] - before[0], after[1] - before[1]
    return idle / (busy + idle) if busy + idle > 0 else 1.0
