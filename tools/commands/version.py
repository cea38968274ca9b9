# SPDX-License-Identifier: Apache-2.0
"""`sennit version`."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

from sennit.shm import messages
from sennit.tools.commands.base import Command, add_json, print_json


class Version(Command):
    help = "print the version"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_json(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        try:
            number = metadata.version("sennit")
        except metadata.PackageNotFoundError:
            number = "unknown"
        if options.json:
            print_json({"version": number, "protocol": messages.PROTOCOL_VERSION, "python": platform.python_version()})
        else:
            print(f"sennit {number} (control protocol {messages.PROTOCOL_VERSION}, Python {platform.python_version()})")
        return 0
