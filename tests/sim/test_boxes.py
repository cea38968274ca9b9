# SPDX-License-Identifier: Apache-2.0
"""Middleboxes: what TCP and MPTCP have to live with, and what they do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

KIB, MIB = 1 << 10, 1 << 20
MPTCP, SACK, SACK_OK, MSS, WSCALE, TIMESTAMPS = 30, 5, 4, 2, 3, 8
LINK = driver.path(50, 5)


def boxed(box: driver.Box, paths: int = 1, link: driver.Link = LINK, **rest: Any) -> driver.Scenario:
    rest.setdefault("bytes_ab", MIB)
    rest.setdefault("bytes_ba", 100 * KIB)
    return driver.Scenario(ab=(link,) * paths, ba=(link,) * paths, box=(box,) * paths, **rest)


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("soft_csum", [True, False])
@pytest.mark.parametrize(
    "box",
    [
        driver.Box(flags=driver.NAT),
        driver.Box(flags=driver.SEQ),
        driver.Box(flags=driver.NAT | driver.SEQ),
        driver.Box(split=500),
        driver.Box(coalesce=1400, coalesce_ns=driver.MS),
        driver.Box(split=300, coalesce=1000, coalesce_ns=driver.MS, flags=driver.NAT | driver.SEQ),
    ],
    ids=["nat", "sequence", "nat+sequence", "split", "coalesce", "all"],
)
def test_transparent_boxes(run: Run, box: driver.Box, tcp: bool, soft_csum: bool) -> None:
    link = replace(LINK, loss=0.005)
    out = run(boxed(box, 1 if tcp else 2, link, tcp_a=tcp, tcp_b=tcp, soft_csum=soft_csum, chunk=700))
    assert out.mptcp_conns == (0 if tcp else 1)


def test_sack_blocks_of_another_sequence_space_do_no_harm(run: Run) -> None:
    link = replace(LINK, loss=0.02)
    run(boxed(driver.Box(flags=driver.SEQ | driver.NO_SACK), 1, link, tcp_a=True, tcp_b=True))


@pytest.mark.parametrize("strip", [(SACK_OK,), (WSCALE,), (TIMESTAMPS,), (MSS,), (SACK_OK, WSCALE, TIMESTAMPS, MSS)])
def test_syn_without_options(run: Run, strip: tuple[int, ...]) -> None:
    box = driver.Box(strip_syn=driver.kinds(*strip), strip_synack=driver.kinds(*strip))
    run(boxed(box, 1, replace(LINK, loss=0.01), tcp_a=True, tcp_b=True))


@pytest.mark.parametrize("where", ["strip_syn", "strip_synack"])
def test_stripped_handshake_means_plain_tcp(run: Run, where: str) -> None:
    out = run(boxed(replace(driver.Box(), **{where: driver.kinds(MPTCP)}), 2))
    assert (out.mptcp_conns, out.subflows_peak) == (0, 1)


def test_stripped_data_means_fallback(run: Run) -> None:
    out = run(boxed(driver.Box(strip_data=driver.kinds(MPTCP)), 1))
    assert out.counters[1].get("conn_fallback", 0) == 1


def test_joins_stripped_on_another_path_leave_one_subflow(run: Run) -> None:
    scenario = boxed(driver.Box(), 2)
    out = run(replace(scenario, box=(driver.Box(), driver.Box(strip_syn=driver.kinds(MPTCP)))))
    assert out.share[0][0] == 1.0


def test_mangled_sack_is_survived(run: Run) -> None:
    box = driver.Box(mangle_kinds=driver.kinds(SACK), mangle=0.5)
    run(boxed(box, 1, replace(LINK, loss=0.02), tcp_a=True, tcp_b=True))


def test_narrow_link_with_mss_clamp(run: Run) -> None:
    out = run(boxed(driver.Box(mss=1000), 1, replace(LINK, mtu=1040), tcp_a=True, tcp_b=True))
    assert out.paths[0].lost == (0, 0)


def test_rewritten_payload_is_found_by_the_dss_checksum(run: Run) -> None:
    """One byte, on a subflow that is not the only one: that subflow goes, the stream stays right."""
    scenario = boxed(driver.Box(), 2, csum_a=True, csum_b=True)
    out = run(replace(scenario, box=(driver.Box(), driver.Box(rewrite=0.05, rewrite_max=1))))
    assert out.counters[1].get("DataCsumErr", 0) + out.counters[0].get("DataCsumErr", 0) == 1


def test_rewritten_payload_of_plain_tcp_is_what_arrives() -> None:
    box = driver.Box(rewrite=0.05, rewrite_max=1)
    scenario = boxed(box, 1, tcp_a=True, tcp_b=True, soft_csum=True)
    assert "differs" in driver.run(scenario).failure
    out = driver.run(replace(scenario, allow=driver.ALLOW_BYTES))
    assert out.completed, out.failure


def test_nat_that_forgets_one_of_two_paths_does_not_stop_the_transfer(run: Run) -> None:
    event = (driver.Event(100 * driver.MS, 1, driver.REBIND),)
    run(boxed(driver.Box(flags=driver.NAT), 2, bytes_ab=4 * MIB, event=event))


def test_nat_that_forgets_the_only_path_ends_plain_tcp() -> None:
    event = (driver.Event(100 * driver.MS, 0, driver.REBIND),)
    scenario = boxed(driver.Box(flags=driver.NAT), 1, tcp_a=True, tcp_b=True, bytes_ab=4 * MIB, event=event)
    assert not driver.run(scenario).completed
    out = driver.run(replace(scenario, allow=driver.ALLOW_ERRORS))
    assert out.completed, out.failure
    assert out.errors + out.given_up >= 1
