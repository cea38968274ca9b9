# SPDX-License-Identifier: Apache-2.0
"""Writes what tools/congestion.py found: a page with a table per experiment, and a picture for each."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from sennit.tools import congestion
from sennit.tools.congestion import Panel, Result

INTRO = """# Congestion control

Every table and picture on this page was made by one command from the engine itself in virtual time:

    sennit sim --congestion-report docs/

The same build gives the same figures to the last digit. Controls are chosen per connection by name (`newreno`,
`cubic`, the default, `bbr`, `dctcp`); `native/tcp/cc.h` says what one is. What follows from which RFC and where we
differ is in `docs/conformance-congestion.md`.
"""


def _draw(result: Result, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = len(result.panels)
    columns = 1 if count == 1 else 2
    height = 3.4 * ((count + columns - 1) // columns)
    figure, axes = pyplot.subplots(
        (count + columns - 1) // columns, columns, figsize=(5.6 * columns, height), squeeze=False, layout="constrained"
    )
    for axis, panel in zip(axes.flat, result.panels, strict=True):
        _panel(axis, panel)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _panel(axis: Any, panel: Panel) -> None:
    from matplotlib import ticker

    drawstyle = "steps-post" if panel.steps else "default"
    for c in panel.curves:
        axis.plot(c.x, c.y, c.style, label=c.label, linewidth=1, markersize=4, color=c.color, drawstyle=drawstyle)
    for at, label in panel.marks:
        axis.axhline(at, color="grey", linestyle=":", linewidth=1, label=label)
    axis.set(xlabel=panel.x, ylabel=panel.y)
    for letter in panel.log:
        getattr(axis, f"set_{letter}scale")("log")
        scale = getattr(axis, f"{letter}axis")
        scale.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        scale.set_major_formatter(ticker.FuncFormatter(lambda value, _at: f"{value:g}"))
        scale.set_minor_formatter(ticker.NullFormatter())
    if panel.zero:
        axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    # Above the curves, never on them.
    columns = 3 if len(panel.curves) + len(panel.marks) in (3, 5, 6) else 2
    axis.legend(fontsize="small", ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def section(result: Result) -> str:
    """One experiment as Markdown."""
    align = ["---", *("---:" for _ in result.head[1:])]
    table = [f"| {' | '.join(result.head)} |", f"| {' | '.join(align)} |"]
    table += [f"| {' | '.join(row)} |" for row in result.rows]
    verdict = "met" if result.met else "**not met**"
    return "\n".join(
        [
            f"## {result.title}", "", result.text, "", *table, "", f"Wanted: {result.wanted}: {verdict}.", "",
            f"![{result.title}](img/congestion-{result.name}.png)", "",
        ]
    )  # fmt: skip


def write(folder: Path) -> int:
    """Runs everything; status 1 if something wanted was not met."""
    images = folder / "img"
    images.mkdir(parents=True, exist_ok=True)
    parts, failed = [INTRO], 0
    for experiment in congestion.EXPERIMENTS:
        began = time.monotonic()
        result = experiment()
        _draw(result, images / f"congestion-{result.name}.png")
        parts.append(section(result))
        failed += not result.met
        verdict = "met" if result.met else "NOT MET"
        print(f"{result.title}: {result.wanted}: {verdict} ({time.monotonic() - began:.1f} s)", file=sys.stderr)
    (folder / "congestion.md").write_text("\n".join(parts))
    return 1 if failed else 0
