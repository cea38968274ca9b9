# SPDX-License-Identifier: Apache-2.0
"""What `sennit netlab` shows: two looks at a laboratory -> rates -> a table."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sennit.tools import link_spec, render, units
from sennit.tools.netlab_control import DROPS, DirectionStatus, LinkStatus, Status


@dataclass(frozen=True)
class Row:
    """One direction between two looks; rates per second."""

    link: str
    way: str
    setting: str
    up: bool
    bit_s: float
    load: float | None  # share of the rate; None without one
    frames_s: float
    drops_s: float
    drop_share: float
    drops: int  # since the start
    queue_bytes: int
    backlog_ms: float
    delay_ms: float | None  # measured; None: nothing arrived


def rows(before: Status | None, now: Status) -> list[Row]:
    """Pure. Without an earlier look: since the start."""
    seconds = (now.time_ns - before.time_ns) / 1e9 if before else now.uptime_s
    earlier = {link.name: link for link in before.links} if before else {}
    return [
        _row(link, way, getattr(earlier.get(link.name), side, None), getattr(link, side), max(seconds, 1e-9))
        for link in now.links
        for side, way in (("ab", f"{link.a} → {link.b}"), ("ba", f"{link.b} → {link.a}"))
    ]


def _drops(s: DirectionStatus) -> int:
    return sum(getattr(s, name) for name in DROPS)


def _row(link: LinkStatus, way: str, before: DirectionStatus | None, now: DirectionStatus, seconds: float) -> Row:
    def moved(name: str) -> int:
        return int(getattr(now, name)) - (int(getattr(before, name)) if before else 0)

    bit_s = 8 * moved("tx_bytes") / seconds
    frames, received = moved("tx_frames"), moved("rx_frames")
    drops = _drops(now) - (_drops(before) if before else 0)
    setting = now.setting
    return Row(
        link=link.name,
        way=way,
        setting=link_spec.words(setting),
        up=setting.up,
        bit_s=bit_s,
        load=bit_s / setting.rate_bps if setting.rate_bps else None,
        frames_s=frames / seconds,
        drops_s=drops / seconds,
        drop_share=drops / received if received > 0 else 0.0,
        drops=_drops(now),
        queue_bytes=now.queue_bytes,
        backlog_ms=now.backlog_ns / 1e6,
        delay_ms=moved("delay_ns") / frames / 1e6 if frames else None,
    )


def cpu_share(before: Status | None, now: Status) -> float:
    """Of one core."""
    if before is None:
        return now.load.cpu_ns / 1e9 / max(now.uptime_s, 1e-9)
    return (now.load.cpu_ns - before.load.cpu_ns) / max(now.time_ns - before.time_ns, 1)


def render_status(before: Status | None, now: Status) -> RenderableType:
    load = now.load
    head = Text.assemble(
        ("netlab ", "bold"), (now.name, "bold cyan"),
        f"  up {units.span(now.uptime_s)}  ", ("cpu ", "dim"), units.percent(cpu_share(before, now)),
        ("  frames waiting ", "dim"), f"{load.buffers_used} of {load.buffers}",
        ("  real time" if load.realtime else "  not in real time", "dim" if load.realtime else "yellow"),
    )  # fmt: skip
    hosts = Text("  ".join(f"{host}: ip netns exec {name} ..." for host, name in now.namespaces.items()), style="dim")
    return Group(head, _table(rows(before, now)), hosts)


def _table(shown: list[Row]) -> Table:
    made = render.table(
        "Links", "link", "from → to", "set to", "now", "", "frames/s", "queue", "delay", "drops/s", "drops",
        left=("link", "from → to", "set to", ""), wraps="set to",
    )  # fmt: skip
    last = ""
    for row in shown:
        state = Text("down", style="bold red") if not row.up else Text(units.rate(row.bit_s))
        bar = Text(units.bar(row.load, 6) if row.load is not None else "", style="cyan")
        made.add_row(
            row.link if row.link != last else "", row.way, row.setting, state, bar, units.short(row.frames_s),
            f"{row.backlog_ms:.1f} ms" if row.queue_bytes else "-",
            "-" if row.delay_ms is None else f"{row.delay_ms:.2f} ms",
            Text(f"{units.short(row.drops_s)} {100 * row.drop_share:.1f} %" if row.drops_s else "-",
                 style="yellow" if row.drops_s else ""),
            units.short(row.drops),
        )  # fmt: skip
        last = row.link
    return made
