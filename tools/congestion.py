# SPDX-License-Identifier: Apache-2.0
"""Congestion control shown in the simulator: each experiment gives a table, a verdict and what its picture needs.
`sennit sim --congestion-report docs/` writes docs/congestion.md and its pictures."""

from __future__ import annotations

import bisect
import csv
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sennit.tools import sim_driver as driver

CONTROLS = ("newreno", "cubic", "bbr", "dctcp")
FRAME, PAYLOAD = 1514, 1448
MBIT, DELAY_MS = 1000.0, 5.0
LINE = MBIT * PAYLOAD / FRAME  # Mbit/s of payload that the wire can carry


class Point(NamedTuple):
    """One moment of one connection."""

    at: float
    received: int
    cwnd: int
    srtt_ms: float
    queue: int


class Curve(NamedTuple):
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    style: str = "-"
    color: str | None = None


class Panel(NamedTuple):
    x: str
    y: str
    curves: tuple[Curve, ...]
    log: str = ""  # "x", "y" or both
    marks: tuple[tuple[float, str], ...] = ()  # horizontal lines
    steps: bool = False  # a value holds until the next one
    zero: bool = False  # the y axis begins at 0


class Result(NamedTuple):
    """One row of the report."""

    name: str
    title: str
    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wanted: str
    met: bool
    panels: tuple[Panel, ...]


class Run(NamedTuple):
    outcome: driver.Outcome
    points: dict[int, tuple[Point, ...]]

    def rate(self, conn: int, begin: float, end: float) -> float:
        """Mbit/s of payload that arrived between two moments."""
        return (self.received(conn, end) - self.received(conn, begin)) * 8 / (end - begin) / 1e6

    def received(self, conn: int, at: float) -> int:
        """Bytes up to a moment; a sample taken at that moment counts, however its time was rounded."""
        seen = self.points.get(conn, ())
        i = bisect.bisect_right(seen, at + 1e-6, key=lambda p: p.at)
        return seen[i - 1].received if i else 0


def links(
    mbit: float, delay_ms: float, *, loss: float = 0.0, loss_every: int = 0, queue_ms: float | None = None, ecn: int = 0
) -> dict[str, Any]:
    """One path; only data is lost, acknowledgments come back."""
    back = driver.path(mbit, delay_ms, 0.0, queue_ms)
    forth = msgspec.structs.replace(back, loss=loss, loss_every=loss_every, ecn_bytes=ecn)
    return {"ab": (forth,), "ba": (back,)}


def _points(path: Path) -> dict[int, tuple[Point, ...]]:
    found: dict[int, list[Point]] = {}
    with path.open() as f:
        for row in csv.DictReader(f):
            point = Point(
                float(row["time_s"]), int(row["received"]), int(row["cwnd"]), float(row["srtt_us"]) / 1000,
                int(row["queue_bytes"]),
            )  # fmt: skip
            found.setdefault(int(row["conn"]), []).append(point)
    return {conn: tuple(points) for conn, points in found.items()}


def run(scenario: driver.Scenario, every_ms: float = 10.0) -> Run:
    """Plain TCP between the hosts, traced."""
    with tempfile.TemporaryDirectory() as scratch:
        trace = Path(scratch) / "trace.csv"
        scenario = msgspec.structs.replace(
            scenario, tcp_a=True, tcp_b=True, trace=str(trace), trace_ns=round(every_ms * driver.MS)
        )
        outcome = driver.run(scenario)
        if not outcome.completed:
            raise RuntimeError(f"a run failed: {outcome.failure}")
        return Run(outcome, _points(trace))


def bulk(cc: str, seconds: float, mbit: float = MBIT, conns: int = 1, **rest: Any) -> driver.Scenario:
    """Enough bytes for so many seconds at full rate; buffers and windows do not limit."""
    scenario = driver.Scenario(
        ab=(), ba=(), cc=cc, conns=conns, bytes_ab=round(mbit * 1e6 / 8 * seconds / conns), rcvbuf=64 << 20,
        arena=64 << 20, rx_slots=4096,
    )  # fmt: skip
    return msgspec.structs.replace(scenario, **rest)


def _rates(found: Run, conn: int, end: float, step: float) -> Iterator[tuple[float, float]]:
    for i in range(1, round(end / step) + 1):
        yield i * step, found.rate(conn, (i - 1) * step, i * step)


def _curve(label: str, pairs: Iterator[tuple[float, float]], style: str = "-") -> Curve:
    x, y = zip(*pairs, strict=True)
    return Curve(label, tuple(x), tuple(y), style)


