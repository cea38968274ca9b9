# SPDX-License-Identifier: Apache-2.0
"""Many random scenarios on several processes. A run that crashes ends its process only: the seed is known, and another
process goes on behind it."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from sennit.tools import sim_driver as driver
from sennit.tools import sim_random

BATCH = 20  # seeds taken at once


class Run(NamedTuple):
    """One scenario that was run; `failure` is empty if it passed."""

    seed: int
    failure: str
    virtual_s: float


def run(kind: str, seed: int) -> Run:
    out = driver.run(sim_random.scenario(seed, kind))
    return Run(seed, "" if out.completed else out.failure, out.virtual_s)


def _work(kind: str, orders: Connection) -> None:
    """A process: takes ranges of seeds, sends a result for each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (seeds := orders.recv()) is not None:
        for seed in range(*seeds):
            orders.send(("at", seed))
            try:
                orders.send(("done", run(kind, seed)))
            except Exception as error:  # ours, not the engine's
                orders.send(("broken", error))
                return
        orders.send(("more", None))


class _Worker:
    """The parent's view of one process."""

    def __init__(self, context: Any, kind: str) -> None:
        self.pipe, theirs = mp.Pipe()
        self.process = context.Process(target=_work, args=(kind, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.left = (0, 0)  # seeds that it still has to run
        self.at = 0

    def order(self, seeds: tuple[int, int]) -> None:
        self.left = seeds
        self.pipe.send(seeds)

    def end(self) -> None:
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()


def _reason(status: int | None) -> str:
    if status is not None and status < 0:
        return f"the simulator was killed by {signal.Signals(-status).name}"
    return f"the simulator ended with status {status}"


def each(
    kind: str, first: int, n: int, jobs: int, going: Callable[[], bool] = lambda: True
) -> Generator[Run, None, None]:
    """The results of the seeds from `first`, in the order in which they come; n < 0: until `going` says no."""
    jobs = min(jobs, n) if n >= 0 else jobs
    if jobs <= 1 and n >= 0 and "SENNIT_TRACE" in os.environ:
        yield from (run(kind, seed) for seed in range(first, first + n))
        return
    context = mp.get_context("spawn")
    upcoming, end = first, first + n

    def take() -> tuple[int, int] | None:
        nonlocal upcoming
        if not going() or (n >= 0 and upcoming >= end):
            return None
        some = (upcoming, upcoming + BATCH if n < 0 else min(end, upcoming + BATCH))
        upcoming = some[1]
        return some

    workers: list[_Worker] = []

    def employ(seeds: tuple[int, int] | None) -> None:
        if seeds is not None and seeds[0] < seeds[1]:
            worker = _Worker(context, kind)
            workers.append(worker)
            worker.order(seeds)

    try:
        for _ in range(jobs):
            employ(take())
        while workers:
            ready = wait([w.pipe for w in workers])
            for w in [w for w in workers if w.pipe in ready]:
                try:
                    word, value = w.pipe.recv()
                except (EOFError, ConnectionResetError):
                    w.process.join()
                    workers.remove(w)
                    yield Run(w.at, _reason(w.process.exitcode), 0.0)
                    employ((w.at + 1, w.left[1]) if w.at + 1 < w.left[1] else take())
                    continue
                if word == "at":
                    w.at = value
                elif word == "done":
                    yield value
                elif word == "broken":
                    raise value
                elif (some := take()) is not None:
                    w.order(some)
                else:
                    w.pipe.send(None)
                    workers.remove(w)
                    w.end()
    finally:
        for w in workers:
            w.process.kill()
            w.end()
