# SPDX-License-Identifier: Apache-2.0
"""Application sessions: their channels, from Attach to the last worker's ChannelDetached, through worker deaths.

A session has one channel per worker. The control process keeps the memory mapped and the application's doorbells open,
so that it can mark a channel dead and wake the application when a worker dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from sennit.ctrl import contract, links, policy
from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

MAX_SESSIONS = 64  # per worker, and every session is with every worker
ATTACH_TIMEOUT_S = 2.0
DETACH_TIMEOUT_S = 0.9
ENOMEM, EBUSY, EINVAL, EIO = 12, 16, 22, 5


class Channel(Protocol):
    """The control process's hold on one channel: `sennit.shm.segment.ChannelSegment`."""

    @property
    def size(self) -> int: ...
    @property
    def app_fds(self) -> tuple[int, int, int]: ...
    @property
    def worker_fds(self) -> tuple[int, int, int]: ...
    def mark_dead(self) -> None: ...  # and wakes the application
    def close(self) -> None: ...


MakeChannel = Callable[[int, int, int], Channel]  # worker, tx_bytes, rx_bytes
Send = Callable[[messages.Reply, Sequence[int]], None]


class AppError(Exception):
    """An Attach that cannot be met: one sentence and the errno that fits."""

    def __init__(self, sentence: str, errno: int) -> None:
        super().__init__(sentence)
        self.errno = errno


class Session:
    """One attached application. send: queues a message with descriptors on its control socket."""

    def __init__(self, number: int, *, pid: int, uid: int, name: str, send: Send) -> None:
        self.number = number
        self.pid, self.uid, self.name = pid, uid, name
        self.send = send
        self.started = time.monotonic()
        self.channels: list[Channel] = []
        self.tx_bytes = self.rx_bytes = 0
        self.attached = False
        self.violation = False
        self.lock = asyncio.Lock()
        self.closed = False

    def info(self) -> messages.SessionInfo:
        return messages.SessionInfo(
            session=self.number,
            pid=self.pid,
            uid=self.uid,
            name=self.name,
            shm_bytes=sum(channel.size for channel in self.channels),
            age_s=round(time.monotonic() - self.started, 3),
        )


