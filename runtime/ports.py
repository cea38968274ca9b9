# SPDX-License-Identifier: Apache-2.0
"""Linux interfaces: what the kernel knows about them, taking them over, giving them back.

While an instance runs on an interface, the kernel does not use its addresses, one of IPv4 and one of IPv6: otherwise
both would answer. What was there
is written to the state file before anything is changed, so that it can be restored by this process, or by the next
start or `sennit down` if this process was killed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from sennit.runtime import routes
from sennit.runtime.config import IPV6_MTU_MIN, MTU_MAX, MTU_MIN, Port
from sennit.runtime.errors import StartError

OFFLOADS = ("gro", "lro")
SYSCTLS = {"forwarding": "0", "arp_ignore": "8"}  # neither route nor answer for what is ours now
SYSCTLS6 = {"accept_ra": "0", "autoconf": "0", "forwarding": "0", "proxy_ndp": "0"}
FOREVER = 0xFFFFFFFF  # of an address's lifetimes
SETTLE_S = 3.0  # how long the kernel may take to find out whether an IPv6 address is a duplicate

Ip = Callable[..., str]


class Taken(msgspec.Struct, frozen=True):
    """A port as the runtime will use it."""

    name: str
    pci: bool
    ifindex: int
    address: str  # "10.0.1.1/24"; "": no IPv4
    gateway: str | None
    mtu: int
    address6: str = ""  # "fd00:1::1/64"; "": no IPv6
    gateway6: str | None = None
    vlan: int = 0
    routes: tuple[str, ...] = ()  # "10.9.0.0/16 via 10.0.1.2"
    routes6: tuple[str, ...] = ()
    # Families (True: IPv6) whose address the kernel does not use on this interface: others may have it.
    probed: tuple[bool, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of both families, with prefix, IPv4 first."""
        return tuple(address for address in (self.address, self.address6) if address)


class Saved(msgspec.Struct, frozen=True):
    """What an interface looked like."""

    name: str
    ifindex: int
    addresses: tuple[tuple[str, ...], ...]  # arguments of `ip address replace`
    routes: tuple[tuple[str, ...], ...]  # arguments of `ip route replace`
    sysctls: dict[str, str]
    offloads: dict[str, bool]
    # The same of IPv6; empty if no IPv6 address was taken.
    addresses6: tuple[tuple[str, ...], ...] = ()
    routes6: tuple[tuple[str, ...], ...] = ()
    sysctls6: dict[str, str] = {}
    blackhole6: str = ""  # destination of a route that keeps the kernel from forwarding what is ours


class State(msgspec.Struct, frozen=True):
    """The state file."""

    pid: int
    netns: int  # inode of the network namespace
    interfaces: tuple[Saved, ...]
    eal_dir: str = ""


def ip(*args: str) -> str:
    """Output of ip(8). StartError with its words."""
    try:
        done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StartError("the program 'ip' is missing: install the package iproute2") from None
    if done.returncode:
        raise StartError(f"'ip {' '.join(args)}' failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def netns() -> int:
    return Path("/proc/self/ns/net").stat().st_ino


def _json(text: str) -> list[dict[str, Any]]:
    data = json.loads(text or "[]")
    return [entry for entry in data if entry]  # `ip -j` shows filtered entries as {}


# ------------------------------------------------------------------------------------------------------------- reading


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != "lo"]


