# SPDX-License-Identifier: Apache-2.0
"""Deaths of workers are noticed at once and answered within limits. The workers here are plain child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from sennit.runtime import supervise


class Ring:
    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


class Worker:
    def __init__(self, index: int) -> None:
        self.index = self.lcore = index
        self.pid = 0
        self.fds = None
        self.ring = Ring()


def fork(worker: Any) -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    worker.pid = pid


def run(workers: list[Worker], act: Callable[[list[tuple[str, int]]], Any]) -> list[tuple[str, int]]:
    events: list[tuple[str, int]] = []

    async def main() -> None:
        watch = supervise.Supervisor(
            asyncio.get_running_loop(), workers, lambda w: events.append(("gone", w.index)), fork,  # type: ignore[arg-type]
            lambda i: events.append(("death", i)), lambda i: events.append(("restart", i)),
        )  # fmt: skip
        watch.start()
        try:
            await act(events)
        finally:
            watch.stop()

    for worker in workers:
        fork(worker)
    try:
        asyncio.run(main())
    finally:
        for worker in workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
    return events


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_a_killed_worker_is_replaced_and_everybody_hears_of_it_in_order() -> None:
    workers = [Worker(0), Worker(1)]
    before: list[int] = []

    async def act(events: list[tuple[str, int]]) -> None:
        before.extend(w.pid for w in workers)
        os.kill(workers[1].pid, signal.SIGKILL)
        await until(lambda: ("restart", 1) in events)

    events = run(workers, act)
    assert events == [("gone", 1), ("death", 1), ("restart", 1)]
    assert workers[1].ring.resets == 1
    assert workers[0].ring.resets == 0


def test_a_worker_that_keeps_dying_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSE_S", 0.0)
    workers = [Worker(0), Worker(1)]

    async def act(events: list[tuple[str, int]]) -> None:
        for n in range(supervise.RESTARTS + 1):
            os.kill(workers[0].pid, signal.SIGKILL)
            await until(lambda n=n: events.count(("death", 0)) == n + 1)  # type: ignore[misc]
            if n < supervise.RESTARTS:
                await until(lambda n=n: events.count(("restart", 0)) == n + 1)  # type: ignore[misc]
        await asyncio.sleep(0.1)

    events = run(workers, act)
    assert events.count(("restart", 0)) == supervise.RESTARTS
    assert workers[0].pid == 0


def test_workers_that_do_not_leave_are_killed() -> None:
    workers = [Worker(0)]
    fork(workers[0])
    supervise.end(workers, patience_s=0.05)  # type: ignore[arg-type]
    assert workers[0].pid == 0


@pytest.mark.parametrize(("code", "words"), [("exit", "left with status 3"), ("kill", "was killed by SIGKILL")])
def test_the_end_of_a_process_in_words(code: str, words: str) -> None:
    worker = Worker(0)
    worker.pid = os.fork()
    if worker.pid == 0:
        if code == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(3)
    assert supervise.reap(worker) == words  # type: ignore[arg-type]
