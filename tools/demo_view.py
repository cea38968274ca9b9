# SPDX-License-Identifier: Apache-2.0
"""What the demo shows: the table, the picture, the JSON. Pure functions of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from sennit.tools.demo_runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOAL = 2.8
COLOURS = ("#2a6f97", "#e07a3f", "#5b8e4b", "#8a5a9e", "#c9a227", "#7a7a7a")
GREY = "#b8bcc2"
KINDS = ("client/send", "client/receive", "server/send", "server/receive")
TITLES = {
    "client/send": "sennit connects and sends",
    "client/receive": "sennit connects and receives",
    "server/send": "sennit accepts and sends",
    "server/receive": "sennit accepts and receives",
}


def find(runs: Sequence[Run], stack: str, kind: str, *, most: bool) -> Run | None:
    """The run of this kind over the most paths, or over one."""
    found = [r for r in runs if r.stack == stack and r.kind == kind and (r.paths > 1) == most]
    return found[-1] if found else None


def ratios(runs: Sequence[Run], stack: str) -> dict[str, float]:
    """Goodput of all paths over that of one, per kind of run."""
    made = {}
    for kind in KINDS:
        one, many = find(runs, stack, kind, most=False), find(runs, stack, kind, most=True)
        if one and many and one.goodput_mbit_s:
            made[kind] = many.goodput_mbit_s / one.goodput_mbit_s
    return made


def as_json(runs: Sequence[Run], peer: dict[str, int], setting: dict[str, Any]) -> dict[str, Any]:
    def of(stack: str) -> dict[str, Any]:
        return {
            "runs": [r.as_json() for r in runs if r.stack == stack],
            "ratio": {kind: round(ratio, 3) for kind, ratio in ratios(runs, stack).items()},
        }

    return {**of("sennit"), "kernel": of("kernel"), "peer_nstat": peer, "setting": setting}


def table(runs: Sequence[Run], goal: float) -> Table:
    """Fits 80 columns."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0))
    made.add_column("run", no_wrap=True)
    for name in ("paths", "Mbit/s", "seconds", "ratio"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("share per path", no_wrap=True)
    made.add_column("SHA-256", no_wrap=True)
    stack = runs[0].stack if runs else ""
    for run in runs:
        if run.stack != stack:
            made.add_section()
        stack = run.stack
        ratio = ratios(runs, run.stack).get(run.kind) if run.paths > 1 else None
        made.add_row(
            Text.assemble((run.stack, "bold" if stack == "sennit" else "dim"), f" {run.role} {run.direction}"),
            str(run.paths),
            f"{run.goodput_mbit_s:.1f}",
            f"{run.seconds:.2f}",
            Text(f"{ratio:.2f}", style="bold green" if ratio >= goal else "bold red") if ratio else "",
            bars(run.share),
            Text("equal", style="green") if run.sha256_ok else Text("DIFFERENT", style="bold red"),
        )
    return made


def bars(share: Sequence[float], width: int = 9) -> Text:
    """Shares as one coloured line and in percent."""
    text = Text()
    for i, part in enumerate(share):
        text.append("█" * round(part * width), style=COLOURS[i % len(COLOURS)])
    used = [f"{part * 100:.0f}" for part in share if part >= 0.005]
    if len(used) > 1:
        text.append(" " + " ".join(used) + " %", style="dim")
    return text


def picture(runs: Sequence[Run], target: Path, rate_mbit: float) -> None:
    """Goodput over time, stacked per path, one panel per kind of run; the ratios beside it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({
        "font.family": "DejaVu Sans", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        "axes.edgecolor": "#9aa0a6", "xtick.color": "#555555", "ytick.color": "#555555", "axes.titlelocation": "left",
    }):  # fmt: skip
        figure = plt.figure(figsize=(12.5, 6.6), dpi=150)
        grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 0.16, 0.72), hspace=0.42, wspace=0.24)
        figure.subplots_adjust(left=0.055, right=0.985, top=0.86, bottom=0.085)
        longest = max((r.seconds for r in runs), default=1.0)
        most = max((r.paths for r in runs), default=1)
        for i, kind in enumerate(KINDS):
            axes = figure.add_subplot(grid[divmod(i, 2)])
            _panel(axes, runs, kind, longest, rate_mbit * most * 1.12)
        _ratio_panel(figure.add_subplot(grid[:, 3]), runs, most)
        size = next((r.size for r in runs), 0) >> 20
        figure.text(0.055, 0.955, f"{size} MiB to and from a Linux kernel MPTCP peer", fontsize=15, weight="bold")
        figure.text(
            0.055,
            0.917,
            f"{most} paths of {rate_mbit:g} Mbit/s each; on the wire, Mbit/s over seconds",
            color="#555555",
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)
        plt.close(figure)


def _panel(axes: Axes, runs: Sequence[Run], kind: str, longest: float, top: float) -> None:
    axes.set_title(TITLES[kind], fontsize=10, weight="bold", color="#222222")
    axes.set_xlim(0, longest * 1.02)
    axes.set_ylim(0, top)
    axes.grid(axis="y", color="#e6e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    one, many = find(runs, "sennit", kind, most=False), find(runs, "sennit", kind, most=True)
    if one:
        times, rates = _steps(one)
        axes.fill_between(times, [sum(r) for r in rates], step="pre", color=GREY, alpha=0.55, linewidth=0)
        axes.annotate(
            f"1 path: {one.goodput_mbit_s:.0f} Mbit/s, {one.seconds:.1f} s", (one.seconds, 0),
            xytext=(one.seconds * 0.98, top * 0.035), ha="right", color="#3f444a", fontsize=8.5,
        )  # fmt: skip
    if many:
        times, rates = _steps(many)
        floor = [0.0] * len(times)
        for path in range(many.paths):
            ceiling = [low + r[path] for low, r in zip(floor, rates, strict=True)]
            axes.fill_between(
                times, floor, ceiling, step="pre", color=COLOURS[path % len(COLOURS)], linewidth=0, alpha=0.92,
                label=f"path {path + 1}",
            )  # fmt: skip
            floor = ceiling
        axes.annotate(
            f"{many.paths} paths: {many.goodput_mbit_s:.0f} Mbit/s, {many.seconds:.1f} s",
            (many.seconds, top * 0.8), xytext=(many.seconds * 1.06, top * 0.8), color="#222222", weight="bold",
        )  # fmt: skip
        axes.legend(loc="upper right", frameon=False, ncols=many.paths, fontsize=7.5, handlelength=0.9, columnspacing=1)


def _steps(run: Run, width: float = 0.1) -> tuple[list[float], list[list[float]]]:
    """The samples averaged over `width` seconds, so that the shaper's own bursts do not show as teeth."""
    times, rates = [0.0], [[0.0] * len(run.share)]
    weight, total = 0.0, [0.0] * len(run.share)
    before = 0.0
    for at, rate in run.series:
        span, before = at - before, at
        weight += span
        total = [t + r * span for t, r in zip(total, rate, strict=True)]
        if weight >= width:
            times.append(at)
            rates.append([t / weight for t in total])
            weight, total = 0.0, [0.0] * len(run.share)
    if weight:
        times.append(before)
        rates.append([t / max(weight, width) for t in total])
    times.append(times[-1])
    rates.append([0.0] * len(run.share))
    return times, rates


def _ratio_panel(axes: Axes, runs: Sequence[Run], most: int) -> None:
    axes.set_title(f"{most} paths against one", fontsize=10, weight="bold", color="#222222")
    rows: list[tuple[str, float, str]] = []
    for stack, colour in (("sennit", COLOURS[0]), ("kernel", GREY)):
        rows += [(f"{stack}\n{kind.replace('/', ' ')}", value, colour) for kind, value in ratios(runs, stack).items()]
    rows.reverse()
    axes.barh(range(len(rows)), [r[1] for r in rows], color=[r[2] for r in rows], height=0.62)
    for y, (_, value, colour) in enumerate(rows):
        axes.text(
            value - 0.06,
            y,
            f"{value:.2f}",
            va="center",
            ha="right",
            color="white" if colour != GREY else "#222222",
            weight="bold",
        )
    axes.axvline(most, color="#222222", linewidth=1, linestyle=(0, (3, 3)))
    axes.text(most, len(rows) - 0.42, "ideal", ha="center", va="bottom", fontsize=8, color="#222222")
    axes.set_yticks(range(len(rows)), [r[0] for r in rows])
    axes.set_xlim(0, most * 1.08)
    axes.set_ylim(-0.6, len(rows) - 0.35)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
