# SPDX-License-Identifier: Apache-2.0
"""`sennit connect`."""

from __future__ import annotations

import argparse
import os

from sennit.tools.commands import transfer
from sennit.tools.commands.base import Command, add_instance, host_port
from sennit.tools.errors import UsageError

EARLY = 16 << 10  # bytes read before connecting: one segment of any MTU


class Connect(Command):
    help = "open a connection: standard input goes to the peer, what the peer sends to standard output"
    examples = (
        "  sennit connect 10.0.1.2:12000 < file\n"
        "  sennit connect 10.0.1.2:12000 --in file --out answer --stats\n"
        "  sennit connect [fd00:1::2]:12000 < file\n"
        "  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | sennit connect 10.0.1.2:80\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        parser.add_argument("address", metavar="HOST:PORT")
        parser.add_argument("--bind", metavar="HOST[:PORT]", help="local address to connect from")
        transfer.add_arguments(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        remote = host_port(options.address)
        local = _bind(options.bind) if options.bind else None
        timeout = transfer.timeout_of(options)
        with transfer.files(options) as (source, sink):
            from sennit import sdk

            with transfer.complaints(options.name):
                early = os.read(source, EARLY) if options.fastopen else None
                connection = sdk.connect(
                    remote, timeout=timeout, source_address=local, mptcp=not options.tcp, scheduler=options.sched,
                    cc=options.cc, early=early, instance=options.name,
                )  # fmt: skip
                transfer.move(connection, source, sink, options, already=len(early or b""))
        return 0


def _bind(text: str) -> tuple[str, int]:
    if ":" not in text or (text.startswith("[") and text.endswith("]")):
        return text.strip("[]"), 0
    host, port = host_port(text)
    if not host:
        raise UsageError(f"--bind '{text}' has no address")
    return host, port
