# SPDX-License-Identifier: Apache-2.0
"""Messages on the control socket: 4-byte big-endian length, then MessagePack. Descriptors travel as SCM_RIGHTS beside
the frame that speaks of them.

`encode` and `FrameDecoder` do no I/O and serve event loops; `FramedSocket` is the blocking client's side.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from sennit.shm import errors, messages

HEADER = 4
MAX_FDS = 253  # SCM_MAX_FD
CHUNK = 65536


def encode(message: messages.Message) -> bytes:
    """One frame."""
    frame = bytearray(HEADER)
    messages.encoder.encode_into(message, frame, HEADER)
    length = len(frame) - HEADER
    if length > messages.MAX_FRAME:
        raise errors.ProtocolError(errno.EMSGSIZE, f"{type(message).__name__} of {length} bytes fits no frame")
    frame[:HEADER] = length.to_bytes(HEADER, "big")
    return bytes(frame)


class FrameDecoder:
    """Bytes in, whole frames out, however the stream was cut."""

    def __init__(self, max_frame: int = messages.MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._max = max_frame

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that are complete now. ProtocolError: a frame longer than allowed; the stream is of no more use."""
        self._buffer += data
        frames: list[bytes] = []
        at = 0
        while len(self._buffer) - at >= HEADER:
            length = int.from_bytes(self._buffer[at : at + HEADER], "big")
            if length > self._max:
                raise errors.ProtocolError(errno.EMSGSIZE, f"frame of {length} bytes; at most {self._max} are allowed")
            if len(self._buffer) - at - HEADER < length:
                break
            frames.append(bytes(self._buffer[at + HEADER : at + HEADER + length]))
            at += HEADER + length
        del self._buffer[:at]
        return frames

    @property
    def partial(self) -> bool:
        """True in the middle of a frame: an end of the stream would cut it."""
        return bool(self._buffer)


def send_with_fds(sock: socket.socket, data: bytes, fds: Sequence[int]) -> int:
    """One sendmsg: the descriptors go with the first byte. Returns the bytes taken; the rest goes by plain send."""
    if not fds:
        return sock.send(data, socket.MSG_NOSIGNAL)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    return sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive_with_fds(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One recvmsg; descriptors come close-on-exec. No bytes: the other side closed."""
    # Not socket.recv_fds: it forgets its flags.
    data, ancillary, flags, _address = sock.recvmsg(CHUNK, socket.CMSG_SPACE(MAX_FDS * 4), socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if flags & socket.MSG_CTRUNC:
        close_fds(fds)
        raise OSError(errno.EMFILE, "no room for the descriptors of a message: raise the limit of open files")
    return data, list(fds)


def close_fds(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)


class FramedSocket:
    """The client's end of a control socket. One thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = FrameDecoder()
        self._replies: deque[messages.Reply] = deque()
        self._fds: deque[int] = deque()
        self._eof = False
        sock.setblocking(False)

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, message: messages.Request, timeout: float | None = None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        data = memoryview(encode(message))
        while data:
            try:
                data = data[self.sock.send(data, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)

    def receive(self, timeout: float | None = None) -> messages.Reply:
        """The next reply. TimeoutError; ConnectionResetError when the control process is gone."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._replies:
            if self._eof:
                raise ConnectionResetError(errno.ECONNRESET, "the control process closed the connection")
            if not self._fill():
                self._wait(select.POLLIN, deadline)
        return self._replies.popleft()

    def receive_nowait(self) -> messages.Reply | None:
        """A reply that is already here; None otherwise. ConnectionResetError as in `receive`."""
        while not self._replies and not self._eof and self._fill():
            pass
        if self._replies:
            return self._replies.popleft()
        if self._eof:
            raise ConnectionResetError(errno.ECONNRESET, "the control process closed the connection")
        return None

    def request(self, message: messages.Request, timeout: float | None = 10.0) -> messages.Reply:
        """Sends and returns the answer; a `Failure` is raised as OSError, unasked messages are kept for later."""
        self.send(message, timeout)
        unasked: list[messages.Reply] = []
        try:
            while isinstance(reply := self.receive(timeout), messages.WorkerDown | messages.WorkerUp):
                unasked.append(reply)
        finally:
            self._replies.extendleft(reversed(unasked))
        if isinstance(reply, messages.Failure):
            raise failure(reply)
        return reply

    def take_fds(self, count: int) -> tuple[int, ...]:
        """The next descriptors, which the caller owns from now on."""
        if len(self._fds) < count:
            raise errors.ProtocolError(errno.EPROTO, f"{count} descriptors were announced, {len(self._fds)} came")
        return tuple(self._fds.popleft() for _ in range(count))

    def close(self) -> None:
        self.sock.close()
        close_fds(self._fds)
        self._fds.clear()

    def _fill(self) -> bool:
        """Reads once; False if nothing is there."""
        try:
            data, fds = receive_with_fds(self.sock)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data, fds = b"", []
        self._fds.extend(fds)
        self._eof = not data
        for frame in self._decoder.feed(data):
            try:
                self._replies.append(messages.reply_decoder.decode(frame))
            except msgspec.DecodeError as error:
                raise errors.ProtocolError(errno.EPROTO, f"malformed reply of the control process: {error}") from None
        return True

    def _wait(self, event: int, deadline: float | None) -> None:
        poller = select.poll()
        poller.register(self.sock, event)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poller.poll(left):
            raise TimeoutError(errno.ETIMEDOUT, "the control process does not answer")


def failure(reply: messages.Failure) -> OSError:
    """The exception for a refusal."""
    return OSError(reply.errno, reply.error) if reply.errno else errors.Error(errno.EINVAL, reply.error)
