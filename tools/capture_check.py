# SPDX-License-Identifier: Apache-2.0
"""Checks captures against RFC 8684: rebuilds connections from the keys on the wire and judges every MPTCP option, every
byte, checksum and window of both directions. Knows nothing of the engine. The rules are in capture_rules.py.

A capture has to hold the whole connections, from the first SYN on, of all paths: one file, or one per path."""

from __future__ import annotations

from pathlib import Path

from sennit.tools.capture_data import Data
from sennit.tools.capture_handshake import Handshake
from sennit.tools.capture_options import Capable, Dss, Join, Malformed, Option, decode
from sennit.tools.capture_read import ACK, FIN, RST, SYN, Segment, segments
from sennit.tools.capture_rules import Journal, Report, Summary
from sennit.tools.capture_signals import Signals
from sennit.tools.capture_state import Connection, Flow, Subflow

_End = tuple[bytes, int]


def check(path: Path, *more: Path) -> Report:
    """Judges one capture, given as one file or as one file per path."""
    checker = Checker()
    for segment in segments([path, *more]):
        checker.report.frames += 1
        if segment is not None:
            checker.take(segment)
    return checker.end()


class Checker:
    """Takes segments in the order of capture."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.report = self.journal.report
        self.handshake = Handshake(self.journal)
        self.data = Data(self.journal)
        self.signals = Signals(self.journal, self.handshake)
        self._subflows: dict[tuple[_End, _End], tuple[Subflow, int]] = {}

    def take(self, segment: Segment) -> None:
        report = self.report
        report.segments += 1
        report.cut += segment.cut
        found = self._find(segment)
        if found is None:
            report.without_start += 1
            return
        sub, side = found
        self._tcp(segment, sub, side)
        options = self._options(segment, sub)
        mapped = False
        for option in options:
            if isinstance(option, Capable):
                self.handshake.capable(segment, sub, side, option)
                mapped |= option.data_length is not None
            elif isinstance(option, Join):
                self.handshake.join(segment, sub, side, option)
            elif isinstance(option, Dss):
                mapped |= option.dsn is not None
        self._answers(segment, sub, side, options)
        conn = sub.conn
        if conn is None or conn.state != "mptcp" or not conn.keys_known:
            return
        for option in options:
            if isinstance(option, Dss):
                self.data.dss(segment, conn, sub, side, option)
            elif isinstance(option, Capable):
                self.data.capable(segment, conn, sub.flows[side], option)
            else:
                self.signals.take(segment, conn, sub, side, option)
        if segment.size and not segment.flags & SYN:
            self.data.payload(segment, conn, sub, side, mapped)
        self.data.window(segment, conn, sub, side)

    def _find(self, segment: Segment) -> tuple[Subflow, int] | None:
        """The subflow and its direction; a SYN with a new number begins one."""
        here, there = (segment.src, segment.sport), (segment.dst, segment.dport)
        found = self._subflows.get((here, there))
        if segment.flags & (SYN | ACK | RST) == SYN and (found is None or self._begins(segment, *found)):
            sub = Subflow((Flow(0), Flow(1)))
            found = sub, 0
            self._subflows[here, there] = found
            self._subflows[there, here] = sub, 1
        return found

    @staticmethod
    def _begins(segment: Segment, sub: Subflow, side: int) -> bool:
        flow = sub.flows[side]
        return flow.isn is not None and flow.isn != segment.seq

    def _tcp(self, segment: Segment, sub: Subflow, side: int) -> None:
        flow, other = sub.flows[side], sub.flows[1 - side]
        if segment.flags & SYN:
            flow.isn, flow.scale = segment.seq, segment.wscale
            if side and segment.flags & ACK:
                other.early = max(0, other.place(segment.ack) - 1)
        if segment.flags & RST:
            sub.reset = True
            return
        if flow.isn is None:
            return
        if segment.flags & ACK and other.isn is not None and other.place(segment.ack) > other.top:
            other.top = other.place(segment.ack)
            self.report.unseen += 1
            if sub.conn is not None:
                sub.conn.hosts[other.host].gap = True
        ends = segment.size + bool(segment.flags & SYN) + bool(segment.flags & FIN)
        flow.top = max(flow.top, flow.place(segment.seq) + ends)
        flow.fin |= bool(segment.flags & FIN)

    def _options(self, segment: Segment, sub: Subflow) -> list[Option]:
        options: list[Option] = []
        if segment.broken:
            self.journal.judge("option-form", segment, sub.conn, "an option reaches over the end of the header")
        for raw in segment.mptcp:
            self.report.options += 1
            option = decode(raw)
            wrong = isinstance(option, Malformed)
            self.journal.judge("option-form", segment, sub.conn, f"{raw.hex()}" if wrong else "")
            if option is not None and not isinstance(option, Malformed):
                options.append(option)
        return options

    def _answers(self, segment: Segment, sub: Subflow, side: int, options: list[Option]) -> None:
        """What the handshake asks of segments without its options."""
        conn = sub.conn
        if conn is None:
            return
        if sub.kind == "capable":
            plain = not any(isinstance(option, Capable) for option in options)
            if side and segment.flags & (SYN | ACK) == SYN | ACK and plain and not conn.keys_known:
                conn.state = "fallback"
            elif conn.state == "fallback" and not segment.flags & SYN:
                what = "an option of MPTCP" if segment.mptcp else ""
                self.journal.judge("fallback-silent", segment, conn, what)
        elif sub.kind == "join" and not segment.flags & (SYN | RST):
            if side and sub.authenticated:
                sub.established = True
            elif not side and segment.size:
                early = "" if sub.established else f"{segment.size} bytes"
                self.journal.judge("join-data-early", segment, conn, early)

    def end(self) -> Report:
        for conn in self.handshake.connections:
            if conn.state == "mptcp" and not any(host.mapped or host.signalled for host in conn.hosts):
                conn.state = "fallback" if conn.keys_known else "refused"
            self.data.end(conn)
            self.signals.end(conn)
            for host, peer in (conn.hosts, conn.hosts[::-1]):
                end = peer.data_acked if host.fin is None else min(peer.data_acked, host.fin)
                if conn.state == "mptcp" and not any(h.infinite for h in conn.hosts):
                    self.report.lacking += host.stream.lacks(end)
            self.report.connections.append(_summary(conn))
        return self.report


def _summary(conn: Connection) -> Summary:
    first, second = conn.hosts
    return Summary(
        token=conn.token,
        first_frame=conn.first.name,
        state=conn.state,
        subflows=sum(sub.kind == "capable" or sub.established for sub in conn.subflows),
        checksums=conn.checksums,
        octets=(first.stream.total(), second.stream.total()),
        data_fin=(first.fin is not None, second.fin is not None),
    )