class Apps:
    """All sessions of an instance. dismiss: closes the control socket of a session that broke the rules."""

    def __init__(
        self,
        handle: contract.Handle,
        workers: Sequence[links.WorkerLink],
        dismiss: Callable[[Session, str], None],
        make_channel: MakeChannel,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        self._handle = handle
        self._make_channel = make_channel
        self._links = workers
        self._dismiss = dismiss
        self._max = min(max_sessions, MAX_SESSIONS)
        self._sessions: dict[int, Session] = {}
        self._next = 1
        self._tasks: set[asyncio.Task[None]] = set()

    def infos(self) -> tuple[messages.SessionInfo, ...]:
        return tuple(session.info() for session in self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)

    async def attach(self, request: messages.Attach, *, pid: int, uid: int, name: str, send: Send) -> Session:
        """Makes the session, tells every worker and answers the application. Raises AppError."""
        if len(self._sessions) >= self._max:
            raise AppError(
                f"all {self._max} application sessions are in use: end an application, or start another instance", EBUSY
            )
        session = Session(self._number(), pid=pid, uid=uid, name=name, send=send)
        session.tx_bytes, session.rx_bytes = request.tx_bytes, request.rx_bytes
        self._sessions[session.number] = session
        async with session.lock:
            try:
                for link in self._links:
                    session.channels.append(self._channel(session, link.index))
                errors = await asyncio.gather(*(self._introduce(session, link) for link in self._links))
                for error in errors:
                    if error is not None:
                        raise AppError(error, EIO)
            except ValueError as error:
                await self._end(session)
                raise AppError(str(error), EINVAL) from None
            except (OSError, MemoryError) as error:
                await self._end(session)
                reason = getattr(error, "strerror", None) or "no memory"
                raise AppError(
                    f"no memory or descriptors for another session ({reason}): end an application, or ask for smaller "
                    "tx_bytes and rx_bytes", getattr(error, "errno", None) or ENOMEM,
                ) from None  # fmt: skip
            except BaseException:
                await self._end(session)
                raise
            answer = messages.Attached(
                session=session.number,
                workers=len(self._links),
                channel_bytes=session.channels[0].size,
                addresses=policy.port_addresses(self._handle.port_info()),
            )
            send(answer, [fd for channel in session.channels for fd in channel.app_fds])
            session.attached = True
        return session

    async def detach(self, session: Session) -> None:
        """The application is gone or dismissed: every worker lets go, then the memory does."""
        async with session.lock:
            await self._end(session)

    async def detach_all(self) -> None:
        await asyncio.gather(*(self.detach(session) for session in list(self._sessions.values())))

    def worker_down(self, index: int) -> None:
        """Applications must not wait for a dead worker: mark, wake, say."""
        for session in self._sessions.values():
            if index < len(session.channels):
                session.channels[index].mark_dead()
                if session.attached:
                    session.send(messages.WorkerDown(worker=index), ())

    def worker_up(self, index: int) -> None:
        """A new worker knows nobody: each session gets a fresh channel with it."""
        for session in list(self._sessions.values()):
            task = asyncio.get_running_loop().create_task(self._renew(session, index))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def channel_ended(self, index: int, message: messages.ChannelDetached) -> None:
        """A worker let go of a channel by itself."""
        session = self._sessions.get(message.session)
        if session is None or session.closed or not message.violation or session.violation:
            return
        session.violation = True
        for channel in session.channels:
            channel.mark_dead()
        log.warning("session %d (pid %d) broke the channel protocol with worker %d", session.number, session.pid, index)
        self._dismiss(session, f"session {session.number} was ended: the application broke the channel protocol")

    def in_child(self) -> None:
        """A newly forked worker keeps nothing of the sessions; its own channels come to it as descriptors."""
        for session in self._sessions.values():
            for channel in session.channels:
                with contextlib.suppress(OSError):
                    channel.close()

    # ------------------------------------------------------------------------------------------------------- inside

    def _number(self) -> int:
        while self._next in self._sessions or self._next == 0:
            self._next = (self._next + 1) & 0xFFFFFFFF
        number = self._next
        self._next = (self._next + 1) & 0xFFFFFFFF
        return number

    def _channel(self, session: Session, index: int) -> Channel:
        channel = self._make_channel(index, session.tx_bytes, session.rx_bytes)
        if not self._links[index].alive:
            channel.mark_dead()
        return channel

    async def _introduce(self, session: Session, link: links.WorkerLink) -> str | None:
        """Gives the worker its end of the channel. Returns why it refused, or None."""
        channel = session.channels[link.index]
        if not link.alive:
            return None  # marked dead; a fresh channel follows when the worker is back
        try:
            self._handle.workers[link.index].send_fds(session.number, channel.worker_fds)
            message = messages.AttachChannel(session=session.number)
            answer = await link.ask(message, ("attached", session.number), ATTACH_TIMEOUT_S)
        except links.WorkerGone:
            channel.mark_dead()
            return None
        except TimeoutError:
            return f"worker {link.index} did not answer within {ATTACH_TIMEOUT_S:.0f} s: see `sennit status`"
        except OSError as error:
            return f"worker {link.index} could not be handed the session's memory: {error.strerror}"
        assert isinstance(answer, messages.ChannelAttached)
        return None if answer.error is None else f"worker {link.index} refused the session: {answer.error}"

    async def _dismissed(self, session: Session, link: links.WorkerLink) -> None:
        try:
            message = messages.DetachChannel(session=session.number)
            await link.ask(message, ("detached", session.number), DETACH_TIMEOUT_S)
        except links.WorkerGone:
            pass  # what it had mapped went with it
        except TimeoutError:
            log.warning("worker %d has not let go of session %d yet", link.index, session.number)

    async def _end(self, session: Session) -> None:
        if session.closed:
            return
        session.closed = True
        try:
            await asyncio.gather(*(self._dismissed(session, link) for link in self._links if link.alive))
        finally:
            for channel in session.channels:
                channel.close()
            self._sessions.pop(session.number, None)

    async def _renew(self, session: Session, index: int) -> None:
        async with session.lock:
            if session.closed or index >= len(session.channels):
                return
            try:
                fresh = self._channel(session, index)
            except OSError as error:
                log.error("no new channel for session %d: %s", session.number, error)
                return
            session.channels[index].close()
            session.channels[index] = fresh
            error_text = await self._introduce(session, self._links[index])
            if error_text is not None:
                log.error("session %d: %s", session.number, error_text)
                fresh.mark_dead()
                return
            with contextlib.suppress(OSError):
                session.send(messages.WorkerUp(worker=index), fresh.app_fds)
