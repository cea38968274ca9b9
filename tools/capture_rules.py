# SPDX-License-Identifier: Apache-2.0
"""The rules of `sennit check-capture`: name, section of RFC 8684, and what is said of a frame that breaks one."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec

# What Linux does beside the letter of the RFC, and is not held against anybody:
# - A window that may not be used yet is probed with data that was sent before (a mapping of one byte) or with one byte
#   beyond it: RFC 9293 3.8.6.1 allows the latter.
# - A mapping is sent again with the DATA_FIN that its first segments did not know yet: it maps the same bytes.
# - The option of a burst stands on every segment of it (segmentation offload): mappings to 64 KB, many times the same.
# - An announced address lets the other side join before any DSS: its HMAC shows as well that options pass.
# - A window field on a segment without DATA_ACK is counted from the last DATA_ACK; 3.3.2 forbids that to the sender of
#   data, but no capture shows which segment it learnt a window from.
RULES: dict[str, tuple[str, str]] = {
    "option-form": ("3", "MPTCP options have a known subtype, a length that it may have, and end within the header"),
    "capable-form": ("3.1", "MP_CAPABLE: 4 bytes on SYN, 12 on SYN/ACK, 20 on an ACK, 22 (with checksum 24) with data"),
    "capable-version": ("3.1", "the version in the SYN/ACK is at most that of the SYN, and stays"),
    "capable-flags": ("3.1", "H is set, B and D to G are not"),
    "capable-checksum": ("3.1", "A in the third ACK and later is the OR of both SYNs"),
    "capable-keys": ("3.1", "both keys stay what they were"),
    "capable-unasked": ("3.1", "MP_CAPABLE only after MP_CAPABLE: SYN, SYN/ACK, ACK"),
    "key-unique": ("3.1", "no two connections have the same key or token"),
    "fallback-silent": ("3.1", "no MPTCP option after a SYN/ACK without one"),
    "join-form": ("3.2", "MP_JOIN: 12 bytes on SYN, 16 on SYN/ACK, 24 on an ACK without data; reserved bits 0"),
    "join-token": ("3.2", "only the token of a connection is accepted"),
    "join-hmac-synack": ("3.2", "HMAC of the SYN/ACK"),
    "join-hmac-ack": ("3.2", "HMAC of the third ACK"),
    "join-nonce": ("3.2", "a nonce is repeated with its SYN and never used for another"),
    "join-early": ("3.1", "no join before a DSS (or ADD_ADDR) has come from the other side"),
    "join-unwanted": ("3.1", "no join to the first address and port of a host that set C"),
    "join-data-early": ("3.2", "no data from the joining side before its third ACK is answered"),
    "address-id": ("3.4.1", "an address id stands for one address until it is removed"),
    "dss-form": ("3.3", "reserved bits of DSS are 0"),
    "dss-checksum-there": ("3.3", "mappings have a checksum if and only if that was agreed"),
    "dss-checksum": ("3.3.1", "the checksum covers pseudo header and data of the mapping"),
    "mapping-start": ("3.1", "the first data byte is IDSN + 1, subflow sequence number 1 in MP_CAPABLE"),
    "mapping-fixed": ("3.3.1", "a byte of a subflow keeps its data sequence number"),
    "mapping-covers": ("3.3.1", "every byte of data has a mapping"),
    "mapping-here": ("3.3.1", "a mapping is about data of the segment that carries it"),
    "mapping-until-acked": ("3.7", "every segment with data has a mapping until a DATA_ACK came on the subflow"),
    "same-bytes": ("3.3.1", "the same data sequence number is always the same byte"),
    "data-ack-forward": ("3.3.2", "DATA_ACK never moves back"),
    "data-ack-sent": ("3.3.2", "DATA_ACK is of what was sent"),
    "data-ack-width": ("3.3.2", "data with a 64-bit number is first acknowledged with 64 bits"),
    "window-edge": ("3.3.4", "the right edge of the window never moves back"),
    "window-used": ("3.3.5", "data stays within the window of the connection"),
    "data-fin-form": ("3.3.3", "DATA_FIN without data: subflow sequence number 0, length 1"),
    "data-fin-stable": ("3.3.3", "DATA_FIN keeps its place and no data lies beyond"),
    "add-addr-form": ("3.4.1", "reserved flags of ADD_ADDR are 0"),
    "add-addr-hmac": ("3.4.1", "HMAC of an announced address"),
    "add-addr-echo": ("3.4.1", "an echo repeats id, address and port that were announced"),
    "remove-addr-form": ("3.4.2", "reserved bits of REMOVE_ADDR are 0"),
    "remove-addr-known": ("3.4.2", "only addresses that the peer was told of are removed"),
    "prio-form": ("3.3.8", "MP_PRIO has 3 bytes, reserved bits 0"),
    "fastclose-form": ("3.5", "MP_FASTCLOSE stands on an ACK or RST; reserved bits 0"),
    "fastclose-key": ("3.5", "MP_FASTCLOSE has the key of its receiver"),
    "tcprst-form": ("3.6", "MP_TCPRST stands on a RST only, with a reason of 0 to 6; U, V and W are 0"),
    "fail-form": ("3.7", "MP_FAIL needs agreed checksums; reserved bits 0"),
    "fail-place": ("3.7", "MP_FAIL names the start of a mapping that the other side sent"),
    "fail-answered": ("3.7", "MP_FAIL on an ACK is answered by MP_FAIL or RST"),
    "infinite-form": ("3.3.1", "the checksum of an infinite mapping is 0"),
    "infinite-alone": ("3.7", "an infinite mapping is signalled on a connection's only subflow"),
    "infinite-final": ("3.7", "no other mapping after an infinite one"),
}  # fmt: skip


class Finding(msgspec.Struct, frozen=True):
    """One frame that breaks one rule. token: the listener's, in hex; empty while it is not known."""

    frame: str
    token: str
    rule: str
    section: str
    what: str

    def __str__(self) -> str:
        where = f"frame {self.frame}" + (f" of {self.token}" if self.token else "")
        return f"{where}: {self.rule} (RFC 8684 {self.section}): {self.what}"


