# SPDX-License-Identifier: Apache-2.0
"""Runs one scenario of the simulator (native/sim): the engine itself, in virtual time, repeatable from its seed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from sennit.shm.native import ffi, lib

MS = 1_000_000
SECOND = 1_000_000_000
MBIT = 1_000_000


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One direction of one path; fields as `struct sn_sim_link`."""

    rate_bps: int = 0
    delay_ns: int = 0
    queue_bytes: int = 0
    ecn_bytes: int = 0
    loss_every: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    reorder_ns: int = 0
    jitter_ns: int = 0
    mtu: int = 0
    burst_enter: float = 0.0
    burst_leave: float = 0.0
    burst_loss: float = 0.0
    burst_ns: int = 0
    up_ns: int = 0
    down_ns: int = 0


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The middlebox of one path; fields as `struct sn_sim_box`."""

    flags: int = 0
    strip_syn: int = 0
    strip_synack: int = 0
    strip_data: int = 0
    mangle_kinds: int = 0
    mss: int = 0
    split: int = 0
    coalesce: int = 0
    coalesce_ns: int = 0
    rewrite_max: int = 0
    mtu: int = 0
    fragment: int = 0
    mangle: float = 0.0
    rewrite: float = 0.0


NAT, SEQ, NO_SACK, DUMB = 1, 2, 4, 8


def kinds(*kind: int) -> int:
    """A set of TCP option kinds."""
    return sum(1 << k for k in set(kind))


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something of the fault plan; fields as `struct sn_sim_event`."""

    at_ns: int
    path: int
    what: int
    for_ns: int = 0
    arg: int = 0
    host: int = 0


