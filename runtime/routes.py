# SPDX-License-Identifier: Apache-2.0
"""Static routes of a port: networks that are reached over a router on the port's link.

    routes = ["10.9.0.0/16 via 10.0.1.2", "fd00:9::/48 via fe80::2"]

A port without such a line in the configuration takes those that the kernel has for the interface in its main table.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Callable, Iterable, Sequence

from sennit.runtime.errors import ConfigError, StartError

log = logging.getLogger("sennit.runtime")

MAX_ROUTES = 16  # SN_ROUTES: of one port and family

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(text: str) -> tuple[Network, Address]:
    """ "10.9.0.0/16 via 10.0.1.2" """
    words = text.split()
    like = "write it like '10.9.0.0/16 via 10.0.1.2'"
    if len(words) != 3 or words[1] != "via":
        raise ConfigError(f"route '{text}' is not a network and a router: {like}")
    try:
        network, via = ipaddress.ip_network(words[0]), ipaddress.ip_address(words[2])
    except ValueError as error:
        raise ConfigError(f"route '{text}': {error}: {like}") from None
    if network.version != via.version:
        raise ConfigError(f"route '{text}': the network and the router are of different families")
    if network.is_multicast or network.network_address.is_loopback or via.is_multicast or via.is_unspecified:
        raise ConfigError(f"route '{text}': neither groups nor loopback addresses have a route")
    return network, via


def of_family(texts: Iterable[str], version: int) -> tuple[str, ...]:
    """Of one family, in plain form."""
    parsed = (parse(text) for text in texts)
    return tuple(f"{network} via {via}" for network, via in parsed if network.version == version)


def check(port: str, texts: Sequence[str]) -> None:
    """Without looking at the machine. Raises ConfigError."""
    try:
        for version in (4, 6):
            routes = of_family(texts, version)
            if len(routes) > MAX_ROUTES:
                raise ConfigError(f"{len(routes)} routes of IPv{version} are given, {MAX_ROUTES} are possible")
            networks = [route.split()[0] for route in routes]
            twice = next((n for n in networks if networks.count(n) > 1), None)
            if twice is not None:
                raise ConfigError(f"there are two routes to {twice}: leave one out")
    except ConfigError as error:
        raise ConfigError(f"port {port}: {error}") from None


def on_link(port: str, address: str, routes: Sequence[str]) -> tuple[str, ...]:
    """The routes given for one address ("10.0.1.1/24"; "": none). Raises StartError if a router is not on its link."""
    for text in routes:
        _, via = parse(text)
        if not address:
            raise StartError(f"port {port}: route '{text}' is given, but there is no address of its kind: leave it out")
        if not _reaches(address, via):
            raise StartError(f"port {port}: the router of route '{text}' is not in the network of {address}")
    return tuple(routes)


def read(port: str, address: str, run: Callable[..., str]) -> tuple[str, ...]:
    """The kernel's for this interface, over routers on the link of `address`; the narrowest if there are too many."""
    found: dict[Network, str] = {}
    family = "-6" if ":" in address else "-4"
    for entry in json.loads(run("-j", family, "route", "show", "dev", port) or "[]"):
        if not entry or "gateway" not in entry or entry["dst"] == "default":
            continue
        network = ipaddress.ip_network(entry["dst"])
        via = ipaddress.ip_address(entry["gateway"])
        if network.is_multicast or not _reaches(address, via):
            continue
        found.setdefault(network, f"{network} via {via}")  # the kernel lists the one that it prefers first
    narrowest = sorted(found, key=lambda network: -network.prefixlen)
    if len(narrowest) > MAX_ROUTES:
        log.warning(
            "interface %s has %d routes over routers, %d are taken: name those that matter with routes = [...]",
            port, len(narrowest), MAX_ROUTES,
        )  # fmt: skip
    return tuple(found[network] for network in narrowest[:MAX_ROUTES])


def _reaches(address: str, via: Address) -> bool:
    interface = ipaddress.ip_interface(address)
    if isinstance(via, ipaddress.IPv6Address) and via.is_link_local:
        return interface.version == 6
    return via in interface.network and via != interface.ip
