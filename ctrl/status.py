# SPDX-License-Identifier: Apache-2.0
"""Merges what the workers say of themselves with what the control process knows into one `messages.Status`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence

import msgspec

from sennit.ctrl import contract, links
from sennit.runtime import memory
from sennit.shm import messages

QUERY_TIMEOUT_S = 0.5
STALLED_MS = 2000.0
STALLED = "STALLED"  # shown for a worker that has lost its heartbeat, beside the states of sn_cnc


class Snapshots:
    """Asks every worker for a snapshot; questions asked at the same moment share one answer."""

    def __init__(self, handle: contract.Handle, workers: Sequence[links.WorkerLink]) -> None:
        self._handle = handle
        self._links = workers
        self._seq = itertools.count(1)

    async def take(self, max_conns: int) -> tuple[messages.Snapshot | None, ...]:
        """One entry per worker, None where it did not answer in time."""
        return tuple(await asyncio.gather(*(self._one(link, max_conns) for link in self._links)))

    async def conn(self, worker: int, conn: int) -> messages.ConnInfo | None:
        """One connection; None: it is gone, or its worker does not answer."""
        if not 0 <= worker < len(self._links) or conn <= 0:
            return None
        seq = next(self._seq) & 0xFFFFFFFF
        try:
            answer = await self._links[worker].ask(messages.Query(seq, 1, conn), ("snapshot", seq), QUERY_TIMEOUT_S)
        except (links.WorkerGone, TimeoutError):
            return None
        return answer.conns[0] if isinstance(answer, messages.Snapshot) and answer.conns else None

    async def _one(self, link: links.WorkerLink, max_conns: int) -> messages.Snapshot | None:
        seq = next(self._seq) & 0xFFFFFFFF
        query = messages.Query(seq=seq, max_conns=max_conns)
        try:
            answer = await link.ask(query, ("snapshot", seq), QUERY_TIMEOUT_S)
        except (links.WorkerGone, TimeoutError):
            return None
        return answer if isinstance(answer, messages.Snapshot) else None


def shown_state(cnc: contract.CncView) -> str:
    """The worker's state as a person should see it."""
    if cnc.state in ("RUN", "DRAIN") and cnc.heartbeat_age_ms > STALLED_MS:
        return STALLED
    return cnc.state


def worker_info(worker: contract.Worker, snapshot: messages.Snapshot | None) -> messages.WorkerInfo:
    """What the worker said, with everything the control process knows better laid over it."""
    cnc = worker.cnc()
    if snapshot is None:
        spent = cnc.busy_ns + cnc.idle_ns
        said = messages.WorkerInfo(
            worker=worker.index, lcore=worker.lcore, pid=worker.pid, state="", restarts=0, heartbeat_age_ms=0.0,
            uptime_s=0.0, loops=cnc.loops, idle_share=cnc.idle_ns / spent if spent else 0.0, conns=0, pool_free=0,
            pool_size=0, counters={}, tables={},
        )  # fmt: skip
    else:
        said = snapshot.worker
    return msgspec.structs.replace(
        said,
        worker=worker.index,
        lcore=worker.lcore,
        pid=worker.pid,
        state=shown_state(cnc),
        restarts=cnc.restarts,
        heartbeat_age_ms=round(cnc.heartbeat_age_ms, 1),
    )


def merge_conns(snapshots: Iterable[messages.Snapshot | None]) -> tuple[messages.ConnInfo, ...]:
    return tuple(conn for snapshot in snapshots if snapshot is not None for conn in snapshot.conns)


def build(
    *,
    instance: str,
    version: str,
    pid: int,
    started: float,
    handle: contract.Handle,
    snapshots: Sequence[messages.Snapshot | None],
    ports: tuple[messages.PortInfo, ...],
    sessions: tuple[messages.SessionInfo, ...],
    endpoints: tuple[messages.Endpoint, ...],
    limits: messages.Limits,
) -> messages.Status:
    """started: on time.monotonic()'s clock."""
    workers = tuple(worker_info(w, s) for w, s in zip(handle.workers, snapshots, strict=True))
    return messages.Status(
        instance=instance,
        version=version,
        pid=pid,
        uptime_s=round(time.monotonic() - started, 3),
        time_unix=time.time(),
        workers=workers,
        ports=ports,
        conns=merge_conns(snapshots),
        sessions=sessions,
        endpoints=endpoints,
        limits=limits,
        memory=memory.total(w.tables for w in workers),
    )
