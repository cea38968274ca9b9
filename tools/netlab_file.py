# SPDX-License-Identifier: Apache-2.0
"""The file that describes a laboratory: hosts (network namespaces) and the links between them. docs/netlab.md"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import msgspec

from sennit.tools import link_spec, sim_driver
from sennit.tools.link_spec import Direction, LinkError, Quantity, Shape
from sennit.tools.sim_scenario import Box

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,23}")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
DEFAULT_MTU = 1500
MAX_LINKS = 1024


class Mptcp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The kernel's path manager in a host; endpoints with the words of `ip mptcp endpoint add`."""

    subflows: int = 8
    add_addr_accepted: int = 8
    endpoints: tuple[str, ...] = ()


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One network namespace."""

    forward: bool = False  # it is a router
    routes: tuple[str, ...] = ()  # words of `ip route add`
    ip: tuple[str, ...] = ()  # any other ip(8) commands, like "rule add from 10.0.1.1 table 101"
    sysctl: dict[str, str | int] = {}
    congestion_control: tuple[str, ...] = ()  # of the kernel's TCP: the first one that a namespace may choose
    mptcp: Mptcp | None = None


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a link ends. Written "host:interface address..." or as a table; without a host: one that exists."""

    interface: str
    host: str = ""
    address: tuple[str, ...] = ()
    mac: str = ""
    mtu: int = 0  # of the interface; 0: the link's

    def __str__(self) -> str:
        return f"{self.host}:{self.interface}"


