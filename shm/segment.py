# SPDX-License-Identifier: Apache-2.0
"""Memory and doorbells of a channel between one application session and one worker, made by the control process.

The memory has no name and cannot be shrunk: a sealed memfd. A named segment could be truncated by the application that
holds it, and the worker would die at its next access; it could also be left behind.

A doorbell between a worker and an application is one socketpair: each side waits on its own end and rings by writing to
it. The two ends have separate status flags, so an application cannot make a worker's ring block (native/shm/door.h).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
from typing import Any

from sennit.shm import native

ffi, lib = native.ffi, native.lib

DEFAULT_TX_BYTES = 16 * 1024 * 1024
DEFAULT_RX_BYTES = 8 * 1024 * 1024
MIN_BYTES = 256 * 1024
MAX_BYTES = 512 * 1024 * 1024
RX_SLOT_SIZE = 16 * 1024
SQ_ENTRIES = 1024
CQ_ENTRIES = 2048
FDS_PER_CHANNEL = 3


def create_memory(name: str, size: int) -> int:
    """Descriptor of `size` zero bytes of shared memory that nobody can shrink or grow. name: shown in /proc only."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_doorbell() -> tuple[int, int]:
    """Both ends: what one writes the other can poll for."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    return left.detach(), right.detach()


def channel_geometry(tx_bytes: int = 0, rx_bytes: int = 0) -> Any:
    """struct sn_channel_geometry for what an application asks for; 0 means the default. ValueError out of range."""
    tx_bytes = tx_bytes or DEFAULT_TX_BYTES
    rx_bytes = rx_bytes or DEFAULT_RX_BYTES
    for name, value in (("tx_bytes", tx_bytes), ("rx_bytes", rx_bytes)):
        if not MIN_BYTES <= value <= MAX_BYTES:
            raise ValueError(f"{name} is {value}; it must lie between {MIN_BYTES} and {MAX_BYTES}")
    tx_bytes = -(-tx_bytes // 65536) * 65536
    geometry = ffi.new("struct sn_channel_geometry *")
    geometry.sq_entries = SQ_ENTRIES
    geometry.cq_entries = CQ_ENTRIES
    geometry.tx_len = tx_bytes
    geometry.rx_slot_size = RX_SLOT_SIZE
    geometry.rx_slots = -(-rx_bytes // RX_SLOT_SIZE)
    return geometry


class ChannelSegment:
    """The control process's hold on one channel. `app_fds` go to the application, `worker_fds` to the worker, in the
    order memory, application's doorbell, worker's doorbell; both stay open here until `close`."""

    def __init__(self, worker: int, tx_bytes: int = 0, rx_bytes: int = 0) -> None:
        geometry = channel_geometry(tx_bytes, rx_bytes)
        self.worker = worker
        self.size: int = lib.sn_channel_footprint(geometry)
        self._memory = create_memory(f"sennit-channel-{worker}", self.size)
        self._app_end, self._worker_end = create_doorbell()
        self._map = mmap.mmap(self._memory, self.size)
        self._address = ffi.from_buffer(self._map, require_writable=True)
        native.check(lib.sn_channel_format(self._address, self.size, geometry, worker), "formatting a channel")
        self._closed = False

    @property
    def app_fds(self) -> tuple[int, int, int]:
        return self._memory, self._app_end, self._app_end

    @property
    def worker_fds(self) -> tuple[int, int, int]:
        return self._memory, self._worker_end, self._worker_end

    def mark_dead(self) -> None:
        """Tells the application that its worker is gone, and wakes it."""
        if not self._closed:
            lib.sn_channel_mark_dead(self._address)
            lib.sn_doorbell_ring(self._worker_end)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        ffi.release(self._address)
        self._map.close()
        for fd in (self._memory, self._app_end, self._worker_end):
            os.close(fd)
