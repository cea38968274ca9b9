# SPDX-License-Identifier: Apache-2.0
"""`sennit top` without the terminal: two `messages.Status` in, one `TopView` out. Pure; what is shown is all here."""

from __future__ import annotations

import msgspec

from sennit.shm import messages


class LcoreView(msgspec.Struct, frozen=True):
    """One worker. Rates are per second over the interval."""

    worker: int
    lcore: int
    pid: int
    state: str
    restarts: int
    heartbeat_age_ms: float
    conns: int
    idle_share: float
    rx_pps: float
    tx_pps: float
    rx_bit_s: float
    tx_bit_s: float
    bursts_s: float
    burst_size: float  # frames in a receive burst, mean
    misdirected_s: float
    misdirected: int
    retrans_s: float
    drops_s: float
    pool_used_share: float


class PortView(msgspec.Struct, frozen=True):
    index: int
    name: str
    address: str
    steering: str
    rx_pps: float
    tx_pps: float
    rx_bit_s: float
    tx_bit_s: float
    missed_s: float


class SubflowView(msgspec.Struct, frozen=True):
    """One path of a connection. share: of the connection's bytes in the interval; of all of them if it was quiet."""

    id: int
    port: str
    local: str
    remote: str
    state: str
    flags: tuple[str, ...]  # of: backup, stale, pending
    tx_bit_s: float
    rx_bit_s: float
    share: float
    srtt_us: float
    cwnd: int
    in_flight: int
    bytes_sent: int
    bytes_received: int
    retrans_s: float


class ConnView(msgspec.Struct, frozen=True):
    worker: int
    conn: int
    token: int
    state: str
    kind: str  # "mptcp" or "tcp"
    role: str  # "client" or "server"
    scheduler: str
    local: str
    remote: str
    age_s: float
    tx_bit_s: float
    rx_bit_s: float
    bytes_sent: int
    bytes_received: int
    send_queue: int
    recv_queue: int
    subflows: tuple[SubflowView, ...]


class TopView(msgspec.Struct, frozen=True):
    instance: str
    version: str
    pid: int
    time_unix: float
    uptime_s: float
    interval_s: float  # 0: the first look, rates are means since the workers started
    conns_total: int
    sessions: int
    rx_bit_s: float  # of all ports; lcores count a forwarded frame twice
    tx_bit_s: float
    lcores: tuple[LcoreView, ...]
    ports: tuple[PortView, ...]
    conns: tuple[ConnView, ...]  # busiest first
    conns_hidden: int


DROPS = (
    "tx_full", "tx_nobuf", "forward_full", "rx_drop_arp", "rx_drop_ip", "rx_drop_frag", "rx_drop_proto",
    "rx_drop_icmp", "rx_drop_tcp", "neigh_pending_drop", "tcp_ooo_drop", "tcp_syn_drop",
)  # fmt: skip


def reduce(previous: messages.Status | None, current: messages.Status, max_conns: int = 20) -> TopView:
    """What changed between two looks. previous None or of another start of the instance: rates since the start."""
    if previous is not None and (previous.pid != current.pid or previous.uptime_s >= current.uptime_s):
        previous = None
    interval = current.uptime_s - previous.uptime_s if previous else current.uptime_s
    interval = max(interval, 1e-3)
    workers = {(w.worker, w.pid): w for w in previous.workers} if previous else {}
    lcores = tuple(_lcore(workers.get((w.worker, w.pid)), w, interval) for w in current.workers)
    old_ports = {p.index: p for p in previous.ports} if previous else {}
    ports = tuple(_port(old_ports.get(p.index), p, interval) for p in current.ports)
    names = {p.index: p.name for p in current.ports}
    old_conns = {(c.worker, c.conn, c.token): c for c in previous.conns} if previous else {}
    conns = [_conn(old_conns.get((c.worker, c.conn, c.token)), c, names, interval) for c in current.conns]
    conns.sort(key=lambda c: (-(c.tx_bit_s + c.rx_bit_s), -(c.bytes_sent + c.bytes_received), c.worker, c.conn))
    total = sum(w.conns for w in current.workers)
    return TopView(
        instance=current.instance,
        version=current.version,
        pid=current.pid,
        time_unix=current.time_unix,
        uptime_s=current.uptime_s,
        interval_s=round(interval, 3) if previous else 0.0,
        conns_total=total,
        sessions=len(current.sessions),
        rx_bit_s=sum(p.rx_bit_s for p in ports),
        tx_bit_s=sum(p.tx_bit_s for p in ports),
        lcores=lcores,
        ports=ports,
        conns=tuple(conns[:max_conns]),
        conns_hidden=max(total - min(len(conns), max_conns), 0),
    )


def _rate(old: int, new: int, interval: float) -> float:
    """Per second. A count that went back belongs to a new owner: it started from zero."""
    return round((new - old if new >= old else new) / interval, 3)


