# SPDX-License-Identifier: Apache-2.0
"""`sennit demo`: carries a file over three shaped paths to and from a Linux kernel MPTCP peer, and shows what it gave.

Builds its own laboratory (tools/lab.py), starts the runtime in it, and removes everything. The order: the host's own
kernel as comparison, then sennit as client and server, sending and receiving, with one path and with all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from sennit.tools import demo_runs, demo_view, lab
from sennit.tools.errors import ToolError
from sennit.tools.lab_runtime import Runtime

ROOT = Path(__file__).resolve().parent.parent


def output_folder() -> Path:
    """build/ of the clone, or of the current folder for an installed package."""
    return (ROOT if (ROOT / "meson.build").exists() else Path.cwd()) / "build"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="sennit demo", description="Three paths to a Linux kernel MPTCP peer, measured."
    )
    made.add_argument("--sim", action="store_true", help="simulator only: no privilege, no interfaces")
    made.add_argument("--lcores", default="0", help="cores of the runtime, as for `sennit up` (default: 0)")
    made.add_argument("--mib", type=int, default=64, help="size of each transfer (default: 64)")
    made.add_argument("--paths", type=int, default=3, choices=range(2, 9), metavar="N", help="paths (default: 3)")
    made.add_argument("--rate", type=float, default=100, help="Mbit/s of each path (default: 100)")
    made.add_argument("--no-kernel", action="store_true", help="leave the kernel's own runs out")
    made.add_argument("--capture", type=Path, metavar="DIR", help="write headers of every path to DIR/path<n>.pcap")
    made.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    return made


class Captures:
    """tcpdump on the host side of every path, first 128 bytes of each frame."""

    def __init__(self, laboratory: lab.Lab, folder: Path):
        if shutil.which("tcpdump") is None:
            raise ToolError("--capture needs tcpdump: apt install tcpdump")
        folder.mkdir(parents=True, exist_ok=True)
        self.files = [folder / f"path{i}.pcap" for i in laboratory.indices]
        self._children = [
            laboratory.popen(
                laboratory.net, "tcpdump", "-i", f"rh{i}", "-s", "128", "-Z", "root", "-B", "16384", "-w", str(file),
                stderr=subprocess.DEVNULL,
            )
            for i, file in zip(laboratory.indices, self.files, strict=True)
        ]  # fmt: skip
        deadline = time.monotonic() + 5
        while not all(f.exists() and f.stat().st_size for f in self.files) and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> None:
        for child in self._children:
            child.send_signal(signal.SIGINT)
            child.wait(10)


def plan(*, kernel: bool) -> list[tuple[str, str, str, bool]]:
    """Stack, role, direction, whether over all paths."""
    runs = [("kernel", "client", d, most) for d in ("send", "receive") for most in (False, True)] if kernel else []
    return runs + [
        ("sennit", role, d, most)
        for role in ("client", "server") for d in ("send", "receive") for most in (False, True)
    ]  # fmt: skip


class Show:
    """Progress: a bar where there is a terminal, a line per run where there is none."""

    def __init__(self, console: Console, total: int):
        self._console = console
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]}"),
            console=console,
        )
        self._live = console.is_terminal
        self._total = total
        self._task: TaskID | None = None

    def __enter__(self) -> Show:
        if self._live:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._console.print(f"[dim]{text}[/dim]", highlight=False)

    def start(self, stack: str, role: str, direction: str, paths: int) -> Callable[[float, list[int]], None]:
        """Begins a run; the function returned takes what is on the wire so far."""
        name = f"[bold]{stack}[/bold] {role:<6} {direction:<7} {paths} path{'s' if paths > 1 else ' '}"
        if self._live:
            self._task = self._progress.add_task(name, total=self._total, rate="")
        last = (0.0, 0)

        def advance(at: float, count: list[int]) -> None:
            nonlocal last
            if self._task is None or at - last[0] < 0.2:
                return
            rate = (sum(count) - last[1]) * 8 / (at - last[0]) / 1e6
            last = (at, sum(count))
            self._progress.update(self._task, completed=min(sum(count) * 0.94, self._total), rate=f"{rate:4.0f} Mbit/s")

        return advance

    def finish(self, run: demo_runs.Run) -> None:
        text = f"{run.goodput_mbit_s:5.1f} Mbit/s, {'equal' if run.sha256_ok else 'DIFFERENT'}"
        if self._task is not None:
            self._progress.update(self._task, completed=self._total, rate=text)
        else:
            name = f"{run.stack} {run.role} {run.direction} {run.paths} path(s)"
            self._console.print(f"{name}: {text}", highlight=False)


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """A hang-up or SIGTERM ends the demo like Ctrl-C: everything is removed on the way out."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def perform(
    options: argparse.Namespace, console: Console
) -> tuple[list[demo_runs.Run], dict[str, int], dict[str, Any]]:
    """All runs; the peer's counters over sennit's runs; what the setting was."""
    size = options.mib << 20
    runs: list[demo_runs.Run] = []
    with contextlib.ExitStack() as stack:
        laboratory = stack.enter_context(lab.Lab(options.paths, rate_mbit=options.rate))
        show = stack.enter_context(Show(console, size))
        near: demo_runs.Near = demo_runs.KernelNear(laboratory)
        before: dict[str, int] | None = None
        captures: Captures | None = None
        for name, role, direction, most in plan(kernel=not options.no_kernel):
            if name == "sennit" and before is None:
                show.say(f"starting the runtime on {', '.join(laboratory.ports)} (lcores {options.lcores})")
                runtime = stack.enter_context(Runtime(laboratory, lcores=options.lcores, name=f"demo-{os.getpid()}"))
                near = demo_runs.SennitNear(laboratory, runtime)
                before = laboratory.nstat(laboratory.peer)
                captures = Captures(laboratory, options.capture) if options.capture else None
            paths = options.paths if most else 1
            advance = show.start(name, role, direction, paths)
            runs.append(demo_runs.measure(laboratory, near, role, direction, paths, size, advance))
            show.finish(runs[-1])
        after = laboratory.nstat(laboratory.peer)
        if captures:
            captures.stop()
        setting = {
            "paths": options.paths, "rate_mbit_s": options.rate, "bytes": size, "lcores": options.lcores,
            "kernel": os.uname().release, "time_unix": int(time.time()),
        }  # fmt: skip
    moved = {k: v - (before or {}).get(k, 0) for k, v in after.items() if k.startswith("MPTcpExt")}
    return runs, {k: v for k, v in moved.items() if v or k in demo_runs.BAD or k in demo_runs.JOINED}, setting


