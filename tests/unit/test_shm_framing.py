# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit.shm import errors, framing, messages


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 50))
def test_frames_come_out_whole_however_the_stream_is_cut(payloads: list[bytes], cut: int) -> None:
    stream = b"".join(len(p).to_bytes(4, "big") + p for p in payloads)
    decoder = framing.FrameDecoder()
    got = [f for i in range(0, len(stream), cut) for f in decoder.feed(stream[i : i + cut])]
    assert got == payloads
    assert not decoder.partial


def test_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(errors.ProtocolError, match="at most 100"):
        framing.FrameDecoder(100).feed(b"\0\0\0\x65")


def test_request_is_answered_and_unasked_messages_wait() -> None:
    ours, theirs = socket.socketpair()
    client = framing.FramedSocket(ours)
    theirs.sendall(framing.encode(messages.WorkerDown(worker=1)) + framing.encode(messages.Done()))
    assert client.request(messages.Hello()) == messages.Done()
    assert client.receive_nowait() == messages.WorkerDown(worker=1)
    assert client.receive_nowait() is None
    theirs.sendall(framing.encode(messages.Failure(error="no such thing", errno=errno.ENOENT)))
    with pytest.raises(FileNotFoundError, match="no such thing"):
        client.request(messages.GetStatus())
    theirs.sendall(framing.encode(messages.Failure(error="that is wrong")))
    with pytest.raises(errors.Error, match="that is wrong"):
        client.request(messages.GetStatus())
    with pytest.raises(TimeoutError):
        client.receive(0.02)
    theirs.close()
    with pytest.raises(ConnectionResetError):
        client.receive(1)
    client.close()


def test_descriptors_travel_with_their_message() -> None:
    ours, theirs = socket.socketpair()
    client = framing.FramedSocket(ours)
    read, write = os.pipe()
    framing.send_with_fds(theirs, framing.encode(messages.WorkerUp(worker=0)), [read, write, write])
    assert client.receive(1) == messages.WorkerUp(worker=0)
    fds = client.take_fds(3)
    os.write(fds[1], b"x")
    assert os.read(read, 1) == b"x"
    assert all(not os.get_inheritable(fd) for fd in fds)
    with pytest.raises(errors.ProtocolError, match="descriptors"):
        client.take_fds(1)
    framing.close_fds([*fds, read, write])
    client.close()
    theirs.close()


def test_garbage_from_the_control_process_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    client = framing.FramedSocket(ours)
    theirs.sendall(b"\0\0\0\3abc")
    with pytest.raises(errors.ProtocolError, match="malformed"):
        client.receive(1)
    client.close()
    theirs.close()


def test_long_message_crosses_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    client = framing.FramedSocket(ours)
    sent = messages.Failure(error="x" * 3_000_000)
    thread = threading.Thread(target=theirs.sendall, args=(framing.encode(sent),))
    thread.start()
    assert client.receive(5) == sent
    thread.join()
    client.close()
    theirs.close()
