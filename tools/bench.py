# SPDX-License-Identifier: Apache-2.0
"""`sennit bench`: what the engine costs. `cost` counts instructions with callgrind; they repeat, so a test may hold
them against docs/performance.md. `memory` counts the records that a quiet connection takes."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sennit.runtime import memory as accounts
from sennit.shm import messages
from sennit.tools import units
from sennit.tools.errors import ToolError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
BATCHES = (1, 64, 1024)
HEADLINE = 64
GOALS = {"rx_segment": 350, "rx_pair": 600, "tx_segment": 600, "ack": 500, "connection": 3200}
WHAT = {
    "rx_segment": "received segment of 1448 bytes in bursts of 32, with its share of the ACK that answers eight",
    "rx_pair": "received segment of 1448 bytes in bursts of two, with half the ACK that answers them",
    "tx_segment": "sent segment of 1448 bytes, cut from the unit of a burst",
    "ack": "ACK received that frees two segments",
    "connection": "connection opened and closed, per side",
}


class Cost(msgspec.Struct, frozen=True):
    """Instructions with HEADLINE segments in flight, and by segments in flight."""

    rx_segment: int
    rx_pair: int
    tx_segment: int
    ack: int
    connection: int
    batches: dict[str, dict[str, int]]


def build_folder() -> Path:
    """Where the C part was compiled: the clone's build, or what $SENNIT_BUILD says."""
    folder = Path(os.environ.get("SENNIT_BUILD", ROOT / "build" / "py"))
    if not (folder / "build.ninja").exists():
        raise ToolError(f"no build in {folder}: `sennit bench` works in a clone, after `./sennit help` has compiled it")
    return folder


def _program(name: str) -> str:
    """Beside this Python, or in the path."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        raise ToolError(f"{name} is not installed: apt install {name}")
    return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in said if "error:" in line), said[-1])
        raise ToolError(f"{Path(command[0]).name} failed: {reason}")
    return done.stdout


def _dumps(text: str) -> tuple[tuple[str, int], float, int, int] | None:
    """(metric, batch), instructions, units, switches of one callgrind dump."""
    head = re.search(r"Trigger: Client Request: (\S+) (\d+) (\d+) (\d+)", text)
    total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if head is None or total is None:
        return None
    return (head[1], int(head[2])), float(total[1]), int(head[3]), int(head[4])


def measure() -> Cost:
    """Builds tests/bench/cost.c and runs it under callgrind."""
    folder, valgrind, ninja = build_folder(), _program("valgrind"), _program("ninja")
    _run(ninja, "-C", str(folder), "tests/bench/cost")
    found: dict[tuple[str, int], float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "cost"
        _run(
            valgrind, "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={out}",
            str(folder / "tests" / "bench" / "cost"),
        )  # fmt: skip
        dumps = [d for p in sorted(Path(scratch).iterdir()) if (d := _dumps(p.read_text())) is not None]
    switch = next(total / count for key, total, count, _ in dumps if key[0] == "empty")
    for key, total, count, switches in dumps:
        found[key] = (total - switch * switches) / count
    connection = round((found["opened", 1] + found["accepted", 1]) / 2)
    batches = {
        str(b): {name: round(found[name, b]) for name in GOALS if name != "connection"} for b in BATCHES
    }
    return Cost(**batches[str(HEADLINE)], connection=connection, batches=batches)


class TableUse(messages.TableInfo, frozen=True):
    """A table, and how many of its records one more quiet connection and one more subflow take."""

    per_connection: float = 0
    per_subflow: float = 0


class Use(msgspec.Struct, frozen=True):
    """Memory of one worker's engine with the default limits."""

    bytes_per_connection: int
    bytes_per_subflow: int
    tables_bytes: int
    timers: int  # armed while everything is quiet
    buffers: int  # held while everything is quiet
    tables: dict[str, TableUse]


