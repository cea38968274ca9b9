# SPDX-License-Identifier: Apache-2.0
"""TCP Fast Open with the kernel in both roles, under MPTCP and plain TCP, IPv4 and IPv6."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator

import pytest

from sennit import sdk
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

PORT = 5020
TIMEOUT_S = 10.0
FIRST = b"what comes with the SYN"
ROUNDS = 3  # the first one fetches the cookie

# The kernel's side. argv: role, address, protocol. Echoes or asks; prints what it got as JSON.
PEER = f"""
import json, socket, sys
role, address, proto = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
def whole(s):
    got = b""
    while part := s.recv(65536):
        got += part
    return got
if role == "server":
    s = socket.socket(family, socket.SOCK_STREAM, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, {PORT}))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    s.listen(8)
    print("listening", flush=True)
    for _ in range({ROUNDS}):
        c, _who = s.accept()
        c.sendall(whole(c))
        c.close()
else:
    for number in range({ROUNDS}):
        s = socket.socket(family, socket.SOCK_STREAM, proto)
        text = {FIRST!r} + b" %d" % number
        s.sendto(text, 0x20000000, (address, {PORT}))
        s.sendall(bytes(100000))
        s.shutdown(socket.SHUT_WR)
        print(json.dumps(whole(s) == text + bytes(100000)), flush=True)
        s.close()
"""


@pytest.fixture
def fastopen(lab: Lab) -> Iterator[None]:
    lab.sysctl(lab.peer, {"net.ipv4.tcp_fastopen": 3})
    lab.run(lab.peer, "ip", "tcp_metrics", "flush", "all")  # where the kernel keeps cookies
    yield
    lab.sysctl(lab.peer, {"net.ipv4.tcp_fastopen": 1})


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp", "tcp"])
def test_kernel_server_takes_data_with_the_syn(
    lab: Lab, runtime: Runtime, fastopen: None, family: Family, mptcp: bool
) -> None:
    before, own = lab.nstat(lab.peer), runtime.counters()
    address = lab.peer_address(1, family)
    server = lab.popen(
        lab.peer, "python3", "-c", PEER, "server", address, "262" if mptcp else "6", stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        for number in range(ROUNDS):
            text = FIRST + b" %d" % number
            with sdk.connect(
                (address, PORT), timeout=TIMEOUT_S, mptcp=mptcp, early=text, instance=runtime.name
            ) as connection:
                assert connection.is_mptcp == mptcp
                connection.sendall(bytes(100000))
                connection.shutdown(1)
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                assert answer == text + bytes(100000)
        assert server.wait(TIMEOUT_S) == 0
    finally:
        server.kill()
        server.wait()
    after, now = lab.nstat(lab.peer), runtime.counters()
    assert after["TcpExtTCPFastOpenPassive"] - before["TcpExtTCPFastOpenPassive"] >= ROUNDS - 1
    assert now["tcp_fastopen_acked"] - own["tcp_fastopen_acked"] >= ROUNDS - 1
    assert after["MPTcpExtDSSCorruptionFallback"] == before["MPTcpExtDSSCorruptionFallback"]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("mptcp", [True, False], ids=["mptcp", "tcp"])
def test_kernel_client_sends_data_with_the_syn(
    lab: Lab, runtime: Runtime, fastopen: None, family: Family, mptcp: bool
) -> None:
    before, own = lab.nstat(lab.peer), runtime.counters()
    address = lab.host_address(1, family)
    with sdk.listen((address, PORT), fastopen=True, timeout=TIMEOUT_S, instance=runtime.name) as listener:
        kinds: list[bool] = []

        def serve() -> None:
            for _ in range(ROUNDS):
                connection, _who = listener.accept()
                kinds.append(connection.is_mptcp)
                got = b""
                while part := connection.recv(65536):
                    got += part
                connection.sendall(got)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = lab.run(lab.peer, "python3", "-c", PEER, "client", address, "262" if mptcp else "6")
        thread.join(TIMEOUT_S)
    assert [json.loads(line) for line in done.splitlines()] == [True] * ROUNDS
    assert kinds == [mptcp] * ROUNDS
    after, now = lab.nstat(lab.peer), runtime.counters()
    assert after["TcpExtTCPFastOpenActive"] - before["TcpExtTCPFastOpenActive"] >= ROUNDS - 1
    assert now["tcp_fastopen_taken"] - own["tcp_fastopen_taken"] >= ROUNDS - 1
    assert after["MPTcpExtDSSCorruptionFallback"] == before["MPTcpExtDSSCorruptionFallback"]

