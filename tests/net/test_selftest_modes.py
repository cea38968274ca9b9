# SPDX-License-Identifier: Apache-2.0
"""mptcp_connect of the kernel's selftests in its other modes, and over links that lose and reorder, in both roles. The
bytes of both directions are compared, except where one end is told to leave early."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from sennit import sdk
from sennit.tools import netlab_file
from sennit.tools.lab import ANY, Family, Lab
from sennit.tools.lab_runtime import Runtime
from sennit.tools.netlab import Netlab

PORT = 12001
TIMEOUT_S = 60.0
SIZE = 1 << 20
Eventually = Callable[[Callable[[], bool], float], bool]
# Named as the kernel's own scripts use them.
SIZES = {"slow": 50_000, "cmsg": 1000}  # a write in 0.2 s; the program insists on at most 1 KB
MODES = {
    "mmap": ["-m", "mmap"],
    "sendfile": ["-m", "sendfile"],
    "poll": ["-m", "poll"],
    "peek": ["-P", "saveWithPeek"],
    "peek-after": ["-P", "saveAfterPeek"],
    "mark": ["-M", "1"],
    "wait": ["-w", "1"],
    "slow": ["-r", "65536"],
    "buffers": ["-R", "65536", "-S", "65536"],
    "cmsg": ["-c", "TCPINQ"],  # of connect() only
    "tcp": ["-s", "TCP"],
}


Start = Callable[..., "tuple[Far, sdk.Connection, sdk.Listener | None]"]


class Far:
    """mptcp_connect in a namespace. Its process ends by itself; `out` is what it received."""

    def __init__(self, lab: Lab, program: Path, folder: Path, role: str, address: str, data: bytes, *options: str):
        (folder / "far.in").write_bytes(data)
        self._out = folder / "far.out"
        listen = ["-l"] if role == "server" else []
        family = ["-6"] if ":" in address else []
        words = [*listen, *family, "-p", str(PORT), "-t", "30", "-i", str(folder / "far.in"), *options, address]
        with self._out.open("wb") as out:
            self.process = lab.popen(lab.peer, str(program), *words, stdout=out, stderr=subprocess.PIPE)
        if listen:
            script = (
                f"for i in $(seq 300); do ss -Hltn 'sport = {PORT}' | grep -q . && exit 0; sleep 0.02; done; exit 1"
            )
            lab.run(lab.peer, "sh", "-c", script)

    def end(self) -> None:
        _, complaint = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode == 0, complaint.decode()

    @property
    def received(self) -> bytes:
        return self._out.read_bytes()


class Near:
    """Both directions of a connection of ours at once; errors are kept."""

    def __init__(self, connection: sdk.Connection, data: bytes):
        self.received = bytearray()
        self.error: OSError | None = None
        connection.settimeout(TIMEOUT_S)
        sender = threading.Thread(target=self._send, args=(connection, data))
        sender.start()
        try:
            while block := connection.recv(65536):
                self.received += block
        except OSError as error:
            self.error = error
        sender.join()

    def _send(self, connection: sdk.Connection, data: bytes) -> None:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = self.error or error


@pytest.fixture
def start(lab: Lab, runtime: Runtime, mptcp_connect: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts both ends in our role given; the first connection of the two."""
    listeners: list[sdk.Listener] = []

    def go(role: str, family: Family, data: bytes, *options: str) -> tuple[Far, sdk.Connection, sdk.Listener | None]:
        runtime.limits(2, 2)
        runtime.endpoints("subflow" if role == "client" else "signal", family=family)
        if role == "client":
            far = Far(lab, mptcp_connect, tmp_path, "server", ANY[family], data, *options)
            to = (lab.peer_address(1, family), PORT)
            return far, sdk.connect(to, timeout=TIMEOUT_S, instance=runtime.name), None
        listener = sdk.listen((ANY[family], PORT), instance=runtime.name)
        listeners.append(listener)
        listener.settimeout(TIMEOUT_S)
        far = Far(lab, mptcp_connect, tmp_path, "client", lab.host_address(1, family), data, *options)
        return far, listener.accept()[0], listener

    yield go
    for listener in listeners:
        listener.close()


def exchange(far: Far, connection: sdk.Connection, theirs: bytes) -> None:
    ours = os.urandom(len(theirs))
    with connection:
        near = Near(connection, ours)
        assert near.error is None
        far.end()
    assert near.received == theirs
    assert far.received == ours


@pytest.mark.parametrize(
    ("role", "mode", "family"),
    [
        (role, mode, family)
        for role in ("client", "server")
        for mode in MODES
        for family in ("ipv4", "ipv6")
        if (family == "ipv4" or mode in ("mmap", "sendfile")) and (role, mode) != ("client", "cmsg")
    ],
)
def test_mode(start: Start, role: str, mode: str, family: Family) -> None:
    data = os.urandom(SIZES.get(mode, SIZE))
    far, connection, _ = start(role, family, data, *MODES[mode])
    exchange(far, connection, data)


@pytest.mark.parametrize("role", ["client", "server"])
def test_connections_one_after_the_other(lab: Lab, runtime: Runtime, start: Start, role: str) -> None:
    """-I: the same socket of the kernel connects again; the same listener accepts again."""
    data, times = os.urandom(100_000), 4
    far, connection, listener = start(role, "ipv4", data, "-I", str(times))
    ours = b""
    for i in range(times):
        if i and listener:
            connection = listener.accept()[0]
        elif i:
            connection = sdk.connect((lab.peer_address(1), PORT), timeout=TIMEOUT_S, instance=runtime.name)
        with connection:
            block = os.urandom(len(data))
            near = Near(connection, block)
            assert near.error is None
            assert near.received == data
            ours += block
    far.end()
    assert far.received == ours


