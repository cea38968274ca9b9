# SPDX-License-Identifier: Apache-2.0
"""The `sennit` command: finds the sub-command, runs it, turns every failure into one sentence."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from sennit.tools.commands import COMMANDS, Command
from sennit.tools.errors import UsageError, sentence

DESCRIPTION = "User-space Multipath TCP: one process per core, served to applications through shared memory."
EPILOG = """\
examples:
  sennit demo                                         the main job on this machine, nothing to set up
  sennit up --port veth-a1 --port veth-a2 --lcores 0-1
  sennit top
  sennit connect 10.0.1.2:12000 < file
  sennit down

environment:
  SENNIT_INSTANCE      name of the instance when --name is not given
  SENNIT_RUNTIME_DIR   directory of the control sockets instead of /run/sennit
  SENNIT_TRACE=1       show the Python traceback of a failure
"""


class _Parser(argparse.ArgumentParser):
    """Complains in one line, and points to the help."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sennit", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            epilog=f"examples:\n{command.examples}" if command.examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=not command.passes_through,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said to it, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        return _fail(sentence(error), 1)


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    command: type[Command] | None = COMMANDS.get(name)
    if command is not None and command.passes_through:
        return command.forward(arguments[1:])
    parser = make_parser()
    if not arguments:
        parser.print_help()
        return 2
    options = parser.parse_args(arguments)
    if options.command is None:
        raise UsageError("no command given (see `sennit --help`)")
    return int(options.run(options))


def _fail(what: str, status: int) -> int:
    if os.environ.get("SENNIT_TRACE"):
        import traceback

        traceback.print_exc()
    print(f"sennit: {what}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