class Link(Shape, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A link: its ends, and what it does; `ab` and `ba` say what is different in one direction."""

    a: str | End
    b: str | End
    name: str = ""
    ab: Shape = Shape()
    ba: Shape = Shape()
    box: Box = Box()  # a middlebox in front of both directions, as in the simulator's scenarios


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change while the laboratory runs, once or again and again."""

    at: Quantity
    link: str
    set: Shape
    every: Quantity | None = None


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A laboratory as written."""

    link: tuple[Link, ...]
    name: str = ""
    host: dict[str, Host] = {}
    event: tuple[Event, ...] = ()
    buffers: int = 32768  # frames that may wait, in all
    grain: Quantity = "200 us"  # under load the emulator looks so often
    realtime: bool = True
    seed: int = 1


class Wire(msgspec.Struct, frozen=True):
    """A link, complete: ends with all their names, one shape per direction."""

    name: str
    a: End
    b: End
    shape: tuple[Shape, Shape]
    box: Box = Box()

    @property
    def mtu(self) -> int:
        """The larger of the two directions; what the interfaces get."""
        return max(shape.mtu or 0 for shape in self.shape) or DEFAULT_MTU


class Change(msgspec.Struct, frozen=True):
    at_ns: int
    link: int
    shape: Shape
    every_ns: int = 0


class Lab(msgspec.Struct, frozen=True):
    """A laboratory, checked: what cannot be built does not get here."""

    name: str
    hosts: dict[str, Host]
    links: tuple[Wire, ...]
    changes: tuple[Change, ...] = ()
    buffers: int = 32768
    grain_ns: int = 200_000
    realtime: bool = True
    seed: int = 1

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}"

    @property
    def emulator(self) -> str:
        """The namespace of the emulator's own interfaces."""
        return f"{self.name}-netlab"

    @property
    def namespaces(self) -> list[str]:
        return [*(self.namespace(host) for host in self.hosts), self.emulator]

    @property
    def frame(self) -> int:
        """The longest frame: header and VLAN tag included."""
        return max(max(link.mtu, link.a.mtu, link.b.mtu) for link in self.links) + 18

    def link_index(self, name: str) -> int:
        for index, link in enumerate(self.links):
            if link.name == name:
                return index
        raise LinkError(f"there is no link '{name}'; links are: {', '.join(link.name for link in self.links)}")


def _end(text: str | End, link: str) -> End:
    if isinstance(text, End):
        end = text
    else:
        where, *addresses = text.split() or [""]
        host, _, interface = where.partition(":")
        end = End(interface or link, host, tuple(addresses))
    if end.host and not NAME.fullmatch(end.host):
        raise LinkError(f"link '{link}': '{end.host}' is no name of a host")
    if not INTERFACE.fullmatch(end.interface):
        raise LinkError(f"link '{link}': '{end.interface}' is no name of an interface (at most 15 characters)")
    for address in end.address:
        try:
            ipaddress.ip_interface(address)
        except ValueError:
            raise LinkError(f"link '{link}': '{address}' is no address like 10.0.1.1/24") from None
        if not end.host:
            raise LinkError(f"link '{link}': interface '{end.interface}' exists already and keeps its addresses")
        if "/" not in address:
            raise LinkError(f"link '{link}': '{address}' has no prefix length: write it like 10.0.1.1/24")
    if end.mac and not MAC.fullmatch(end.mac):
        raise LinkError(f"link '{link}': '{end.mac}' is no MAC address like 02:00:00:00:00:01")
    if end.mtu and not 68 <= end.mtu <= 65000:
        raise LinkError(f"link '{link}': mtu {end.mtu} is out of range (68 to 65000)")
    return end


def _wire(link: Link, number: int) -> Wire:
    name = link.name or f"link{number}"
    if not NAME.fullmatch(name):
        raise LinkError(f"'{name}' is no name of a link")
    both = Shape(**{field: getattr(link, field) for field in Shape.__struct_fields__})
    shapes = (link_spec.merge(both, link.ab), link_spec.merge(both, link.ba))
    try:
        for shape in shapes:
            link_spec.resolve(shape)
    except LinkError as error:
        raise LinkError(f"link '{name}': {error}") from None
    if link.box.nat:
        raise LinkError(f"link '{name}': only the simulator has this NAT; make a host forward, with nftables")
    return Wire(name, _end(link.a, name), _end(link.b, name), shapes, link.box)


def check(file: File, name: str) -> Lab:
    """Raises LinkError: one sentence that names the thing."""
    name = file.name or name
    if not NAME.fullmatch(name):
        raise LinkError(f"'{name}' is no name of a laboratory: letters, digits, '-' and '_', at most 24; set name = ")
    if not file.link:
        raise LinkError("there is no link: write at least one [[link]] with a and b")
    if len(file.link) > MAX_LINKS:
        raise LinkError(f"{len(file.link)} links are too many: at most {MAX_LINKS}")
    if not 64 < file.buffers <= 1 << 20:
        raise LinkError(f"buffers = {file.buffers} is out of range (65 to {1 << 20})")
    wires = tuple(_wire(link, number) for number, link in enumerate(file.link, 1))
    hosts = dict(file.host)
    seen: set[str] = set()
    for wire in wires:
        for what in (f"link '{wire.name}'", f"interface '{wire.a}'", f"interface '{wire.b}'"):
            if what in seen:
                raise LinkError(f"{what} is there twice")
            seen.add(what)
        for end in (wire.a, wire.b):
            if end.host:
                hosts.setdefault(end.host, Host())
    for host in hosts:
        if not NAME.fullmatch(host) or host == "netlab":
            raise LinkError(f"'{host}' is no name of a host: letters, digits, '-' and '_', and not 'netlab'")
    grain = link_spec.time(file.grain, "grain")
    if grain > 10_000_000:
        raise LinkError(f"grain = '{file.grain}' is longer than 10 ms")
    lab = Lab(
        name, hosts, wires, buffers=file.buffers, grain_ns=grain, realtime=file.realtime, seed=file.seed,
    )  # fmt: skip
    return msgspec.structs.replace(lab, changes=tuple(_change(event, lab) for event in file.event))


def _change(event: Event, lab: Lab) -> Change:
    every = 0 if event.every is None else link_spec.time(event.every, "every")
    if event.every is not None and every < 1_000_000:
        raise LinkError(f"event of link '{event.link}': every = '{event.every}' is shorter than 1 ms")
    index = lab.link_index(event.link)
    for shape in lab.links[index].shape:
        directed(shape, event.set)
    return Change(link_spec.time(event.at, "at"), index, event.set, every)


def directed(base: Shape, over: Shape) -> Direction:
    return link_spec.resolve(link_spec.merge(base, over))


def scenario(lab: Lab, **rest: Any) -> sim_driver.Scenario:
    """The laboratory for the simulator: each link is a path from its `a` (client) to its `b` (server)."""
    if len({link.mtu for link in lab.links}) > 1:
        raise LinkError("the simulator has one MTU for all links")
    sides = [[link_spec.resolve(link.shape[side]) for link in lab.links] for side in (0, 1)]
    down = [(0, i, False) for i, _ in enumerate(lab.links) if not (sides[0][i].up and sides[1][i].up)]
    for change in lab.changes:
        if change.every_ns:
            raise LinkError("the simulator knows no event that happens again and again")
        if msgspec.structs.replace(change.shape, up=None) != Shape() or change.shape.up is None:
            raise LinkError("the simulator knows no event but up = true and up = false")
        down.append((change.at_ns, change.link, change.shape.up))
    return sim_driver.Scenario(
        ab=tuple(link_spec.for_simulator(direction) for direction in sides[0]),
        ba=tuple(link_spec.for_simulator(direction) for direction in sides[1]),
        box=tuple(link.box.native() for link in lab.links),
        event=tuple(sim_driver.Event(at, i, sim_driver.UP if up else sim_driver.DOWN) for at, i, up in sorted(down)),
        mtu=lab.links[0].mtu,
        **{"seed": lab.seed, **rest},
    )


def parse(text: str, name: str) -> Lab:
    """From TOML; `name` is used if the text names none."""
    try:
        return check(msgspec.toml.decode(text, type=File), name)
    except msgspec.ValidationError as error:
        raise LinkError(str(error)) from None
    except msgspec.DecodeError as error:
        raise LinkError(f"not valid TOML: {error}") from None


def load(path: str | Path) -> Lab:
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise LinkError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LinkError(f"{path} is no text file") from None
    try:
        return parse(text, path.stem)
    except LinkError as error:
        raise LinkError(f"{path}: {error}") from None
