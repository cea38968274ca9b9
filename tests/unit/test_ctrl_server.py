# SPDX-License-Identifier: Apache-2.0
"""The control process against fake workers: sessions, policy, status, refusals, deaths, the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ctrl_fake as fake
import pytest

from sennit.ctrl import access, apps, settings
from sennit.shm import control_client, framing, messages
from sennit.shm.segment import FDS_PER_CHANNEL


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextlib.contextmanager
def dialled(name: str = "test") -> Iterator[framing.FramedSocket]:
    sock, _ = control_client.dial("unit", name, 5)
    try:
        yield sock
    finally:
        sock.close()


def until(true: Callable[[], bool], seconds: float = 2.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def attach(sock: framing.FramedSocket) -> messages.Attached:
    reply = sock.request(messages.Attach(tx_bytes=1 << 18, rx_bytes=1 << 18))
    assert isinstance(reply, messages.Attached)
    return reply


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def held(name: str) -> int:
    """Descriptors of this process whose target has this in its name."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += name in str(entry.readlink())
    return count


def raw(path: Path, data: bytes) -> messages.Reply | None:
    """Sends bytes, returns the one answer; the server must close after it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    frames = framing.FrameDecoder().feed(answer)
    return messages.reply_decoder.decode(frames[-1]) if frames else None


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


# ------------------------------------------------------------------------------------------------------------ sessions


def test_attach_gives_every_worker_its_end(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled("my app") as sock:
            reply = attach(sock)
            assert (reply.workers, reply.addresses) == (2, ("10.0.1.1", "10.0.2.1", "10.0.3.1"))
            fds = sock.take_fds(2 * FDS_PER_CHANNEL)
            try:
                for worker, memory in zip(handle.workers, fds[::FDS_PER_CHANNEL], strict=True):
                    given = worker.channels[reply.session]
                    assert os.fstat(memory).st_ino == os.fstat(given[0]).st_ino
                    assert os.fstat(memory).st_size == reply.channel_bytes
            finally:
                framing.close_fds(fds)
            shown = control_status()
            assert [(s.pid, s.name, s.shm_bytes) for s in shown.sessions] == [
                (os.getpid(), "my app", 2 * reply.channel_bytes)
            ]

    fake.with_server(handle, scenario, directory)


def control_status(max_conns: int = 64) -> messages.Status:
    with dialled() as sock:
        reply = sock.request(messages.GetStatus(max_conns=max_conns))
    assert isinstance(reply, messages.Status)
    return reply


def test_session_ends_everywhere_when_its_application_dies(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled():
            pass
        before = open_fds()
        with dialled() as sock:
            session = attach(sock).session
        assert until(lambda: messages.DetachChannel(session) in handle.workers[0].heard, 1)
        assert until(lambda: messages.DetachChannel(session) in handle.workers[1].heard, 1)
        assert until(lambda: control_status().sessions == (), 1)
        assert until(lambda: open_fds() == before), "descriptors of the session are still open"

    fake.with_server(handle, scenario, directory)


def test_a_worker_that_never_lets_go_does_not_hold_up_the_end_of_a_session(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled() as sock:
            attach(sock)
            handle.workers[1].mute = True
        handle.workers[1].life.heartbeat_age_ms = 5000.0
        start = time.monotonic()
        assert until(lambda: control_status().sessions == (), 3)
        assert time.monotonic() - start < 2

    fake.with_server(handle, scenario, directory)


def test_session_limit_is_a_clear_error(directory: Path) -> None:
    def scenario(path: Path) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(apps.MAX_SESSIONS):
                sock = stack.enter_context(dialled())
                attach(sock)
                framing.close_fds(sock.take_fds(FDS_PER_CHANNEL))
            with dialled() as late, pytest.raises(OSError, match="all 64 application sessions are in use"):
                late.request(messages.Attach())

    fake.with_server(fake.Handle(workers=1), scenario, directory)


def test_attaching_twice_and_silly_sizes_are_refused(directory: Path) -> None:
    def scenario(path: Path) -> None:
        with dialled() as sock:
            with pytest.raises(OSError, match="tx_bytes is 17"):
                sock.request(messages.Attach(tx_bytes=17))
            attach(sock)
            with pytest.raises(OSError, match="session already"):
                sock.request(messages.Attach())

    handle = fake.Handle()
    fake.with_server(handle, scenario, directory)


def test_a_worker_that_refuses_a_session_undoes_it(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.workers[1].refuse = "no free channel slot"

    def scenario(path: Path) -> None:
        with dialled() as sock, pytest.raises(OSError, match="worker 1 refused the session: no free channel slot"):
            sock.request(messages.Attach())
        assert control_status().sessions == ()
        assert not handle.workers[0].channels

    fake.with_server(handle, scenario, directory)


def test_protocol_violation_ends_that_session_and_no_other(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled() as bad, dialled() as good:
            guilty = attach(bad).session
            attach(good)
            handle.workers[0].forget(guilty)
            handle.workers[0].say(messages.ChannelDetached(guilty, violation=True))
            reply = bad.receive(2)
            assert isinstance(reply, messages.Failure)
            assert "broke the channel protocol" in reply.error
            with pytest.raises(ConnectionResetError):
                bad.receive(2)
            assert until(lambda: len(control_status().sessions) == 1)
            assert isinstance(good.request(messages.GetLimits()), messages.LimitsReply)

    fake.with_server(handle, scenario, directory)


def test_worker_death_reaches_applications_and_its_successor_gets_fresh_channels(directory: Path) -> None:
    from sennit.shm import native

    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        import mmap

        with dialled() as owner, dialled() as sock:
            owner.request(messages.AddEndpoint(messages.Endpoint(0, "10.0.2.1", ("subflow",))))
            session = attach(sock).session
            fds = sock.take_fds(2 * FDS_PER_CHANNEL)
            memory = mmap.mmap(fds[FDS_PER_CHANNEL], 0)
            address = native.ffi.from_buffer(memory)
            channel = native.lib.sn_channel_new(address, len(memory), False, fds[FDS_PER_CHANNEL + 1], -1)
            assert native.lib.sn_channel_dead(channel) == 0
            handle.kill(1)
            assert sock.receive(1) == messages.WorkerDown(1)
            assert native.lib.sn_channel_dead(channel) != 0
            native.lib.sn_channel_free(channel)
            native.ffi.release(address)
            memory.close()

            handle.restart(1)
            assert sock.receive(1) == messages.WorkerUp(1)
            fresh = sock.take_fds(FDS_PER_CHANNEL)
            assert os.fstat(fresh[0]).st_ino != os.fstat(fds[FDS_PER_CHANNEL]).st_ino
            framing.close_fds((*fds, *fresh))
            heard = handle.workers[1].heard
            assert messages.AttachChannel(session) in heard
            assert messages.PutLimits(messages.Limits()) in heard
            assert messages.PutEndpoint(messages.Endpoint(1, "10.0.2.1", ("subflow",)), 1) in heard

    fake.with_server(handle, scenario, directory)


def test_attach_while_a_worker_is_down_is_completed_later(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        handle.kill(0)
        with dialled() as sock:
            attach(sock)
            framing.close_fds(sock.take_fds(2 * FDS_PER_CHANNEL))
            assert sock.receive_nowait() is None
            handle.restart(0)
            assert sock.receive(1) == messages.WorkerUp(0)
            assert len(sock.take_fds(FDS_PER_CHANNEL)) == FDS_PER_CHANNEL

    fake.with_server(handle, scenario, directory)


def test_a_full_control_ring_delays_but_loses_nothing(directory: Path) -> None:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        handle.workers[0].full = 20
        with dialled() as sock:
            for subflows in range(5):
                sock.request(messages.SetLimits(subflows=subflows))
            attach(sock)
        said = [m.limits.subflows for m in handle.workers[0].heard if isinstance(m, messages.PutLimits)]
        assert said[-5:] == [0, 1, 2, 3, 4]

    fake.with_server(handle, scenario, directory)


def test_a_forked_worker_keeps_no_socket_and_no_memory_of_applications(directory: Path) -> None:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        with dialled() as sock:
            attach(sock)
            before = held("sennit-channel")
            pid = os.fork()
            if pid == 0:
                # The control process holds the memory by two descriptors, its own and the mapping's.
                status = 1
                with contextlib.suppress(BaseException):
                    status = int(held("sennit-channel") != before - 2)
                os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    fake.with_server(handle, scenario, directory)


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


# ------------------------------------------------------------------------------------------------------------ steering


def test_rules_follow_the_subflows_on_ports_that_can(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.ports[0] = fake.port(0, steering="rte_flow")
    handle.workers[1].conns = (fake.conn(1, 1),)

    def scenario(path: Path) -> None:
        assert until(lambda: len(handle.flows) == 1)
        assert list(handle.flows.values()) == [(0, 1, "10.0.1.1:40000", "10.0.1.2:12000")]
        shown = control_status().ports
        assert [(p.steering, p.flow_rules) for p in shown] == [
            ("rte_flow", 1), ("software-forward", 0), ("software-forward", 0),
        ]  # fmt: skip
        handle.workers[1].conns = ()
        assert until(lambda: not handle.flows)

    fake.with_server(handle, scenario, directory)


def test_a_port_that_refuses_ipv6_rules_goes_on_with_ipv4(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.ports[0] = fake.port(0, steering="rte_flow", address6="fd00:1::1/64")
    six = fake.subflow(0, local="[fd00:1::1]:40000", remote="[fd00:1::2]:12000")
    handle.workers[1].conns = (fake.conn(1, 1, subflows=(six,)), fake.conn(1, 2))
    handle.flow_error_of = {"[": OSError(95, "no IPv6 rules")}

    def scenario(path: Path) -> None:
        assert until(lambda: len(handle.flows) == 1)
        assert list(handle.flows.values()) == [(0, 1, "10.0.1.1:40000", "10.0.1.2:12000")]
        assert control_status().ports[0].steering == "rte_flow"

    fake.with_server(handle, scenario, directory)


def test_every_address_of_a_port_is_told_and_can_be_an_endpoint(directory: Path) -> None:
    handle = fake.Handle(ports=2, endpoints=(messages.Endpoint(0, "all", ("signal",)),))
    handle.ports[1] = fake.port(1, address6="fd00:2::1/64")

    def scenario(path: Path) -> None:
        assert [e.address for e in control_status().endpoints] == ["10.0.1.1", "10.0.2.1", "fd00:2::1"]
        with dialled("app") as sock:
            reply = attach(sock)
            assert reply.addresses == ("10.0.1.1", "10.0.2.1", "fd00:2::1")
            for fd in sock.take_fds(2 * FDS_PER_CHANNEL):
                os.close(fd)

    fake.with_server(handle, scenario, directory)


def test_an_announcement_that_finds_no_room_is_warned_of(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    handle = fake.Handle(ports=1)
    handle.ports[0] = fake.port(0, address6="fd00:1::1/64")

    def scenario(path: Path) -> None:
        with dialled() as sock:
            for address in ("10.0.1.1", "fd00:1::1"):
                reply = sock.request(messages.AddEndpoint(messages.Endpoint(0, address, ("signal",), 8080)))
                assert isinstance(reply, messages.Endpoints)

    fake.with_server(handle, scenario, directory)
    warned = [r.getMessage() for r in caplog.records if "no room to announce" in r.getMessage()]
    assert [text.split(": beside")[0] for text in warned] == ["endpoint fd00:1::1"]


def test_a_port_that_refuses_a_rule_falls_back_to_forwarding(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.ports[0] = fake.port(0, steering="rte_flow")
    handle.flow_error = OSError(95, "not supported")
    handle.workers[1].conns = (fake.conn(1, 1),)

    def scenario(path: Path) -> None:
        assert until(lambda: control_status().ports[0].steering == "software-forward")

    fake.with_server(handle, scenario, directory)