def full_rate(seconds: float = 12.0) -> Result:
    """One flow, no loss: the line is full."""
    rows, rate, queue, worst = [], [], [], 1.0
    for cc in CONTROLS:
        ecn = 200 * FRAME if cc == "dctcp" else 0
        found = run(bulk(cc, seconds, **links(MBIT, DELAY_MS, ecn=ecn)))
        end = seconds - 1.5
        steady, whole = found.rate(0, 1, end) / LINE, found.rate(0, 0, end) / LINE
        worst = min(worst, steady)
        dropped = found.outcome.paths[0].overflow[0]
        rows.append((cc, f"{steady:.1%}", f"{whole:.1%}", str(dropped), str(found.outcome.retransmissions)))
        rate.append(_curve(cc, _rates(found, 0, end, 0.1)))
        seen = [p for p in found.points[0] if p.at <= end]
        queue.append(Curve(cc, tuple(p.at for p in seen), tuple(p.queue / 1000 for p in seen)))
    return Result(
        "full-rate", "One flow fills the line",
        "1 Gbit/s, round trip 10 ms, a queue of one bandwidth-delay product (DCTCP: marking at 200 frames), no loss. "
        f"Share of the line's payload rate ({LINE:.1f} Mbit/s with {FRAME}-byte frames).",
        ("control", f"from 1 s to {seconds - 1.5:g} s", "from the start", "queue drops", "retransmissions"),
        tuple(rows),
        "at least 98 % with every control", worst >= 0.98,
        (Panel("s", "Mbit/s", tuple(rate), marks=((LINE, "line"),), zero=True),
         Panel("s", "queue, kB", tuple(queue), zero=True)),
    )  # fmt: skip


def random_loss(seconds: float = 10.0, losses: Sequence[float] = (0.0, 0.001, 0.003, 0.01, 0.02)) -> Result:
    """BBR and CUBIC under independent loss."""
    rows, curves, met = [], [], False
    for cc in ("bbr", "cubic"):
        shares = []
        for loss in losses:
            length = seconds if cc == "bbr" and loss <= 0.01 else seconds / 10
            found = run(bulk(cc, length, **links(MBIT, DELAY_MS, loss=loss)))
            goodput = found.outcome.received[0] * 8 / found.outcome.conn_s[0] / 1e6
            capacity = LINE * (1 - loss)
            shares.append(goodput / capacity)
            rows.append((cc, f"{loss:.1%}", f"{goodput:.0f}", f"{capacity:.0f}", f"{goodput / capacity:.1%}"))
            if (cc, loss) == ("bbr", 0.01):
                met = goodput >= 0.9 * capacity
        curves.append(Curve(cc, tuple(x * 100 for x in losses), tuple(shares), "o-"))
    return Result(
        "random-loss", "Independent loss",
        "The same line, data frames are lost at random. Whole transfers, their start included. BBR's design gives way "
        "at 2 % and more: that is its limit for what loss a queue of its own may cause.",
        ("control", "loss", "Mbit/s", "capacity x (1 - p)", "share"), tuple(rows),
        "BBR at least 90 % of capacity x (1 - p) at 1 %", met,
        (Panel("loss, %", "share of capacity x (1 - p)", tuple(curves), marks=((0.9, "wanted of BBR at 1 %"),),
               zero=True),),
    )  # fmt: skip


