# SPDX-License-Identifier: Apache-2.0
"""How tests talk to a control process under test."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sennit.shm import control_client, framing, messages


@contextlib.contextmanager
def dialled(name: str = "test") -> Iterator[framing.FramedSocket]:
    sock, _ = control_client.dial("unit", name, 5)
    try:
        yield sock
    finally:
        sock.close()


def until(true: Callable[[], bool], seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def attach(sock: framing.FramedSocket) -> messages.Attached:
    reply = sock.request(messages.Attach(tx_bytes=1 << 18, rx_bytes=1 << 18))
    assert isinstance(reply, messages.Attached)
    return reply


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled_fds() -> int:
    """Once the server has closed what belonged to connections that ended: it hears of their end a moment later."""
    count, since = open_fds(), time.monotonic()
    while time.monotonic() - since < 0.2:
        time.sleep(0.01)
        if open_fds() != count:
            count, since = open_fds(), time.monotonic()
    return count


def held(name: str) -> int:
    """Descriptors of this process whose target has this in its name."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += name in str(entry.readlink())
    return count


def raw(path: Path, data: bytes) -> messages.Reply | None:
    """Sends bytes, returns the one answer; the server must close after it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    frames = framing.FrameDecoder().feed(answer)
    return messages.reply_decoder.decode(frames[-1]) if frames else None


def control_status(max_conns: int = 64) -> messages.Status:
    with dialled() as sock:
        reply = sock.request(messages.GetStatus(max_conns=max_conns))
    assert isinstance(reply, messages.Status)
    return reply
