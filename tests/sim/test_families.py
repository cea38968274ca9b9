# SPDX-License-Identifier: Apache-2.0
"""IPv6, and paths of both families in one connection: joins go across."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver
from sennit.tools import sim_random

Run = Callable[..., driver.Outcome]

MIB = 1 << 20
IPV4, IPV6, MIXED = 0, 1, 2
FULL = driver.SUBFLOW | driver.FULLMESH | driver.SIGNAL

both = pytest.mark.parametrize("family", [IPV6, MIXED], ids=["ipv6", "mixed"])


@both
@pytest.mark.parametrize("pm", [driver.SIGNAL, FULL], ids=["signal", "fullmesh"])
def test_every_path_is_joined_and_used(run: Run, pm: int, family: int) -> None:
    out = run(3, bytes_ab=8 * MIB, bytes_ba=MIB, pm=pm, family=family)
    assert out.mptcp_conns == 1
    assert out.subflows_peak >= 3
    assert min(out.share[0]) > 0.1
    assert out.counters[0]["nd_tx"] > 0
    assert bool(out.counters[0].get("arp_tx")) == (family == MIXED)


def test_subflow_endpoints_join_what_is_of_their_family(run: Run) -> None:
    """Without an announced address of IPv6 nothing can be reached from the second path."""
    assert run(3, bytes_ab=4 * MIB, pm=driver.SUBFLOW, family=IPV6).subflows_peak == 3
    out = run(3, bytes_ab=4 * MIB, pm=driver.SUBFLOW, family=MIXED)
    assert out.subflows_peak == 2
    assert out.share[0][1] == 0


@both
@pytest.mark.parametrize("tcp", [False, True], ids=["mptcp", "tcp"])
def test_loss_reordering_duplicates_and_corruption(run: Run, tcp: bool, family: int) -> None:
    link = replace(
        driver.path(50, 10, loss=0.01),
        duplicate=0.01,
        corrupt=0.005,
        reorder=0.02,
        reorder_ns=5 * driver.MS,
        jitter_ns=5 * driver.MS,
    )
    out = run(1 if tcp and family == IPV6 else 3, link, bytes_ab=2 * MIB, bytes_ba=MIB, tcp_a=tcp, family=family)
    assert out.retransmissions > 0
    # No checksum of the IP header: what it would have seen, that of TCP sees.
    assert out.counters[1]["rx_drop_tcp"] > 0


@pytest.mark.parametrize("mtu", [1280, 1500, 2000])
def test_segments_fill_the_mtu(run: Run, mtu: int) -> None:
    old, new = (run(1, bytes_ab=MIB, mtu=mtu, family=f) for f in (IPV4, IPV6))
    # Segments are full: the header is 20 bytes longer.
    assert old.paths[0].frames[0] <= new.paths[0].frames[0] < 1.03 * old.paths[0].frames[0]


@pytest.mark.parametrize(
    "scenario",
    [
        driver.symmetric(1, driver.Link(), bytes_ab=1, mtu=1279, family=IPV6),
        driver.symmetric(2, driver.Link(), bytes_ab=1, box=(driver.Box(), driver.Box(flags=driver.NAT)), family=MIXED),
        driver.symmetric(1, driver.Link(), bytes_ab=1, family=3),
    ],
    ids=["mtu", "nat", "family"],
)
def test_what_ipv6_does_not_have_is_refused(scenario: driver.Scenario) -> None:
    assert driver.run(scenario).failure == "the configuration is not valid"


@both
@pytest.mark.parametrize("soft_csum", [False, True])
@pytest.mark.parametrize(
    "box",
    [
        driver.Box(flags=driver.SEQ),
        driver.Box(split=500),
        driver.Box(split=300, coalesce=1000, coalesce_ns=driver.MS, flags=driver.SEQ),
    ],
    ids=["sequence", "split", "all"],
)
def test_transparent_boxes(run: Run, box: driver.Box, soft_csum: bool, family: int) -> None:
    link = driver.path(50, 5, loss=0.005)
    boxes = (driver.Box(), box) if family == MIXED else (box, box)
    out = run(2, link, bytes_ab=MIB, bytes_ba=100_000, box=boxes, soft_csum=soft_csum, chunk=700, family=family)
    assert out.mptcp_conns == 1
    assert "rx_drop_tcp" not in out.counters[1]
    assert bool(out.faults) == bool(box.split)


@pytest.mark.parametrize("soft_csum", [False, True])
def test_coalescing_box(run: Run, soft_csum: bool) -> None:
    box = driver.Box(coalesce=1400, coalesce_ns=driver.MS)
    messages = {"bytes_ab": 500_000, "msg_bytes": 500, "msg_every_ns": 200_000}
    out = run(1, box=(box,), tcp_a=True, soft_csum=soft_csum, family=IPV6, **messages)
    assert out.faults > 300
    assert "rx_drop_tcp" not in out.counters[1]


def test_congestion_marks(run: Run) -> None:
    link = driver.Link(rate_bps=50 * driver.MBIT, delay_ns=5 * driver.MS, queue_bytes=300_000, ecn_bytes=30_000)
    out = run(1, link, bytes_ab=8 * MIB, tcp_a=True, tcp_b=True, ecn=3, cc="dctcp", family=IPV6)
    path = out.paths[0]
    assert path.marked[0] > 0
    assert path.overflow == (0, 0)
    assert out.goodput_mbit_s[0] > 40


@both
@pytest.mark.parametrize("dead", [0, 1])
def test_path_that_dies_does_not_stop_the_transfer(run: Run, dead: int, family: int) -> None:
    events = (driver.Event(300 * driver.MS, dead, driver.DOWN),)
    out = run(2, driver.path(100, 5), bytes_ab=8 * MIB, event=events, bound_ns=60 * driver.SECOND, family=family)
    assert out.transfer_s[0] < 6


def test_neighbours_are_asked_again_when_the_answers_are_lost(run: Run) -> None:
    events = (driver.Event(0, 0, driver.DOWN), driver.Event(1500 * driver.MS, 0, driver.UP))
    out = run(1, bytes_ab=MIB, event=events, family=IPV6)
    assert out.counters[0]["nd_tx"] >= 3


@both
@pytest.mark.parametrize("steering", sorted(driver.STEERING))
def test_several_workers(run: Run, steering: str, family: int) -> None:
    where = driver.STEERING[steering]
    out = run(3, bytes_ab=MIB, conns=4, workers_a=2, workers_b=2, steering=where, family=family)
    assert out.mptcp_conns == 4
    assert out.subflows_peak >= 3 * 4


def test_the_family_of_a_seed_changes_nothing_else_of_it() -> None:
    seen = set()
    for kind, draw in sim_random.KINDS.items():
        for seed in range(60):
            before, after = draw(seed), sim_random.scenario(seed, kind)
            seen.add(after.family)
            assert replace(after, family=IPV4, box=before.box) == before
            for i, (old, new) in enumerate(zip(before.box, after.box, strict=True)):
                if after.family == IPV6 or (after.family == MIXED and i % 2):
                    assert not new.flags & driver.NAT
                else:
                    assert new == old
    assert seen == {IPV4, IPV6, MIXED}
