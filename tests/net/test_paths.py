# SPDX-License-Identifier: Apache-2.0
"""The path manager against the kernel: what a monitor says when the kernel announces and removes addresses, laminar
endpoints, ndiffports, and what a program and `sennit ss` see of all that."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sennit import sdk
from sennit.shm import messages
from sennit.tools.lab import KernelProcess, Lab
from sennit.tools.lab_runtime import Runtime, command

PORT = 5031
SIZE = 300_000
Eventually = Callable[[Callable[[], bool], float], bool]


class Watching:
    """`sennit monitor` beside a runtime."""

    def __init__(self, runtime: Runtime, file: Path, *words: str) -> None:
        self.file = file
        with file.open("w") as out:
            words = (*command("monitor", "--name", runtime.name), *words)
            self.process = subprocess.Popen(words, stdout=out, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        assert self.process.stderr.readline() == f"monitoring '{runtime.name}'\n"

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()

    def names(self) -> list[str]:
        return [line[1:15].strip() for line in self.lines()]


@contextlib.contextmanager
def watching(runtime: Runtime, tmp_path: Path, *words: str) -> Iterator[Watching]:
    made = Watching(runtime, tmp_path / "monitor", *words)
    try:
        yield made
    finally:
        made.process.terminate()
        made.process.communicate(timeout=5)


class Peer:
    """A connection from sennit to a kernel program that keeps it open."""

    def __init__(self, lab: Lab, runtime: Runtime, path: int = 1, **options: Any) -> None:
        self.peer = KernelProcess(lab, lab.peer, PORT, "server", "0.0.0.0", "receive", 0)
        self.peer.event("listening")
        self.connection = sdk.connect((lab.peer_address(path), PORT), timeout=20, instance=runtime.name, **options)
        self.connection.sendall(b"x" * SIZE)

    def close(self) -> None:
        self.connection.shutdown(1)
        done = self.peer.done()
        self.connection.close()
        assert done.size == SIZE
        assert done.mptcp


@contextlib.contextmanager
def connected(lab: Lab, runtime: Runtime, **options: Any) -> Iterator[Peer]:
    made = Peer(lab, runtime, **options)
    try:
        yield made
        made.close()
    finally:
        made.peer.process.kill()


def usable(peer: Peer) -> int:
    return sum(sf.usable for sf in peer.connection.info().subflows)


@pytest.fixture
def plain(lab: Lab, runtime: Runtime) -> Iterator[None]:
    """No endpoints, the usual limits, at both ends."""
    runtime.endpoints()
    runtime.limits(8, 8)
    lab.peer_endpoints(None)
    yield
    runtime.endpoints()
    with runtime.client() as client:
        client.set_limits(subflows=8, add_addr_accepted=8, ndiffports=1)
    lab.peer_endpoints(None)


@pytest.mark.usefixtures("plain")
def test_monitor_tells_what_the_kernel_announces_and_removes(
    lab: Lab, runtime: Runtime, tmp_path: Path, eventually: Eventually
) -> None:
    with watching(runtime, tmp_path) as monitor:
        with connected(lab, runtime) as peer:
            assert eventually(lambda: monitor.names() == ["CREATED", "ESTABLISHED"], 5)
            lab.run(lab.peer, *f"ip mptcp endpoint add {lab.peer_address(2)} dev p2 id 7 signal".split())
            assert eventually(lambda: monitor.names()[2:] == ["ANNOUNCED", "SF_ESTABLISHED"], 5)
            lab.run(lab.peer, *"ip mptcp endpoint change id 7 backup".split())
            assert eventually(lambda: monitor.names()[4:] == ["SF_PRIO"], 5)
            lab.run(lab.peer, *"ip mptcp endpoint delete id 7".split())
            assert eventually(lambda: monitor.names()[5:] == ["REMOVED", "SF_CLOSED"], 5)
            token = f"token={peer.connection.info().token:08x}"
        assert eventually(lambda: monitor.names()[7:] == ["CLOSED"], 10)
        lines = monitor.lines()
    assert all(f"] {token}" in line for line in lines)
    first = f"remid=0 locid=0 saddr4={lab.host_address(1)} daddr4={lab.peer_address(1)} sport="
    assert first in lines[0]
    assert f"remid=7 daddr4={lab.peer_address(2)}" in lines[2]
    assert f"daddr4={lab.peer_address(2)}" in lines[3]
    assert " remid=7 " in lines[3]
    assert "backup=0" in lines[3]
    assert "backup=1" in lines[4]
    assert lines[5].endswith(" remid=7")
    assert "error=" not in lines[6]


@pytest.mark.usefixtures("plain")
def test_monitor_and_kernel_tell_the_same_story(
    lab: Lab, runtime: Runtime, tmp_path: Path, eventually: Eventually
) -> None:
    """What sennit announces and removes, as the kernel's own monitor sees it; sennit's as JSON."""
    kernel = tmp_path / "kernel"
    with kernel.open("w") as out:
        child = lab.popen(lab.peer, "stdbuf", "-oL", "ip", "mptcp", "monitor", stdout=out)
    with watching(runtime, tmp_path, "--json") as monitor:
        listener = sdk.listen(("0.0.0.0", PORT), instance=runtime.name, timeout=20)
        client = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1), "send", SIZE, "--wait", "3")
        connection, _ = listener.accept()
        runtime.endpoints("signal", paths=[2])
        joined = "SF_ESTABLISHED"
        assert eventually(lambda: joined in kernel.read_text(), 3)
        runtime.endpoints()
        assert eventually(lambda: "SF_CLOSED" in kernel.read_text(), 3)
        while connection.recv(65536):
            pass
        connection.close()
        client.done()
        listener.close()
        assert eventually(lambda: "CLOSED]" in kernel.read_text().splitlines()[-1], 5)
        assert eventually(lambda: '"closed"' in monitor.file.read_text(), 5)
        events = [json.loads(line) for line in monitor.lines()]
    child.terminate()
    said = [line[1:15].strip() for line in kernel.read_text().splitlines() if "token=" in line]
    assert said == ["CREATED", "ESTABLISHED", "ANNOUNCED", "SF_ESTABLISHED", "REMOVED", "SF_CLOSED", "CLOSED"]
    assert [e["event"] for e in events] == ["created", "established", "sub_established", "sub_closed", "closed"]
    assert (events[0]["server_side"], events[2]["saddr"], events[2]["nic"]) == (True, lab.host_address(2), 1)


@pytest.mark.usefixtures("plain")
def test_join_that_the_kernel_refuses_is_told_with_its_reason(
    lab: Lab, runtime: Runtime, tmp_path: Path, eventually: Eventually
) -> None:
    lab.run(lab.peer, *"ip mptcp limits set subflow 0 add_addr_accepted 0".split())
    try:
        with watching(runtime, tmp_path) as monitor:
            runtime.endpoints("subflow", paths=[2])
            with connected(lab, runtime):
                assert eventually(lambda: "SF_CLOSED" in monitor.names(), 5)
                line = next(line for line in monitor.lines() if "SF_CLOSED" in line)
    finally:
        lab.run(lab.peer, *"ip mptcp limits set subflow 8 add_addr_accepted 8".split())
    assert "error=" in line
    assert "reset_reason=3" in line


@pytest.mark.usefixtures("plain")
def test_laminar_endpoints_take_one_announced_address_each(lab: Lab, runtime: Runtime, eventually: Eventually) -> None:
    lab.peer_endpoints("signal")
    runtime.endpoints("laminar", paths=[3])
    with connected(lab, runtime) as peer:
        assert eventually(lambda: usable(peer) == 2, 5)
        time.sleep(1)
        info = peer.connection.info()
        assert info.add_addr_accepted == 2
        assert [sf.local.split(":")[0] for sf in info.subflows] == [lab.host_address(1), lab.host_address(3)]
        with runtime.client() as client:
            client.add_endpoint(messages.Endpoint(0, lab.host_address(2), ("laminar",)))
        assert eventually(lambda: usable(peer) == 3, 5)


@pytest.mark.usefixtures("plain")
def test_ndiffports_opens_subflows_that_the_kernel_takes(lab: Lab, runtime: Runtime, eventually: Eventually) -> None:
    before = lab.nstat(lab.peer)
    with runtime.client() as client:
        client.set_limits(ndiffports=4)
    with connected(lab, runtime) as peer:
        assert eventually(lambda: usable(peer) == 4, 5)
        info = peer.connection.info()
        assert len({sf.local for sf in info.subflows}) == 4
        assert {sf.remote for sf in info.subflows} == {f"{lab.peer_address(1)}:{PORT}"}
        assert info.extra_subflows == 3
        after = lab.nstat(lab.peer)
        assert after["MPTcpExtMPJoinAckRx"] - before["MPTcpExtMPJoinAckRx"] == 3


@pytest.mark.usefixtures("plain")
def test_program_and_ss_see_what_the_kernel_sees(lab: Lab, runtime: Runtime, eventually: Eventually) -> None:
    lab.peer_endpoints("signal")
    with connected(lab, runtime, cc="newreno", scheduler="roundrobin") as peer:
        assert eventually(lambda: usable(peer) == 3, 5)
        assert eventually(lambda: peer.connection.info().bytes_acked == SIZE, 5)
        info = peer.connection.info()
        theirs = lab.run(lab.peer, "ss", "-Mtin")
        shown = subprocess.run(
            command("ss", "--name", runtime.name), capture_output=True, text=True, check=True
        ).stdout  # fmt: skip
        json_shown = subprocess.run(
            command("ss", "--name", runtime.name, "--json"), capture_output=True, text=True, check=True
        ).stdout  # fmt: skip
    assert isinstance(info, sdk.ConnInfo)
    assert (info.mptcp, info.remote_key_received, info.fallback, info.csum_enabled) == (True, True, False, False)
    assert (info.cc, info.scheduler) == ("newreno", "round-robin")
    assert info.snd_una == info.snd_nxt == info.write_seq
    assert f"rcv_nxt:{info.snd_una:x} " in theirs.replace("\n", " ") + " "
    assert f"token:{info.remote_token:x} " in theirs
    assert (info.extra_subflows, info.add_addr_accepted, info.subflows_max) == (2, 2, 8)
    assert info.last_acked_ms is not None
    assert info.last_acked_ms < 20_000
    for sf in info.subflows:
        assert sf.cc == "newreno"
        assert sf.srtt_us > 0
        assert {"ts", "sack", "wscale"} <= set(sf.options)
        assert sf.snd_wnd > 0
    assert info.subflows[0].delivery_rate > 0
    for text in (f"token:{info.token:08x} write_seq:{info.write_seq:x} ", "flags:Mmec ", "flags:Jjec ", " newreno "):
        assert text in shown
    assert f"token:{info.remote_token:08x}(id:0)/{info.token:08x}(id:0)" in shown
    assert json.loads(json_shown)[0]["token"] == info.token
    with pytest.raises(OSError, match="closed"):
        peer.connection.info()
