# SPDX-License-Identifier: Apache-2.0
"""TCP segments out of pcap and pcapng files. dpkt reads the files; headers are read here: dpkt is slow at them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any

from sennit.tools.errors import ToolError

FIN, SYN, RST, ACK = 1, 2, 4, 16
END, NOP, WSCALE, TIMESTAMPS, MPTCP = 0, 1, 3, 8, 30

_PORTS = Struct("!HHIIBBHHH")
_TWO_U32 = Struct("!II")
# Offset of the EtherType, or None where the packet begins at once, by link type.
_ETHERNET, _RAW, _LOOP, _SLL, _SLL2 = 1, (12, 14, 101, 228, 229), 0, 113, 276
_VLAN = (0x8100, 0x88A8)
_EXTENSIONS = (0, 43, 60)  # hop-by-hop, routing, destination options
_FRAGMENT = 44


class Segment:
    """One TCP segment as captured. Addresses are 4 or 16 bytes; `mptcp` holds the raw options of kind 30."""

    __slots__ = (
        "ack",
        "broken",
        "dport",
        "dst",
        "flags",
        "mptcp",
        "name",
        "payload",
        "seq",
        "size",
        "sport",
        "src",
        "tsval",
        "window",
        "wscale",
    )  # fmt: skip

    def __init__(self, name: str, src: bytes, dst: bytes):
        self.name = name
        self.src = src
        self.dst = dst
        self.sport = self.dport = self.seq = self.ack = self.flags = self.window = self.size = 0
        self.wscale: int | None = None
        self.tsval: int | None = None
        self.mptcp: list[bytes] = []
        self.payload = b""
        self.broken = False  # an option reaches over the end of the header

    @property
    def cut(self) -> bool:
        """The capture holds less than was sent."""
        return len(self.payload) < self.size


def _network_offset(link: int, frame: bytes) -> int:
    """Where the IP header begins; -1 if there is none."""
    if link == _ETHERNET:
        at = 12
        kind = int.from_bytes(frame[at : at + 2])
        while kind in _VLAN:
            at += 4
            kind = int.from_bytes(frame[at : at + 2])
        return at + 2 if kind in (0x0800, 0x86DD) else -1
    if link in _RAW:
        return 0
    if link == _SLL:
        return 16 if frame[14:16] in (b"\x08\x00", b"\x86\xdd") else -1
    if link == _SLL2:
        return 20 if frame[:2] in (b"\x08\x00", b"\x86\xdd") else -1
    if link == _LOOP:
        return 4
    raise ToolError(f"link type {link} is not known: Ethernet, raw IP, and Linux cooked captures are")


def parse(name: str, link: int, frame: bytes) -> Segment | None:
    """None for anything but a whole TCP header in an unfragmented packet."""
    at = _network_offset(link, frame)
    if at < 0 or len(frame) < at + 40:
        return None
    if frame[at] >> 4 == 4:
        if frame[at + 9] != 6 or int.from_bytes(frame[at + 6 : at + 8]) & 0x3FFF:
            return None
        end = at + int.from_bytes(frame[at + 2 : at + 4])
        segment = Segment(name, frame[at + 12 : at + 16], frame[at + 16 : at + 20])
        tcp = at + (frame[at] & 15) * 4
    elif frame[at] >> 4 == 6:
        kind, tcp = frame[at + 6], at + 40
        length = int.from_bytes(frame[at + 4 : at + 6])
        end = at + 40 + length
        while kind in _EXTENSIONS and len(frame) >= tcp + 8:
            kind, tcp = frame[tcp], tcp + 8 + frame[tcp + 1] * 8
        if kind != 6:
            return None
        segment = Segment(name, frame[at + 8 : at + 24], frame[at + 24 : at + 40])
    else:
        return None
    # A length of 0 stands for a segment too long for the field (segmentation offload above 64 KB).
    if end <= tcp:
        end = len(frame)
    return segment if _tcp(segment, frame, tcp, end) else None


def _tcp(segment: Segment, frame: bytes, at: int, end: int) -> bool:
    if len(frame) < at + 20:
        return False
    segment.sport, segment.dport, segment.seq, segment.ack, offset, segment.flags, segment.window, _, _ = (
        _PORTS.unpack_from(frame, at)
    )
    data = at + (offset >> 4) * 4
    if data < at + 20 or len(frame) < data or end < data:
        return False
    segment.size = end - data
    segment.payload = frame[data:end]
    at += 20
    while at < data:
        kind = frame[at]
        if kind == NOP:
            at += 1
            continue
        if kind == END:
            break
        length = frame[at + 1] if at + 1 < data else 0
        if length < 2 or at + length > data:
            segment.broken = True
            break
        if kind == TIMESTAMPS and length == 10:
            segment.tsval = _TWO_U32.unpack_from(frame, at + 2)[0]
        elif kind == MPTCP:
            segment.mptcp.append(frame[at : at + length])
        elif kind == WSCALE and length == 3:
            segment.wscale = min(frame[at + 2], 14)
        at += length
    return True


def _reader(file: Any, path: Path) -> Any:
    from dpkt import dpkt, pcap

    try:
        return pcap.UniversalReader(file)
    except (ValueError, dpkt.Error) as error:
        raise ToolError(f"{path} is no pcap or pcapng file: {error}") from error


def frames(path: Path, prefix: str = "") -> Iterator[tuple[float, str, int, bytes]]:
    """Time, name (its number in the file), link type and bytes of every frame."""
    with path.open("rb", buffering=1 << 20) as file:
        reader = _reader(file, path)
        link = reader.datalink()
        for number, (time, frame) in enumerate(reader, 1):
            yield float(time), f"{prefix}{number}", link, frame


def segments(paths: Sequence[Path]) -> Iterator[Segment | None]:
    """Every frame of all files in the order of time; None for what is no TCP segment."""
    if len(paths) == 1:
        ordered = frames(paths[0])
    else:
        ordered = heapq.merge(*(frames(path, f"{path.name}:") for path in paths), key=lambda item: item[0])
    return itertools.starmap(lambda _, name, link, frame: parse(name, link, frame), ordered)
