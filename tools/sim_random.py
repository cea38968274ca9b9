# SPDX-License-Identifier: Apache-2.0
"""Random scenarios: one seed, one scenario. What it draws must be survivable: if a run fails, the engine is wrong.
Faults that no protocol survives (an application dies, a NAT forgets the only subflow) may end connections with an
error; then the checkers still insist on right bytes, on an end, and on everything being freed."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from sennit.tools import sim_driver as driver

PATH_MANAGERS = (
    0,
    driver.SIGNAL,
    driver.SIGNAL,
    driver.SIGNAL,
    driver.SUBFLOW,
    driver.SUBFLOW | driver.SIGNAL,
    driver.SUBFLOW | driver.FULLMESH,
    driver.SUBFLOW | driver.FULLMESH | driver.SIGNAL,
)
CONTROLS = ("", "cubic", "newreno", "bbr", "dctcp")
MSS, WSCALE, SACK_OK, SACK, TIMESTAMPS, MPTCP = 2, 3, 4, 5, 8, 30


def _link(r: random.Random, rate: float, delay_ms: float) -> driver.Link:
    """Most links are clean; each fault by itself sometimes, all of them rarely."""
    faulty = r.random()

    def sometimes(p: float) -> bool:
        return faulty < 0.05 or (faulty < 0.6 and r.random() < p)

    rtt_bytes = rate / 8 * 2 * delay_ms / 1000
    queue = round(max(20_000, rtt_bytes * r.choice((0.2, 1, 1, 4))))
    bursts, schedule = sometimes(0.15), sometimes(0.1)
    return driver.Link(
        rate_bps=round(rate),
        delay_ns=round(delay_ms * driver.MS),
        queue_bytes=queue,
        ecn_bytes=round(queue * r.choice((0.2, 0.5))) if r.random() < 0.3 else 0,
        loss=r.choice((0.001, 0.01, 0.03) if bursts else (0.001, 0.01, 0.03, 0.05)) if sometimes(0.5) else 0.0,
        burst_enter=r.choice((0.001, 0.01)) if bursts else 0.0,
        burst_leave=r.choice((0.1, 0.3, 0.5)) if bursts else 0.0,
        burst_loss=r.choice((0.3, 0.7, 1.0)) if bursts else 0.0,
        burst_ns=round(10 ** r.uniform(-3, 0) * driver.SECOND) if bursts else 0,
        duplicate=r.choice((0.001, 0.02)) if sometimes(0.15) else 0.0,
        corrupt=r.choice((0.0005, 0.01)) if sometimes(0.15) else 0.0,
        reorder=r.choice((0.001, 0.02, 0.1)) if sometimes(0.2) else 0.0,
        reorder_ns=round(delay_ms * driver.MS * r.uniform(0.1, 2)) + 50_000,
        jitter_ns=round(delay_ms * driver.MS * r.uniform(0, 1)) if sometimes(0.25) else 0,
        up_ns=round(r.uniform(1, 4) * driver.SECOND) if schedule else 0,
        down_ns=round(r.uniform(0.005, 0.03) * driver.SECOND) if schedule else 0,
    )


def _box(r: random.Random, mptcp: bool) -> driver.Box:
    """A middlebox that TCP has to live with."""
    flags = (driver.NAT if r.random() < 0.4 else 0) | (driver.SEQ if r.random() < 0.4 else 0)
    if flags & driver.SEQ and r.random() < 0.3:
        flags |= driver.NO_SACK
    strip_syn = driver.kinds(*(k for k in (MSS, WSCALE, SACK_OK, TIMESTAMPS) if r.random() < 0.15))
    # Only what the receiver of the SYN/ACK can do without while its sender believes in it (SACK it could not).
    strip_synack = driver.kinds(MSS) if r.random() < 0.1 else 0
    strip_data = driver.kinds(SACK) if r.random() < 0.15 else 0
    if mptcp and r.random() < 0.3:
        where = r.randrange(4)
        strip_syn |= driver.kinds(MPTCP) if where in (0, 3) else 0
        strip_synack |= driver.kinds(MPTCP) if where in (1, 3) else 0
        strip_data |= driver.kinds(MPTCP) if where in (2, 3) else 0
    mangled = r.random() < 0.15
    coalesce = r.choice((200, 500, 1000, 1400)) if r.random() < 0.25 else 0
    return driver.Box(
        flags=flags,
        strip_syn=strip_syn,
        strip_synack=strip_synack,
        strip_data=strip_data,
        mangle_kinds=driver.kinds(SACK) if mangled else 0,
        mangle=r.choice((0.02, 0.3)) if mangled else 0.0,
        split=r.choice((100, 300, 536, 1000)) if r.random() < 0.25 else 0,
        coalesce=coalesce,
        coalesce_ns=r.choice((10_000, 200_000, 2_000_000)) if coalesce else 0,
    )


def _fault(r: random.Random, hosts: tuple[int, int], at: int, path: int) -> driver.Event:
    """One thing of the fault plan that everybody has to survive."""
    host = r.randrange(2)
    what = r.choice((driver.POOL, driver.FORWARD, driver.FREEZE, driver.NO_READ, driver.STOP, driver.CLOCK))
    lasts = round(10 ** r.uniform(-3, 0.3) * driver.SECOND)
    arg = 0
    if what == driver.POOL:
        arg = r.choice((0, 100, 500, 900))
    elif what == driver.STOP:
        arg = r.randrange(hosts[host])
    elif what == driver.CLOCK:
        arg, lasts = round(10 ** r.uniform(-3, 0.7) * driver.SECOND), 0
    return driver.Event(at, path, what, lasts, arg, host)


def _events(r: random.Random, paths: int, hosts: tuple[int, int], horizon_s: float) -> tuple[driver.Event, ...]:
    """Path 0 always comes back: without it nothing may have been joined yet."""
    found: list[driver.Event] = []
    for _ in range(r.choice((0, 0, 0, 1, 2, 3))):
        path = r.randrange(paths)
        at = r.uniform(0, horizon_s)
        found.append(driver.Event(round(at * driver.SECOND), path, driver.DOWN))
        if path == 0 or r.random() < 0.6:
            found.append(driver.Event(round((at + r.uniform(0.001, 5)) * driver.SECOND), path, driver.UP))
    # Overlapping outages of one path: the last word must be "up" where it has to come back. A subflow may have been
    # given up while path 0 was down; then the others have to come back as well.
    found.sort(key=lambda e: e.at_ns)
    if any(e.path == 0 for e in found):
        last = found[-1].at_ns + 1
        found += [driver.Event(last, path, driver.UP) for path in sorted({e.path for e in found})]
    for _ in range(r.choice((0, 0, 0, 1, 2, 4))):
        found.append(_fault(r, hosts, round(r.uniform(0, horizon_s) * driver.SECOND), r.randrange(paths)))
    if r.random() < 0.03:
        found.append(
            driver.Event(round(r.uniform(0, horizon_s) * driver.SECOND), 0, driver.DIE, host=r.randrange(2))
        )
    return tuple(sorted(found, key=lambda e: e.at_ns))


def _silent_start(events: tuple[driver.Event, ...]) -> bool:
    """Path 0 is gone before the first answers came, for most of eight seconds. Then a connection may end with an error:
    a next hop that answers none of six questions is unreachable, a peer in TIME_WAIT leaves before the last segment."""
    gone, since = 0, 0
    for event in (e for e in events if e.path == 0 and e.what in (driver.DOWN, driver.UP)):
        if event.what == driver.DOWN:
            since = since or event.at_ns
        elif since:
            gone, since = gone + min(event.at_ns, 8 * driver.SECOND) - min(since, 8 * driver.SECOND), 0
    first = next((e.at_ns for e in events if e.path == 0 and e.what == driver.DOWN), driver.SECOND)
    return first < driver.SECOND and gone > 2 * driver.SECOND


def _size(r: random.Random, most: int) -> int:
    return r.choice((0, 1, r.randrange(2, 1500), r.randrange(1500, 100_000), r.randrange(100_000, most)))


def _chunk(r: random.Random, octets: int) -> int:
    """Small pieces only for little data: they cost time."""
    if octets < 3000:
        return r.choice((1, 100, 1000, 4096, 16384, 65536))
    if octets < 30_000:
        return r.choice((100, 1000, 4096, 16384, 65536))
    return r.choice((1000, 4096, 16384, 65536) if octets < 100_000 else (4096, 16384, 65536))


def tcp(seed: int) -> driver.Scenario:
    """A scenario of plain TCP over one path."""
    r = random.Random(f"tcp {seed}")
    rate, delay = 10 ** r.uniform(5.7, 9), r.choice((0.01, 0.05, 1, 5, 20, 80, 200))
    ab, ba = _link(r, rate, delay), _link(r, rate * r.choice((1, 1, 0.2)), delay)
    to_b, to_a = r.choice(((_size(r, 400_000), 0), (0, _size(r, 400_000)), (_size(r, 300_000), _size(r, 300_000))))
    conns = r.choice((1, 1, 1, 1, 2, 4))
    workers = (r.choice((1, 1, 1, 2)), r.choice((1, 1, 1, 2)))
    horizon = min(10.0, 0.2 + 8 * (to_b + to_a) * conns / rate)
    events = _events(r, 1, workers, horizon)
    box = _box(r, False) if r.random() < 0.4 else driver.Box()
    allow = 0
    if r.random() < 0.1:  # a narrow link, and a box that tells both sides
        mtu = r.choice((576, 1000, 1280, 1400))
        box = replace(box, mss=mtu - 40, coalesce=min(box.coalesce, mtu - 100))  # options take up to 60
        ab, ba = replace(ab, mtu=mtu), replace(ba, mtu=mtu)
        seen = ~driver.kinds(MSS)
        box = replace(box, strip_syn=box.strip_syn & seen, strip_synack=box.strip_synack & seen)
    if box.flags & driver.NAT and r.random() < 0.1:
        events = tuple(
            sorted(
                (*events, driver.Event(round(r.uniform(0, horizon) * driver.SECOND), 0, driver.REBIND)),
                key=lambda e: e.at_ns,
            )
        )
        allow = driver.ALLOW_ERRORS
    if _silent_start(events):
        allow = driver.ALLOW_ERRORS
    slow = r.random() < 0.15
    ecn = r.choice((0, 0, 1, 2, 3))
    return driver.Scenario(
        ab=(ab,),
        ba=(ba,),
        box=(box,),
        allow=allow,
        seed=seed,
        stall_ns=600 * driver.SECOND,
        start_ns=r.choice((0, 0, round(4_294_967.296 * driver.SECOND) - r.randrange(3 * driver.SECOND))),
        bytes_ab=to_b,
        bytes_ba=to_a,
        conns=conns,
        start_gap_ns=r.choice((0, 0, round(horizon * driver.SECOND / 10))),
        event=events,
        workers_a=workers[0],
        workers_b=workers[1],
        steering=r.choice((0, 0, 1, 2)),
        pm=0,
        closing=r.choice((0, 0, 1, 2)),
        tcp_a=True,
        tcp_b=True,
        soft_csum=r.random() < 0.4,
        mtu=r.choice((1500, 1500, 1280, 576)),
        chunk=_chunk(r, max(to_b, to_a)),
        odd_chunks=r.random() < 0.3,
        rcvbuf=r.choice((65536, 262144, 4 << 20)),
        arena=r.choice((65536, 1 << 20)),
        rx_slot_size=r.choice((2048, 16384)),
        rx_slots=r.choice((64, 512)),
        cq_entries=r.choice((32, 1024, 1024)),
        segs=r.choice((1024, 4096)),
        read_rate_a=r.choice((100_000, 1_000_000)) if slow else 0,
        read_rate_b=r.choice((100_000, 1_000_000)) if slow else 0,
        rto_min_ns=r.choice((0, 0, 1, 10, 200)) * driver.MS,
        ecn=ecn,
        pacing=r.random() < 0.3,
        cc=r.choice(CONTROLS),
        cc_b=r.choice(CONTROLS),
        single=r.random() < 0.2,
        rx_wait_ns=r.choice((0, 0, 50_000, 300_000)),
    )


def mptcp(seed: int) -> driver.Scenario:
    """A scenario of MPTCP over one to eight paths; sometimes one side has plain TCP only."""
    r = random.Random(seed)
    paths = r.choice((1, 2, 2, 3, 3, 3, 4, 8))
    base_delay = r.choice((0.05, 1, 5, 20, 80))
    links = [(10 ** r.uniform(6, 9), base_delay * r.choice((1, 1, 1, 3))) for _ in range(paths)]
    ab = tuple(_link(r, rate, delay) for rate, delay in links)
    ba = tuple(_link(r, rate * r.choice((1, 1, 0.2)), delay) for rate, delay in links)
    most = 3_000_000
    to_b, to_a = r.choice(((_size(r, most), 0), (0, _size(r, most)), (_size(r, most), _size(r, most))))
    conns = r.choice((1, 1, 1, 1, 2, 5))
    workers = (r.choice((1, 1, 2, 4)), r.choice((1, 1, 2, 3)))
    slowest = min(rate for rate, _ in links)
    horizon = min(10.0, 0.2 + 8 * (to_b + to_a) * conns / slowest)
    slow = r.random() < 0.15
    events = _events(r, paths, workers, horizon)
    boxes = r.random() < 0.35
    return driver.Scenario(
        ab=ab,
        ba=ba,
        box=tuple(_box(r, True) if boxes and r.random() < 0.6 else driver.Box() for p in range(paths)),
        allow=driver.ALLOW_ERRORS if _silent_start(events) else 0,
        seed=seed,
        stall_ns=600 * driver.SECOND,
        start_ns=r.choice((0, 0, round(4_294_967.296 * driver.SECOND) - r.randrange(3 * driver.SECOND))),
        bytes_ab=to_b,
        bytes_ba=to_a,
        conns=conns,
        event=events,
        workers_a=workers[0],
        workers_b=workers[1],
        steering=r.choice((0, 0, 1, 2)),
        pm=r.choice(PATH_MANAGERS),
        closing=r.choice((0, 0, 1, 2)),
        sched_a=r.choice((0, 1, 2)),
        sched_b=r.choice((0, 1, 2)),
        csum_a=r.random() < 0.2,
        csum_b=r.random() < 0.2,
        tcp_a=r.random() < 0.08,
        tcp_b=r.random() < 0.08,
        soft_csum=r.random() < 0.4,
        shared=r.random() < 0.1,
        subflows=r.choice((0, 2, 8, 8)),
        add_addr_accepted=r.choice((0, 2, 8, 8)),
        mtu=r.choice((1500, 1500, 1280, 576)),
        chunk=_chunk(r, max(to_b, to_a)),
        odd_chunks=r.random() < 0.3,
        rcvbuf=r.choice((65536, 262144, 4 << 20)),
        arena=r.choice((65536, 1 << 20, 4 << 20)),
        rx_slot_size=r.choice((2048, 16384)),
        rx_slots=r.choice((64, 512)),
        cq_entries=r.choice((32, 1024, 1024)),
        segs=16384,
        read_rate_a=r.choice((100_000, 1_000_000)) if slow else 0,
        read_rate_b=r.choice((100_000, 1_000_000)) if slow else 0,
        rto_min_ns=r.choice((0, 0, 1, 200)) * driver.MS,
        ecn=r.choice((0, 0, 1, 2, 3)),
        pacing=r.random() < 0.3,
        cc=r.choice(CONTROLS),
        single=r.random() < 0.2,
        rx_wait_ns=r.choice((0, 0, 50_000, 300_000)),
    )


def with_family(s: driver.Scenario, r: random.Random) -> driver.Scenario:
    """The same scenario over IPv6 or both families, where that is possible: no MTU below 1280, and no NAT."""
    family = r.choice((0, 0, 0, 1, 1, 2 if len(s.ab) > 1 else 1))
    least = min(s.mtu or driver.IPV6_MTU, *(link.mtu or driver.IPV6_MTU for link in (*s.ab, *s.ba)))
    if not family or least < driver.IPV6_MTU:
        return s
    boxes = list(s.box)
    for i, box in enumerate(s.box):
        if family == driver.FAMILIES["ipv6"] or i % 2:
            longer = 20 if s.ab[i].mtu else 0  # than an IPv4 header: what was fitted to a narrow link
            boxes[i] = replace(
                box,
                flags=box.flags & ~driver.NAT,
                mss=max(box.mss - longer, 0),
                coalesce=max(box.coalesce - longer, 0),
            )
    return replace(s, family=family, box=tuple(boxes))


KINDS: dict[str, Callable[[int], driver.Scenario]] = {"mptcp": mptcp, "tcp": tcp}


def scenario(seed: int, kind: str = "mptcp") -> driver.Scenario:
    """The scenario of a seed. The family has a stream of its own: it changes nothing else that is drawn."""
    return with_family(KINDS[kind](seed), random.Random(f"family {kind} {seed}"))
