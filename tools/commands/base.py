# SPDX-License-Identifier: Apache-2.0
"""What every sub-command is, and the options several of them share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sennit.tools.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class Command:
    """One sub-command: its words for the help, its arguments, and what it does."""

    help: ClassVar[str]
    examples: ClassVar[str] = ""
    passes_through: ClassVar[bool] = False  # its arguments are read by another module, see `forward`

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Adds nothing unless a command says otherwise."""

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        raise NotImplementedError

    @classmethod
    def forward(cls, arguments: Sequence[str]) -> int:
        raise NotImplementedError


def add_instance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="NAME", help="the instance (default: $SENNIT_INSTANCE, or 'default')")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def print_json(value: Any) -> None:
    """A message or any plain value; pretty, one document."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(what: RenderableType) -> None:
    console().print(what)


def console() -> Console:
    from rich.console import Console

    # Into a pipe or a file a table keeps its full width; a terminal decides for itself.
    # No emoji: ":cd:" in an address is no picture of a disc.
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 160)


def host_port(text: str, default_host: str | None = None) -> tuple[str, int]:
    """"10.0.1.2:80", "[fd00::2]:80", and ":80" or "80" where a default host is given."""
    host, colon, port = text.rpartition(":")
    if not colon and default_host is None:
        raise UsageError(f"'{text}' has no port: write HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"write an IPv6 address in brackets: '[{host}]:{port}'")
    host = host or default_host or ""
    if not host:
        raise UsageError(f"'{text}' has no host: write HOST:PORT")
    if not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UsageError(f"'{port}' in '{text}' is no port: give a number from 1 to 65535")
    return host, int(port)
