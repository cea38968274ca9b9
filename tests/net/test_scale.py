# SPDX-License-Identifier: Apache-2.0
"""Many connections: idle ones cost memory and nothing else, closed ones cost nothing. SENNIT_CONNS: how many are held
at once (10000); SENNIT_CHURN: how many are opened and closed (3000; `make scale` takes 100000)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sennit import sdk
from sennit.runtime import memory
from sennit.shm import messages
from sennit.tools.lab import Lab
from sennit.tools.lab_runtime import Runtime

CONNS = int(os.environ.get("SENNIT_CONNS", "10000"))
CHURN = int(os.environ.get("SENNIT_CHURN", "3000"))
PORT = 7100
AT_ONCE = 100
# Arguments: address, port, connections. Holds them until its input ends; with one more every one is closed again.
KERNEL = """
import resource, select, socket, sys
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
def dial():
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    s.settimeout(20)
    s.connect((address, port))
    s.sendall(b"x")
    return s
held = []
for i in range(count):
    held.append(dial())
    if len(sys.argv) > 4 and len(held) == 50:
        for s in held: s.shutdown(socket.SHUT_WR)
        for s in held: assert s.recv(1) == b""
        for s in held: s.close()
        held.clear()
print("open", flush=True)
sys.stdin.read()
for s in held: s.close()
"""


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tables(status: messages.Status) -> dict[str, int]:
    return {name: table.used for name, table in status.workers[0].tables.items()}


@pytest.fixture(scope="module")
def wide_lab() -> Iterator[Lab]:
    with Lab(paths=1, rate_mbit=0) as made:
        # What the kernel closed first waits in TIME_WAIT there: its ports must last.
        made.sysctl(made.peer, {"net.ipv4.ip_local_port_range": "10000 65000", "net.ipv4.tcp_tw_reuse": 1})
        yield made


@pytest.fixture(scope="module")
def wide(wide_lab: Lab) -> Iterator[Runtime]:
    with Runtime(wide_lab, extra=["--max-conns", str(CONNS + AT_ONCE)]) as made:
        yield made


@contextmanager
def served(runtime: Runtime) -> Iterator[list[sdk.Connection]]:
    """A program that accepts whoever comes and reads one byte of each; what it holds is for the caller to close."""
    held: list[sdk.Connection] = []
    with sdk.listen(("", PORT), backlog=1024, instance=runtime.name) as listener:

        def accept() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    assert connection.recv(1) == b"x"
                    held.append(connection)
            except OSError:
                return

        thread = threading.Thread(target=accept)
        thread.start()
        yield held
    thread.join(10)
    assert not thread.is_alive()


def dial(lab: Lab, count: int, *options: str) -> subprocess.Popen[bytes]:
    return lab.popen(
        lab.peer, sys.executable, "-I", "-c", KERNEL, lab.host_address(1), str(PORT), str(count), *options,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def read_line(program: subprocess.Popen[bytes]) -> bytes:
    assert program.stdout is not None
    line: bytes = program.stdout.readline()
    return line


def test_idle_connections_take_what_is_printed_and_no_time(
    wide_lab: Lab, wide: Runtime, eventually: Callable[[Callable[[], bool], float], bool]
) -> None:
    with served(wide) as held:
        before = wide.status()
        program = dial(wide_lab, CONNS)
        assert read_line(program) == b"open\n"
        assert eventually(lambda: len(held) == CONNS, 60)
        time.sleep(1)
        now = wide.status()
        assert now.workers[0].conns == CONNS
        assert tables(now) == {
            name: used + (CONNS if name in memory.CONNECTION else 0) for name, used in tables(before).items()
        }
        grown = now.memory.tables_used_bytes - before.memory.tables_used_bytes
        assert grown == CONNS * now.memory.bytes_per_connection
        assert now.workers[0].pool_free >= before.workers[0].pool_free - 64
        start = cpu_seconds(now.workers[0].pid)
        time.sleep(3)
        assert (cpu_seconds(now.workers[0].pid) - start) / 3 < 0.03
        assert program.stdin is not None
        program.stdin.close()
        for connection in held:
            assert connection.recv(1) == b""
            connection.close()
        assert program.wait(20) == 0
        assert eventually(lambda: tables(wide.status()) == tables(before), 20), wide.status().workers[0].tables


def test_connections_that_come_and_go_leave_nothing(
    wide_lab: Lab, wide: Runtime, eventually: Callable[[Callable[[], bool], float], bool]
) -> None:
    with served(wide) as held:
        before = wide.status()
        program = dial(wide_lab, CHURN, "churn")
        for _ in range(CHURN):
            assert eventually(lambda: bool(held), 20)
            connection = held.pop(0)
            assert connection.recv(1) == b""
            connection.close()
        assert read_line(program) == b"open\n"
        assert program.stdin is not None
        program.stdin.close()
        assert program.wait(20) == 0
        assert eventually(lambda: tables(wide.status()) == tables(before), 20), wide.status().workers[0].tables
    after = wide.status()
    assert after.workers[0].pool_free >= before.workers[0].pool_free - 64
    assert after.workers[0].counters["conn_opened"] - before.workers[0].counters["conn_opened"] == CHURN
