# SPDX-License-Identifier: Apache-2.0
"""Makes and removes what a laboratory consists of: namespaces, interfaces, addresses, routes. Needs root.

    host a [p1] ── veth ── [l0a] emulator [l0b] ── veth ── [p1] host b

The emulator's ends lie in a namespace of their own, without any address.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from sennit.tools.errors import ToolError
from sennit.tools.netlab_file import End, Host, Lab, Wire

NEEDED = {"ip": "iproute2", "ethtool": "ethtool", "sysctl": "procps"}
OFFLOADS = "tx off rx off tso off gso off gro off txvlan off"
NETNS = Path("/run/netns")
MANY = 64  # arguments of one process


class NetlabError(ToolError):
    """A laboratory cannot be built, reached or removed; one sentence says why."""


def check_host() -> None:
    if os.geteuid() != 0:
        raise NetlabError("network namespaces need root: run it as root")
    lacking = [package for tool, package in NEEDED.items() if shutil.which(tool) is None]
    if lacking:
        raise NetlabError(f"not installed: apt install {' '.join(lacking)}")


def run(*args: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(args, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        what = shlex.join(args) if stdin is None else f"{shlex.join(args)}' of '{_failed_line(said, stdin)}"
        raise NetlabError(f"'{what}' failed: {said}")
    return done.stdout


def _failed_line(said: str, stdin: str) -> str:
    """The line of a batch that `ip` complains about ("Command failed -:3")."""
    number = said.rpartition("-:")[2]
    lines = stdin.splitlines()
    return lines[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(lines) else "..."


def inside(namespace: str, *args: str) -> str:
    return run("ip", "netns", "exec", namespace, *args)


def batch(namespace: str, lines: Sequence[str]) -> None:
    """Many ip(8) commands in one process."""
    if lines:
        run("ip", "-n", namespace, "-batch", "-", stdin="\n".join(lines) + "\n")


def existing(namespaces: Iterable[str]) -> list[str]:
    return [name for name in namespaces if (NETNS / name).exists()]


def port(index: int, side: str) -> str:
    """The emulator's interface of a link."""
    return f"l{index}{side}"


def _ends(lab: Lab) -> list[tuple[int, str, Wire, End]]:
    return [(i, side, wire, getattr(wire, side)) for i, wire in enumerate(lab.links) for side in ("a", "b")]


def check(lab: Lab) -> None:
    """Raises NetlabError if it cannot be built here."""
    check_host()
    taken = existing(lab.namespaces)
    if taken:
        raise NetlabError(f"a network namespace '{taken[0]}' exists already, and is not of this laboratory")
    for _, _, wire, end in _ends(lab):
        if not end.host and not Path(f"/sys/class/net/{end.interface}").exists():
            raise NetlabError(f"link '{wire.name}': there is no interface '{end.interface}' here")


def build(lab: Lab) -> None:
    """All or nothing."""
    try:
        _build(lab)
    except BaseException:
        remove(lab.namespaces)
        raise


def _build(lab: Lab) -> None:
    for namespace in lab.namespaces:
        run("ip", "netns", "add", namespace)
    # Before there are interfaces: nothing of the emulator's own may reach a link.
    _sysctl(lab.emulator, {"net.ipv6.conf.default.disable_ipv6": 1, "net.ipv6.conf.all.disable_ipv6": 1})
    for name, host in lab.hosts.items():
        _sysctl(lab.namespace(name), _settings(host))
        _congestion_control(lab.namespace(name), host.congestion_control)
    made = [(i, side, wire, end) for i, side, wire, end in _ends(lab) if end.host]
    for i, side, _, end in made:
        mac = ["address", end.mac] if end.mac else []
        run(
            "ip", "link", "add", end.interface, *mac, "netns", lab.namespace(end.host),
            "type", "veth", "peer", "name", port(i, side), "netns", lab.emulator,
        )  # fmt: skip
    widest = lab.frame - 18
    batch(lab.emulator, [f"link set {port(i, side)} mtu {widest} arp off" for i, side, _, _ in made])
    offload_off(lab.emulator, [port(i, side) for i, side, _, _ in made])
    batch(lab.emulator, [f"link set {port(i, side)} up" for i, side, _, _ in made])
    for name, host in lab.hosts.items():
        own = [(wire, end) for _, _, wire, end in made if end.host == name]
        offload_off(lab.namespace(name), [end.interface for _, end in own])
        lines = ["link set lo up"]
        for wire, end in own:
            lines.append(f"link set {end.interface} mtu {end.mtu or wire.mtu} up")
            lines += [_address(text, end.interface) for text in end.address]
        lines += [f"route add {words}" for words in host.routes]
        batch(lab.namespace(name), lines + list(host.ip))
        if host.mptcp:
            limits = f"mptcp limits set subflow {host.mptcp.subflows} add_addr_accepted {host.mptcp.add_addr_accepted}"
            points = [f"mptcp endpoint add {words}" for words in host.mptcp.endpoints]
            batch(lab.namespace(name), [limits, *points])


def _address(text: str, interface: str) -> str:
    # A link of two needs no duplicate-address detection; the address can be used at once.
    nodad = " nodad" if ipaddress.ip_interface(text).version == 6 else ""
    return f"address add {text} dev {interface}{nodad}"


def _settings(host: Host) -> dict[str, str | int]:
    forward = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1, "net.ipv4.conf.all.send_redirects": 0}
    return {
        "net.ipv4.conf.all.rp_filter": 0,
        "net.ipv4.conf.default.rp_filter": 0,
        "net.ipv6.conf.default.accept_dad": 0,
        "net.ipv4.tcp_no_metrics_save": 1,
        **(forward if host.forward else {}),
        **host.sysctl,
    }


def _sysctl(namespace: str, values: dict[str, str | int]) -> None:
    inside(namespace, "sysctl", "-q", "-w", *(f"{key}={value}" for key, value in values.items()))


def _congestion_control(namespace: str, names: Sequence[str]) -> None:
    """A namespace may choose what net.ipv4.tcp_allowed_congestion_control of the machine lists."""
    for name in names:
        with contextlib.suppress(NetlabError):
            _sysctl(namespace, {"net.ipv4.tcp_congestion_control": name})
            return
    if names:
        raise NetlabError(f"a namespace may not choose {' or '.join(names)} here (tcp_allowed_congestion_control)")


def offload_off(namespace: str, interfaces: Sequence[str]) -> None:
    """Frames come as they are on a wire: not larger than the MTU, checksums in place, VLAN tags inside."""
    script = f'for i do ethtool -K "$i" {OFFLOADS} || exit 1; done'
    for at in range(0, len(interfaces), MANY):
        inside(namespace, "sh", "-c", script, "sh", *interfaces[at : at + MANY])


def _pids(namespace: str) -> list[int]:
    return [int(number) for number in run("ip", "netns", "pids", namespace, check=False).split()]


def remove(namespaces: Iterable[str], patience: float = 1.0) -> None:
    """Ends what runs inside and removes the namespaces; their interfaces go with them."""
    here = existing(namespaces)
    deadline = time.monotonic() + patience
    number = signal.SIGTERM
    while pids := [pid for name in here for pid in _pids(name)]:
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if time.monotonic() > deadline + 5 * patience:
            break
        time.sleep(0.02)
    for name in here:
        run("ip", "netns", "delete", name, check=False)
