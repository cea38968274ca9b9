# SPDX-License-Identifier: Apache-2.0
"""Watches the workers' processes and replaces those that die, within limits.

A worker that dies is noticed through its pidfd at once. Its siblings take back what it held (native/lcore/runtime.h),
the control process tells applications, and a new process is forked from the running event loop; the child never returns
there.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sennit.runtime.handle import WorkerHandle

log = logging.getLogger("sennit.runtime")

RESTARTS = 5
WINDOW_S = 60.0
PAUSE_S = 0.05  # before a new process: its siblings and applications hear of the death first


class Supervisor:
    """gone: tells the shared state; fork: starts the worker's next process; the rest is the control process's."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workers: Sequence[WorkerHandle],
        gone: Callable[[WorkerHandle], None],
        fork: Callable[[WorkerHandle], None],
        on_death: Callable[[int], None],
        on_restart: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._workers = workers
        self._gone = gone
        self._fork = fork
        self._on_death = on_death
        self._on_restart = on_restart
        self._pidfds: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._deaths: dict[int, collections.deque[float]] = {w.index: collections.deque() for w in workers}
        self._given_up: set[int] = set()

    def start(self) -> None:
        for worker in self._workers:
            self._watch(worker)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for index in list(self._pidfds):
            self._unwatch(index)

    def _watch(self, worker: WorkerHandle) -> None:
        fd = os.pidfd_open(worker.pid)
        self._pidfds[worker.index] = fd
        self._loop.add_reader(fd, self._died, worker)

    def _unwatch(self, index: int) -> None:
        fd = self._pidfds.pop(index)
        self._loop.remove_reader(fd)
        os.close(fd)

    def _died(self, worker: WorkerHandle) -> None:
        self._unwatch(worker.index)
        how = reap(worker)
        log.error("worker %d (lcore %d) %s", worker.index, worker.lcore, how)
        self._gone(worker)
        if worker.fds is not None:
            worker.fds.close()
            worker.fds = None
        self._on_death(worker.index)
        now = time.monotonic()
        deaths = self._deaths[worker.index]
        deaths.append(now)
        while deaths and now - deaths[0] > WINDOW_S:
            deaths.popleft()
        if len(deaths) > RESTARTS:
            log.error(
                "worker %d died %d times within %.0f s and is not started again: restart the instance",
                worker.index, len(deaths), WINDOW_S,
            )  # fmt: skip
            self._given_up.add(worker.index)
            if len(self._given_up) == len(self._workers):
                log.error("no worker is left: the instance stops")
                os.kill(os.getpid(), signal.SIGTERM)
            return
        self._timers[worker.index] = self._loop.call_later(PAUSE_S, self._restart, worker)

    def _restart(self, worker: WorkerHandle) -> None:
        self._timers.pop(worker.index, None)
        worker.ring.reset()
        self._fork(worker)
        self._watch(worker)
        self._on_restart(worker.index)


def reap(worker: WorkerHandle) -> str:
    """Collects a dead worker's exit status; in words."""
    try:
        _, status = os.waitpid(worker.pid, 0)
    except ChildProcessError:
        return "is gone"
    finally:
        worker.pid = 0
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if number in signal.valid_signals() else str(number)
        return f"was killed by {name}"
    return f"left with status {os.waitstatus_to_exitcode(status)}"


def end(workers: Sequence[WorkerHandle], patience_s: float) -> None:
    """Waits for workers that were told to halt; ends those that do not."""
    deadline = time.monotonic() + patience_s
    while any(_alive(w) for w in workers) and time.monotonic() < deadline:
        time.sleep(0.005)
    for worker in workers:
        if _alive(worker):
            log.warning("worker %d did not leave in time: killed", worker.index)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            reap(worker)


def _alive(worker: WorkerHandle) -> bool:
    if not worker.pid:
        return False
    try:
        done, _ = os.waitpid(worker.pid, os.WNOHANG)
    except ChildProcessError:
        done = worker.pid
    if done:
        worker.pid = 0
    return not done
