# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import select

import pytest

from sennit.shm import control_ring, errors, messages, native

lib, ffi = native.lib, native.ffi


def test_messages_cross_a_fork_both_ways() -> None:
    down, up = control_ring.to_worker(4096), control_ring.from_worker(4096)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            seen = 0
            while seen < 500:
                for message in down.drain():
                    assert isinstance(message, messages.Query)
                    assert message.seq == seen
                    while not up.try_send(messages.WorkerError(error=f"answer {seen}")):
                        select.select([], [], [], 0.001)
                    seen += 1
                if seen < 500:
                    assert select.select([down], [], [], 10)[0], "a wake-up was lost"
            code = 0
        finally:
            os._exit(code)
    sent = got = 0
    while got < 500:
        while sent < 500 and down.try_send(messages.Query(seq=sent, max_conns=1)):
            sent += 1
        for answer in up.drain():
            assert answer == messages.WorkerError(error=f"answer {got}")
            got += 1
        if got < 500:
            select.select([up], [], [], 0.01 if sent < 500 else 10)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    down.close()
    up.close()


def test_record_that_is_no_message_is_counted_and_dropped() -> None:
    ring = control_ring.to_worker(4096)
    for record in (b"", b"\xc1", b"\x81\xa1t\xa5Drain" + b"junk", b"\x81\xa1t\xa6Nobody"):
        assert lib.sn_ring_push(ring.view(True), record, len(record)) == 0
    ring.send(messages.Halt())
    assert ring.pending()
    assert ring.receive() == messages.Halt()
    assert ring.malformed == 4
    assert ring.receive() is None
    ring.close()


def test_full_ring_says_so_and_reset_empties_it() -> None:
    ring = control_ring.from_worker(256)
    while ring.try_send(messages.WorkerError(error="x" * 50)):
        pass
    with pytest.raises(BlockingIOError, match="WorkerError"):
        ring.send(messages.WorkerError(error="x" * 50))
    with pytest.raises(OSError, match="Message too long"):
        ring.send(messages.WorkerError(error="x" * 300))
    ring.reset()
    assert ring.receive() is None
    assert ring.try_send(messages.Drained())
    assert ring.receive() == messages.Drained()
    ring.close()


def test_ring_that_its_producer_broke_is_an_error() -> None:
    ring = control_ring.from_worker(256)
    ring.view(False)
    header = ffi.cast("uint32_t *", ring._address)
    header[16] = 1000  # tail, 64 bytes in
    with pytest.raises(errors.ProtocolError, match="broken"):
        ring.receive()
    ring.close()


def test_doorbell_is_silent_while_the_consumer_is_awake() -> None:
    ring = control_ring.to_worker(256)
    ring.send(messages.Drain())
    assert not select.select([ring], [], [], 0)[0]
    assert not ring.sleep()
    assert ring.receive() == messages.Drain()
    assert ring.sleep()
    ring.send(messages.Halt())
    assert select.select([ring], [], [], 0)[0]
    assert list(ring.drain()) == [messages.Halt()]
    assert not select.select([ring], [], [], 0)[0]
    ring.close()


def test_capacity_must_be_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        control_ring.to_worker(1000)
