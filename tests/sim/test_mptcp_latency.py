# SPDX-License-Identifier: Apache-2.0
"""Messages of 1000 bytes, one a millisecond, over three lossy paths of 5 ms: how long the unlucky ones take."""

from __future__ import annotations

import pytest

from sennit.tools import sim_driver as driver

COUNT = 20_000


def messages(loss: float, seed: int, paths: int = 3, **rest: object) -> driver.Outcome:
    link = driver.path(333, 5, loss=loss)
    out = driver.run(
        driver.symmetric(paths, link, seed=seed, bytes_ab=COUNT * 1000, msg_bytes=1000, msg_every_ns=driver.MS, **rest)
    )
    assert out.completed, out.failure
    assert out.messages == COUNT
    return out


@pytest.mark.parametrize(("loss", "p99", "p999"), [(0.01, 20, 27), (0.03, 30, 36)])
def test_tail_of_messages_under_loss(loss: float, p99: float, p999: float) -> None:
    runs = [messages(loss, seed) for seed in range(1, 6)]
    # One tail of all runs: a single one has twenty messages beyond its p99.9, which is one event.
    assert sum(out.latency(0.99) for out in runs) / len(runs) <= p99
    assert sum(out.latency(0.999) for out in runs) / len(runs) <= p999


@pytest.mark.parametrize("loss", [0.01, 0.03])
def test_extra_copies_are_bounded(loss: float) -> None:
    out = messages(loss, 1)
    sent = sum(p.payload[0] for p in out.paths)
    assert out.counters[0]["MPTCPRetrans"] * 1000 <= 0.05 * sent
    assert sent <= (1 + loss + 0.05) * COUNT * 1000


def test_no_extra_copies_without_loss() -> None:
    out = messages(0.0, 1)
    assert out.reinjections == 0
    assert out.latency(0.9999) < 7


def test_extra_copies_leave_a_full_line_alone() -> None:
    """Queues that fill up are no holes."""
    out = driver.run(driver.symmetric(3, driver.path(100, 5), bytes_ab=64 << 20))
    assert out.completed, out.failure
    sent = sum(p.payload[0] for p in out.paths)
    assert out.counters[0].get("MPTCPRetrans", 0) * 1448 <= 0.01 * sent
