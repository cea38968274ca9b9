# SPDX-License-Identifier: Apache-2.0
"""`sennit version`."""

from __future__ import annotations

import argparse
import platform

from sennit import __version__
from sennit.shm import messages
from sennit.tools.commands.base import Command, add_json, print_json


class Version(Command):
    help = "print the version"

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_json(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        protocol, python = messages.PROTOCOL_VERSION, platform.python_version()
        if options.json:
            print_json({"version": __version__, "protocol": protocol, "python": python})
        else:
            print(f"sennit {__version__} (control protocol {protocol}, Python {python})")
        return 0
