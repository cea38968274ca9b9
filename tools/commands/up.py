# SPDX-License-Identifier: Apache-2.0
"""`sennit up`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sennit.shm import messages
from sennit.tools.commands import endpoint
from sennit.tools.commands.base import Command, add_instance
from sennit.tools.errors import ToolError, UsageError, sentence

if TYPE_CHECKING:
    from sennit.runtime.config import Config, Port
    from sennit.runtime.handle import RuntimeHandle

UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class Up(Command):
    help = "start an instance: takes the ports, starts one worker per lcore, serves until it is stopped"
    examples = (
        "  sennit up --port veth-a1 --port veth-a2 --lcores 0-1\n"
        "  sennit up --port eth1 --port eth2 --endpoint all,subflow     joins from every port\n"
        "  sennit up --port eth1 --route '10.9.0.0/16 via 10.0.1.2'\n"
        "  sennit up --config /etc/sennit.toml --daemon --log /var/log/sennit.log\n"
        "  sennit up --name lab --coremask 0x3 --port 0000:01:00.0 --poll busy\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_configuration(parser)
        parser.add_argument("--daemon", action="store_true", help="go to the background when everything runs")
        parser.add_argument("--log", metavar="FILE", help="append messages to this file")
        parser.add_argument("--verbose", action="store_true", help="more messages")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        config = configuration(options)
        log = _open_log(options.log)
        if options.daemon:
            return _in_background(lambda ready: _serve(config, options, ready), log)
        if log is not None:
            _redirect(log)
        return _serve(config, options, lambda greeting: print(greeting, file=sys.stderr, flush=True))


def add_configuration(parser: argparse.ArgumentParser) -> None:
    """The arguments that make a configuration; `doctor` takes them as well."""
    parser.add_argument("--config", metavar="FILE", help="TOML file; what stands on the command line goes before it")
    parser.add_argument(
        "--port", action="append", metavar="NAME[,KEY=VALUE...]",
        help="interface name or PCI address, once per port; what is not read from an interface, like "
        "eth1,vlan=5,address=10.0.5.1/24: address, gateway, address6, gateway6, mtu, vlan",
    )  # fmt: skip
    parser.add_argument(
        "--no-ipv6", action="store_const", const=True, help="leave IPv6 addresses of the interfaces to the kernel"
    )
    parser.add_argument(
        "--route", action="append", metavar="'NET via HOP dev PORT'",
        help="static route of a port, instead of the kernel's for its interface; with one port without 'dev PORT'",
    )  # fmt: skip
    cores = parser.add_mutually_exclusive_group()
    cores.add_argument("--lcores", metavar="LIST", help="cores of the workers, like 0-1 or 2,4 (default: 0)")
    cores.add_argument("--coremask", metavar="MASK", help="the same as a hexadecimal mask, like 0x3")
    parser.add_argument("--poll", choices=("adaptive", "busy"), help="sleep when idle (default), or never")
    parser.add_argument("--cc", choices=("cubic", "newreno", "bbr", "dctcp"), help="congestion control")
    parser.add_argument("--sched", choices=("minrtt", "round-robin"), help="packet scheduler")
    parser.add_argument("--rcvbuf", metavar="BYTES", help="receive buffer of a connection, like 4M")
    parser.add_argument(
        "--max-conns", type=int, metavar="N", help="connections per worker (default: 4096), with two subflows each"
    )
    parser.add_argument("--buffers", type=int, metavar="N", help="packet buffers per worker")
    parser.add_argument("--hugepages", action="store_const", const=True, help="use huge pages")
    parser.add_argument("--checksum", action="store_const", const=True, help="ask peers for DSS checksums")
    parser.add_argument(
        "--endpoint", action="append", metavar="ADDRESS[,WORD...]",
        help="endpoint of the path manager, like 10.0.2.1,subflow,backup; 'all' stands for every address of a port",
    )  # fmt: skip
    parser.add_argument(
        "--limits", metavar="N[,N[,N]]", help="extra subflows, accepted ADD_ADDRs, ndiffports (default: 8,8,1)"
    )
    parser.add_argument(
        "--no-join", action="store_const", const=True,
        help="peers may join announced addresses and ports only (C flag of MP_CAPABLE)",
    )
    parser.add_argument(
        "--path-manager", metavar="MODULE:CLASS",
        help="a policy of your own instead of the kernel's, or FILE.py:CLASS (docs/path-manager.md)",
    )  # fmt: skip
    parser.add_argument("--group", help="members of this group may use the instance")
    parser.add_argument("--allow-uid", action="append", type=int, metavar="UID", help="this user may use the instance")


def configuration(options: argparse.Namespace) -> Config:
    from sennit.runtime import config as configs

    endpoints = None
    if options.endpoint:
        endpoints = [msgspec.to_builtins(endpoint.parse_words(text.split(","))) for text in options.endpoint]
    loaded = configs.load(
        options.config,
        name=options.name,
        lcores=options.lcores,
        coremask=options.coremask,
        ports=options.port,
        ipv6=False if options.no_ipv6 else None,
        poll=options.poll,
        buffers=options.buffers,
        hugepages=options.hugepages,
        endpoints=endpoints,
        limits=_limits(options.limits),
        path_manager=options.path_manager,
        group=options.group,
        allow_uid=options.allow_uid,
    )
    engine: dict[str, Any] = {
        "congestion_control": options.cc,
        "scheduler": options.sched,
        "receive_buffer": _size(options.rcvbuf),
        "max_connections": options.max_conns,
        "checksum": options.checksum,
        "no_join": options.no_join,
    }
    given = {key: value for key, value in engine.items() if value is not None}
    loaded = msgspec.structs.replace(loaded, engine=msgspec.structs.replace(loaded.engine, **given))
    if options.route:
        loaded = msgspec.structs.replace(loaded, ports=_with_routes(loaded.port_list, options.route))
    configs.check(loaded)
    return loaded


def _with_routes(ports: Sequence[Port], texts: Sequence[str]) -> tuple[Port, ...]:
    """"10.9.0.0/16 via 10.0.1.2 dev eth1" at the port that it names. Raises UsageError."""
    routes: dict[str, list[str]] = {}
    for text in texts:
        route, dev, name = (part.strip() for part in text.partition(" dev "))
        if not dev and len(ports) == 1:
            name = ports[0].name
        if name not in {port.name for port in ports}:
            raise UsageError(
                f"--route '{text}' names no port: end it with 'dev' and one of {', '.join(port.name for port in ports)}"
            )
        routes.setdefault(name, []).append(route)
    return tuple(
        msgspec.structs.replace(port, routes=tuple(routes[port.name])) if port.name in routes else port
        for port in ports
    )


def _limits(text: str | None) -> dict[str, int] | None:
    if text is None:
        return None
    numbers = text.split(",")
    if len(numbers) > 3 or not all(number.isdigit() for number in numbers):
        raise UsageError(f"--limits '{text}' is not like 8 or 8,8 or 8,8,1")
    return dict(zip(messages.Limits.__struct_fields__, map(int, numbers), strict=False))


def _size(text: str | None) -> int | None:
    """4194304, 4096k, 4M."""
    if text is None:
        return None
    lowered = text.lower()
    number, unit = (lowered[:-1], lowered[-1]) if lowered[-1:] in ("k", "m", "g") else (lowered, "")
    if not number.isdigit():
        raise UsageError(f"--rcvbuf '{text}' is not a number of bytes like 4194304 or 4M")
    return int(number) * UNITS[unit]


def _serve(config: Config, options: argparse.Namespace, ready: Callable[[str], None]) -> int:
    from sennit.runtime import launch

    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s sennit %(levelname)s: %(message)s",
    )

    return launch.run(config, on_ready=lambda handle: ready(_greeting(config, handle)))


def _greeting(config: Config, handle: RuntimeHandle) -> str:
    ports = ", ".join(f"{port.name} {' '.join(port.addresses)}" for port in handle.port_info())
    cores = ", ".join(str(worker.lcore) for worker in handle.workers)
    return f"sennit: instance '{config.name}' is ready: lcores {cores}; ports {ports} (stop: Ctrl-C or `sennit down`)"


def _open_log(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ToolError(f"cannot write the log {path}: {error.strerror}") from None


def _redirect(log: int) -> None:
    for stream in (1, 2):
        os.dup2(log, stream)


def _in_background(serve: Callable[[Callable[[str], None]], int], log: int | None) -> int:
    """Runs `serve` in a process of a session of its own; returns when it is ready, or with its failure."""
    hears, says = os.pipe()
    pid = os.fork()
    if pid:
        os.close(says)
        word = os.read(hears, 65536).decode()
        if word:
            print(word[1:], file=sys.stderr)
        if word.startswith("+"):
            return 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or 1
    os.close(hears)
    os.setsid()
    # At once: workers inherit these, and must not hold on to the caller's terminal or pipe.
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    _redirect(null if log is None else log)

    def say(kind: str, word: str) -> None:
        with contextlib.suppress(OSError):
            os.write(says, f"{kind}{word}".encode())

    try:
        status = serve(lambda greeting: say("+", greeting))
    except Exception as error:
        say("-", f"sennit: {sentence(error)}")
        raise
    os.close(says)
    return status
