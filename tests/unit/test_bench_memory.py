# SPDX-License-Identifier: Apache-2.0
"""A quiet connection takes the records that `sennit status` counts for it, and nothing else."""

from __future__ import annotations

import pytest

from sennit.runtime import memory
from sennit.tools import bench


@pytest.fixture(scope="module")
def use() -> bench.Use:
    return bench.measure_memory()


def test_status_shows_what_was_measured(use: bench.Use) -> None:
    shown = memory.figures(dict(use.tables))
    assert (shown.bytes_per_connection, shown.bytes_per_subflow) == (use.bytes_per_connection, use.bytes_per_subflow)


def test_tables_are_nearly_all_of_the_engine(use: bench.Use) -> None:
    assert memory.figures(dict(use.tables)).tables_bytes == pytest.approx(use.tables_bytes, rel=0.06)


def test_quiet_connections_hold_no_buffer_and_no_timer(use: bench.Use) -> None:
    assert (use.buffers, use.timers) == (0, 0)


def test_records_stay_small(use: bench.Use) -> None:
    assert use.bytes_per_subflow <= 1540
    assert use.bytes_per_connection <= 3362
