# SPDX-License-Identifier: Apache-2.0
"""Listening: one backlog in the session, fed by every worker; `Listener` is what a program holds."""

from __future__ import annotations

import errno
import io
import threading
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from sennit.sdk import address as addresses
from sennit.sdk.address import Address
from sennit.sdk.connection import Connection
from sennit.sdk.timeouts import Timeouts
from sennit.shm import errors, native

if TYPE_CHECKING:
    from sennit.sdk.channel import Channel
    from sennit.sdk.session import Session
    from sennit.sdk.stream import Stream

lib = native.lib


class Backlog:
    """Lock held everywhere, as in Stream."""

    def __init__(self, session: Session, local: Address, size: int, flags: int, scheduler: int, cc: int) -> None:
        self.session = session
        self.token = session.token()
        self.local = local
        self.size = size
        self.flags = flags
        self.scheduler = scheduler
        self.cc = cc
        self.changed = threading.Condition(session.lock)
        self.results: dict[Channel, int] = {}
        self.streams: deque[Stream] = deque()
        self.closed = False

    def ask(self, channel: Channel, deadline: float | None) -> None:
        self.session.submit(
            channel,
            deadline,
            lib.SN_OP_LISTEN,
            user=self.token,
            length=self.size,
            flags=self.flags,
            scheduler=self.scheduler,
            cc=self.cc,
            local=(addresses.pack(self.local[0]), self.local[1]),
        )

    def on_listening(self, channel: Channel, result: int) -> None:
        self.results[channel] = result
        self.changed.notify_all()

    def on_accept(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.changed.notify_all()

    def on_worker(self, channel: Channel) -> None:
        """A worker was started again: it is to listen too."""
        if not self.closed:
            self.ask(channel, None)

    def on_worker_gone(self, channel: Channel) -> None:
        self.results.setdefault(channel, -errno.ECONNRESET)
        self.streams = deque(s for s in self.streams if s.channel is not channel)
        self.changed.notify_all()

    def take(self) -> Stream | None:
        while self.streams:
            stream = self.streams.popleft()
            if not (stream.closed and not stream.received):
                return stream
        return None

    def ready(self) -> bool:
        return bool(self.streams) or self.closed or self.session.over

    def close(self) -> None:
        self.closed = True
        self.session.listeners.pop(self.token, None)
        for channel in list(self.session.channels.values()):
            self.session.submit(channel, None, lib.SN_OP_UNLISTEN, user=self.token)
        while self.streams:
            self.session.abort(self.streams.popleft())
        self.changed.notify_all()
        self.session.nudge()


class Listener(Timeouts):
    """Made by `sennit.listen`."""

    def __init__(self, session: Session, backlog: Backlog, timeout: float | None = None) -> None:
        super().__init__(timeout)
        self._session = session
        self._backlog = backlog

    def __repr__(self) -> str:
        return f"<sennit.Listener {'closed' if self._backlog.closed else 'on'} {self._backlog.local}>"

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def accept(self) -> tuple[Connection, Address]:
        """The next connection and its peer's address."""
        session, backlog = self._session, self._backlog
        deadline = self._deadline()
        with session.lock:
            while True:
                if backlog.closed:
                    raise OSError(errno.EBADF, "the listener is closed")
                if not session.wait(backlog.changed, backlog.ready, deadline):
                    if self._timeout == 0:
                        raise BlockingIOError(errno.EAGAIN, "nobody to accept yet")
                    raise TimeoutError("timed out")
                stream = backlog.take()
                if stream is not None:
                    session.submit(stream.channel, None, lib.SN_OP_ACCEPT, conn=stream.conn)
                    return Connection(session, stream), stream.remote
                if session.over and not backlog.closed:
                    raise errors.NotRunning(errno.ECONNRESET, f"sennit instance {session.instance!r} went away")

    def __iter__(self) -> Listener:
        return self

    def __next__(self) -> Connection:
        return self.accept()[0]

    def close(self) -> None:
        """Nobody connects any more; who was not accepted is reset."""
        with self._session.lock:
            if not self._backlog.closed:
                self._backlog.close()

    def getsockname(self) -> Address:
        return self._backlog.local

    def fileno(self) -> NoReturn:
        raise io.UnsupportedOperation("a sennit listener has no file descriptor: it lives in shared memory")
