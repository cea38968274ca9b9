# SPDX-License-Identifier: Apache-2.0
"""A runtime without a network: a control socket and workers that answer on real channels, for tests of the SDK.

What a connection's peer does is chosen by the port that is connected to.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import ctrl_fake
import msgspec

from sennit.sdk import address as addresses
from sennit.shm import framing, messages, native, segment

ffi, lib = native.ffi, native.lib

NO_ROUTE, NO_ANSWER = "fd00::404", "fd00::408"  # hosts
ECHO, SINK, REFUSED, SILENT, HOLD, RESET, SLOW = 7, 9, 1, 2, 3, 4, 5


class Peer:
    def __init__(self, conn: int, mode: int) -> None:
        self.conn = conn
        self.mode = mode
        self.got = bytearray()  # what the application sent
        self.to_deliver: deque[bytes] = deque()
        self.eof_after = False
        self.held: list[int] = []  # lengths not given back
        self.ops: list[int] = []
        self.released = 0
        self.settings: dict[int, int] = {}  # enum sn_set
        self.stays = False  # a close is not answered


class FakeWorker:
    """One worker's side of one session's channel, on a thread."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.segment = segment.ChannelSegment(index, 1024 * 1024, 256 * 1024)
        memory, door_app, door_worker = self.segment.worker_fds
        self.map = mmap.mmap(memory, self.segment.size)
        self.address = ffi.from_buffer(self.map)
        self.door = door_worker
        self.channel = lib.sn_channel_new(self.address, self.segment.size, True, door_app, door_worker)
        self.peers: dict[int, Peer] = {}
        self.listeners: dict[int, tuple[str, int]] = {}
        self.asked: list[str] = []  # hosts of SN_OP_CONNECT
        self.commands: deque[Any] = deque()
        self.choices: list[tuple[int, int]] = []  # (scheduler, congestion control) of each connect and listen
        self.next_conn = 1
        self.slots_out = 0
        self.paused = False
        self.stop = False
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def call(self, function: Any) -> None:
        """Runs function(worker) on the worker's thread and waits for it."""
        done = threading.Event()
        self.commands.append((function, done))
        lib.sn_doorbell_ring(self.segment.app_fds[2])
        assert done.wait(5), f"fake worker is stuck: {self.error!r}"

    def kill(self) -> None:
        """The worker dies, and the control process notices."""
        self._join()
        self.segment.mark_dead()

    def close(self) -> None:
        self._join()
        if self.channel != ffi.NULL:
            lib.sn_channel_free(self.channel)
            self.channel = ffi.NULL
            ffi.release(self.address)
            self.map.close()
        self.segment.close()

    def _join(self) -> None:
        if not self.stop:
            self.stop = True
            lib.sn_doorbell_ring(self.segment.app_fds[2])
        self.thread.join(5)
        assert not self.thread.is_alive()

    # -- on the thread

    def push(self, op: int, conn: int = 0, user: int = 0, res: int = 0, length: int = 0, **more: Any) -> None:
        entry = ffi.new("struct sn_cqe *")
        entry.op, entry.conn, entry.user, entry.res, entry.len = op, conn, user, res, length
        for host, port in (("addr", "port"), ("laddr", "lport")):
            if host in more:
                ffi.memmove(getattr(entry, host), addresses.pack(more[host][0]), 16)
                setattr(entry, port, more[host][1])
        entry.flags = more.get("flags", 0)
        if "lport" in more:
            entry.lport = more["lport"]
        while not lib.sn_worker_push(self.channel, entry):
            lib.sn_worker_notify(self.channel)
            time.sleep(0.001)

    def incoming(self, listener: int, peer: tuple[str, int], mode: int = ECHO) -> int:
        conn = self.next_conn
        self.next_conn += 1
        self.peers[conn] = Peer(conn, mode)
        local = self.listeners[listener]
        self.push(lib.SN_CQ_ACCEPT, conn, listener, addr=peer, laddr=("10.0.0.1", local[1]), flags=lib.SN_CQF_MPTCP)
        return conn

    def _run(self) -> None:
        try:
            entry = ffi.new("struct sn_sqe *")
            while not self.stop:
                work = 0
                while self.commands:
                    function, done = self.commands.popleft()
                    function(self)
                    done.set()
                    work += 1
                while not self.paused and lib.sn_worker_pop(self.channel, entry):
                    self._submission(entry)
                    work += 1
                if lib.sn_channel_violated(self.channel):
                    raise AssertionError("the SDK broke the channel protocol")
                for peer in list(self.peers.values()):
                    work += self._deliver(peer)
                lib.sn_worker_notify(self.channel)
                if not work and lib.sn_worker_sleep(self.channel):
                    if not self.commands and not self.stop:
                        slow = self.paused or any(p.to_deliver for p in self.peers.values())
                        select.select([self.door], [], [], 0.002 if slow else 0.5)
                    lib.sn_worker_wake(self.channel)
        except BaseException as error:
            self.error = error
            raise

    def _deliver(self, peer: Peer) -> int:
        work = 0
        while peer.to_deliver:
            piece = peer.to_deliver[0]
            if lib.sn_worker_deliver(self.channel, peer.conn, piece, len(piece)) != 0:
                return work
            peer.to_deliver.popleft()
            self.slots_out += 1
            work += 1
        if peer.eof_after:
            peer.eof_after = False
            self.push(lib.SN_CQ_EOF, peer.conn)
            work += 1
        return work

    def _submission(self, e: Any) -> None:
        peer = self.peers.get(e.conn)
        if peer is not None:
            peer.ops.append(e.op)
        if e.op in (lib.SN_OP_CONNECT, lib.SN_OP_LISTEN):
            self.choices.append((e.sched, e.cc))
        if e.op == lib.SN_OP_CONNECT:
            self._connect(e)
        elif e.op == lib.SN_OP_LISTEN:
            if e.lport == REFUSED:
                self.push(lib.SN_CQ_LISTENING, user=e.user, res=lib.SN_E_ADDRINUSE)
                return
            assert e.lport, "a worker picks no port"
            self.listeners[e.user] = addresses.unpack(bytes(e.laddr)), e.lport
            self.push(lib.SN_CQ_LISTENING, user=e.user, lport=e.lport)
        elif e.op == lib.SN_OP_UNLISTEN:
            self.listeners.pop(e.user, None)
        elif e.op == lib.SN_OP_RELEASE:
            assert lib.sn_worker_release(self.channel, e.off), "release of a slot that is not out"
            self.slots_out -= 1
            if peer is not None:
                peer.released += e.len
        elif peer is None:
            self.push(lib.SN_CQ_ERROR, e.conn, res=lib.SN_E_NOTCONN)
        elif e.op == lib.SN_OP_SEND:
            self._sent(peer, e)
        elif e.op == lib.SN_OP_SHUTDOWN:
            if peer.mode in (ECHO, SLOW):
                peer.eof_after = True
        elif e.op == lib.SN_OP_SET:
            peer.settings[e.off] = e.len
        elif e.op in (lib.SN_OP_CLOSE, lib.SN_OP_ABORT) and not peer.stays:
            self.push(lib.SN_CQ_CLOSED, e.conn)
            del self.peers[e.conn]

    def _connect(self, e: Any) -> None:
        mode = e.port
        host = addresses.unpack(bytes(e.addr))
        self.asked.append(host)
        if mode == SILENT or host == NO_ANSWER:
            return
        if host == NO_ROUTE:
            self.push(lib.SN_CQ_CONNECTED, user=e.user, res=lib.SN_E_NETUNREACH)
            return
        if e.lport and (e.lport < 1024 or e.lport % 2 != self.index):  # odd and even ports have different owners
            self.push(lib.SN_CQ_CONNECTED, user=e.user, res=lib.SN_E_ADDRNOTAVAIL)
            return
        if mode == REFUSED:
            self.push(lib.SN_CQ_CONNECTED, user=e.user, res=lib.SN_E_REFUSED)
            return
        conn = self.next_conn
        self.next_conn += 1
        self.peers[conn] = Peer(conn, mode)
        remote = host, e.port
        flags = 0 if e.flags & lib.SN_OPF_TCP else lib.SN_CQF_MPTCP
        local = ("10.0.0.1", e.lport or 50000 + conn)
        self.push(lib.SN_CQ_CONNECTED, conn, e.user, addr=remote, laddr=local, flags=flags)
        if mode == RESET:
            self.push(lib.SN_CQ_CLOSED, conn, res=lib.SN_E_RESET)
            del self.peers[conn]

    def _sent(self, peer: Peer, e: Any) -> None:
        room = ffi.new("uint8_t[]", e.len)
        assert lib.sn_worker_fetch(self.channel, e.off, room, e.len) == 0, "send descriptor outside the arena"
        data = bytes(ffi.buffer(room))
        if peer.mode == SLOW:
            time.sleep(0.0005)
        if peer.mode == HOLD:
            peer.got += data
            peer.held.append(e.len)
            return
        self.push(lib.SN_CQ_SENT, peer.conn, length=e.len)
        if peer.mode == SINK:
            peer.got += data
        else:
            peer.to_deliver.extend(data[i : i + 16384] for i in range(0, len(data), 16384))


