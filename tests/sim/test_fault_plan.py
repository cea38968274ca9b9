# SPDX-License-Identifier: Apache-2.0
"""Faults beyond packets: memory, rings, clocks, applications, workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20
LINK = driver.path(50, 5)


def plan(*events: driver.Event, paths: int = 2, **rest: Any) -> driver.Scenario:
    rest.setdefault("bytes_ab", 4 * MIB)
    return driver.symmetric(paths, rest.pop("link", LINK), event=events, **rest)


def at(ms: float, what: int, lasts_ms: float = 0, host: int = 0, arg: int = 0) -> driver.Event:
    return driver.Event(round(ms * driver.MS), 0, what, round(lasts_ms * driver.MS), arg, host)


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("share", [0, 500])
@pytest.mark.parametrize("when", [0.0, 5.5, 100.0])
def test_empty_pool(run: Run, host: int, share: int, when: float, tcp: bool) -> None:
    run(plan(at(when, driver.POOL, 150, host, share), tcp_a=tcp, tcp_b=tcp, bytes_ba=MIB))


def test_forward_rings_full(run: Run) -> None:
    out = run(plan(at(50, driver.FORWARD, 200, 1), workers_b=3, paths=3, conns=4))
    assert out.counters[1]["forward_full"] > 0


@pytest.mark.parametrize("host", [0, 1])
def test_completion_ring_full_while_the_application_is_frozen(run: Run, host: int) -> None:
    out = run(plan(at(100, driver.FREEZE, 500, host), cq_entries=16, rx_slot_size=2048, bytes_ba=4 * MIB))
    assert out.counters[host].get("app_cq_full", 0) > 0


def test_application_stops_reading_and_goes_on(run: Run) -> None:
    out = run(plan(at(100, driver.NO_READ, 3000, 1), rcvbuf=65536, tcp_a=True, tcp_b=True, paths=1))
    assert out.transfer_s[0] > 3
    assert out.counters[0].get("tcp_probes", 0) > 0


@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("lasts_ms", [1, 50, 2000])
def test_worker_stops_for_a_while(run: Run, host: int, lasts_ms: float) -> None:
    run(plan(at(100, driver.STOP, lasts_ms, host), bytes_ba=MIB))


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("leap_ms", [1, 300, 30_000])
@pytest.mark.parametrize("host", [0, 1])
def test_clock_leaps(run: Run, host: int, leap_ms: int, tcp: bool) -> None:
    run(plan(at(100, driver.CLOCK, 0, host, leap_ms * driver.MS), tcp_a=tcp, tcp_b=tcp, bytes_ba=MIB))


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("when", [0.0, 4.0, 5.5, 11.0, 30.0, 100.0, 300.0])
def test_application_dies(host: int, when: float, tcp: bool) -> None:
    """Nothing of it stays: records, buffers, connections; the survivor's connections end."""
    scenario = plan(at(when, driver.DIE, 0, host), tcp_a=tcp, tcp_b=tcp, bytes_ba=MIB, conns=3)
    out = driver.run(scenario)
    assert out.completed, out.failure
    assert sum(out.received) < 3 * 5 * MIB


def test_application_dies_on_a_path_that_loses(run: Run) -> None:
    for seed in range(20):
        scenario = plan(at(100, driver.DIE, 0, seed % 2), link=replace(LINK, loss=0.05), conns=2, seed=seed)
        out = driver.run(scenario)
        assert out.completed, (seed, out.failure)


@pytest.mark.parametrize("loss", [0.3, 1.0])
def test_bursts_of_losses(run: Run, loss: float) -> None:
    link = replace(LINK, burst_enter=0.01, burst_leave=0.2, burst_loss=loss, burst_ns=100 * driver.MS)
    out = run(plan(link=link, paths=1, tcp_a=True, tcp_b=True))
    frames, lost = out.paths[0].frames[0], out.paths[0].lost[0]
    # 1 / 21 of the frames meet the bad state.
    assert 0.3 * loss / 21 < lost / frames < 2 * loss / 21


def test_outages_at_intervals(run: Run) -> None:
    link = replace(LINK, up_ns=300 * driver.MS, down_ns=30 * driver.MS)
    out = run(plan(link=link, paths=1, tcp_a=True, tcp_b=True))
    assert out.paths[0].lost[0] > 0


def test_frames_beyond_the_mtu_of_a_link_vanish() -> None:
    link = replace(LINK, mtu=1000)  # less than what is looked for when nobody says anything
    out = driver.run(plan(link=link, paths=1, tcp_a=True, tcp_b=True, stall_ns=20 * driver.SECOND))
    assert "no progress" in out.failure