def response(every: Sequence[tuple[float, int]] = ((100, 1000), (100, 3333), (100, 10000), (100, 33333), (10, 1000),
                                                   (10, 10000))) -> Result:  # fmt: skip
    """CUBIC's average window against RFC 9438 5.1 (its own curve) and 4.3 (Reno-friendly), whichever is larger."""
    rows, worst = [], 0.0
    measured: dict[float, list[tuple[float, float, float]]] = {}
    for rtt_ms, packets in every:
        p = 1 / packets
        count = min(packets * 150, 3_000_000)
        path = links(10_000, rtt_ms / 2, loss_every=packets, queue_ms=100)
        found = run(bulk("cubic", 1, bytes_ab=count * PAYLOAD, **path))
        last = found.points[0][-1].at
        window = found.rate(0, last / 2, last) * 1e6 / 8 / PAYLOAD * rtt_ms / 1000
        cubic = (0.4 * 3.7 / 1.2) ** 0.25 * (rtt_ms / 1000) ** 0.75 / p**0.75
        reno = (1.5 / p) ** 0.5
        wanted = max(cubic, reno)
        worst = max(worst, abs(window / wanted - 1))
        figures = (f"{window:.1f}", f"{cubic:.1f}", f"{reno:.1f}", f"{window / wanted - 1:+.1%}")
        rows.append((f"{rtt_ms:g} ms", f"1 of {packets}", *figures))
        measured.setdefault(rtt_ms, []).append((p, window, wanted))
    curves = []
    for i, (rtt_ms, points) in enumerate(measured.items()):
        x, y, z = (tuple(part) for part in zip(*points, strict=True))
        curves.append(Curve(f"{rtt_ms:g} ms, measured", x, y, "o", f"C{i}"))
        curves.append(Curve(f"{rtt_ms:g} ms, RFC 9438", x, z, "-", f"C{i}"))
    return Result(
        "cubic-response", "CUBIC's response function",
        "One segment in every so many is lost, at regular intervals; the window is the delivered rate times the round "
        "trip, averaged over the second half of at least 90 losses. RFC 9438: the larger of CUBIC's own curve (5.1) "
        "and that of the Reno flow it never falls behind (4.3).",
        ("round trip", "loss", "window, segments", "CUBIC curve", "Reno-friendly", "difference"), tuple(rows),
        "within 10 % of the larger", worst <= 0.1,
        (Panel("loss probability", "window, segments", tuple(curves), log="xy"),),
    )  # fmt: skip


def jain(values: Sequence[float]) -> float:
    square = sum(v * v for v in values)
    return sum(values) ** 2 / (len(values) * square) if square else 0.0


class Pair(NamedTuple):
    """Two flows of a kind, the second a second later."""

    found: Run
    jains: tuple[float, ...]  # Jain's index of each of the first ten seconds of the second flow
    reached: float  # seconds after which one of them was 0.95, infinity if none was


def pair(cc: str, mbit: float = MBIT, seed: int = 1) -> Pair:
    ecn = 200 * FRAME if cc == "dctcp" else 0
    scenario = bulk(cc, 17.0, mbit, conns=2, start_gap_ns=driver.SECOND, seed=seed, **links(mbit, DELAY_MS, ecn=ecn))
    found = run(scenario, 50)
    index = tuple(jain([found.rate(c, t, t + 1) for c in (0, 1)]) for t in range(1, 11))
    return Pair(found, index, next((t for t, value in enumerate(index, 1) if value >= 0.95), float("inf")))


