# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal. Dumb: everything shown is computed elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sennit.shm import messages
from sennit.tools import top_view, units

STATE_STYLE = {"RUN": "green", "DRAIN": "yellow", "BOOT": "yellow", "HALT": "yellow", "FAIL": "red", "STALLED": "red"}


def table(title: str, *columns: str, left: Iterable[str] = (), wraps: str = "") -> Table:
    """A plain table; columns named in `left` are text, the others numbers. wraps: the column that gives way."""
    made = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
        padding=(0, 1, 0, 0), caption_justify="left",
    )  # fmt: skip
    texts = set(left)
    for name in columns:
        made.add_column(name, justify="left" if name in texts else "right", no_wrap=name != wraps)
    return made


def blocks(*parts: RenderableType) -> Group:
    """One below the other, with an empty line between."""
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, Text()]
    return Group(*spaced[:-1])


def state(word: str) -> Text:
    return Text(word, style=STATE_STYLE.get(word, "yellow"))


# ------------------------------------------------------------------------------------------------------------- status


def status(shown: messages.Status, max_conns: int) -> RenderableType:
    """`sennit status`."""
    parts: list[RenderableType] = [
        Text.assemble(
            ("sennit ", "bold"), (shown.instance, "bold cyan"),
            f"  version {shown.version}  pid {shown.pid}  up {units.span(shown.uptime_s)}",
        ),
        _workers(shown.workers),
        _ports(shown.ports),
    ]  # fmt: skip
    if shown.sessions:
        parts.append(_sessions(shown.sessions))
    if shown.memory.bytes_per_connection:
        parts.append(_memory(shown.memory))
    parts.append(_conns(shown, max_conns))
    parts.append(endpoints(shown.endpoints))
    parts.append(limits(shown.limits))
    return blocks(*parts)


def _workers(workers: Sequence[messages.WorkerInfo]) -> Table:
    made = table(
        "Workers", "worker", "lcore", "pid", "state", "up", "beat", "idle", "conns", "rx pkts", "tx pkts",
        "misdir", "retrans", "pool", "restarts", left=("state",),
    )  # fmt: skip
    for w in workers:
        made.add_row(
            str(w.worker), str(w.lcore), str(w.pid), state(w.state), units.span(w.uptime_s),
            units.ms(1000 * w.heartbeat_age_ms), units.percent(w.idle_share), str(w.conns),
            units.short(w.counters.get("rx_packets", 0)), units.short(w.counters.get("tx_packets", 0)),
            units.short(w.counters.get("misdirected", 0)), units.short(w.counters.get("tcp_retrans", 0)),
            units.percent(1 - w.pool_free / w.pool_size) if w.pool_size else "-", str(w.restarts),
        )  # fmt: skip
    return made


def _ports(ports: Sequence[messages.PortInfo]) -> Table:
    made = table(
        "Ports", "#", "name", "driver", "address", "gateway", "mtu", "queues", "steering", "offload",
        "rx pkts", "tx pkts", "missed", left=("name", "driver", "address", "gateway", "steering", "offload"),
    )  # fmt: skip
    for p in ports:
        made.add_row(
            str(p.index), f"{p.name} vlan {p.vlan}" if p.vlan else p.name, p.driver, "\n".join(p.addresses),
            "\n".join(p.gateways) or "-", str(p.mtu), str(p.queues), p.steering, "\n".join(p.offloads) or "software",
            units.short(p.rx_packets), units.short(p.tx_packets), units.short(p.rx_missed),
        )  # fmt: skip
    return made


def _sessions(sessions: Sequence[messages.SessionInfo]) -> Table:
    made = table("Applications", "session", "pid", "uid", "name", "memory", "age", left=("name",))
    for s in sessions:
        made.add_row(
            str(s.session), str(s.pid), str(s.uid), s.name or "-", units.size(s.shm_bytes), units.span(s.age_s)
        )
    return made


def _memory(m: messages.Memory) -> Text:
    return Text.assemble(
        ("Memory  ", "bold"),
        f"{m.bytes_per_connection} B per quiet connection, {m.bytes_per_subflow} B per further subflow; "
        f"tables {units.size(m.tables_used_bytes)} of {units.size(m.tables_bytes)}, buffers apart",
    )