def read(port: Port, run: Ip = ip) -> Taken:
    """What a port will be, from the configuration and the kernel's interface."""
    if port.pci:
        return read_pci(port)
    try:
        ifindex = socket.if_nametoindex(port.name)
    except OSError:
        known = ", ".join(interfaces()) or "none"
        raise StartError(f"there is no interface {port.name} here: this network namespace has {known}") from None
    link = _json(run("-j", "-d", "link", "show", "dev", port.name))[0]
    if link.get("link_type") != "ether":
        raise StartError(f"{port.name} is not an Ethernet interface but '{link.get('link_type')}': choose another port")
    if "UP" not in link.get("flags", ()):
        raise StartError(f"interface {port.name} is down: run 'ip link set {port.name} up'")
    mtu = port.mtu or int(link["mtu"])
    if mtu > int(link["mtu"]):
        raise StartError(f"port {port.name}: mtu {mtu} is more than the interface has ({link['mtu']})")
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise StartError(
            f"interface {port.name} has an MTU of {mtu}, {MTU_MIN} to {MTU_MAX} are possible: run 'ip link set "
            f"{port.name} mtu {MTU_MAX if mtu > MTU_MAX else 1500}', or give the port one with mtu = ..."
        )
    if port.vlan:
        _check_vlan(port, run)
    own = not port.vlan  # what the interface has itself belongs to no VLAN
    address = port.address or (read_address(port.name, run) if own else "")
    address6 = port.address6 or (read_address6(port.name, run) if own and port.ipv6 else "")
    if not address and not address6:
        raise StartError(
            f"interface {port.name} has no IPv4 address and no global IPv6 address: run "
            f"'ip address add 10.0.0.1/24 dev {port.name}', with yours"
        )
    if address6 and mtu < IPV6_MTU_MIN:
        raise StartError(
            f"port {port.name}: mtu {mtu} is too small for {address6}, IPv6 needs {IPV6_MTU_MIN}: raise it, or set "
            "ipv6 = false"
        )
    gateway = port.gateway or (read_gateway(port.name, run) if own and address else None)
    gateway6 = port.gateway6 or (read_gateway(port.name, run, "-6") if own and address6 else None)
    return Taken(
        port.name, False, ifindex, address, _on_link(port.name, address, gateway), mtu,
        address6, _on_link(port.name, address6, gateway6), port.vlan, _routes_of(port, 4, address, run),
        _routes_of(port, 6, address6, run), _probed(port, run),
    )  # fmt: skip


def _check_vlan(port: Port, run: Ip) -> None:
    """Frames of the VLAN are taken by one of us: by the kernel's interface for it, or by a port on the one below."""
    for link in _json(run("-j", "-d", "link", "show", "type", "vlan")):
        info = link.get("linkinfo", {}).get("info_data", {})
        if link.get("link") == port.name and info.get("protocol") == "802.1Q" and info.get("id") == port.vlan:
            name = link["ifname"]
            raise StartError(
                f"port {port.name}: Linux has VLAN {port.vlan} of it as {name}: name {name} as the port, without vlan, "
                f"or run 'ip link del {name}'"
            )


def _routes_of(port: Port, version: int, address: str, run: Ip) -> tuple[str, ...]:
    """Those that are given stand for the kernel's."""
    if port.routes is not None or port.pci or port.vlan:
        return routes.on_link(port.name, address, routes.of_family(port.routes or (), version))
    return routes.read(port.name, address, run) if address else ()


def _probed(port: Port, run: Ip) -> tuple[bool, ...]:
    """An address that is on the interface was there before us; of IPv6 the kernel has probed it."""
    given = [(False, "-4", port.address), (True, "-6", port.address6)]
    return tuple(
        six
        for six, family, text in given
        if text is not None
        and (port.pci or _bare(text) not in (info["local"] for info in _addr_infos(port.name, run, family)))
    )


def read_pci(port: Port) -> Taken:
    name = port.name if port.name.count(":") == 2 else f"0000:{port.name}"
    device = Path("/sys/bus/pci/devices") / name.lower()
    if not device.exists():
        raise StartError(f"there is no PCI device {name} in this machine: see 'lspci -D'")
    driver = (device / "driver").resolve().name if (device / "driver").exists() else "none"
    if driver not in ("vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core", "mlx4_core"):
        raise StartError(
            f"PCI device {name} is bound to driver '{driver}': bind it with 'dpdk-devbind.py -b vfio-pci {name}'"
        )
    address, address6 = port.address or "", port.address6 or ""
    return Taken(
        name.lower(), True, 0, address, _on_link(name, address, port.gateway), port.mtu or 1500,
        address6, _on_link(name, address6, port.gateway6), port.vlan, _routes_of(port, 4, address, ip),
        _routes_of(port, 6, address6, ip), _probed(port, ip),
    )  # fmt: skip


def read_address(name: str, run: Ip = ip) -> str:
    """The first global IPv4 address; "": none."""
    for info in _addr_infos(name, run, "-4"):
        return f"{info['local']}/{info['prefixlen']}"
    return ""


