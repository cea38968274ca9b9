# SPDX-License-Identifier: Apache-2.0
"""Moves bytes between a connection and two file descriptors, both ways at once: for `connect` and `listen`."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from typing import Protocol

import msgspec

from sennit.tools import units

CHUNK = 256 * 1024


class Stream(Protocol):
    """The part of `sennit.sdk.Connection` that is used here."""

    def send(self, data: memoryview, /) -> int: ...
    def recv_into(self, buffer: bytearray, /) -> int: ...
    def shutdown(self, how: int, /) -> None: ...


class Stats(msgspec.Struct, frozen=True):
    """What one connection moved. A rate counts from the beginning to the last byte of its direction."""

    local: str
    remote: str
    mptcp: bool
    seconds: float
    bytes_sent: int
    bytes_received: int
    send_mbit_s: float
    receive_mbit_s: float

    def line(self) -> str:
        return (
            f"{'mptcp' if self.mptcp else 'tcp'} {self.local} - {self.remote}: "
            f"sent {units.size(self.bytes_sent)} ({self.send_mbit_s:.1f} Mbit/s), "
            f"received {units.size(self.bytes_received)} ({self.receive_mbit_s:.1f} Mbit/s) in {self.seconds:.2f} s"
        )


class _Meter:
    """Bytes of one direction, and when the last of them moved."""

    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()
        self.count = 0

    def add(self, count: int) -> None:
        self.count += count
        self.last = time.monotonic()

    @property
    def mbit_s(self) -> float:
        span = self.last - self.begun
        return round(8 * self.count / span / 1e6, 3) if span > 0 else 0.0


class Pump:
    """One connection's transfer. source: read until its end, then our half is closed. sink: gets what the peer sends.
    timeout: the one the stream has; a direction may rest for longer while the other one moves."""

    def __init__(
        self, stream: Stream, source: int, sink: int, *, interactive: bool = False, timeout: float | None = None
    ) -> None:
        self.sent, self.received = _Meter(), _Meter()
        self._stream = stream
        self._source, self._sink = source, sink
        self._interactive = interactive
        self._timeout = timeout
        self._error: BaseException | None = None

    def run(self) -> None:
        """Returns when both directions have ended. Interactive: when the peer has, whoever may still be typing."""
        sender = threading.Thread(target=self._send, name="sender", daemon=True)
        sender.start()
        self._receive()
        if not self._interactive:
            sender.join()
        if self._error is not None:
            raise self._error

    def stats(self, local: tuple[str, int], remote: tuple[str, int], mptcp: bool) -> Stats:
        return Stats(
            local=address(local),
            remote=address(remote),
            mptcp=mptcp,
            seconds=round(time.monotonic() - self.sent.begun, 4),
            bytes_sent=self.sent.count,
            bytes_received=self.received.count,
            send_mbit_s=self.sent.mbit_s,
            receive_mbit_s=self.received.mbit_s,
        )

    def _send(self) -> None:
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        try:
            while count := os.readv(self._source, [buffer]):
                done = 0
                while done < count:
                    try:
                        taken = self._stream.send(view[done:count])
                    except TimeoutError:
                        if self._resting(self.received):
                            raise
                        continue
                    done += taken
                    self.sent.add(taken)
            self._stream.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            # The connection ended first; if that was an error, the receiving side has seen it too.
            self._error = self._error or ConnectionResetError(104, "the peer closed before everything was sent")
        except BaseException as error:
            self._error = self._error or error
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RD)  # wakes the receiver

    def _receive(self) -> None:
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        while True:
            try:
                count = self._stream.recv_into(buffer)
            except TimeoutError:
                if self._resting(self.sent):
                    raise
                continue
            if count == 0:
                return
            self.received.add(count)
            done = 0
            while done < count:
                done += os.write(self._sink, view[done:count])

    def _resting(self, other: _Meter) -> bool:
        """True if the other direction has not moved for the timeout either."""
        return self._timeout is None or time.monotonic() - other.last > self._timeout


def address(pair: tuple[str, int]) -> str:
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
