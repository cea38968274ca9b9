# SPDX-License-Identifier: Apache-2.0
"""This process's session with one instance: the control socket, one channel per worker, and who waits for what.

There is no background thread. A thread that must wait becomes the pump, if nobody is: it takes completions from all
channels, hands them to streams and listeners, and sleeps on the doorbells. The others wait for their own condition.
A pump that has what it wanted passes the office on. While somebody pumps, nobody else takes completions: so what a
waiter waits for is always announced either by a doorbell or by its condition.
"""

from __future__ import annotations

import atexit
import errno
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sennit.sdk import address as addresses
from sennit.sdk.arena import SEND_LIMIT, SendQueue
from sennit.sdk.channel import BATCH, Channel
from sennit.sdk.stream import Stream
from sennit.shm import control_client, errors, framing, messages, native
from sennit.shm.segment import FDS_PER_CHANNEL

if TYPE_CHECKING:
    from sennit.sdk.listener import Backlog

lib = native.lib

FULL_RING_PAUSE = 0.0005
WORKER_PATIENCE = 5.0  # how long connect() and listen() wait for a worker that is being restarted
INFO_TIMEOUT = 5.0
LINGER = 30.0  # at exit: how long bytes that were sent may take to be acknowledged
LINGER_CLOSE = 2.0  # and how long the close after them may take


class Pending:
    """A connect that is under way."""

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.stream: Stream | None = None
        self.error: int | None = None
        self.abandoned = False
        self.queue: SendQueue | None = None
        self.loaded = 0  # bytes of it that went along, to be sent first

    def done(self) -> bool:
        return self.stream is not None or self.error is not None

    def load(self, channel: Channel, data: bytes) -> int:
        """Puts the beginning of `data` into the arena; returns its offset there."""
        self.queue = SendQueue(channel.arena, SEND_LIMIT)
        offset, room = self.queue.room()
        self.loaded = min(room, len(data))
        if self.loaded:
            at = channel.tx_offset + offset
            channel.memory[at : at + self.loaded] = data[: self.loaded]
            self.queue.commit(self.loaded)
        return offset

    def fail(self, error: int) -> None:
        self.error = error
        if self.queue is not None:
            self.queue.drop()
        self.changed.notify_all()


