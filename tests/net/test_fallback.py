# SPDX-License-Identifier: Apache-2.0
"""Peers without MPTCP: the same bytes over plain TCP."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import pytest

from sennit import sdk
from sennit.tools.lab import ANY, Family, KernelProcess, Lab, Side
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

SIZE = 4 << 20
PORT = 5001
TIMEOUT_S = 20.0


@pytest.fixture
def no_mptcp(lab: Lab) -> Iterator[None]:
    lab.sysctl(lab.peer, {"net.mptcp.enabled": 0})
    yield
    lab.sysctl(lab.peer, {"net.mptcp.enabled": 1})


def exchange(connection: sdk.Connection, direction: Literal["send", "receive"]) -> str:
    """Our side of lab_peer.py's transfer; the hash of what went through."""
    digest = hashlib.sha256()
    if direction == "send":
        for block in Pattern(SIZE).blocks():
            connection.sendall(block)
            digest.update(block)
        connection.shutdown(1)
        assert connection.recv(1) == b""
    else:
        while data := connection.recv(65536):
            digest.update(data)
    connection.close()
    return digest.hexdigest()


def connect(
    lab: Lab, runtime: Runtime, direction: Literal["send", "receive"], *options: str, family: Family = "ipv4"
) -> tuple[bool, str, Side]:
    opposite = "receive" if direction == "send" else "send"
    peer = KernelProcess(lab, lab.peer, PORT, "server", ANY[family], opposite, SIZE, *options)
    peer.event("listening")
    with sdk.connect((lab.peer_address(1, family), PORT), timeout=TIMEOUT_S, instance=runtime.name) as connection:
        mptcp = connection.is_mptcp
        return mptcp, exchange(connection, direction), peer.done()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("direction", ["send", "receive"])
def test_server_with_plain_tcp_socket(
    lab: Lab, runtime: Runtime, direction: Literal["send", "receive"], family: Family
) -> None:
    mptcp, digest, far = connect(lab, runtime, direction, "--tcp", family=family)
    assert not mptcp
    assert digest == far.sha256 == Pattern(SIZE).sha256()


@pytest.mark.parametrize("direction", ["send", "receive"])
@pytest.mark.usefixtures("no_mptcp")
def test_server_on_a_host_with_mptcp_disabled(
    lab: Lab, runtime: Runtime, direction: Literal["send", "receive"]
) -> None:
    mptcp, digest, far = connect(lab, runtime, direction, "--tcp")
    assert not mptcp
    assert digest == far.sha256 == Pattern(SIZE).sha256()


@pytest.mark.parametrize("disabled", [False, True], ids=["tcp-socket", "mptcp-disabled"])
@pytest.mark.parametrize("direction", ["send", "receive"])
def test_client_with_plain_tcp(
    lab: Lab, runtime: Runtime, direction: Literal["send", "receive"], disabled: bool, request: pytest.FixtureRequest
) -> None:
    if disabled:
        request.getfixturevalue("no_mptcp")
    opposite = "receive" if direction == "send" else "send"
    with sdk.listen(("0.0.0.0", PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
        peer = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1), opposite, SIZE, "--tcp")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TIMEOUT_S)
            assert not connection.is_mptcp
            digest = exchange(connection, direction)
            assert digest == peer.done().sha256 == Pattern(SIZE).sha256()


def test_a_connection_may_be_asked_to_be_plain_tcp(lab: Lab, runtime: Runtime) -> None:
    before = lab.nstat(lab.peer)["MPTcpExtMPCapableSYNRX"]
    peer = KernelProcess(lab, lab.peer, PORT, "server", "0.0.0.0", "receive", SIZE)
    peer.event("listening")
    with sdk.connect((lab.peer_address(1), PORT), timeout=TIMEOUT_S, mptcp=False, instance=runtime.name) as connection:
        exchange(connection, "send")
    assert peer.done().mptcp is False
    assert lab.nstat(lab.peer)["MPTcpExtMPCapableSYNRX"] == before
