# SPDX-License-Identifier: Apache-2.0
"""The main job: bytes over one path and over three, in both roles and directions, with one worker and with two."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sennit.tools import demo_runs
from sennit.tools.lab import Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 16 << 20


@pytest.fixture(scope="module", params=["0", "0-1"], ids=["one-worker", "two-workers"])
def near(lab: Lab, request: pytest.FixtureRequest) -> Iterator[demo_runs.SennitNear]:
    with Runtime(lab, lcores=request.param) as runtime:
        yield demo_runs.SennitNear(lab, runtime)


@pytest.mark.parametrize("paths", [1, 3])
@pytest.mark.parametrize("direction", ["send", "receive"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_bytes_arrive_over_every_path_without_fallback(
    lab: Lab, near: demo_runs.SennitNear, role: str, direction: str, paths: int
) -> None:
    before = lab.nstat(lab.peer)
    run = demo_runs.measure(lab, near, role, direction, paths, SIZE, lambda *_: None)
    after = lab.nstat(lab.peer)
    assert run.sha256_ok
    assert {name: after[name] - before[name] for name in demo_runs.BAD if after[name] != before[name]} == {}
    if paths == 1:
        assert run.share[0] > 0.99
    else:
        assert run.joins == paths - 1
        assert min(run.share) > 0.15
