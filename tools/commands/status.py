# SPDX-License-Identifier: Apache-2.0
"""`sennit status`."""

from __future__ import annotations

import argparse

from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table
from sennit.tools.errors import UsageError


class Status(Command):
    help = "show workers, ports, applications, connections and their subflows"
    examples = "  sennit status\n  sennit status --json | jq '.conns[].subflows[] | {local, srtt_us, cwnd}'\n"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument(
            "--max-conns", type=int, default=64, metavar="N", help="connections shown per worker (default: 64)"
        )

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        if options.max_conns < 0:
            raise UsageError(f"--max-conns {options.max_conns} is negative")
        with Client(options.name) as client:
            shown = client.status(options.max_conns)
        if options.json:
            print_json(shown)
        else:
            from sennit.tools import render

            print_table(render.status(shown, options.max_conns * max(len(shown.workers), 1)))
        return 0
