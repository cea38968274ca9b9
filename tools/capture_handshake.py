# SPDX-License-Identifier: Apache-2.0
"""The capture checker's rules of opening: MP_CAPABLE and MP_JOIN (RFC 8684 3.1, 3.2)."""

from __future__ import annotations

from sennit.tools.capture_options import (
    CHECKSUM_REQUIRED,
    HMAC_SHA256,
    NO_JOIN_HERE,
    Capable,
    Join,
)
from sennit.tools.capture_read import ACK, RST, SYN, Segment
from sennit.tools.capture_rules import Journal
from sennit.tools.capture_state import Connection, Flow, Host, Subflow, keyed, token_of

UNASSIGNED = 0xFF & ~(CHECKSUM_REQUIRED | NO_JOIN_HERE | HMAC_SHA256)


class Handshake:
    """Judges one segment at a time and finds the connection that a subflow belongs to."""

    def __init__(self, journal: Journal):
        self.journal = journal
        self.connections: list[Connection] = []
        self._keys: dict[bytes, tuple[Connection, int]] = {}
        self._tokens: dict[bytes, tuple[Connection, int]] = {}

    def capable(self, segment: Segment, sub: Subflow, side: int, option: Capable) -> None:
        kind = segment.flags & (SYN | ACK | RST)
        if kind == SYN and side == 0:
            self._first_syn(segment, sub, option)
        elif sub.conn is None or sub.kind != "capable":
            self.journal.judge("capable-unasked", segment, sub.conn, f"{option.length} bytes without a SYN with it")
        elif sub.conn.state == "v0":
            return
        elif kind == SYN | ACK and side == 1:
            self._synack(segment, sub.conn, option)
        else:
            self._ack(segment, sub.conn, side, option)

    def _first_syn(self, segment: Segment, sub: Subflow, option: Capable) -> None:
        if sub.conn is None:
            flows = sub.flows
            hosts = (
                Host(address=segment.src, port=segment.sport, flags=option.flags),
                Host(address=segment.dst, port=segment.dport),
            )
            for host in hosts:
                host.ids[0] = host.address
                host.told.add(0)
            flows[0].host, flows[1].host = 0, 1
            sub.kind, sub.conn = "capable", Connection(segment, hosts, option.version)
            sub.conn.subflows.append(sub)
            self.connections.append(sub.conn)
        conn = sub.conn
        if option.version == 0:
            conn.state = "v0"
            return
        self._form(segment, conn, option, option.length == 4)
        self._flags(segment, conn, option)

    def _form(self, segment: Segment, conn: Connection, option: Capable, right: bool) -> None:
        what = f"{option.length} bytes, {segment.size} of data"
        self.journal.judge("capable-form", segment, conn, "" if right else what)

    def _flags(self, segment: Segment, conn: Connection, option: Capable) -> None:
        wrong = option.flags & UNASSIGNED or not option.flags & HMAC_SHA256
        self.journal.judge("capable-flags", segment, conn, f"flags {option.flags:#04x}" if wrong else "")

    def _synack(self, segment: Segment, conn: Connection, option: Capable) -> None:
        judge = self.journal.judge
        host = conn.hosts[1]
        self._form(segment, conn, option, option.length == 12)
        self._flags(segment, conn, option)
        higher = option.version > conn.version or (bool(host.key) and option.version != conn.version)
        judge("capable-version", segment, conn, f"{option.version} to {conn.version}" if higher else "")
        if not option.sender_key:
            return
        if host.key:
            judge("capable-keys", segment, conn, "another key" if option.sender_key != host.key else "")
            return
        conn.version = min(conn.version, option.version)
        conn.checksums = bool((conn.hosts[0].flags | option.flags) & CHECKSUM_REQUIRED)
        host.flags = option.flags
        self._learn(segment, conn, 1, option.sender_key)

    def _learn(self, segment: Segment, conn: Connection, which: int, key: bytes) -> None:
        conn.hosts[which].know(key)
        token = token_of(key)
        taken = key in self._keys or token in self._tokens
        self.journal.judge("key-unique", segment, conn, "another connection has it" if taken else "")
        self._keys.setdefault(key, (conn, which))
        self._tokens.setdefault(token, (conn, which))

    def _ack(self, segment: Segment, conn: Connection, side: int, option: Capable) -> None:
        judge = self.journal.judge
        with_data = 24 if conn.checksums else 22
        right = side == 0 and not segment.flags & SYN and option.length == (with_data if segment.size else 20)
        self._form(segment, conn, option, right)
        self._flags(segment, conn, option)
        if side or option.length < 20:
            return
        required = bool(option.flags & CHECKSUM_REQUIRED)
        judge("capable-checksum", segment, conn, f"A is {required:d}" if required != conn.checksums else "")
        judge("capable-version", segment, conn, f"{option.version}" if option.version != conn.version else "")
        first, second = conn.hosts
        if not first.key:
            self._learn(segment, conn, 0, option.sender_key)
        wrong = option.sender_key != first.key or option.receiver_key != second.key
        judge("capable-keys", segment, conn, "other keys than before" if wrong else "")

    def join(self, segment: Segment, sub: Subflow, side: int, option: Join) -> None:
        kind = segment.flags & (SYN | ACK | RST)
        lengths = {SYN: 12, SYN | ACK: 16, ACK: 24}
        right = lengths.get(kind) == option.length and side == (kind == SYN | ACK)
        right = right and not segment.size and not option.flags & ~(0 if kind == ACK else 1)
        what = f"{option.length} bytes, {segment.size} of data, reserved {option.flags:#x}"
        if kind == SYN and side == 0 and sub.conn is None:
            self._find(segment, sub, option)
        self.journal.judge("join-form", segment, sub.conn, "" if right else what)
        if sub.kind != "join":
            return
        if kind == SYN | ACK and sub.unknown_token:
            self.journal.judge("join-token", segment, None, f"token {sub.unknown_token.hex()} of no connection")
        elif right and sub.conn is not None:
            if kind == SYN:
                self._join_syn(segment, sub.conn, sub, option)
            elif kind == SYN | ACK:
                self._join_synack(segment, sub.conn, sub, option)
            else:
                self._join_ack(segment, sub.conn, sub, option)

    def _find(self, segment: Segment, sub: Subflow, option: Join) -> None:
        sub.kind = "join"
        found = self._tokens.get(option.token)
        if found is None:
            # Whoever accepts it knows a connection that it should not.
            sub.unknown_token = option.token
            return
        self.journal.judge("join-token", segment, found[0])
        sub.conn, receiver = found
        sub.flows[0].host, sub.flows[1].host = 1 - receiver, receiver
        sub.conn.subflows.append(sub)

    def _join_syn(self, segment: Segment, conn: Connection, sub: Subflow, option: Join) -> None:
        judge = self.journal.judge
        joiner, receiver = (conn.hosts[flow.host] for flow in sub.flows)
        heard = receiver.signalled or receiver.announced
        judge("join-early", segment, conn, "" if heard else "no DSS came yet")
        first = (segment.dst, segment.dport) == (receiver.address, receiver.port)
        unwanted = first and receiver.flags & NO_JOIN_HERE
        judge("join-unwanted", segment, conn, "it set C" if unwanted else "")
        self._nonce(segment, conn, sub.flows[0], joiner, option)
        sub.nonces[0] = option.nonce
        self.address(segment, conn, joiner, option.address_id, segment.src)

    def _nonce(self, segment: Segment, conn: Connection, flow: Flow, host: Host, option: Join) -> None:
        number = host.nonces.setdefault(option.nonce, segment.seq)
        known = [nonce for nonce, seq in host.nonces.items() if seq == flow.isn]
        wrong = number != segment.seq or known != [option.nonce]
        self.journal.judge("join-nonce", segment, conn, f"nonce {option.nonce.hex()}" if wrong else "")

    def address(self, segment: Segment, conn: Connection, host: Host, number: int, address: bytes) -> None:
        """An id was told for an address."""
        host.told.add(number)
        other = host.ids.setdefault(number, address)
        wrong = f"id {number} is {other.hex()} and {address.hex()}" if other != address else ""
        self.journal.judge("address-id", segment, conn, wrong)

    def _join_synack(self, segment: Segment, conn: Connection, sub: Subflow, option: Join) -> None:
        joiner, responder = (conn.hosts[flow.host] for flow in sub.flows)
        self._nonce(segment, conn, sub.flows[1], responder, option)
        sub.nonces[1] = option.nonce
        right = keyed(responder.key, joiner.key, sub.nonces[1] + sub.nonces[0])[:8]
        self.journal.judge("join-hmac-synack", segment, conn, option.hmac.hex() if option.hmac != right else "")
        self.address(segment, conn, responder, option.address_id, segment.src)

    def _join_ack(self, segment: Segment, conn: Connection, sub: Subflow, option: Join) -> None:
        joiner, responder = (conn.hosts[flow.host] for flow in sub.flows)
        right = keyed(joiner.key, responder.key, sub.nonces[0] + sub.nonces[1])[:20]
        self.journal.judge("join-hmac-ack", segment, conn, option.hmac.hex() if option.hmac != right else "")
        sub.authenticated = True
