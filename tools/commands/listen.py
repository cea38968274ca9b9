# SPDX-License-Identifier: Apache-2.0
"""`sennit listen`."""

from __future__ import annotations

import argparse
import sys

from sennit.tools import pump
from sennit.tools.commands import transfer
from sennit.tools.commands.base import Command, add_instance, host_port


class Listen(Command):
    help = "accept a connection: the counterpart of connect"
    examples = (
        "  sennit listen 12000 > file\n"
        "  sennit listen 10.0.1.1:12000 --in answer --out file --stats\n"
        "  sennit listen 0.0.0.0:12000         IPv4 alone\n"
        "  sennit listen 12000 --keep          one connection after the other\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        parser.add_argument("address", metavar="[HOST:]PORT")
        parser.add_argument("--keep", action="store_true", help="go on with the next connection after one has ended")
        transfer.add_arguments(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        local = host_port(options.address, default_host="::")
        timeout = transfer.timeout_of(options)
        from sennit import sdk

        with transfer.complaints(options.name), sdk.listen(
            local, mptcp=not options.tcp, scheduler=options.sched, cc=options.cc, instance=options.name,
            timeout=timeout, fastopen=options.fastopen,
        ) as listener:  # fmt: skip
            print(f"listening on {pump.address(listener.getsockname())}", file=sys.stderr, flush=True)
            while True:
                connection, _ = listener.accept()
                connection.settimeout(timeout)
                with transfer.files(options) as (source, sink):
                    try:
                        transfer.move(connection, source, sink, options)
                    except OSError as error:
                        if not options.keep:
                            raise
                        print(f"sennit: {error.strerror or error}", file=sys.stderr)
                if not options.keep:
                    return 0