class FakeRuntime:
    """A control process with fake workers, serving every session on a thread of its own."""

    def __init__(self, directory: Path, workers: int = 2, instance: str = "default") -> None:
        self.path = directory / f"{instance}.sock"
        self.count = workers
        self.sessions: list[dict[int, FakeWorker]] = []
        self.sockets: list[socket.socket] = []
        self.refuse: messages.Failure | None = None
        self.addresses: tuple[str, ...] = ("10.0.0.1",)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(self.path))
        self._server.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def workers(self) -> dict[int, FakeWorker]:
        return self.sessions[-1]

    def peer_of(self, connection: Any) -> tuple[FakeWorker, Peer]:
        worker = self.workers[connection.worker]
        return worker, worker.peers[connection._stream.conn]

    def restart_worker(self, index: int) -> FakeWorker:
        worker = FakeWorker(index)
        self.workers[index].close()
        self.workers[index] = worker
        framing.send_with_fds(self.sockets[-1], framing.encode(messages.WorkerUp(worker=index)), worker.segment.app_fds)
        return worker

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop_sessions()
        for thread in self._threads:
            thread.join(5)
        errors = [w.error for s in self.sessions for w in s.values() if w.error]
        for session in self.sessions:
            for worker in session.values():
                worker.close()
        assert not errors, errors

    def drop_sessions(self) -> None:
        for sock in list(self.sockets):  # a client that is quick to come back appends to it meanwhile
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        decoder = framing.FrameDecoder()
        with sock:
            while True:
                try:
                    data = sock.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                for frame in decoder.feed(data):
                    self._answer(sock, messages.request_decoder.decode(frame))

    def _answer(self, sock: socket.socket, request: msgspec.Struct) -> None:
        if self.refuse is not None:
            sock.sendall(framing.encode(self.refuse))
        elif isinstance(request, messages.Hello):
            sock.sendall(
                framing.encode(messages.Welcome(version=1, instance="default", pid=os.getpid(), workers=self.count))
            )
        elif isinstance(request, messages.GetConn):
            known = request.conn in self.workers[request.worker].peers
            info = ctrl_fake.conn(request.worker, request.conn) if known else None
            sock.sendall(framing.encode(messages.ConnReply(info)))
        elif isinstance(request, messages.Attach):
            workers = {i: FakeWorker(i) for i in range(self.count)}
            self.sessions.append(workers)
            fds = [fd for w in workers.values() for fd in w.segment.app_fds]
            reply = messages.Attached(
                session=1, workers=self.count, channel_bytes=workers[0].segment.size, addresses=self.addresses
            )
            framing.send_with_fds(sock, framing.encode(reply), fds)
