# SPDX-License-Identifier: Apache-2.0
"""Links of 9000 bytes and of 1280: every segment is as long as the link allows, in both directions and families."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sennit import sdk
from sennit.tools.errors import ToolError
from sennit.tools.lab import ANY, Family, KernelProcess, Lab
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5006
SIZE = 4 << 20
TIMEOUT_S = 20.0


@pytest.fixture(scope="module", params=[9000, 1280])
def mtu_lab(request: pytest.FixtureRequest) -> Iterator[tuple[Lab, Runtime]]:
    with Lab(paths=1, ipv6=True, mtu=request.param) as lab, Runtime(lab) as runtime:
        yield lab, runtime


def full_segments(lab: Lab, family: Family) -> int:
    """As many as the bytes fill: the MSS is the MTU less 40 or 60; timestamps take 12 of it, a mapping up to 28."""
    return SIZE // (lab.mtu - (40 if family == "ipv4" else 60) - 12 - 28)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("direction", ["send", "receive"])
def test_segments_fill_the_link(mtu_lab: tuple[Lab, Runtime], direction: str, role: str, family: Family) -> None:
    lab, runtime = mtu_lab
    name = "tcp_tx_segments" if direction == "send" else "tcp_rx_segments"
    before, retrans = runtime.counters()[name], runtime.counters()["tcp_retrans"]
    theirs = "receive" if direction == "send" else "send"

    def ours(connection: sdk.Connection) -> bytes:
        with connection:
            connection.settimeout(TIMEOUT_S)
            if direction == "receive":
                return b"".join(iter(lambda: connection.recv(65536), b""))
            for block in Pattern(SIZE).blocks():
                connection.sendall(block)
            connection.shutdown(1)
            return connection.recv(1)

    if role == "client":
        peer = KernelProcess(lab, lab.peer, PORT, "server", ANY[family], theirs, SIZE)
        peer.event("listening")
        to = (lab.peer_address(1, family), PORT)
        got = ours(sdk.connect(to, timeout=TIMEOUT_S, instance=runtime.name))
    else:
        with sdk.listen(("", PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
            peer = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1, family), theirs, SIZE)
            got = ours(listener.accept()[0])
    assert got == (b"".join(Pattern(SIZE).blocks()) if direction == "receive" else b"")
    assert peer.done().sha256 == Pattern(SIZE).sha256()
    # A few of them are the opening, the close, what ended short, and what was lost.
    segments = runtime.counters()[name] - before - (runtime.counters()["tcp_retrans"] - retrans)
    most = full_segments(lab, family)
    assert most * 0.95 < segments < most * 1.1 + 100


def test_memory_that_is_too_little_for_long_frames_is_said_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "sennit.toml"
    file.write_text("memory_mb = 64\n")
    with Lab(paths=1, mtu=9000) as lab:
        lacking = "no memory for 16384 packet buffers of 9344 bytes, .* raise memory_mb, or lower buffers or the MTU"
        with pytest.raises(ToolError, match=lacking), Runtime(lab, extra=["--config", str(file)]):
            pass
