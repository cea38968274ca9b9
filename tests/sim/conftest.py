# SPDX-License-Identifier: Apache-2.0
"""Scenarios run in virtual time: no privilege, no clock, one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]


@pytest.fixture
def run() -> Run:
    """Runs `paths` equal paths (or the scenario given) and insists that everything arrived and ended."""

    def go(paths: int | driver.Scenario = 1, link: driver.Link | None = None, **rest: Any) -> driver.Outcome:
        if isinstance(paths, driver.Scenario):
            scenario = paths
        else:
            scenario = driver.symmetric(paths, link or driver.path(100, 5), **rest)
        out = driver.run(scenario)
        assert out.completed, out.failure
        assert out.received == (scenario.bytes_ab * scenario.conns, scenario.bytes_ba * scenario.conns)
        return out

    return go
