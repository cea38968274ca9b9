# SPDX-License-Identifier: Apache-2.0
"""Paths that carry less than the ports: with routers that say so, and with routers that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20
LINK = driver.path(50, 5)
SHORT = 100_000  # bytes: sent before slow start fills the queue, so that nothing else is lost
FAMILIES = [pytest.param(0, id="ipv4"), pytest.param(1, id="ipv6")]


def narrow(mtus: tuple[int, ...], *, says: bool, **rest: Any) -> driver.Scenario:
    """One path for each; 0: as wide as the ports."""
    links = tuple(LINK if says else replace(LINK, mtu=mtu) for mtu in mtus)
    boxes = tuple(driver.Box(mtu=mtu) if says else driver.Box() for mtu in mtus)
    rest.setdefault("bytes_ab", 2 * MIB)
    rest.setdefault("bytes_ba", 2 * MIB)
    return driver.Scenario(ab=links, ba=links, box=boxes, **rest)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "mptcp"])
def test_router_that_says_so_costs_no_timeout(run: Run, family: int, tcp: bool) -> None:
    out = run(narrow((1300,), says=True, bytes_ab=SHORT, bytes_ba=SHORT, family=family, tcp_a=tcp, tcp_b=tcp))
    for counters in map(Counter, out.counters):
        assert counters["pmtu_lowered"] == 1
        assert counters["pmtu_black_hole"] == counters["tcp_rto"] == 0
        assert counters["icmp_error_no_flow"] == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "mptcp"])
@pytest.mark.parametrize("timers", ["datacenter", "linux"])
def test_router_that_says_nothing_costs_less_than_a_second(run: Run, family: int, tcp: bool, timers: str) -> None:
    wide = run(narrow((0,), says=False, family=family, tcp_a=tcp, tcp_b=tcp, profile=timers))
    out = run(narrow((1300,), says=False, family=family, tcp_a=tcp, tcp_b=tcp, profile=timers))
    for mine, theirs in zip(out.transfer_s, wide.transfer_s, strict=True):
        assert mine < theirs + 2  # both directions find out, one after the other
    for counters in map(Counter, out.counters):
        assert counters["pmtu_black_hole"] >= 1
        assert counters["pmtu_lowered"] == 0


@pytest.mark.parametrize("family", [*FAMILIES, pytest.param(2, id="mixed")])
@pytest.mark.parametrize("csum", [False, True])
@pytest.mark.parametrize("says", [True, False])
def test_paths_of_different_mtu_side_by_side(run: Run, family: int, csum: bool, says: bool) -> None:
    size = 24 * MIB
    out = run(narrow((0, 1280, 1400), says=says, family=family, csum_a=csum, csum_b=csum, bytes_ab=size, bytes_ba=0))
    assert out.mptcp_conns == 1
    assert min(out.share[0]) > 0.1
    counters = Counter(out.counters[0])
    assert counters["pmtu_lowered" if says else "pmtu_black_hole"] >= 2
    assert counters["conn_fallback"] == counters["DSSNoMatchTCP"] == counters["DataCsumErr"] == 0


def test_narrow_path_with_losses_and_middleboxes(run: Run) -> None:
    link = replace(LINK, loss=0.01, reorder=0.01, reorder_ns=2 * driver.MS)
    for says in (True, False):
        box = driver.Box(flags=driver.NAT | driver.SEQ, mtu=1300 if says else 0)
        way = link if says else replace(link, mtu=1300)
        run(driver.Scenario(ab=(way,) * 2, ba=(way,) * 2, box=(box,) * 2, bytes_ab=4 * MIB, bytes_ba=MIB, chunk=700))


def test_errors_of_many_workers_reach_their_flows(run: Run) -> None:
    out = run(narrow((1300, 1400), says=True, workers_a=3, workers_b=3, conns=6, bytes_ab=MIB, bytes_ba=MIB))
    assert sum(c.get("icmp_error_no_flow", 0) for c in out.counters) == 0
    assert sum(c.get("pmtu_black_hole", 0) for c in out.counters) == 0
    assert sum(c.get("pmtu_lowered", 0) for c in out.counters) >= 12
