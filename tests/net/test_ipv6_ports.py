# SPDX-License-Identifier: Apache-2.0
"""What a port needs of the kernel below it for IPv6, and what the kernel must not do with what is ours."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from sennit import sdk
from sennit.tools.lab import KernelProcess, Lab
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime, command

PORT = 5007
SIZE = 1 << 20
GROUP = "33:33:ff:00:00:01"  # solicited-node group of fd00:1:1::1


def send(lab: Lab, runtime: Runtime) -> None:
    peer = KernelProcess(lab, lab.peer, PORT, "server", "::", "receive", SIZE)
    peer.event("listening")
    with sdk.connect((lab.peer_address(1, "ipv6"), PORT), timeout=10, instance=runtime.name) as connection:
        for block in Pattern(SIZE).blocks():
            connection.sendall(block)
        connection.shutdown(1)
        assert connection.recv(1) == b""
    assert peer.done().sha256 == Pattern(SIZE).sha256()


def test_the_interface_stays_in_the_solicited_node_group() -> None:
    with Lab(paths=1, ipv6=True) as lab:
        before = lab.run(lab.host, "ip", "maddr", "show", "dev", "h1")
        assert "inet6 ff02::1:ff00:1" in before
        with Runtime(lab):
            groups = lab.run(lab.host, "ip", "maddr", "show", "dev", "h1")
            # The kernel has left it with its address; a NIC must go on letting it in.
            assert "inet6 ff02::1:ff00:1" not in groups
            assert GROUP in groups
        lab.run(lab.host, "ip", "-6", "address", "del", "fd00:1:1::1/64", "dev", "h1")
        assert GROUP not in lab.run(lab.host, "ip", "maddr", "show", "dev", "h1")


def test_a_kernel_that_forwards_keeps_off_what_is_ours() -> None:
    with Lab(paths=1, ipv6=True) as lab:
        lab.sysctl(lab.host, {"net.ipv6.conf.all.forwarding": 1})
        before = lab.run(lab.host, "ip", "-6", "route", "show", "table", "all")
        with Runtime(lab) as runtime:
            send(lab, runtime)
            counters = lab.run(lab.host, "cat", "/proc/net/snmp6").split()
            assert counters[counters.index("Ip6OutForwDatagrams") + 1] == "0"
        assert sorted(lab.run(lab.host, "ip", "-6", "route", "show", "table", "all").splitlines()) == sorted(
            before.splitlines()
        )


def test_the_commands_take_ipv6_addresses(tmp_path: Path) -> None:
    source, sink = tmp_path / "source", tmp_path / "sink"
    source.write_bytes(b"".join(Pattern(SIZE).blocks()))
    with Lab(paths=1, ipv6=True) as lab, Runtime(lab) as runtime:
        peer = KernelProcess(lab, lab.peer, PORT, "server", "::", "receive", SIZE)
        peer.event("listening")
        to = lab.peer_address(1, "ipv6")
        words = ("connect", "--name", runtime.name, f"[{to}]:{PORT}", "--in", str(source), "--stats", "--timeout", "10")
        done = subprocess.run(command(*words), capture_output=True, text=True, timeout=30, check=True)
        assert peer.done().sha256 == Pattern(SIZE).sha256()
        assert f"mptcp [{lab.host_address(1, 'ipv6')}]:" in done.stderr
        assert f" - [{to}]:{PORT}: sent 1.0 MiB" in done.stderr
        hear = ("listen", "--name", runtime.name, str(PORT), "--out", str(sink), "--timeout", "10")
        with subprocess.Popen(command(*hear), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as listener:
            assert listener.stderr is not None
            assert listener.stderr.readline() == f"listening on [::]:{PORT}\n"
            KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1, "ipv6"), "send", SIZE).done()
            assert listener.wait(10) == 0
        assert sink.read_bytes() == source.read_bytes()


def test_what_a_killed_instance_took_comes_back_with_the_next_start() -> None:
    with Lab(paths=1, ipv6=True) as lab:
        lab.sysctl(lab.host, {"net.ipv6.conf.all.forwarding": 1})
        routes = lab.run(lab.host, "ip", "-6", "route", "show", "table", "all").splitlines()
        with Runtime(lab) as runtime:
            os.kill(runtime.pid, signal.SIGKILL)
            runtime.stop()
            assert "fd00:1:1::1" not in lab.run(lab.host, "ip", "-6", "address")
            runtime.start()
            assert "had left behind" in runtime.log()
            assert runtime.status().ports[0].addresses == ("10.1.1.1/24", "fd00:1:1::1/64")
            send(lab, runtime)
        assert sorted(lab.run(lab.host, "ip", "-6", "route", "show", "table", "all").splitlines()) == sorted(routes)
