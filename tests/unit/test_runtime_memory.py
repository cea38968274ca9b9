# SPDX-License-Identifier: Apache-2.0
"""What connections take, from the sizes of a worker's tables."""

from __future__ import annotations

from sennit.runtime import memory
from sennit.shm import messages

SIZES = {"connections": (100, 14), "subflows": (50, 4), "tcp": (30, 4), "flows": (10, 2), "segments": (1000, 4)}
TABLES = {
    name: messages.TableInfo(used=used, peak=9, count=10, item_size=item, index_size=index)
    for used, (name, (item, index)) in enumerate(SIZES.items())
}


def test_a_connection_is_its_own_record_and_those_of_one_subflow() -> None:
    made = memory.figures(TABLES)
    assert made.bytes_per_subflow == 54 + 34 + 12
    assert made.bytes_per_connection == 114 + 100


def test_tables_count_as_a_whole_and_by_what_is_used() -> None:
    made = memory.figures(TABLES)
    assert made.tables_bytes == 10 * (114 + 54 + 34 + 12 + 1004)
    assert made.tables_used_bytes == 1 * 54 + 2 * 34 + 3 * 12 + 4 * 1004


def test_workers_add_up_and_a_silent_one_takes_nothing() -> None:
    one, both = memory.figures(TABLES), memory.total([TABLES, {}, TABLES])
    assert (both.bytes_per_connection, both.tables_bytes) == (one.bytes_per_connection, 2 * one.tables_bytes)
    assert memory.total([]) == messages.Memory()
