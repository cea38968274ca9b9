# SPDX-License-Identifier: Apache-2.0
"""Several workers on a host: correct with no steering at all; with port blocks nothing that we open is misdirected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20


@pytest.mark.parametrize("steering", sorted(driver.STEERING))
@pytest.mark.parametrize(("a", "b"), [(2, 1), (1, 2), (2, 2), (4, 3)])
def test_wrong_queue_is_put_right(run: Run, a: int, b: int, steering: str) -> None:
    out = run(3, bytes_ab=MIB, bytes_ba=MIB, conns=6, workers_a=a, workers_b=b, steering=driver.STEERING[steering])
    assert out.mptcp_conns == 6


def test_misdirected_frames_are_counted(run: Run) -> None:
    assert run(3, bytes_ab=MIB, conns=4, workers_a=2, workers_b=2).misdirected > 0


def test_port_blocks_steer_what_the_client_opens(run: Run) -> None:
    out = run(3, bytes_ab=MIB, conns=4, workers_a=4, steering=driver.STEERING["blocks"])
    assert out.counters[0].get("misdirected", 0) == 0


def test_two_workers_under_loss(run: Run) -> None:
    run(3, driver.path(100, 5, loss=0.02), bytes_ab=MIB, bytes_ba=MIB, conns=4, workers_a=2, workers_b=2)


def test_two_workers_and_a_plain_tcp_server(run: Run) -> None:
    run(1, bytes_ab=MIB, conns=4, workers_a=2, workers_b=2, tcp_b=True)
