# SPDX-License-Identifier: Apache-2.0
"""What several paths are for: rate of all together, and life when one of them dies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20


def test_three_paths_carry_three_times_as_much(run: Run) -> None:
    link = driver.path(333, 5)
    one = run(1, link, bytes_ab=256 * MIB)
    three = run(3, link, bytes_ab=256 * MIB)
    assert three.goodput_mbit_s[0] >= 2.7 * one.goodput_mbit_s[0]
    assert min(three.share[0]) > 0.25
    assert three.subflows_peak == 3


@pytest.mark.parametrize("sched", ["minrtt", "roundrobin"])
def test_unequal_paths_add_up(run: Run, sched: str) -> None:
    links = (driver.path(100, 5), driver.path(30, 20))
    out = run(driver.Scenario(ab=links, ba=links, bytes_ab=16 * MIB, sched_a=driver.SCHEDULERS[sched]))
    assert out.goodput_mbit_s[0] > 100


def test_shared_link_is_not_exceeded(run: Run) -> None:
    out = run(3, driver.path(100, 5), bytes_ab=16 * MIB, shared=True)
    assert 80 < out.goodput_mbit_s[0] < 100


@pytest.mark.parametrize("pm", [driver.SUBFLOW, driver.FULLMESH | driver.SUBFLOW, driver.SUBFLOW | driver.SIGNAL])
def test_subflow_endpoints_of_the_client(run: Run, pm: int) -> None:
    out = run(3, bytes_ab=8 * MIB, pm=pm)
    assert out.subflows_peak >= 3
    assert min(out.share[0]) > 0.1


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_limits_bound_the_subflows(run: Run, limit: int) -> None:
    out = run(4, bytes_ab=4 * MIB, subflows=limit)
    assert out.subflows_peak == 1 + limit


def test_accepting_no_address_means_one_subflow(run: Run) -> None:
    assert run(3, bytes_ab=MIB, add_addr_accepted=0).subflows_peak == 1


def test_eight_paths(run: Run) -> None:
    out = run(8, driver.path(50, 5), bytes_ab=32 * MIB)
    assert out.subflows_peak == 8
    assert out.goodput_mbit_s[0] > 6 * 50


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_path_that_dies_does_not_stop_the_transfer(run: Run, dead: int) -> None:
    events = (driver.Event(300 * driver.MS, dead, driver.DOWN),)
    out = run(3, driver.path(100, 5), bytes_ab=16 * MIB, event=events, bound_ns=60 * driver.SECOND)
    assert out.transfer_s[0] < 6


def test_path_that_dies_while_both_send(run: Run) -> None:
    events = (driver.Event(300 * driver.MS, 1, driver.DOWN),)
    run(2, driver.path(100, 5), bytes_ab=8 * MIB, bytes_ba=8 * MIB, event=events, bound_ns=60 * driver.SECOND)


def test_path_that_comes_back_is_used_again(run: Run) -> None:
    events = (
        driver.Event(300 * driver.MS, 1, driver.DOWN),
        driver.Event(1300 * driver.MS, 1, driver.UP),
    )
    out = run(2, driver.path(100, 5), bytes_ab=64 * MIB, event=events)
    assert out.share[0][1] > 0.25


def test_all_paths_down_for_a_while(run: Run) -> None:
    down = tuple(driver.Event(200 * driver.MS, p, driver.DOWN) for p in range(2))
    up = tuple(driver.Event(3200 * driver.MS, p, driver.UP) for p in range(2))
    out = run(2, driver.path(100, 5), bytes_ab=8 * MIB, event=down + up)
    assert out.transfer_s[0] < 12


def test_shared_link_has_the_rate_of_the_first(run: Run) -> None:
    """Also where a member of it would be slower by itself: a frame of that one must not take the wire for longer."""
    links = (driver.path(100, 5), driver.path(1, 5), driver.path(300, 5))
    out = run(driver.Scenario(ab=links, ba=links, bytes_ab=16 * MIB, shared=True))
    assert 80 < out.goodput_mbit_s[0] < 100


def test_three_paths_are_no_slower_than_one_for_a_short_transfer(run: Run) -> None:
    link = driver.path(333, 5)
    one, three = run(1, link, bytes_ab=8 * MIB), run(3, link, bytes_ab=8 * MIB)
    assert three.goodput_mbit_s[0] >= 1.3 * one.goodput_mbit_s[0]
