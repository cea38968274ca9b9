# SPDX-License-Identifier: Apache-2.0
"""What a path manager is: subclass `PathManager` and start the instance with `--path-manager module:Class`.

A path manager decides which paths connections have. It runs in the control process, on its event loop, beside the
packets: it hears what happens to connections a few milliseconds later and answers with single steps
(`Connection.open_subflow` and the others). docs/path-manager.md tells the whole story.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sennit.shm import messages

Step = Callable[[messages.PathCommand], "asyncio.Task[None]"]
Handled = Awaitable[None] | None  # handlers may be plain methods or `async def`


@dataclass
class Subflow:
    """One path of a connection. In `on_sub_closed` it says why it went: error (errno), reset_reason (RFC 8684 3.6)."""

    id: int
    local: str
    local_port: int
    remote: str
    remote_port: int
    local_id: int = 0
    remote_id: int = 0
    backup: bool = False
    nic: int = 0  # index of the port it leaves by
    error: int = 0
    reset_reason: int | None = None


@dataclass(frozen=True)
class RemoteAddress:
    """An address that the peer announced. port 0: the connection's."""

    id: int
    address: str
    port: int = 0


@dataclass
class Connection:
    """A connection as its events tell it, with the steps that are possible.

    Every step begins at once and returns a task: await it to hear of success, or let it be. What is refused raises
    OSError there and is a warning in the log.
    """

    worker: int
    conn: int
    token: int
    server: bool
    local: str
    local_port: int
    remote: str
    remote_port: int
    step: Step = field(repr=False)
    subflows: dict[int, Subflow] = field(default_factory=dict)
    remotes: dict[int, RemoteAddress] = field(default_factory=dict)
    closed: bool = False

    def open_subflow(
        self, *, local: str = "", remote: str | RemoteAddress = "", remote_port: int = 0, backup: bool = False
    ) -> asyncio.Task[None]:
        """MP_JOIN from an address of ours (default: as the route goes) to one of the peer's (default: the first).

        Done means begun: `on_sub_established` or `on_sub_closed` tells what came of it.
        """
        if isinstance(remote, RemoteAddress):
            remote_port = remote_port or remote.port
            remote = remote.address
        return self._do("open", local=local, remote=remote, remote_port=remote_port, backup=backup)

    def close_subflow(self, subflow: Subflow) -> asyncio.Task[None]:
        """FIN; what it still carries goes over the others."""
        return self._do("close", **_name(subflow))

    def announce(self, address: str, port: int = 0) -> asyncio.Task[None]:
        """ADD_ADDR: the peer may join there. A port must be that of a signal endpoint with this address."""
        return self._do("announce", local=address, local_port=port)

    def withdraw(self, address: str, port: int = 0) -> asyncio.Task[None]:
        """REMOVE_ADDR, and the end of the subflows that use the address."""
        return self._do("withdraw", local=address, local_port=port)

    def set_backup(self, subflow: Subflow, backup: bool = True) -> asyncio.Task[None]:
        """MP_PRIO: a backup carries data only while no other subflow can."""
        return self._do("priority", backup=backup, **_name(subflow))

    def _do(self, op: str, **words: Any) -> asyncio.Task[None]:
        return self.step(messages.PathCommand(seq=0, op=op, conn=self.conn, token=self.token, **words))


def _name(subflow: Subflow) -> dict[str, int]:
    return {"subflow": subflow.id, "local_port": subflow.local_port, "remote_port": subflow.remote_port}


@dataclass(frozen=True)
class Host:
    """What a path manager has to work with. Read anew every time: both change while the instance runs."""

    addresses: Callable[[], tuple[str, ...]]  # of the ports, in index order
    endpoints: Callable[[], tuple[messages.Endpoint, ...]]


class PathManager:
    """Override what you care about. A handler may be `async def`; handlers of one connection may then overlap.

    in_worker: the kernel's policy goes on in the workers (endpoints, limits, re-joins) and this class adds to it.
    False: nothing is opened or announced but by this class; endpoints are only what it makes of them.
    """

    in_worker: ClassVar[bool] = False

    def __init__(self, host: Host) -> None:
        self.host = host

    def on_created(self, conn: Connection) -> Handled:
        """The first subflow is there; wait for `on_established` before asking for more."""

    def on_established(self, conn: Connection) -> Handled:
        """The peer has shown that it speaks MPTCP."""

    def on_announced(self, conn: Connection, address: RemoteAddress) -> Handled:
        """ADD_ADDR with a good HMAC. It has been echoed."""

    def on_removed(self, conn: Connection, address: RemoteAddress) -> Handled:
        """REMOVE_ADDR. The subflows that lead there are being closed."""

    def on_sub_established(self, conn: Connection, subflow: Subflow) -> Handled:
        """A join is complete, ours or the peer's."""

    def on_sub_closed(self, conn: Connection, subflow: Subflow) -> Handled:
        """A subflow is gone, or a join came to nothing."""

    def on_sub_priority(self, conn: Connection, subflow: Subflow) -> Handled:
        """MP_PRIO of the peer or of ours changed `subflow.backup`."""

    def on_closed(self, conn: Connection) -> Handled:
        """The connection is over."""

    def on_lost(self, count: int) -> Handled:
        """So many events found no room. Connections that ended meanwhile have been told by `on_closed`."""


class KernelPathManager(PathManager):
    """The default: what the kernel's path manager does. The workers do it, from the endpoints and limits that they hold
    copies of, so that no connection waits for the control process; nothing is left to do here."""

    in_worker = True


class LoadError(Exception):
    """One sentence."""


def load(text: str) -> type[PathManager]:
    """"module:Class" (on Python's path or in the current directory) or "path/to/file.py:Class"; empty: the default.
    Raises LoadError."""
    if not text:
        return KernelPathManager
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name.isidentifier():
        raise LoadError(f"path manager '{text}' is not like module:Class or file.py:Class")
    try:
        module = _from_file(where) if where.endswith(".py") else _from_path(where)
    except Exception as error:
        raise LoadError(f"path manager '{text}' cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type) or not issubclass(found, PathManager):
        raise LoadError(f"path manager '{text}': {name} is no subclass of sennit.ctrl.path_manager.PathManager")
    return found


def _from_path(where: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it hides nothing
    return importlib.import_module(where)


def _from_file(where: str) -> Any:
    path = Path(where).resolve()
    spec = importlib.util.spec_from_file_location(f"sennit_path_manager_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
