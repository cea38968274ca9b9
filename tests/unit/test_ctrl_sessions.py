# SPDX-License-Identifier: Apache-2.0
"""The control process and its applications: sessions, deaths of either side, steering."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import ctrl_fake as fake
import pytest
from ctrl_dial import attach, control_status, dialled, held, open_fds, settled_fds, until

from sennit.ctrl import apps
from sennit.shm import framing, messages
from sennit.shm.segment import FDS_PER_CHANNEL


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    return tmp_path


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


def test_session_ends_everywhere_when_its_application_dies(directory: Path) -> None:
    handle = fake.Handle(workers=2)

    def scenario(path: Path) -> None:
        with dialled():
            pass
        before = settled_fds()
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
