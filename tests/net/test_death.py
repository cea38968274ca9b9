# SPDX-License-Identifier: Apache-2.0
"""kill -9 of an application and of a worker: nobody hangs, nothing leaks, new connections are served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from sennit import sdk
from sennit.tools.lab import ANY, Family, KernelProcess, Lab
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5002
APPLICATION = """
import sys, time
from sennit import sdk
connection = sdk.connect((sys.argv[1], int(sys.argv[2])), timeout=10, instance=sys.argv[3])
connection.sendall(bytes(200000))
print("connected", flush=True)
time.sleep(1000)
"""

Eventually = Callable[[Callable[[], bool], float], bool]


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    with Lab(ipv6=True) as made:
        yield made


@pytest.fixture(params=["0", "0-1"], ids=["one-worker", "two-workers"])
def own_runtime(own_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with Runtime(own_lab, lcores=request.param) as made:
        yield made


FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")


def start_peer(lab: Lab, port: int = PORT, family: Family = "ipv4") -> KernelProcess:
    peer = KernelProcess(lab, lab.peer, port, "server", ANY[family], "receive", 1 << 20)
    peer.event("listening")
    return peer


def test_kill_9_of_an_application_closes_its_connections_and_frees_its_memory(
    lab: Lab, runtime: Runtime, eventually: Eventually
) -> None:
    idle = runtime.status()
    peer = start_peer(lab)
    program = subprocess.Popen(
        [sys.executable, "-P", "-c", APPLICATION, lab.peer_address(1), str(PORT), runtime.name],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    assert program.stdout.readline() == "connected\n"
    assert any(s.pid == program.pid for s in runtime.status().sessions)
    assert len(runtime.status().conns) == len(idle.conns) + 1
    program.kill()
    program.wait()

    def gone() -> bool:
        now = runtime.status()
        return not any(s.pid == program.pid for s in now.sessions) and len(now.conns) == len(idle.conns)

    assert eventually(gone, 1.0), runtime.status()
    assert peer.process.wait(5) is not None  # its connection has ended too

    # Everything the connection held came back: the tables and the pool are as before.
    def as_before() -> bool:
        return all(
            now.pool_free >= before.pool_free - 64
            and all(now.tables[name].used <= table.used for name, table in before.tables.items())
            for now, before in zip(runtime.status().workers, idle.workers, strict=True)
        )

    assert eventually(as_before, 5.0), (idle.workers, runtime.status().workers)


def test_kill_9_of_a_worker_gives_an_error_and_a_new_worker_serves(
    own_lab: Lab, own_runtime: Runtime, eventually: Eventually
) -> None:
    peer = start_peer(own_lab)
    connection = sdk.connect((own_lab.peer_address(1), PORT), timeout=10, instance=own_runtime.name)
    connection.sendall(bytes(100000))
    victim = own_runtime.status().workers[connection.worker]
    os.kill(victim.pid, signal.SIGKILL)
    start = time.monotonic()
    connection.settimeout(5)
    with pytest.raises(OSError) as caught:
        while True:
            connection.recv(1)
    assert not isinstance(caught.value, TimeoutError)
    assert time.monotonic() - start < 1.0
    connection.close()

    def again() -> bool:
        worker = own_runtime.status().workers[victim.worker]
        return worker.state == "RUN" and worker.pid != victim.pid

    assert eventually(again, 5.0), own_runtime.status()
    assert own_runtime.status().workers[victim.worker].restarts == victim.restarts + 1
    assert peer.process.wait(10) is not None  # the dead worker's peer was reset, not left waiting

    # Every worker serves: as many connections as it takes to meet each.
    for port in range(PORT + 1, PORT + 5):
        family = FAMILIES[port % 2]
        far = start_peer(own_lab, port, family)
        with sdk.connect((own_lab.peer_address(1, family), port), timeout=10, instance=own_runtime.name) as fresh:
            for block in Pattern(1 << 20).blocks():
                fresh.sendall(block)
            fresh.shutdown(1)
            assert fresh.recv(1) == b""
            assert far.done().sha256 == Pattern(1 << 20).sha256()


def test_a_new_worker_takes_over_the_listeners(own_lab: Lab, own_runtime: Runtime, eventually: Eventually) -> None:
    with sdk.listen(("::", PORT), instance=own_runtime.name, timeout=10) as listener:
        for victim in own_runtime.status().workers:
            os.kill(victim.pid, signal.SIGKILL)
            assert eventually(
                lambda victim=victim: (  # type: ignore[misc]
                    (now := own_runtime.status().workers[victim.worker]).state == "RUN" and now.pid != victim.pid
                ),
                5.0,
            )
        time.sleep(0.2)
        for family in FAMILIES * 2:
            here = own_lab.host_address(1, family)
            peer = KernelProcess(own_lab, own_lab.peer, PORT, "client", here, "send", 1 << 16)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                while connection.recv(65536):
                    pass
                connection.shutdown(1)
            assert peer.done().size == 1 << 16
