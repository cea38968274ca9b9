# SPDX-License-Identifier: Apache-2.0
"""The capture checker's rules of signals: addresses, priority, failure, the end (RFC 8684 3.3.8, 3.4 to 3.7)."""

from __future__ import annotations

from sennit.tools.capture_handshake import Handshake
from sennit.tools.capture_options import AddAddr, Fail, Fastclose, Option, Prio, RemoveAddr, Reset
from sennit.tools.capture_read import ACK, RST, SYN, Segment
from sennit.tools.capture_rules import Journal
from sennit.tools.capture_state import Connection, Host, Subflow, hmac_message, keyed

LAST_REASON = 6


class Signals:
    """Judges one option at a time."""

    def __init__(self, journal: Journal, handshake: Handshake):
        self.journal = journal
        self.handshake = handshake

    def take(self, segment: Segment, conn: Connection, sub: Subflow, side: int, option: Option) -> None:
        host = conn.hosts[sub.flows[side].host]
        peer = conn.hosts[1 - sub.flows[side].host]
        judge = self.journal.judge
        match option:
            case AddAddr():
                self._add_addr(segment, conn, host, peer, option)
            case RemoveAddr():
                judge("remove-addr-form", segment, conn, f"reserved {option.reserved:#x}" if option.reserved else "")
                strangers = [number for number in option.ids if number not in host.told]
                judge("remove-addr-known", segment, conn, f"ids {strangers}" if strangers else "")
                for number in option.ids:
                    host.ids.pop(number, None)
            case Prio():
                wrong = option.length != 3 or option.flags & ~1
                judge("prio-form", segment, conn, f"{option.length} bytes, flags {option.flags:#x}" if wrong else "")
            case Fail():
                self._fail(segment, conn, host, peer, option)
            case Fastclose():
                wrong = bool(option.reserved or segment.flags & SYN or not segment.flags & (ACK | RST))
                what = f"reserved {option.reserved:#x}, flags {segment.flags:#x}"
                judge("fastclose-form", segment, conn, what if wrong else "")
                judge("fastclose-key", segment, conn, option.key.hex() if option.key != peer.key else "")
            case Reset():
                wrong = not segment.flags & RST or option.reason > LAST_REASON or option.flags & ~1
                what = f"flags {option.flags:#x}, reason {option.reason}, header {segment.flags:#x}"
                judge("tcprst-form", segment, conn, what if wrong else "")

    def _add_addr(self, segment: Segment, conn: Connection, host: Host, peer: Host, option: AddAddr) -> None:
        judge = self.journal.judge
        judge("add-addr-form", segment, conn, f"flags {option.reserved:#x}" if option.reserved else "")
        told = (option.address_id, option.address, option.port)
        if option.echo:
            judge("add-addr-echo", segment, conn, f"{told} was never told" if told not in peer.announced else "")
            return
        right = keyed(host.key, peer.key, hmac_message(option))[-8:]
        judge("add-addr-hmac", segment, conn, option.hmac.hex() if option.hmac != right else "")
        host.announced.add(told)
        self.handshake.address(segment, conn, host, option.address_id, option.address)

    def _fail(self, segment: Segment, conn: Connection, host: Host, peer: Host, option: Fail) -> None:
        judge = self.journal.judge
        wrong = bool(option.reserved) or not conn.checksums
        judge("fail-form", segment, conn, f"reserved {option.reserved:#x}" if wrong else "")
        offset = peer.offset(option.dsn, 64)
        judge("fail-place", segment, conn, f"byte {offset}" if offset not in peer.starts else "")
        if peer.failed is not None:
            peer.answered = True
        elif not segment.flags & RST and host.failed is None:
            host.failed = segment

    def end(self, conn: Connection) -> None:
        for host in conn.hosts:
            if host.failed is not None:
                ended = host.answered or any(sub.reset for sub in conn.subflows)
                self.journal.judge("fail-answered", host.failed, conn, "" if ended else "no answer")
