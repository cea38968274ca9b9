# SPDX-License-Identifier: Apache-2.0
"""Time-sequence pictures from the simulator's table of segments (`segments`): per subflow and direction with payload,
what was sent, sent again, acknowledged and selectively acknowledged, as the sender saw it."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SYN, FIN, RST, ACK = 2, 1, 4, 16
MOST = 8  # flows drawn; the ones with most payload


class Bar(NamedTuple):
    """A range of sequence space at a moment."""

    at: float
    low: int
    high: int


@dataclass
class Flow:
    """One direction of one subflow."""

    path: int
    host: str
    ports: tuple[int, int]
    sent: list[Bar] = field(default_factory=list)
    again: list[Bar] = field(default_factory=list)
    sack: list[Bar] = field(default_factory=list)
    ack: list[tuple[float, int]] = field(default_factory=list)
    marks: list[tuple[float, int, str]] = field(default_factory=list)  # FIN, RST
    first: int | None = None
    top: int = 0
    payload: int = 0

    def offset(self, seq: int) -> int:
        """Bytes since the SYN, whatever wrapped in between."""
        assert self.first is not None
        near = (seq - self.first - self.top) & 0xFFFFFFFF
        return self.top + (near - (1 << 32) if near >= 1 << 31 else near)


def read(table: Path) -> list[Flow]:
    """The flows that carried payload, largest first."""
    flows: dict[tuple[str, int, int, int], Flow] = {}
    start: int | None = None
    with table.open(newline="") as f:
        for row in csv.DictReader(f):
            at, host, sent = int(row["time_ns"]), row["host"], row["sent"] == "1"
            start = at if start is None else start
            t = (at - start) / 1e9
            mine, other = int(row["sport"]), int(row["dport"])
            ports = (mine, other) if sent else (other, mine)
            key = (host, int(row["path"]), *ports)
            flow = flows.setdefault(key, Flow(key[1], host, ports))
            flags, seq, ack, length = (int(row[k]) for k in ("flags", "seq", "ack", "payload"))
            if sent:
                _sent(flow, t, flags, seq, length)
            elif flow.first is not None and flags & ACK:
                top = flow.offset(ack)
                if top <= flow.top + 2:
                    flow.ack.append((t, max(top, flow.ack[-1][1] if flow.ack else 0)))
                for block in row["sack"].split():
                    left, right = (flow.offset(int(v)) for v in block.split("-"))
                    if left >= top:
                        flow.sack.append(Bar(t, left, right))
    return sorted((f for f in flows.values() if f.payload), key=lambda f: -f.payload)[:MOST]


def _sent(flow: Flow, t: float, flags: int, seq: int, length: int) -> None:
    if flow.first is None:
        flow.first = seq
    low = flow.offset(seq)
    if flags & (FIN | RST):
        flow.marks.append((t, low + length, "FIN" if flags & FIN else "RST"))
    if not length:
        return
    high = low + length
    (flow.again if low < flow.top else flow.sent).append(Bar(t, low, high))
    flow.top = max(flow.top, high)
    flow.payload += length


def draw(table: Path, out: Path, title: str = "") -> None:
    """Writes the picture (the suffix says which format)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    flows = read(table)
    if not flows:
        raise ValueError("no flow with payload: nothing to draw")
    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#999999",
        "axes.grid": True,
        "grid.color": "#e8e8e8",
        "grid.linewidth": 0.6,
    }
    with plt.rc_context(style):
        height = 5.0 if len(flows) == 1 else 3.0 * len(flows)
        fig, axes = plt.subplots(len(flows), 1, sharex=True, squeeze=False, figsize=(11, height + 0.8))
        width = 2.4 if sum(len(f.sent) for f in flows) < 4000 else 1.4
        for axis, flow in zip(axes[:, 0], flows, strict=True):
            _panel(axis, flow, width)
        axes[-1, 0].set_xlabel("time (s)")
        legend = [
            Line2D([], [], color=COLOURS["sent"], lw=3, label="sent"),
            Line2D([], [], color=COLOURS["again"], lw=3, label="sent again"),
            Line2D([], [], color=COLOURS["ack"], lw=1.2, label="acknowledged"),
            Line2D([], [], color=COLOURS["sack"], lw=3, label="SACK"),
        ]
        fig.legend(handles=legend, loc="upper right", ncols=4, frameon=False, bbox_to_anchor=(0.99, 0.995))
        fig.suptitle(title or "time-sequence", x=0.01, ha="left", fontsize=11, fontweight="bold")
        fig.tight_layout(rect=(0, 0, 1, 0.97 if len(flows) > 2 else 0.95))
        fig.savefig(out, dpi=130)
        plt.close(fig)


COLOURS = {"sent": "#3b6fb6", "again": "#d1342f", "ack": "#2e8b57", "sack": "#e8a33d"}


def _panel(axis: Any, flow: Flow, width: float) -> None:
    scale, unit = (1 << 20, "MiB") if flow.top >= 4 << 20 else (1 << 10, "KiB") if flow.top >= 4096 else (1, "bytes")
    for bars, colour, z in (
        (flow.sack, COLOURS["sack"], 2),
        (flow.sent, COLOURS["sent"], 3),
        (flow.again, COLOURS["again"], 5),
    ):
        if bars:
            thick = width * 1.3 if colour == COLOURS["again"] else width
            axis.vlines(
                [b.at for b in bars],
                [b.low / scale for b in bars],
                [b.high / scale for b in bars],
                color=colour,
                linewidth=thick,
                alpha=0.6 if colour == COLOURS["sack"] else 1.0,
                zorder=z,
            )
    # A retransmission is small against the whole: a mark makes it seen.
    axis.plot(
        [b.at for b in flow.again], [b.low / scale for b in flow.again], ".", color=COLOURS["again"], ms=3.5, zorder=6
    )
    if flow.ack:
        axis.step(
            [t for t, _ in flow.ack],
            [v / scale for _, v in flow.ack],
            where="post",
            color=COLOURS["ack"],
            linewidth=1.2,
            zorder=4,
        )
    seen: dict[str, int] = defaultdict(int)
    for t, at, word in flow.marks:
        seen[word] += 1
        if seen[word] == 1:
            place: dict[str, Any] = {"textcoords": "offset points", "xytext": (3, -10)}
            axis.annotate(word, (t, at / scale), fontsize=7, color="#666666", **place)
    direction = "client to server" if flow.host == "a" else "server to client"
    axis.set_ylabel(f"sequence ({unit})")
    axis.set_title(
        f"path {flow.path}, {direction}, port {flow.ports[0]} to {flow.ports[1]}: "
        f"{len(flow.sent)} segments, {len(flow.again)} sent again",
        loc="left",
        fontsize=9,
    )
    axis.margins(x=0.01, y=0.03)
