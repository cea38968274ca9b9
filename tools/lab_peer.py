# SPDX-License-Identifier: Apache-2.0
"""The kernel's side of a transfer: a small MPTCP or TCP program for `ip netns exec`, and the pattern both sides send.

Prints one JSON object per event: listening, connected, done. Times are CLOCK_MONOTONIC, so that both ends of a transfer
on one machine can be compared. Imports only the standard library: it also runs outside the package.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator

IPPROTO_MPTCP = 262
BLOCK = 1 << 20


class Pattern:
    """Deterministic bytes: one random block per seed, stamped with its number: any shift or swap changes the hash."""

    def __init__(self, size: int, seed: int = 1):
        self.size = size
        self._base = random.Random(seed).randbytes(BLOCK)

    def blocks(self) -> Iterator[bytes]:
        left, number = self.size, 0
        while left > 0:
            block = struct.pack(">Q", number) + self._base[8:]
            yield block if left >= BLOCK else block[:left]
            left -= BLOCK
            number += 1

    def sha256(self) -> str:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


def say(event: str, **values: object) -> None:
    print(json.dumps({"event": event, "t": time.monotonic(), **values}), flush=True)


def transfer(sock: socket.socket, args: argparse.Namespace) -> None:
    """One direction, then both ends close."""
    digest = hashlib.sha256()
    count = 0
    time.sleep(args.wait)
    first = time.monotonic()
    if args.do == "send":
        for block in Pattern(args.bytes, args.seed).blocks():
            sock.sendall(block)
            digest.update(block)
            count += len(block)
        if args.abort:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            say("aborted")
            return
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    else:
        view = memoryview(bytearray(1 << 18))
        while n := sock.recv_into(view):
            digest.update(view[:n])
            count += n
    last = time.monotonic()
    say("done", bytes=count, sha256=digest.hexdigest(), first=first, last=last, mptcp=is_mptcp(sock))
    sock.close()


def is_mptcp(sock: socket.socket) -> bool | None:
    """False after a fallback; None where the kernel cannot say."""
    if sock.proto != IPPROTO_MPTCP:
        return False
    try:
        info = sock.getsockopt(284, 1, 64)  # SOL_MPTCP, MPTCP_INFO
    except OSError as error:
        # What an MPTCP listener accepts from a plain TCP client is a TCP socket.
        return False if error.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT) else None
    flags = struct.unpack_from("=I", info, 8)[0]
    return not flags & 1  # MPTCP_INFO_FLAG_FALLBACK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--bind", help="local address of a client")
    parser.add_argument("--do", choices=["send", "receive"], default="receive")
    parser.add_argument("--bytes", type=int, default=1 << 20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wait", type=float, default=0.0, help="seconds between the connection and the first byte")
    parser.add_argument("--tcp", action="store_true", help="plain TCP instead of MPTCP")
    parser.add_argument("--abort", action="store_true", help="after sending, reset the connection instead of closing")
    parser.add_argument("--cc", default="cubic", help="congestion control")
    parser.add_argument("--maxseg", type=int, help="largest segment")
    parser.add_argument("--count", type=int, default=1, help="connections one after the other")
    args = parser.parse_args()

    proto = socket.IPPROTO_TCP if args.tcp else IPPROTO_MPTCP
    # ::ffff:10.2.1.1 is IPv4 by a socket that can do both: the kernel joins across families only from such a one.
    family = socket.AF_INET6 if ":" in args.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, args.cc.encode())
    if args.maxseg:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, args.maxseg)
    if args.role == "server":
        sock.bind((args.address, args.port))
        sock.listen(16)
        say("listening")
        for _ in range(args.count):
            conn, who = sock.accept()
            say("connected", peer=who[0])
            transfer(conn, args)
    else:
        if args.bind:
            sock.bind((args.bind, 0))
        sock.connect((args.address, args.port))
        say("connected", peer=args.address)
        transfer(sock, args)


if __name__ == "__main__":
    try:
        main()
    except OSError as e:
        say("error", error=str(e), errno=e.errno)
        sys.exit(1)