def _conns(shown: messages.Status, max_conns: int) -> RenderableType:
    total = max(sum(w.conns for w in shown.workers), len(shown.conns))
    if not shown.conns:
        return Text(f"Connections: {total or 'none'}", style="bold")
    listed = shown.conns[:max_conns]
    names = {p.index: p.name for p in shown.ports}
    made = table(
        f"Connections ({total})", "connection", "path", "rtt", "cwnd", "flight", "sent", "received", "retrans",
        "queued", left=("connection", "path"), wraps="path",
    )  # fmt: skip
    for c in listed:
        role = "server" if c.server else "client"
        made.add_row(
            conn_name(c.worker, c.conn, "mptcp" if c.mptcp else "tcp", role, c.scheduler, c.state),
            Text(f"{c.local} → {c.remote}", style="bold"), "", "", "", octets(c.bytes_sent), octets(c.bytes_received),
            octets(c.bytes_retrans), octets(c.send_queue + c.recv_queue),
        )  # fmt: skip
        for s in c.subflows:
            made.add_row(
                Text.assemble(f"  └ {s.id} {names.get(s.port, s.port)}", flags(subflow_flags(s)), unusual(s.state)),
                Text(f"{s.local} → {s.remote}"), units.ms(s.srtt_us), octets(s.cwnd), octets(s.in_flight),
                octets(s.bytes_sent), octets(s.bytes_received), octets(s.bytes_retrans), "",
            )  # fmt: skip
    if total > len(listed):
        made.caption = f"{total - len(listed)} more: --max-conns {total}"
    return made


def conn_name(worker: int, conn: int, kind: str, role: str, scheduler: str, state: str) -> Text:
    """Which worker's connection, and what is worth mentioning of it. The upper bits of its number tell reuse apart."""
    name = Text(f"{worker}/{conn & 0xFFFFF}", style="bold")
    if kind == "tcp":
        name.append(" tcp", style="yellow")
    return Text.assemble(name, f" {role} {scheduler}", unusual(state))


def octets(value: float) -> str:
    return units.short(value, 1024)


def unusual(state: str) -> Text:
    """A state worth mentioning, in words."""
    word = state.lower().replace("_", "-")
    return Text("" if word == "established" else f" {word}", style="yellow")


def subflow_flags(s: messages.SubflowInfo) -> tuple[str, ...]:
    pairs = (("backup", s.backup), ("stale", s.stale), ("pending", not s.usable))
    return tuple(word for word, on in pairs if on)


def flags(words: Sequence[str]) -> Text:
    return Text("".join(f" {word}" for word in words), style="yellow")


def endpoints(shown: Sequence[messages.Endpoint]) -> RenderableType:
    if not shown:
        return Text("Endpoints: none", style="bold")
    made = table("Endpoints", "id", "address", "port", "flags", left=("address", "flags"))
    for e in shown:
        made.add_row(str(e.id), e.address, str(e.port or "-"), " ".join(e.flags) or "-")
    return made


def limits(shown: messages.Limits) -> RenderableType:
    return Text.assemble(
        ("Limits:", "bold"),
        f" subflow {shown.subflows} add_addr_accepted {shown.add_addr_accepted} ndiffports {shown.ndiffports}",
    )


def neighbours(shown: Sequence[messages.NeighbourInfo], ports: Sequence[messages.PortInfo]) -> RenderableType:
    if not shown:
        return Text("Neighbours: none", style="bold")
    names = {p.index: p.name for p in ports}
    made = table(
        "Neighbours", "address", "port", "mac", "state", "for", "heard", left=("address", "port", "mac", "state")
    )
    for n in shown:
        heard = "-" if n.confirmed_s is None else f"{units.span(n.confirmed_s)} ago"
        made.add_row(
            n.address, names.get(n.port, str(n.port)), n.mac or "-", neighbour_state(n.state), units.span(n.since_s),
            heard,
        )  # fmt: skip
    return made


def neighbour_state(word: str) -> Text:
    return Text(word, style={"REACHABLE": "green", "FAILED": "red"}.get(word, "yellow"))


