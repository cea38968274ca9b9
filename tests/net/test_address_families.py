# SPDX-License-Identifier: Apache-2.0
"""IPv4 and IPv6 side by side: which address reaches whom, and what is taken from the kernel and given back."""

from __future__ import annotations

import errno
import sys

import pytest

from sennit import sdk
from sennit.tools.lab import ANY, Family, KernelProcess, Lab, LabError
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5006
SIZE = 1 << 20
TIMEOUT_S = 10.0
FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")

# An echo request by hand: of IPv6 the kernel makes the checksum, of IPv4 it does not.
ECHO = """
import socket, struct, sys
host, data = sys.argv[1], bytes(range(200))
six = ":" in host
with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1) as s:
    s.settimeout(3)
    body = struct.pack("!HH", 0x534E, 7) + data
    words = sum(struct.unpack(f"!{len(body) // 2}H", body)) + 0x0800
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    s.sendto(struct.pack("!BBH", 128 if six else 8, 0, ~words & 0xFFFF) + body, (host, 0))
    while True:
        answer, who = s.recvfrom(2000)
        answer = answer if six else answer[(answer[0] & 15) * 4 :]
        if who[0] == host and answer[0] == (129 if six else 0):
            assert answer[4:] == body, answer
            break
"""


def receive(connection: sdk.Connection) -> int:
    count = 0
    while data := connection.recv(65536):
        count += len(data)
    return count


def send_to(lab: Lab, runtime: Runtime, listening: str, to: str) -> tuple[str, int]:
    """A transfer to the kernel; the address that the connection says it has."""
    peer = KernelProcess(lab, lab.peer, PORT, "server", listening, "receive", SIZE)
    peer.event("listening")
    with sdk.connect((to, PORT), timeout=TIMEOUT_S, instance=runtime.name) as connection:
        name = connection.getpeername()
        for block in Pattern(SIZE).blocks():
            connection.sendall(block)
        connection.shutdown(1)
        assert connection.recv(1) == b""
    assert peer.done().sha256 == Pattern(SIZE).sha256()
    return name


@pytest.mark.parametrize("family", FAMILIES)
def test_echo_is_answered(lab: Lab, runtime: Runtime, family: Family) -> None:
    lab.run(lab.peer, sys.executable, "-I", "-c", ECHO, lab.host_address(1, family), timeout=10)


def test_a_listener_of_every_address_takes_both_families(lab: Lab, runtime: Runtime) -> None:
    with sdk.listen(("", PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
        for family in FAMILIES:
            peer = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1, family), "send", SIZE)
            connection, who = listener.accept()
            with connection:
                connection.settimeout(TIMEOUT_S)
                assert who[0] == lab.peer_address(1, family)
                assert connection.getsockname() == (lab.host_address(1, family), PORT)
                assert connection.is_mptcp
                assert receive(connection) == SIZE
            assert peer.done().mptcp


def test_a_listener_of_every_ipv4_address_refuses_ipv6(lab: Lab, runtime: Runtime) -> None:
    with sdk.listen((ANY["ipv4"], PORT), instance=runtime.name, timeout=TIMEOUT_S):
        peer = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1, "ipv6"), "send", SIZE)
        with pytest.raises(LabError, match="refused"):
            peer.event("connected")


def test_an_ipv4_mapped_address_is_ipv4(lab: Lab, runtime: Runtime) -> None:
    to = lab.peer_address(1)
    assert send_to(lab, runtime, ANY["ipv4"], f"::ffff:{to}") == (to, PORT)


@pytest.mark.parametrize("host", ["fe80::1", "fe80::1%h1", "fd00:2:1::1%h1"])
def test_an_address_of_one_link_is_refused(runtime: Runtime, host: str) -> None:
    with pytest.raises(OSError, match="one link") as caught:
        sdk.connect((host, PORT), timeout=TIMEOUT_S, instance=runtime.name)
    assert caught.value.errno == errno.EINVAL


def kernel_state(lab: Lab) -> dict[str, object]:
    """What the host's kernel has on the interfaces of the laboratory."""
    names = ("accept_ra", "autoconf", "forwarding", "proxy_ndp")
    return {
        "addresses": lab.run(lab.host, "ip", "-br", "address"),
        "flags": [line for line in lab.run(lab.host, "ip", "-6", "address").splitlines() if "inet6" in line],
        **{f"routes{n}": sorted(lab.run(lab.host, "ip", f"-{n}", "route", "show", "table", "all").splitlines())
           for n in "46"},
        "rules": lab.run(lab.host, "ip", "-6", "rule"),
        **{name: lab.run(lab.host, "cat", f"/proc/sys/net/ipv6/conf/h1/{name}") for name in names},
    }  # fmt: skip


def test_addresses_of_both_families_are_taken_and_given_back() -> None:
    with Lab(paths=1, ipv6=True) as lab:
        lab.sysctl(lab.host, {"net.ipv6.conf.h1.accept_ra": 1})
        before = kernel_state(lab)
        with Runtime(lab) as runtime:
            assert "fd00:1:1::1" not in lab.run(lab.host, "ip", "-6", "address")
            assert "10.1.1.1" not in lab.run(lab.host, "ip", "-4", "address")
            (port,) = runtime.status().ports
            assert port.addresses == ("10.1.1.1/24", "fd00:1:1::1/64")
            assert (port.gateway, port.gateway6) == ("10.1.1.254", "fd00:1:1::254")
            send_to(lab, runtime, "::", lab.peer_address(1, "ipv6"))
        assert kernel_state(lab) == before


def test_a_port_with_ipv6_alone() -> None:
    with Lab(paths=1, ipv6=True) as lab:
        lab.run(lab.host, "ip", "-4", "address", "flush", "dev", "h1")
        with Runtime(lab) as runtime:
            assert runtime.status().ports[0].addresses == ("fd00:1:1::1/64",)
            send_to(lab, runtime, "::", lab.peer_address(1, "ipv6"))
            with pytest.raises(OSError) as caught:
                sdk.connect((lab.peer_address(1), PORT), timeout=TIMEOUT_S, instance=runtime.name)
            assert caught.value.errno == errno.ENETUNREACH
