# SPDX-License-Identifier: Apache-2.0
"""RFC 5961: 10 000 forged segments of every kind, in the window and outside, against an established connection: it goes
on, nothing forged is delivered, and the answers are few."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sennit import sdk
from sennit.tools.lab import Family
from sennit.tools.lab_links import Links
from sennit.tools.lab_runtime import Runtime

ATTACKER = str(Path(__file__).with_name("attacker.py"))
PORT = 5060
COUNT = 10_000  # must arrive; a burst may lose some on the link
SENT = COUNT + COUNT // 10
TIMEOUT_S = 30.0
ANSWERS = 500  # challenge ACKs: at most one per 20 ms, and an attack takes a second or two

ECHO = f"""
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, int(sys.argv[1]))
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", {PORT})); s.listen(1); print("listening", flush=True)
c, _ = s.accept()
while data := c.recv(65536):
    c.sendall(data)
"""


@pytest.fixture(scope="module")
def links() -> Iterator[Links]:
    with Links({"delay": "1 ms"}) as made:
        yield made


@pytest.fixture(scope="module")
def runtime(links: Links) -> Iterator[Runtime]:
    with Runtime(links) as made:
        yield made


class Echo:
    """A connection to a program of the kernel that sends everything back."""

    def __init__(self, links: Links, runtime: Runtime, family: Family, mptcp: bool):
        self.links = links
        self.server = links.popen(
            links.peer, sys.executable, "-c", ECHO, "262" if mptcp else "6", stdout=subprocess.PIPE
        )
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == b"listening\n"
        self.remote = links.peer_address(1, family), PORT
        self.connection = sdk.connect(self.remote, timeout=TIMEOUT_S, mptcp=mptcp, instance=runtime.name)
        self.seed = 0

    def close(self) -> None:
        self.connection.close()
        self.server.wait(TIMEOUT_S)

    def works(self, size: int) -> None:
        self.seed += 1
        data = random.Random(self.seed).randbytes(size)
        sender = threading.Thread(target=self.connection.sendall, args=(data,))
        sender.start()
        back = bytearray()
        while len(back) < size:
            part = self.connection.recv(65536)
            assert part, "the connection ended"
            back += part
        sender.join()
        assert back == data

    def attack(self, kind: str) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = self.links.popen(
            self.links.peer, sys.executable, ATTACKER, "p1", kind, str(SENT),
            *map(str, (*self.connection.getsockname(), *self.remote)), stdout=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child


def finish(child: subprocess.Popen[bytes]) -> None:
    out, _ = child.communicate(timeout=TIMEOUT_S)
    assert json.loads(out) == {"sent": SENT}


@pytest.mark.parametrize(("mptcp", "family"), [(False, "ipv4"), (False, "ipv6"), (True, "ipv6")])
def test_forged_segments_break_nothing(links: Links, runtime: Runtime, mptcp: bool, family: Family) -> None:
    echo = Echo(links, runtime, family, mptcp)
    try:
        echo.works(100_000)
        for kind in ("rst", "syn", "data", "fin", "ack"):
            before = runtime.counters()
            attacker = echo.attack(kind)
            echo.works(1)  # what the attacker sees; nothing moves after it
            finish(attacker)
            echo.works(100_000)
            after = runtime.counters()
            assert after["tcp_rx_segments"] - before["tcp_rx_segments"] >= COUNT
            assert after["tcp_challenge_acks"] - before["tcp_challenge_acks"] < ANSWERS
            # Data outside the window is acknowledged each time, as by Linux: it may be a retransmission.
            answered = SENT if kind == "data" else 0
            assert after["tcp_tx_segments"] - before["tcp_tx_segments"] < ANSWERS + answered, kind
            # The same under a transfer, where the numbers move on.
            attacker = echo.attack(kind)
            echo.works(4_000_000)
            finish(attacker)
            echo.works(1000)
        assert echo.connection.is_mptcp == mptcp
        echo.connection.shutdown(socket.SHUT_WR)
        assert echo.connection.recv(1) == b""
    finally:
        echo.close()
