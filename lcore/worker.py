# SPDX-License-Identifier: Apache-2.0
"""A worker's life after the fork: one long C call, interrupted for messages and every 100 ms for housekeeping."""

from __future__ import annotations

import collections
import errno
import gc
import os
import signal
import socket
import struct
import time
from typing import Any, NoReturn

from sennit.lcore import snapshot
from sennit.shm import control_ring, messages, native

ffi, lib = native.ffi, native.lib

HOUSEKEEPING_NS = 100_000_000
IDLE_WINDOW_NS = 500_000_000
STATES = ("BOOT", "RUN", "DRAIN", "HALT", "FAIL")
FLAGS = {"signal": 1, "subflow": 2, "backup": 4, "fullmesh": 8, "laminar": 16}
EVENT_BATCH = 256
NEWS_BATCH = 64
CONN_INDEX = (1 << 20) - 1  # SN_CONN_INDEX_BITS: where a connection's number says its place in the table
DESCRIPTORS_S = 1.0  # how long the descriptors of an announced channel may take

ToWorker = control_ring.ControlRing[messages.ToWorker]
FromWorker = control_ring.ControlRing[messages.FromWorker]


def main(
    runtime: Any, index: int, lcore: int, inbox: ToWorker, outbox: FromWorker, fds: socket.socket, keep: frozenset[int],
    parent: int,
) -> NoReturn:  # fmt: skip
    """Entry right after the fork. Never returns; leaves without any clean-up of what belongs to the control process.

    runtime: struct sn_runtime *; keep: descriptors that are ours too; parent: the control process.
    """
    status = 1
    try:
        detach(keep)
        os.sched_setaffinity(0, {lcore})
        c_worker = lib.sn_worker_create(runtime, index, inbox.view(False), inbox.fileno())
        if c_worker == ffi.NULL:
            outbox.try_send(messages.WorkerError(ffi.string(lib.sn_last_error()).decode(errors="replace")))
        else:
            Worker(c_worker, index, lcore, runtime, inbox, outbox, fds, parent).run()
            status = 0
    except Exception as error:
        outbox.try_send(messages.WorkerError(f"{type(error).__name__}: {error}"))
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def detach(keep: frozenset[int]) -> None:
    """Lets go of what a control process that was already serving had open, and of its signal handling."""
    gc.freeze()  # nothing of the parent's is ever finalised here: its descriptors' numbers may be ours tomorrow
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # until there is somebody to handle it
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep and int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass


