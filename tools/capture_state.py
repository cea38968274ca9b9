# SPDX-License-Identifier: Apache-2.0
"""Connections as the capture checker rebuilds them: hosts, subflows, and the two directions of each."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from sennit.tools.capture_options import AddAddr
from sennit.tools.capture_read import Segment
from sennit.tools.capture_spans import Mappings, Stream, near


def token_of(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:4]


def idsn_of(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(key).digest()[24:])


def keyed(first: bytes, second: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 with both keys, the sender's first."""
    return hmac.digest(first + second, message, "sha256")


@dataclass(slots=True)
class Flow:
    """One direction of a subflow. Numbers count from the SYN (0) and do not wrap."""

    host: int  # who sends, as index of Connection.hosts
    isn: int | None = None
    scale: int | None = None  # as offered; used if both offered one
    top: int = 0  # end of what was sent
    early: int = 0  # data that the SYN carried and its answer acknowledged: not in the data stream (B.2)
    mappings: Mappings = field(default_factory=Mappings)
    unmapped: list[tuple[Segment, int, bytes]] = field(default_factory=list)
    open_sums: dict[tuple[int, int, int, int, bool], Segment] = field(default_factory=dict)
    checked_sums: set[tuple[int, int, int, int, bool]] = field(default_factory=set)
    confirmed: bool = False  # a DATA_ACK came back with an acknowledgment of data
    tsval: int = 0  # the latest of each, to tell a late segment from a later one
    acked: int = 0
    data_acked: int | None = None
    edge: int = 0  # right edge of the window that was offered here
    fin: bool = False

    def place(self, number: int) -> int:
        """A sequence number of the header, counted from the SYN."""
        assert self.isn is not None
        return near(number - self.isn, 32, self.top)


@dataclass(slots=True)
class Host:
    """One end of a connection. Offsets count data bytes: 0 is IDSN + 1."""

    key: bytes = b""
    idsn: int = 0
    flags: int = 0  # of its first MP_CAPABLE
    address: bytes = b""
    port: int = 0
    stream: Stream = field(default_factory=Stream)
    high: int = 0  # end of what was sent, DATA_FIN included
    fin: int | None = None
    edge: int | None = None  # how far its peer lets it send
    data_acked: int = 0  # the highest DATA_ACK that it sent
    wide_from: int | None = None  # the first byte carried by a segment with a 64-bit number
    wide_acked: int = 0  # the highest DATA_ACK of 64 bits that it sent
    starts: set[int] = field(default_factory=set)  # of mappings
    mapped: bool = False  # sent any mapping
    signalled: bool = False  # sent any DSS
    infinite: bool = False
    failed: Segment | None = None  # sent MP_FAIL on an ACK
    answered: bool = False  # ... which has been answered
    gap: bool = False  # something that it sent is not in the capture
    ids: dict[int, bytes] = field(default_factory=dict)
    told: set[int] = field(default_factory=set)
    announced: set[tuple[int, bytes, int]] = field(default_factory=set)
    nonces: dict[bytes, int] = field(default_factory=dict)  # with the number of the SYN that had it

    def know(self, key: bytes) -> None:
        self.key, self.idsn = key, idsn_of(key)

    def offset(self, number: int, bits: int) -> int:
        """Of a data sequence number, or of its low bits."""
        return near(number - self.idsn - 1, bits, self.high)


@dataclass(slots=True)
class Connection:
    first: Segment
    hosts: tuple[Host, Host]
    version: int
    state: str = "mptcp"  # fallback, v0
    checksums: bool = False
    subflows: list[Subflow] = field(default_factory=list)

    @property
    def token(self) -> str:
        """The listener's."""
        return token_of(self.hosts[1].key).hex() if self.hosts[1].key else ""

    @property
    def keys_known(self) -> bool:
        return bool(self.hosts[0].key and self.hosts[1].key)


@dataclass(slots=True)
class Subflow:
    """flows[0] is the direction of the SYN."""

    flows: tuple[Flow, Flow]
    kind: str = "plain"  # capable, join
    conn: Connection | None = None
    nonces: list[bytes] = field(default_factory=lambda: [b"", b""])
    unknown_token: bytes = b""
    authenticated: bool = False  # the third ACK of a join was seen
    established: bool = False  # ... and answered
    reset: bool = False

    @property
    def alive(self) -> bool:
        joined = self.kind != "join" or self.authenticated
        return joined and not self.reset and not all(flow.fin for flow in self.flows)


def hmac_message(option: AddAddr) -> bytes:
    return bytes([option.address_id]) + option.address + option.port.to_bytes(2)
