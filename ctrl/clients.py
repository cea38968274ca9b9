# SPDX-License-Identifier: Apache-2.0
"""One client of the control socket: frames in, frames and descriptors out, never waiting for a slow reader.

Frame: 4 bytes big-endian length, then one MessagePack message. Requests are small; what claims to be larger than
MAX_REQUEST is refused before it is read.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import socket
from collections.abc import Sequence

import msgspec

from sennit.ctrl import access, apps
from sennit.shm import errors, framing, messages

MAX_REQUEST = 64 * 1024
CHUNK = 65536
MAX_OUTBOX = 32 * 1024 * 1024
LINGER_S = 2.0


class BadFrame(Exception):
    """What came is no request; the sentence goes back to the client."""


class _Outgoing:
    """A frame on its way, with its own copies of the descriptors that travel with its first byte."""

    def __init__(self, frame: bytes, fds: Sequence[int]) -> None:
        self.rest = memoryview(frame)
        self.fds: list[int] = []
        try:
            for fd in fds:
                self.fds.append(os.dup(fd))
        except OSError:
            self.drop()
            raise

    def drop(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Client:
    """A connected control socket. peer: who the kernel says it is."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.peer = access.peer_of(sock)
        self.name = ""
        self.greeted = False
        self.session: apps.Session | None = None
        self.task: asyncio.Task[None] | None = None
        self._loop = loop
        self._decoder = framing.FrameDecoder(MAX_REQUEST)
        self._frames: collections.deque[bytes] = collections.deque()
        self._outbox: collections.deque[_Outgoing] = collections.deque()
        self._outbox_bytes = 0
        self._writing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.closed = False

    async def request(self) -> messages.Request | None:
        """The next request; None at the end of the stream. Raises BadFrame."""
        while not self._frames:
            try:
                data = await self._loop.sock_recv(self.sock, CHUNK)
            except OSError:
                return None
            if not data:
                if self._decoder.partial and not self.closed:
                    raise BadFrame("the stream ended in the middle of a request")
                return None
            try:
                self._frames.extend(self._decoder.feed(data))
            except errors.ProtocolError as error:
                raise BadFrame(f"malformed request: {error.strerror}") from None
        try:
            request: messages.Request = messages.request_decoder.decode(self._frames.popleft())
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadFrame(f"malformed request: {error}; use a sennit of the instance's version") from None
        return request

    def send(self, message: messages.Reply, fds: Sequence[int] = ()) -> None:
        """Queues a message. A client that lets too much pile up is cut off."""
        if self.closed:
            return
        frame = framing.encode(message)
        if self._outbox_bytes + len(frame) > MAX_OUTBOX:
            self.close()
            return
        self._outbox.append(_Outgoing(frame, fds))
        self._outbox_bytes += len(frame)
        self._write()

    async def flush(self, timeout: float = LINGER_S) -> None:
        """Waits until everything queued is in the kernel's hands, or the time is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout)

    async def drained(self) -> None:
        """Waits, however long it takes, until everything queued is in the kernel's hands."""
        await self._empty.wait()

    async def part(self) -> None:
        """Ends the conversation so that the last word arrives: closing with unread bytes would look like a reset."""
        await self.flush()
        with contextlib.suppress(OSError, TimeoutError):
            self.sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_S):
                while await self._loop.sock_recv(self.sock, CHUNK):
                    pass

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._unwatch()
        for outgoing in self._outbox:
            outgoing.drop()
        self._outbox.clear()
        self._empty.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # wakes a pending sock_recv; the reading task closes the descriptor

    def _write(self) -> None:
        while self._outbox:
            head = self._outbox[0]
            try:
                if head.fds:
                    sent = framing.send_with_fds(self.sock, bytes(head.rest), head.fds)
                else:
                    sent = self.sock.send(head.rest, socket.MSG_NOSIGNAL)
            except (BlockingIOError, InterruptedError):
                self._watch()
                return
            except OSError:
                self.close()
                return
            head.drop()
            head.rest = head.rest[sent:]
            self._outbox_bytes -= sent
            if not head.rest:
                self._outbox.popleft()
        self._unwatch()
        self._empty.set()

    def _watch(self) -> None:
        self._empty.clear()
        if not self._writing:
            self._loop.add_writer(self.sock.fileno(), self._write)
            self._writing = True

    def _unwatch(self) -> None:
        if self._writing:
            self._loop.remove_writer(self.sock.fileno())
            self._writing = False