def judge(runs: Sequence[demo_runs.Run], peer: dict[str, int]) -> list[str]:
    """What went wrong, one sentence each."""
    ours = [r for r in runs if r.stack == "sennit"]
    wrong = [
        f"{r.kind} over {r.paths} path(s): the bytes that arrived are not those sent" for r in runs if not r.sha256_ok
    ]
    wrong += [
        f"{r.kind}: {r.joins} of {r.paths - 1} joins, so not every path was used" for r in ours if r.joins < r.paths - 1
    ]
    return wrong + [
        f"the peer counted {peer[name]} {name.removeprefix('MPTcpExt')}" for name in demo_runs.BAD if peer.get(name)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--sim" in arguments:
        arguments.remove("--sim")
        from sennit.tools import sim_demo

        return sim_demo.demo(arguments)
    options = parser().parse_args(arguments)
    console = Console(stderr=options.json)
    lab.check_host()
    start = time.monotonic()
    with orderly_end():
        runs, peer, setting = perform(options, console)
    setting["seconds"] = round(time.monotonic() - start, 1)

    result = demo_view.as_json(runs, peer, setting)
    folder = output_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "demo.json").write_text(json.dumps(result, indent=2) + "\n")
    demo_view.picture(runs, folder / "demo.png", options.rate)

    goal = demo_view.GOAL * options.paths / 3
    console.print(demo_view.table(runs, goal))
    joins = ", ".join(f"{name.removeprefix('MPTcpExt')} {peer[name]}" for name in demo_runs.JOINED)
    bad = sum(peer.get(name, 0) for name in demo_runs.BAD)
    console.print(f"peer: {joins}; fallbacks and protocol errors: {bad}", highlight=False)
    wrong = judge(runs, peer)
    for sentence in wrong:
        console.print(f"[bold red]wrong:[/bold red] {sentence}", highlight=False)
    lowest = min(demo_view.ratios(runs, "sennit").values(), default=0.0)
    style = "green" if lowest >= goal else "red"
    console.print(
        f"lowest ratio of {options.paths} paths to one: [bold {style}]{lowest:.2f}[/] (goal {goal:.2f}); "
        f"{setting['seconds']:.0f} s; {os.path.relpath(folder / 'demo.json')}, {os.path.relpath(folder / 'demo.png')}",
        highlight=False,
    )
    if options.capture:
        console.print(f"captures: {options.capture}/path*.pcap", highlight=False)
    if options.json:
        print(json.dumps(result, indent=2))
    return 1 if wrong else 0
