# SPDX-License-Identifier: Apache-2.0
"""Configuration of an instance: the command line over a TOML file over defaults.

    name = "default"
    lcores = "0-1"                      # or coremask = "0x3"
    ports = ["eth1", "0000:01:00.0"]    # or [[ports]] tables with name, address, gateway, address6, gateway6, mtu,
                                        # vlan, ipv6; or "eth1,vlan=5,address=10.0.5.1/24": the same words but ipv6
    ports = ["eth1", "0000:01:00.0"]    # or [[ports]] tables with name, address, gateway, address6, gateway6, mtu,
                                        # ipv6, routes = ["10.9.0.0/16 via 10.0.1.2"]
    ipv6 = true                         # false: IPv6 addresses of interfaces stay with the kernel
    poll = "adaptive"                   # or "busy"

    [limits]                            # of the path manager
    subflows = 8
    add_addr_accepted = 8
    ndiffports = 1                      # subflows over the first pair of addresses

    [[endpoints]]
    id = 1
    address = "10.0.2.1"
    flags = ["subflow"]

`load()` is what the command line calls; everything in a `Config` has been checked.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from sennit.runtime import routes
from sennit.runtime.errors import ConfigError
from sennit.shm import control_client, messages

MAX_PORTS = 16
MAX_WORKERS = 64
MAX_QUEUES_AF_PACKET = 16
MAX_CORE = 1023
IPV6_MTU_MIN = 1280  # RFC 8200 5
MTU_MIN = 576
MTU_MAX = 9600
VLAN_MAX = 4094
PORT_WORDS = ("address", "gateway", "address6", "gateway6", "mtu", "vlan")
PORT_RANGE = 32768  # local ports for connections that we open: the upper half

_PCI = re.compile(r"(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")
_INTERFACE = re.compile(r"[^\s/,=]{1,15}")


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Linux interface by name, or a PCI address. What is not given is read from an interface: one IPv4 and one IPv6
    address, of which either may be missing, gateways, routes over other routers, and the MTU."""

    name: str
    address: str | None = None  # IPv4
    gateway: str | None = None
    mtu: int | None = None
    address6: str | None = None
    gateway6: str | None = None
    ipv6: bool = True  # false: an IPv6 address of the interface stays with the kernel
    vlan: int = 0  # frames bear its tag; 0: none. Addresses are not read from the interface then: they are of no VLAN
    routes: tuple[str, ...] | None = None  # of both families; None: the kernel's

    @property
    def pci(self) -> bool:
        return _PCI.fullmatch(self.name) is not None


