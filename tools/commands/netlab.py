# SPDX-License-Identifier: Apache-2.0
"""`sennit netlab`: links in real time between network namespaces."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from sennit.tools.commands.base import Command, add_json, console, print_json, print_table
from sennit.tools.errors import ToolError, UsageError

if TYPE_CHECKING:
    from sennit.tools.netlab_control import Status

SHAPE = ("rate", "delay", "jitter", "loss", "reorder", "reorder_by", "duplicate", "corrupt", "queue", "mtu")


class NetlabCommand(Command):
    help = "build network namespaces joined by links with rate, delay, loss and more, in real time"
    examples = (
        "  sennit netlab up docs/examples/three-paths.toml       live; Ctrl-C removes everything\n"
        "  sennit netlab up lab.toml --detach\n"
        "  ip netns exec three-paths-left ping 10.0.1.2\n"
        "  sennit netlab set three-paths one --loss '5 %' --delay '20 ms'\n"
        "  sennit netlab set three-paths one --down\n"
        "  sennit netlab status --json\n"
        "  sennit netlab down three-paths\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        up = actions.add_parser("up", help="build the laboratory of a file and show its links")
        up.add_argument("file", metavar="FILE", help="description of the laboratory, TOML (docs/netlab.md)")
        up.add_argument("--name", help="name of the laboratory instead of the file's")
        up.add_argument("--detach", action="store_true", help="leave it running in the background")
        up.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between two looks (1)")
        up.add_argument("--json", action="store_true", help="a line of JSON per look instead of a table")
        down = actions.add_parser("down", help="remove a laboratory: links, namespaces and what runs inside them")
        _add_name(down)
        state = actions.add_parser("status", help="show a laboratory and the statistics of its links")
        _add_name(state)
        add_json(state)
        watch = actions.add_parser("watch", help="show a laboratory live")
        _add_name(watch)
        watch.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between two looks (1)")
        watch.add_argument("--json", action="store_true", help="a line of JSON per look instead of a table")
        change = actions.add_parser("set", help="change a link while it runs")
        change.add_argument("name", help="the laboratory")
        change.add_argument("link")
        change.add_argument("--side", choices=("ab", "ba"), help="one direction only")
        for field in SHAPE:
            change.add_argument(f"--{field.replace('_', '-')}", metavar="VALUE", type=int if field == "mtu" else str)
        way = change.add_mutually_exclusive_group()
        way.add_argument("--up", dest="up", action="store_const", const=True)
        way.add_argument("--down", dest="up", action="store_const", const=False)
        check = actions.add_parser("check", help="read a file and say what it describes; builds nothing")
        check.add_argument("file", metavar="FILE")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        run: Any = getattr(cls, f"_{options.action}")
        return int(run(options))

    @staticmethod
    def _up(options: argparse.Namespace) -> int:
        import msgspec

        from sennit.tools import netlab, netlab_control, netlab_file

        interval = _interval(options.interval)
        lab = netlab_file.load(options.file)
        if options.name is not None:
            lab = msgspec.structs.replace(lab, name=netlab_control.pick(options.name))
        with netlab.Netlab(lab, detach=options.detach) as made:
            if options.detach:
                hosts = ", ".join(lab.namespace(host) for host in lab.hosts)
                print(f"laboratory '{lab.name}' is up: {hosts} (remove it: sennit netlab down {lab.name})")
                return 0
            return _watch(made.name, interval, options.json)

    @staticmethod
    def _down(options: argparse.Namespace) -> int:
        from sennit.tools import netlab, netlab_control

        name = netlab_control.pick(options.name)
        netlab.down(name)
        print(f"laboratory '{name}' is removed")
        return 0

    @staticmethod
    def _status(options: argparse.Namespace) -> int:
        from sennit.tools import netlab, netlab_control, netlab_view

        now = netlab.status(netlab_control.pick(options.name))
        if options.json:
            print_json(now)
        else:
            print_table(netlab_view.render_status(None, now))
        return 0

    @staticmethod
    def _watch(options: argparse.Namespace) -> int:
        from sennit.tools import netlab_control

        return _watch(netlab_control.pick(options.name), _interval(options.interval), options.json)

    @staticmethod
    def _set(options: argparse.Namespace) -> int:
        import msgspec

        from sennit.tools import netlab_control
        from sennit.tools.link_spec import Shape

        given = {field: getattr(options, field) for field in (*SHAPE, "up") if getattr(options, field) is not None}
        if not given:
            raise UsageError("say what to change, like --loss '5 %' or --down")
        try:
            shape = msgspec.convert(given, Shape)
        except msgspec.ValidationError as error:
            raise UsageError(str(error)) from None
        name = netlab_control.pick(options.name)
        netlab_control.ask(name, netlab_control.Set(options.link, shape, options.side or ""))
        return 0

    @staticmethod
    def _check(options: argparse.Namespace) -> int:
        from sennit.tools import link_spec, netlab_file

        lab = netlab_file.load(options.file)
        print(f"laboratory '{lab.name}': hosts {', '.join(lab.hosts)}")
        for link in lab.links:
            there, back = (link_spec.words(link_spec.resolve(shape)) for shape in link.shape)
            print(f"{link.name}: {link.a} - {link.b}: {there}" + (f"; back: {back}" if back != there else ""))
        return 0


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="the laboratory; needed if there are several")


def _interval(seconds: float) -> float:
    if not 0.05 <= seconds <= 3600:
        raise UsageError(f"--interval {seconds:g}: from 0.05 to 3600 seconds")
    return seconds


def _watch(name: str, interval: float, as_json: bool) -> int:
    """Shows the laboratory until Ctrl-C, SIGTERM or SIGHUP, or until somebody takes it down."""
    from rich.live import Live

    from sennit.tools import netlab, netlab_build, netlab_control, netlab_view

    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    out = console()
    try:
        if as_json or not out.is_terminal:
            if not as_json:
                print(f"laboratory '{name}' is up (stop: Ctrl-C)", flush=True)
            netlab.watch(name, interval, _print_line if as_json else lambda *_: None, stop)
            return 0
        with Live(console=out, screen=False, auto_refresh=False) as live:
            netlab.watch(
                name, interval,
                lambda last, now: live.update(netlab_view.render_status(last, now), refresh=True), stop,
            )  # fmt: skip
        return 0
    except netlab_build.NetlabError:
        if netlab_control.state_path(name).exists():
            raise ToolError(f"the emulator of laboratory '{name}' has ended: sennit netlab down") from None
        print(f"laboratory '{name}' was taken down", file=sys.stderr)
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_line(_: Status | None, now: Status) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(now).decode() + "\n")
    sys.stdout.flush()
