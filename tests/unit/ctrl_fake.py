# SPDX-License-Identifier: Apache-2.0
"""A runtime without DPDK, forks and C workers, for tests of the control process: workers that answer at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from sennit.ctrl import server
from sennit.shm import messages, segment

T = TypeVar("T")


@dataclass
class Config:
    name: str = "unit"
    group: str | None = None
    allow_uid: tuple[int, ...] = ()
    grace_s: float = 0.5
    limits: messages.Limits = field(default_factory=messages.Limits)
    endpoints: tuple[messages.Endpoint, ...] = ()
    path_manager: str = ""


@dataclass
class Cnc:
    state: str = "RUN"
    heartbeat_age_ms: float = 3.0
    loops: int = 1000
    busy_ns: int = 250
    idle_ns: int = 750
    restarts: int = 0


def subflow(number: int = 0, **changes: Any) -> messages.SubflowInfo:
    plain: dict[str, Any] = {
        "id": number, "state": "ESTABLISHED", "join": number > 0, "backup": False, "usable": True, "stale": False,
        "port": number, "local": f"10.0.{number + 1}.1:40000", "remote": f"10.0.{number + 1}.2:12000",
        "local_id": number, "remote_id": number, "cwnd": 65536, "ssthresh": 32768, "in_flight": 2896, "mss": 1424,
        "srtt_us": 10500.0, "rttvar_us": 500.0, "min_rtt_us": 10000.0, "rto_us": 210000.0, "bytes_sent": 0,
        "bytes_acked": 0, "bytes_received": 0, "bytes_retrans": 0, "segs_sent": 0, "segs_received": 0,
        "retrans": 0, "rtos": 0,
    }  # fmt: skip
    return messages.SubflowInfo(**(plain | changes))


def conn(worker: int = 0, number: int = 1, **changes: Any) -> messages.ConnInfo:
    plain: dict[str, Any] = {
        "worker": worker, "conn": number, "session": 1, "token": 77 + number, "state": "ESTABLISHED", "mptcp": True,
        "server": False, "scheduler": "minrtt", "local": "10.0.1.1:40000", "remote": "10.0.1.2:12000", "bytes_sent": 0,
        "bytes_acked": 0, "bytes_received": 0, "bytes_retrans": 0, "send_queue": 0, "recv_queue": 0, "age_s": 5.0,
        "subflows": (subflow(0), subflow(1), subflow(2)),
    }  # fmt: skip
    return messages.ConnInfo(**(plain | changes))


def worker_info(worker: int = 0, **changes: Any) -> messages.WorkerInfo:
    plain: dict[str, Any] = {
        "worker": worker, "lcore": worker, "pid": 100 + worker, "state": "RUN", "restarts": 0, "heartbeat_age_ms": 3.0,
        "uptime_s": 10.0, "loops": 1000, "idle_share": 0.5, "conns": 0, "pool_free": 900, "pool_size": 1000,
        "counters": {}, "tables": {},
    }  # fmt: skip
    return messages.WorkerInfo(**(plain | changes))


def port(index: int = 0, **changes: Any) -> messages.PortInfo:
    plain: dict[str, Any] = {
        "index": index, "name": f"veth-a{index + 1}", "driver": "net_af_packet", "mac": f"02:00:00:00:00:0{index}",
        "address": f"10.0.{index + 1}.1/24", "gateway": f"10.0.{index + 1}.2", "mtu": 1500, "queues": 2,
        "steering": "software-forward",
    }  # fmt: skip
    return messages.PortInfo(**(plain | changes))


def status(**changes: Any) -> messages.Status:
    plain: dict[str, Any] = {
        "instance": "unit", "version": "1.2.3", "pid": 99, "uptime_s": 20.0, "time_unix": 1.0e9,
        "workers": (worker_info(0), worker_info(1)), "ports": (port(0), port(1), port(2)), "conns": (), "sessions": (),
        "endpoints": (), "limits": messages.Limits(),
    }  # fmt: skip
    return messages.Status(**(plain | changes))


class Worker:
    """Answers every message as a well worker does; `mute`, `refuse` and `full` make it less well."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.lcore = index
        self.pid = 1000 + index
        self.door_fd = -1
        self.ring = self
        self.heard: list[messages.ToWorker] = []
        self.said: list[messages.FromWorker] = []
        self.channels: dict[int, list[int]] = {}
        self.mute = False
        self.refuse: str | None = None
        self.full = 0  # sends to refuse
        self.conns: tuple[messages.ConnInfo, ...] = ()
        self.life = Cnc()
        self.step_errors: list[int] = []  # answers to path commands, 0 from then on
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)

    def cnc(self) -> Cnc:
        return self.life

    def fileno(self) -> int:
        return self._bell

    def send_fds(self, session: int, fds: Sequence[int]) -> None:
        self.channels[session] = [os.dup(fd) for fd in fds]

    def send(self, message: messages.ToWorker) -> bool:
        if self.full:
            self.full -= 1
            return False
        self.heard.append(messages.to_worker_decoder.decode(messages.encoder.encode(message)))
        if not self.mute:
            self._answer(message)
        return True

    def say(self, message: messages.FromWorker) -> None:
        self.said.append(message)
        os.eventfd_write(self._bell, 1)

    def receive(self) -> list[messages.FromWorker]:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        said, self.said = self.said, []
        return said

    def forget(self, session: int) -> None:
        for fd in self.channels.pop(session, []):
            os.close(fd)

    def close(self) -> None:
        for session in list(self.channels):
            self.forget(session)
        os.close(self._bell)

    def _answer(self, message: messages.ToWorker) -> None:
        match message:
            case messages.AttachChannel(session=session):
                self.say(messages.ChannelAttached(session=session, error=self.refuse))
            case messages.DetachChannel(session=session):
                self.forget(session)
                self.say(messages.ChannelDetached(session=session))
            case messages.Query(seq=seq, max_conns=most, conn=only):
                info = worker_info(self.index, conns=len(self.conns))
                conns = tuple(c for c in self.conns if not only or c.conn == only)
                self.say(messages.Snapshot(seq=seq, worker=info, conns=conns[:most]))
            case messages.PathCommand(seq=seq):
                self.say(messages.PathDone(seq, self.step_errors.pop(0) if self.step_errors else 0))
            case messages.Drain():
                self.say(messages.Drained())


