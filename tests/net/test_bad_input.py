# SPDX-License-Identifier: Apache-2.0
"""What a user, a program or another user can get wrong: one clear sentence, exit status not 0, nothing left behind."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sennit import sdk
from sennit.shm import control_client, framing, messages
from sennit.tools.lab import KernelProcess, Lab
from sennit.tools.lab_runtime import Runtime, command


def left_behind(lab: Lab) -> dict[str, object]:
    """What a runtime could leave: sockets, shared memory, interfaces, addresses, routes."""
    run = control_client.socket_path("any").parent
    return {
        "sockets": sorted(p.name for p in run.rglob("*")) if run.exists() else [],
        "shm": sorted(p.name for p in Path("/dev/shm").iterdir() if "sennit" in p.name),
        "links": lab.run(lab.host, "ip", "-br", "link"),
        "addresses": lab.run(lab.host, "ip", "-br", "address"),
        "routes": sorted(lab.run(lab.host, "ip", f"-{n}", "route").splitlines() for n in "46"),
        "processes": sorted(lab.pids(lab.host)),
    }


@pytest.fixture(autouse=True)
def nothing_left(lab: Lab) -> Iterator[None]:
    before = left_behind(lab)
    yield
    assert left_behind(lab) == before


def refused(lab: Lab, *arguments: str, says: tuple[str, ...], timeout: float = 20) -> str:
    """Runs `sennit` in the host namespace; it must fail with one sentence that holds every word of `says`."""
    done = subprocess.run(
        ["ip", "netns", "exec", lab.host, *command(*arguments)],
        capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode > 0, done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("sennit:")]
    assert len(lines) == 1, done.stderr
    for word in says:
        assert word in lines[0], lines[0]
    return lines[0]


def test_unknown_interface(lab: Lab) -> None:
    refused(lab, "up", "--name", "bad", "--lcores", "0", "--port", "nosuch0", says=("nosuch0",))


def test_core_outside_the_machine(lab: Lab) -> None:
    refused(lab, "up", "--name", "bad", "--lcores", "4000", "--port", "h1", says=("4000",))


def test_malformed_core_mask(lab: Lab) -> None:
    refused(lab, "up", "--name", "bad", "--coremask", "0xzz", "--port", "h1", says=("0xzz",))


def test_no_port_at_all(lab: Lab) -> None:
    refused(lab, "up", "--name", "bad", "--lcores", "0", says=("port",))


def test_same_port_twice(lab: Lab) -> None:
    refused(lab, "up", "--name", "bad", "--lcores", "0", "--port", "h1", "--port", "h1", says=("h1",))


def test_interface_without_address(lab: Lab) -> None:
    lab.batch(lab.host, ["link add bare0 type veth peer name bare1", "link set bare0 up"])
    try:
        refused(lab, "up", "--name", "bad", "--lcores", "0", "--port", "bare0", says=("bare0", "address"))
    finally:
        lab.batch(lab.host, ["link delete bare0"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("lcores = [", "toml"),
        ('lcores = "0"\nports = 7\n', "ports"),
        ('no_such_option = 1\nports = ["h1"]\n', "no_such_option"),
    ],
    ids=["syntax", "type", "unknown"],
)
def test_malformed_configuration_file(lab: Lab, tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    said = refused(lab, "up", "--config", str(file), says=())
    assert word in said or "bad.toml" in said


def test_missing_configuration_file(lab: Lab) -> None:
    refused(lab, "up", "--config", "/nonexistent/sennit.toml", says=("/nonexistent/sennit.toml",))


def test_no_instance_of_that_name(lab: Lab) -> None:
    for verb in (["status"], ["down"], ["limits", "show"], ["endpoint", "show"], ["connect", "10.2.1.1:1"]):
        refused(lab, *verb, "--name", "nobody", says=("nobody", "sennit up"))


class TestWithRuntime:
    """The instance of this module's runtime stays well whatever others do."""

    @pytest.fixture(autouse=True)
    def still_well(self, runtime: Runtime) -> Iterator[None]:
        before = [worker.pid for worker in runtime.status().workers]
        yield
        after = runtime.status()
        assert [worker.pid for worker in after.workers] == before
        assert all(worker.state == "RUN" for worker in after.workers)

    def test_same_name_again(self, lab: Lab, runtime: Runtime) -> None:
        refused(lab, "up", "--name", runtime.name, "--lcores", "0", "--port", "h1", says=(runtime.name,))

    def test_peer_refuses(self, lab: Lab, runtime: Runtime) -> None:
        refused(lab, "connect", "--name", runtime.name, f"{lab.peer_address(1)}:9", says=("refused",))
        with pytest.raises(ConnectionRefusedError):
            sdk.connect((lab.peer_address(1), 9), timeout=5, instance=runtime.name)

    def test_peer_does_not_answer(self, lab: Lab, runtime: Runtime) -> None:
        lab.run(lab.peer, "nft", "add", "table", "ip", "t")
        lab.run(lab.peer, "nft", "add", "chain", "ip", "t", "c", "{ type filter hook input priority 0; policy drop; }")
        try:
            refused(
                lab,
                "connect",
                "--name",
                runtime.name,
                "--timeout",
                "2",
                f"{lab.peer_address(1)}:9",
                says=("timed out",),
            )
            with pytest.raises(TimeoutError):
                sdk.connect((lab.peer_address(1), 9), timeout=1, instance=runtime.name)
        finally:
            lab.run(lab.peer, "nft", "delete", "table", "ip", "t")

    @pytest.mark.parametrize("address", ["10.1.1.77", "fd00:1:1::77"])
    def test_neighbour_does_not_exist(self, lab: Lab, runtime: Runtime, address: str) -> None:
        with pytest.raises(OSError) as caught:
            sdk.connect((address, 9), timeout=4, instance=runtime.name)
        assert caught.value.errno in (113, 110)  # EHOSTUNREACH, ETIMEDOUT

    @pytest.mark.parametrize(
        "frame",
        [
            b"\xff\xff\xff\xff",
            struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
            struct.pack(">I", 0),
            framing.encode(messages.Hello())[:-1],
            struct.pack(">I", 16) + msgspec.msgpack.encode({"t": "NoSuchMess"})[:16].ljust(16, b"\0"),
            framing.encode(messages.GetStatus()),  # before Hello
            os.urandom(4096),
        ],
        ids=["length", "garbage", "empty", "cut", "unknown", "no-hello", "random"],
    )
    def test_malformed_control_message(self, runtime: Runtime, frame: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(3)
            client.connect(str(control_client.socket_path(runtime.name)))
            client.sendall(frame)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while data := client.recv(65536):
                answer += data
        if answer:
            reply = messages.reply_decoder.decode(answer[4:])
            assert isinstance(reply, messages.Failure)
            assert reply.error

    def test_client_of_another_user(self, lab: Lab, runtime: Runtime, tmp_path: Path) -> None:
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command("status", "--name", runtime.name)],
            capture_output=True, text=True, check=False, timeout=20, cwd="/",
        )  # fmt: skip
        assert done.returncode > 0
        assert "Traceback" not in done.stderr
        assert "65534" in done.stderr
        assert runtime.name in done.stderr

    def test_endpoint_that_is_no_address_of_ours(self, lab: Lab, runtime: Runtime) -> None:
        refused(lab, "endpoint", "add", "203.0.113.9", "subflow", "--name", runtime.name, says=("203.0.113.9",))

    def test_a_peer_that_resets_is_an_error_not_an_end(self, lab: Lab, runtime: Runtime) -> None:
        peer = KernelProcess(lab, lab.peer, 5003, "server", "0.0.0.0", "send", 1 << 20, "--abort")
        peer.event("listening")
        with sdk.connect((lab.peer_address(1), 5003), timeout=10, instance=runtime.name) as connection:
            with pytest.raises(ConnectionError):
                while connection.recv(1 << 20):
                    pass
