# SPDX-License-Identifier: Apache-2.0
"""Random scenarios, and every one that ever failed for a reason of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sennit.tools import sim_driver as driver
from sennit.tools import sim_random

FIRST, COUNT, BATCH = 1000, 200, 20

# Kept as scenarios, not as seeds: what a seed means changes with the generator. The name says what was wrong.
FAILED = sorted((Path(__file__).parent / "failed").glob("*.json"))


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, BATCH))
def test_random_scenarios(first: int) -> None:
    for seed in range(first, first + BATCH):
        out = driver.run(sim_random.scenario(seed))
        assert out.completed, f"{out.failure} (again: sennit sim --random 1 --seed {seed})"


@pytest.mark.parametrize("file", FAILED, ids=lambda f: f.stem)
def test_scenario_that_failed_once(file: Path) -> None:
    out = driver.run(msgspec.json.decode(file.read_bytes(), type=driver.Scenario))
    assert out.completed, out.failure