def measure_memory() -> Use:
    """Builds tests/bench/memory.c and runs it."""
    folder = build_folder()
    _run(_program("ninja"), "-C", str(folder), "tests/bench/memory")
    tables: dict[str, TableUse] = {}
    for line in _run(str(folder / "tests" / "bench" / "memory")).splitlines():
        match line.split():
            case ["=", connection, subflow, region, timers, buffers]:
                return Use(int(connection), int(subflow), int(region), int(timers), int(buffers), tables)
            case [name, item, index, count, connection, subflow]:
                tables[name] = TableUse(
                    used=0, peak=0, count=int(count), item_size=int(item), index_size=int(index),
                    per_connection=float(connection), per_subflow=float(subflow),
                )  # fmt: skip
    raise ToolError("tests/bench/memory said nothing that can be read")


def memory_rows(use: Use) -> list[str]:
    """For people: what a record of each table takes, and how many a connection and a subflow have."""
    lines = [f"{'table':<12} {'record':>7} {'index':>6} {'records':>8} {'size':>8}   connection  further subflow"]
    for name, t in use.tables.items():
        size = units.size(t.count * accounts.record(t))
        lines.append(
            f"{name:<12} {t.item_size:>7} {t.index_size:>6} {t.count:>8} {size:>8}   {t.per_connection:>10g}"
            f"  {t.per_subflow:>15g}"
        )
    lines += [
        f"{'bytes':<47} {use.bytes_per_connection:>10}  {use.bytes_per_subflow:>15}",
        "",
        f"The tables of a worker take {units.size(use.tables_bytes)} from the start. Quiet connections hold "
        f"{use.buffers} packet buffers and {use.timers} timers;",
        "what is sent or received on them takes segments, chunks and buffers until it is acknowledged or read.",
    ]
    return lines


def rows(cost: Cost) -> list[str]:
    """The table of docs/performance.md."""
    lines = ["| metric | what | 1 in flight | 64 | 1024 | goal |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for name, goal in GOALS.items():
        values = [cost.batches[str(b)].get(name) for b in BATCHES]
        cells = [str(v) if v is not None else "" for v in values]
        if name == "connection":
            cells = [str(cost.connection), "", ""]
        lines.append(f"| {name} | {WHAT[name]} | {' | '.join(cells)} | {goal} |")
    return lines


def recorded(text: str) -> dict[str, dict[str, int]]:
    """Metric -> segments in flight -> instructions, from the table of docs/performance.md."""
    found: dict[str, dict[str, int]] = {}
    for name in GOALS:
        line = re.search(rf"^\| {name} \|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|", text, re.MULTILINE)
        if line is None:
            raise ToolError(f"{DOCUMENT.name} has no row for {name}: `sennit bench cost --record` writes it")
        cells = zip(BATCHES, line.groups(), strict=True)
        found[name] = {str(b): int(cell) for b, cell in cells if cell.strip()}
    return found


def record(cost: Cost) -> None:
    """Replaces the table between the marks."""
    text = DOCUMENT.read_text()
    table = "\n".join(rows(cost))
    new, count = re.subn(
        r"(<!-- cost: begin -->\n).*?(\n<!-- cost: end -->)", rf"\g<1>{table}\g<2>", text, count=1, flags=re.DOTALL
    )
    if not count:
        raise ToolError(f"{DOCUMENT} has no place for the table (<!-- cost: begin -->)")
    DOCUMENT.write_text(new)


def make_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="sennit bench", description="Measure what the engine costs.")
    sub = p.add_subparsers(dest="what", required=True, metavar="WHAT")
    cost = sub.add_parser("cost", help="instructions per segment, ACK and connection (needs valgrind)")
    cost.add_argument("--json", action="store_true", help="JSON instead of a table")
    cost.add_argument("--record", action="store_true", help="write the figures into docs/performance.md")
    memory = sub.add_parser("memory", help="bytes that quiet connections and subflows take")
    memory.add_argument("--json", action="store_true", help="JSON instead of a table")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """`sennit bench`."""
    o = make_parser().parse_args(argv)
    if o.what == "memory":
        use = measure_memory()
        print(msgspec.json.encode(use).decode() if o.json else "\n".join(memory_rows(use)))
        return 0
    cost = measure()
    if o.record:
        record(cost)
    print(msgspec.json.encode(cost).decode() if o.json else "\n".join(rows(cost)))
    return 0
