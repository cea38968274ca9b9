# SPDX-License-Identifier: Apache-2.0
"""`sennit sim`: the engine against itself in virtual time. Needs no privilege."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.progress import Progress

from sennit.tools import sim_demo, sim_random, sim_view
from sennit.tools import sim_driver as driver
from sennit.tools.errors import UsageError
from sennit.tools.sim_view import size

demo = sim_demo.demo  # `sennit demo --sim`


def _per_path(text: str) -> list[float]:
    """One number for all paths, or one for each, with commas between."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number, or numbers with commas: {text}") from None
    if min(values) < 0:
        raise argparse.ArgumentTypeError(f"negative: {text}")
    return values


def _moment(text: str) -> tuple[int, float]:
    """PATH@SECONDS."""
    try:
        path, at = text.split("@")
        return int(path), float(at)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not PATH@SECONDS: {text}") from None


def make_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="sennit sim",
        description="Run the protocol engine against itself in virtual time. Same options and seed: same run.",
    )
    p.add_argument("--paths", type=int, default=3, metavar="N", help="paths between the two hosts, 1 to 8 (3)")
    p.add_argument("--rate", type=_per_path, default=[333.0], metavar="MBIT", help="Mbit/s per path, 0: no limit (333)")
    p.add_argument("--delay", type=_per_path, default=[5.0], metavar="MS", help="one-way delay of each path (5)")
    p.add_argument("--queue", type=_per_path, metavar="MS", help="queue in front of each path (one round trip)")
    p.add_argument("--loss", type=_per_path, default=[0.0], metavar="P", help="loss probability, both ways")
    p.add_argument("--jitter", type=_per_path, default=[0.0], metavar="MS")
    p.add_argument("--reorder", type=_per_path, default=[0.0], metavar="P", help="held back by half the delay")
    p.add_argument("--duplicate", type=_per_path, default=[0.0], metavar="P")
    p.add_argument("--corrupt", type=_per_path, default=[0.0], metavar="P", help="one bit flipped")
    p.add_argument("--shared", action="store_true", help="all paths share the first one's rate and queue")
    p.add_argument("--down", type=_moment, action="append", default=[], metavar="PATH@S", help="path 0.. goes down")
    p.add_argument("--up", type=_moment, action="append", default=[], metavar="PATH@S", help="path comes back")
    p.add_argument("--bytes", type=size, default=64 << 20, metavar="N", help="client to server, per connection (64M)")
    p.add_argument("--back", type=size, default=0, metavar="N", help="server to client, per connection (0)")
    p.add_argument("--conns", type=int, default=1, metavar="N", help="connections at once, 1 to 16")
    p.add_argument("--workers", default="1,1", metavar="A,B", help="workers of client and server, 1 to 4 (1,1)")
    p.add_argument("--steering", choices=sorted(driver.STEERING), default="rss")
    p.add_argument("--sched", choices=sorted(driver.SCHEDULERS), default="default")
    p.add_argument("--cc", default="", metavar="NAME", help="congestion control: cubic, newreno")
    p.add_argument("--csum", action="store_true", help="both sides ask for DSS checksums")
    p.add_argument("--tcp", choices=("client", "server", "both"), help="plain TCP on that side")
    p.add_argument("--read-rate", type=size, default=0, metavar="N", help="the server reads so many bytes/s only")
    p.add_argument("--mtu", type=int, default=1500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--random", type=int, metavar="N", help="run N random scenarios, seeds --seed and up")
    p.add_argument("--pcap", default="", metavar="FILE", help="capture to FILE-a.pcap and FILE-b.pcap")
    p.add_argument("--json", action="store_true", help="result as JSON on stdout")
    return p


def _pick(values: Sequence[float] | None, path: int, name: str, paths: int) -> float:
    if not values:
        return 0.0
    if len(values) not in (1, paths):
        raise UsageError(f"--{name}: {len(values)} numbers for {paths} paths; give one, or {paths}")
    return values[path if len(values) > 1 else 0]


def scenario_of(o: argparse.Namespace) -> driver.Scenario:
    """The scenario that the options describe."""
    if not 1 <= o.paths <= 8:
        raise UsageError(f"--paths {o.paths}: 1 to 8")
    try:
        workers_a, workers_b = (int(part) for part in o.workers.split(","))
    except ValueError:
        raise UsageError(f"--workers {o.workers}: two numbers with a comma, such as 2,2") from None
    if not (1 <= workers_a <= 4 and 1 <= workers_b <= 4):
        raise UsageError(f"--workers {o.workers}: 1 to 4 on each host")
    if not 1 <= o.conns <= 16:
        raise UsageError(f"--conns {o.conns}: 1 to 16")
    links = []
    for i in range(o.paths):
        queue = _pick(o.queue, i, "queue", o.paths) if o.queue else None
        rate, delay = _pick(o.rate, i, "rate", o.paths), _pick(o.delay, i, "delay", o.paths)
        link = driver.path(rate, delay, _pick(o.loss, i, "loss", o.paths), queue)
        links.append(
            msgspec.structs.replace(
                link,
                jitter_ns=round(_pick(o.jitter, i, "jitter", o.paths) * driver.MS),
                reorder=_pick(o.reorder, i, "reorder", o.paths),
                reorder_ns=link.delay_ns // 2,
                duplicate=_pick(o.duplicate, i, "duplicate", o.paths),
                corrupt=_pick(o.corrupt, i, "corrupt", o.paths),
            )
        )
    moments = [(at, path, driver.DOWN) for path, at in o.down] + [(at, path, driver.UP) for path, at in o.up]
    for _, path, _what in moments:
        if not 0 <= path < o.paths:
            raise UsageError(f"path {path} does not exist: 0 to {o.paths - 1}")
    return driver.Scenario(
        ab=tuple(links),
        ba=tuple(links),
        seed=o.seed,
        bytes_ab=o.bytes,
        bytes_ba=o.back,
        conns=o.conns,
        event=tuple(driver.Event(round(at * driver.SECOND), path, what) for at, path, what in sorted(moments)),
        workers_a=workers_a,
        workers_b=workers_b,
        steering=driver.STEERING[o.steering],
        sched_a=driver.SCHEDULERS[o.sched],
        sched_b=driver.SCHEDULERS[o.sched],
        csum_a=o.csum,
        csum_b=o.csum,
        tcp_a=o.tcp in ("client", "both"),
        tcp_b=o.tcp in ("server", "both"),
        read_rate_b=o.read_rate,
        shared=o.shared,
        mtu=o.mtu,
        cc=o.cc,
        pcap=o.pcap,
    )


def run_one(scenario: driver.Scenario, as_json: bool) -> int:
    """One scenario: table or JSON."""
    out = sim_view.watched(scenario, "simulating")
    if as_json:
        print(msgspec.json.encode(out).decode())
    else:
        console = Console()
        console.print(sim_view.table(scenario, out))
        console.print(
            f"{out.virtual_s:.3f} s virtual, {out.wall_s:.2f} s wall; {out.retransmissions} retransmissions, "
            f"{out.reinjections} reinjections, {out.misdirected} misdirected, up to {out.subflows_peak} subflows"
        )
    if not out.completed:
        print(f"sennit: the run failed: {out.failure}", file=sys.stderr)
    return 0 if out.completed else 1


class Failure(NamedTuple):
    seed: int
    reason: str

    @property
    def repro(self) -> str:
        return f"sennit sim --random 1 --seed {self.seed}"


def run_random(n: int, first: int, as_json: bool) -> int:
    """N random scenarios; a line with its repro for each that fails."""
    failures: list[Failure] = []
    virtual = 0.0
    began = time.monotonic()
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("random scenarios", total=n)
        for seed in range(first, first + n):
            out = driver.run(sim_random.scenario(seed))
            virtual += out.virtual_s
            if not out.completed:
                failures.append(Failure(seed, out.failure))
                print(f"seed {seed}: {out.failure}\n  again: {failures[-1].repro}", file=sys.stderr)
            bar.advance(task)
    wall = time.monotonic() - began
    if as_json:
        summary = {
            "scenarios": n,
            "failures": len(failures),
            "seed_first": first,
            "virtual_s": round(virtual, 3),
            "wall_s": round(wall, 3),
            "failed": [{"seed": f.seed, "reason": f.reason, "repro": f.repro} for f in failures],
        }
        print(msgspec.json.encode(summary).decode())
    else:
        print(f"{n} scenarios, {len(failures)} failed; {virtual:.1f} s virtual, {wall:.1f} s wall")
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """`sennit sim`."""
    o = make_parser().parse_args(argv)
    if o.random is not None:
        if o.random < 1:
            raise UsageError(f"--random {o.random}: at least 1")
        return run_random(o.random, o.seed, o.json)
    return run_one(scenario_of(o), o.json)
