# SPDX-License-Identifier: Apache-2.0
"""What `connect` and `listen` share: where bytes come from and go to, time limits, statistics, complaints."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from sennit.tools import pump
from sennit.tools.errors import ToolError, UsageError

if TYPE_CHECKING:
    from sennit import sdk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in", dest="source", metavar="FILE", help="send this file instead of standard input")
    parser.add_argument("--out", dest="sink", metavar="FILE", help="write to this file instead of standard output")
    parser.add_argument("--tcp", action="store_true", help="plain TCP")
    parser.add_argument("--fastopen", action="store_true", help="TCP Fast Open: data with the SYN")
    parser.add_argument("--sched", metavar="NAME", help="packet scheduler: minrtt, roundrobin")
    parser.add_argument("--cc", metavar="NAME", help="congestion control: cubic, newreno, bbr, dctcp")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up when nothing happens for so long")
    parser.add_argument("--stats", action="store_true", help="one line about the transfer on standard error")
    parser.add_argument("--json", action="store_true", help="that line as JSON")


def timeout_of(options: argparse.Namespace) -> float | None:
    timeout: float | None = options.timeout
    if timeout is not None and not 0 < timeout <= 1e6:
        raise UsageError(f"--timeout {timeout:g} is outside 0-1000000")
    return timeout


@contextlib.contextmanager
def files(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """The descriptors to read from and to write to."""
    with contextlib.ExitStack() as opened:
        source, sink = 0, 1
        try:
            if options.source:
                source = os.open(options.source, os.O_RDONLY | os.O_CLOEXEC)
                opened.callback(os.close, source)
            if options.sink:
                sink = os.open(options.sink, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, sink)
        except OSError as error:
            raise ToolError(f"cannot open {error.filename}: {error.strerror}") from None
        yield source, sink


@contextlib.contextmanager
def complaints(name: str | None) -> Iterator[None]:
    """Errors of the SDK in the words of a tool."""
    try:
        yield
    except BrokenPipeError:
        raise
    except TimeoutError as error:
        said = error.strerror or "nothing happened within --timeout"
        raise ToolError(f"{said}: is the peer there? `sennit status` shows the paths") from None
    except PermissionError as error:
        which = f" '{name}'" if name else ""
        raise ToolError(f"user {os.getuid()} may not use this instance{which}: {error.strerror}") from None
    except OSError as error:
        raise ToolError(str(error.strerror or error)) from None
    except ValueError as error:
        raise ToolError(str(error)) from None


def move(
    connection: sdk.Connection, source: int, sink: int, options: argparse.Namespace, already: int = 0
) -> None:
    """Everything both ways, then close; statistics at the end, also of what broke off. already: bytes sent before."""
    local, remote, mptcp = connection.getsockname(), connection.getpeername(), connection.is_mptcp
    with connection:
        transfer = pump.Pump(connection, source, sink, interactive=os.isatty(source), timeout=options.timeout)
        transfer.sent.count = already
        try:
            transfer.run()
        finally:
            if options.stats or options.json:
                stats = transfer.stats(local, remote, mptcp)
                print(msgspec.json.encode(stats).decode() if options.json else stats.line(), file=sys.stderr)
