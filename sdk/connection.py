# SPDX-License-Identifier: Apache-2.0
"""A connection as a program sees it: a blocking socket in all but the descriptor."""

from __future__ import annotations

import errno
import io
import math
import socket
import time
import warnings
from dataclasses import dataclass
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, NoReturn

from sennit.sdk.address import Address
from sennit.sdk.timeouts import Timeouts
from sennit.shm import native

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from sennit.sdk.session import Session
    from sennit.sdk.stream import Stream
    from sennit.shm.messages import ConnInfo

lib = native.lib

_MILLISECONDS_MAX = 0xFFFFFFFE


@dataclass(frozen=True)
class Keepalive:
    """When a silent peer is asked, in seconds, and how many questions without an answer end a subflow. The defaults are
    the kernel's, and RFC 1122's for `idle`."""

    idle: float = 7200.0
    interval: float = 75.0
    count: int = 9


def _milliseconds(name: str, seconds: float) -> int:
    if not 0 <= seconds <= _MILLISECONDS_MAX / 1000:
        raise ValueError(f"{name} out of range")
    return math.ceil(float(seconds) * 1000)


class Connection(Timeouts):
    """Made by `sennit.connect` and `Listener.accept`. Several threads may use it, say one per direction."""

    def __init__(self, session: Session, stream: Stream, timeout: float | None = None) -> None:
        super().__init__(timeout)
        self._session = session
        self._stream = stream
        self._closed = False
        self._linger: float | None = None

    def __repr__(self) -> str:
        kind = "closed" if self._closed else "mptcp" if self._stream.mptcp else "tcp"
        return f"<sennit.Connection {kind} local={self._stream.local} peer={self._stream.remote}>"

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not self._stream.closed:
            self._closed = True
            self._session.forget(self._stream)
            warnings.warn(f"unclosed {self._stream.local} - {self._stream.remote}", ResourceWarning, stacklevel=2)

    # -- data

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Sends at least one byte, perhaps not all; returns how many. The bytes are copied once, into shared memory."""
        with memoryview(data) as view, view.cast("B") as flat:
            return self._send(flat, self._deadline())

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """Sends everything; the timeout is for all of it."""
        deadline = self._deadline()
        with memoryview(data) as view, view.cast("B") as flat:
            done = 0
            while done < len(flat):
                done += self._send(flat[done:], deadline)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At most `size` bytes, as many as are here; b"" when the peer sends no more."""
        if size < 0:
            raise ValueError("negative buffersize in recv")
        stream = self._stream
        with self._session.lock:
            self._check_open()
            if not stream.received:
                self._await_readable()
            return stream.read(size)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Like recv, into a buffer of the caller's."""
        with memoryview(buffer) as view, view.cast("B") as flat:
            stream = self._stream
            with self._session.lock:
                self._check_open()
                if not stream.received:
                    self._await_readable()
                return stream.read_into(flat[:nbytes] if nbytes else flat)

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: str | None) -> io.IOBase:
        """A file object over the connection, as socket.makefile()."""
        raw = _Raw(self, "r" in mode or "+" in mode, "w" in mode or "+" in mode)
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        binary: io.IOBase
        if raw.readable() and raw.writable():
            binary = io.BufferedRWPair(raw, raw, size)
        elif raw.writable():
            binary = io.BufferedWriter(raw, size)
        else:
            binary = io.BufferedReader(raw, size)
        return binary if "b" in mode else io.TextIOWrapper(binary, **text)  # type: ignore[arg-type,type-var]

    # -- ending

    def shutdown(self, how: int) -> None:
        """SHUT_WR: the peer reads the end of the stream after what was sent. SHUT_RD: what comes is thrown away."""
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise OSError(errno.EINVAL, "shutdown() takes SHUT_RD, SHUT_WR or SHUT_RDWR")
        stream, session = self._stream, self._session
        with session.lock:
            self._check_open()
            if stream.closed:
                raise OSError(errno.ENOTCONN, "the connection is over already")
            if how != socket.SHUT_WR:
                stream.read_shut = True
                stream.discard_received(consumed=True)
                stream.channel.notify()
            if how != socket.SHUT_RD and not stream.write_shut:
                stream.write_shut = True
                session.submit(stream.channel, None, lib.SN_OP_SHUTDOWN, conn=stream.conn)
            stream.changed.notify_all()
            session.nudge()

    def close(self) -> None:
        """Orderly. What was sent still arrives; received bytes nobody read make the peer see a reset.

        Does not wait, unless set(linger=...) said so.
        """
        stream, session = self._stream, self._session
        with session.lock:
            if self._closed:
                return
            self._closed = True
            session.close_stream(stream)
            if self._linger:
                # The worker keeps the time; a little more is for its word to get here.
                until = time.monotonic() + self._linger + 1.0
                session.wait(stream.changed, lambda: stream.closed or session.over, until)

    def abort(self) -> None:
        """Resets the connection (MP_FASTCLOSE, RST): both sides are rid of it at once."""
        with self._session.lock:
            if not self._closed:
                self._closed = True
                self._session.abort(self._stream)

    # -- settings and facts

    def set(
        self,
        *,
        keepalive: Keepalive | bool | EllipsisType = ...,
        user_timeout: float | EllipsisType | None = ...,
        linger: float | EllipsisType | None = ...,
    ) -> None:
        """Sets what is given; times in seconds, to the millisecond.

        keepalive: True asks a peer that is silent for two hours; Keepalive(idle, interval, count) says how; False (as
        at the start): never. Each subflow asks and ends for itself; the connection ends with the last one.

        user_timeout: data that is not acknowledged for so long ends the connection with ETIMEDOUT; None: after the
        retransmissions that TCP allows. As the kernel's TCP_USER_TIMEOUT it also limits keepalive.

        linger: close() waits so long for what was sent to be acknowledged, then resets the connection; 0: resets it at
        once; None (as at the start): does not wait, the worker goes on for as long as it takes.
        """
        values: list[tuple[int, int]] = []
        if not isinstance(keepalive, EllipsisType):
            values += self._keepalive(keepalive)
        if not isinstance(user_timeout, EllipsisType):
            values.append((lib.SN_SET_USER_TIMEOUT, _milliseconds("user_timeout", user_timeout or 0.0)))
        if not isinstance(linger, EllipsisType):
            value = _MILLISECONDS_MAX + 1 if linger is None else _milliseconds("linger", linger)
            values.append((lib.SN_SET_LINGER, value))
        stream, session = self._stream, self._session
        with session.lock:
            self._check_open()
            for what, value in values:
                session.submit(stream.channel, None, lib.SN_OP_SET, conn=stream.conn, offset=what, length=value)
            if not isinstance(linger, EllipsisType):
                self._linger = linger

    @staticmethod
    def _keepalive(wanted: Keepalive | bool) -> list[tuple[int, int]]:
        if wanted is False:
            return [(lib.SN_SET_KEEP_IDLE, 0)]
        keepalive = Keepalive() if wanted is True else wanted
        idle = _milliseconds("keepalive idle", keepalive.idle)
        interval = _milliseconds("keepalive interval", keepalive.interval)
        if not idle or not interval or not 1 <= keepalive.count <= 255:
            raise ValueError("keepalive takes times above 0 and a count of 1 to 255")
        return [
            (lib.SN_SET_KEEP_INTERVAL, interval),
            (lib.SN_SET_KEEP_COUNT, keepalive.count),
            (lib.SN_SET_KEEP_IDLE, idle),
        ]

    def getpeername(self) -> Address:
        self._check_open()
        return self._stream.remote

    def getsockname(self) -> Address:
        self._check_open()
        return self._stream.local

    @property
    def is_mptcp(self) -> bool:
        """False: the connection fell back to plain TCP, or was asked to be plain TCP."""
        return self._stream.mptcp

    @property
    def worker(self) -> int:
        """Index of the worker that carries the connection."""
        return self._stream.channel.worker

    def info(self) -> ConnInfo:
        """What the worker knows of the connection: the kernel's MPTCP_INFO, and TCP_INFO of each subflow in `subflows`.

        Asks the control process, which asks the worker: about a millisecond. OSError(ENOTCONN) when it is over.
        """
        self._check_open()
        return self._session.info(self.worker, self._stream.conn)

    def fileno(self) -> NoReturn:
        raise io.UnsupportedOperation("a sennit connection has no file descriptor: it lives in shared memory")

    # -- inside

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the connection is closed")

    def _await_readable(self) -> None:
        stream, session = self._stream, self._session
        if session.wait(stream.changed, stream.readable, self._deadline()):
            self._check_open()
            return
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, "nothing to read yet")
        raise TimeoutError("timed out")

    def _send(self, data: memoryview, deadline: float | None) -> int:
        stream, session = self._stream, self._session
        with session.lock:
            self._check_open()
            if not data:
                return 0
            while True:
                done = stream.write(data)
                if done:
                    return done
                if stream.queue.room()[1]:  # there is room in the arena: the ring is full
                    if self._timeout == 0:
                        raise BlockingIOError(errno.EAGAIN, "no room to send yet")
                    session.pause(stream.channel, deadline)
                    continue
                stream.channel.starved.add(stream)
                if not session.wait(stream.changed, stream.writable, deadline):
                    if self._timeout == 0:
                        raise BlockingIOError(errno.EAGAIN, "no room to send yet")
                    raise TimeoutError("timed out")
                self._check_open()


class _Raw(io.RawIOBase):
    """What makefile() buffers."""

    def __init__(self, connection: Connection, reads: bool, writes: bool) -> None:
        self._connection = connection
        self._reads = reads
        self._writes = writes

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._connection.recv_into(buffer)

    def write(self, data: ReadableBuffer) -> int:
        return self._connection.send(data)