def read_address6(name: str, run: Ip = ip, settle_s: float = SETTLE_S) -> str:
    """The first global IPv6 address that is there to stay; "": none. Waits for one that is being checked."""
    deadline = time.monotonic() + settle_s
    while True:
        checked = False
        for info in _addr_infos(name, run, "-6"):
            if any(info.get(flag) for flag in ("temporary", "deprecated", "dadfailed")):
                continue
            if not info.get("tentative"):
                return f"{info['local']}/{info['prefixlen']}"
            checked = True
        if not checked or time.monotonic() >= deadline:
            return ""
        time.sleep(0.1)


def _addr_infos(name: str, run: Ip, family: str) -> Iterable[dict[str, Any]]:
    for entry in _json(run("-j", family, "address", "show", "dev", name, "scope", "global")):
        for info in entry.get("addr_info", ()):
            if info.get("family") == ("inet6" if family == "-6" else "inet"):
                yield info


def read_gateway(name: str, run: Ip = ip, family: str = "-4") -> str | None:
    for route in _json(run("-j", family, "route", "show", "default", "dev", name)):
        if "gateway" in route:
            return str(route["gateway"])
    return None


def _on_link(name: str, address: str, gateway: str | None) -> str | None:
    """A gateway of IPv6 may be known by its address of the link alone."""
    if gateway is None:
        return None
    if not address:
        raise StartError(f"port {name}: gateway {gateway} is given, but there is no address of its kind: leave it out")
    ip = ipaddress.ip_address(gateway)
    if ip not in ipaddress.ip_interface(address).network and not (ip.version == 6 and ip.is_link_local):
        raise StartError(f"port {name}: gateway {gateway} is not in the network of {address}")
    return gateway


# ------------------------------------------------------------------------------------------- taking over, giving back


def save(port: Taken, run: Ip = ip) -> Saved:
    """Of an interface below a VLAN of ours nothing but offloads changes: the kernel goes on using it untagged."""
    if port.vlan:
        return Saved(port.name, port.ifindex, (), (), {}, _offloads(port.name))
    addresses: list[tuple[str, ...]] = []
    for entry in _json(run("-j", "-4", "address", "show", "dev", port.name)):
        for info in entry.get("addr_info", ()):
            words = [f"{info['local']}/{info['prefixlen']}"]
            if "broadcast" in info:
                words += ["broadcast", info["broadcast"]]
            if info.get("label") and info["label"] != port.name:
                words += ["label", info["label"]]
            addresses.append((*words, "scope", info.get("scope", "global")))
    return Saved(
        name=port.name,
        ifindex=port.ifindex,
        addresses=tuple(addresses),
        routes=tuple(_routes(run("-4", "route", "show", "table", "all", "dev", port.name))),
        sysctls={key: value for key in SYSCTLS if (value := _sysctl(port.name, key)) is not None},
        offloads=_offloads(port.name),
        **(_save6(port, run) if port.address6 else {}),
    )


def _save6(port: Taken, run: Ip) -> dict[str, Any]:
    """Of addresses the one that is taken: the others stay as they are."""
    bare = _bare(port.address6)
    addresses: list[tuple[str, ...]] = []
    for info in _addr_infos(port.name, run, "-6"):
        if info["local"] != bare:
            continue
        words = [f"{info['local']}/{info['prefixlen']}", "scope", "global", "nodad"]
        if info.get("noprefixroute"):
            words.append("noprefixroute")
        valid = info.get("valid_life_time", FOREVER)
        if valid != FOREVER:
            words += ["valid_lft", str(valid), "preferred_lft", str(min(info.get("preferred_life_time", valid), valid))]
        addresses.append(tuple(words))
    return {
        "addresses6": tuple(addresses),
        "routes6": tuple(_routes(run("-6", "route", "show", "table", "all", "dev", port.name))),
        "sysctls6": {key: value for key in SYSCTLS6 if (value := _sysctl(port.name, key, "ipv6")) is not None},
        # Whether the kernel forwards IPv6 is not a matter of the interface.
        "blackhole6": f"{bare}/128" if _sysctl("all", "forwarding", "ipv6") == "1" else "",
    }


def _bare(address: str) -> str:
    """ "10.0.1.1/24" -> "10.0.1.1", "FD00:1:0::1/64" -> "fd00:1::1"."""
    return str(ipaddress.ip_interface(address).ip) if address else ""