class Worker:
    """The Python side of one worker. c_worker: struct sn_worker *."""

    def __init__(
        self, c_worker: Any, index: int, lcore: int, runtime: Any, inbox: ToWorker, outbox: FromWorker,
        fds: socket.socket, parent: int,
    ) -> None:  # fmt: skip
        self._c = c_worker
        self._parent = parent
        self._index = index
        self._lcore = lcore
        self._cnc = lib.sn_runtime_cnc(runtime, index)
        self._inbox = inbox
        self._outbox = outbox
        self._unsent: collections.deque[messages.FromWorker] = collections.deque()
        self._fds = fds
        self._descriptors: dict[int, list[int]] = {}
        self._started = time.monotonic()
        self._stop = False
        self._draining = False
        self._mark = (lib.sn_worker_now(c_worker), self._cnc.busy_ns, self._cnc.idle_ns)
        self._idle_share = 1.0
        self._conns = ffi.new("struct sn_conn_info[64]")
        self._subflows = ffi.new("struct sn_subflow_info[16]")
        self._events = ffi.new("struct sn_pm_event[]", EVENT_BATCH)
        self._news = ffi.new("struct sn_neigh_news[]", NEWS_BATCH)
        self._limits = messages.Limits()
        self._counter_names = _names(lib.sn_worker_counter_name)
        self._table_names = _names(lib.sn_worker_table_name)
        fds.settimeout(DESCRIPTORS_S)

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._on_term)
        self._stop = os.getppid() != self._parent  # it died before we asked to hear of it
        lib.sn_worker_news_watch(self._c)
        lib.sn_worker_set_state(self._c, lib.SN_CNC_RUN)
        self._say(messages.Ready(os.getpid()))
        while not self._stop:
            why = lib.sn_worker_run(self._c, time.clock_gettime_ns(time.CLOCK_MONOTONIC) + HOUSEKEEPING_NS)
            if why & lib.SN_RUN_CONTROL:
                self._inbox.wake()
                while not self._stop and (message := self._inbox.receive()) is not None:
                    self._handle(message)
            if why & (lib.SN_RUN_VIOLATION | lib.SN_RUN_DEADLINE):
                self._housekeeping()
            if why & lib.SN_RUN_EVENTS:
                self._tell_news()
                self._tell_events()
            while self._unsent and self._outbox.try_send(self._unsent[0]):
                self._unsent.popleft()
        lib.sn_worker_abort(self._c)
        lib.sn_worker_set_state(self._c, lib.SN_CNC_HALT)

    def _on_term(self, number: int, frame: object) -> None:
        """Comes when the control process has died. While it lives, it is the one to say when we leave: a signal to the
        whole process group (a terminal, a service manager) is for it."""
        if os.getppid() != self._parent:
            self._stop = True

    def _say(self, message: messages.FromWorker) -> None:
        if self._unsent or not self._outbox.try_send(message):
            self._unsent.append(message)

    # ----------------------------------------------------------------------------------------------------- messages

    def _handle(self, message: messages.ToWorker) -> None:
        match message:
            case messages.AttachChannel(session=session):
                self._say(messages.ChannelAttached(session, self._attach(session)))
            case messages.DetachChannel(session=session):
                lib.sn_worker_channel_detach(self._c, session)
                self._drop_descriptors(session)
                self._say(messages.ChannelDetached(session))
            case messages.PutEndpoint():
                self._put_endpoint(message)
            case messages.RemoveEndpoint(id=number):
                lib.sn_worker_endpoint_del(self._c, number)
            case messages.PutLimits(limits=limits, manual=manual):
                self._limits = limits
                words = (limits.subflows, limits.add_addr_accepted, limits.ndiffports, manual)
                lib.sn_worker_limits_set(self._c, ffi.new("struct sn_pm_limits *", words))
            case messages.Watch(on=on):
                lib.sn_worker_watch(self._c, on)
            case messages.PathCommand():
                self._say(messages.PathDone(message.seq, self._step(message)))
            case messages.Neighbour():
                self._order(message)
            case messages.Query():
                self._answer(message)
            case messages.SiblingRestarted():
                lib.sn_worker_siblings(self._c)
            case messages.Drain():
                self._draining = True
                lib.sn_worker_set_state(self._c, lib.SN_CNC_DRAIN)
                lib.sn_worker_drain(self._c)
                self._housekeeping()
            case messages.Halt():
                self._stop = True

    def _attach(self, session: int) -> str | None:
        """None, or what went wrong. The descriptors were sent before the message."""
        try:
            while session not in self._descriptors:
                tag, received, _, _ = socket.recv_fds(self._fds, 8, 8)
                if not tag:
                    return f"worker {self._index}: the control process closed the descriptor socket"
                (number,) = struct.unpack("=Q", tag)
                self._drop_descriptors(number)
                self._descriptors[number] = list(received)
        except (TimeoutError, OSError, struct.error) as error:
            return f"worker {self._index} got no descriptors for session {session}: {error}"
        received = self._descriptors.pop(session)
        if len(received) != 3:
            for fd in received:
                os.close(fd)
            return f"worker {self._index} got {len(received)} descriptors for session {session} instead of 3"
        if lib.sn_worker_channel_attach(self._c, session, *received) < 0:
            return str(ffi.string(lib.sn_last_error()).decode(errors="replace"))
        return None

    def _drop_descriptors(self, session: int) -> None:
        for fd in self._descriptors.pop(session, ()):
            os.close(fd)

    def _put_endpoint(self, message: messages.PutEndpoint) -> None:
        given = message.endpoint
        c = ffi.new("struct sn_endpoint *")
        c.id = given.id
        c.flags = sum(FLAGS.get(flag, 0) for flag in set(given.flags))
        c.tcp_port = given.port
        c.nic_port = message.port_index
        ffi.memmove(c.addr, snapshot.packed(given.address), 16)
        code = lib.sn_worker_endpoint_add(self._c, c)
        if code < 0:
            what = f"endpoint {given.id} {given.address} not added"
            self._say(messages.WorkerError(f"worker {self._index}: {what}: {os.strerror(-code)}"))

    # ------------------------------------------------------------------------------------------------ path manager

    def _step(self, message: messages.PathCommand) -> int:
        """An errno."""
        c = ffi.new("struct sn_pm_command *")
        try:
            c.op, c.conn, c.token = snapshot.OPS[message.op], message.conn, message.token
            c.subflow, c.backup = message.subflow, message.backup
            c.lport, c.rport = message.local_port, message.remote_port
            ffi.memmove(c.laddr, snapshot.packed(message.local), 16)
            ffi.memmove(c.raddr, snapshot.packed(message.remote), 16)
        except (KeyError, ValueError, OverflowError):
            return errno.EINVAL
        return -int(lib.sn_worker_pm_command(self._c, c))

    def _tell_events(self) -> None:
        """While the control process is slow, they stay in the engine, where their number is bounded."""
        lost = ffi.new("uint64_t *")
        while not self._unsent and (n := lib.sn_worker_events(self._c, self._events, EVENT_BATCH, lost)):
            now = time.time()
            told = tuple(snapshot.path_event(self._events[i], worker=self._index, time=now) for i in range(n))
            self._say(messages.PathEvents(told, lost[0]))
            lost[0] = 0

    # --------------------------------------------------------------------------------------------------- neighbours

    def _order(self, message: messages.Neighbour) -> None:
        mac = bytes.fromhex(message.mac.replace(":", "")) if message.mac else bytes(6)
        c = ffi.new("struct sn_neigh_order *")
        c.op, c.port, c.hold_ms = snapshot.NEIGHBOUR_OPS[message.op], message.port, message.hold_ms
        ffi.memmove(c.mac, mac, 6)
        ffi.memmove(c.addr, snapshot.packed(message.address), 16)
        lib.sn_worker_order(self._c, c)

    def _tell_news(self) -> None:
        """While the control process is slow, they stay in the engine, where their number is bounded."""
        if not self._unsent and (n := lib.sn_worker_news(self._c, self._news, NEWS_BATCH)):
            self._say(messages.NeighbourReport(tuple(snapshot.neighbour_news(self._news[i]) for i in range(n))))

    # ------------------------------------------------------------------------------------------------- housekeeping

    def _housekeeping(self) -> None:
        while session := lib.sn_worker_violation(self._c):
            lib.sn_worker_channel_detach(self._c, session)
            self._say(messages.ChannelDetached(session, violation=True))
        now = lib.sn_worker_now(self._c)
        if now - self._mark[0] >= IDLE_WINDOW_NS:
            after = (self._cnc.busy_ns, self._cnc.idle_ns)
            self._idle_share = snapshot.idle_share(self._mark[1:], after)
            self._mark = (now, *after)
        if self._draining and not lib.sn_worker_conns(self._c):
            self._draining = False
            self._say(messages.Drained())

    # ------------------------------------------------------------------------------------------------------- views

    def _answer(self, query: messages.Query) -> None:
        """A snapshot too large for the ring is cut."""
        most = query.max_conns
        while True:
            message = messages.Snapshot(query.seq, self._info(), self._list_conns(most, query.conn))
            try:
                if not self._unsent and self._outbox.try_send(message):
                    return
                self._unsent.append(message)
                return
            except OSError as error:
                if error.errno != errno.EMSGSIZE or not most:
                    raise
                most = min(most, len(message.conns)) // 2

    def _info(self) -> messages.WorkerInfo:
        c = self._c
        counters = ffi.new("uint64_t[]", len(self._counter_names))
        tables = ffi.new("struct sn_table_info[]", len(self._table_names))
        counted = lib.sn_worker_counters(c, counters, len(self._counter_names))
        listed = lib.sn_worker_tables(c, tables, len(self._table_names))
        return messages.WorkerInfo(
            worker=self._index,
            lcore=self._lcore,
            pid=os.getpid(),
            state=STATES[self._cnc.state],
            restarts=self._cnc.restarts,
            heartbeat_age_ms=0.0,
            uptime_s=time.monotonic() - self._started,
            loops=self._cnc.loops,
            idle_share=self._idle_share,
            conns=lib.sn_worker_conns(c),
            pool_free=lib.sn_worker_pool_free(c),
            pool_size=lib.sn_worker_pool_size(c),
            counters={self._counter_names[i]: counters[i] for i in range(counted)},
            tables={self._table_names[i]: snapshot.table(tables[i]) for i in range(listed)},
        )

    def _list_conns(self, most: int, only: int) -> tuple[messages.ConnInfo, ...]:
        found: list[messages.ConnInfo] = []
        cursor = ffi.new("uint32_t *", only & CONN_INDEX)
        now = lib.sn_worker_now(self._c)
        while len(found) < most and cursor[0] != 0xFFFFFFFF:
            n = lib.sn_worker_conn_info(self._c, cursor, self._conns, min(64, most - len(found)))
            for i in range(n):
                c = self._conns[i]
                if only and c.conn != only:
                    return ()
                m = lib.sn_worker_subflow_info(self._c, c.conn, self._subflows, 16)
                found.append(
                    snapshot.conn(
                        c,
                        tuple(snapshot.subflow(self._subflows[j], now) for j in range(m)),
                        worker=self._index,
                        session=lib.sn_worker_session(self._c, c.channel),
                        now=now,
                        limits=self._limits,
                    )
                )
            if not n:
                break
        return tuple(found)


def _names(name_of: Any) -> list[str]:
    names: list[str] = []
    while (text := name_of(len(names))) != ffi.NULL:
        names.append(ffi.string(text).decode())
    return names
