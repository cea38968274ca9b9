# SPDX-License-Identifier: Apache-2.0
"""One end of a cell of the matrix: a program that opens, exchanges and ends a connection as it is told.

`matrix_end.py SOCKET` waits at a Unix socket; for each client it forks a process that obeys JSON lines and answers each
with one. It is the same for both stacks: the kernel's (standard library only, for `ip netns exec`) and sennit's own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
from typing import Any

IPPROTO_MPTCP = 262
TIMEOUT_S = 20.0
Answer = dict[str, Any]


def pattern(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def first_difference(got: bytes, wanted: bytes) -> int | None:
    """Offset; None: the shorter one is the beginning of the longer."""
    size = min(len(got), len(wanted))
    if got[:size] == wanted[:size]:
        return None
    return next(i for i in range(size) if got[i] != wanted[i])


class Kernel:
    """MPTCP sockets of the kernel."""

    def __init__(self) -> None:
        self.listener: socket.socket | None = None
        self.sock: socket.socket | None = None

    @staticmethod
    def _socket(address: str) -> socket.socket:
        # ::ffff:10.2.1.1 is IPv4 by a socket that can do both families.
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(TIMEOUT_S)
        return sock

    def _maxseg(self, sock: socket.socket, maxseg: int) -> None:
        if maxseg:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, maxseg)

    def listen(self, address: str, port: int, maxseg: int = 0) -> None:
        self.listener = self._socket(address)
        self._maxseg(self.listener, maxseg)
        self.listener.bind((address, port))
        self.listener.listen(8)

    def accept(self) -> None:
        assert self.listener is not None
        self.sock, _ = self.listener.accept()  # it goes on listening: the kernel takes joins through it
        self.sock.settimeout(TIMEOUT_S)

    def connect(self, address: str, port: int, maxseg: int = 0) -> None:
        self.sock = self._socket(address)
        self._maxseg(self.sock, maxseg)
        self.sock.connect((address, port))

    def abort(self) -> None:
        assert self.sock is not None
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def mptcp(self) -> bool:
        assert self.sock is not None
        try:
            info = self.sock.getsockopt(284, 1, 64)  # SOL_MPTCP, MPTCP_INFO
        except OSError as error:
            # What an MPTCP listener accepts from a plain TCP client is a TCP socket.
            if error.errno in (errno.EOPNOTSUPP, errno.ENOPROTOOPT):
                return False
            raise
        return not struct.unpack_from("=I", info, 8)[0] & 1  # MPTCP_INFO_FLAG_FALLBACK

    def subflows(self) -> int:
        """Beyond the first."""
        assert self.sock is not None
        return int(self.sock.getsockopt(284, 1, 64)[0])


class Sennit:
    """Connections of the SDK. instance: of `sennit up`."""

    def __init__(self) -> None:
        self.listener: Any = None
        self.sock: Any = None

    def listen(self, address: str, port: int, instance: str) -> None:
        from sennit import sdk

        self.listener = sdk.listen((address, port), timeout=TIMEOUT_S, instance=instance)

    def accept(self) -> None:
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(TIMEOUT_S)
        self.listener.close()

    def connect(self, address: str, port: int, instance: str) -> None:
        from sennit import sdk

        self.sock = sdk.connect((address, port), timeout=TIMEOUT_S, instance=instance)

    def abort(self) -> None:
        self.sock.abort()

    def mptcp(self) -> bool:
        return not self.sock.info().fallback if self.sock.is_mptcp else False

    def subflows(self) -> int:
        return sum(bool(sf.usable) for sf in self.sock.info().subflows) - 1


class End:
    """What it can be told; every method's result is its answer."""

    def __init__(self, stack: Kernel | Sennit) -> None:
        self.stack = stack

    @property
    def sock(self) -> Any:
        return self.stack.sock

    def listen(self, **where: Any) -> Answer:
        self.stack.listen(**where)
        return {}

    def accept(self) -> Answer:
        self.stack.accept()
        return {}

    def connect(self, **where: Any) -> Answer:
        self.stack.connect(**where)
        return {}

    def exchange(self, send: tuple[int, int], receive: tuple[int, int]) -> Answer:
        """Both directions at once, each a seed and a size. What came, and the first errors of both directions."""
        failed: list[OSError] = []

        def sending() -> None:
            try:
                self.sock.sendall(pattern(*send))
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=sending)
        thread.start()
        answer = self._receive(*receive)
        thread.join()
        if failed:
            answer["send_error"] = str(failed[0])
        return answer

    def _receive(self, seed: int, size: int) -> Answer:
        got = bytearray()
        answer: Answer = {}
        try:
            while len(got) < size:
                data = self.sock.recv(min(1 << 18, size - len(got)))
                if not data:
                    answer["eof"] = True
                    break
                got += data
        except OSError as error:
            answer["receive_error"] = str(error)
        answer["received"] = len(got)
        answer["differs"] = first_difference(bytes(got), pattern(seed, size))
        return answer

    def send(self, seed: int, size: int) -> Answer:
        self.sock.sendall(pattern(seed, size))
        return {}

    def receive(self, seed: int, size: int) -> Answer:
        return self._receive(seed, size)

    def until_end(self) -> Answer:
        """Reads until the stream ends, well or with an error."""
        got = 0
        try:
            while data := self.sock.recv(1 << 18):
                got += len(data)
        except OSError as error:
            return {"received": got, "ended": errno.errorcode.get(error.errno or 0, str(error))}
        return {"received": got, "ended": "EOF"}

    def shutdown(self) -> Answer:
        self.sock.shutdown(socket.SHUT_WR)
        return {}

    def close(self) -> Answer:
        self.sock.close()
        return {}

    def abort(self) -> Answer:
        self.stack.abort()
        return {}

    def state(self) -> Answer:
        mptcp = self.stack.mptcp()
        return {"mptcp": mptcp, "joined": self.stack.subflows() if mptcp else 0}


def obey(end: End, lines: Any) -> None:
    for line in lines:
        request = json.loads(line)
        try:
            answer = getattr(end, request.pop("do"))(**request)
        except OSError as error:
            answer = {"error": str(error)}
        lines.write(json.dumps(answer) + "\n")
        lines.flush()


def serve(path: str, kernel: bool) -> None:
    """Forks per client, until the end of standard input. A child that loses its client ends like any program: what it
    holds is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen(8)
        print("ready", flush=True)
        while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
            client, _ = door.accept()
            if os.fork():
                client.close()
                continue
            door.close()
            with contextlib.suppress(ConnectionError), client.makefile("rw") as lines:
                lines.write(json.dumps({"pid": os.getpid()}) + "\n")
                lines.flush()
                obey(End(Kernel() if kernel else Sennit()), lines)
            return


def main() -> None:
    stack, path = sys.argv[1:]
    if stack == "sennit":
        from sennit import sdk

        assert sdk  # imported once, for all children
    serve(path, stack == "kernel")


if __name__ == "__main__":
    main()
