# SPDX-License-Identifier: Apache-2.0
"""Random scenarios, and every seed that ever failed. What a seed draws changes when the generator does: a scenario that
found a mistake of the engine is kept as a test of its own (test_found.py)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sennit.tools import sim, sim_fleet
from sennit.tools import sim_driver as driver

BATCH = 50


def batches(kind: str, first: int, count: int) -> list[tuple[str, int]]:
    return [(kind, seed) for seed in range(first, first + count, BATCH)]


# Kept as scenarios, not as seeds: what a seed means changes with the generator. The name says what was wrong.
FAILED = sorted((Path(__file__).parent / "failed").glob("*.json"))


@pytest.mark.parametrize(("kind", "first"), batches("mptcp", 1000, 200) + batches("tcp", 1000, 300))
def test_random_scenarios(kind: str, first: int) -> None:
    for seed in range(first, first + BATCH):
        run = sim_fleet.run(kind, seed)
        assert not run.failure, f"{run.failure} (again: {sim.repro(kind, seed)})"


@pytest.mark.parametrize("file", FAILED, ids=lambda f: f.stem)
def test_scenario_that_failed_once(file: Path) -> None:
    out = driver.run(msgspec.json.decode(file.read_bytes(), type=driver.Scenario))
    assert out.completed, out.failure