class Engine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the protocol engine; limits are per worker. 0 or empty: the engine's default."""

    congestion_control: Literal["", "cubic", "newreno", "bbr", "dctcp"] = ""
    scheduler: Literal["default", "minrtt", "round-robin"] = "default"
    tcp: Literal["", "native"] = ""
    checksum: bool = False
    no_join: bool = False  # peers may join announced addresses and ports only (C flag of MP_CAPABLE)
    max_connections: int = 0
    max_subflows: int = 0  # 0: two per connection
    max_segments: int = 0
    max_chunks: int = 0
    max_listeners: int = 0
    receive_buffer: int = 0  # bytes per connection
    rto_min_ms: float = 0
    time_wait_s: float = 0  # how long a closed flow's record answers for it
    fin_wait_s: float = 0  # how long a closed plain TCP flow waits for the peer's FIN
    max_orphans: int = 0  # closed plain TCP flows that are not through yet
    syn_cookies: Literal["", "off", "auto", "always"] = ""  # default: auto, when handshakes use up their share


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instance."""

    name: str = control_client.DEFAULT_INSTANCE
    lcores: str = "0"
    coremask: str | None = None
    ports: tuple[Port | str, ...] = ()
    ipv6: bool = True  # of all ports
    poll: Literal["adaptive", "busy"] = "adaptive"
    spin_us: int = 50  # adaptive: go on polling this long after work
    buffers: int = 16384  # packet buffers per worker
    hugepages: bool = False
    memory_mb: int = 0  # 0: as much as the buffers need
    grace_s: float = 5.0  # how long connections may take to close at the end
    group: str | None = None  # members may use the control socket
    allow_uid: tuple[int, ...] = ()
    limits: messages.Limits = messages.Limits()
    endpoints: tuple[messages.Endpoint, ...] = ()
    path_manager: str = ""  # module:Class or file.py:Class; empty: as the kernel does
    engine: Engine = Engine()

    @property
    def cores(self) -> tuple[int, ...]:
        """One worker each, in rising order."""
        return parse_coremask(self.coremask) if self.coremask else parse_lcores(self.lcores)

    @property
    def port_list(self) -> tuple[Port, ...]:
        ports = (parse_port(p) if isinstance(p, str) else p for p in self.ports)
        return tuple(p if self.ipv6 else msgspec.structs.replace(p, ipv6=False) for p in ports)

    @property
    def block_ports(self) -> int:
        """Local ports of each worker: the largest power of two of which every worker gets one."""
        return int(PORT_RANGE >> (len(self.cores) - 1).bit_length())


# ------------------------------------------------------------------------------------------------------------- parsing


def parse_lcores(text: str) -> tuple[int, ...]:
    """ "0,2-3" -> (0, 2, 3)."""
    cores: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > MAX_CORE:
            raise ConfigError(f"lcores '{text}' is not a list of cores: write it like 0,2-3")
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


def parse_coremask(text: str) -> tuple[int, ...]:
    """ "0x5" -> (0, 2)."""
    if not re.fullmatch(r"\s*(0[xX])?[0-9a-fA-F]{1,256}\s*", text) or int(text, 16) == 0:
        raise ConfigError(f"coremask '{text}' is not a hexadecimal number with at least one bit: write it like 0x3")
    mask = int(text, 16)
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


def parse_port(text: str) -> Port:
    """ "eth1", "eth1,vlan=5,address=10.0.5.1/24"."""
    name, *words = text.split(",")
    given: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in PORT_WORDS or not value:
            raise ConfigError(f"port {name}: '{word}' is not one of {'=, '.join(PORT_WORDS)}= with a value")
        if key in given:
            raise ConfigError(f"port {name}: {key} is given twice")
        if key in ("mtu", "vlan") and not value.isdecimal():
            raise ConfigError(f"port {name}: {key} '{value}' is not a number")
        given[key] = int(value) if key in ("mtu", "vlan") else value
    return Port(name, **given)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"configuration {path} cannot be read: {error.strerror}") from None
    try:
        data = msgspec.toml.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path} is not valid TOML: {error}") from None
    assert isinstance(data, dict)
    return data


def load(path: str | os.PathLike[str] | None = None, **given: Any) -> Config:
    """From a TOML file (if any) and what the command line says; None means: not said. Raises ConfigError."""
    data = _read(Path(path)) if path is not None else {}
    for key, value in given.items():
        if value is None:
            continue
        if key in ("lcores", "coremask"):
            data.pop("lcores", None)
            data.pop("coremask", None)
        data[key] = value
    if given.get("lcores") is not None and given.get("coremask") is not None:
        raise ConfigError("both lcores and coremask are given: one of them says which cores to use")
    if given.get("name") is None and "name" not in data:
        data["name"] = os.environ.get("SENNIT_INSTANCE") or control_client.DEFAULT_INSTANCE
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        where = f"configuration {path}" if path is not None else "the command line"
        raise ConfigError(f"{where}: {_plain(str(error))}") from None
    check(config)
    return config


_HINTS = {
    "poll": "adaptive or busy",
    "lcores": 'text like "0-1"',
    "coremask": 'text like "0x3"',
    "engine.scheduler": "default, minrtt or round-robin",
    "engine.congestion_control": "cubic, newreno, bbr or dctcp",
    "engine.tcp": "native",
    "engine.syn_cookies": "off, auto or always",
}


def _plain(text: str) -> str:
    """msgspec's words without its notation of paths, with what would be right."""
    match = re.fullmatch(r"(.*) - at `\$\.?(.*)`", text)
    if not match or not match[2]:
        return text.replace(" - at `$`", "")
    hint = _HINTS.get(match[2])
    return f"{match[2]}: {match[1]}{f'; it must be {hint}' if hint else ''}"


# ------------------------------------------------------------------------------------------------------------ checking


