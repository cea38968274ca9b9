# SPDX-License-Identifier: Apache-2.0
"""Reading interfaces and giving them back, with a kernel of paper."""

from __future__ import annotations

import json
import socket

import pytest

from sennit.runtime import config, ports
from sennit.runtime.errors import StartError

LINK = {"ifname": "eth1", "flags": ["BROADCAST", "UP"], "mtu": 1500, "link_type": "ether"}
ADDRESS = [{}, {"ifname": "eth1", "addr_info": [
    {"family": "inet", "local": "10.0.1.1", "prefixlen": 24, "broadcast": "10.0.1.255", "scope": "global"},
]}]  # fmt: skip
ROUTES = """default via 10.0.1.254 metric 100 linkdown
10.0.1.0/24 proto kernel scope link src 10.0.1.1
10.9.0.0/16 via 10.0.1.2
local 10.0.1.1 table local proto kernel scope host src 10.0.1.1
"""


class Kernel:
    def __init__(self, link: object = LINK, address: object = ADDRESS, default: object = ()) -> None:
        self.link, self.address, self.default = link, address, default
        self.said: list[str] = []

    def __call__(self, *args: str) -> str:
        line = " ".join(args)
        self.said.append(line)
        if "link show" in line:
            return json.dumps([self.link])
        if "address show" in line:
            return json.dumps(self.address)
        if "route show default" in line:
            return json.dumps(self.default)
        return ROUTES if "route show" in line else ""


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: {"eth1": 7}[name] if name == "eth1" else _none())
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (7, "eth1")])


def _none() -> int:
    raise OSError(19, "no such device")


def test_address_gateway_and_mtu_are_read() -> None:
    found = ports.read(config.Port("eth1"), Kernel(default=[{"dst": "default", "gateway": "10.0.1.254"}]))
    assert found == ports.Taken("eth1", False, 7, "10.0.1.1/24", "10.0.1.254", 1500)


def test_what_is_given_wins() -> None:
    found = ports.read(config.Port("eth1", "10.5.0.1/16", "10.5.9.9", 1400), Kernel())
    assert (found.address, found.gateway, found.mtu) == ("10.5.0.1/16", "10.5.9.9", 1400)


@pytest.mark.parametrize(
    ("name", "kernel", "words"),
    [
        ("eth2", Kernel(), "there is no interface eth2 here: this network namespace has eth1"),
        ("eth1", Kernel({**LINK, "flags": []}), "is down: run 'ip link set eth1 up'"),
        ("eth1", Kernel({**LINK, "link_type": "loopback"}), "not an Ethernet interface"),
        ("eth1", Kernel({**LINK, "mtu": 65535}), "MTU of 65535"),
        ("eth1", Kernel(address=[{}]), "has no IPv4 address"),
        ("eth1", Kernel(default=[{"gateway": "10.9.9.9"}]), "gateway 10.9.9.9 is not in the network"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(name: str, kernel: Kernel, words: str) -> None:
    with pytest.raises(StartError) as caught:
        ports.read(config.Port(name), kernel)
    assert words in str(caught.value)


def test_an_interface_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_sysctl", lambda name, key: {"forwarding": "1", "arp_ignore": "0"}[key])
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(ports, "_set_sysctl", lambda name, key, value: written.append((key, value)))
    monkeypatch.setattr(ports, "_offloads", lambda name: {"gro": True})
    monkeypatch.setattr(ports, "_set_offloads", lambda name, wanted: written.append(("gro", str(wanted["gro"]))))
    kernel = Kernel()
    port = ports.Taken("eth1", False, 7, "10.0.1.1/24", None, 1500)
    saved = ports.save(port, kernel)
    assert saved.routes == (("default", "via", "10.0.1.254", "metric", "100"), ("10.9.0.0/16", "via", "10.0.1.2"))

    ports.take_over(port, saved, kernel)
    assert "-4 address del 10.0.1.1/24 dev eth1" in kernel.said
    assert written == [("forwarding", "0"), ("arp_ignore", "8"), ("gro", "False")]

    kernel.said.clear()
    written.clear()
    assert ports.give_back(saved, kernel) == []
    assert kernel.said == [
        "-4 address replace 10.0.1.1/24 broadcast 10.0.1.255 scope global dev eth1",
        "-4 route replace default via 10.0.1.254 metric 100 dev eth1",
        "-4 route replace 10.9.0.0/16 via 10.0.1.2 dev eth1",
    ]
    assert written == [("forwarding", "1"), ("arp_ignore", "0"), ("gro", "True")]


def test_an_interface_that_is_gone_needs_nothing() -> None:
    kernel = Kernel()
    assert ports.give_back(ports.Saved("eth1", 8, (("10.0.1.1/24",),), (), {}, {}), kernel) == []
    assert ports.give_back(ports.Saved("eth9", 9, (("10.0.1.1/24",),), (), {}, {}), kernel) == []
    assert kernel.said == []


def test_what_cannot_be_restored_is_said_and_the_rest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_set_offloads", lambda name, wanted: None)

    def refuse(*args: str) -> str:
        raise StartError(f"'ip {' '.join(args)}' failed: no")

    saved = ports.Saved("eth1", 7, (("10.0.1.1/24",),), (("default", "via", "10.0.1.2"),), {}, {})
    assert len(ports.give_back(saved, refuse)) == 2