class Handle:
    def __init__(self, workers: int = 2, ports: int = 3, **config: Any) -> None:
        self.config = Config(**config)
        self.workers = [Worker(index) for index in range(workers)]
        self.ports = [port(index) for index in range(ports)]
        self.flows: dict[int, tuple[int, int, str, str]] = {}
        self.flow_error: OSError | None = None
        self.flow_error_of: dict[str, OSError] = {}  # by how the local address begins
        self.stopped = False
        self.ready = False
        self.links = [True] * ports
        self.on_death: Callable[[int], None] = lambda index: None
        self.on_restart: Callable[[int], None] = lambda index: None

    def port_info(self) -> tuple[messages.PortInfo, ...]:
        return tuple(self.ports)

    def start_supervision(
        self, loop: asyncio.AbstractEventLoop, on_death: Callable[[int], None], on_restart: Callable[[int], None]
    ) -> None:
        self.loop, self.on_death, self.on_restart = loop, on_death, on_restart

    def kill(self, index: int) -> None:
        """As `kill -9` of a worker; from any thread."""
        self.loop.call_soon_threadsafe(self.on_death, index)

    def restart(self, index: int) -> None:
        def fork_again() -> None:
            self.workers[index].close()
            self.workers[index] = Worker(index)
            self.on_restart(index)

        self.loop.call_soon_threadsafe(fork_again)

    def flow_ask(self, port: int, worker: int, local: str, remote: str) -> int:
        if self.flow_error is not None:
            raise self.flow_error
        for begin, error in self.flow_error_of.items():
            if local.startswith(begin):
                raise error
        number = max(self.flows, default=0) + 1
        self.flows[number] = (port, worker, local, remote)
        return number

    def links_up(self) -> list[bool]:
        return list(self.links)

    def addresses_ready(self) -> None:
        self.ready = True

    def flow_drop(self, port: int, rule: int) -> None:
        del self.flows[rule]

    def stop(self) -> None:
        self.stopped = True


def with_server(handle: Handle, scenario: Callable[[Path], T], directory: Path) -> T:
    """Runs the server on this thread and the scenario, which gets the socket's path, on another."""

    async def main() -> T:
        ready = asyncio.Event()
        running = server.Server(handle, segment.ChannelSegment)
        task = asyncio.create_task(running.run(ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            waiting.cancel()
            task.result()
        try:
            return await asyncio.to_thread(scenario, directory / f"{handle.config.name}.sock")
        finally:
            running.shutdown()
            await task
            for worker in handle.workers:
                worker.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
