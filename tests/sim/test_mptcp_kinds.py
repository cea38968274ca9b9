# SPDX-License-Identifier: Apache-2.0
"""What can befall several paths, one line each: paths that go, come back, flap, are kept in reserve, change address,
are unlike each other. Every line has a time by which all bytes have arrived, close above what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver

MIB = 1 << 20
SUBFLOW, FULLMESH, BACKUP, SIGNAL = driver.SUBFLOW, driver.FULLMESH, driver.BACKUP, driver.SIGNAL
GOOD = driver.path(100, 5)
MPTCP = driver.kinds(30)


def down(path: int, at_ms: float, for_ms: float = 0) -> tuple[driver.Event, ...]:
    events = [driver.Event(round(at_ms * driver.MS), path, driver.DOWN)]
    if for_ms:
        events.append(driver.Event(round((at_ms + for_ms) * driver.MS), path, driver.UP))
    return tuple(events)


def order(*some: tuple[driver.Event, ...]) -> tuple[driver.Event, ...]:
    return tuple(sorted((e for group in some for e in group), key=lambda e: e.at_ns))


def rebind(path: int, at_ms: float) -> tuple[driver.Event, ...]:
    return (driver.Event(round(at_ms * driver.MS), path, driver.REBIND),)


class Kind(NamedTuple):
    """One line of the table."""

    name: str
    bound_s: float
    links: tuple[driver.Link, ...]
    rest: dict[str, Any]
    back: tuple[driver.Link, ...] = ()
    check: Callable[[driver.Outcome], bool] = lambda out: True

    def scenario(self) -> driver.Scenario:
        rest: dict[str, Any] = {"bytes_ab": 8 * MIB, **self.rest}
        return driver.Scenario(ab=self.links, ba=self.back or self.links, **rest)


def kind(
    name: str,
    bound_s: float,
    *links: driver.Link,
    back: tuple[driver.Link, ...] = (),
    check: Callable[[driver.Outcome], bool] = lambda out: True,
    **rest: Any,
) -> Kind:
    return Kind(name, bound_s, links, rest, back, check)


def used(*paths: int, least: float = 0.02) -> Callable[[driver.Outcome], bool]:
    """These paths carried a share of the bytes worth the name."""
    return lambda out: all(out.share[0][p] >= least for p in paths)


def unused(*paths: int) -> Callable[[driver.Outcome], bool]:
    return lambda out: all(out.paths[p].payload[0] == 0 for p in paths)


LOSSY = driver.path(100, 5, loss=0.01)
BURSTS = replace(GOOD, burst_enter=0.002, burst_leave=0.2, burst_loss=0.8)
NATTED = driver.Box(flags=driver.NAT)
FLAPPING = order(*(down(1, 300 + 600 * i, 300) for i in range(5)))
IN_TURN = order(*(down(i % 3, 300 + 400 * i, 400) for i in range(6)))
SATELLITE, FAR = driver.path(20, 300), driver.path(100, 100)
ALL_FOR_3S = order(*(down(p, 300, 3000) for p in range(2)))

TABLE = (
    kind("two_paths", 0.51, GOOD, GOOD, check=used(0, 1)),
    kind("three_paths", 0.39, GOOD, GOOD, GOOD, check=used(0, 1, 2)),
    kind("eight_paths", 0.51, *(driver.path(30, 5),) * 8, check=used(*range(8))),
    kind("subflow_endpoints", 0.39, GOOD, GOOD, GOOD, pm=SUBFLOW, check=used(0, 1, 2)),
    kind("fullmesh", 0.39, GOOD, GOOD, GOOD, pm=SUBFLOW | FULLMESH | SIGNAL, check=used(0, 1, 2)),
    kind("both_directions", 0.69, GOOD, GOOD, bytes_ba=8 * MIB),
    kind("several_connections", 0.67, GOOD, GOOD, conns=5, bytes_ab=2 * MIB),
    kind("drop_first_path", 0.49, GOOD, GOOD, GOOD, event=down(0, 150), check=used(1, 2)),
    kind("drop_second_path", 0.49, GOOD, GOOD, GOOD, event=down(1, 150), check=used(0, 2)),
    kind("drop_third_path", 0.5, GOOD, GOOD, GOOD, event=down(2, 150), check=used(0, 1)),
    kind("drop_two_of_three", 0.67, GOOD, GOOD, GOOD, event=order(down(0, 150), down(2, 250)), check=used(1)),
    kind("drop_while_both_send", 1.14, GOOD, GOOD, bytes_ba=8 * MIB, event=down(1, 200)),
    kind("drop_first_path_right_after_the_handshake", 0.93, GOOD, GOOD, event=down(0, 62), check=used(1)),
    kind("drop_first_path_with_many_connections", 1.09, GOOD, GOOD, conns=5, bytes_ab=2 * MIB, event=down(0, 150)),
    kind("drop_path_before_the_close", 0.17, GOOD, GOOD, bytes_ab=MIB, closing=1, event=down(1, 110)),
    kind("break_first_path", 2.19, GOOD, GOOD, event=down(0, 150, 500), bytes_ab=32 * MIB,
         check=used(0, 1, least=0.3)),
    kind("break_second_path", 2.25, GOOD, GOOD, event=down(1, 150, 500), bytes_ab=32 * MIB,
         check=used(0, 1, least=0.3)),
    kind("break_both_paths", 4.07, GOOD, GOOD, event=ALL_FOR_3S),
    kind("break_first_then_second", 2.25, GOOD, GOOD, bytes_ab=24 * MIB,
         event=order(down(0, 200, 700), down(1, 900, 700))),
    kind("break_one_direction_of_acknowledgments", 0.51, GOOD, GOOD, back=(GOOD, replace(GOOD, loss=0.3))),
    kind("all_three_lost_for_20_s", 24, GOOD, GOOD, GOOD, event=order(*(down(p, 200, 20_000) for p in range(3)))),
    kind("flapping_path", 2.48, GOOD, GOOD, bytes_ab=32 * MIB, event=FLAPPING),
    kind("paths_that_go_in_turn", 2.88, GOOD, GOOD, GOOD, bytes_ab=48 * MIB, event=IN_TURN),
    kind("short_outages_everywhere", 2.31, *(replace(GOOD, up_ns=driver.SECOND, down_ns=50 * driver.MS),) * 2,
         bytes_ab=24 * MIB),
    kind("backup_stands_by", 0.9, GOOD, GOOD, pm=SUBFLOW | BACKUP, check=unused(1)),
    kind("backup_takes_over", 0.97, GOOD, GOOD, pm=SUBFLOW | BACKUP, event=down(0, 200), check=used(1)),
    kind("backup_returns_to_stand_by", 3.48, GOOD, GOOD, pm=SUBFLOW | BACKUP, bytes_ab=32 * MIB,
         event=down(0, 200, 500),
         check=lambda out: out.share[0][1] < 0.5 < out.share[0][0]),
    kind("two_backups", 0.8, GOOD, GOOD, GOOD, pm=SUBFLOW | BACKUP, event=order(down(0, 200), down(1, 400)),
         check=used(2)),
    kind("path_that_is_late", 1.93, GOOD, GOOD, bytes_ab=24 * MIB, event=order(down(1, 0, 600)), check=used(1)),
    kind("path_renewed_by_another", 1.7, GOOD, GOOD, GOOD, bytes_ab=24 * MIB,
         event=order(down(2, 0, 500), down(1, 500)),
         check=used(0, 1, 2)),
    kind("path_that_never_works", 0.9, GOOD, GOOD, event=down(1, 0)),
    kind("joins_are_refused_by_a_box", 0.9, GOOD, GOOD, box=(driver.Box(), driver.Box(strip_syn=MPTCP))),
    kind("join_answers_lose_their_option", 0.9, GOOD, GOOD, box=(driver.Box(), driver.Box(strip_synack=MPTCP))),
    kind("data_loses_its_options_on_one_path", 0.9, GOOD, GOOD, box=(driver.Box(), driver.Box(strip_data=MPTCP))),
    kind("nat_on_both_paths", 0.51, GOOD, GOOD, box=(NATTED, NATTED), pm=SUBFLOW, check=used(0, 1)),
    kind("nat_forgets_second_path", 3.83, GOOD, GOOD, box=(NATTED, NATTED), pm=SUBFLOW, bytes_ab=72 * MIB,
         event=rebind(1, 2300), check=used(0, 1, least=0.35)),
    kind("nat_forgets_first_path", 3.83, GOOD, GOOD, box=(NATTED, NATTED), pm=SUBFLOW, bytes_ab=72 * MIB,
         event=rebind(0, 2300), check=used(0, 1, least=0.35)),
    kind("numbers_shifted_on_one_path", 0.51, GOOD, GOOD, box=(driver.Box(), driver.Box(flags=driver.SEQ))),
    kind("unequal_rates", 0.89, driver.path(100, 5), driver.path(10, 5)),
    kind("unequal_delays", 1.8, GOOD, FAR, bytes_ab=16 * MIB),
    kind("fast_and_far_slow_and_near", 1.76, driver.path(200, 50), driver.path(20, 5), bytes_ab=16 * MIB),
    kind("satellite_beside_a_wire", 8.26, SATELLITE, driver.path(5, 20), bytes_ab=4 * MIB),
    kind("thin_return_paths", 1.07, GOOD, GOOD, back=(driver.path(1, 5), driver.path(1, 5))),
    kind("loss_on_one_path", 0.76, GOOD, LOSSY, check=used(0)),
    kind("loss_on_both_paths", 2.27, LOSSY, LOSSY),
    kind("bursts_of_loss_on_one_path", 0.55, GOOD, BURSTS),
    kind("jitter_on_one_path", 0.59, GOOD, replace(GOOD, jitter_ns=10 * driver.MS)),
    kind("reordering_on_one_path", 0.53, GOOD, replace(GOOD, reorder=0.05, reorder_ns=3 * driver.MS)),
    kind("duplicates_on_one_path", 0.52, GOOD, replace(GOOD, duplicate=0.05)),
    kind("corruption_on_one_path", 0.76, GOOD, replace(GOOD, corrupt=0.01), csum_a=True, csum_b=True),
    kind("narrow_path", 0.52, GOOD, replace(GOOD, mtu=1280), mtu=1280),
    kind("one_wire_for_all", 0.91, GOOD, GOOD, GOOD, shared=True),
    kind("small_receive_buffer", 0.5, GOOD, FAR, rcvbuf=262_144, bytes_ab=4 * MIB),
    kind("slow_reader_and_a_dead_path", 1.87, GOOD, GOOD, read_rate_b=4_000_000, event=down(1, 200)),
    kind("messages_and_a_dead_path", 3.5, GOOD, GOOD, event=down(0, 1000), check=lambda out: out.latency_max_ms < 100,
         msg_bytes=1000, msg_every_ns=driver.MS, bytes_ab=3_000_000),
    kind("round_robin_and_a_dead_path", 0.49, GOOD, GOOD, GOOD, sched_a=2, event=down(1, 150)),
)  # fmt: skip


@pytest.mark.parametrize("what", TABLE, ids=lambda k: k.name)
def test_all_bytes_arrive_in_time(what: Kind) -> None:
    scenario = what.scenario()
    out = driver.run(scenario)
    assert out.completed, out.failure
    assert out.received == (scenario.bytes_ab * scenario.conns, scenario.bytes_ba * scenario.conns)
    assert max(out.transfer_s) <= what.bound_s
    assert what.check(out), (out.share, out.latency_max_ms)
