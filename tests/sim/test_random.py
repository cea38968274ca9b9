# SPDX-License-Identifier: Apache-2.0
"""Random scenarios, and every seed that ever failed."""

from __future__ import annotations

import pytest

from sennit.tools import sim_driver as driver
from sennit.tools import sim_random

FIRST, COUNT, BATCH = 1000, 200, 20

# Seeds that failed once; what was wrong stands behind each.
FAILED: tuple[int, ...] = ()


def check(seed: int) -> None:
    out = driver.run(sim_random.scenario(seed))
    assert out.completed, f"{out.failure} (again: sennit sim --random 1 --seed {seed})"


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, BATCH))
def test_random_scenarios(first: int) -> None:
    for seed in range(first, first + BATCH):
        check(seed)


@pytest.mark.parametrize("seed", FAILED)
def test_seed_that_failed_once(seed: int) -> None:
    check(seed)
