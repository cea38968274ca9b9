# SPDX-License-Identifier: Apache-2.0
"""Everything made before the fork, and the workers, as the control process holds them. The control process knows only
the protocols in `sennit.ctrl.contract`; this is what stands behind them."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

from sennit.runtime import supervise
from sennit.runtime.config import Config
from sennit.runtime.ports import Taken
from sennit.shm import control_ring, messages, native

ffi, lib = native.ffi, native.lib

STATES = ("BOOT", "RUN", "DRAIN", "HALT", "FAIL")
SESSION_TAG = struct.Struct("=Q")


class CncView:
    """One worker's life signs, read from its shared page."""

    def __init__(self, cnc: Any) -> None:
        self.state = STATES[cnc.state] if cnc.state < len(STATES) else "FAIL"
        self.heartbeat_age_ms = max(0.0, (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - cnc.heartbeat) / 1e6)
        self.loops: int = cnc.loops
        self.busy_ns: int = cnc.busy_ns
        self.idle_ns: int = cnc.idle_ns
        self.restarts: int = cnc.restarts


class Duplex:
    """The control process's end of both rings of one worker."""

    def __init__(self) -> None:
        self.to_worker = control_ring.to_worker()
        self.from_worker = control_ring.from_worker()

    def send(self, message: messages.ToWorker) -> bool:
        return self.to_worker.try_send(message)

    def receive(self) -> list[messages.FromWorker]:
        return list(self.from_worker.drain())

    def fileno(self) -> int:
        return self.from_worker.fileno()

    def reset(self) -> None:
        """Between two processes of a worker."""
        self.to_worker.reset()
        self.from_worker.reset()


class WorkerHandle:
    """One lcore, through all processes that serve it."""

    def __init__(self, runtime: Any, index: int, lcore: int) -> None:
        self._runtime = runtime
        self.index = index
        self.lcore = lcore
        self.pid = 0
        self.ring = Duplex()
        self.door_fd: int = lib.sn_runtime_door(runtime, index)
        self._cnc = lib.sn_runtime_cnc(runtime, index)
        self._last: CncView | None = None
        self.fds: socket.socket | None = None

    def send_fds(self, session: int, fds: Sequence[int]) -> None:
        """Descriptors of a session's channel; `AttachChannel` follows over the ring."""
        if self.fds is None:
            raise BrokenPipeError(f"worker {self.index} is not running")
        socket.send_fds(self.fds, [SESSION_TAG.pack(session)], list(fds))

    def cnc(self) -> CncView:
        return self._last or CncView(self._cnc)

    def freeze(self) -> None:
        """The shared page is about to go."""
        self._last = CncView(self._cnc)


class RuntimeHandle:
    """What `sennit.ctrl.server.serve` is given."""

    def __init__(
        self,
        config: Config,
        runtime: Any,
        ports: Sequence[Taken],
        fork: Callable[[WorkerHandle], None],
        end: Callable[[], None],
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.ports = tuple(ports)
        self.workers = [WorkerHandle(runtime, index, core) for index, core in enumerate(config.cores)]
        self._fork = fork
        self._end = end
        self._supervisor: supervise.Supervisor | None = None
        self._info: tuple[messages.PortInfo, ...] | None = None
        self._stopped = False

    def start_supervision(
        self, loop: asyncio.AbstractEventLoop, on_death: Callable[[int], None], on_restart: Callable[[int], None]
    ) -> None:
        self._supervisor = supervise.Supervisor(loop, self.workers, self._gone, self._fork, on_death, on_restart)
        self._supervisor.start()

    def _gone(self, worker: WorkerHandle) -> None:
        lib.sn_runtime_worker_gone(self.runtime, worker.index)

    def flow_ask(self, port: int, worker: int, local: str, remote: str) -> int:
        """An exact rule for a flow ("10.0.1.1:40000") to a worker: its number. OSError if the port cannot."""
        code = lib.sn_runtime_flow_ask(self.runtime, port, worker, *_split(local), *_split(remote))
        if code < 0:
            raise OSError(-code, ffi.string(lib.sn_last_error()).decode())
        return int(code)

    def flow_drop(self, port: int, rule: int) -> None:
        code = lib.sn_runtime_flow_drop(self.runtime, port, rule)
        if code < 0:
            raise OSError(-code, ffi.string(lib.sn_last_error()).decode())

    def links_up(self) -> tuple[bool, ...]:
        """By port; one that cannot be asked counts as up."""
        return tuple(self._link_up(index, port) for index, port in enumerate(self.ports))

    def _link_up(self, index: int, port: Taken) -> bool:
        if not port.pci:
            return bool(lib.sn_link_up(port.name.encode()))
        view = ffi.new("struct sn_port_view *")
        return lib.sn_runtime_port_view(self.runtime, index, view) < 0 or bool(view.link_up)

    def addresses_ready(self) -> None:
        """Those that were held back: for workers forked from now on."""
        lib.sn_runtime_addresses_ready(self.runtime)

    def port_info(self) -> tuple[messages.PortInfo, ...]:
        return self._info or tuple(self._port_info(i, port) for i, port in enumerate(self.ports))

    def _port_info(self, index: int, port: Taken) -> messages.PortInfo:
        view = ffi.new("struct sn_port_view *")
        native.check(lib.sn_runtime_port_view(self.runtime, index, view), f"port {port.name}")
        return messages.PortInfo(
            index=index,
            name=port.name,
            driver=ffi.string(view.driver).decode(),
            mac=":".join(f"{b:02x}" for b in view.mac),
            address=port.address,
            gateway=port.gateway,
            address6=port.address6,
            gateway6=port.gateway6,
            routes=port.routes + port.routes6,
            probed=port.probed,
            mtu=port.mtu,
            vlan=port.vlan,
            queues=view.queues,
            steering="rte_flow" if view.flow_rules else "software-forward",
            rx_packets=view.rx_packets,
            tx_packets=view.tx_packets,
            rx_bytes=view.rx_bytes,
            tx_bytes=view.tx_bytes,
            rx_missed=view.rx_missed,
            flow_rules=view.rules,
            offloads=tuple(
                name for name, has in zip(messages.OFFLOADS, (view.tx_csum, view.rx_csum, view.tso), strict=True) if has
            ),
        )

    def halted(self) -> None:
        """Workers are gone, the ports are still there: the last figures are kept."""
        self._info = self.port_info()
        for worker in self.workers:
            worker.freeze()

    def stop(self) -> None:
        """Ends workers that are left, closes the ports, gives the interfaces back. May be called more than once."""
        if self._stopped:
            return
        self._stopped = True
        if self._supervisor is not None:
            self._supervisor.stop()
        for worker in self.workers:
            worker.ring.send(messages.Halt())
        supervise.end(self.workers, patience_s=2.0)
        self._end()


def _split(endpoint: str) -> tuple[bytes, int]:
    """ "10.0.1.1:443" -> 16 bytes, IPv4-mapped if it is IPv4, and the port."""
    host, _, port = endpoint.rpartition(":")
    ip = ipaddress.ip_address(host.strip("[]"))
    return (ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed), int(port)


def keep_fds() -> frozenset[int]:
    """Descriptors that are open now: what every worker may inherit."""
    return frozenset(int(name) for name in os.listdir("/proc/self/fd"))