class Summary(msgspec.Struct, frozen=True):
    """One connection. octets: data of both directions, initiator first, without copies. state: mptcp, fallback, v0."""

    token: str
    first_frame: str
    state: str
    subflows: int
    checksums: bool
    octets: tuple[int, int]
    data_fin: tuple[bool, bool]


class Report(msgspec.Struct):
    """What was looked at and what was found. checked: how often each rule was judged."""

    frames: int = 0
    segments: int = 0  # TCP
    options: int = 0  # of MPTCP
    cut: int = 0  # segments captured in part: no bytes and no checksums are judged there
    unseen: int = 0  # acknowledgments of segments that the capture does not have
    lacking: int = 0  # bytes of data that were acknowledged and are not in the capture
    without_start: int = 0  # segments of connections whose SYN the capture does not have
    connections: list[Summary] = msgspec.field(default_factory=list)
    checked: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(RULES, 0))
    found: list[Finding] = msgspec.field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        return [str(finding) for finding in self.found]

    def never_checked(self) -> list[str]:
        return [rule for rule, times in self.checked.items() if not times]

    def broken(self) -> Counter[str]:
        """How many findings each rule has."""
        return Counter(finding.rule for finding in self.found)


class Named(Protocol):
    @property
    def name(self) -> str: ...


class Tokened(Protocol):
    @property
    def token(self) -> str: ...


class Journal:
    """Counts what is judged and keeps what is wrong."""

    def __init__(self) -> None:
        self.report = Report()

    def judge(self, rule: str, frame: Named, connection: Tokened | None, wrong: str = "") -> None:
        """One judgement; `wrong` says what is, if anything."""
        self.report.checked[rule] += 1
        if wrong:
            token = connection.token if connection else ""
            self.report.found.append(Finding(frame.name, token, rule, RULES[rule][0], wrong))
