# SPDX-License-Identifier: Apache-2.0
"""Linux TCP at the other end of links that lose, reorder and duplicate, that carry small and jumbo frames, and that
flap: every byte as it was sent, in both roles and directions, over IPv4 and IPv6."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sennit import sdk
from sennit.tools.lab import ANY, Family, KernelProcess
from sennit.tools.lab_links import Links
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5040
TIMEOUT_S = 60.0
MTUS = (1280, 1500, 9000)
LOSSES = {"0 %": 4 << 20, "0.1 %": 4 << 20, "1 %": 2 << 20, "5 %": 512 << 10}  # and the bytes to move

Eventually = Callable[[Callable[[], bool], float], bool]
Cell = tuple[str, str, Family, str, int]
CELLS: list[Cell] = list(
    itertools.product(("client", "server"), ("send", "receive"), ("ipv4", "ipv6"), LOSSES, MTUS)
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        # A quarter of all combinations, in steps that meet every pair of values.
        step = 1 if metafunc.config.getoption("--full") else 29
        chosen = CELLS if step == 1 else [CELLS[i * step % len(CELLS)] for i in range(len(CELLS) // 4)]
        metafunc.parametrize("cell", chosen, ids=["-".join(map(str, c)).replace(" ", "") for c in chosen])


@pytest.fixture(scope="module")
def links() -> Iterator[Links]:
    with Links(*({"mtu": mtu, "delay": "2 ms", "rate": "100 Mbit/s", "queue": "256 KiB"} for mtu in MTUS)) as made:
        yield made


@pytest.fixture(scope="module")
def runtime(links: Links) -> Iterator[Runtime]:
    with Runtime(links) as made:
        yield made


def exchange(connection: sdk.Connection, direction: str, size: int) -> str:
    """Our side of lab_peer.py's transfer; the hash of what went through."""
    digest = hashlib.sha256()
    with connection:
        connection.settimeout(TIMEOUT_S)
        if direction == "send":
            for block in Pattern(size).blocks():
                connection.sendall(block)
                digest.update(block)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        else:
            while data := connection.recv(65536):
                digest.update(data)
    return digest.hexdigest()


def transfer(
    links: Links, runtime: Runtime, path: int, role: str, direction: str, family: Family, size: int, *options: str,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """One transfer with a plain TCP program of the kernel; both hashes are right."""
    opposite = "receive" if direction == "send" else "send"
    if role == "client":
        peer = KernelProcess(links, links.peer, PORT, "server", ANY[family], opposite, size, "--tcp", *options)
        peer.event("listening")
        connection = sdk.connect((links.peer_address(path, family), PORT), timeout=TIMEOUT_S, instance=runtime.name)
    else:
        with sdk.listen((ANY[family], PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
            to = links.host_address(path, family)
            peer = KernelProcess(links, links.peer, PORT, "client", to, opposite, size, "--tcp", *options)
            connection, _ = listener.accept()
    meanwhile()
    assert not connection.is_mptcp
    ours = exchange(connection, direction, size)
    far = peer.done()
    assert peer.process.wait(TIMEOUT_S) == 0
    assert ours == far.sha256 == Pattern(size).sha256()


def test_every_byte_arrives_over_bad_links(links: Links, runtime: Runtime, cell: Cell) -> None:
    role, direction, family, loss, mtu = cell
    path = MTUS.index(mtu) + 1
    bad = {"reorder": "0.5 %", "reorder_by": "3 ms", "duplicate": "0.2 %"} if loss != "0 %" else {}
    links.set(path, loss=loss, **bad)
    try:
        transfer(links, runtime, path, role, direction, family, LOSSES[loss])
    finally:
        links.set(path, loss=0, reorder=0, duplicate=0)


@pytest.mark.parametrize(("role", "direction", "family"), [("client", "send", "ipv4"), ("server", "receive", "ipv6")])
def test_every_byte_arrives_over_a_link_that_flaps(
    links: Links, runtime: Runtime, role: str, direction: str, family: Family
) -> None:
    """Down for 0.3 s of every second, four times."""
    over = threading.Event()

    def flap() -> None:
        for _ in range(4):
            links.set(2, up=False)
            over.wait(0.3)
            links.set(2, up=True)
            if over.wait(0.7):
                return

    thread = threading.Thread(target=flap)
    try:
        transfer(links, runtime, 2, role, direction, family, 24 << 20, meanwhile=thread.start)
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()
        links.set(2, up=True)


class Relay:
    """Every connection to `port` of the runtime goes on to the kernel's host: a program there speaks to one of its own,
    and both have sennit at the other end, as a server and as a client."""

    def __init__(self, runtime: Runtime, port: int, to: tuple[str, int], mptcp: bool):
        self.to, self.runtime, self.mptcp = to, runtime, mptcp
        self.moved = 0
        self.listener = sdk.listen(("0.0.0.0", port), instance=runtime.name, mptcp=mptcp)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = sdk.connect(self.to, timeout=TIMEOUT_S, instance=self.runtime.name, mptcp=self.mptcp)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._move, args=(a, b), daemon=True).start()

    def _move(self, source: sdk.Connection, sink: sdk.Connection) -> None:
        source.settimeout(TIMEOUT_S)
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
                self.moved += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            sink.abort()


@pytest.mark.parametrize("way", [[], ["-R"], ["--bidir"]], ids=["send", "receive", "both"])
@pytest.mark.parametrize(("mptcp", "loss"), [(False, "0 %"), (False, "1 %"), (True, "1 %")])
def test_iperf3_runs_through(
    links: Links, runtime: Runtime, way: list[str], loss: str, mptcp: bool, eventually: Eventually
) -> None:
    server = links.popen(links.peer, *(["mptcpize", "run"] if mptcp else []), "iperf3", "-s", "-1", "-p", "5202")
    relay = Relay(runtime, 5201, (links.peer_address(2), 5202), mptcp)
    links.set(2, loss=loss)
    try:
        assert eventually(lambda: ":5202 " in links.run("right", "ss", "-Hltn"), 10)
        said = links.run(
            "right", *(["mptcpize", "run"] if mptcp else []), "iperf3", "-c", links.host_address(2), "-p", "5201",
            "-t", "2", "-J", *way,
        )  # fmt: skip
    finally:
        links.set(2, loss=0)
        relay.listener.close()
        server.kill()
        server.wait()
    end = json.loads(said)["end"]
    for sums in ("sum_received", "sum_received_bidir_reverse") if way == ["--bidir"] else ("sum_received",):
        assert end[sums]["bytes"] > 2 << 20  # 8 Mbit/s of 100, also at 1 % loss
    assert relay.moved > 2 << 20