@pytest.mark.parametrize("role", ["client", "server"])
def test_peer_that_leaves_early_ends_the_connection(
    lab: Lab, runtime: Runtime, start: Start, eventually: Eventually, role: str
) -> None:
    """-f N: the kernel stops after N bytes. MP_FASTCLOSE comes at once with unread data, else after its DATA_FIN."""
    before = lab.nstat(lab.peer)
    far, connection, _ = start(role, "ipv4", os.urandom(4 * SIZE), "-f", "100000")
    with connection:
        near = Near(connection, os.urandom(4 * SIZE))
        assert near.error is None or near.error.errno in (errno.ECONNRESET, errno.EPIPE)
        assert len(near.received) <= 100_000
        far.end()
        assert len(far.received) == 100_000
        assert lab.nstat(lab.peer)["MPTcpExtMPFastcloseTx"] > before["MPTcpExtMPFastcloseTx"]
        assert eventually(lambda: not runtime.status().conns, 5.0)


@pytest.mark.parametrize("role", ["client", "server"])
def test_leaving_early_resets_the_peer(lab: Lab, start: Start, eventually: Eventually, role: str) -> None:
    """-f -1: the kernel's end copes with a peer that closes with unread data, which is MP_FASTCLOSE from us."""
    before = lab.nstat(lab.peer)
    far, connection, _ = start(role, "ipv4", os.urandom(4 * SIZE), "-f", "-1")
    connection.settimeout(TIMEOUT_S)
    connection.sendall(b"x" * 1000)
    assert connection.recv(1000)
    time.sleep(0.1)  # all that the window allows is here, unread
    connection.close()
    far.end()
    assert eventually(lambda: lab.nstat(lab.peer)["MPTcpExtMPFastcloseRx"] > before["MPTcpExtMPFastcloseRx"], 5.0)


# ----------------------------------------------------------------------------------------- links that lose and reorder

BAD_LINKS = """
name = "sntst{pid}"
[host.right]
congestion_control = ["cubic", "reno"]
mptcp = {{ subflows = 8, add_addr_accepted = 8 }}
[[link]]
name = "h1"
a = "left 10.0.1.1/24 fd00:0:0:1::1/64"
b = "right 10.0.1.2/24 fd00:0:0:1::2/64"
rate = "100 Mbit/s"
delay = "3 ms"
loss = "1 %"
reorder = "2 %"
reorder_by = "2 ms"
[[link]]
name = "h2"
a = "left 10.0.2.1/24 fd00:0:0:2::1/64"
b = "right 10.0.2.2/24 fd00:0:0:2::2/64"
rate = "50 Mbit/s"
delay = "10 ms"
loss = "1 %"
reorder = "2 %"
reorder_by = "4 ms"
"""


class BadLab:
    """As much of a Lab as a Runtime and this file need, over links that lose and reorder."""

    def __init__(self, links: Netlab):
        self._links = links
        self.host, self.peer = "left", "right"
        self.ports = ["h1", "h2"]
        self.indices = range(1, 3)
        self.popen, self.run = links.popen, links.run

    def host_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.0.{path}.1" if family == "ipv4" else f"fd00:0:0:{path}::1"

    def peer_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.0.{path}.2" if family == "ipv4" else f"fd00:0:0:{path}::2"


@pytest.fixture(scope="module")
def bad_lab() -> Iterator[Lab]:
    with Netlab(netlab_file.parse(BAD_LINKS.format(pid=os.getpid()), "x")) as links:
        yield cast(Lab, BadLab(links))


@pytest.fixture(scope="module")
def bad_runtime(bad_lab: Lab) -> Iterator[Runtime]:
    with Runtime(bad_lab) as runtime:
        yield runtime


@pytest.mark.parametrize("options", [[], ["-j"]], ids=["plain", "joins"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_links_that_lose_and_reorder(
    bad_lab: Lab, bad_runtime: Runtime, mptcp_connect: Path, tmp_path: Path, role: str, family: Family,
    options: list[str],
) -> None:  # fmt: skip
    bad_runtime.limits(2, 2)
    bad_runtime.endpoints("subflow" if role == "client" else "signal", family=family)
    bad_lab.run(bad_lab.peer, "ip", "mptcp", "endpoint", "flush")
    kind = "signal" if role == "client" else "subflow"
    bad_lab.run(bad_lab.peer, "ip", "mptcp", "endpoint", "add", bad_lab.peer_address(2, family), "dev", "h2", kind)
    data = os.urandom(2 * SIZE)
    if role == "client":
        far = Far(bad_lab, mptcp_connect, tmp_path, "server", ANY[family], data, *options)
        to = (bad_lab.peer_address(1, family), PORT)
        exchange(far, sdk.connect(to, timeout=TIMEOUT_S, instance=bad_runtime.name), data)
    else:
        with sdk.listen((ANY[family], PORT), instance=bad_runtime.name) as listener:
            listener.settimeout(TIMEOUT_S)
            far = Far(bad_lab, mptcp_connect, tmp_path, "client", bad_lab.host_address(1, family), data, *options)
            exchange(far, listener.accept()[0], data)
