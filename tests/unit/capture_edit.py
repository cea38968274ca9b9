# SPDX-License-Identifier: Apache-2.0
"""Changes frames of a capture: options of MPTCP, header fields, payload. Ethernet, IPv4 or IPv6, TCP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpkt import pcap, pcapng

MPTCP = 30
FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass
class Frame:
    time: float
    raw: bytes

    @property
    def ip(self) -> int:
        return 20 if self.raw[14] >> 4 == 4 else 40

    @property
    def tcp(self) -> int:
        return 14 + self.ip

    @property
    def is_tcp(self) -> bool:
        kind = self.raw[12:14]
        return (kind == b"\x08\x00" and self.raw[23] == 6) or (kind == b"\x86\xdd" and self.raw[20] == 6)

    @property
    def src(self) -> bytes:
        return self.raw[26:30] if self.ip == 20 else self.raw[22:38]

    @property
    def sport(self) -> int:
        return int.from_bytes(self.raw[self.tcp : self.tcp + 2])

    @property
    def dport(self) -> int:
        return int.from_bytes(self.raw[self.tcp + 2 : self.tcp + 4])

    @property
    def flags(self) -> int:
        return self.raw[self.tcp + 13]

    @property
    def data(self) -> int:
        return self.tcp + (self.raw[self.tcp + 12] >> 4) * 4

    @property
    def payload(self) -> bytes:
        return self.raw[self.data :]

    def options(self) -> list[bytes]:
        """All of TCP, without padding."""
        area, found = self.raw[self.tcp + 20 : self.data], []
        while area and area[0]:
            length = 1 if area[0] == 1 else area[1]
            if area[0] != 1:
                found.append(area[:length])
            area = area[length:]
        return found

    def mptcp(self, subtype: int) -> bytes | None:
        return next((o for o in self.options() if o[0] == MPTCP and o[2] >> 4 == subtype), None)

    def with_options(self, options: Sequence[bytes]) -> Frame:
        area = b"".join(options)
        area += b"\1" * (-len(area) % 4)
        assert len(area) <= 40, "no room for the option"
        head = bytearray(self.raw[: self.tcp + 20])
        head[self.tcp + 12] = (20 + len(area)) // 4 << 4
        length = len(head) - 14 + len(area) + len(self.payload)
        if self.ip == 20:
            head[16:18] = length.to_bytes(2)
        else:
            head[18:20] = (length - 40).to_bytes(2)
        return Frame(self.time, bytes(head) + area + self.payload)

    def with_option(self, subtype: int, change: Callable[[bytes], bytes]) -> Frame:
        """One option of MPTCP in another form; empty: gone."""
        return self.with_options([change(o) if o[0] == MPTCP and o[2] >> 4 == subtype else o for o in self.options()])

    def plus(self, option: bytes) -> Frame:
        return self.with_options([*self.options(), option])

    def at(self, offset: int, value: bytes) -> Frame:
        """Bytes at an offset of the frame."""
        return Frame(self.time, self.raw[:offset] + value + self.raw[offset + len(value) :])

    def with_window(self, window: int) -> Frame:
        return self.at(self.tcp + 14, window.to_bytes(2))

    def with_payload(self, payload: bytes) -> Frame:
        assert len(payload) == len(self.payload)
        return Frame(self.time, self.raw[: self.data] + payload)


def patch(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda option: option[:offset] + value + option[offset + len(value) :]


def flip(offset: int, bits: int = 1) -> Callable[[bytes], bytes]:
    return lambda option: patch(offset, bytes([option[offset] ^ bits]))(option)


def add(offset: int, size: int, number: int) -> Callable[[bytes], bytes]:
    """A number of `size` bytes grows."""

    def change(option: bytes) -> bytes:
        value = (int.from_bytes(option[offset : offset + size]) + number) % (1 << 8 * size)
        return patch(offset, value.to_bytes(size))(option)

    return change


def read(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return [Frame(time, raw) for time, raw in pcapng.Reader(file)]


def write(path: Path, frames: Sequence[Frame]) -> Path:
    with path.open("wb") as file:
        writer = pcap.Writer(file, snaplen=262144, nano=True)
        for frame in frames:
            writer.writepkt(frame.raw, frame.time)
    return path
