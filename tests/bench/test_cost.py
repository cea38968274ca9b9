# SPDX-License-Identifier: Apache-2.0
"""Instruction counts stay what docs/performance.md says."""

from __future__ import annotations

import shutil

import pytest

from sennit.tools import bench


@pytest.fixture(scope="module")
def cost() -> bench.Cost:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    return bench.measure()


@pytest.mark.parametrize("name", list(bench.GOALS))
def test_cost_is_within_ten_percent_of_the_recorded_value(cost: bench.Cost, name: str) -> None:
    for batch, wanted in bench.recorded(bench.DOCUMENT.read_text())[name].items():
        got = cost.connection if name == "connection" else cost.batches[batch][name]
        assert abs(got - wanted) <= wanted / 10, f"{name} with {batch} in flight: {got}, recorded {wanted}"


@pytest.mark.parametrize("name", ["rx_segment", "rx_pair", "tx_segment", "ack"])
def test_cost_does_not_grow_with_what_is_in_flight(cost: bench.Cost, name: str) -> None:
    assert cost.batches["1024"][name] <= 1.1 * cost.batches["64"][name]
