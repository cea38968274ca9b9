# SPDX-License-Identifier: Apache-2.0
"""Reading interfaces and giving them back, with a kernel of paper."""

from __future__ import annotations

import json
import socket

import msgspec
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


ROUTES6 = """anycast fd00:1:: table local proto kernel metric 0 pref medium
local fd00:1::1 table local proto kernel metric 0 pref medium
fd00:1::/64 proto kernel metric 256 pref medium
fd00:9::/64 via fd00:1::2 metric 1024 pref medium
default via fe80::9 proto ra metric 1024 expires 1723sec hoplimit 64 pref medium
"""


def inet6(local: str, **more: object) -> dict[str, object]:
    return {"family": "inet6", "local": local, "prefixlen": 64, "scope": "global"} | more


def of_eth1(*infos: object) -> list[object]:
    return [{}, {"ifname": "eth1", "addr_info": list(infos)}]


class Kernel:
    def __init__(
        self, link: object = LINK, address: object = ADDRESS, default: object = (), address6: object = (),
        default6: object = (), routes: object = (), routes6: object = (),
    ) -> None:  # fmt: skip
        self.routes, self.routes6 = routes, routes6
        self.link, self.address, self.default = link, address, default
        self.address6, self.default6 = address6, default6
        self.said: list[str] = []

    def __call__(self, *args: str) -> str:
        line = " ".join(args)
        self.said.append(line)
        six = "-6" in args
        if "link show" in line:
            return json.dumps([self.link])
        if "address show" in line:
            return json.dumps(self.address6 if six else self.address)
        if "route show default" in line:
            return json.dumps(self.default6 if six else self.default)
        if "-j" in args and "route show" in line:
            return json.dumps(self.routes6 if six else self.routes)
        return (ROUTES6 if six else ROUTES) if "route show" in line else ""


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: {"eth1": 7}[name] if name == "eth1" else _none())
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (7, "eth1")])


def _none() -> int:
    raise OSError(19, "no such device")


