# SPDX-License-Identifier: Apache-2.0
"""A program of the kernel's side: connects again and again for a time, asks for an echo each time, counts.

Standard library only: run with `python3 -I`. connects.py ADDRESS PORT SECONDS PER_SECOND"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time

IPPROTO_MPTCP = 262
TIMEOUT_S = 10.0
Counts = dict[str, int]


def fell_back(sock: socket.socket) -> bool:
    info = sock.getsockopt(284, 1, 64)  # SOL_MPTCP, MPTCP_INFO
    return bool(struct.unpack_from("=I", info, 8)[0] & 1)


def once(address: str, port: int, counts: Counts, lock: threading.Lock) -> None:
    word = "failed"
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect((address, port))
            sock.sendall(b"hello")
            if sock.recv(16) == b"hello":
                word = "tcp" if fell_back(sock) else "mptcp"
    except OSError as error:
        word = f"failed: {error}"
    with lock:
        counts[word] = counts.get(word, 0) + 1


def main() -> None:
    address, port, seconds, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    counts: Counts = {}
    lock = threading.Lock()
    threads = []
    start = time.monotonic()
    for i in range(int(seconds * rate)):
        time.sleep(max(0.0, start + i / rate - time.monotonic()))
        threads.append(threading.Thread(target=once, args=(address, port, counts, lock)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
