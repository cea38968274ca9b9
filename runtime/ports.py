# SPDX-License-Identifier: Apache-2.0
"""Linux interfaces: what the kernel knows about them, taking them over, giving them back.

While an instance runs on an interface, the kernel does not use its address: otherwise both would answer. What was there
is written to the state file before anything is changed, so that it can be restored by this process, or by the next
start or `sennit down` if this process was killed.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from sennit.runtime.config import Port
from sennit.runtime.errors import StartError

OFFLOADS = ("gro", "lro")
SYSCTLS = {"forwarding": "0", "arp_ignore": "8"}  # neither route nor answer for what is ours now

Ip = Callable[..., str]


class Taken(msgspec.Struct, frozen=True):
    """A port as the runtime will use it."""

    name: str
    pci: bool
    ifindex: int
    address: str  # "10.0.1.1/24"
    gateway: str | None
    mtu: int


class Saved(msgspec.Struct, frozen=True):
    """What an interface looked like."""

    name: str
    ifindex: int
    addresses: tuple[tuple[str, ...], ...]  # arguments of `ip address replace`
    routes: tuple[tuple[str, ...], ...]  # arguments of `ip route replace`
    sysctls: dict[str, str]
    offloads: dict[str, bool]


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
    if not 576 <= mtu <= 9600:
        raise StartError(f"interface {port.name} has an MTU of {mtu}: run 'ip link set {port.name} mtu 1500'")
    address = port.address or read_address(port.name, run)
    gateway = port.gateway or read_gateway(port.name, run)
    return Taken(port.name, False, ifindex, address, _on_link(port.name, address, gateway), mtu)


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
    assert port.address is not None
    return Taken(name.lower(), True, 0, port.address, _on_link(name, port.address, port.gateway), port.mtu or 1500)


def read_address(name: str, run: Ip = ip) -> str:
    """The first global IPv4 address."""
    for entry in _json(run("-j", "-4", "address", "show", "dev", name, "scope", "global")):
        for info in entry.get("addr_info", ()):
            if info.get("family") == "inet":
                return f"{info['local']}/{info['prefixlen']}"
    raise StartError(f"interface {name} has no IPv4 address: run 'ip address add 10.0.0.1/24 dev {name}', with yours")


def read_gateway(name: str, run: Ip = ip) -> str | None:
    for route in _json(run("-j", "-4", "route", "show", "default", "dev", name)):
        if "gateway" in route:
            return str(route["gateway"])
    return None


def _on_link(name: str, address: str, gateway: str | None) -> str | None:
    if gateway is not None and ipaddress.IPv4Address(gateway) not in ipaddress.IPv4Interface(address).network:
        raise StartError(f"port {name}: gateway {gateway} is not in the network of {address}")
    return gateway


# ------------------------------------------------------------------------------------------- taking over, giving back


def save(port: Taken, run: Ip = ip) -> Saved:
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
    )


def _routes(text: str) -> Iterable[tuple[str, ...]]:
    """Lines of `ip route show`, fit for `ip route replace`; what the kernel makes by itself is left out."""
    for line in text.splitlines():
        words = [w for w in line.split() if w not in ("linkdown", "dead", "offload", "notify")]
        if words and not ("proto" in words and words[words.index("proto") + 1] == "kernel"):
            yield tuple(words)


def take_over(port: Taken, saved: Saved, run: Ip = ip) -> None:
    """The kernel stops using the port's address. `saved` must be on disk before."""
    for key, value in SYSCTLS.items():
        if key in saved.sysctls:
            _set_sysctl(port.name, key, value)
    for words in saved.addresses:
        if words[0].split("/")[0] == port.address.split("/")[0]:
            run("-4", "address", "del", words[0], "dev", port.name)
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
    for key, value in saved.sysctls.items():
        try:
            _set_sysctl(saved.name, key, value)
        except OSError as error:
            failed.append(f"{saved.name}: {key} was not restored: {error.strerror}")
    _set_offloads(saved.name, saved.offloads)
    return failed


def _attempt(failed: list[str], run: Ip, *args: str) -> None:
    try:
        run(*args)
    except StartError as error:
        failed.append(str(error))


def _sysctl_path(name: str, key: str) -> Path:
    return Path("/proc/sys/net/ipv4/conf") / name / key


def _sysctl(name: str, key: str) -> str | None:
    try:
        return _sysctl_path(name, key).read_text().strip()
    except OSError:
        return None


def _set_sysctl(name: str, key: str, value: str) -> None:
    if _sysctl(name, key) != value:
        _sysctl_path(name, key).write_text(value)


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
