# SPDX-License-Identifier: Apache-2.0
"""Long segments are cut into IP fragments on the way: with loss, disorder, duplicates, errors and many workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20
FAMILY = pytest.mark.parametrize("family", [0, 1, 2], ids=["ipv4", "ipv6", "mixed"])
CLEAN = driver.path(50, 5)
ROUGH = driver.Link(
    rate_bps=50 * driver.MBIT, delay_ns=5 * driver.MS, queue_bytes=300_000, loss=0.002, duplicate=0.01, reorder=0.05,
    reorder_ns=2 * driver.MS, jitter_ns=100_000, corrupt=0.001,
)  # fmt: skip


@FAMILY
@pytest.mark.parametrize("soft_csum", [False, True])
@pytest.mark.parametrize("fragment", [64, 576, 1200])
def test_segments_are_put_together(run: Run, fragment: int, soft_csum: bool, family: int) -> None:
    boxes = (driver.Box(fragment=fragment),) * 2
    out = run(2, CLEAN, bytes_ab=MIB, bytes_ba=MIB // 4, box=boxes, soft_csum=soft_csum, family=family)
    assert out.mptcp_conns == 1
    for side in out.counters:
        assert side["frag_done"] > 500 * (MIB // 4) // MIB
        assert side.keys().isdisjoint({"frag_conflict", "frag_too_big", "rx_drop_frag", "rx_drop_tcp", "frag_nobuf"})


@FAMILY
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("steering", ["rss", "blocks", "first"])
def test_rough_paths_and_many_workers(run: Run, steering: str, seed: int, family: int) -> None:
    """What is missing, twice or bent costs the segment, never more; workers hand each other fragments and segments."""
    boxes = (driver.Box(fragment=512), driver.Box(fragment=1000), driver.Box())
    out = run(
        3, ROUGH, bytes_ab=MIB, bytes_ba=MIB // 4, box=boxes, conns=2, workers_a=2, workers_b=3, soft_csum=True,
        steering=driver.STEERING[steering], family=family, seed=seed,
    )  # fmt: skip
    receiver = out.counters[1]
    assert receiver["frag_forwarded"] > 100
    assert receiver["frag_done"] > 300
    assert receiver["frag_dup"] > 0
    assert "frag_conflict" not in receiver or receiver["frag_conflict"] < 20  # of bytes that were bent