def _lcore(old: messages.WorkerInfo | None, new: messages.WorkerInfo, interval: float) -> LcoreView:
    before = old.counters if old else {}
    span = interval if old else max(new.uptime_s, 1e-3)

    def per_s(name: str) -> float:
        return _rate(before.get(name, 0), new.counters.get(name, 0), span)

    rx, bursts = per_s("rx_packets"), per_s("rx_bursts")
    return LcoreView(
        worker=new.worker,
        lcore=new.lcore,
        pid=new.pid,
        state=new.state,
        restarts=new.restarts,
        heartbeat_age_ms=new.heartbeat_age_ms,
        conns=new.conns,
        idle_share=new.idle_share,
        rx_pps=rx,
        tx_pps=per_s("tx_packets"),
        rx_bit_s=8 * per_s("rx_bytes"),
        tx_bit_s=8 * per_s("tx_bytes"),
        bursts_s=bursts,
        burst_size=round(rx / bursts, 2) if bursts else 0.0,
        misdirected_s=per_s("misdirected"),
        misdirected=new.counters.get("misdirected", 0),
        retrans_s=per_s("tcp_retrans"),
        drops_s=sum(per_s(name) for name in DROPS),
        pool_used_share=round(1 - new.pool_free / new.pool_size, 4) if new.pool_size else 0.0,
    )


def _port(old: messages.PortInfo | None, new: messages.PortInfo, interval: float) -> PortView:
    return PortView(
        index=new.index,
        name=new.name,
        address=" ".join(new.addresses),
        steering=new.steering,
        rx_pps=_rate(old.rx_packets if old else 0, new.rx_packets, interval),
        tx_pps=_rate(old.tx_packets if old else 0, new.tx_packets, interval),
        rx_bit_s=8 * _rate(old.rx_bytes if old else 0, new.rx_bytes, interval),
        tx_bit_s=8 * _rate(old.tx_bytes if old else 0, new.tx_bytes, interval),
        missed_s=_rate(old.rx_missed if old else 0, new.rx_missed, interval),
    )


def _conn(
    old: messages.ConnInfo | None, new: messages.ConnInfo, ports: dict[int, str], interval: float
) -> ConnView:
    # A connection that is younger than the interval has sent all it sent within its age.
    span = interval if old else max(min(interval, new.age_s), 1e-3)
    old_flows = {(s.id, s.local, s.remote): s for s in old.subflows} if old else {}
    pairs = [(old_flows.get((s.id, s.local, s.remote)), s) for s in new.subflows]
    moved = [_moved(before, flow) for before, flow in pairs]
    if not sum(moved):
        moved = [flow.bytes_sent + flow.bytes_received for flow in new.subflows]
    total = sum(moved)
    return ConnView(
        worker=new.worker,
        conn=new.conn,
        token=new.token,
        state=new.state,
        kind="mptcp" if new.mptcp else "tcp",
        role="server" if new.server else "client",
        scheduler=new.scheduler,
        local=new.local,
        remote=new.remote,
        age_s=new.age_s,
        tx_bit_s=8 * _rate(old.bytes_acked if old else 0, new.bytes_acked, span),
        rx_bit_s=8 * _rate(old.bytes_received if old else 0, new.bytes_received, span),
        bytes_sent=new.bytes_sent,
        bytes_received=new.bytes_received,
        send_queue=new.send_queue,
        recv_queue=new.recv_queue,
        subflows=tuple(
            _subflow(before, flow, ports, part / total if total else 0.0, span)
            for (before, flow), part in zip(pairs, moved, strict=True)
        ),
    )


def _moved(old: messages.SubflowInfo | None, new: messages.SubflowInfo) -> int:
    if old is None:
        return new.bytes_sent + new.bytes_received
    return max(new.bytes_sent - old.bytes_sent, 0) + max(new.bytes_received - old.bytes_received, 0)


def _subflow(
    old: messages.SubflowInfo | None, new: messages.SubflowInfo, ports: dict[int, str], share: float, interval: float
) -> SubflowView:
    flags = (("backup", new.backup), ("stale", new.stale), ("pending", not new.usable))
    return SubflowView(
        id=new.id,
        port=ports.get(new.port, str(new.port)),
        local=new.local,
        remote=new.remote,
        state=new.state,
        flags=tuple(word for word, on in flags if on),
        tx_bit_s=8 * _rate(old.bytes_sent if old else 0, new.bytes_sent, interval),
        rx_bit_s=8 * _rate(old.bytes_received if old else 0, new.bytes_received, interval),
        share=round(share, 4),
        srtt_us=new.srtt_us,
        cwnd=new.cwnd,
        in_flight=new.in_flight,
        bytes_sent=new.bytes_sent,
        bytes_received=new.bytes_received,
        retrans_s=_rate(old.retrans if old else 0, new.retrans, interval),
    )
