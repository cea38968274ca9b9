# SPDX-License-Identifier: Apache-2.0
"""`sennit limits`, with the words of `ip mptcp limits`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table
from sennit.tools.errors import UsageError

WORDS = {
    "subflow": "subflows", "subflows": "subflows", "add_addr_accepted": "add_addr_accepted", "ndiffports": "ndiffports",
}  # fmt: skip


def parse_words(words: Sequence[str]) -> dict[str, int]:
    """"subflow 8 add_addr_accepted 8" by field name. Raises UsageError."""
    wanted: dict[str, int] = {}
    rest = iter(words)
    for word in rest:
        if word not in WORDS:
            raise UsageError(f"'{word}' is no limit; limits are: subflow N add_addr_accepted N ndiffports N")
        value = next(rest, "")
        if not value.isdigit():
            raise UsageError(f"'{word}' wants a number, not '{value}'")
        wanted[WORDS[word]] = int(value)
    if not wanted:
        raise UsageError("say what to set: `sennit limits set subflow 8 add_addr_accepted 8`")
    return wanted


class LimitsCommand(Command):
    help = "show and set how many extra subflows and announced addresses a connection may use"
    examples = (
        "  sennit limits show\n  sennit limits set subflow 8 add_addr_accepted 8\n"
        "  sennit limits set ndiffports 3        three subflows over the first pair of addresses\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument("action", choices=("show", "set"), metavar="show|set")
        parser.add_argument(
            "words", nargs="*", metavar="WORD", help="set: [subflow N] [add_addr_accepted N] [ndiffports N]"
        )

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        if options.action == "set":
            wanted = parse_words(options.words)
            with Client(options.name) as client:
                limits = client.set_limits(**wanted)
        elif options.words:
            raise UsageError(f"`limits show` takes no words, not '{options.words[0]}'")
        else:
            with Client(options.name) as client:
                limits = client.limits()
        if options.json:
            print_json(limits)
        elif options.action == "show":
            from sennit.tools import render

            print_table(render.limits(limits))
        return 0
