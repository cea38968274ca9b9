# SPDX-License-Identifier: Apache-2.0
"""A side that speaks plain TCP only gets plain TCP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

SIDES = [(True, False), (False, True), (True, True)]


@pytest.mark.parametrize(("client", "server"), SIDES)
@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_plain_tcp_on_either_side(run: Run, client: bool, server: bool, size: int) -> None:
    out = run(3, bytes_ab=size, bytes_ba=size // 3, tcp_a=client, tcp_b=server)
    assert (out.mptcp_conns, out.tcp_conns) == (0, 1)
    assert out.subflows_peak == 1


@pytest.mark.parametrize(("client", "server"), SIDES)
@pytest.mark.parametrize("closing", sorted(driver.CLOSING))
def test_plain_tcp_under_loss(run: Run, client: bool, server: bool, closing: str) -> None:
    link = driver.path(100, 5, loss=0.02)
    run(2, link, bytes_ab=500_000, bytes_ba=200_000, tcp_a=client, tcp_b=server, closing=driver.CLOSING[closing])


def test_plain_tcp_slow_reader(run: Run) -> None:
    run(1, bytes_ab=500_000, tcp_b=True, read_rate_b=200_000, rcvbuf=65536, rx_slots=8)
