# SPDX-License-Identifier: Apache-2.0
"""`sennit top`."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator

import msgspec

from sennit.shm import messages
from sennit.tools import top_view
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance, add_json, console, print_table
from sennit.tools.errors import UsageError


class Top(Command):
    help = "watch a running instance live: load of the lcores, rates and shares of the paths"
    examples = (
        "  sennit top                       q or Ctrl-C quits\n"
        "  sennit top --interval 0.5\n"
        "  sennit top --once                one look, one interval, as a table\n"
        "  sennit top --json | jq .lcores   one JSON line per interval\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="default: 1")
        parser.add_argument("--once", action="store_true", help="one interval, then stop")
        parser.add_argument("--max-conns", type=int, default=20, metavar="N", help="connections shown (default: 20)")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        if not 0.05 <= options.interval <= 3600:
            raise UsageError(f"--interval {options.interval:g} is outside 0.05-3600")
        if options.max_conns < 0:
            raise UsageError(f"--max-conns {options.max_conns} is negative")
        with Client(options.name, name="sennit top") as client, contextlib.suppress(KeyboardInterrupt):
            if options.json or options.once or not sys.stdout.isatty():
                _lines(client, options)
            else:
                _live(client, options)
        return 0


def views(client: Client, interval: float, max_conns: int, quits: Quit) -> Iterator[top_view.TopView]:
    """One view per interval, the first after one interval. Ends when asked to."""
    previous: messages.Status | None = None
    deadline = time.monotonic()
    while True:
        current = client.status(max(4 * max_conns, 64))
        if previous is not None:
            yield top_view.reduce(previous, current, max_conns)
        previous = current
        deadline = max(deadline + interval, time.monotonic())
        if quits.wait(deadline - time.monotonic()):
            return


class Quit:
    """Waits, and notices the key q on a terminal."""

    def __init__(self, keys: int | None = None) -> None:
        self._keys = keys

    def wait(self, seconds: float) -> bool:
        """True if somebody wants to leave."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._keys is None:
                time.sleep(left)
            elif select.select([self._keys], [], [], left)[0]:
                pressed = os.read(self._keys, 64)
                if not pressed:
                    self._keys = None  # no more keys will come
                elif b"q" in pressed.lower() or pressed == b"\x1b":
                    return True
        return False


def _lines(client: Client, options: argparse.Namespace) -> None:
    for view in views(client, options.interval, options.max_conns, Quit()):
        if options.json:
            sys.stdout.write(msgspec.json.encode(view).decode() + "\n")
            sys.stdout.flush()
        else:
            from sennit.tools import render

            print_table(render.top(view))
        if options.once:
            return


def _live(client: Client, options: argparse.Namespace) -> None:
    from rich.live import Live

    from sennit.tools import render

    with _raw_keys() as keys:
        shown = views(client, options.interval, options.max_conns, Quit(keys))
        with Live("waiting for the first interval ...", console=console(), screen=True, auto_refresh=False) as live:
            for view in shown:
                live.update(render.top(view), refresh=True)


@contextlib.contextmanager
def _raw_keys() -> Iterator[int | None]:
    """Single keys instead of lines, without echo, while it lasts. None if there is no terminal to read from."""
    if not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
