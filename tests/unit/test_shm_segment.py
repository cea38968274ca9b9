# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mmap
import os
import select

import pytest

from sennit.shm import native, segment

lib, ffi = native.lib, native.ffi


def test_application_cannot_shrink_the_memory() -> None:
    channel = segment.ChannelSegment(0)
    with pytest.raises(PermissionError):
        os.ftruncate(channel.app_fds[0], 0)
    with pytest.raises(PermissionError):
        os.ftruncate(channel.app_fds[0], channel.size * 2)
    channel.close()


def test_both_sides_attach_and_ring_each_other() -> None:
    channel = segment.ChannelSegment(3, 1 << 20, 1 << 20)
    views = []
    for fds, worker_side in ((channel.app_fds, False), (channel.worker_fds, True)):
        memory = mmap.mmap(fds[0], channel.size)
        address = ffi.from_buffer(memory)
        views.append((lib.sn_channel_new(address, channel.size, worker_side, fds[1], fds[2]), memory, address))
    app, worker = views[0][0], views[1][0]
    parts = ffi.new("struct sn_channel_parts *")
    lib.sn_channel_parts_get(app, parts)
    assert (parts.worker, parts.tx_len) == (3, 1 << 20)
    assert lib.sn_worker_sleep(worker)
    entry = ffi.new("struct sn_sqe *")
    assert lib.sn_app_submit(app, entry) == 0
    lib.sn_app_notify(app)
    assert select.select([channel.worker_fds[2]], [], [], 0)[0]
    assert not select.select([channel.app_fds[1]], [], [], 0)[0]
    lib.sn_worker_wake(worker)
    assert not select.select([channel.worker_fds[2]], [], [], 0)[0]
    assert lib.sn_worker_pop(worker, entry)
    assert lib.sn_app_sleep(app)
    channel.mark_dead()
    assert select.select([channel.app_fds[1]], [], [], 0)[0]
    assert lib.sn_app_lost(app)
    for view, memory, address in views:
        lib.sn_channel_free(view)
        ffi.release(address)
        memory.close()
    channel.close()
    channel.close()


def test_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="tx_bytes is 1;"):
        segment.ChannelSegment(0, 1, 0)
    with pytest.raises(ValueError, match="rx_bytes"):
        segment.ChannelSegment(0, 0, 1 << 40)


def test_memory_of_another_layout_is_refused() -> None:
    channel = segment.ChannelSegment(0)
    memory = mmap.mmap(channel.app_fds[0], channel.size)
    memory[8] ^= 1
    address = ffi.from_buffer(memory)
    assert lib.sn_channel_new(address, channel.size, False, -1, -1) == ffi.NULL
    ffi.release(address)
    memory.close()
    channel.close()
