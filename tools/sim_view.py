# SPDX-License-Identifier: Apache-2.0
"""How runs of the simulator are shown, and how sizes are read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sennit.tools import sim_driver as driver
from sennit.tools import units

SUFFIX = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(text: str) -> int:
    """4096, 64k, 64M, 1G (binary)."""
    scale = SUFFIX.get(text[-1:].lower(), 1)
    number = text[:-1] if scale > 1 else text
    try:
        value = int(float(number) * scale)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a size: {text}") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"not a size: {text}")
    return value


def watched(scenario: driver.Scenario, title: str) -> driver.Outcome:
    """Runs with a progress bar where somebody looks."""
    done, at = DownloadColumn(binary_units=True), TextColumn("{task.fields[at]}")
    columns = (TextColumn("{task.description}"), BarColumn(), done, at, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, at="")

        def progress(delivered: int, total: int, virtual_s: float) -> None:
            bar.update(task, completed=delivered, total=total, at=f"{virtual_s:.2f} s virtual")

        return driver.run(scenario, progress)


def bits(mbit_s: float) -> str:
    return units.rate(mbit_s * 1e6) if mbit_s else "-"


def shares(share: Sequence[float]) -> str:
    return " ".join(units.percent(s) for s in share) if sum(share) else "-"


def table(scenario: driver.Scenario, out: driver.Outcome) -> Table:
    view = Table(title=f"{len(scenario.ab)} path(s), seed {scenario.seed}", title_justify="left")
    for name in ("direction", "bytes", "goodput", "share per path", "lost", "queue drops"):
        view.add_column(name, justify="left" if name == "direction" else "right")
    for i, direction in enumerate(("A to B", "B to A")):
        view.add_row(
            direction,
            units.size(out.received[i]),
            bits(out.goodput_mbit_s[i]),
            shares(out.share[i]),
            str(sum(p.lost[i] for p in out.paths)),
            str(sum(p.overflow[i] for p in out.paths)),
        )
    return view
