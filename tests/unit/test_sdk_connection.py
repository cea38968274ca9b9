# SPDX-License-Identifier: Apache-2.0
"""The blocking API against workers that answer on real channels."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sdk_fake as fake

import sennit
from sennit.sdk.session import registry
from sennit.shm import messages, native

lib = native.lib


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake.FakeRuntime]:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("SENNIT_INSTANCE", raising=False)
    rt = fake.FakeRuntime(tmp_path)
    yield rt
    registry.close()
    rt.close()


def until(condition: object, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.002)
    return False


def test_bytes_come_back_equal(runtime: fake.FakeRuntime) -> None:
    data = random.Random(1).randbytes(3_000_001)
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=20) as conn:
        sender = threading.Thread(target=lambda: (conn.sendall(data), conn.shutdown(socket.SHUT_WR)))
        sender.start()
        got = bytearray()
        while piece := conn.recv(100_000):
            assert len(piece) <= 100_000
            got += piece
        sender.join()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert until(lambda: all(w.slots_out == 0 for w in runtime.workers.values())), "receive slots leaked"


def test_many_threads_share_one_session(runtime: fake.FakeRuntime) -> None:
    failures: list[BaseException] = []

    def client(seed: int) -> None:
        try:
            rng = random.Random(seed)
            with sennit.connect(("127.0.0.1", fake.ECHO), timeout=30) as conn:
                for _ in range(40):
                    data = rng.randbytes(rng.randrange(1, 30_000))
                    conn.sendall(data)
                    got = bytearray()
                    while len(got) < len(data):
                        piece = conn.recv(len(data))
                        assert piece
                        got += piece
                    assert got == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(t.is_alive() for t in threads)
    assert len(runtime.sessions) == 1
    session = registry.get(None, 1)
    assert until(lambda: not any(c.streams for c in session.channels.values()) or not _pump_once(session))
    assert all(len(c.arena.free) == c.arena.blocks for c in session.channels.values())


def _pump_once(session: object) -> bool:
    """Takes what the workers said since the last call of the API."""
    with session.lock:  # type: ignore[attr-defined]
        session.wait(threading.Condition(session.lock), lambda: False, time.monotonic())  # type: ignore[attr-defined]
    return True


def test_connections_are_spread_over_workers(runtime: fake.FakeRuntime) -> None:
    conns = [sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) for _ in range(4)]
    assert sorted(c.worker for c in conns) == [0, 0, 1, 1]
    for conn in conns:
        conn.close()


def test_names_and_facts(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("localhost", fake.ECHO), source_address=("", 5555)) as conn:
        assert conn.getpeername() == ("127.0.0.1", fake.ECHO)
        assert conn.getsockname() == ("10.0.0.1", 5555)
        assert conn.is_mptcp
        assert conn.gettimeout() is None
        with pytest.raises(io.UnsupportedOperation, match="no file descriptor"):
            conn.fileno()
    with sennit.connect(("127.0.0.1", fake.ECHO), mptcp=False) as conn:
        assert not conn.is_mptcp


def test_refused(runtime: fake.FakeRuntime) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1:1"):
        sennit.connect(("127.0.0.1", fake.REFUSED))


def test_source_port_is_looked_for_at_its_worker(runtime: fake.FakeRuntime) -> None:
    for port in (6000, 6001):
        with sennit.connect(("127.0.0.1", fake.ECHO), source_address=("", port)) as conn:
            assert conn.getsockname()[1] == port
            assert conn.worker == port % 2
    with pytest.raises(OSError, match="Cannot assign"):
        sennit.connect(("127.0.0.1", fake.ECHO), source_address=("", 99))


def test_connect_times_out_and_a_late_answer_is_aborted(runtime: fake.FakeRuntime) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        sennit.connect(("127.0.0.1", fake.SILENT), timeout=0.1)
    assert 0.09 < time.monotonic() - start < 2
    session = registry.get(None, 1)
    ((channel, token),) = session.pending
    worker = runtime.workers[channel.worker]

    def late(w: fake.FakeWorker) -> None:
        w.peers[77] = fake.Peer(77, fake.ECHO)
        w.push(lib.SN_CQ_CONNECTED, 77, token)

    worker.call(late)
    assert until(lambda: _pump_once(session) and 77 not in worker.peers)


def test_recv_times_out(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=0.05) as conn:
        with pytest.raises(TimeoutError):
            conn.recv(10)
        conn.setblocking(False)
        with pytest.raises(BlockingIOError):
            conn.recv(10)
        conn.settimeout(5)
        conn.sendall(b"x")
        assert conn.recv(10) == b"x"
        with pytest.raises(ValueError, match="out of range"):
            conn.settimeout(-1)


def test_send_blocks_at_the_limit_and_times_out(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.HOLD), timeout=0.2) as conn:
        with pytest.raises(TimeoutError):
            conn.sendall(bytes(2_000_000))
        worker, peer = runtime.peer_of(conn)
        held = sum(peer.held)
        assert 300_000 < held <= 700_000
        conn.setblocking(False)
        with pytest.raises(BlockingIOError):
            conn.send(b"x")

        def give_back(w: fake.FakeWorker) -> None:
            w.push(lib.SN_CQ_SENT, peer.conn, length=held)
            peer.held.clear()

        worker.call(give_back)
        conn.settimeout(5)
        conn.sendall(b"y" * 10)
        assert until(lambda: bytes(peer.got[held:]) == b"y" * 10)


def test_stalled_connections_leave_room_for_others(runtime: fake.FakeRuntime) -> None:
    stalled = []
    for _ in range(6):
        conn = sennit.connect(("127.0.0.1", fake.HOLD), timeout=0.05)
        stalled.append(conn)
        with pytest.raises(TimeoutError):
            conn.sendall(bytes(2_000_000))
    for _ in range(2):
        with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
            conn.sendall(b"still here")
            assert conn.recv(100) == b"still here"
    for conn in stalled:
        conn.abort()


def test_more_submissions_than_the_ring_holds(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.SINK), timeout=20) as conn:
        worker, peer = runtime.peer_of(conn)
        worker.paused = True
        timer = threading.Timer(0.2, setattr, (worker, "paused", False))
        timer.start()
        for i in range(3000):
            conn.sendall(bytes([i % 251]))
        timer.join()
        assert until(lambda: len(peer.got) == 3000)
        assert bytes(peer.got) == bytes(i % 251 for i in range(3000))


def test_reset_by_peer(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.RESET), timeout=5) as conn:
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
        with pytest.raises(ConnectionResetError):
            conn.send(b"x")


def test_bytes_before_a_reset_are_still_read(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
        worker, peer = runtime.peer_of(conn)

        def last_words(w: fake.FakeWorker) -> None:
            lib.sn_worker_deliver(w.channel, peer.conn, b"last words", 10)
            w.slots_out += 1
            w.push(lib.SN_CQ_CLOSED, peer.conn, res=lib.SN_E_RESET)
            del w.peers[peer.conn]

        worker.call(last_words)
        assert conn.recv(100) == b"last words"
        with pytest.raises(ConnectionResetError):
            conn.recv(1)
    assert until(lambda: worker.slots_out == 0)


def test_end_of_stream_and_half_close(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
        conn.sendall(b"abc")
        conn.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            conn.send(b"d")
        assert conn.recv(2) == b"ab"
        assert conn.recv(2) == b"c"
        assert conn.recv(2) == b""
        assert conn.recv(2) == b""


def test_recv_into_and_makefile(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
        conn.sendall(memoryview(b"hello world\nsecond\n"))
        buffer = bytearray(100)
        assert conn.recv_into(buffer, 5) == 5
        assert buffer[:6] == b"hello\0"
        file = conn.makefile("rb")
        assert file.readline() == b" world\n"
        assert file.readline() == b"second\n"


def test_close_with_unread_bytes_gives_the_slots_back_unread(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    worker, peer = runtime.peer_of(conn)
    conn.sendall(bytes(50_000))
    conn.recv(1)
    conn.close()
    assert until(lambda: lib.SN_OP_CLOSE in peer.ops)
    assert peer.ops.index(lib.SN_OP_RELEASE) < peer.ops.index(lib.SN_OP_CLOSE)
    assert peer.released == 0
    session = registry.get(None, 1)
    assert until(lambda: _pump_once(session) and worker.slots_out == 0)


def test_settings_reach_the_worker_in_milliseconds(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
        _worker, peer = runtime.peer_of(conn)
        conn.set(keepalive=sennit.Keepalive(idle=10, interval=1.5, count=4), user_timeout=0.0301, linger=2)
        conn.set()
        assert until(lambda: len(peer.settings) == 5)
        assert peer.settings == {
            lib.SN_SET_KEEP_IDLE: 10_000, lib.SN_SET_KEEP_INTERVAL: 1500, lib.SN_SET_KEEP_COUNT: 4,
            lib.SN_SET_USER_TIMEOUT: 31, lib.SN_SET_LINGER: 2000,
        }  # fmt: skip
        conn.set(keepalive=True, user_timeout=None, linger=None)
        assert until(lambda: peer.settings[lib.SN_SET_LINGER] == 0xFFFFFFFF)
        assert peer.settings[lib.SN_SET_USER_TIMEOUT] == 0
        assert peer.settings[lib.SN_SET_KEEP_IDLE] == 7_200_000
        conn.set(keepalive=False)
        assert until(lambda: peer.settings[lib.SN_SET_KEEP_IDLE] == 0)


def test_settings_that_make_no_sense_are_refused(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
        for bad in (
            {"user_timeout": -1}, {"linger": 1e9}, {"linger": float("nan")}, {"user_timeout": float("inf")},
            {"keepalive": sennit.Keepalive(idle=0)}, {"keepalive": sennit.Keepalive(interval=0)},
            {"keepalive": sennit.Keepalive(count=0)}, {"keepalive": sennit.Keepalive(count=256)},
        ):  # fmt: skip
            with pytest.raises(ValueError, match=r"out of range|keepalive"):
                conn.set(**bad)
    with pytest.raises(OSError, match="closed"):
        conn.set(user_timeout=1)


def test_close_waits_as_long_as_it_lingers(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    worker, peer = runtime.peer_of(conn)
    conn.set(linger=5)
    peer.stays = True

    def answer(w: fake.FakeWorker) -> None:
        w.push(lib.SN_CQ_CLOSED, peer.conn)
        del w.peers[peer.conn]

    timer = threading.Timer(0.2, worker.call, (answer,))
    timer.start()
    start = time.monotonic()
    conn.close()
    assert 0.1 < time.monotonic() - start < 4
    timer.join()


def test_close_does_not_wait_for_ever_for_a_worker_that_says_nothing(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    _worker, peer = runtime.peer_of(conn)
    conn.set(linger=0.1)
    peer.stays = True
    start = time.monotonic()
    conn.close()
    assert 1 < time.monotonic() - start < 4
    peer.stays = False


def test_closed_connection_is_of_no_use(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    conn.close()
    conn.close()
    for call in (lambda: conn.recv(1), lambda: conn.send(b"x"), conn.getpeername, lambda: conn.shutdown(2)):
        with pytest.raises(OSError, match="closed") as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_close_wakes_a_thread_that_receives(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO))
    outcome: list[object] = []

    def receive() -> None:
        try:
            outcome.append(conn.recv(1))
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=receive)
    thread.start()
    time.sleep(0.05)
    conn.close()
    thread.join(5)
    assert outcome == [errno.EBADF]


def test_forgotten_connection_warns_and_is_closed(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    _worker, peer = runtime.peer_of(conn)
    with pytest.warns(ResourceWarning, match="unclosed"):  # noqa: PT031
        del conn
        gc.collect()
    session = registry.get(None, 1)
    assert until(lambda: _pump_once(session) and lib.SN_OP_CLOSE in peer.ops)


def test_dead_worker_resets_its_connections_at_once_and_no_others(runtime: fake.FakeRuntime) -> None:
    conns = [sennit.connect(("127.0.0.1", fake.ECHO)) for _ in range(2)]
    conns.sort(key=lambda c: c.worker)
    outcome: list[tuple[float, object]] = []

    def receive() -> None:
        try:
            conns[0].recv(1)
        except OSError as error:
            outcome.append((time.monotonic(), error))

    thread = threading.Thread(target=receive)
    thread.start()
    time.sleep(0.05)
    killed = time.monotonic()
    runtime.workers[0].kill()
    thread.join(5)
    assert outcome, "the receiver still hangs"
    assert isinstance(outcome[0][1], ConnectionResetError)
    assert outcome[0][0] - killed < 1
    with pytest.raises(ConnectionResetError):
        conns[0].send(b"x")
    conns[1].settimeout(5)
    conns[1].sendall(b"alive")
    assert conns[1].recv(10) == b"alive"
    for _ in range(3):  # new connections go to who is left
        with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
            assert conn.worker == 1
    runtime.restart_worker(0)

    def lands_on_the_new_worker() -> bool:
        with sennit.connect(("127.0.0.1", fake.SINK), timeout=5) as fresh:
            return fresh.worker == 0

    assert until(lands_on_the_new_worker)
    for conn in conns:
        conn.close()


def test_connect_waits_for_a_worker_that_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    runtime = fake.FakeRuntime(tmp_path, workers=1)
    try:
        sennit.connect(("127.0.0.1", fake.ECHO)).close()
        runtime.workers[0].kill()
        timer = threading.Timer(0.2, runtime.restart_worker, (0,))
        timer.start()
        with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as conn:
            conn.sendall(b"again")
            assert conn.recv(5) == b"again"
        timer.join()
    finally:
        registry.close()
        runtime.close()


def test_lost_control_process_ends_everything_and_the_next_call_starts_over(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO))
    threading.Timer(0.05, runtime.drop_sessions).start()
    with pytest.raises(ConnectionResetError):
        conn.recv(1)
    with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as again:
        again.sendall(b"x")
        assert again.recv(1) == b"x"
    assert len(runtime.sessions) == 2
    conn.close()


def test_no_runtime_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SENNIT_INSTANCE", "lab")
    with pytest.raises(sennit.NotRunning, match=r"no sennit instance 'lab' \(socket .*/lab\.sock\).*'sennit up'") as e:
        sennit.connect(("127.0.0.1", 7))
    assert isinstance(e.value, sennit.Error)
    assert isinstance(e.value, ConnectionError)
    with pytest.raises(ValueError, match="not an instance name"):
        sennit.connect(("127.0.0.1", 7), instance="../x")


def test_refusal_of_the_control_process_is_raised(runtime: fake.FakeRuntime) -> None:
    runtime.refuse = messages.Failure(error="user 99 may not use instance 'default'", errno=errno.EPERM)
    with pytest.raises(PermissionError, match="user 99 may not"):
        sennit.connect(("127.0.0.1", 7))


def test_bad_addresses(runtime: fake.FakeRuntime) -> None:
    for host in ("fe80::1", "fe80::1%eth0", "fd00::1%eth0"):
        with pytest.raises(OSError, match=f"{host}: an address of one link"):
            sennit.connect((host, 7))
    with pytest.raises(TypeError, match="pair"):
        sennit.connect(("fd00::1", 7, 0, 0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="pair"):
        sennit.connect("127.0.0.1:7")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        sennit.connect(("127.0.0.1", 70000))
    with pytest.raises(ValueError, match="no packet scheduler 'x'"):
        sennit.connect(("127.0.0.1", 7), scheduler="x")


def test_child_of_a_fork_gets_a_session_of_its_own(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.ECHO), timeout=5)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                conn.recv(1)
            except ConnectionResetError:
                with sennit.connect(("127.0.0.1", fake.ECHO), timeout=5) as mine:
                    mine.sendall(b"child")
                    code = 0 if mine.recv(10) == b"child" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    conn.sendall(b"parent")
    assert conn.recv(10) == b"parent"
    conn.close()
    assert len(runtime.sessions) == 2


def test_end_of_process_waits_until_closed_connections_delivered(runtime: fake.FakeRuntime) -> None:
    conn = sennit.connect(("127.0.0.1", fake.SLOW), timeout=5)
    conn.sendall(bytes(600_000))
    conn.close()
    worker = runtime.workers[conn.worker]
    registry.close()
    assert not worker.peers, "the session ended before the connection was closed"


def test_scheduler_and_congestion_control_are_chosen_per_connection(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("10.0.0.2", fake.ECHO), cc="bbr", scheduler="roundrobin") as conn:
        chosen = runtime.workers[conn.worker].choices
    with sennit.listen(("0.0.0.0", 7001), cc="dctcp"):
        pass
    assert chosen[0] == (lib.SN_SCHED_ROUNDROBIN, lib.SN_CC_BBR)
    assert all(w.choices[-1] == (lib.SN_SCHED_DEFAULT, lib.SN_CC_DCTCP) for w in runtime.workers.values())
    with pytest.raises(ValueError, match="no congestion control 'vegas'; there are bbr, cubic"):
        sennit.connect(("10.0.0.2", fake.ECHO), cc="vegas")


def test_info_tells_of_the_connection_until_it_is_over(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("10.0.0.2", fake.ECHO)) as conn:
        info = conn.info()
        assert isinstance(info, sennit.ConnInfo)
        assert (info.worker, info.conn) == (conn.worker, conn._stream.conn)
        assert isinstance(info.subflows[0], sennit.SubflowInfo)
        assert conn.info() == info
        sockets = len(runtime.sockets)
        threads = [threading.Thread(target=conn.info) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(runtime.sockets) == sockets  # one question after the other, over one socket
        conn.sendall(b"works on")
        assert conn.recv(100) == b"works on"
        worker, peer = runtime.peer_of(conn)
        worker.call(lambda w: w.peers.pop(peer.conn))
        with pytest.raises(OSError, match="over") as caught:
            conn.info()
        assert caught.value.errno == errno.ENOTCONN
        worker.call(lambda w: w.peers.setdefault(peer.conn, peer))
    with pytest.raises(OSError, match="closed"):
        conn.info()


def test_info_survives_a_control_process_that_comes_back(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("10.0.0.2", fake.ECHO)) as conn:
        conn.info()
        runtime.sockets[-1].shutdown(socket.SHUT_RDWR)  # only the one for questions
        with pytest.raises(OSError):
            conn.info()
        assert conn.info().conn == conn._stream.conn