DOWN, UP, REBIND, POOL, FORWARD, FREEZE, NO_READ, STOP, CLOCK, DIE, STALL, FLOOD = range(1, 13)
EVENTS_MAX = 32
ALLOW_ERRORS, ALLOW_BYTES = 1, 2
STEERING = {"rss": 0, "blocks": 1, "first": 2}
FAMILIES = {"ipv4": 0, "ipv6": 1, "mixed": 2}  # mixed: IPv6 on the paths 1, 3, ...
IPV6_MTU = 1280  # at least (RFC 8200 5)
SIGNAL, SUBFLOW, FULLMESH, BACKUP = 1, 2, 4, 8
CLOSING = {"calm": 0, "early": 1, "only": 2}
SCHEDULERS = {"default": 0, "minrtt": 1, "roundrobin": 2}


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One run; fields as `struct sn_sim_cfg`. A is the client, B the server."""

    ab: tuple[Link, ...]
    ba: tuple[Link, ...]
    seed: int = 1
    start_ns: int = 0
    bound_ns: int = 3600 * SECOND
    stall_ns: int = 0
    bytes_ab: int = 0
    bytes_ba: int = 0
    conns: int = 1
    box: tuple[Box, ...] = ()  # of the first paths
    event: tuple[Event, ...] = ()
    allow: int = 0
    workers_a: int = 1
    workers_b: int = 1
    steering: int = 0
    family: int = 0
    pm: int = SIGNAL
    closing: int = 0
    sched_a: int = 0
    sched_b: int = 0
    csum_a: bool = False
    csum_b: bool = False
    tcp_a: bool = False
    tcp_b: bool = False
    soft_csum: bool = False
    shared: bool = False
    subflows: int = 8
    add_addr_accepted: int = 8
    mtu: int = 0
    chunk: int = 0
    odd_chunks: bool = False
    rcvbuf: int = 0
    arena: int = 0
    rx_slot_size: int = 0
    rx_slots: int = 0
    sq_entries: int = 0
    cq_entries: int = 0
    segs: int = 0
    read_rate_a: int = 0
    read_rate_b: int = 0
    rto_min_ns: int = 0
    start_gap_ns: int = 0
    msg_bytes: int = 0
    msg_every_ns: int = 0
    ecn: int = 0
    pacing: bool = False
    single: bool = False  # ports take single segments only
    rx_wait_ns: int = 0  # frames wait so long for others, and are received in bursts
    trace_ns: int = 0
    trace: str = ""
    cc: str = ""
    cc_b: str = ""
    profile: str = ""
    tcp_engine: str = ""
    pcap: str = ""
    segments: str = ""


class Path(msgspec.Struct, frozen=True):
    """What one path carried, [0] A to B, [1] B to A."""

    payload: tuple[int, int]
    frames: tuple[int, int]
    lost: tuple[int, int]
    overflow: tuple[int, int]
    marked: tuple[int, int] = (0, 0)


class Outcome(msgspec.Struct, frozen=True):
    """Result of one run."""

    completed: bool
    failure: str
    virtual_s: float
    wall_s: float
    steps: int
    transfer_s: tuple[float, float]
    received: tuple[int, int]
    goodput_mbit_s: tuple[float, float]
    share: tuple[tuple[float, ...], tuple[float, ...]]
    paths: tuple[Path, ...]
    mptcp_conns: int
    tcp_conns: int
    subflows_peak: int
    errors: int
    given_up: int
    faults: int
    retransmissions: int
    reinjections: int
    misdirected: int
    counters: tuple[dict[str, int], dict[str, int]]  # of host A and host B, zeros left out
    conn_received: tuple[int, ...] = ()  # per connection, A to B
    conn_s: tuple[float, ...] = ()  # when its last byte came
    messages: int = 0
    latency_ms: tuple[tuple[float, int], ...] = ()  # (one-way time at most, how many), ascending, zeros left out
    latency_max_ms: float = 0.0

    def latency(self, quantile: float) -> float:
        """The one-way time in ms that this share of the messages did not exceed."""
        left = quantile * self.messages
        for upper, count in self.latency_ms:
            left -= count
            if left <= 0:
                return min(upper, self.latency_max_ms)
        return self.latency_max_ms


def symmetric(paths: int, link: Link, **rest: Any) -> Scenario:
    """A scenario whose paths are all alike in both directions."""
    return Scenario(ab=(link,) * paths, ba=(link,) * paths, **rest)


def path(mbit_s: float, delay_ms: float, loss: float = 0.0, queue_ms: float | None = None) -> Link:
    """A link with a queue of one bandwidth-delay product (at least 64 KiB) unless said otherwise."""
    rate = round(mbit_s * MBIT)
    wait = 2 * delay_ms if queue_ms is None else queue_ms
    return Link(
        rate_bps=rate,
        delay_ns=round(delay_ms * MS),
        queue_bytes=max(65536, round(rate / 8 * wait / 1000)),
        loss=loss,
    )


def _fill(cfg: Any, scenario: Scenario) -> None:
    for name in scenario.__struct_fields__:
        value = getattr(scenario, name)
        if name in ("ab", "ba", "box", "event"):
            for i, item in enumerate(value):
                for field in item.__struct_fields__:
                    setattr(getattr(cfg, name)[i], field, getattr(item, field))
        elif isinstance(value, str):
            text = value.encode()
            room = len(getattr(cfg, name))
            if len(text) >= room:
                raise ValueError(f"{name} is longer than {room - 1} bytes: {value}")
            ffi.memmove(getattr(cfg, name), text, len(text))
        else:
            setattr(cfg, name, int(value))
    cfg.paths = len(scenario.ab)
    cfg.events = len(scenario.event)


def _counters(row: Any, count: int) -> dict[str, int]:
    names = ((ffi.string(lib.sn_sim_counter_name(i)).decode(), int(row[i])) for i in range(count))
    return {name: value for name, value in names if value}


def _share(row: Any, paths: int) -> tuple[float, ...]:
    total = sum(row[p] for p in range(paths))
    return tuple(row[p] / total if total else 0.0 for p in range(paths))


def _outcome(r: Any, paths: int, conns: int) -> Outcome:
    def both(field: Any, p: int) -> tuple[int, int]:
        return (int(field[0][p]), int(field[1][p]))

    return Outcome(
        completed=bool(r.completed),
        failure=ffi.string(r.failure).decode(errors="replace"),
        virtual_s=r.virtual_ns / SECOND,
        wall_s=r.wall_ns / SECOND,
        steps=int(r.steps),
        transfer_s=(r.transfer_ns[0] / SECOND, r.transfer_ns[1] / SECOND),
        received=(int(r.received[0]), int(r.received[1])),
        goodput_mbit_s=(r.goodput_bps[0] / MBIT, r.goodput_bps[1] / MBIT),
        share=(_share(r.path_payload[0], paths), _share(r.path_payload[1], paths)),
        paths=tuple(
            Path(both(r.path_payload, p), both(r.path_frames, p), both(r.path_lost, p), both(r.path_overflow, p),
                 both(r.path_marked, p))
            for p in range(paths)
        ),
        mptcp_conns=int(r.mptcp_conns),
        tcp_conns=int(r.tcp_conns),
        subflows_peak=int(r.subflows_peak),
        errors=int(r.errors),
        given_up=int(r.given_up),
        faults=int(r.faults),
        retransmissions=int(r.retransmissions),
        reinjections=int(r.reinjections),
        misdirected=int(r.misdirected),
        counters=(_counters(r.counters[0], r.counter_count), _counters(r.counters[1], r.counter_count)),
        conn_received=tuple(int(r.conn_received[i]) for i in range(conns)),
        conn_s=tuple(r.conn_ns[i] / SECOND for i in range(conns)),
        messages=int(r.messages),
        latency_ms=tuple((lib.sn_sim_latency_ns(i) / MS, int(n)) for i, n in enumerate(r.latency) if n),
        latency_max_ms=r.latency_max_ns / MS,
    )


def run(scenario: Scenario, progress: Callable[[int, int, float], None] | None = None) -> Outcome:
    """Runs a scenario to its end. `progress` is called some times a second with the bytes delivered, the bytes in all,
    and the virtual seconds so far. Ctrl-C cancels the run."""
    if not 1 <= len(scenario.ab) == len(scenario.ba) <= 8:
        raise ValueError(f"paths: 1 to 8, the same number each way (not {len(scenario.ab)} and {len(scenario.ba)})")
    if len(scenario.event) > EVENTS_MAX:
        raise ValueError(f"at most {EVENTS_MAX} events, not {len(scenario.event)}")
    if len(scenario.box) > len(scenario.ab):
        raise ValueError(f"{len(scenario.box)} middleboxes for {len(scenario.ab)} paths")
    cfg, result = ffi.new("struct sn_sim_cfg *"), ffi.new("struct sn_sim_result *")
    _fill(cfg, scenario)
    if progress is None:
        lib.sn_sim_run(cfg, result)
        return _outcome(result, len(scenario.ab), scenario.conns)
    total = (scenario.bytes_ab + scenario.bytes_ba) * scenario.conns
    worker = threading.Thread(target=lib.sn_sim_run, args=(cfg, result), daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.1)
            progress(int(result.received[0] + result.received[1]), total, result.virtual_ns / SECOND)
    finally:
        result.cancel = 1
        worker.join()
    return _outcome(result, len(scenario.ab), scenario.conns)
