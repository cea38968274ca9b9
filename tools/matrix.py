# SPDX-License-Identifier: Apache-2.0
"""`sennit matrix`: cells of the interoperability matrix against this machine's kernel, in network namespaces (root).

Every finished cell is a line of results.jsonl, so that a run that was interrupted goes on where it stopped; report.json
sums up. A failed cell prints the command that runs it alone.
"""

from __future__ import annotations

import argparse
import fnmatch
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sennit.tools import matrix_cells
from sennit.tools.errors import ToolError, UsageError
from sennit.tools.lab import LabError, check_host
from sennit.tools.matrix_cells import Cell
from sennit.tools.matrix_run import Bench, Result

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

EVERY = 50  # cells between two lines of progress where there is no terminal


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sennit matrix", description=__doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--cell", action="append", metavar="NAME", help=f"this cell: {'-'.join(matrix_cells.NAMES)}")
    which.add_argument("--pairwise", action="store_true", help="a choice of cells that has every pair of values")
    which.add_argument("--sample", type=int, metavar="N", help="N cells by chance")
    parser.add_argument("--seed", type=int, default=1, help="of --sample")
    parser.add_argument("--select", metavar="GLOB", help="only cells whose name matches, like 'client-*-nat'")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="laboratories at the same time")
    parser.add_argument("--dir", type=Path, default=Path("build/matrix"), metavar="DIR", help="results (build/matrix)")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    parser.add_argument("--capture", action="store_true", help="capture every cell into DIR and judge the packets")
    parser.add_argument("--list", action="store_true", help="print the names of the cells and run nothing")
    return parser


def choose(options: argparse.Namespace) -> list[Cell]:
    """The cells that the command line asks for, in the order of running."""
    try:
        cells: Iterable[Cell] = map(matrix_cells.parse, options.cell) if options.cell else matrix_cells.every()
        cells = list(cells)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if options.select:
        cells = [cell for cell in cells if fnmatch.fnmatchcase(str(cell), options.select)]
    if options.pairwise:
        cells = matrix_cells.pairwise(cells)
    elif options.sample is not None:
        cells = random.Random(options.seed).sample(cells, min(options.sample, len(cells)))
    if not cells:
        raise UsageError("no such cell")
    return matrix_cells.in_order(cells)


def passed(journal: Path) -> set[str]:
    """Cells that need not run again."""
    if not journal.exists():
        return set()
    last: dict[str, bool] = {}
    for line in journal.read_bytes().splitlines():
        try:
            result = msgspec.json.decode(line, type=Result)
        except msgspec.DecodeError:
            continue  # the run was killed in the middle of it
        last[result.cell] = not result.failures
    return {name for name, ok in last.items() if ok}


def summary(results: Sequence[Result], seconds: float) -> dict[str, Any]:
    """What report.json says."""
    failed = [result for result in results if result.failures]
    return {
        "cells": len(results),
        "failed": len(failed),
        "seconds": round(seconds, 1),
        "slowest": [[r.cell, r.seconds] for r in sorted(results, key=lambda r: -r.seconds)[:10]],
        "failures": {r.cell: list(r.failures) for r in failed},
    }


def work(cells: Queue[str | None], results: Queue[Result | str], capture: Path | None, lcore: int) -> None:
    """One process: a laboratory of its own, cells until there are none."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the laboratory is removed
    try:
        with Bench(str(lcore), capture) as bench:
            while (name := cells.get()) is not None:
                results.put(bench.run(matrix_cells.parse(name)))
    except KeyboardInterrupt:
        return
    except Exception as error:
        results.put(f"{type(error).__name__}: {error}")


class Progress:
    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self.results: list[Result] = []
        self.failed = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def add(self, result: Result) -> None:
        self.results.append(result)
        if result.failures:
            self.failed += 1
            print(f"{self._clear()}FAILED {result.cell} ({result.seconds:.1f} s)")
            for sentence in result.failures:
                print(f"   {sentence}")
            print(f"   again: sennit matrix --cell {result.cell}", flush=True)
        done = len(self.results)
        left = self.seconds / done * (self._total - done)
        line = f"{done}/{self._total} cells, {self.failed} failed, {left / 60:.0f} min left"
        if sys.stdout.isatty():
            print(f"{self._clear()}{line}", end="", flush=True)
        elif done % EVERY == 0 or done == self._total:
            print(line, flush=True)

    @staticmethod
    def _clear() -> str:
        return "\r\x1b[K" if sys.stdout.isatty() else ""


def run(cells: list[Cell], jobs: int, journal: Path, capture: Path | None) -> Progress:
    """Runs cells in so many processes; raises ToolError if one of them cannot go on."""
    context = multiprocessing.get_context("spawn")
    todo: Queue[str | None] = context.Queue()
    results: Queue[Result | str] = context.Queue()
    for cell in cells:
        todo.put(str(cell))
    for _ in range(jobs):
        todo.put(None)
    lcores = sorted(os.sched_getaffinity(0))
    workers = [
        context.Process(target=work, args=(todo, results, capture, lcores[i % len(lcores)])) for i in range(jobs)
    ]  # fmt: skip
    for worker in workers:
        worker.start()
    progress = Progress(len(cells))
    try:
        with journal.open("ab") as out:
            while len(progress.results) < len(cells):
                result = results.get()
                if isinstance(result, str):
                    raise ToolError(f"the laboratory broke down: {result}")
                out.write(msgspec.json.encode(result) + b"\n")
                out.flush()
                progress.add(result)
    except BaseException:
        for worker in workers:
            worker.terminate()
        raise
    finally:
        todo.cancel_join_thread()
        for worker in workers:
            worker.join(30)
    return progress


def main(argv: Sequence[str]) -> int:
    options = make_parser().parse_args(argv)
    cells = choose(options)
    if options.list:
        print("\n".join(map(str, cells)))
        return 0
    try:
        check_host()
    except LabError as error:
        raise ToolError(str(error)) from None
    for tool, package in (("nft", "nftables"), *((("tcpdump", "tcpdump"),) if options.capture else ())):
        if shutil.which(tool) is None:
            raise ToolError(f"{tool} not found: apt install {package}")
    options.dir.mkdir(parents=True, exist_ok=True)
    journal = options.dir / "results.jsonl"
    if options.fresh:
        journal.unlink(missing_ok=True)
    done = set() if options.cell else passed(journal)
    todo = [cell for cell in cells if str(cell) not in done]
    if len(todo) < len(cells):
        print(f"{len(cells) - len(todo)} cells have passed before ({journal}; --fresh forgets)")
    if not todo:
        return 0
    progress = run(todo, max(1, min(options.jobs, len(todo))), journal, options.dir if options.capture else None)
    report = options.dir / "report.json"
    report.write_bytes(msgspec.json.format(msgspec.json.encode(summary(progress.results, progress.seconds)), indent=2))
    print(f"\n{len(progress.results)} cells, {progress.failed} failed, {progress.seconds:.0f} s; {report}")
    return 1 if progress.failed else 0
