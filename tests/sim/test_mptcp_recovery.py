# SPDX-License-Identifier: Apache-2.0
"""A path fails in mid-transfer: how long the receiver gets nothing, how soon the others carry what is left, how soon a
path that is back is used; and a receiver that forgets to say what it has."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver

MIB = 1 << 20
EVERY_MS = 0.5


class Point(NamedTuple):
    """One moment of the connection."""

    at: float  # seconds
    received: int
    srtt: float  # seconds, of the client's first subflow


class Watched(NamedTuple):
    outcome: driver.Outcome
    points: list[Point]

    def srtt(self, at: float) -> float:
        return [p.srtt for p in self.points if p.at < at][-1]

    def gap(self, begin: float, end: float) -> float:
        """The longest time without a byte that began, or went on, between two moments."""
        longest, last, seen = 0.0, 0.0, -1
        for p in self.points:
            if p.received != seen:
                if seen >= 0 and p.at >= begin and last <= end:
                    longest = max(longest, p.at - last)
                last, seen = p.at, p.received
        return longest

    def rate(self, begin: float, end: float) -> float:
        """Mbit/s of payload that arrived."""
        inside = [p for p in self.points if begin <= p.at <= end]
        return (inside[-1].received - inside[0].received) * 8 / (inside[-1].at - inside[0].at) / 1e6


Watch = Callable[[driver.Scenario], Watched]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    def go(scenario: driver.Scenario) -> Watched:
        trace = tmp_path / "trace.csv"
        out = driver.run(replace(scenario, trace=str(trace), trace_ns=round(EVERY_MS * driver.MS)))
        assert out.completed, out.failure
        with trace.open() as f:
            rows = [Point(float(r["time_s"]), int(r["received"]), float(r["srtt_us"]) / 1e6) for r in csv.DictReader(f)]
        return Watched(out, rows)

    return go


@pytest.mark.parametrize("timers", ["datacenter", "linux"])
@pytest.mark.parametrize("queue_ms", [2.0, 10.0])
@pytest.mark.parametrize("at_ms", [700, 1033])
@pytest.mark.parametrize("dead", [0, 1, 2])
def test_one_of_three_paths_is_black_holed(watch: Watch, dead: int, at_ms: int, queue_ms: float, timers: str) -> None:
    fails, back = at_ms / 1000, at_ms / 1000 + 1.5
    found = watch(
        driver.symmetric(
            3, driver.path(100, 5, queue_ms=queue_ms), bytes_ab=128 * MIB, profile=timers,
            event=(
                driver.Event(round(fails * driver.SECOND), dead, driver.DOWN),
                driver.Event(round(back * driver.SECOND), dead, driver.UP),
            ),
        )
    )  # fmt: skip
    assert found.gap(fails, fails + 1.4) <= 3 * found.srtt(fails) + 0.005
    left = found.rate(fails + 0.8, fails + 1.4)
    assert left >= 0.9 * 188
    assert found.rate(fails + 0.1, fails + 0.2) >= 0.9 * left
    # Back in use within a second: the three carry more than two can.
    assert found.rate(back + 1.0, back + 1.2) >= 0.9 * 282 > left


@pytest.mark.parametrize("timers", ["datacenter", "linux"])
def test_all_three_paths_lost_for_20_s(watch: Watch, timers: str) -> None:
    lost = tuple(driver.Event(300 * driver.MS, p, driver.DOWN) for p in range(3))
    back = tuple(driver.Event(20_300 * driver.MS, p, driver.UP) for p in range(3))
    found = watch(driver.symmetric(3, driver.path(100, 5), bytes_ab=32 * MIB, profile=timers, event=lost + back))
    assert found.outcome.transfer_s[0] < 20 + 1 + 1.2  # the outage, a second to notice its end, the transfer
    assert found.rate(21.3, 21.4) >= 0.9 * 188


def test_reinjection_around_a_dead_path_is_bounded(watch: Watch) -> None:
    dead = (driver.Event(700 * driver.MS, 1, driver.DOWN),)
    found = watch(driver.symmetric(3, driver.path(100, 5), bytes_ab=80 * MIB, event=dead))
    sent = sum(p.payload[0] for p in found.outcome.paths)
    assert sent <= 1.05 * 80 * MIB


def test_silence_of_some_round_trips_is_no_stale_subflow(watch: Watch) -> None:
    """Short timers of TCP expire often where one frame in thirty is lost; nobody must be given up for that."""
    link = driver.path(333, 5, loss=0.03)
    out = watch(driver.symmetric(3, link, bytes_ab=4_000_000, msg_bytes=1000, msg_every_ns=driver.MS)).outcome
    assert out.counters[0].get("tcp_rto", 0) > 0
    assert out.counters[0].get("SubflowStale", 0) == 0


def test_dead_path_becomes_stale_and_recovers(watch: Watch) -> None:
    events = (driver.Event(700 * driver.MS, 1, driver.DOWN), driver.Event(1500 * driver.MS, 1, driver.UP))
    out = watch(driver.symmetric(3, driver.path(100, 5), bytes_ab=80 * MIB, event=events)).outcome
    assert out.counters[0]["SubflowStale"] == out.counters[0]["SubflowRecover"] == 1


@pytest.mark.parametrize("paths", [1, 3])
@pytest.mark.parametrize("buffer", [MIB, 4 * MIB])
def test_receiver_that_forgets_its_data_ack_costs_two_round_trips(watch: Watch, paths: int, buffer: int) -> None:
    """The queue of one round trip in front of each path is full: a round trip is 20 ms."""
    plain = driver.symmetric(paths, driver.path(100, 5), bytes_ab=16 * MIB, rcvbuf=buffer)
    stalled = replace(plain, event=(driver.Event(300 * driver.MS, 0, driver.STALL, host=1),))
    calm, found = watch(plain), watch(stalled)
    assert found.gap(0.3, 9) > 0.015  # it did stall
    assert found.gap(0.3, 9) <= 0.040
    # What the window lost meanwhile is regained by TCP's rules.
    assert found.outcome.transfer_s[0] - calm.outcome.transfer_s[0] <= 0.045