def fairness(mbit: float = MBIT, seeds: int = 5) -> Result:
    """Two flows of a kind; the second comes later. BBR probes at random moments: the median of several runs."""
    rows, panels, slowest = [], [], 0.0
    for cc in CONTROLS:
        runs = sorted(
            (pair(cc, mbit, seed) for seed in range(1, 1 + (seeds if cc == "bbr" else 1))), key=lambda r: r.reached
        )
        one = runs[len(runs) // 2]
        slowest = max(slowest, one.reached)
        times = [f"{r.reached:.0f} s" if r.reached <= 10 else "later" for r in runs]
        reached = times[len(runs) // 2] + (f" ({', '.join(times)})" if len(runs) > 1 else "")
        rows.append((cc, *(f"{one.jains[t - 1]:.3f}" for t in (1, 3, 5, 7, 10)), reached))
        curves = tuple(_curve(f"flow {c + 1}", _rates(one.found, c, 11.0, 0.25)) for c in (0, 1))
        panels.append(Panel("s", f"{cc}, Mbit/s", curves, zero=True))
    return Result(
        "fairness", "Two equal flows",
        "Two flows of a kind share the line; the second begins 1 s after the first, which has the line for itself "
        "until then. Jain's index of what both got in a second, counted from the beginning of the second flow. "
        f"BBR probes at random moments: shown is the median of {seeds} runs, and when each of them was there.",
        ("control", "1st s", "3rd", "5th", "7th", "10th", "0.95 reached after"), tuple(rows),
        "Jain's index at least 0.95 within 10 s", slowest <= 10, tuple(panels),
    )  # fmt: skip


def marking(frames: Sequence[tuple[float, int]] = ((0.1, 20), (0.1, 65), (0.5, 65)), seconds: float = 2.5) -> Result:
    """DCTCP keeps the queue at the marking threshold; CUBIC with the same marks for comparison."""
    rows, curves, near = [], [], True
    for cc in ("dctcp", "cubic"):
        for delay_ms, threshold in frames:
            path = links(MBIT, delay_ms, queue_ms=16, ecn=threshold * FRAME)
            found = run(bulk(cc, seconds, conns=2, ecn=3, **path), 0.5)
            end = seconds * 0.8
            queue = sorted(p.queue / FRAME for p in found.points[0] if 0.5 < p.at < end)
            used = sum(found.rate(c, 0.5, end) for c in (0, 1)) / LINE
            low, mid, high = (queue[int(len(queue) * q)] for q in (0.05, 0.5, 0.95))
            marked = found.outcome.paths[0].marked[0]
            figures = (f"{low:.0f}", f"{mid:.0f}", f"{high:.0f}", f"{used:.1%}", str(marked))
            rows.append((cc, f"{2 * delay_ms:g} ms", str(threshold), *figures))
            if cc == "dctcp":
                near &= 0.5 * threshold <= mid and high <= 1.5 * threshold and used >= 0.98
            if (delay_ms, threshold) == frames[0]:
                seen = [p for p in found.points[0] if 1.0 < p.at < 1.06]
                curves.append(Curve(cc, tuple(p.at for p in seen), tuple(p.queue / FRAME for p in seen)))
    return Result(
        "dctcp-queue", "DCTCP and the marking threshold",
        "Two flows at 1 Gbit/s; frames that find more than the threshold waiting are marked. Queue in frames, sampled "
        "every 0.5 ms; CUBIC with ECN (RFC 3168) on the same link for comparison.",
        ("control", "round trip", "threshold", "queue p5", "p50", "p95", "line used", "marked"), tuple(rows),
        "median between half the threshold and the threshold, p95 below one and a half, line at least 98 % used", near,
        (Panel("s", "queue, frames", tuple(curves), marks=((frames[0][1], "threshold"),), zero=True),),
    )  # fmt: skip


def messages(count: int = 30_000) -> Result:
    """1000-byte messages far apart: what a lost one costs is the tail timer's business."""
    rows, curves, met = [], [], True
    for profile in ("datacenter", "linux"):
        for loss in (0.0, 0.01, 0.03):
            scenario = driver.Scenario(
                **links(MBIT, DELAY_MS, loss=loss), tcp_a=True, tcp_b=True, profile=profile, bytes_ab=1000 * count,
                msg_bytes=1000, msg_every_ns=driver.SECOND, stall_ns=10_000 * driver.SECOND, bound_ns=10**9 * driver.MS,
            )  # fmt: skip
            out = driver.run(scenario)
            if not out.completed:
                raise RuntimeError(f"a run failed: {out.failure}")
            quantiles = (0.5, 0.99, 0.995, 0.999, 0.9999)
            at = {q: out.latency(q) for q in quantiles}
            rows.append((profile, f"{loss:.0%}", *(f"{at[q]:.1f}" for q in quantiles), f"{out.latency_max_ms:.1f}"))
            if profile == "datacenter":
                met &= at[0.999] <= 27 if loss == 0.01 else at[0.995] <= 27 if loss == 0.03 else at[0.9999] < 5.5
            elif loss:
                met &= 200 <= at[0.999 if loss == 0.01 else 0.99] <= 230
            if loss:
                total, x, y = 0, [], []
                for upper, n in out.latency_ms:
                    total += n
                    if total < out.messages:
                        x.append(upper)
                        y.append(1 - total / out.messages)
                curves.append(Curve(f"{profile}, {loss:.0%}", tuple(x), tuple(y)))
    return Result(
        "messages", "Small messages under loss",
        f"{count} messages of 1000 bytes: one a second at a time fixed beforehand, round trip 10 ms, "
        "independent loss of data. One-way time in ms. A message that is lost has nothing behind it: the tail "
        "probe mends it. Arithmetic for the Linux timers (a probe after 2 srtt and up to 200 ms for a delayed ACK, or "
        "RTO = srtt + 200 ms if that comes first): 210 + 5 = 215 ms, 425 ms after a second loss.",
        ("timers", "loss", "p50", "p99", "p99.5", "p99.9", "p99.99", "max"), tuple(rows),
        "data-centre timers: p99.9 at most 27 ms at 1 % and p99.5 at most 27 ms at 3 %; Linux timers: about 215 ms",
        met,
        (Panel("one-way time, ms", "share of messages later than that", tuple(curves), log="xy", steps=True),),
    )  # fmt: skip


EXPERIMENTS = (full_rate, random_loss, response, fairness, marking, messages)
