# SPDX-License-Identifier: Apache-2.0
"""Interoperability with the kernel's MPTCP: cells that have every pair of values of the matrix (tools/matrix_cells.py).
One alone: `./sennit matrix --cell NAME`; all that there are: `make matrix`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sennit.tools import matrix_cells
from sennit.tools.matrix_run import Bench

CELLS = matrix_cells.in_order(matrix_cells.pairwise(matrix_cells.every()))


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """SENNIT_MATRIX_CAPTURE: a folder for captures of every cell, which are judged then."""
    folder = os.environ.get("SENNIT_MATRIX_CAPTURE")
    with Bench(capture=Path(folder) if folder else None) as made:
        yield made


@pytest.mark.parametrize("name", [str(cell) for cell in CELLS])
def test_cell(bench: Bench, name: str) -> None:
    result = bench.run(matrix_cells.parse(name))
    assert not result.failures, "\n".join([*result.failures, f"again: ./sennit matrix --cell {name}"])