class Session:
    """All attributes are protected by `lock`."""

    def __init__(self, instance: str, timeout: float | None = 10.0) -> None:
        self.instance = instance
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.over = False
        self.channels: dict[int, Channel] = {}
        self.pending: dict[tuple[Channel, int], Pending] = {}
        self.listeners: dict[int, Backlog] = {}
        self._pumping = False
        self._waiting: list[threading.Condition] = []
        self._token = 0
        self._next_worker = 0
        self._workers_changed = threading.Condition(self.lock)
        self._poller = select.poll()
        self._forgotten: deque[Stream] = deque()  # filled without the lock
        self._asking = threading.Lock()
        self._questions: framing.FramedSocket | None = None
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._nudge, select.POLLIN)
        self._doors: dict[int, Channel] = {}
        try:
            self._control, _welcome = control_client.dial(instance, f"python pid {self.pid}", timeout)
        except BaseException:
            os.close(self._nudge)
            raise
        try:
            reply = self._control.request(messages.Attach(), timeout)
            if not isinstance(reply, messages.Attached):
                raise errors.ProtocolError(errno.EPROTO, f"{type(reply).__name__} in answer to Attach")
            with self.lock:
                for _ in range(reply.workers):
                    self._add_channel(Channel(self._control.take_fds(FDS_PER_CHANNEL)))
        except BaseException:
            self._control.close()
            os.close(self._nudge)
            raise
        self.session = reply.session
        self.addresses = reply.addresses  # of the ports: numeric hosts
        self._poller.register(self._control, select.POLLIN)

    # -- waiting

    def wait(self, changed: threading.Condition, ready: Callable[[], bool], deadline: float | None) -> bool:
        """Lock held. True as soon as ready() is; False at the deadline (time.monotonic())."""
        looked = False
        try:
            while not ready():
                left = math.inf if deadline is None else deadline - time.monotonic()
                if left <= 0 and looked:
                    return False
                looked = True
                if not self._pumping:
                    self._pumping = True
                    try:
                        self._pump(max(left, 0.0))
                    finally:
                        self._pumping = False
                elif left > 0:
                    self._waiting.append(changed)
                    try:
                        changed.wait(None if left == math.inf else left)
                    finally:
                        self._waiting.remove(changed)
            return True
        finally:
            if self._waiting and not self._pumping:
                self._waiting[0].notify_all()

    def pause(self, channel: Channel, deadline: float | None) -> None:
        """Lock held, given up for a moment: the worker has to empty its submission ring. TimeoutError."""
        channel.notify()
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(errno.ETIMEDOUT, "timed out: the worker does not take submissions")
        self.lock.release()
        try:
            time.sleep(FULL_RING_PAUSE)
        finally:
            self.lock.acquire()
        if channel.is_lost():
            self._lose(channel)

    def forget(self, stream: Stream) -> None:
        """From a finalizer, which may run anywhere: no lock. The stream is closed at the next opportunity."""
        self._forgotten.append(stream)
        self.nudge()

    def nudge(self) -> None:
        """Something changed that no doorbell announces: the pump looks again."""
        if self._pumping and not self.over:
            os.eventfd_write(self._nudge, 1)

    def _pump(self, seconds: float) -> None:
        """Lock held, given up while asleep. Takes what is there; sleeps only if nothing is."""
        if self.over:
            raise ConnectionResetError(errno.ECONNRESET, f"the session with sennit instance {self.instance!r} is over")
        while self._forgotten:
            self.close_stream(self._forgotten.popleft())
        if self._reap():
            return
        idle = True
        for channel in self.channels.values():
            idle &= channel.sleep()
            if channel.backlog:
                seconds = min(seconds, 2 * FULL_RING_PAUSE)
        timeout = None if seconds == math.inf else math.ceil(seconds * 1000) if idle else 0
        if not idle:
            timeout = 0
        self.lock.release()
        try:
            events = self._poller.poll(timeout)
        finally:
            self.lock.acquire()
        self._look_round(events)

    def _look_round(self, events: list[tuple[int, int]]) -> None:
        """Lock held. After a sleep."""
        if self.over:
            return
        rung = {fd for fd, _event in events}
        for channel in list(self.channels.values()):
            channel.wake(channel.door_app in rung)
            if channel.is_lost():
                self._lose(channel)
        if self._nudge in rung:
            os.eventfd_read(self._nudge)
        if self._control.fileno() in rung:
            self._hear()
        self._reap()

    def _reap(self) -> int:
        """Lock held. Hands completions out; returns how many."""
        total = 0
        for channel in list(self.channels.values()):
            while batch := channel.reap():
                total += len(batch)
                for completion in batch:
                    self._dispatch(channel, completion)
                if len(batch) < BATCH:
                    break
        return total

    # -- completions

    def _dispatch(self, channel: Channel, entry: Any) -> None:
        op = entry.op
        if op in (lib.SN_CQ_RECV, lib.SN_CQ_SENT, lib.SN_CQ_EOF, lib.SN_CQ_CLOSED):
            stream = channel.streams.get(entry.conn)
            if stream is None:
                if op == lib.SN_CQ_RECV:
                    channel.release(entry.conn, entry.off, 0)
                    channel.notify()
            elif op == lib.SN_CQ_RECV:
                stream.on_received(entry.off, entry.len)
            elif op == lib.SN_CQ_SENT:
                if stream.on_sent(entry.len):
                    self._feed_starved(channel)
            elif op == lib.SN_CQ_EOF:
                stream.on_eof()
            else:
                del channel.streams[entry.conn]
                stream.on_closed(entry.res)
                self._feed_starved(channel)
                self._workers_changed.notify_all()
        elif op == lib.SN_CQ_CONNECTED:
            self._connected(channel, entry)
        elif op == lib.SN_CQ_ACCEPT:
            backlog = self.listeners.get(entry.user)
            stream = self._new_stream(channel, entry)
            if backlog is None:
                self.abort(stream)
            else:
                backlog.on_accept(stream)
        elif op == lib.SN_CQ_LISTENING:
            backlog = self.listeners.get(entry.user)
            if backlog is not None:
                backlog.on_listening(channel, entry.res)
        elif op == lib.SN_CQ_ERROR:
            self._refused(channel, entry)

    def _connected(self, channel: Channel, entry: Any) -> None:
        pending = self.pending.pop((channel, entry.user), None)
        if entry.res < 0:
            if pending is not None:
                pending.fail(-entry.res)
            return
        stream = self._new_stream(channel, entry, None if pending is None else pending.queue)
        if pending is None or pending.abandoned:
            self.abort(stream)
            return
        pending.stream = stream
        pending.changed.notify_all()

    def _refused(self, channel: Channel, entry: Any) -> None:
        pending = self.pending.pop((channel, entry.user), None) if entry.user else None
        if pending is not None:
            pending.fail(-entry.res)
            return
        backlog = self.listeners.get(entry.user) if entry.user else None
        if backlog is not None:
            backlog.on_listening(channel, entry.res)
            return
        stream = channel.streams.get(entry.conn)
        if stream is not None and not stream.close_sent:
            stream.error = stream.error or -entry.res
            stream.changed.notify_all()
            self.abort(stream)

    def _new_stream(self, channel: Channel, entry: Any, queue: SendQueue | None = None) -> Stream:
        local = addresses.unpack(bytes(entry.laddr)), int(entry.lport)
        remote = addresses.unpack(bytes(entry.addr)), int(entry.port)
        mptcp = bool(entry.flags & lib.SN_CQF_MPTCP)
        queue = queue or SendQueue(channel.arena, SEND_LIMIT)
        stream = Stream(channel, entry.conn, self.lock, queue, local=local, remote=remote, mptcp=mptcp)
        channel.streams[entry.conn] = stream
        return stream

    @staticmethod
    def _feed_starved(channel: Channel) -> None:
        for stream in channel.starved:
            stream.changed.notify_all()
        channel.starved.clear()

    # -- questions

    def info(self, worker: int, conn: int) -> messages.ConnInfo:
        """Lock not held. Over a socket of its own: the session's carries what comes unasked."""
        with self._asking:
            if self._questions is None:
                self._questions, _ = control_client.dial(self.instance, f"python pid {self.pid}: info", INFO_TIMEOUT)
            try:
                reply = self._questions.request(messages.GetConn(worker, conn), INFO_TIMEOUT)
            except BaseException:
                self._questions.close()  # a late answer must not be taken for the next one's
                self._questions = None
                raise
        if not isinstance(reply, messages.ConnReply):
            raise errors.ProtocolError(errno.EPROTO, f"{type(reply).__name__} in answer to GetConn")
        if reply.conn is None:
            raise OSError(errno.ENOTCONN, "the connection is over")
        return reply.conn

    # -- requests

    def token(self) -> int:
        """Lock held. A new name for a connect or a listener."""
        self._token += 1
        return self._token

    def pick_channel(self, deadline: float | None) -> Channel:
        """Lock held. The next live worker's channel; waits a little while none is alive."""
        for channel in list(self.channels.values()):
            if channel.is_lost():
                self._lose(channel)
        patience = time.monotonic() + WORKER_PATIENCE
        until = patience if deadline is None else min(patience, deadline)
        if not self.wait(self._workers_changed, lambda: self.over or bool(self.channels), until):
            raise errors.Error(
                errno.EHOSTDOWN, f"no worker of sennit instance {self.instance!r} is alive; see 'sennit status'"
            )
        if self.over:
            raise errors.NotRunning(errno.ECONNRESET, f"sennit instance {self.instance!r} went away")
        order = sorted(self.channels)
        self._next_worker += 1
        return self.channels[order[self._next_worker % len(order)]]

    def submit(self, channel: Channel, deadline: float | None, op: int, **fields: Any) -> None:
        """Lock held. Submits, waiting for room in the ring; silent if the channel is lost."""
        while not channel.lost:
            if channel.submit(op, **fields):
                channel.notify()
                return
            self.pause(channel, deadline)

    def abort(self, stream: Stream) -> None:
        """Lock held."""
        if not stream.closed and not stream.channel.lost:
            stream.discard_received(consumed=False)
            if not stream.close_sent:
                stream.close_sent = True
                self.submit(stream.channel, None, lib.SN_OP_ABORT, conn=stream.conn)
        stream.changed.notify_all()
        self.nudge()

    def close_stream(self, stream: Stream) -> None:
        """Lock held. Orderly; what was sent still arrives."""
        if not stream.close_sent and not stream.channel.lost:
            stream.discard_received(consumed=False)
            if not stream.closed:
                self.submit(stream.channel, None, lib.SN_OP_CLOSE, conn=stream.conn)
        stream.close_sent = stream.write_shut = stream.read_shut = True
        stream.channel.notify()
        stream.changed.notify_all()
        self.nudge()

    # -- workers and control process

    def _add_channel(self, channel: Channel) -> None:
        old = self.channels.get(channel.worker)
        if old is not None:
            self._lose(old)
        self.channels[channel.worker] = channel
        self._doors[channel.door_app] = channel
        self._poller.register(channel.door_app, select.POLLIN)
        for backlog in list(self.listeners.values()):
            backlog.on_worker(channel)
        self._workers_changed.notify_all()

    def _lose(self, channel: Channel) -> None:
        """The worker is gone, and all its connections with it."""
        if channel.lost:
            return
        channel.lost = True
        if self.channels.get(channel.worker) is channel:
            del self.channels[channel.worker]
        self._poller.unregister(channel.door_app)
        del self._doors[channel.door_app]
        for stream in list(channel.streams.values()):
            stream.closed = True
            stream.fail(errno.ECONNRESET)
        channel.streams.clear()
        self._feed_starved(channel)
        for key in [key for key in self.pending if key[0] is channel]:
            self.pending.pop(key).fail(errno.ECONNRESET)
        for backlog in self.listeners.values():
            backlog.on_worker_gone(channel)
        self._workers_changed.notify_all()
        channel.close()
        self.nudge()

    def _hear(self) -> None:
        try:
            while (message := self._control.receive_nowait()) is not None:
                if isinstance(message, messages.WorkerDown):
                    channel = self.channels.get(message.worker)
                    if channel is not None and channel.is_lost():
                        self._lose(channel)
                elif isinstance(message, messages.WorkerUp):
                    self._add_channel(Channel(self._control.take_fds(FDS_PER_CHANNEL)))
        except (ConnectionError, errors.ProtocolError):
            self._end()

    def _end(self) -> None:
        """The control process is gone: so is everything."""
        if self.over:
            return
        self.over = True
        for channel in list(self.channels.values()):
            self._lose(channel)
        for backlog in self.listeners.values():
            backlog.changed.notify_all()
        self._poller.unregister(self._control)
        self._control.close()
        if self._questions is not None and self._asking.acquire(blocking=False):
            self._questions.close()
            self._questions = None
            self._asking.release()
        self._workers_changed.notify_all()

    def close(self) -> None:
        """Lock not held. Ends the session at once."""
        with self.lock:
            self._end()
            self.nudge()

    def linger(self) -> None:
        """Lock not held. At exit: lets closed connections deliver what was sent, then ends the session."""
        with self.lock:
            while self._forgotten and not self.over:
                self.close_stream(self._forgotten.popleft())
            start = time.monotonic()
            while not self.over:
                closing = [s for c in self.channels.values() for s in c.streams.values() if s.close_sent]
                if not closing:
                    break
                unsent = any(s.queue.outstanding for s in closing)
                until = start + LINGER if unsent else min(start + LINGER, time.monotonic() + LINGER_CLOSE)
                count = len(closing)
                if not self.wait(self._workers_changed, partial(self._progress, count, unsent), until):
                    break
            self._end()

    def _progress(self, count: int, unsent: bool) -> bool:
        closing = [s for c in self.channels.values() for s in c.streams.values() if s.close_sent]
        return self.over or len(closing) < count or (unsent and not any(s.queue.outstanding for s in closing))

    def abandon(self) -> None:
        """In the child of a fork: the session is the parent's. Closes this process's copies, tells nobody."""
        self.lock = threading.Lock()
        self.over = True
        self._pumping = False
        self._control.close()
        self._asking = threading.Lock()
        if self._questions is not None:
            self._questions.close()
            self._questions = None
        os.close(self._nudge)
        for channel in self.channels.values():
            channel.lost = True
            for stream in channel.streams.values():
                stream.closed = stream.eof = True
                stream.error = errno.ECONNRESET
            channel.streams.clear()
            channel.close()
        self.channels.clear()
        self.listeners.clear()


class Registry:
    """The sessions of this process, by instance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def get(self, instance: str | None, timeout: float | None) -> Session:
        name = control_client.instance_name(instance)
        key = str(control_client.socket_path(name))
        with self._lock:
            session = self._sessions.get(key)
            if session is None or session.over:
                session = self._sessions[key] = Session(name, timeout)
            return session

    def close(self) -> None:
        """At exit, and between tests."""
        with self._lock:
            sessions = list(self._sessions.values())
            self._sessions.clear()
        for session in sessions:
            session.linger()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for session in self._sessions.values():
            session.abandon()
        self._sessions.clear()


registry = Registry()
atexit.register(registry.close)
os.register_at_fork(after_in_child=registry.after_fork)
