# SPDX-License-Identifier: Apache-2.0
"""The simulated half of `sennit demo`: one path against three, in virtual time, without privilege."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from sennit.tools import sim_driver as driver
from sennit.tools import sim_view, units


class DemoRow(msgspec.Struct, frozen=True):
    """One line of the demonstration."""

    reading: str  # disjoint: three paths of 333 Mbit/s; shared: all paths over one link of 1 Gbit/s
    paths: int
    goodput_mbit_s: float
    share: tuple[float, ...]
    ratio: float  # to one path of the same reading
    virtual_s: float  # from connect to the last byte
    wall_s: float
    completed: bool
    failure: str


def demo_sim(octets: int = 256 << 20, seed: int = 1) -> list[DemoRow]:
    """One path against three: base round trip 10 ms, 1 Gbit/s between the hosts in total. Both readings of it: three
    disjoint paths of 333 Mbit/s each, and all paths over one shared link of 1 Gbit/s."""
    rows: list[DemoRow] = []
    for reading, mbit_s in (("disjoint", 333.0), ("shared", 1000.0)):
        base = 0.0
        for paths in (1, 3):
            scenario = driver.symmetric(
                paths, driver.path(mbit_s, 5), seed=seed, bytes_ab=octets, shared=reading == "shared"
            )
            out = sim_view.watched(scenario, f"{paths} path(s), {reading}")
            goodput = out.goodput_mbit_s[0]
            base = base or goodput
            rows.append(
                DemoRow(
                    reading=reading,
                    paths=paths,
                    goodput_mbit_s=round(goodput, 1),
                    share=tuple(round(s, 3) for s in out.share[0]),
                    ratio=round(goodput / base, 2) if base else 0.0,
                    virtual_s=round(out.transfer_s[0], 3),
                    wall_s=round(out.wall_s, 3),
                    completed=out.completed,
                    failure=out.failure,
                )
            )
    return rows


def demo(argv: Sequence[str] | None = None) -> int:
    """`sennit demo --sim`."""
    p = argparse.ArgumentParser(prog="sennit demo --sim", description="One path against three in virtual time.")
    p.add_argument("--sim", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--bytes", type=sim_view.size, default=256 << 20, metavar="N", help="bytes of each run (256M)")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--json", action="store_true", help="result as JSON on stdout")
    o = p.parse_args(argv)
    rows = demo_sim(o.bytes, o.seed)
    if o.json:
        print(msgspec.json.encode({"bytes": o.bytes, "seed": o.seed, "rtt_ms": 10, "runs": rows}).decode())
    else:
        title = f"{units.size(o.bytes)} from client to server, round trip 10 ms, virtual time"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("links", "paths", "Mbit/s", "share per path", "ratio", "seconds", "wall"):
            table.add_column(name, justify="left" if name == "links" else "right", no_wrap=True)
        where = {"disjoint": "333 Mbit/s each", "shared": "1 Gbit/s shared"}
        for row in rows:
            table.add_row(
                where[row.reading],
                str(row.paths),
                f"{row.goodput_mbit_s:.1f}" if row.completed else "failed",
                sim_view.shares(row.share),
                f"{row.ratio:.2f}",
                f"{row.virtual_s:.2f}",
                f"{row.wall_s:.2f}",
            )
        Console().print(table)
    failed = [row for row in rows if not row.completed]
    for row in failed:
        print(f"sennit: {row.paths} path(s), {row.reading}: {row.failure}", file=sys.stderr)
    return 1 if failed else 0
