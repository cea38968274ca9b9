# SPDX-License-Identifier: Apache-2.0
"""Neighbours, routes and our own addresses, with the kernel at the other end of the link."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sennit import sdk
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime, command

PORT = 5010
PROGRAM = str(Path(__file__).with_name("link_program.py"))
ROUTER: dict[Family, str] = {"ipv4": "10.1.1.254", "ipv6": "fd00:1:1::254"}
SILENT: dict[Family, str] = {"ipv4": "10.1.1.77", "ipv6": "fd00:1:1::77"}
OWN: dict[Family, str] = {"ipv4": "10.1.1.1", "ipv6": "fd00:1:1::1"}
ASKS: dict[Family, str] = {"ipv4": "request", "ipv6": "solicit"}
FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")

Eventually = Callable[[Callable[[], bool], float], bool]
Seen = list[dict[str, Any]]


@contextlib.contextmanager
def watching(lab: Lab, interface: str = "rh1") -> Iterator[Seen]:
    """What arrives of ARP and neighbour discovery at the router's end of the first path, as it comes."""
    program = lab.popen(lab.net, sys.executable, "-I", PROGRAM, "watch", interface, stdout=subprocess.PIPE)
    seen: Seen = []
    assert program.stdout is not None
    program.stdout.readline()
    reader = threading.Thread(target=lambda: seen.extend(json.loads(line) for line in program.stdout or ()))
    reader.start()
    try:
        yield seen
    finally:
        program.terminate()
        reader.join()
        program.wait()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """One path."""
    with Lab(paths=1, ipv6=True) as made:
        yield made


def echoing(lab: Lab) -> None:
    """A server in the peer, until the laboratory is gone."""
    program = lab.popen(lab.peer, sys.executable, "-I", PROGRAM, "echo", str(PORT), stdout=subprocess.PIPE)
    assert program.stdout is not None
    program.stdout.readline()


def connect(runtime: Runtime, address: str, timeout: float = 20) -> sdk.Connection:
    return sdk.connect((address, PORT), timeout=timeout, instance=runtime.name)


def ping(connection: sdk.Connection) -> None:
    connection.sendall(b"ping")
    received = b""
    while len(received) < 4:
        data = connection.recv(16)
        assert data
        received += data
    assert received == b"ping"


def neighbours(runtime: Runtime) -> dict[str, tuple[str, str]]:
    """State and MAC by address."""
    with runtime.client() as client:
        return {n.address: (n.state, n.mac) for n in client.neighbours()}


def mac_of(lab: Lab, interface: str) -> str:
    return lab.run(lab.net, "cat", f"/sys/class/net/{interface}/address").strip()


def workers_of(runtime: Runtime) -> set[int]:
    return {conn.worker for conn in runtime.status().conns}


@pytest.mark.parametrize("family", FAMILIES)
def test_one_question_is_asked_for_a_hop_that_two_workers_need(
    lab: Lab, family: Family, eventually: Eventually
) -> None:
    echoing(lab)
    with watching(lab) as seen, Runtime(lab, lcores="0-1") as runtime, contextlib.ExitStack() as stack:
        for _ in range(6):
            ping(stack.enter_context(connect(runtime, lab.peer_address(1, family))))
        assert workers_of(runtime) == {0, 1}
        asked = [m for m in seen if m["kind"] == ASKS[family] and m["target"] == ROUTER[family]]
        assert len(asked) == 1
        known = ("REACHABLE", mac_of(lab, "rh1"))
        assert eventually(lambda: neighbours(runtime).get(ROUTER[family]) == known, 2)


def test_a_mac_that_changes_is_followed_by_both_workers(lab: Lab, eventually: Eventually) -> None:
    lab.sysctl(lab.net, {"net.ipv4.conf.rh1.arp_notify": 1})
    echoing(lab)
    with Runtime(lab, lcores="0-1") as runtime, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(runtime, lab.peer_address(1))) for _ in range(4)]
        for connection in connections:
            ping(connection)
        new = "02:00:00:00:be:ef"
        with watching(lab) as seen:
            lab.run(lab.net, "ip", "link", "set", "rh1", "address", new)
            assert eventually(lambda: neighbours(runtime).get(ROUTER["ipv4"]) == ("REACHABLE", new), 5)
            for connection in connections:
                ping(connection)
            assert [m for m in seen if m["kind"] == "request" and m["target"] == ROUTER["ipv4"]] == []


