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
CONTROLS = ("", "cubic", "newreno", "bbr", "dctcp")
CA_STATES = ("open", "recovery", "loss")
TCP_OPTIONS = ((1, "ts"), (2, "sack"), (4, "wscale"), (8, "ecn"))
EVENTS = {
    1: "created", 2: "established", 3: "closed", 6: "announced", 7: "removed", 10: "sub_established", 11: "sub_closed",
    13: "sub_priority",
}  # fmt: skip
OPS = {"open": 1, "close": 2, "announce": 3, "withdraw": 4, "priority": 5}

NEIGHBOUR_NEWS = ("", "asked", "heard", "silent", "in-use", "conflict")
NEIGHBOUR_OPS = {"put": 1, "fail": 2, "forget": 3, "ask": 4, "stale": 5, "probe": 6, "ready": 7, "announce": 8}


def word(words: tuple[str, ...], value: int) -> str:
    return words[value] if 0 <= value < len(words) else str(value)


def address(raw: bytes) -> str:
    """16 bytes; IPv4-mapped addresses are shown as IPv4."""
    ip = ipaddress.IPv6Address(raw)
    return str(ip.ipv4_mapped or ip)


def endpoint(raw: bytes, port: int) -> str:
    text = address(raw)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def packed(text: str) -> bytes:
    """The 16 bytes of an address; empty: any."""
    if not text:
        return bytes(16)
    ip = ipaddress.ip_address(text)
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


def ago(then: int, now: int) -> float | None:
    """Milliseconds since a moment of the engine's clock; None: it never was."""
    return max(0, now - then) / 1e6 if then else None


def subflow(s: Any, now: int = 0) -> messages.SubflowInfo:
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
        cc=b"".join(s.cc).split(b"\0")[0].decode(errors="replace"),
        ca_state=word(CA_STATES, s.ca),
        options=tuple(name for bit, name in TCP_OPTIONS if s.options & bit),
        snd_wscale=s.snd_wscale,
        rcv_wscale=s.rcv_wscale,
        snd_wnd=s.snd_wnd,
        rcv_wnd=s.rcv_wnd,
        unacked=s.unacked,
        lost=s.lost,
        sacked=s.sacked,
        rcv_ooo=s.rcv_ooo,
        backoff=s.backoff,
        reordering=bool(s.reordering),
        delivery_rate=s.delivery_rate,
        pacing_rate=s.pacing_rate,
        delivered=s.delivered,
        last_sent_ms=ago(s.last_sent_ns, now),
        last_recv_ms=ago(s.last_recv_ns, now),
        last_acked_ms=ago(s.last_acked_ns, now),
        active=bool(s.active),
        silent=bool(s.silent),
        our_backup=bool(s.our_backup),
        peer_backup=bool(s.peer_backup),
        pmtu=s.pmtu,
    )


def conn(
    c: Any,
    subflows: tuple[messages.SubflowInfo, ...],
    *,
    worker: int,
    session: int,
    now: int,
    limits: messages.Limits | None = None,
) -> messages.ConnInfo:
    """now: on the engine's clock."""
    limits = limits or messages.Limits()
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
        remote_token=c.remote_token,
        cc=word(CONTROLS, c.cc),
        fallback=bool(c.fell_back),
        remote_key_received=bool(c.remote_key),
        csum_enabled=bool(c.csum),
        peer_no_join=bool(c.peer_no_join),
        extra_subflows=c.extra,
        subflows_max=limits.subflows,
        add_addr_signal=c.add_addr_signal,
        add_addr_accepted=c.add_addr_accepted,
        add_addr_accepted_max=limits.add_addr_accepted,
        retransmits=c.retransmits,
        write_seq=c.write_seq,
        snd_nxt=c.snd_nxt,
        snd_una=c.snd_una,
        rcv_nxt=c.rcv_nxt,
        snd_wnd=c.snd_wnd,
        rcv_wnd=c.rcv_wnd,
        last_sent_ms=ago(c.last_sent_ns, now),
        last_recv_ms=ago(c.last_recv_ns, now),
        last_acked_ms=ago(c.last_acked_ns, now),
    )


def path_event(e: Any, *, worker: int, time: float) -> messages.PathEvent:
    """Each event with the attributes that the kernel's has."""
    name = EVENTS.get(e.kind, str(e.kind))
    fields: dict[str, Any] = {}
    if name in ("created", "established") or name.startswith("sub_"):
        fields = {
            "saddr": address(bytes(e.laddr)),
            "daddr": address(bytes(e.raddr)),
            "sport": e.lport,
            "dport": e.rport,
        }
    if name.startswith("sub_"):
        fields |= {
            "subflow": e.subflow,
            "rem_id": e.remote_id,
            "loc_id": e.local_id,
            "backup": bool(e.backup),
            "nic": e.port,
            "error": e.error or None,
            "reset_reason": e.reset_reason if e.has_reason else None,
            "reset_flags": e.reset_flags if e.has_reason else None,
        }
    elif name == "announced":
        fields = {"rem_id": e.remote_id, "daddr": address(bytes(e.raddr)), "dport": e.rport or None}
    elif name == "removed":
        fields = {"rem_id": e.remote_id}
    return messages.PathEvent(
        event=name,
        time=time,
        worker=worker,
        conn=e.conn,
        token=e.token,
        server_side=bool(e.server),
        deny_join_id0=bool(e.no_join),
        **fields,
    )


def neighbour_news(v: Any) -> messages.NeighbourNews:
    return messages.NeighbourNews(
        kind=word(NEIGHBOUR_NEWS, v.kind),
        port=v.port,
        address=address(bytes(v.addr)),
        mac=":".join(f"{byte:02x}" for byte in v.mac),
    )


def table(t: Any) -> messages.TableInfo:
    return messages.TableInfo(
        used=t.used, peak=t.peak, count=t.count, item_size=t.item_size, index_size=t.index_size
    )


def idle_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """(busy, idle) nanoseconds at two moments."""
    busy, idle = after[0] - before[0], after[1] - before[1]
    return idle / (busy + idle) if busy + idle > 0 else 1.0
