# SPDX-License-Identifier: Apache-2.0
"""Events of connections and paths on their way from the workers: to the path manager, and to clients that monitor."""

from __future__ import annotations

import asyncio
import collections
import errno
import inspect
import itertools
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec

from sennit.ctrl import links
from sennit.ctrl.path_manager import Connection, KernelPathManager, PathManager, RemoteAddress, Step, Subflow
from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

MAX_QUEUED = 4096  # events kept for a listener that does not read
BATCH = 256
STEP_S = 2.0
ANNOUNCE_PAUSE_S = 0.05  # one ADD_ADDR at a time: the next one waits for the echo
ANNOUNCE_TRIES = 200


class Listening(Protocol):
    """A client of the control socket."""

    closed: bool

    def send(self, message: messages.Reply) -> None: ...
    async def drained(self) -> None: ...


class Listener:
    """One client that monitors: a bounded queue, and how many events found no room in it."""

    def __init__(self, client: Listening) -> None:
        self._client = client
        self._queue: collections.deque[messages.PathEvent] = collections.deque()
        self._lost = 0
        self._filled = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, events: Sequence[messages.PathEvent], lost: int) -> None:
        """After a loss everything is lost until the queue has been read: so the gap has one place."""
        room = 0 if self._lost else MAX_QUEUED - len(self._queue)
        self._queue.extend(events[:room])
        self._lost += len(events[room:]) + lost
        self._filled.set()

    async def _run(self) -> None:
        while not self._client.closed:
            await self._filled.wait()
            batch = tuple(self._queue.popleft() for _ in range(min(len(self._queue), BATCH)))
            lost = 0
            if not self._queue:
                lost, self._lost = self._lost, 0
                self._filled.clear()
            self._client.send(messages.Events(batch, lost))
            await self._client.drained()


