# SPDX-License-Identifier: Apache-2.0
"""The control process against fake workers: sessions, policy, status, refusals, deaths, the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

import ctrl_fake as fake
import pytest
from ctrl_dial import control_status, dialled, raw, until

from sennit.ctrl import access, settings
from sennit.shm import control_client, framing, messages


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    return tmp_path


# ------------------------------------------------------------------------------------------------------- conversations


def test_hello_names_the_instance(directory: Path) -> None:
    def scenario(path: Path) -> None:
        sock, welcome = control_client.dial("unit", "test", 5)
        sock.close()
        assert welcome == messages.Welcome(
            version=messages.PROTOCOL_VERSION, instance="unit", pid=os.getpid(), workers=2
        )

    fake.with_server(fake.Handle(), scenario, directory)


def test_another_protocol_version_is_refused_with_the_way_out(directory: Path) -> None:
    def scenario(path: Path) -> None:
        reply = raw(path, framing.encode(messages.Hello(version=99)))
        assert isinstance(reply, messages.Failure)
        assert "speaks protocol 1, not 99" in reply.error

    fake.with_server(fake.Handle(), scenario, directory)


def test_first_request_must_be_hello(directory: Path) -> None:
    def scenario(path: Path) -> None:
        reply = raw(path, framing.encode(messages.GetStatus()))
        assert isinstance(reply, messages.Failure)
        assert "Hello" in reply.error

    fake.with_server(fake.Handle(), scenario, directory)


HELLO = framing.encode(messages.Hello())


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x05hello",
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\x00\x01\x00\x01" + b"x" * 10,
        b"GET / HTTP/1.0\r\n\r\n",
        HELLO[:-1],
        HELLO + b"\x00\x00\x00\x01\xc1",
        HELLO + b"\x00\x00\x00\x03\xa2\xff\xfe",
        HELLO + framing.encode(messages.Done()),
        HELLO + (2000).to_bytes(4, "big") + b"\x91" * 2000,
    ],
)
def test_malformed_frames_get_a_sentence_and_the_server_goes_on(data: bytes, directory: Path) -> None:
    def scenario(path: Path) -> None:
        reply = raw(path, data)
        assert isinstance(reply, messages.Failure)
        assert "request" in reply.error
        with dialled() as sock:
            assert isinstance(sock.request(messages.GetLimits()), messages.LimitsReply)

    fake.with_server(fake.Handle(), scenario, directory)


def test_requests_may_come_in_pieces(directory: Path) -> None:
    def scenario(path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(str(path))
            for byte in HELLO + framing.encode(messages.GetLimits()):
                sock.send(bytes([byte]))
            decoder = framing.FrameDecoder()
            frames: list[bytes] = []
            while len(frames) < 2:
                frames += decoder.feed(sock.recv(65536))
        assert isinstance(messages.reply_decoder.decode(frames[1]), messages.LimitsReply)

    fake.with_server(fake.Handle(), scenario, directory)


def test_too_many_clients_are_told_so(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sennit.ctrl.server.MAX_CLIENTS", 1)

    def scenario(path: Path) -> None:
        with dialled(), pytest.raises(OSError, match="1 clients are connected already"):
            control_client.dial("unit", "second", 5)

    fake.with_server(fake.Handle(), scenario, directory)


# -------------------------------------------------------------------------------------------------------------- access


def test_socket_is_private_by_default(directory: Path) -> None:
    def scenario(path: Path) -> None:
        assert path.stat().st_mode & 0o777 == 0o600

    fake.with_server(fake.Handle(), scenario, directory)


def test_access_rule() -> None:
    rule = access.Access(owner=1000)
    assert [rule.allows(access.Peer(1, uid, 5)) for uid in (0, 1000, 1001)] == [True, True, False]
    wide = access.Access(owner=1000, allow_uid=(1001,))
    assert wide.allows(access.Peer(1, 1001, 5))
    assert not wide.allows(access.Peer(1, 1002, 5))
    assert wide.mode == 0o666
    group = access.Access(owner=1000, group="5")
    assert group.allows(access.Peer(1, 4242, 5))
    assert not group.allows(access.Peer(1, 4242, 6))
    assert group.mode == 0o660


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_another_user_gets_one_clear_failure(directory: Path) -> None:
    directory.chmod(0o755)

    def as_user(path: Path, uid: int) -> str:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresuid(uid, uid, uid)
            text = ""
            with contextlib.suppress(BaseException):
                reply = raw(path, HELLO)
                text = reply.error if isinstance(reply, messages.Failure) else type(reply).__name__
            os.write(write, text.encode())
            os._exit(0)
        os.close(write)
        os.waitpid(pid, 0)
        with os.fdopen(read) as said:
            return said.read()

    def scenario(path: Path) -> None:
        for parent in path.parents:
            if parent.stat().st_mode & 0o005 != 0o005 and parent.owner() == "root":
                parent.chmod(parent.stat().st_mode | 0o055)
        assert "user 12345 may not use instance 'unit'" in as_user(path, 12345)
        assert as_user(path, 12346) == "Welcome"

    fake.with_server(fake.Handle(allow_uid=(12346,)), scenario, directory)


def test_second_instance_of_the_same_name_is_refused(directory: Path) -> None:
    def scenario(path: Path) -> None:
        with pytest.raises(settings.StartError, match="'unit' is running already"):
            settings.listen(path, "unit", access.Access(owner=0))
        assert path.exists()

    fake.with_server(fake.Handle(), scenario, directory)


def test_socket_of_a_dead_instance_is_replaced(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(directory / "unit.sock"))

    def scenario(path: Path) -> None:
        with dialled():
            pass

    fake.with_server(fake.Handle(), scenario, directory)


def test_a_start_that_fails_stops_the_runtime(directory: Path) -> None:
    handle = fake.Handle(endpoints=(messages.Endpoint(0, "10.9.9.9", ("subflow",)),))
    with pytest.raises(settings.StartError, match=r"10\.9\.9\.9 is not the address of a port"):
        fake.with_server(handle, lambda path: None, directory)
    assert handle.stopped
    assert not list(directory.iterdir())


# -------------------------------------------------------------------------------------------------------------- status


def test_status_merges_workers_ports_sessions_and_policy(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.workers[0].conns = (fake.conn(0, 1), fake.conn(0, 2))
    handle.workers[1].conns = (fake.conn(1, 1),)
    handle.workers[1].life.restarts = 3

    def scenario(path: Path) -> None:
        shown = control_status()
        assert [(c.worker, c.conn) for c in shown.conns] == [(0, 1), (0, 2), (1, 1)]
        assert [(w.worker, w.pid, w.state, w.restarts) for w in shown.workers] == [
            (0, 1000, "RUN", 0), (1, 1001, "RUN", 3),
        ]  # fmt: skip
        assert [p.name for p in shown.ports] == ["veth-a1", "veth-a2", "veth-a3"]
        assert [(c.worker, c.conn) for c in control_status(1).conns] == [(0, 1), (1, 1)]

    fake.with_server(handle, scenario, directory)


def test_status_does_not_wait_for_a_worker_that_hangs(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.workers[1].mute = True
    handle.workers[1].life.heartbeat_age_ms = 2500.0

    def scenario(path: Path) -> None:
        start = time.monotonic()
        shown = control_status()
        assert 0.4 < time.monotonic() - start < 1.5
        assert [w.state for w in shown.workers] == ["RUN", "STALLED"]
        assert shown.workers[1].idle_share == 0.75

    fake.with_server(handle, scenario, directory)


# -------------------------------------------------------------------------------------------------------------- policy


def test_endpoints_and_limits_reach_every_worker(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled() as sock:
            wanted = messages.Endpoint(0, "10.0.3.1", ("backup", "subflow"))
            entered = messages.Endpoint(1, "10.0.3.1", ("subflow", "backup"))
            assert sock.request(messages.AddEndpoint(wanted)) == messages.Endpoints((entered,))
            assert sock.request(messages.GetEndpoints()) == messages.Endpoints((entered,))
            assert sock.request(messages.DelEndpoint(1)) == messages.Endpoints(())
            limits = messages.Limits(2, 8)
            assert sock.request(messages.SetLimits(subflows=2)) == messages.LimitsReply(limits)
            with pytest.raises(OSError, match="no endpoint with id 9"):
                sock.request(messages.DelEndpoint(9))
            with pytest.raises(OSError, match=r"10\.9\.9\.9 is not the address of a port of this instance"):
                sock.request(messages.AddEndpoint(messages.Endpoint(0, "10.9.9.9")))
        for worker in handle.workers:
            assert worker.heard[-3:] == [
                messages.PutEndpoint(entered, 2), messages.RemoveEndpoint(1), messages.PutLimits(limits),
            ]  # fmt: skip

    fake.with_server(handle, scenario, directory)


# ------------------------------------------------------------------------------------------------------------- the end


def test_shutdown_drains_then_halts_then_removes_the_socket(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled() as sock:
            assert sock.request(messages.Shutdown(grace_s=1.0)) == messages.Done()
            with pytest.raises(ConnectionResetError):
                sock.receive(5)
        assert handle.stopped
        assert not path.exists()

    fake.with_server(handle, scenario, directory)
    for worker in handle.workers:
        assert worker.heard[-2:] == [messages.Drain(), messages.Halt()]


def test_a_worker_that_does_not_drain_is_waited_for_no_longer_than_the_grace(directory: Path) -> None:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        handle.workers[0].mute = True
        start = time.monotonic()
        with dialled() as sock:
            sock.request(messages.Shutdown(grace_s=0.3))
            with pytest.raises(ConnectionResetError):
                sock.receive(5)
        assert 0.25 < time.monotonic() - start < 1.5

    fake.with_server(handle, scenario, directory)
    assert handle.stopped


def test_second_interrupt_ends_the_waiting(directory: Path) -> None:
    handle = fake.Handle(workers=1, grace_s=30.0)

    def scenario(path: Path) -> None:
        handle.workers[0].mute = True
        start = time.monotonic()
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        assert until(lambda: messages.Drain() in handle.workers[0].heard)
        assert not handle.stopped
        signal.pthread_kill(main, signal.SIGTERM)
        assert until(lambda: handle.stopped)
        assert time.monotonic() - start < 5

    fake.with_server(handle, scenario, directory)
