# SPDX-License-Identifier: Apache-2.0
"""`sennit down`."""

from __future__ import annotations

import argparse

from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance
from sennit.tools.errors import UsageError


class Down(Command):
    help = "stop a running instance: connections close, then everything it made is removed"
    examples = "  sennit down\n  sennit down --name lab --grace 0    do not wait for connections to close\n"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        parser.add_argument(
            "--grace", type=float, default=5.0, metavar="SECONDS", help="how long connections may take (default: 5)"
        )

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        if not 0 <= options.grace <= 3600:
            raise UsageError(f"--grace {options.grace:g} is outside 0-3600")
        with Client(options.name) as client:
            client.shutdown(options.grace)
            print(f"instance '{client.instance}' has stopped")
        return 0