class Paths:
    """alive(): (worker, conn) of the connections there are; None if that cannot be told."""

    def __init__(
        self,
        workers: Sequence[links.WorkerLink],
        manager: PathManager,
        alive: Callable[[], Awaitable[set[tuple[int, int]] | None]],
    ) -> None:
        self._links = workers
        self.manager = manager
        # The default has nothing to decide: its events need not even be made.
        self._manages = type(self.manager) is not KernelPathManager
        self._alive = alive
        self._conns: dict[tuple[int, int], Connection] = {}
        self._listeners: dict[Any, Listener] = {}
        self._seq = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def manual(self) -> bool:
        return not self.manager.in_worker

    # ------------------------------------------------------------------------------------------------------- workers

    def worker_up(self, link: links.WorkerLink) -> None:
        if self._manages or self._listeners:
            link.post(messages.Watch(True))

    def worker_down(self, index: int) -> None:
        """Its connections are gone, and it cannot say so any more."""
        for key in [key for key in self._conns if key[0] == index]:
            self._gone(key)

    def heard(self, index: int, message: messages.PathEvents) -> None:
        for listener in self._listeners.values():
            listener.offer(message.events, message.lost)
        if not self._manages:
            return
        for event in message.events:
            self._handle(index, event)
        if message.lost:
            log.warning("path manager: %d events of worker %d were lost", message.lost, index)
            self._call(self.manager.on_lost, message.lost)
            self._keep(self._reconcile())

    # ------------------------------------------------------------------------------------------------------ listeners

    def listen(self, client: Listening) -> None:
        first = not self._listeners
        if client not in self._listeners:
            self._listeners[client] = Listener(client)
        if first and not self._manages:
            self._watch(True)

    def leave(self, client: Listening) -> None:
        listener = self._listeners.pop(client, None)
        if listener is None:
            return
        listener.task.cancel()
        if not self._listeners and not self._manages:
            self._watch(False)

    def close(self) -> None:
        for client in list(self._listeners):
            self.leave(client)
        for task in list(self._tasks):
            task.cancel()

    def _watch(self, on: bool) -> None:
        for link in self._links:
            link.post(messages.Watch(on))

    # ---------------------------------------------------------------------------------------------------- path manager

    def _handle(self, index: int, event: messages.PathEvent) -> None:
        key = index, event.conn
        conn, manager = self._conns.get(key), self.manager
        if event.event == "created":
            conn = Connection(
                index, event.conn, event.token, event.server_side, event.saddr or "", event.sport or 0,
                event.daddr or "", event.dport or 0, self._stepper(index),
            )  # fmt: skip
            conn.subflows[0] = Subflow(0, conn.local, conn.local_port, conn.remote, conn.remote_port)
            self._conns[key] = conn
            self._call(manager.on_created, conn)
        elif conn is None or conn.token != event.token:
            return  # its beginning was lost
        elif event.event == "established":
            self._call(manager.on_established, conn)
        elif event.event == "closed":
            self._gone(key)
        elif event.event == "announced" and event.rem_id is not None:
            address = RemoteAddress(event.rem_id, event.daddr or "", event.dport or 0)
            conn.remotes[address.id] = address
            self._call(manager.on_announced, conn, address)
        elif event.event == "removed" and event.rem_id is not None:
            removed = conn.remotes.pop(event.rem_id, None) or RemoteAddress(event.rem_id, "")
            self._call(manager.on_removed, conn, removed)
        elif event.event.startswith("sub_"):
            self._subflow(conn, event)

    def _subflow(self, conn: Connection, event: messages.PathEvent) -> None:
        subflow = Subflow(
            event.subflow or 0, event.saddr or "", event.sport or 0, event.daddr or "", event.dport or 0,
            event.loc_id or 0, event.rem_id or 0, bool(event.backup), event.nic or 0, event.error or 0,
            event.reset_reason,
        )  # fmt: skip
        if event.event == "sub_closed":
            conn.subflows.pop(subflow.id, None)
            self._call(self.manager.on_sub_closed, conn, subflow)
            return
        conn.subflows[subflow.id] = subflow
        if event.event == "sub_established":
            self._call(self.manager.on_sub_established, conn, subflow)
        else:
            self._call(self.manager.on_sub_priority, conn, subflow)

    def _gone(self, key: tuple[int, int]) -> None:
        conn = self._conns.pop(key)
        conn.closed = True
        self._call(self.manager.on_closed, conn)

    def _call(self, handler: Callable[..., Any], *arguments: Any) -> None:
        """A mistake of a path manager is logged and costs it this event, nobody else anything."""
        try:
            result = handler(*arguments)
        except Exception:
            log.exception("path manager: %s", getattr(handler, "__qualname__", handler))
            return
        if inspect.isawaitable(result) and not isinstance(result, asyncio.Future):
            self._keep(self._finish(handler, result))

    async def _finish(self, handler: Callable[..., Any], result: Awaitable[None]) -> None:
        try:
            await result
        except Exception:
            log.exception("path manager: %s", getattr(handler, "__qualname__", handler))

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconcile(self) -> None:
        """Connections whose end was lost."""
        known = set(self._conns)
        alive = await self._alive()
        for key in known - alive if alive is not None else ():
            if key in self._conns:
                self._gone(key)

    # ----------------------------------------------------------------------------------------------------------- steps

    def _stepper(self, index: int) -> Step:
        def step(command: messages.PathCommand) -> asyncio.Task[None]:
            task = asyncio.get_running_loop().create_task(self._step(index, command))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # In case nobody awaits it.
            task.add_done_callback(_report)
            return task

        return step

    async def _step(self, index: int, command: messages.PathCommand) -> None:
        code = errno.EAGAIN
        for _ in range(ANNOUNCE_TRIES):
            code = await self._ask(index, command)
            if code != errno.EAGAIN:
                break
            await asyncio.sleep(ANNOUNCE_PAUSE_S)
        if code:
            raise OSError(code, f"{command.op} on connection {index}/{command.conn & 0xFFFFF}: {os.strerror(code)}")

    async def _ask(self, index: int, command: messages.PathCommand) -> int:
        seq = next(self._seq) & 0xFFFFFFFF
        try:
            answer = await self._links[index].ask(msgspec.structs.replace(command, seq=seq), ("path", seq), STEP_S)
        except links.WorkerGone:
            return errno.ENOTCONN
        except TimeoutError:
            return errno.ETIMEDOUT
        return answer.errno if isinstance(answer, messages.PathDone) else errno.EPROTO


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("path manager: %s", error.strerror if isinstance(error, OSError) else error)
