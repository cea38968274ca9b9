# SPDX-License-Identifier: Apache-2.0
"""`sennit sim`: the engine against itself in virtual time. Needs no privilege."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress

from sennit.tools import sim_demo, sim_fleet, sim_picture, sim_random, sim_scenario, sim_view
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


EXAMPLES = """examples:
  sennit sim --paths 3 --rate 333 --bytes 64M            three paths, as the options say
  sennit sim --paths 1 --rate 1000 --tcp both --cc bbr   one plain TCP connection at 1 Gbit/s
  sennit sim --scenario wifi.toml --seed 7 --pcap run --picture run.png
  sennit sim --random 500 --kind tcp --json              500 random scenarios, seeds 1 to 500
  sennit sim --random 1 --kind tcp --seed 4711           one of them again, to the bit; --picture, --pcap show it
"""


def make_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="sennit sim",
        description="Run the protocol engine against itself in virtual time. Same options and seed: same run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    n = p.add_argument_group("the network", "one number for all paths, or one for each with commas between")
    n.add_argument("--paths", type=int, default=3, metavar="N", help="paths between the two hosts, 1 to 8 (3)")
    n.add_argument("--rate", type=_per_path, default=[333.0], metavar="MBIT", help="Mbit/s per path, 0: no limit (333)")
    n.add_argument("--delay", type=_per_path, default=[5.0], metavar="MS", help="one-way delay of each path (5)")
    n.add_argument("--queue", type=_per_path, metavar="MS", help="queue in front of each path (one round trip)")
    n.add_argument("--loss", type=_per_path, default=[0.0], metavar="P", help="loss probability, both ways")
    n.add_argument("--jitter", type=_per_path, default=[0.0], metavar="MS", help="up to so much more delay, in order")
    n.add_argument("--reorder", type=_per_path, default=[0.0], metavar="P", help="held back by half the delay")
    n.add_argument("--duplicate", type=_per_path, default=[0.0], metavar="P", help="arrives twice")
    n.add_argument("--corrupt", type=_per_path, default=[0.0], metavar="P", help="one bit flipped")
    n.add_argument("--shared", action="store_true", help="all paths share the first one's rate and queue")
    n.add_argument("--down", type=_moment, action="append", default=[], metavar="PATH@S", help="path 0.. goes down")
    n.add_argument("--up", type=_moment, action="append", default=[], metavar="PATH@S", help="path comes back")
    n.add_argument("--mtu", type=int, default=1500, metavar="N", help="bytes of an IP packet on every path (1500)")
    n.add_argument("--family", choices=sorted(driver.FAMILIES), default="ipv4", help="mixed: IPv6 on paths 1, 3, ...")
    t = p.add_argument_group("the transfer")
    t.add_argument("--bytes", type=size, default=64 << 20, metavar="N", help="client to server, per connection (64M)")
    t.add_argument("--back", type=size, default=0, metavar="N", help="server to client, per connection (0)")
    t.add_argument("--conns", type=int, default=1, metavar="N", help="connections at once, 1 to 16 (1)")
    t.add_argument("--workers", default="1,1", metavar="A,B", help="workers of client and server, 1 to 4 (1,1)")
    t.add_argument("--steering", choices=sorted(driver.STEERING), default="rss", help="frames to workers (rss)")
    t.add_argument("--sched", choices=sorted(driver.SCHEDULERS), default="default", help="packet scheduler")
    t.add_argument("--cc", default="", metavar="NAME", help="congestion control: cubic, newreno, bbr, dctcp (cubic)")
    t.add_argument("--csum", action="store_true", help="both sides ask for DSS checksums")
    t.add_argument("--tcp", choices=("client", "server", "both"), help="plain TCP on that side")
    t.add_argument("--read-rate", type=size, default=0, metavar="N", help="the server reads so many bytes/s only")
    r = p.add_argument_group("other scenarios", "instead of the options above")
    r.add_argument("--scenario", type=Path, metavar="FILE", help="a scenario file (TOML)")
    r.add_argument("--random", type=int, metavar="N", help="N random scenarios, seeds --seed and up")
    r.add_argument("--kind", choices=sorted(sim_random.KINDS), default="mptcp", help="of random scenarios (mptcp)")
    r.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes for random scenarios")
    r.add_argument("--soak", type=float, metavar="HOURS", help="random scenarios for so long, or until Ctrl-C")
    r.add_argument("--congestion-report", metavar="DIR", help="write congestion.md and pictures into DIR (two minutes)")
    o = p.add_argument_group("the run")
    o.add_argument("--seed", type=int, metavar="N", help="of the run, or of the first random one (1, or the file's)")
    o.add_argument("--pcap", default="", metavar="FILE", help="capture of a run to FILE-a.pcapng and FILE-b.pcapng")
    o.add_argument("--picture", type=Path, metavar="FILE", help="time-sequence picture of a run (.png, .svg, .pdf)")
    o.add_argument("--json", action="store_true", help="result as JSON on stdout")
    return p


# What describes a scenario: options that --scenario and --random would have to ignore.
DESCRIBING = (
    "paths", "rate", "delay", "queue", "loss", "jitter", "reorder", "duplicate", "corrupt", "shared", "down", "up",
    "mtu", "bytes", "back", "conns", "workers", "steering", "sched", "cc", "csum", "tcp", "read_rate",
)  # fmt: skip


def _refuse_ignored(o: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """An option that would do nothing is a mistake of whoever gave it."""
    other = next((name for name in ("scenario", "random", "soak") if getattr(o, name) is not None), None)
    for name in DESCRIBING if other else ():
        if getattr(o, name) != parser.get_default(name):
            raise UsageError(f"--{name.replace('_', '-')} does not go with --{other}, which says by itself what to run")
    if (o.random or 0) > 1 or o.soak is not None:
        for name in ("pcap", "picture"):
            if getattr(o, name):
                raise UsageError(f"--{name} is of one run: --random 1 --seed N")


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
    if o.family != "ipv4" and o.mtu < driver.IPV6_MTU:
        raise UsageError(f"--mtu {o.mtu}: IPv6 needs at least {driver.IPV6_MTU}")
    moments = [(at, path, driver.DOWN) for path, at in o.down] + [(at, path, driver.UP) for path, at in o.up]
    for _, path, _what in moments:
        if not 0 <= path < o.paths:
            raise UsageError(f"path {path} does not exist: 0 to {o.paths - 1}")
    return driver.Scenario(
        ab=tuple(links),
        ba=tuple(links),
        seed=1 if o.seed is None else o.seed,
        bytes_ab=o.bytes,
        bytes_ba=o.back,
        conns=o.conns,
        event=tuple(driver.Event(round(at * driver.SECOND), path, what) for at, path, what in sorted(moments)),
        workers_a=workers_a,
        workers_b=workers_b,
        steering=driver.STEERING[o.steering],
        family=driver.FAMILIES[o.family],
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


def run_one(scenario: driver.Scenario, as_json: bool, picture: Path | None = None, title: str = "simulating") -> int:
    """One scenario: table or JSON."""
    if picture is None:
        out = sim_view.watched(scenario, title)
    else:
        if picture.suffix not in (".png", ".svg", ".pdf"):
            raise UsageError(f"--picture {picture}: the name ends with .png, .svg or .pdf")
        with tempfile.TemporaryDirectory(prefix="sennit-sim-") as folder:
            table = Path(folder) / "segments.csv"
            out = sim_view.watched(msgspec.structs.replace(scenario, segments=str(table)), title)
            if table.exists() and sim_picture.read(table):
                sim_picture.draw(table, picture, f"{title}, seed {scenario.seed}")
            else:
                print(f"sennit: no segment of an established connection was sent: no {picture}", file=sys.stderr)
    if as_json:
        print(msgspec.json.encode(out).decode())
    else:
        console = Console()
        console.print(sim_view.table(scenario, out))
        console.print(
            f"{out.virtual_s:.3f} s virtual, {out.wall_s:.2f} s wall; {out.retransmissions} retransmissions, "
            f"{out.reinjections} reinjections, {out.misdirected} misdirected, up to {out.subflows_peak} subflows"
        )
        if out.messages:
            quantiles = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"))
            times = ", ".join(f"{name} {out.latency(q):.2f} ms" for q, name in quantiles)
            console.print(f"{out.messages} messages, one way: {times}, at most {out.latency_max_ms:.2f} ms")
    if not out.completed:
        print(f"sennit: the run failed: {out.failure}", file=sys.stderr)
    return 0 if out.completed else 1


def repro(kind: str, seed: int) -> str:
    """The line that repeats one random scenario."""
    return f"sennit sim --random 1 --kind {kind} --seed {seed}"


def run_random(
    n: int, first: int, as_json: bool, kind: str = "mptcp", jobs: int = 1, hours: float | None = None
) -> int:
    """N random scenarios (0: until the hours are over); a line with its repro for each that fails."""
    failures: list[sim_fleet.Run] = []
    virtual, done = 0.0, 0
    began = time.monotonic()
    end = began + hours * 3600 if hours else None

    def going() -> bool:
        return end is None or time.monotonic() < end

    runs = sim_fleet.each(kind, first, n or -1, max(jobs, 1), going)
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(f"random {kind} scenarios", total=n or None)
            for run in runs:
                done += 1
                virtual += run.virtual_s
                if run.failure:
                    failures.append(run)
                    print(f"seed {run.seed}: {run.failure}\n  again: {repro(kind, run.seed)}", file=sys.stderr)
                bar.update(task, completed=done, description=f"{done} {kind} scenarios, {len(failures)} failed")
    except KeyboardInterrupt:
        if n:
            raise
        runs.close()
    wall = time.monotonic() - began
    failures.sort()
    if as_json:
        summary = {
            "scenarios": done,
            "failures": len(failures),
            "seed_first": first,
            "virtual_s": round(virtual, 3),
            "wall_s": round(wall, 3),
            "failed": [{"seed": f.seed, "reason": f.failure, "repro": repro(kind, f.seed)} for f in failures],
        }
        print(msgspec.json.encode(summary).decode())
    else:
        print(f"{done} scenarios, {len(failures)} failed; {virtual:.1f} s virtual, {wall:.1f} s wall")
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """`sennit sim`."""
    parser = make_parser()
    o = parser.parse_args(argv)
    _refuse_ignored(o, parser)
    if o.congestion_report:
        from sennit.tools import congestion_report

        return congestion_report.write(Path(o.congestion_report))
    seed = 1 if o.seed is None else o.seed
    if o.soak is not None:
        if o.soak <= 0:
            raise UsageError(f"--soak {o.soak}: more than 0 hours")
        return run_random(0, int(time.time()) * 1000 if o.seed is None else seed, o.json, o.kind, o.jobs, o.soak)
    if o.random is not None and not (o.random == 1 and (o.pcap or o.picture)):
        if o.random < 1:
            raise UsageError(f"--random {o.random}: at least 1")
        return run_random(o.random, seed, o.json, o.kind, o.jobs)
    if o.random is not None:
        title = f"random {o.kind} scenario"
        scenario = sim_random.scenario(seed, o.kind)
    elif o.scenario is not None:
        file = sim_scenario.load(o.scenario)
        title = file.title or o.scenario.stem
        scenario = file.native()
        if o.seed is not None:
            scenario = msgspec.structs.replace(scenario, seed=o.seed)
    else:
        title, scenario = "simulating", scenario_of(o)
    return run_one(msgspec.structs.replace(scenario, pcap=o.pcap), o.json, o.picture, title)
