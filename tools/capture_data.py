# SPDX-License-Identifier: Apache-2.0
"""The capture checker's rules of data: mappings, bytes, checksums, DATA_ACK, windows, DATA_FIN (RFC 8684 3.3, 3.7)."""

from __future__ import annotations

from sennit.tools.capture_options import Capable, Dss
from sennit.tools.capture_read import ACK, RST, SYN, Segment
from sennit.tools.capture_rules import Journal
from sennit.tools.capture_spans import near
from sennit.tools.capture_state import Connection, Flow, Host, Subflow

# How far beyond all that is known data is still stored; what is further away is a finding, not memory.
FAR = 64 << 20


def ones_sum(data: bytes) -> int:
    """The sum of 16-bit words modulo 0xffff."""
    return int.from_bytes(data + b"\0" if len(data) & 1 else data) % 0xFFFF


def header_sum(host: Host, offset: int, ssn: int, length: int) -> int:
    dsn = (host.idsn + 1 + offset) % (1 << 64)
    return ones_sum(dsn.to_bytes(8) + (ssn % (1 << 32)).to_bytes(4) + length.to_bytes(2))


class Data:
    """Judges one segment at a time; all state is in the connection."""

    def __init__(self, journal: Journal):
        self.journal = journal

    def dss(self, segment: Segment, conn: Connection, sub: Subflow, side: int, option: Dss) -> None:
        flow = sub.flows[side]
        host, peer = conn.hosts[flow.host], conn.hosts[1 - flow.host]
        judge = self.journal.judge
        judge("dss-form", segment, conn, f"reserved bits {option.reserved:#x}" if option.reserved else "")
        host.signalled = True
        if option.ack is not None:
            self._data_ack(segment, conn, sub, side, option, host, peer)
        if option.dsn is None:
            return
        offset = host.offset(option.dsn, 64 if option.dsn_wide else 32)
        if option.length == 0:
            self._infinite(segment, conn, host, option)
            return
        judge(
            "infinite-final", segment, conn,
            "a mapping although all is mapped" if host.infinite and segment.size else "",
        )  # fmt: skip
        there = option.checksum is not None
        judge(
            "dss-checksum-there", segment, conn,
            f"checksum {'there' if there else 'missing'}" if there != conn.checksums else "",
        )  # fmt: skip
        if segment.size == 0:
            self._lone_fin(segment, conn, host, offset, option)
            return
        place = flow.place(segment.seq) - flow.early
        ssn = near(option.ssn, 32, place)
        if option.dsn_wide:
            carried = offset + max(0, place - ssn)
            host.wide_from = carried if host.wide_from is None else min(host.wide_from, carried)
        self._mapping(segment, conn, flow, host, offset, ssn, option.length, option.checksum, option.fin)

    def capable(self, segment: Segment, conn: Connection, flow: Flow, option: Capable) -> None:
        """MP_CAPABLE with data is a mapping."""
        host = conn.hosts[flow.host]
        if option.data_length is None or not segment.size:
            return
        self._mapping(segment, conn, flow, host, 0, 1, option.data_length, option.checksum, False)

    def _infinite(self, segment: Segment, conn: Connection, host: Host, option: Dss) -> None:
        judge = self.journal.judge
        host.infinite = True
        judge("infinite-form", segment, conn, f"checksum {option.checksum:#06x}" if option.checksum else "")
        others = sum(sub.alive for sub in conn.subflows)
        judge("infinite-alone", segment, conn, f"{others} subflows are in use" if others > 1 else "")

    def _lone_fin(self, segment: Segment, conn: Connection, host: Host, offset: int, option: Dss) -> None:
        judge = self.journal.judge
        if not option.fin:
            judge("mapping-here", segment, conn, "a mapping on a segment without data")
            return
        form = option.ssn == 0 and option.length == 1
        judge("data-fin-form", segment, conn, "" if form else f"ssn {option.ssn}, length {option.length}")
        if form:
            self._fin(segment, conn, host, offset)
            if option.checksum is not None:
                wrong = (header_sum(host, offset, 0, 1) + option.checksum) % 0xFFFF
                judge("dss-checksum", segment, conn, f"{option.checksum:#06x} of a lone DATA_FIN" if wrong else "")

    def _fin(self, segment: Segment, conn: Connection, host: Host, offset: int) -> None:
        moved = host.fin is not None and host.fin != offset
        short = host.high > offset + (host.fin is not None)
        what = f"at byte {offset}, before at {host.fin}" if moved else f"at byte {offset}, data up to {host.high}"
        self.journal.judge("data-fin-stable", segment, conn, what if moved or short else "")
        if host.fin is None:
            host.fin = offset
        host.high = max(host.high, offset + 1)

    def _mapping(
        self, segment: Segment, conn: Connection, flow: Flow, host: Host, offset: int, ssn: int, length: int,
        checksum: int | None, fin: bool,
    ) -> None:  # fmt: skip
        judge = self.journal.judge
        place = flow.place(segment.seq) - flow.early
        size = length - fin
        first = offset >= 0 and (offset > 0 or host.mapped or ssn == 1)
        host.mapped = True
        judge("mapping-start", segment, conn, "" if first else f"byte {offset} at subflow number {ssn}")
        here = ssn < place + segment.size and place < ssn + size
        judge(
            "mapping-here", segment, conn,
            "" if here else f"maps {ssn} to {ssn + size}, carries {place} to {place + segment.size}",
        )  # fmt: skip
        if offset < 0 or offset > max(host.high, host.edge or 0) + FAR:
            judge("window-used", segment, conn, f"byte {offset} is far from everything" if offset > 0 else "")
            return
        clash = flow.mappings.add(ssn, ssn + size, offset - ssn)
        judge("mapping-fixed", segment, conn, "" if clash is None else f"subflow number {clash} was another byte")
        if clash is not None:
            return
        host.starts.add(offset)
        if fin:
            self._fin(segment, conn, host, offset + size)
        if checksum is not None:
            key = (offset, ssn, length, checksum, fin)
            if key not in flow.checked_sums:
                flow.open_sums.setdefault(key, segment)

    def payload(self, segment: Segment, conn: Connection, sub: Subflow, side: int, mapped: bool) -> None:
        flow = sub.flows[side]
        host = conn.hosts[flow.host]
        if any(h.infinite for h in conn.hosts):
            return
        if sub.kind == "capable" and not flow.confirmed and conn.hosts[0].mapped | conn.hosts[1].mapped:
            self.journal.judge("mapping-until-acked", segment, conn, "" if mapped else "no mapping")
        place = flow.place(segment.seq) - flow.early
        self._bytes(segment, conn, flow, host, place, segment.payload)
        if flow.unmapped and mapped:
            waiting, flow.unmapped = flow.unmapped, []
            for late, start, data in waiting:
                self._bytes(late, conn, flow, host, start, data)
        if flow.open_sums:
            self._sums(conn, flow, host)

    def _bytes(self, segment: Segment, conn: Connection, flow: Flow, host: Host, place: int, data: bytes) -> None:
        """Takes the parts that are mapped into the stream; keeps the others until a mapping comes."""
        judge = self.journal.judge
        for start, end, shift in flow.mappings.pieces(place, place + len(data)):
            part = data[start - place : end - place]
            if shift is None:
                flow.unmapped.append((segment, start, part))
                continue
            judge("mapping-covers", segment, conn, "")
            at, stop = start + shift, end + shift
            if not host.gap and host.edge is not None:
                # One byte beyond a window is a probe of it.
                beyond = stop > host.edge + (stop - at == 1)
                judge("window-used", segment, conn, f"byte {stop} of {host.edge}" if beyond else "")
            if host.fin is not None:
                judge("data-fin-stable", segment, conn, f"data up to {stop}" if stop > host.fin else "")
            host.high = max(host.high, stop)
            wrong = host.stream.put(at, part)
            judge("same-bytes", segment, conn, "" if wrong is None else f"byte {wrong} was another")

    def _sums(self, conn: Connection, flow: Flow, host: Host) -> None:
        for key, segment in list(flow.open_sums.items()):
            offset, ssn, length, checksum, fin = key
            size = length - fin
            if host.stream.has(offset, offset + size):
                del flow.open_sums[key]
                flow.checked_sums.add(key)
                data = host.stream.get(offset, offset + size)
                wrong = (header_sum(host, offset, ssn, length) + ones_sum(data) + checksum) % 0xFFFF
                self.journal.judge("dss-checksum", segment, conn, f"{checksum:#06x}" if wrong else "")

    def _data_ack(
        self, segment: Segment, conn: Connection, sub: Subflow, side: int, option: Dss, host: Host, peer: Host
    ) -> None:
        assert option.ack is not None
        judge = self.journal.judge
        flow, other = sub.flows[side], sub.flows[1 - side]
        offset = peer.offset(option.ack, 64 if option.ack_wide else 32)
        acked = other.place(segment.ack) if segment.flags & ACK and other.isn is not None else 0
        if acked > 1 + other.early:
            other.confirmed = True
        if not peer.gap:
            ahead = offset > peer.high
            judge("data-ack-sent", segment, conn, f"up to {offset}, sent up to {peer.high}" if ahead else "")
        if peer.wide_from is not None and offset > max(peer.wide_from, host.wide_acked):
            judge("data-ack-width", segment, conn, "" if option.ack_wide else "32 bits")
        if option.ack_wide:
            host.wide_acked = max(host.wide_acked, offset)
        stamp = flow.tsval if segment.tsval is None else near(segment.tsval, 32, flow.tsval)
        late = stamp < flow.tsval or acked < flow.acked
        newer = not late and (stamp > flow.tsval or acked > flow.acked)
        known = flow.data_acked
        if newer and known is not None:
            judge("data-ack-forward", segment, conn, f"to {offset} from {known}" if offset < known else "")
        if not segment.flags & (SYN | RST):
            shift = scale(sub, side)
            edge = offset + (segment.window << shift)
            if not late and known is not None and offset >= known and (newer or offset > known):
                # What the scale cannot say is lost: RFC 7323 2.4.
                back = edge <= flow.edge - (1 << shift)
                judge("window-edge", segment, conn, f"to {edge} from {flow.edge}" if back else "")
            flow.edge = max(flow.edge, edge)
        flow.data_acked = offset if known is None else max(known, offset)
        host.data_acked = max(host.data_acked, offset)

    def window(self, segment: Segment, conn: Connection, sub: Subflow, side: int) -> None:
        """How far the peer may send, by this segment and all before."""
        flow, other = sub.flows[side], sub.flows[1 - side]
        if segment.flags & RST:
            return
        host, peer = conn.hosts[flow.host], conn.hosts[1 - flow.host]
        shift = 0 if segment.flags & SYN else scale(sub, side)
        edge = host.data_acked + (segment.window << shift)
        peer.edge = edge if peer.edge is None else max(peer.edge, edge)
        if segment.tsval is not None:
            stamp = near(segment.tsval, 32, flow.tsval)
            flow.tsval = max(stamp, flow.tsval) if flow.tsval else segment.tsval
        if segment.flags & ACK and other.isn is not None:
            flow.acked = max(flow.acked, other.place(segment.ack))

    def end(self, conn: Connection) -> None:
        """What is still open when the capture ends."""
        for sub in conn.subflows:
            for flow in sub.flows:
                host = conn.hosts[flow.host]
                if not host.mapped:
                    continue
                for segment, start, data in flow.unmapped:
                    what = f"subflow numbers {start} to {start + len(data)}"
                    self.journal.judge("mapping-covers", segment, conn, "" if segment.cut else what)
                flow.unmapped.clear()


def scale(sub: Subflow, side: int) -> int:
    """Of the windows that this side sends."""
    own = sub.flows[side].scale
    return own if own is not None and sub.flows[1 - side].scale is not None else 0
