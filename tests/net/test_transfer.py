# SPDX-License-Identifier: Apache-2.0
"""The main job: bytes over one path and over three, in both roles and directions, with one worker and with two, over
IPv4, IPv6 and both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sennit.tools import demo_runs
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 16 << 20


@pytest.fixture(scope="module", params=["0", "0-1"], ids=["one-worker", "two-workers"])
def own_runtime(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with Runtime(lab, lcores=request.param) as runtime:
        yield runtime


def measure(lab: Lab, near: demo_runs.SennitNear, role: str, direction: str, paths: int) -> demo_runs.Run:
    """The bytes are right, and the peer's kernel has nothing to complain of."""
    before = lab.nstat(lab.peer)
    run = demo_runs.measure(lab, near, role, direction, paths, SIZE, lambda *_: None)
    after = lab.nstat(lab.peer)
    assert run.sha256_ok
    assert {name: after[name] - before[name] for name in demo_runs.BAD if after[name] != before[name]} == {}
    return run


@pytest.mark.parametrize("paths", [1, 3])
@pytest.mark.parametrize("direction", ["send", "receive"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_bytes_arrive_over_every_path_without_fallback(
    lab: Lab, own_runtime: Runtime, role: str, direction: str, paths: int
) -> None:
    run = measure(lab, demo_runs.SennitNear(lab, own_runtime), role, direction, paths)
    if paths == 1:
        assert run.share[0] > 0.99
    else:
        assert run.joins == paths - 1
        assert min(run.share) > 0.15


@pytest.mark.parametrize(("role", "direction"), [("client", "send"), ("server", "receive")])
def test_bytes_arrive_over_every_path_with_ipv6(lab: Lab, own_runtime: Runtime, role: str, direction: str) -> None:
    run = measure(lab, demo_runs.SennitNear(lab, own_runtime, "ipv6"), role, direction, 3)
    assert run.joins == 2
    assert min(run.share) > 0.15


@pytest.mark.parametrize("direction", ["send", "receive"])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(("first", "joins"), [("ipv4", "ipv6"), ("ipv6", "ipv4")])
@pytest.mark.parametrize("own_runtime", ["0"], ids=["one-worker"], indirect=True)
def test_subflows_of_the_other_family_join(
    lab: Lab, own_runtime: Runtime, role: str, direction: str, first: Family, joins: Family
) -> None:
    before = lab.nstat(lab.peer)
    run = measure(lab, demo_runs.SennitNear(lab, own_runtime, first, joins), role, direction, 3)
    after = lab.nstat(lab.peer)
    assert run.joins == 2
    assert min(run.share) > 0.05
    for counter in ("IpInReceives", "Ip6InReceives"):
        assert after[counter] - before[counter] > 500  # 16 MiB are more than 11000 segments