def routes(rows: Sequence[Sequence[str]]) -> RenderableType:
    """Rows of destination, router, port, source address, origin."""
    made = table("Routes", *(columns := ("destination", "via", "port", "source", "kind")), left=columns)
    for row in rows:
        made.add_row(*row)
    return made


# ---------------------------------------------------------------------------------------------------------------- top


def top(view: top_view.TopView) -> RenderableType:
    """`sennit top`."""
    since = f"every {view.interval_s:.1f} s" if view.interval_s else "since start"
    head = Text.assemble(
        ("sennit ", "bold"), (view.instance, "bold cyan"),
        f"  up {units.span(view.uptime_s)}  connections {view.conns_total}  applications {view.sessions}  ",
        ("rx ", "dim"), units.rate(view.rx_bit_s), ("  tx ", "dim"), units.rate(view.tx_bit_s), (f"  {since}", "dim"),
    )  # fmt: skip
    conns = _top_conns(view) if view.conns else Text("no connections", style="dim")
    return blocks(head, _top_lcores(view), _top_ports(view), conns)


def _top_lcores(view: top_view.TopView) -> Table:
    made = table(
        "Lcores", "lcore", "state", "rx/s", "tx/s", "rx bit/s", "tx bit/s", "bursts/s", "per burst", "idle", "",
        "conns", "misdir/s", "retrans/s", "drops/s", left=("state", ""),
    )  # fmt: skip
    for w in view.lcores:
        made.add_row(
            str(w.lcore), state(w.state), units.short(w.rx_pps), units.short(w.tx_pps), units.short(w.rx_bit_s),
            units.short(w.tx_bit_s), units.short(w.bursts_s), f"{w.burst_size:.1f}", units.percent(w.idle_share),
            Text(units.bar(1 - w.idle_share, 5), style="cyan"), str(w.conns), _warn(w.misdirected_s),
            _warn(w.retrans_s), _warn(w.drops_s),
        )  # fmt: skip
    return made


def _warn(value: float) -> Text:
    return Text(units.short(value), style="yellow" if value >= 0.5 else "")


def _top_ports(view: top_view.TopView) -> Table:
    made = table(
        "Ports", "#", "name", "address", "steering", "rx/s", "tx/s", "rx bit/s", "tx bit/s", "missed/s",
        left=("name", "address", "steering"),
    )  # fmt: skip
    for p in view.ports:
        made.add_row(
            str(p.index), p.name, p.address, p.steering, units.short(p.rx_pps), units.short(p.tx_pps),
            units.short(p.rx_bit_s), units.short(p.tx_bit_s), _warn(p.missed_s),
        )  # fmt: skip
    return made


def _top_conns(view: top_view.TopView) -> Table:
    made = table(
        "Connections", "connection", "path", "share", "", "rx bit/s", "tx bit/s", "rtt", "cwnd", "retr/s",
        left=("connection", "path", ""), wraps="path",
    )  # fmt: skip
    for c in view.conns:
        made.add_row(
            conn_name(c.worker, c.conn, c.kind, c.role, c.scheduler, c.state),
            Text(f"{c.local} → {c.remote}", style="bold"), "", "", Text(units.short(c.rx_bit_s), style="bold"),
            Text(units.short(c.tx_bit_s), style="bold"), "", "", "",
        )  # fmt: skip
        for s in c.subflows:
            made.add_row(
                Text.assemble(f"  └ {s.id} {s.port}", flags(s.flags), unusual(s.state)),
                Text(f"{s.local} → {s.remote}"),
                units.percent(s.share), Text(units.bar(s.share, 6), style="cyan"), units.short(s.rx_bit_s),
                units.short(s.tx_bit_s), units.ms(s.srtt_us), octets(s.cwnd), _warn(s.retrans_s),
            )  # fmt: skip
    if view.conns_hidden:
        made.caption = f"{view.conns_hidden} more connections"
    return made


# ------------------------------------------------------------------------------------------------------------- doctor


def doctor(findings: Iterable[tuple[str, bool, str]]) -> RenderableType:
    """`sennit doctor`: name, whether it is well, a sentence."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("check", "", "found"):
        made.add_column(name)
    for name, ok, sentence in findings:
        made.add_row(name, Text("ok", style="green") if ok else Text("no", style="red"), sentence)
    return made