def _routes(text: str) -> Iterable[tuple[str, ...]]:
    """Lines of `ip route show`, fit for `ip route replace`; what the kernel makes by itself is left out."""
    for line in text.splitlines():
        words = [w for w in line.split() if w not in ("linkdown", "dead", "offload", "notify")]
        if "expires" in words:  # "expires 1723sec": a route that a router told the kernel of
            after = words.index("expires") + 1
            words[after] = words[after].removesuffix("sec")
        if words and not ("proto" in words and words[words.index("proto") + 1] == "kernel"):
            yield tuple(words)


def take_over(port: Taken, saved: Saved, run: Ip = ip) -> None:
    """The kernel stops using the port's address. `saved` must be on disk before."""
    for key, value in SYSCTLS.items():
        if key in saved.sysctls:
            _set_sysctl(port.name, key, value)
    for words in saved.addresses:
        if words[0].split("/")[0] == _bare(port.address):
            run("-4", "address", "del", words[0], "dev", port.name)
    # Before the address goes: else the kernel could make it again, or answer for it.
    for key, value in SYSCTLS6.items():
        if key in saved.sysctls6:
            _set_sysctl(port.name, key, value, "ipv6")
    if saved.blackhole6:
        run("-6", "route", "replace", "blackhole", saved.blackhole6)
    for words in saved.addresses6:
        run("-6", "address", "del", words[0], "dev", port.name)
    _set_offloads(port.name, dict.fromkeys(saved.offloads, False))


def give_back(saved: Saved, run: Ip = ip) -> list[str]:
    """Everything as it was; what did not work, in words. An interface that is gone needs nothing."""
    try:
        if socket.if_nametoindex(saved.name) != saved.ifindex:
            return []
    except OSError:
        return []
    failed: list[str] = []
    for words in saved.addresses:
        _attempt(failed, run, "-4", "address", "replace", *words, "dev", saved.name)
    for words in saved.routes:
        _attempt(failed, run, "-4", "route", "replace", *words, "dev", saved.name)
    if saved.blackhole6:
        _attempt(failed, run, "-6", "route", "del", "blackhole", saved.blackhole6)
    for words in saved.addresses6:
        _attempt(failed, run, "-6", "address", "replace", *words, "dev", saved.name)
    for words in saved.routes6:
        _attempt(failed, run, "-6", "route", "replace", *words, "dev", saved.name)
    for net, sysctls in (("ipv4", saved.sysctls), ("ipv6", saved.sysctls6)):
        for key, value in sysctls.items():
            try:
                _set_sysctl(saved.name, key, value, net)
            except OSError as error:
                failed.append(f"{saved.name}: {key} was not restored: {error.strerror}")
    _set_offloads(saved.name, saved.offloads)
    return failed


def _attempt(failed: list[str], run: Ip, *args: str) -> None:
    try:
        run(*args)
    except StartError as error:
        failed.append(str(error))


def _sysctl_path(name: str, key: str, net: str) -> Path:
    return Path("/proc/sys/net") / net / "conf" / name / key


def _sysctl(name: str, key: str, net: str = "ipv4") -> str | None:
    try:
        return _sysctl_path(name, key, net).read_text().strip()
    except OSError:
        return None


def _set_sysctl(name: str, key: str, value: str, net: str = "ipv4") -> None:
    if _sysctl(name, key, net) != value:
        _sysctl_path(name, key, net).write_text(value)


# -------------------------------------------------------------------------------------------------------------- ethtool
# A packet socket shows frames as the driver handed them up: aggregated ones would be longer than its ring's frames.


def _offloads(name: str) -> dict[str, bool]:
    """Those that are known; only what the driver answers for."""
    from sennit.shm.native import lib

    asked = {what: lib.sn_link_offload(name.encode(), what.encode(), -1) for what in OFFLOADS}
    return {what: bool(answer) for what, answer in asked.items() if answer >= 0}


def _set_offloads(name: str, wanted: dict[str, bool]) -> None:
    from sennit.shm.native import lib

    for what, on in wanted.items():
        if lib.sn_link_offload(name.encode(), what.encode(), -1) not in (int(on), -1):
            lib.sn_link_offload(name.encode(), what.encode(), int(on))