def check(config: Config) -> None:
    """Everything that can be told without looking at the machine."""
    try:
        control_client.instance_name(config.name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", config.name):
        raise ConfigError(f"'{config.name}' is not an instance name: use letters, digits, dot, dash and underscore")
    ports = config.port_list
    workers = len(config.cores)
    if not ports:
        raise ConfigError("no port is given: name at least one interface or PCI address with --port")
    if len(ports) > MAX_PORTS:
        raise ConfigError(f"{len(ports)} ports are given, {MAX_PORTS} are possible")
    if workers > MAX_WORKERS:
        raise ConfigError(f"{workers} lcores are given, {MAX_WORKERS} are possible")
    if workers > MAX_QUEUES_AF_PACKET and not all(p.pci for p in ports):
        raise ConfigError(
            f"{workers} lcores are given, but a port on a Linux interface has at most {MAX_QUEUES_AF_PACKET} queues"
        )
    for name in {p.name for p in ports}:
        if sum(p.name == name for p in ports) > 1:
            raise ConfigError(f"port {name} is given twice")
    for port in ports:
        _check_port(port)
    for what, value, low, high in (
        ("buffers", config.buffers, 1024, 1 << 22),
        ("spin_us", config.spin_us, 0, 1_000_000),
        ("grace_s", config.grace_s, 0, 3600),
        ("memory_mb", config.memory_mb, 0, 1 << 20),
        ("engine.receive_buffer", config.engine.receive_buffer or 65536, 65536, 1 << 30),
        ("engine.rto_min_ms", config.engine.rto_min_ms, 0, 60_000),
        ("engine.time_wait_s", config.engine.time_wait_s, 0, 600),
        ("engine.fin_wait_s", config.engine.fin_wait_s, 0, 600),
        ("engine.max_orphans", config.engine.max_orphans, 0, 1 << 23),
        ("engine.max_connections", config.engine.max_connections, 0, 1 << 20),
        ("engine.max_subflows", config.engine.max_subflows, 0, 1 << 23),
        ("engine.max_segments", config.engine.max_segments, 0, 1 << 24),
        ("engine.max_chunks", config.engine.max_chunks, 0, 1 << 24),
        ("engine.max_listeners", config.engine.max_listeners, 0, 1 << 20),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{what} is {value:g}: it must lie between {low} and {high}")


def _check_port(port: Port) -> None:
    if not port.pci and not _INTERFACE.fullmatch(port.name):
        raise ConfigError(f"'{port.name}' is neither the name of an interface nor a PCI address like 0000:01:00.0")
    if port.pci and port.address is None and port.address6 is None:
        raise ConfigError(
            f"port {port.name} is a PCI device without an address: give one in the TOML file, like "
            'address = "10.0.0.1/24"'
        )
    if not 0 <= port.vlan <= VLAN_MAX:
        raise ConfigError(f"port {port.name}: vlan {port.vlan} must lie between 1 and {VLAN_MAX}, or be left out")
    if port.vlan and port.address is None and port.address6 is None:
        raise ConfigError(
            f"port {port.name}: vlan {port.vlan} needs an address, like address = \"10.0.0.1/24\": those of the "
            "interface are of no VLAN. If Linux has an interface for the VLAN, name that one as the port, without vlan"
        )
    if not port.ipv6 and (port.address6 is not None or port.gateway6 is not None):
        raise ConfigError(f"port {port.name}: address6 or gateway6 is given, but ipv6 = false: leave one of them out")
    _check_address(port.name, "address", port.address, 4)
    _check_address(port.name, "address6", port.address6, 6)
    _check_gateway(port.name, "gateway", port.gateway, 4)
    _check_gateway(port.name, "gateway6", port.gateway6, 6)
    routes.check(port.name, port.routes or ())
    if port.pci and port.gateway is not None and port.address is None:
        raise ConfigError(f"port {port.name}: gateway is given without an IPv4 address: leave it out")
    if port.pci and port.gateway6 is not None and port.address6 is None:
        raise ConfigError(f"port {port.name}: gateway6 is given without address6: leave it out")
    if port.address6 is not None and port.mtu is not None and port.mtu < IPV6_MTU_MIN:
        raise ConfigError(f"port {port.name}: mtu {port.mtu} is too small for IPv6, which needs {IPV6_MTU_MIN}")
    if port.mtu is not None and not MTU_MIN <= port.mtu <= MTU_MAX:
        raise ConfigError(f"port {port.name}: mtu {port.mtu} must lie between {MTU_MIN} and {MTU_MAX}")


def _check_address(name: str, key: str, text: str | None, version: int) -> None:
    if text is None:
        return
    like = "10.0.0.1/24" if version == 4 else "fd00::1/64"
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        interface = None
    if interface is None or interface.version != version:
        raise ConfigError(f"port {name}: {key} '{text}' is not IPv{version} like {like}")
    if "/" not in text or interface.network.prefixlen == 0:
        raise ConfigError(f"port {name}: {key} '{text}' needs a prefix length, like {like}")
    if isinstance(interface, ipaddress.IPv6Interface) and not global6(interface.ip):
        raise ConfigError(f"port {name}: {key} '{text}' is not a global address: the kernel keeps those of one link")


def _check_gateway(name: str, key: str, text: str | None, version: int) -> None:
    if text is None:
        return
    try:
        gateway = ipaddress.ip_address(text)
    except ValueError:
        gateway = None
    if gateway is None or gateway.version != version or "%" in text:
        raise ConfigError(f"port {name}: {key} '{text}' is not an IPv{version} address")


def global6(ip: ipaddress.IPv6Address) -> bool:
    """What a port can have: an address that means the same on every link, and is not IPv4 in disguise."""
    narrow = ip.is_link_local or ip.is_multicast or ip.is_loopback or ip.is_unspecified
    return not (narrow or ip.ipv4_mapped or ip.scope_id)


def names(ports: Sequence[Port]) -> str:
    return ", ".join(p.name for p in ports)