def fail_to_connect(runtime: Runtime, address: str) -> list[float]:
    """How long three connects take to fail: the first, one by the other worker, and one more."""
    took = []
    for _ in range(3):
        begun = time.monotonic()
        with pytest.raises(OSError) as caught:
            connect(runtime, address)
        assert caught.value.errno == errno.EHOSTUNREACH
        took.append(time.monotonic() - begun)
    assert neighbours(runtime)[address] == ("FAILED", "")
    return took


def test_a_silent_hop_fails_after_ten_questions_and_then_at_once(lab: Lab) -> None:
    with watching(lab) as seen, Runtime(lab, lcores="0-1") as runtime, ThreadPoolExecutor(2) as pool:
        for first, *rest in pool.map(lambda family: fail_to_connect(runtime, SILENT[family]), FAMILIES):
            assert 8 < first < 20
            assert max(rest) < 1
        for family in FAMILIES:
            asked = [m for m in seen if m["kind"] == ASKS[family] and m["target"] == SILENT[family]]
            assert 10 <= len(asked) <= 12  # each worker may ask once more, for those that it refuses


def test_what_is_flushed_is_asked_for_again(lab: Lab, eventually: Eventually) -> None:
    echoing(lab)
    with watching(lab) as seen, Runtime(lab) as runtime, connect(runtime, lab.peer_address(1)) as connection:
        ping(connection)
        refused = subprocess.run(
            command("neigh", "flush", "10.1.1.9", "--name", runtime.name), capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1
        assert "there is no neighbour 10.1.1.9" in refused.stderr
        done = subprocess.run(
            command("neigh", "flush", "--json", "--name", runtime.name), capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == []
        ping(connection)
        assert eventually(
            lambda: len([m for m in seen if m["kind"] == "request" and m["target"] == ROUTER["ipv4"]]) == 2, 5
        )
        shown = subprocess.run(
            command("neigh", "--name", runtime.name), capture_output=True, text=True, check=True
        ).stdout
        assert ROUTER["ipv4"] in shown
        assert mac_of(lab, "rh1") in shown


def routes(runtime: Runtime) -> list[dict[str, str]]:
    said = subprocess.run(
        command("route", "--json", "--name", runtime.name), capture_output=True, text=True, check=True
    )
    listed: list[dict[str, str]] = json.loads(said.stdout)
    return listed


@pytest.mark.parametrize("whose", ["ours", "the kernel's"])
def test_a_static_route_leads_over_its_router(lab: Lab, whose: str) -> None:
    lab.run(lab.peer, "ip", "address", "add", "10.9.0.1/32", "dev", "lo")
    lab.run(lab.net, "ip", "address", "add", "10.1.1.253/24", "dev", "rh1")
    for family in "46":
        lab.run(lab.host, "ip", f"-{family}", "route", "del", "default", "dev", "h1")
    extra = []
    if whose == "ours":
        extra = ["--route", "10.9.0.0/16 via 10.1.1.253"]
    else:
        lab.run(lab.host, "ip", "route", "add", "10.9.0.0/16", "via", "10.1.1.253", "dev", "h1")
    echoing(lab)
    with Runtime(lab, extra=extra) as runtime:
        assert {
            "destination": "10.9.0.0/16", "via": "10.1.1.253", "port": "h1", "source": "10.1.1.1", "kind": "route"
        } in routes(runtime)  # fmt: skip
        with connect(runtime, "10.9.0.1") as connection:
            ping(connection)
            assert "10.1.1.253" in neighbours(runtime)
        with pytest.raises(OSError) as caught:
            connect(runtime, "10.8.0.1")
        assert caught.value.errno == errno.ENETUNREACH


def test_every_subflow_leaves_by_the_port_of_its_source_address(eventually: Eventually) -> None:
    with Lab(paths=3) as lab:
        lab.run(lab.peer, "ip", "address", "add", "10.9.0.1/32", "dev", "lo")
        # All three lead there, the second one by the longest prefix.
        lengths = {1: 16, 2: 24, 3: 16}
        extra = [
            word for i, n in lengths.items() for word in ("--route", f"10.9.0.0/{n} via 10.1.{i}.254 dev h{i}")
        ]
        echoing(lab)
        with Runtime(lab, extra=extra) as runtime:
            runtime.endpoints("subflow", paths=(1, 3))
            with connect(runtime, "10.9.0.1") as connection:
                ping(connection)

                def ways() -> dict[str, int]:
                    (conn,) = runtime.status().conns
                    return {s.local.split(":")[0]: s.port for s in conn.subflows if s.usable}

                assert eventually(lambda: len(ways()) == 3, 5)
                assert ways() == {"10.1.2.1": 1, "10.1.1.1": 0, "10.1.3.1": 2}
                assert connection.getsockname()[0] == "10.1.2.1"
                towards = lab.path_bytes()[0]
                assert all(count > 0 for count in towards)


def up(lab: Lab, tmp_path: Path, name: str, address: str, address6: str) -> subprocess.CompletedProcess[str]:
    """`sennit up --daemon` with these addresses on the first path."""
    file = tmp_path / "sennit.toml"
    file.write_text(f'name = "{name}"\n[[ports]]\nname = "h1"\naddress = "{address}/24"\naddress6 = "{address6}/64"\n')
    return subprocess.run(
        ["ip", "netns", "exec", lab.host, *command("up", "--daemon", "--config", str(file))],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def down(name: str) -> None:
    subprocess.run(command("down", "--name", name), check=True, timeout=30, capture_output=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_that_another_host_has_is_refused_with_its_mac(lab: Lab, tmp_path: Path, family: Family) -> None:
    before = lab.run(lab.host, "ip", "-br", "address")
    taken = {"ipv4": "10.1.1.7", "ipv6": "fd00:1:1::7", family: ROUTER[family]}
    done = up(lab, tmp_path, f"dad-{os.getpid()}", taken["ipv4"], taken["ipv6"])
    assert done.returncode == 1
    said = f"port h1: address {ROUTER[family]} is in use already, by the host with the MAC {mac_of(lab, 'rh1')}"
    assert said in done.stderr
    assert lab.run(lab.host, "ip", "-br", "address") == before


def test_a_free_address_is_probed_three_times_announced_and_used(lab: Lab, tmp_path: Path) -> None:
    name = f"dad-{os.getpid()}"
    with watching(lab) as seen:
        done = up(lab, tmp_path, name, "10.1.1.7", "fd00:1:1::7")
        assert done.returncode == 0, done.stderr
        try:
            probes = [m for m in seen if m["kind"] == "request" and m["sender"] == "0.0.0.0"]
            assert [m["target"] for m in probes] == ["10.1.1.7"] * 3
            solicits = [m for m in seen if m["kind"] == "solicit" and m["sender"] == "::"]
            assert [m["target"] for m in solicits if m["target"] == "fd00:1:1::7"] == ["fd00:1:1::7"] * 3
            # It answers now: nobody listens.
            for address in ("10.1.1.7", "fd00:1:1::7"):
                lab.run(lab.net, sys.executable, "-I", PROGRAM, "refused", address, str(PORT))
        finally:
            down(name)
    announced = [m for m in seen if m["kind"] == "request" and m["sender"] == m["target"] == "10.1.1.7"]
    advertised = [m for m in seen if m["kind"] == "advertise" and m["to"] == "33:33:00:00:00:01"]
    assert announced
    assert [m["target"] for m in advertised][:1] == ["fd00:1:1::7"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_other_end_learns_from_the_announcements(lab: Lab, family: Family, eventually: Eventually) -> None:
    own = OWN[family]
    lab.run(lab.net, "ip", "neigh", "replace", own, "lladdr", "02:00:00:00:0b:ad", "dev", "rh1", "nud", "stale")
    ours = lab.run(lab.host, "cat", "/sys/class/net/h1/address").strip()
    with Runtime(lab) as runtime:
        assert eventually(lambda: ours in lab.run(lab.net, "ip", "neigh", "show", own, "dev", "rh1"), 10)
        # After a worker has come back as well.
        lab.run(lab.net, "ip", "neigh", "replace", own, "lladdr", "02:00:00:00:0b:ad", "dev", "rh1", "nud", "stale")
        os.kill(runtime.status().workers[0].pid, 9)
        assert eventually(lambda: ours in lab.run(lab.net, "ip", "neigh", "show", own, "dev", "rh1"), 10)


def test_a_port_whose_link_is_back_is_announced(lab: Lab, eventually: Eventually) -> None:
    with watching(lab) as seen, Runtime(lab):

        def announced() -> int:
            return len([m for m in seen if m["sender"] == m["target"] == "10.1.1.1"])

        assert eventually(lambda: announced() == 2, 10)
        lab.run(lab.net, "ip", "link", "set", "rh1", "down")
        time.sleep(2.5)  # longer than between two looks
        lab.run(lab.net, "ip", "link", "set", "rh1", "up")
        assert eventually(lambda: announced() == 4, 10)


def test_a_connect_does_not_wait_for_the_control_process(lab: Lab) -> None:
    echoing(lab)
    with Runtime(lab, lcores="0-1") as runtime:
        pid = runtime.pid
        with connect(runtime, lab.peer_address(1)) as connection:  # the session is there
            ping(connection)
            os.kill(pid, signal.SIGSTOP)
            try:
                # A hop that nobody has asked for yet, and one that is known.
                for address in (lab.peer_address(1, "ipv6"), lab.peer_address(1)):
                    with connect(runtime, address, timeout=5) as other:
                        ping(other)
                ping(connection)
            finally:
                os.kill(pid, signal.SIGCONT)


def test_an_address_that_another_host_takes_later_is_defended(lab: Lab, eventually: Eventually) -> None:
    with watching(lab) as seen, Runtime(lab) as runtime:
        assert eventually(lambda: len([m for m in seen if m["sender"] == m["target"] == "10.1.1.1"]) == 2, 10)
        lab.sysctl(lab.net, {"net.ipv4.conf.rh1.arp_notify": 1})
        lab.run(lab.net, "ip", "address", "add", "10.1.1.1/24", "dev", "rh1")
        lab.run(lab.net, "ip", "link", "set", "rh1", "address", "02:00:00:00:0b:ad")  # the kernel announces it
        assert eventually(lambda: runtime.counters()["addr_conflict"] > 0, 5)
        assert runtime.counters()["addr_defended"] == 1
        assert eventually(lambda: len([m for m in seen if m["sender"] == m["target"] == "10.1.1.1"]) == 3, 5)
        assert "address 10.1.1.1: the host with the MAC 02:00:00:00:0b:ad claims it too" in runtime.log()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_flood_of_invented_neighbours_costs_the_control_process_nothing(lab: Lab) -> None:
    echoing(lab)
    ours = lab.run(lab.host, "cat", "/sys/class/net/h1/address").strip()
    with Runtime(lab, lcores="0-1") as runtime, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(connect(runtime, lab.peer_address(1, family))) for family in FAMILIES for _ in range(2)
        ]
        for connection in connections:
            ping(connection)
        before, heard = cpu_seconds(runtime.pid), runtime.counters()["arp_rx"] + runtime.counters()["nd_rx"]
        flood = lab.popen(
            lab.net, sys.executable, "-I", PROGRAM, "flood", "rh1", ours, "20000", stdout=subprocess.PIPE
        )
        rounds = 0
        while flood.poll() is None:
            for connection in connections:
                ping(connection)
            rounds += 1
        assert flood.returncode == 0
        assert rounds > 3
        for connection in connections:
            ping(connection)
        assert cpu_seconds(runtime.pid) - before < 0.5
        assert runtime.counters()["arp_rx"] + runtime.counters()["nd_rx"] - heard > 1000
        assert set(neighbours(runtime)) <= {*ROUTER.values()}
