# SPDX-License-Identifier: Apache-2.0
"""`sennit bench`: what the engine costs. `cost` counts instructions with callgrind; they repeat, so a test may hold
them against docs/performance.md."""

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


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        reason = next((line for line in said if "error:" in line), said[-1])
        raise ToolError(f"{Path(command[0]).name} failed: {reason}")


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
    switch = next(total / units for key, total, units, _ in dumps if key[0] == "empty")
    for key, total, units, switches in dumps:
        found[key] = (total - switch * switches) / units
    connection = round((found["opened", 1] + found["accepted", 1]) / 2)
    batches = {
        str(b): {name: round(found[name, b]) for name in GOALS if name != "connection"} for b in BATCHES
    }
    return Cost(**batches[str(HEADLINE)], connection=connection, batches=batches)


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
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """`sennit bench`."""
    o = make_parser().parse_args(argv)
    cost = measure()
    if o.record:
        record(cost)
    print(msgspec.json.encode(cost).decode() if o.json else "\n".join(rows(cost)))
    return 0
