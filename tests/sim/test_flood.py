# SPDX-License-Identifier: Apache-2.0
"""A flood of SYNs on the way to the server, while clients come and go (RFC 4987)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

LINK = driver.path(1000, 5)
CONNS = 16


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("workers", [1, 2])
def test_clients_connect_and_stay_mptcp_under_a_flood(run: Run, family: str, workers: int) -> None:
    flood = driver.Event(100 * driver.MS, 0, driver.FLOOD, for_ns=2 * driver.SECOND, arg=10_000)
    out = run(
        driver.Scenario(
            ab=(LINK, LINK), ba=(LINK, LINK), bytes_ab=50_000, bytes_ba=50_000, conns=CONNS, event=(flood,),
            start_gap_ns=120 * driver.MS, family=driver.FAMILIES[family], workers_b=workers,
        )
    )  # fmt: skip
    server = out.counters[1]
    assert out.mptcp_conns == CONNS
    assert server["SyncookiesSent"] > 5_000
    assert server["SyncookiesRecv"] >= CONNS // 2
    assert server.get("tcp_syn_evicted", 0) == 0
    # Addresses of the link that nobody has are asked for, but not by every SYN.
    assert server["tcp_cookie_strange"] > 5_000
    assert server.get("arp_tx", 0) + server.get("nd_tx", 0) < 3_000


def test_a_flood_before_the_first_syn_or_at_no_rate_is_none(run: Run) -> None:
    early = driver.Event(0, 0, driver.FLOOD, for_ns=driver.SECOND, arg=10_000)
    out = run(driver.Scenario(ab=(LINK,), ba=(LINK,), bytes_ab=1000, event=(early,), start_gap_ns=driver.SECOND))
    assert out.counters[1].get("SyncookiesSent", 0) == 0
