# SPDX-License-Identifier: Apache-2.0
"""`sennit route`: the ways out of every port."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Iterable, Sequence

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table

COLUMNS = ("destination", "via", "port", "source", "kind")


def rows(ports: Iterable[messages.PortInfo]) -> list[Sequence[str]]:
    """In the order in which they are looked at: IPv4 first, by the length of their prefix, then by port."""
    found: list[tuple[tuple[int, int, int], Sequence[str]]] = []
    for port in ports:
        for version, address, gateway in ((4, port.address, port.gateway), (6, port.address6, port.gateway6)):
            if not address:
                continue
            interface = ipaddress.ip_interface(address)
            ways = [(interface.network, "-", "link")]
            for route in port.routes:
                destination, _, via = route.split()
                ways.append((ipaddress.ip_network(destination), via, "route"))
            source = str(interface.ip)
            for network, via, kind in ways:
                if network.version == version:
                    key = (version, -network.prefixlen, port.index)
                    found.append((key, (str(network), via, port.name, source, kind)))
            if gateway is not None:
                found.append(((version, 1, port.index), ("default", gateway, port.name, source, "gateway")))
    return [row for _, row in sorted(found, key=lambda entry: entry[0])]


class Route(Command):
    help = "show which port and router lead where; a subflow leaves by the port that has its source address"
    examples = "  sennit route\n  sennit route --json\n"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        with Client(options.name) as client:
            found = rows(client.status(0).ports)
        if options.json:
            print_json([dict(zip(COLUMNS, row, strict=True)) for row in found])
        else:
            from sennit.tools import render

            print_table(render.routes(found))
        return 0
