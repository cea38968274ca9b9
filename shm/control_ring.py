# SPDX-License-Identifier: Apache-2.0
"""One direction of the conversation between the control process and a worker: messages over a byte ring.

Made before the fork on memory that both processes inherit. One process only sends, the other only receives.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from sennit.shm import errors, messages, native

ffi, lib = native.ffi, native.lib

M = TypeVar("M")

DEFAULT_CAPACITY = 1024 * 1024


class ControlRing(Generic[M]):
    """A ring of messages that `decoder` understands. `malformed` counts records that it did not."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M], capacity: int = DEFAULT_CAPACITY) -> None:
        size: int = lib.sn_ring_footprint(capacity)
        if size == 0:
            raise ValueError(f"a ring of {capacity} bytes is not possible: a power of two from 64 on is needed")
        self._decoder = decoder
        self._capacity = capacity
        self._size = size
        self._map = mmap.mmap(-1, size)
        self._address = ffi.from_buffer(self._map, require_writable=True)
        self._door = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._views: dict[bool, Any] = {}
        self._scratch: Any = None
        self.malformed = 0
        self.reset()

    def reset(self) -> None:
        """Empties the ring; neither side may be using it (its worker died, the next one is not forked yet)."""
        self._free_views()
        native.check(lib.sn_ring_format(self._address, self._size, self._capacity), "formatting a control ring")
        lib.sn_doorbell_drain(self._door)

    def view(self, producer: bool) -> Any:
        """struct sn_ring * of one side, for C code of the process that is this side. Lives as long as this object."""
        ring = self._views.get(producer)
        if ring is None:
            ring = lib.sn_ring_new(self._address, self._size, producer, self._door)
            if ring == ffi.NULL:
                raise MemoryError("no memory for a view of a control ring")
            self._views[producer] = ring
        return ring

    def fileno(self) -> int:
        """The doorbell: readable when the consumer slept and a message came."""
        return self._door

    def try_send(self, message: M) -> bool:
        """False: the ring is full for now."""
        record = messages.encoder.encode(message)
        code = lib.sn_ring_push(self.view(True), record, len(record))
        if code == -errno.EAGAIN:
            return False
        native.check(code, f"sending {type(message).__name__} ({len(record)} bytes) over a control ring")
        return True

    def send(self, message: M) -> None:
        """BlockingIOError if the ring is full: the other side does not keep up, or died."""
        if not self.try_send(message):
            raise BlockingIOError(errno.EAGAIN, f"control ring is full, {type(message).__name__} not sent")

    def receive(self) -> M | None:
        """The oldest message, or None. Records that fit no message are counted and dropped."""
        ring = self.view(False)
        if self._scratch is None:
            self._scratch = ffi.new("uint8_t[]", self._capacity)
        while True:
            length = lib.sn_ring_pop(ring, self._scratch, self._capacity)
            if length == -errno.EAGAIN:
                return None
            if length < 0:
                raise errors.ProtocolError(-length, "control ring is broken: the other side wrote an impossible record")
            try:
                return self._decoder.decode(ffi.buffer(self._scratch, length))
            except msgspec.DecodeError:
                self.malformed += 1

    def pending(self) -> bool:
        return bool(lib.sn_ring_pending(self.view(False)))

    def sleep(self) -> bool:
        """Asks for the doorbell. False: messages are waiting, do not block."""
        return bool(lib.sn_ring_sleep(self.view(False)))

    def wake(self) -> None:
        """After blocking: empties the doorbell."""
        lib.sn_ring_wake(self.view(False))

    def drain(self) -> Iterator[M]:
        """Every waiting message; at the end the doorbell is armed. For event loops: call once at the start, then when
        `fileno()` is readable."""
        self.wake()
        while True:
            while (message := self.receive()) is not None:
                yield message
            if self.sleep():
                return

    def close(self) -> None:
        if self._door < 0:
            return
        self._free_views()
        ffi.release(self._address)
        self._map.close()
        os.close(self._door)
        self._door = -1

    def _free_views(self) -> None:
        for ring in self._views.values():
            lib.sn_ring_free(ring)
        self._views.clear()


def to_worker(capacity: int = DEFAULT_CAPACITY) -> ControlRing[messages.ToWorker]:
    return ControlRing(messages.to_worker_decoder, capacity)


def from_worker(capacity: int = 4 * DEFAULT_CAPACITY) -> ControlRing[messages.FromWorker]:
    return ControlRing(messages.from_worker_decoder, capacity)
