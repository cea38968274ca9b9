# SPDX-License-Identifier: Apache-2.0
"""What connections take of a worker's tables, packet buffers and bytes in flight apart. Pure: the same tables give the
same figures. tests/bench/memory.c measures that a quiet connection takes these records and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sennit.shm import messages

SUBFLOW = ("subflows", "tcp", "flows")  # tables of which a quiet subflow takes one record each
CONNECTION = ("connections", *SUBFLOW)  # with its first subflow


def record(table: messages.TableInfo) -> int:
    """Bytes of one record and of what the table needs to find it."""
    return table.item_size + table.index_size


def figures(tables: Mapping[str, messages.TableInfo]) -> messages.Memory:
    """Of one worker's tables; all zero if they are not known."""
    connection, subflow = (
        sum(record(tables[name]) for name in names) if all(name in tables for name in names) else 0
        for names in (CONNECTION, SUBFLOW)
    )
    return messages.Memory(
        bytes_per_connection=connection,
        bytes_per_subflow=subflow,
        tables_bytes=sum(t.count * record(t) for t in tables.values()),
        tables_used_bytes=sum(t.used * record(t) for t in tables.values()),
    )


def total(workers: Iterable[Mapping[str, messages.TableInfo]]) -> messages.Memory:
    """Of all workers: records are of one size everywhere, tables add up."""
    all_of_them = [figures(tables) for tables in workers]
    return messages.Memory(
        bytes_per_connection=max((m.bytes_per_connection for m in all_of_them), default=0),
        bytes_per_subflow=max((m.bytes_per_subflow for m in all_of_them), default=0),
        tables_bytes=sum(m.tables_bytes for m in all_of_them),
        tables_used_bytes=sum(m.tables_used_bytes for m in all_of_them),
    )
