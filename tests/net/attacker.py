# SPDX-License-Identifier: Apache-2.0
"""Who attacks a connection without seeing it: forged segments with its addresses and ports, from the peer's interface.

    attacker.py INTERFACE KIND COUNT SENNIT PORT KERNEL PORT

Looks at the connection once, for its MAC addresses and sequence numbers (no blind attacker could): so half of the
forgeries fall into the window, the other half anywhere. Never right, since that cannot be told from the peer: the next
expected number for a RST or SYN, an acknowledgement in the acceptable range for data. Prints what it sent as JSON."""

from __future__ import annotations

import ipaddress
import json
import random
import socket
import struct
import sys
import time

ETH_P_ALL = 3
WINDOW = 60_000  # less than sennit offers at first
BURST, PAUSE_S = 25, 0.001  # at most 25 000 a second: more than a ring takes at once would only get lost
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
M32 = 0xFFFFFFFF


def fold(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Flow:
    """From the kernel to sennit."""

    def __init__(self, sennit: tuple[str, int], kernel: tuple[str, int]):
        self.dst, self.src = (ipaddress.ip_address(a) for a in (sennit[0], kernel[0]))
        self.dport, self.sport = sennit[1], kernel[1]
        self.eth = b""
        self.nxt = self.ack = 0
        self.rng = random.Random(1)

    def watch(self, sock: socket.socket) -> None:
        """Until the kernel says something on it."""
        six = self.src.version == 6
        while True:
            frame = sock.recv(65536)
            at = 54 if six else 34
            if len(frame) < at + 20 or frame[12:14] != (b"\x86\xdd" if six else b"\x08\x00"):
                continue
            ends = frame[22:54] if six else frame[26:34]
            if ends != self.src.packed + self.dst.packed:
                continue
            sport, dport, seq, ack, offset, flags = struct.unpack_from(">HHIIBB", frame, at)
            if (sport, dport) != (self.sport, self.dport) or flags & (SYN | RST):
                continue
            total = struct.unpack_from(">H", frame, 18)[0] + 40 if six else struct.unpack_from(">H", frame, 16)[0]
            payload = total - (40 if six else 20) - (offset >> 4) * 4
            self.eth, self.nxt, self.ack = frame[:14], (seq + payload) & M32, ack
            return

    def segment(self, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
        options = struct.pack(">BBBBII", 1, 1, 8, 10, self.rng.getrandbits(32), self.rng.getrandbits(32))
        tcp = struct.pack(
            ">HHIIBBHHH", self.sport, self.dport, seq & M32, ack & M32, 8 << 4, flags, 500, 0, 0
        ) + options + payload  # fmt: skip
        pseudo = self.src.packed + self.dst.packed + struct.pack(">II", len(tcp), 6)
        tcp = tcp[:16] + struct.pack(">H", fold(pseudo + tcp)) + tcp[18:]
        if self.src.version == 6:
            ip = struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + self.src.packed + self.dst.packed
        else:
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0)
            ip += self.src.packed + self.dst.packed
            ip = ip[:10] + struct.pack(">H", fold(ip)) + ip[12:]
        return self.eth + ip + tcp

    def forge(self, kind: str, number: int) -> bytes:
        off = self.rng.randint(1, WINDOW) if number % 2 else self.rng.randint(1, M32)
        seq = self.nxt + off
        wrong = self.ack + self.rng.randint(1 << 28, M32 - (1 << 28))  # far from anything acceptable
        if kind == "rst":
            return self.segment(seq, self.ack if number % 4 == 1 else wrong, RST | (ACK if number % 3 else 0))
        if kind == "syn":
            return self.segment(seq, wrong, SYN | (ACK if number % 3 == 0 else 0))
        if kind == "data":
            return self.segment(self.nxt if number % 10 == 1 else seq, wrong, ACK | PSH, b"forged bytes" * 8)
        if kind == "fin":
            return self.segment(self.nxt if number % 10 == 1 else seq, wrong, FIN | ACK)
        assert kind == "ack"
        return self.segment(self.nxt, wrong, ACK)


def main() -> None:
    interface, kind, count, sennit, sport, kernel, kport = sys.argv[1:]
    flow = Flow((sennit, int(sport)), (kernel, int(kport)))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.bind((interface, ETH_P_ALL))
        print("ready", flush=True)
        flow.watch(sock)
        sent = 0
        for number in range(int(count)):
            sent += sock.send(flow.forge(kind, number)) > 0
            if number % BURST == BURST - 1:
                time.sleep(PAUSE_S)
    print(json.dumps({"sent": sent}), flush=True)


if __name__ == "__main__":
    main()
