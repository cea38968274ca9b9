# SPDX-License-Identifier: Apache-2.0
"""What a program may set of a connection, against the kernel: keep-alive, user timeout, linger. And urgent data."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from sennit import sdk
from sennit.tools.lab import Lab
from sennit.tools.lab_runtime import Runtime

PORT = 5007
Eventually = Callable[[Callable[[], bool], float], bool]

# A server on the kernel's sockets that runs a few lines of its own on what it accepts.
SERVER = """
import socket, struct, sys
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, int(sys.argv[2]))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", int(sys.argv[1])))
listener.listen(4)
print("listening", flush=True)
sock, _ = listener.accept()
{lines}
"""
MPTCP, TCP = 262, 0


@contextlib.contextmanager
def kernel_server(lab: Lab, proto: int, lines: str) -> Iterator[subprocess.Popen[bytes]]:
    program = SERVER.replace("{lines}", lines)
    process = lab.popen(lab.peer, sys.executable, "-I", "-c", program, str(PORT), str(proto), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def cut_off(lab: Lab) -> Iterator[None]:
    """The peer hears and says nothing on any path."""
    lab.run(lab.peer, "nft", "add", "table", "ip", "cut")
    lab.run(lab.peer, "nft", "add", "chain", "ip", "cut", "c", "{ type filter hook input priority 0; policy drop; }")
    lab.run(lab.peer, "nft", "add", "chain", "ip", "cut", "o", "{ type filter hook output priority 0; policy drop; }")
    try:
        yield
    finally:
        lab.run(lab.peer, "nft", "delete", "table", "ip", "cut")


def connect(lab: Lab, runtime: Runtime, mptcp: bool) -> sdk.Connection:
    return sdk.connect((lab.peer_address(1), PORT), timeout=20, mptcp=mptcp, instance=runtime.name)


@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp", "tcp"])
def test_the_kernel_answers_keep_alive_and_its_silence_ends_a_plain_connection(
    lab: Lab, runtime: Runtime, mptcp: bool, eventually: Eventually
) -> None:
    before, ended = runtime.counters()["TCPKeepAlive"], runtime.counters()["tcp_keep_timeout"]
    with (
        kernel_server(lab, MPTCP if mptcp else TCP, "sock.recv(1); sock.sendall(b'y'); sock.recv(1)"),
        connect(lab, runtime, mptcp) as connection,
    ):
        connection.set(keepalive=sdk.Keepalive(idle=0.5, interval=0.5, count=3))
        assert eventually(lambda: runtime.counters()["TCPKeepAlive"] >= before + 4, 20)
        assert runtime.counters()["tcp_keep_timeout"] == ended
        connection.sendall(b"x")
        assert connection.recv(1) == b"y"
        with cut_off(lab):
            assert eventually(lambda: runtime.counters()["tcp_keep_timeout"] == ended + 1, 20)
            if not mptcp:
                with pytest.raises(TimeoutError):
                    connection.recv(1)


def test_keep_alive_of_the_kernel_is_answered(lab: Lab, runtime: Runtime) -> None:
    lines = """
sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
    sock.setsockopt(socket.IPPROTO_TCP, option, 1)
sock.recv(1)
sock.sendall(b"y")
sock.recv(1)
"""
    before = lab.nstat(lab.peer)["TcpExtTCPKeepAlive"]
    with kernel_server(lab, TCP, lines), connect(lab, runtime, False) as connection:
        time.sleep(4)
        assert lab.nstat(lab.peer)["TcpExtTCPKeepAlive"] >= before + 2
        connection.sendall(b"x")
        assert connection.recv(1) == b"y"


@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp", "tcp"])
def test_user_timeout_ends_a_connection_whose_data_is_not_acknowledged(lab: Lab, runtime: Runtime, mptcp: bool) -> None:
    ended = runtime.counters()["tcp_user_timeout"]
    with (
        kernel_server(lab, MPTCP if mptcp else TCP, "sock.sendall(sock.recv(1)); sock.recv(2)"),
        connect(lab, runtime, mptcp) as connection,
    ):
        connection.set(user_timeout=1.5)
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        with cut_off(lab):
            start = time.monotonic()
            connection.sendall(b"x")
            with pytest.raises(TimeoutError):
                connection.recv(1)
            assert 1.4 < time.monotonic() - start < 15
        assert runtime.counters()["tcp_user_timeout"] == ended + 1


def test_close_with_linger_zero_resets_the_kernels_side(lab: Lab, runtime: Runtime) -> None:
    lines = """
try:
    while sock.recv(1):
        sock.sendall(b"y")
    print("end", flush=True)
except ConnectionResetError:
    print("reset", flush=True)
"""
    for linger, said in ((0, b"reset\n"), (5, b"end\n")):
        with kernel_server(lab, TCP, lines) as server, connect(lab, runtime, False) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"y"
            connection.set(linger=linger)
            connection.close()
            assert server.stdout is not None
            assert server.stdout.readline() == said


def test_urgent_data_of_the_kernel_stays_in_the_stream(lab: Lab, runtime: Runtime) -> None:
    lines = """
for i in range(200):
    sock.sendall(b"a" * 999)
    sock.send(b"!", socket.MSG_OOB)
sock.shutdown(socket.SHUT_WR)
sock.recv(1)
"""
    with kernel_server(lab, TCP, lines), connect(lab, runtime, False) as connection:
        got = bytearray()
        while piece := connection.recv(1 << 16):
            got += piece
        assert got == (b"a" * 999 + b"!") * 200
