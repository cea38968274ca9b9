# SPDX-License-Identifier: Apache-2.0
"""`sennit endpoint`, with the words of `ip mptcp endpoint`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table
from sennit.tools.errors import UsageError

FLAGS = ("signal", "subflow", "backup", "fullmesh", "laminar")


def parse_words(words: Sequence[str]) -> messages.Endpoint:
    """"10.0.2.1 signal backup id 3 port 8080" as an Endpoint. Raises UsageError."""
    if not words:
        raise UsageError("give an address: `sennit endpoint add 10.0.2.1 subflow`")
    address, flags, numbers = words[0], [], {"id": 0, "port": 0}
    rest = iter(words[1:])
    for word in rest:
        if word in FLAGS:
            flags.append(word)
        elif word in numbers:
            value = next(rest, "")
            top = 255 if word == "id" else 65535
            if not value.isdigit() or not 1 <= int(value) <= top:
                raise UsageError(f"'{word}' wants a number from 1 to {top}, not '{value}'")
            numbers[word] = int(value)
        else:
            raise UsageError(f"'{word}' is no endpoint word; words are: {' '.join(FLAGS)} id N port P")
    return messages.Endpoint(id=numbers["id"], address=address, flags=tuple(flags), port=numbers["port"])


def changed(table: Sequence[messages.Endpoint], number: int, words: Sequence[str]) -> messages.Endpoint:
    """The endpoint of this id with flags put on and taken off. Raises UsageError."""
    old = next((endpoint for endpoint in table if endpoint.id == number), None)
    if old is None:
        raise UsageError(f"there is no endpoint with id {number} (see `sennit endpoint show`)")
    flags = set(old.flags)
    for word in words:
        flag = word.removeprefix("no")
        if flag not in ("backup", "fullmesh"):
            raise UsageError(f"'{word}' cannot be changed; words are: backup nobackup fullmesh nofullmesh")
        (flags.discard if word != flag else flags.add)(flag)
    return messages.Endpoint(id=old.id, address=old.address, flags=tuple(f for f in FLAGS if f in flags), port=old.port)


class EndpointCommand(Command):
    help = "add, change, delete and show the addresses the path manager uses"
    examples = (
        "  sennit endpoint add 10.0.2.1 subflow\n"
        "  sennit endpoint add 10.0.3.1 signal backup id 7\n"
        "  sennit endpoint change id 7 nobackup\n"
        "  sennit endpoint del id 7\n"
        "  sennit endpoint show\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument("action", choices=("add", "change", "del", "show"), metavar="add|change|del|show")
        parser.add_argument(
            "words", nargs="*", metavar="WORD",
            help="add: ADDRESS [signal] [subflow] [backup] [fullmesh] [laminar] [id N] [port P]; "
            "change: id N [no]backup [no]fullmesh; del: [id] N",
        )  # fmt: skip

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        words: list[str] = options.words
        if options.action == "add":
            wanted = parse_words(words)
            with Client(options.name) as client:
                table = client.add_endpoint(wanted)
        elif options.action == "change":
            if words[:1] != ["id"] or len(words) < 3:
                raise UsageError("say which and how: `sennit endpoint change id N backup` (or nobackup, fullmesh ...)")
            number = _number(words[:2])
            with Client(options.name) as client:
                table = client.add_endpoint(changed(client.endpoints(), number, words[2:]))
        elif options.action == "del":
            number = _number(words)
            with Client(options.name) as client:
                table = client.del_endpoint(number)
        elif words:
            raise UsageError(f"`endpoint show` takes no words, not '{words[0]}'")
        else:
            with Client(options.name) as client:
                table = client.endpoints()
        if options.json:
            print_json(table)
        elif options.action == "show":
            from sennit.tools import render

            print_table(render.endpoints(table))
        return 0


def _number(words: Sequence[str]) -> int:
    values = words[1:] if words[:1] == ["id"] else list(words)
    if len(values) != 1 or not values[0].isdigit() or not 1 <= int(values[0]) <= 255:
        raise UsageError("say which: `sennit endpoint del id N` (N as `sennit endpoint show` lists it)")
    return int(values[0])
