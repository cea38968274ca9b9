# SPDX-License-Identifier: Apache-2.0
"""One worker's channel as a session uses it. Everything is called with the session's lock held and never blocks.

A lost channel takes and gives nothing."""

from __future__ import annotations

import errno
import mmap
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sennit.sdk.arena import Arena
from sennit.shm import errors, native

if TYPE_CHECKING:
    from sennit.sdk.stream import Stream

ffi, lib = native.ffi, native.lib

BATCH = 128


class Channel:
    """Takes the three descriptors over."""

    def __init__(self, fds: Sequence[int]) -> None:
        memory, self.door_app, self.door_worker = fds
        try:
            self.map = mmap.mmap(memory, os.fstat(memory).st_size)
        finally:
            os.close(memory)
        self._address = ffi.from_buffer(self.map, require_writable=True)
        self.handle: Any = lib.sn_channel_new(self._address, len(self.map), False, self.door_app, self.door_worker)
        if self.handle == ffi.NULL:
            self._close_fds()
            raise errors.ProtocolError(
                errno.EPROTO, "the runtime's channel has another layout: it was built from another version, restart it"
            )
        parts = ffi.new("struct sn_channel_parts *")
        lib.sn_channel_parts_get(self.handle, parts)
        self.worker: int = parts.worker
        self.arena = Arena(parts.tx_len)
        self.tx_offset: int = parts.tx_off
        self.memory = memoryview(self.map)
        self.streams: dict[int, Stream] = {}
        self.starved: set[Stream] = set()  # wait for a block of the arena
        self.lost = False
        self._completions = ffi.new("struct sn_cqe[]", BATCH)
        self._entry = ffi.new("struct sn_sqe *")
        self._late: deque[tuple[int, int, int]] = deque()  # releases that found the ring full

    def reap(self) -> list[Any]:
        """Completions that are here, at most one batch. They are overwritten by the next call."""
        if self.lost:
            return []
        count = lib.sn_app_reap(self.handle, self._completions, BATCH)
        return [self._completions[i] for i in range(count)]

    def send(self, conn: int, offset: int, length: int) -> bool:
        """False: the ring is full."""
        return not self.lost and self._flush() and lib.sn_app_send(self.handle, conn, offset, length) == 0

    def release(self, conn: int, offset: int, consumed: int) -> None:
        """Gives a receive slot back; never refused."""
        if self.lost:
            return
        if self._late or lib.sn_app_release(self.handle, conn, offset, consumed) != 0:
            self._late.append((conn, offset, consumed))
            self._flush()

    def submit(
        self,
        op: int,
        conn: int = 0,
        user: int = 0,
        *,
        flags: int = 0,
        offset: int = 0,
        length: int = 0,
        remote: tuple[bytes, int] | None = None,
        local: tuple[bytes, int] | None = None,
        scheduler: int = 0,
        cc: int = 0,
    ) -> bool:
        """False: the ring is full."""
        if self.lost or not self._flush():
            return False
        entry = self._entry
        ffi.memmove(entry, bytes(64), 64)
        entry.op, entry.flags, entry.conn, entry.user, entry.len, entry.sched = op, flags, conn, user, length, scheduler
        entry.off, entry.cc = offset, cc
        if remote is not None:
            ffi.memmove(entry.addr, remote[0], 16)
            entry.port = remote[1]
        if local is not None:
            ffi.memmove(entry.laddr, local[0], 16)
            entry.lport = local[1]
        return bool(lib.sn_app_submit(self.handle, entry) == 0)

    def notify(self) -> None:
        """Wakes the worker if it sleeps; once after a series of submissions."""
        if not self.lost:
            lib.sn_app_notify(self.handle)

    @property
    def backlog(self) -> bool:
        """Releases still wait for room in the ring."""
        return bool(self._late)

    def _flush(self) -> bool:
        late = self._late
        while late:
            if lib.sn_app_release(self.handle, *late[0]) != 0:
                lib.sn_app_notify(self.handle)
                return False
            late.popleft()
        return True

    def sleep(self) -> bool:
        """Asks to be woken. False: something is here already."""
        return not self.lost and bool(lib.sn_app_sleep(self.handle))

    def wake(self, rung: bool) -> None:
        if not self.lost:
            lib.sn_app_wake(self.handle, rung)

    def is_lost(self) -> bool:
        return self.lost or bool(lib.sn_app_lost(self.handle))

    def close(self) -> None:
        """The memory stays mapped while somebody still reads from it."""
        if self.handle != ffi.NULL:
            lib.sn_channel_free(self.handle)
            self.handle = ffi.NULL
            self._close_fds()

    def _close_fds(self) -> None:
        for fd in {self.door_app, self.door_worker}:
            os.close(fd)
