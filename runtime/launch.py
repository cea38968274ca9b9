# SPDX-License-Identifier: Apache-2.0
"""`run(config)`: an instance from start to end.

Order matters and is undone backwards, whatever fails: lock, leftovers of a crash, host checks, DPDK, state file,
interfaces, pools and ports and rings, fork of the workers, control process. Nothing is made by DPDK after the fork, no
thread of Python and no event loop exists before it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from sennit.runtime import eal, handle, host, ports, routes, state, supervise
from sennit.runtime.config import Config
from sennit.runtime.errors import StartError
from sennit.shm import native

ffi, lib = native.ffi, native.lib
log = logging.getLogger("sennit.runtime")

START_S = 10.0
SCHEDULERS = {"default": 0, "minrtt": 1, "round-robin": 2}
COOKIES = {"": 0, "off": 1, "auto": 2, "always": 3}  # enum sn_cookies_cfg


def run(config: Config, *, on_ready: Callable[[handle.RuntimeHandle], None] | None = None) -> int:
    """Blocks until the instance has stopped; the exit status. Raises StartError before anything serves."""
    from sennit.ctrl import server, settings

    with contextlib.ExitStack() as undo:
        lock = state.Lock(config.name)
        undo.callback(lock.release)
        if state.recover(config.name):
            log.warning("restored what a killed instance '%s' had left behind", config.name)
        # A signal while starting ends the start in good order: the stack is unwound.
        before = signal.signal(signal.SIGTERM, _interrupt)
        undo.callback(signal.signal, signal.SIGTERM, before)
        runtime = Launch(config, lock.fd).start(undo)
        try:
            return server.serve(runtime, on_ready=lambda: on_ready(runtime) if on_ready else None)
        except settings.StartError as error:
            raise StartError(str(error)) from None
        except KeyboardInterrupt:
            return 130
        finally:
            runtime.stop()


def _interrupt(number: int, frame: object) -> None:
    raise StartError("stopped by a signal while starting")


def last_error() -> str:
    return str(ffi.string(lib.sn_last_error()).decode(errors="replace"))


class Launch:
    """The steps before the control process runs."""

    def __init__(self, config: Config, lock_fd: int) -> None:
        self._config = config
        self._lock_fd = lock_fd
        self._keep: frozenset[int] = frozenset()
        self._runtime: Any = ffi.NULL
        self._handle: handle.RuntimeHandle | None = None

    def start(self, undo: contextlib.ExitStack) -> handle.RuntimeHandle:
        config = self._config
        host.require(config)
        state.refuse_shared(config.name, [port.name for port in config.port_list])
        taken = [ports.read(port) for port in config.port_list]
        _refuse_duplicates(taken)
        cfg, port_cfg = self._c_config(taken)
        memory = config.memory_mb or lib.sn_runtime_memory_mb(cfg, port_cfg)
        host.check_memory(memory)
        closing = undo.enter_context(contextlib.ExitStack())
        saved = self._remember(taken, closing)
        self._start_eal(taken, memory, closing)
        for port in taken:
            if not port.pci:
                closing.callback(_give_back, saved[port.name])
                ports.take_over(port, saved[port.name])
        runtime = lib.sn_runtime_create(cfg, port_cfg)
        if runtime == ffi.NULL:
            raise StartError(last_error())
        self._runtime = runtime
        closing.callback(lib.sn_runtime_destroy, runtime)
        # From here on stop() undoes everything above, in order, once.
        self._handle = handle.RuntimeHandle(config, runtime, taken, self.fork, lambda: self._end(closing))
        undo.callback(self._handle.stop)
        # Descriptors of the lock are not for workers: who holds one keeps the instance's name.
        self._keep = handle.keep_fds() - {self._lock_fd}
        for worker in self._handle.workers:
            self.fork(worker)
        self._await_workers()
        return self._handle

    def _end(self, closing: contextlib.ExitStack) -> None:
        assert self._handle is not None
        self._handle.halted()
        closing.close()

    # ------------------------------------------------------------------------------------------------ configuration

    def _c_config(self, taken: list[ports.Taken]) -> tuple[Any, Any]:
        config, engine = self._config, self._config.engine
        cfg = ffi.new("struct sn_runtime_cfg *")
        cfg.name = config.name.encode()[:31]
        cfg.workers = len(config.cores)
        cfg.ports = len(taken)
        cfg.bufs = config.buffers
        cfg.block_base = 65536 - 32768
        cfg.block_ports = config.block_ports
        cfg.max_conns = engine.max_connections
        cfg.max_subflows = engine.max_subflows or 2 * engine.max_connections
        cfg.max_segs = engine.max_segments
        cfg.max_chunks = engine.max_chunks
        cfg.max_listeners = engine.max_listeners
        cfg.rcvbuf = engine.receive_buffer
        cfg.limit_subflows = config.limits.subflows
        cfg.limit_add_addr = config.limits.add_addr_accepted
        cfg.rto_min_us = int(engine.rto_min_ms * 1000)
        cfg.time_wait_ms = int(engine.time_wait_s * 1000)
        cfg.fin_wait_ms = int(engine.fin_wait_s * 1000)
        cfg.max_orphans = engine.max_orphans
        cfg.cookies = COOKIES[engine.syn_cookies]
        cfg.sched = SCHEDULERS[engine.scheduler]
        cfg.csum = engine.checksum
        cfg.no_join = engine.no_join
        cfg.busy_poll = config.poll == "busy"
        cfg.spin_us = config.spin_us
        cfg.cc = engine.congestion_control.encode()
        cfg.tcp_engine = engine.tcp.encode()
        ffi.memmove(cfg.secret, secrets.token_bytes(16), 16)
        array = ffi.new("struct sn_port_cfg[]", len(taken))
        for index, port in enumerate(taken):
            c = array[index]
            c.name = port.name.encode()
            c.device = eal.device_name(index, port).encode()
            c.ifindex = port.ifindex
            c.mtu = port.mtu
            c.vlan = port.vlan
            if not port.pci:
                c.frame_size, c.frames = eal.frame_size(port.mtu), eal.frame_count(port.mtu)
            if port.address:
                c.prefix = _put(c.addr, c.gateway, port.address, port.gateway)
            if port.address6:
                c.prefix6 = _put(c.addr6, c.gateway6, port.address6, port.gateway6)
            c.held = sum(2 if six else 1 for six in port.probed)
            c.routes = _put_routes(c.route, port.routes)
            c.routes6 = _put_routes(c.route6, port.routes6)
        return cfg, array

    # ------------------------------------------------------------------------------------------------------ machine

    def _start_eal(self, taken: list[ports.Taken], memory: int, undo: contextlib.ExitStack) -> None:
        words = eal.arguments(self._config, taken, memory)
        held = [ffi.new("char[]", word.encode()) for word in words]
        argv = ffi.new("char *[]", [*held, ffi.NULL])
        allowed = os.sched_getaffinity(0)
        # It pins the calling thread to the first core, where a worker will run.
        code = lib.sn_eal_init(len(words), argv)
        os.sched_setaffinity(0, allowed)
        if code < 0:
            raise StartError(last_error())
        undo.callback(_eal_fini)

    def _remember(self, taken: list[ports.Taken], undo: contextlib.ExitStack) -> dict[str, ports.Saved]:
        """Writes down how everything was, before anything is changed."""
        saved = {p.name: ports.save(p) for p in taken if not p.pci}
        name = self._config.name
        undo.callback(state.remove_eal_dir, eal_dir(name))
        undo.callback(state.remove, name)
        state.write(name, ports.State(os.getpid(), ports.netns(), tuple(saved.values()), eal_dir(name)))
        return saved

    # ------------------------------------------------------------------------------------------------------ workers

    def fork(self, worker: handle.WorkerHandle) -> None:
        """Starts the next process of a worker. The child never comes back from here."""
        parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sys.stdout.flush()
        sys.stderr.flush()
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            # Whatever happens, this copy of the control process ends here.
            try:
                from sennit.lcore import worker as lcore

                keep = self._keep | {child_end.fileno()}
                rings = worker.ring.to_worker, worker.ring.from_worker
                lcore.main(self._runtime, worker.index, worker.lcore, *rings, child_end, keep, me)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(70)
        child_end.close()
        worker.fds = parent_end
        worker.pid = pid

    def _await_workers(self) -> None:
        """Until every worker runs."""
        assert self._handle is not None
        deadline = time.monotonic() + START_S
        waiting = list(self._handle.workers)
        while waiting:
            for worker in list(waiting):
                if worker.cnc().state == "RUN":
                    waiting.remove(worker)
                elif os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    said = [m.error for m in worker.ring.receive() if hasattr(m, "error") and m.error]
                    raise StartError(f"worker {worker.index} {supervise.reap(worker)}{': ' + said[0] if said else ''}")
            if waiting and time.monotonic() > deadline:
                raise StartError(f"worker {waiting[0].index} was not ready within {START_S:.0f} s")
            time.sleep(0.002)


def _refuse_duplicates(taken: list[ports.Taken]) -> None:
    owner: dict[Any, str] = {}
    for port in taken:
        for address in port.addresses:
            other = owner.setdefault(ipaddress.ip_interface(address).ip, port.name)
            if other != port.name:
                raise StartError(
                    f"ports {other} and {port.name} have the same address {address}: change one of them"
                )


def _put(address: Any, gateway: Any, interface: str, router: str | None) -> int:
    """Fills in two C arrays; the length of the prefix."""
    parsed = ipaddress.ip_interface(interface)
    ffi.memmove(address, packed(parsed.ip), 16)
    if router is not None:
        ffi.memmove(gateway, packed(ipaddress.ip_address(router)), 16)
    return parsed.network.prefixlen


def _put_routes(array: Any, texts: Sequence[str]) -> int:
    """Fills in a C array; how many."""
    for c, text in zip(array, texts, strict=False):
        network, via = routes.parse(text)
        c.prefix = network.prefixlen
        ffi.memmove(c.dst, packed(network.network_address), 16)
        ffi.memmove(c.via, packed(via), 16)
    return len(texts)


def packed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """16 bytes, IPv4-mapped if it is IPv4."""
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def eal_dir(name: str) -> str:
    """Where DPDK keeps its files of this instance: needed after a crash, when nobody can ask DPDK."""
    base = os.environ.get("RUNTIME_DIRECTORY") or (
        "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
    )
    return f"{base}/dpdk/sennit-{name}"


def _eal_fini() -> None:
    path = ffi.new("char[]", 512)
    lib.sn_eal_fini(path, 512)
    state.remove_eal_dir(ffi.string(path).decode())


def _give_back(saved: ports.Saved) -> None:
    for sentence in ports.give_back(saved):
        log.error("%s", sentence)
