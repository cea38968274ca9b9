# SPDX-License-Identifier: Apache-2.0
"""Random scenarios: one seed, one scenario. What it draws must be survivable: if a run fails, the engine is wrong."""

from __future__ import annotations

import random

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


def _link(r: random.Random, rate: float, delay_ms: float) -> driver.Link:
    """Most links are clean; each fault by itself sometimes, all of them rarely."""
    faulty = r.random()

    def sometimes(p: float) -> bool:
        return faulty < 0.05 or (faulty < 0.6 and r.random() < p)

    rtt_bytes = rate / 8 * 2 * delay_ms / 1000
    return driver.Link(
        rate_bps=round(rate),
        delay_ns=round(delay_ms * driver.MS),
        queue_bytes=round(max(20_000, rtt_bytes * r.choice((0.2, 1, 1, 4)))),
        loss=r.choice((0.001, 0.01, 0.03, 0.05)) if sometimes(0.5) else 0.0,
        duplicate=r.choice((0.001, 0.02)) if sometimes(0.15) else 0.0,
        corrupt=r.choice((0.0005, 0.01)) if sometimes(0.15) else 0.0,
        reorder=r.choice((0.001, 0.02)) if sometimes(0.2) else 0.0,
        reorder_ns=round(delay_ms * driver.MS * r.uniform(0.1, 2)) + 50_000,
        jitter_ns=round(delay_ms * driver.MS * r.uniform(0, 1)) if sometimes(0.25) else 0,
    )


def _events(r: random.Random, paths: int, horizon_s: float) -> tuple[driver.Event, ...]:
    """Path 0 always comes back: without it nothing may have been joined yet."""
    found: list[driver.Event] = []
    for _ in range(r.choice((0, 0, 0, 1, 2, 3))):
        path = r.randrange(paths)
        at = r.uniform(0, horizon_s)
        found.append(driver.Event(round(at * driver.SECOND), path, driver.DOWN))
        if path == 0 or r.random() < 0.6:
            found.append(driver.Event(round((at + r.uniform(0.001, 5)) * driver.SECOND), path, driver.UP))
    # Overlapping outages of one path: the last word must be "up" where it has to come back.
    found.sort(key=lambda e: e.at_ns)
    if any(e.path == 0 for e in found):
        found.append(driver.Event(found[-1].at_ns + 1, 0, driver.UP))
    return tuple(found)


def _size(r: random.Random) -> int:
    return r.choice((0, 1, r.randrange(2, 1500), r.randrange(1500, 100_000), r.randrange(100_000, 3_000_000)))


def scenario(seed: int) -> driver.Scenario:
    """The scenario of a seed."""
    r = random.Random(seed)
    paths = r.choice((1, 2, 2, 3, 3, 3, 4, 8))
    base_delay = r.choice((0.05, 1, 5, 20, 80))
    links = [(10 ** r.uniform(6, 9), base_delay * r.choice((1, 1, 1, 3))) for _ in range(paths)]
    ab = tuple(_link(r, rate, delay) for rate, delay in links)
    ba = tuple(_link(r, rate * r.choice((1, 1, 0.2)), delay) for rate, delay in links)
    to_b, to_a = r.choice(((_size(r), 0), (0, _size(r)), (_size(r), _size(r))))
    conns = r.choice((1, 1, 1, 1, 2, 5))
    slowest = min(rate for rate, _ in links)
    horizon = min(10.0, 0.2 + 8 * (to_b + to_a) * conns / slowest)
    slow = r.random() < 0.15
    return driver.Scenario(
        ab=ab,
        ba=ba,
        seed=seed,
        start_ns=r.choice((0, 0, round(4_294_967.296 * driver.SECOND) - r.randrange(3 * driver.SECOND))),
        bytes_ab=to_b,
        bytes_ba=to_a,
        conns=conns,
        event=_events(r, paths, horizon),
        workers_a=r.choice((1, 1, 2, 4)),
        workers_b=r.choice((1, 1, 2, 3)),
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
        chunk=r.choice((1, 100, 1000, 16384, 65536)) if max(to_b, to_a) < 100_000 else r.choice((4096, 16384, 65536)),
        odd_chunks=r.random() < 0.3,
        rcvbuf=r.choice((65536, 262144, 4 << 20)),
        arena=r.choice((65536, 1 << 20, 4 << 20)),
        rx_slot_size=r.choice((2048, 16384)),
        rx_slots=r.choice((64, 512)),
        read_rate_a=r.choice((100_000, 1_000_000)) if slow else 0,
        read_rate_b=r.choice((100_000, 1_000_000)) if slow else 0,
        cc=r.choice(("", "cubic", "newreno")),
    )
