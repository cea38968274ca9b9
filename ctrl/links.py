# SPDX-License-Identifier: Apache-2.0
"""The control process's end of one worker: questions with answers, messages that wait while the ring is full."""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Hashable

from sennit.ctrl import contract
from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

MAX_WAITING = 4096  # messages kept while a ring is full
RETRY_S = 0.001


class WorkerGone(Exception):
    """The worker died before it answered, or is not there."""


def answer_key(message: messages.FromWorker) -> Hashable:
    """What a message answers; the asker waits under the same key."""
    match message:
        case messages.ChannelAttached():
            return ("attached", message.session)
        case messages.ChannelDetached():
            return ("detached", message.session)
        case messages.Snapshot():
            return ("snapshot", message.seq)
        case messages.PathDone():
            return ("path", message.seq)
        case messages.Drained():
            return "drained"
        case _:
            return None


class WorkerLink:
    """One worker as the control process talks to it. Lives through restarts of the worker.

    unasked: called with every message that nobody waits for.
    """

    def __init__(
        self,
        index: int,
        handle: contract.Handle,
        unasked: Callable[[int, messages.FromWorker], None],
    ) -> None:
        self.index = index
        self.alive = False
        self._handle = handle
        self._unasked = unasked
        self._waiting: collections.deque[messages.ToWorker] = collections.deque()
        self._retry: asyncio.TimerHandle | None = None
        self._answers: dict[Hashable, asyncio.Future[messages.FromWorker]] = {}
        self._fd = -1

    @property
    def worker(self) -> contract.Worker:
        return self._handle.workers[self.index]

    def up(self) -> None:
        """The worker runs (again). Called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._unwatch()
        self.alive = True
        self._fd = self.worker.ring.fileno()
        self._loop.add_reader(self._fd, self._readable)
        self._readable()

    def down(self) -> None:
        """The worker is dead: nobody waits for it any longer."""
        self.alive = False
        self._unwatch()
        self._waiting.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for future in self._answers.values():
            if not future.done():
                future.set_exception(WorkerGone(f"worker {self.index} died"))
        self._answers.clear()

    def post(self, message: messages.ToWorker) -> None:
        """Sends in order; keeps what the ring has no room for. A dead worker gets nothing."""
        if not self.alive:
            return
        if not self._waiting and self._sent(message):
            return
        if len(self._waiting) >= MAX_WAITING:
            log.error("worker %d does not read its control ring: %s dropped", self.index, type(message).__name__)
            return
        self._waiting.append(message)
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._flush)

    async def ask(self, message: messages.ToWorker, key: Hashable, timeout: float) -> messages.FromWorker:
        """Posts and waits for the answer. Raises WorkerGone or TimeoutError."""
        if not self.alive:
            raise WorkerGone(f"worker {self.index} is not running")
        future = self._answers.get(key)
        if future is None:
            future = self._loop.create_future()
            # Somebody may have stopped waiting when the worker dies: the exception is then nobody's.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers[key] = future
            self.post(message)
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout)
        finally:
            if self._answers.get(key) is future:
                del self._answers[key]

    def _flush(self) -> None:
        self._retry = None
        while self._waiting and self._sent(self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._retry = self._loop.call_later(RETRY_S, self._flush)

    def _sent(self, message: messages.ToWorker) -> bool:
        """False: there is no room now. What can never be sent counts as sent."""
        try:
            return self.worker.ring.send(message)
        except OSError as error:
            log.error("worker %d cannot be told %s: %s", self.index, type(message).__name__, error)
            return True

    def _readable(self) -> None:
        try:
            said = list(self.worker.ring.receive())
        except OSError as error:
            log.error("worker %d is not listened to any more: %s", self.index, error)
            self._unwatch()
            return
        for message in said:
            future = self._answers.get(answer_key(message))
            if future is not None and not future.done():
                future.set_result(message)
            else:
                self._unasked(self.index, message)

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
