# SPDX-License-Identifier: Apache-2.0
"""Loss, reordering, duplicates, corruption; bounds are loose, they catch a recovery that waits for timeouts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.03])
@pytest.mark.parametrize("paths", [1, 3])
def test_loss(run: Run, paths: int, loss: float) -> None:
    out = run(paths, driver.path(100, 5, loss=loss), bytes_ab=8 * MIB, bytes_ba=MIB)
    assert out.retransmissions > 0
    assert out.transfer_s[0] < 60


def test_three_paths_beat_one_under_loss(run: Run) -> None:
    link = driver.path(333, 5, loss=0.01)
    one, three = run(1, link, bytes_ab=8 * MIB), run(3, link, bytes_ab=8 * MIB)
    assert three.goodput_mbit_s[0] > 2 * one.goodput_mbit_s[0]


def test_single_losses_are_repaired_without_a_timeout(run: Run) -> None:
    out = run(1, driver.path(100, 5, loss=0.0005), bytes_ab=32 * MIB)
    assert out.counters[0].get("tcp_rto", 0) <= 1
    assert out.counters[0]["tcp_fast_retrans"] > 0


def test_reordering_on_one_path(run: Run) -> None:
    link = msgspec.structs.replace(driver.path(100, 5), reorder=0.01, reorder_ns=3 * driver.MS)
    run(2, link, bytes_ab=4 * MIB, bytes_ba=MIB)


def test_jitter(run: Run) -> None:
    link = msgspec.structs.replace(driver.path(100, 5), jitter_ns=10 * driver.MS)
    run(3, link, bytes_ab=4 * MIB, bytes_ba=MIB)


def test_duplicates(run: Run) -> None:
    link = msgspec.structs.replace(driver.path(100, 5), duplicate=0.05)
    run(3, link, bytes_ab=4 * MIB, bytes_ba=MIB)


def test_corruption_is_seen_by_the_checksums(run: Run) -> None:
    link = msgspec.structs.replace(driver.path(100, 5), corrupt=0.005)
    out = run(2, link, bytes_ab=4 * MIB, bytes_ba=MIB, soft_csum=True)
    seen = out.counters[1]
    assert seen.get("rx_drop_tcp", 0) + seen.get("rx_drop_ip", 0) > 0


def test_everything_at_once(run: Run) -> None:
    link = driver.Link(
        rate_bps=20 * driver.MBIT,
        delay_ns=20 * driver.MS,
        queue_bytes=50_000,
        loss=0.02,
        duplicate=0.01,
        corrupt=0.005,
        reorder=0.02,
        reorder_ns=5 * driver.MS,
        jitter_ns=5 * driver.MS,
    )
    run(3, link, bytes_ab=2 * MIB, bytes_ba=2 * MIB, conns=2)


def test_shallow_queue(run: Run) -> None:
    link = driver.Link(rate_bps=100 * driver.MBIT, delay_ns=10 * driver.MS, queue_bytes=15_000)
    run(2, link, bytes_ab=8 * MIB)


@pytest.mark.parametrize("cc", ["cubic", "newreno"])
def test_congestion_controls(run: Run, cc: str) -> None:
    out = run(1, driver.path(100, 10), bytes_ab=32 * MIB, cc=cc)
    assert out.goodput_mbit_s[0] > 70
