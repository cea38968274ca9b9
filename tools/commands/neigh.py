# SPDX-License-Identifier: Apache-2.0
"""`sennit neigh`, with the words of `ip neigh`."""

from __future__ import annotations

import argparse

from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table
from sennit.tools.errors import UsageError


class Neigh(Command):
    help = "show and forget the neighbours that were resolved (ARP, IPv6 neighbour discovery)"
    examples = (
        "  sennit neigh show\n"
        "  sennit neigh flush              all of them: they are asked again when they are needed\n"
        "  sennit neigh flush 10.0.1.2\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument(
            "action", nargs="?", default="show", choices=("show", "flush"), metavar="show|flush"
        )
        parser.add_argument("words", nargs="*", metavar="ADDRESS", help="flush: only this one")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        words: list[str] = options.words
        if len(words) > (options.action == "flush"):
            raise UsageError(f"`neigh {options.action}` does not take '{words[-1]}'")
        with Client(options.name) as client:
            if options.action == "flush":
                known = client.flush_neighbours(*words)
            else:
                known = client.neighbours()
            ports = client.status(0).ports if options.action == "show" and not options.json else ()
        if options.json:
            print_json(known)
        elif options.action == "show":
            from sennit.tools import render

            print_table(render.neighbours(known, ports))
        return 0
