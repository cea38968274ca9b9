# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sdk_fake as fake

import sennit
from sennit.sdk.session import registry


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake.FakeRuntime]:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    rt = fake.FakeRuntime(tmp_path)
    yield rt
    registry.close()
    rt.close()


def knock(runtime: fake.FakeRuntime, worker: int, listener: sennit.Listener, peer: tuple[str, int]) -> None:
    token = listener._backlog.token
    runtime.workers[worker].call(lambda w: w.incoming(token, peer))


def test_connections_of_every_worker_are_accepted(runtime: fake.FakeRuntime) -> None:
    with sennit.listen(("", 8080), backlog=5) as listener:
        assert listener.getsockname() == ("::", 8080)
        assert all(list(w.listeners.values()) == [("::", 8080)] for w in runtime.workers.values())
        knock(runtime, 1, listener, ("10.9.9.9", 1234))
        knock(runtime, 0, listener, ("10.9.9.8", 1235))
        peers = {}
        for _ in range(2):
            conn, address = listener.accept()
            assert conn.getpeername() == address
            assert conn.getsockname() == ("10.0.0.1", 8080)
            assert conn.is_mptcp
            conn.sendall(b"welcome")
            assert conn.recv(7) == b"welcome"
            peers[address] = conn.worker
            conn.close()
    assert peers == {("10.9.9.9", 1234): 1, ("10.9.9.8", 1235): 0}
    end = time.monotonic() + 5
    while any(w.listeners for w in runtime.workers.values()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(w.listeners for w in runtime.workers.values())


def test_free_port_is_the_same_on_every_worker(runtime: fake.FakeRuntime) -> None:
    with sennit.listen(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert 16384 <= port < 32768
        assert {tuple(w.listeners.values()) for w in runtime.workers.values()} == {(("127.0.0.1", port),)}


def test_port_in_use(runtime: fake.FakeRuntime) -> None:
    with pytest.raises(OSError, match=r"0\.0\.0\.0:1") as caught:
        sennit.listen(("0.0.0.0", fake.REFUSED))
    assert caught.value.errno == errno.EADDRINUSE


def test_accept_times_out(runtime: fake.FakeRuntime) -> None:
    with sennit.listen(("", 8080)) as listener:
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_close_wakes_who_accepts(runtime: fake.FakeRuntime) -> None:
    listener = sennit.listen(("", 8080))
    threading.Timer(0.05, listener.close).start()
    with pytest.raises(OSError, match="closed") as caught:
        listener.accept()
    assert caught.value.errno == errno.EBADF


def test_who_was_not_accepted_is_reset(runtime: fake.FakeRuntime) -> None:
    with sennit.listen(("", 8080)) as listener:
        knock(runtime, 0, listener, ("10.9.9.9", 1234))
        listener.settimeout(0.05)
        knock(runtime, 0, listener, ("10.9.9.9", 1235))
        listener.accept()[0].close()
    end = time.monotonic() + 5
    while runtime.workers[0].peers and time.monotonic() < end:
        time.sleep(0.01)
    assert not runtime.workers[0].peers


def test_restarted_worker_listens_again(runtime: fake.FakeRuntime) -> None:
    with sennit.listen(("", 8080)) as listener:
        runtime.workers[0].kill()
        worker = runtime.restart_worker(0)
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
        assert list(worker.listeners.values()) == [("::", 8080)]
        listener.settimeout(5)
        knock(runtime, 0, listener, ("10.9.9.9", 1))
        listener.accept()[0].close()
