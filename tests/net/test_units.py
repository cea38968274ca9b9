# SPDX-License-Identifier: Apache-2.0
"""Large sends go through the engine as one unit with one mapping: the kernel takes the segments, and those that come
again after a loss, without a complaint; with checksums of the mappings and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sennit.tools import demo_runs
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 8 << 20


@contextmanager
def loss(lab: Lab, every: int) -> Iterator[None]:
    """The router drops every so manieth full segment on the way to the peer."""
    lab.run(lab.net, "nft", "add table inet drops")
    lab.run(lab.net, "nft", "add chain inet drops f { type filter hook forward priority 0; }")
    for i in lab.indices:
        rule = f"iifname rh{i} meta length > 1300 numgen inc mod {every} == 0 drop"
        lab.run(lab.net, "nft", f"add rule inet drops f {rule}")
    yield
    lab.run(lab.net, "nft", "delete table inet drops")


@pytest.fixture(scope="module", params=[(), ("--checksum",)], ids=["plain", "checksums"])
def own_runtime(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with Runtime(lab, extra=request.param) as runtime:
        yield runtime


@pytest.mark.parametrize("every", [0, 97], ids=["no-loss", "loss"])
@pytest.mark.parametrize(("role", "family"), [("client", "ipv4"), ("server", "ipv4"), ("client", "ipv6")])
def test_the_kernel_takes_units_as_it_takes_segments(
    lab: Lab, own_runtime: Runtime, role: str, family: Family, every: int
) -> None:
    before, ours = lab.nstat(lab.peer), own_runtime.status().workers[0].counters
    near = demo_runs.SennitNear(lab, own_runtime, family)
    if every:
        with loss(lab, every):
            run = demo_runs.measure(lab, near, role, "send", 2, SIZE, lambda *_: None)
    else:
        run = demo_runs.measure(lab, near, role, "send", 2, SIZE, lambda *_: None)
    after, now = lab.nstat(lab.peer), own_runtime.status().workers[0].counters
    assert run.sha256_ok
    assert {name: after[name] - before[name] for name in demo_runs.BAD if after[name] != before[name]} == {}
    segments = now["tcp_tx_segments"] - ours["tcp_tx_segments"]
    assert now["tx_units"] - ours["tx_units"] > 100
    assert segments > SIZE / 1448
    assert now["tx_packets"] - ours["tx_packets"] >= segments  # frames are counted, not units
    if every:
        assert now["tcp_retrans"] - ours["tcp_retrans"] > 20