Written = list[tuple[str, ...]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """What /proc and the driver are told; everything is 1 there except arp_ignore."""
    said: Written = []
    monkeypatch.setattr(ports, "_sysctl", lambda name, key, net="ipv4": "0" if key == "arp_ignore" else "1")
    monkeypatch.setattr(
        ports, "_set_sysctl",
        lambda name, key, value, net="ipv4": said.append((key, value) if net == "ipv4" else (net, key, value)),
    )  # fmt: skip
    monkeypatch.setattr(ports, "_offloads", lambda name: {"gro": True})
    monkeypatch.setattr(ports, "_set_offloads", lambda name, wanted: said.append(("gro", str(wanted["gro"]))))
    return said


def test_address_gateway_and_mtu_are_read() -> None:
    found = ports.read(config.Port("eth1"), Kernel(default=[{"dst": "default", "gateway": "10.0.1.254"}]))
    assert found == ports.Taken("eth1", False, 7, "10.0.1.1/24", "10.0.1.254", 1500)


def test_what_is_given_wins() -> None:
    found = ports.read(config.Port("eth1", "10.5.0.1/16", "10.5.9.9", 1400), Kernel())
    assert (found.address, found.gateway, found.mtu) == ("10.5.0.1/16", "10.5.9.9", 1400)


def via(network: str, router: str) -> dict[str, str]:
    return {"dst": network, "gateway": router}


def test_routes_over_routers_on_the_link_are_read() -> None:
    kernel = Kernel(
        address6=of_eth1(inet6("fd00:1::1")),
        routes=[
            via("default", "10.0.1.254"), {"dst": "10.0.1.0/24"}, via("10.9.0.0/16", "10.0.1.2"),
            via("10.9.8.7", "10.0.1.3"), via("10.9.0.0/16", "10.0.1.4"), via("10.8.0.0/16", "10.7.0.1"),
            via("224.0.0.0/4", "10.0.1.2"),
        ],
        routes6=[via("fd00:9::/64", "fe80::9"), via("fd00:8::/64", "fd00:1::2"), via("fd00:7::/64", "fd00:2::2")],
    )  # fmt: skip
    found = ports.read(config.Port("eth1"), kernel)
    assert found.routes == ("10.9.8.7/32 via 10.0.1.3", "10.9.0.0/16 via 10.0.1.2")
    assert found.routes6 == ("fd00:9::/64 via fe80::9", "fd00:8::/64 via fd00:1::2")
    assert ports.read(config.Port("eth1", routes=()), kernel).routes == ()
    given = ports.read(config.Port("eth1", routes=("10.3.0.0/16 via 10.0.1.9", "fd00:3::/48 via fe80::1")), kernel)
    assert (given.routes, given.routes6) == (("10.3.0.0/16 via 10.0.1.9",), ("fd00:3::/48 via fe80::1",))


def test_of_too_many_routes_the_narrowest_are_read(caplog: pytest.LogCaptureFixture) -> None:
    wide = [via(f"10.{i}.0.0/16", "10.0.1.2") for i in range(100, 120)]
    found = ports.read(config.Port("eth1"), Kernel(routes=[*wide, via("10.99.1.0/24", "10.0.1.3")]))
    assert len(found.routes) == 16
    assert found.routes[0] == "10.99.1.0/24 via 10.0.1.3"
    assert "has 21 routes over routers, 16 are taken" in caplog.text


def test_a_given_router_must_be_on_the_link() -> None:
    for route, words in (
        ("10.3.0.0/16 via 10.0.2.9", "the router of route '10.3.0.0/16 via 10.0.2.9' is not in the network"),
        ("10.3.0.0/16 via 10.0.1.1", "is not in the network"),
        ("fd00:3::/48 via fe80::1", "there is no address of its kind"),
    ):
        with pytest.raises(StartError, match=words):
            ports.read(config.Port("eth1", routes=(route,)), Kernel())


def test_only_addresses_that_the_kernel_does_not_have_are_probed() -> None:
    kernel = Kernel(address6=of_eth1(inet6("fd00:1::1")))
    assert ports.read(config.Port("eth1"), kernel).probed == ()
    assert ports.read(config.Port("eth1", "10.0.1.1/24"), kernel).probed == ()
    assert ports.read(config.Port("eth1", "10.0.1.7/24"), kernel).probed == (False,)
    assert ports.read(config.Port("eth1", address6="FD00:1:0::1/64"), kernel).probed == ()
    both = config.Port("eth1", "10.0.1.7/24", address6="fd00:1::7/64")
    assert ports.read(both, kernel).probed == (False, True)


@pytest.mark.parametrize(
    ("name", "kernel", "words"),
    [
        ("eth2", Kernel(), "there is no interface eth2 here: this network namespace has eth1"),
        ("eth1", Kernel({**LINK, "flags": []}), "is down: run 'ip link set eth1 up'"),
        ("eth1", Kernel({**LINK, "link_type": "loopback"}), "not an Ethernet interface"),
        ("eth1", Kernel({**LINK, "mtu": 65535}), "MTU of 65535"),
        ("eth1", Kernel(address=[{}]), "has no IPv4 address and no global IPv6 address"),
        ("eth1", Kernel(default=[{"gateway": "10.9.9.9"}]), "gateway 10.9.9.9 is not in the network"),
        (
            "eth1", Kernel(address6=of_eth1(inet6("fd00:1::1")), default6=[{"gateway": "fd00:2::9"}]),
            "gateway fd00:2::9 is not in the network",
        ),
        ("eth1", Kernel({**LINK, "mtu": 1200}, address6=of_eth1(inet6("fd00:1::1"))), "IPv6 needs 1280"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(name: str, kernel: Kernel, words: str) -> None:
    with pytest.raises(StartError) as caught:
        ports.read(config.Port(name), kernel)
    assert words in str(caught.value)


def test_one_ipv6_address_that_stays_is_read() -> None:
    address6 = of_eth1(
        inet6("2001:db8::7", temporary=True), inet6("2001:db8::8", deprecated=True),
        inet6("2001:db8::9", tentative=True, dadfailed=True), inet6("fd00:1::1"), inet6("fd00:2::1"),
    )  # fmt: skip
    kernel = Kernel(address6=address6, default6=[{"dst": "default", "gateway": "fe80::9"}])
    found = ports.read(config.Port("eth1"), kernel)
    assert found == ports.Taken("eth1", False, 7, "10.0.1.1/24", None, 1500, "fd00:1::1/64", "fe80::9")
    assert found.addresses == ("10.0.1.1/24", "fd00:1::1/64")
    assert ports.read(config.Port("eth1", ipv6=False), kernel).addresses == ("10.0.1.1/24",)
    only = ports.read(config.Port("eth1"), Kernel(address=[{}], address6=address6))
    assert (only.address, only.gateway, only.address6) == ("", None, "fd00:1::1/64")
    given = ports.read(config.Port("eth1", address6="fd00:7::1/48", gateway6="fd00:7:0:9::1"), kernel)
    assert (given.address6, given.gateway6) == ("fd00:7::1/48", "fd00:7:0:9::1")


VLAN = config.Port("eth1", "10.0.5.1/24", vlan=5)


def test_a_vlan_takes_no_address_of_the_interface_below(written: Written) -> None:
    """The kernel goes on using the interface: nothing is changed but offloads."""
    kernel = Kernel(default=[{"dst": "default", "gateway": "10.0.1.254"}], address6=of_eth1(inet6("fd00:1::1")))
    port = ports.read(VLAN, kernel)
    assert port == ports.Taken("eth1", False, 7, "10.0.5.1/24", None, 1500, vlan=5, probed=(False,))
    saved = ports.save(port, kernel)
    kernel.said.clear()
    ports.take_over(port, saved, kernel)
    assert ports.give_back(saved, kernel) == []
    assert kernel.said == []
    assert written == [("gro", "False"), ("gro", "True")]


@pytest.mark.parametrize(
    ("below", "number", "refused"), [("eth1", 5, True), ("eth1", 6, False), ("eth2", 5, False), (None, 5, False)]
)
def test_a_vlan_that_linux_has_already_is_refused(below: str | None, number: int, refused: bool) -> None:
    kernel = Kernel()
    link = {"ifname": "lan", "link": below, "linkinfo": {"info_data": {"protocol": "802.1Q", "id": number}}}

    def says(*args: str) -> str:
        return json.dumps([link]) if args[-2:] == ("type", "vlan") else kernel(*args)

    if refused:
        with pytest.raises(StartError, match="Linux has VLAN 5 of it as lan: name lan as the port"):
            ports.read(VLAN, says)
    else:
        assert ports.read(VLAN, says).vlan == 5


def test_an_address_that_is_being_checked_is_waited_for() -> None:
    kernel = Kernel(address6=of_eth1(inet6("fd00:1::1", tentative=True)))

    def settles(*args: str) -> str:
        said = kernel(*args)
        kernel.address6 = of_eth1(inet6("fd00:1::1"))
        return said

    assert ports.read_address6("eth1", settles, settle_s=5) == "fd00:1::1/64"
    assert len(kernel.said) == 2
    kernel.address6 = of_eth1(inet6("fd00:1::1", tentative=True))
    assert ports.read_address6("eth1", kernel, settle_s=0.05) == ""
    assert ports.read_address6("eth1", Kernel(), settle_s=5) == ""  # nothing to wait for


def test_an_interface_comes_back_as_it_was(written: Written) -> None:
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


def test_an_ipv6_address_is_taken_and_given_back(written: Written) -> None:
    kernel = Kernel(
        address6=of_eth1(
            inet6("2001:db8::7", temporary=True, valid_life_time=500),
            inet6("fd00:1::1", noprefixroute=True, valid_life_time=600, preferred_life_time=300),
        )
    )
    port = ports.Taken("eth1", False, 7, "10.0.1.1/24", None, 1500, "FD00:1:0::1/64")
    saved = ports.save(port, kernel)
    words = "fd00:1::1/64 scope global nodad noprefixroute valid_lft 600 preferred_lft 300"
    assert saved.addresses6 == (tuple(words.split()),)
    assert saved.blackhole6 == "fd00:1::1/128"
    kernel.said.clear()
    ports.take_over(port, saved, kernel)
    assert kernel.said == [
        "-4 address del 10.0.1.1/24 dev eth1",
        "-6 route replace blackhole fd00:1::1/128",
        "-6 address del fd00:1::1/64 dev eth1",
    ]
    off = [("ipv6", key, "0") for key in ("accept_ra", "autoconf", "forwarding", "proxy_ndp")]
    assert written == [("forwarding", "0"), ("arp_ignore", "8"), *off, ("gro", "False")]
    kernel.said.clear()
    written.clear()
    assert ports.give_back(saved, kernel) == []
    assert kernel.said[3:] == [
        "-6 route del blackhole fd00:1::1/128",
        f"-6 address replace {words} dev eth1",
        "-6 route replace fd00:9::/64 via fd00:1::2 metric 1024 pref medium dev eth1",
        "-6 route replace default via fe80::9 proto ra metric 1024 expires 1723 hoplimit 64 pref medium dev eth1",
    ]
    on = [("ipv6", key, "1") for key in ("accept_ra", "autoconf", "forwarding", "proxy_ndp")]
    assert written == [("forwarding", "1"), ("arp_ignore", "0"), *on, ("gro", "True")]


def test_what_an_older_version_saved_is_given_back(written: Written) -> None:
    old = b"""{"pid": 1, "netns": 2, "interfaces": [{"name": "eth1", "ifindex": 7,
        "addresses": [["10.0.1.1/24", "scope", "global"]], "routes": [], "sysctls": {"forwarding": "1"},
        "offloads": {}}]}"""
    saved = msgspec.json.decode(old, type=ports.State).interfaces[0]
    saved = msgspec.structs.replace(saved, offloads={"gro": True})
    kernel = Kernel()
    assert ports.give_back(saved, kernel) == []
    assert kernel.said == ["-4 address replace 10.0.1.1/24 scope global dev eth1"]
    assert written == [("forwarding", "1"), ("gro", "True")]


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
