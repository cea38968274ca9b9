# SPDX-License-Identifier: Apache-2.0
"""The control process's main loop: control socket, workers' answers, deaths and restarts, ordered shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
import weakref
from collections.abc import Callable

import msgspec
import uvloop

from sennit import __version__
from sennit.ctrl import (
    access,
    addresses,
    apps,
    clients,
    contract,
    links,
    neighbourhood,
    path_manager,
    paths,
    policy,
    settings,
    status,
    steering,
)
from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

MAX_CLIENTS = 256
MAX_CONNS_SHOWN = 65536
EPERM, EPROTO, EBUSY, EALREADY, EISCONN = 1, 71, 16, 114, 106


def serve(handle: contract.Handle, *, on_ready: Callable[[], None] | None = None) -> int:
    """Runs the control process until it is told to stop; the exit status. Raises StartError if it cannot start."""
    from sennit.shm import segment  # needs the extension, which tests of this module do without

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Server(handle, segment.ChannelSegment).run(on_ready))


class Server:
    """One instance. Everything here runs on one event loop."""

    def __init__(self, handle: contract.Handle, make_channel: apps.MakeChannel) -> None:
        self._handle = handle
        self._settings = settings.read(handle.config)
        self._started = time.monotonic()
        self._version = __version__
        self._clients: set[clients.Client] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._grace_s = self._settings.grace_s
        try:
            self._access = access.Access(
                owner=os.getuid(), allow_uid=self._settings.allow_uid, group=self._settings.group
            )
        except ValueError as error:
            raise settings.StartError(str(error)) from None
        self._links = [links.WorkerLink(w.index, handle, self._unasked) for w in handle.workers]
        self._apps = apps.Apps(handle, self._links, self._dismiss, make_channel)
        self._snapshots = status.Snapshots(handle, self._links)
        self._policy = policy.Policy()
        self._steering = steering.Steering(handle)
        self._paths = self._load_path_manager()
        self._neighbourhood = neighbourhood.Neighbourhood(handle, self._links)

    async def run(self, on_ready: Callable[[], None] | None) -> int:
        """Stops the runtime in every case, also when it raises StartError."""
        loop = asyncio.get_running_loop()
        background: list[asyncio.Task[None]] = []
        try:
            self._listener = settings.listen(self._settings.socket_path, self._settings.instance, self._access)
        except BaseException:
            self._handle.stop()
            raise
        _run_in_child(self)
        try:
            self._configure()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._on_signal, number)
            for link in self._links:
                link.up()
            try:
                await self._neighbourhood.start()
            except addresses.DuplicateError as error:
                raise settings.StartError(str(error)) from None
            for link in self._links:
                self._tell_policy(link)
                self._paths.worker_up(link)
            self._handle.start_supervision(loop, self._on_death, self._on_restart)
            background += [loop.create_task(self._accept()), loop.create_task(self._steer())]
            if on_ready is not None:
                on_ready()
            await self._stopping.wait()
        finally:
            self._stopping.set()
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            self._listener.close()
            self._paths.close()
            self._neighbourhood.close()
            await self._stop()
            settings.remove(self._settings.socket_path)
            for client in list(self._clients):
                client.close()
            await asyncio.gather(*(c.task for c in self._clients if c.task), return_exceptions=True)
        return 0

    def _load_path_manager(self) -> paths.Paths:
        try:
            kind = path_manager.load(self._settings.path_manager)
        except path_manager.LoadError as error:
            raise settings.StartError(str(error)) from None
        host = path_manager.Host(
            addresses=lambda: policy.port_addresses(self._handle.port_info()),
            endpoints=lambda: self._policy.endpoints,
        )
        try:
            made = paths.Paths(self._links, kind(host), self._alive)
        except Exception as error:
            raise settings.StartError(
                f"path manager '{self._settings.path_manager}' does not start: {type(error).__name__}: {error}"
            ) from error
        self._policy.manual = made.manual
        return made

    async def _alive(self) -> set[tuple[int, int]] | None:
        """Every connection there is; None if that cannot be told."""
        snapshots = await self._snapshots.take(MAX_CONNS_SHOWN)
        if any(s is None or len(s.conns) < s.worker.conns for s in snapshots):
            return None
        return {(conn.worker, conn.conn) for conn in status.merge_conns(snapshots)}

    def _configure(self) -> None:
        ports = self._handle.port_info()
        try:
            limits = self._settings.limits
            self._policy.set_limits(limits.subflows, limits.add_addr_accepted, limits.ndiffports)
            for wanted in self._settings.endpoints:
                # The address "all" stands for one endpoint per address of a port.
                addresses = policy.port_addresses(ports) if wanted.address == "all" else (wanted.address,)
                for address in addresses:
                    self._policy.add(msgspec.structs.replace(wanted, address=address), ports)
        except policy.PolicyError as error:
            raise settings.StartError(str(error)) from None

    # -------------------------------------------------------------------------------------------------------- clients

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError as error:
                log.warning("control socket: %s", error)
                await asyncio.sleep(0.1)
                continue
            try:
                client = clients.Client(sock, loop)
            except OSError:
                sock.close()
                continue
            self._clients.add(client)
            client.task = loop.create_task(self._converse(client))

    async def _converse(self, client: clients.Client) -> None:
        try:
            if not self._access.allows(client.peer):
                client.send(messages.Failure(access.refusal(client.peer, self._settings.instance), EPERM))
            elif len(self._clients) > MAX_CLIENTS:
                client.send(messages.Failure(f"{MAX_CLIENTS} clients are connected already: close one", EBUSY))
            else:
                await self._requests(client)
            await client.part()
        except Exception:
            log.exception("control socket: client pid %d", client.peer.pid)
        finally:
            client.close()
            client.sock.close()
            self._clients.discard(client)
            self._paths.leave(client)
            if client.session is not None:
                await self._apps.detach(client.session)

    async def _requests(self, client: clients.Client) -> None:
        while not client.closed:
            try:
                request = await client.request()
            except clients.BadFrame as error:
                client.send(messages.Failure(str(error), EPROTO))
                return
            if request is None:
                return
            if not client.greeted and not isinstance(request, messages.Hello):
                client.send(messages.Failure("the first request must be Hello", EPROTO))
                return
            try:
                reply = await self._answer(client, request)
            except (policy.PolicyError, apps.AppError) as error:
                reply = messages.Failure(str(error), error.errno)
            if reply is not None:
                client.send(reply)
            if isinstance(reply, messages.Failure) and not client.greeted:
                return

    async def _answer(self, client: clients.Client, request: messages.Request) -> messages.Reply | None:
        match request:
            case messages.Hello():
                return self._hello(client, request)
            case messages.Attach():
                return await self._attach(client, request)
            case messages.GetStatus():
                return await self._status(request.max_conns)
            case messages.GetEndpoints():
                return messages.Endpoints(self._policy.endpoints)
            case messages.GetConn():
                return messages.ConnReply(await self._snapshots.conn(request.worker, request.conn))
            case messages.Monitor():
                self._paths.listen(client)
                return messages.Done()
            case messages.GetLimits():
                return messages.LimitsReply(self._policy.limits)
            case messages.GetNeighbours():
                return messages.Neighbours(self._neighbourhood.infos())
            case _:
                return self._command(client, request)

    def _command(self, client: clients.Client, request: messages.Request) -> messages.Reply:
        """Requests that change the instance: for its owner and root."""
        if client.peer.uid not in (0, os.getuid()):
            return messages.Failure(
                f"user {client.peer.uid} may use instance '{self._settings.instance}' but not change it: "
                "ask root or its owner", EPERM,
            )  # fmt: skip
        match request:
            case messages.AddEndpoint():
                put = self._policy.add(request.endpoint, self._handle.port_info())
                if put.endpoint.port and ":" in put.endpoint.address:
                    log.warning(
                        "endpoint %s: beside TCP timestamps there is no room to announce an IPv6 address with a port; "
                        "peers that use them will not hear of it", put.endpoint.address,
                    )  # fmt: skip
                self._tell(put)
                return messages.Endpoints(self._policy.endpoints)
            case messages.DelEndpoint():
                self._tell(self._policy.remove(request.id))
                return messages.Endpoints(self._policy.endpoints)
            case messages.SetLimits():
                self._tell(
                    self._policy.set_limits(request.subflows, request.add_addr_accepted, request.ndiffports)
                )
                return messages.LimitsReply(self._policy.limits)
            case messages.FlushNeighbours():
                self._neighbourhood.flush(request.address)
                return messages.Neighbours(self._neighbourhood.infos())
            case messages.Shutdown():
                log.warning("stopping: asked to by pid %d (uid %d)", client.peer.pid, client.peer.uid)
                self._grace_s = min(max(request.grace_s, 0.0), 3600.0)
                self._stopping.set()
                return messages.Done()
            case _:
                return messages.Failure(f"{type(request).__name__} is not handled here", EPROTO)

    def _hello(self, client: clients.Client, request: messages.Hello) -> messages.Reply:
        if request.version != messages.PROTOCOL_VERSION:
            return messages.Failure(
                f"instance '{self._settings.instance}' speaks protocol {messages.PROTOCOL_VERSION}, not "
                f"{request.version}: use the sennit that started it", EPROTO,
            )  # fmt: skip
        client.greeted = True
        client.name = request.name[:64]
        return messages.Welcome(
            version=messages.PROTOCOL_VERSION,
            instance=self._settings.instance,
            pid=os.getpid(),
            workers=len(self._links),
        )

    async def _attach(self, client: clients.Client, request: messages.Attach) -> messages.Reply | None:
        if client.session is not None:
            return messages.Failure("this connection is an application session already: open another", EISCONN)
        if self._stopping.is_set():
            return messages.Failure(f"instance '{self._settings.instance}' is stopping", EBUSY)
        client.session = await self._apps.attach(
            request, pid=client.peer.pid, uid=client.peer.uid, name=client.name, send=client.send
        )
        return None  # Apps has answered, with the descriptors

    async def _status(self, max_conns: int) -> messages.Status:
        snapshots = await self._snapshots.take(min(max(max_conns, 0), MAX_CONNS_SHOWN))
        return status.build(
            instance=self._settings.instance,
            version=self._version,
            pid=os.getpid(),
            started=self._started,
            handle=self._handle,
            snapshots=snapshots,
            ports=self._steering.decorate(self._handle.port_info()),
            sessions=self._apps.infos(),
            endpoints=self._policy.endpoints,
            limits=self._policy.limits,
        )

    # -------------------------------------------------------------------------------------------------------- workers

    def _tell(self, message: messages.ToWorker) -> None:
        for link in self._links:
            link.post(message)

    def _tell_policy(self, link: links.WorkerLink) -> None:
        for message in self._policy.everything():
            link.post(message)

    def _unasked(self, index: int, message: messages.FromWorker) -> None:
        match message:
            case messages.ChannelDetached():
                self._apps.channel_ended(index, message)
            case messages.PathEvents():
                self._paths.heard(index, message)
            case messages.NeighbourReport():
                self._neighbourhood.heard(index, message)
            case messages.WorkerError():
                log.error("worker %d: %s", index, message.error)
            case _:
                log.debug("worker %d: %s", index, type(message).__name__)

    def _dismiss(self, session: apps.Session, sentence: str) -> None:
        for client in list(self._clients):
            if client.session is session:
                client.send(messages.Failure(sentence, EPROTO))
                client.close()

    def _on_death(self, index: int) -> None:
        self._links[index].down()
        self._apps.worker_down(index)
        self._paths.worker_down(index)
        self._steering.worker_down(index)
        self._neighbourhood.worker_down(index)
        log.debug("worker %d died; its connections are gone", index)

    def _on_restart(self, index: int) -> None:
        link = self._links[index]
        link.up()
        self._tell_policy(link)
        self._paths.worker_up(link)
        self._neighbourhood.worker_up(link)
        self._apps.worker_up(index)
        log.warning("worker %d runs again (pid %d)", index, self._handle.workers[index].pid)

    async def _steer(self) -> None:
        while self._steering.useful():
            await asyncio.sleep(steering.PERIOD_S)
            self._steering.look(status.merge_conns(await self._snapshots.take(steering.MAX_CONNS)))

    # -------------------------------------------------------------------------------------------------------- the end

    def shutdown(self) -> None:
        """Begins the ordered stop."""
        self._stopping.set()

    def _on_signal(self, number: signal.Signals) -> None:
        log.warning("stopping: %s", number.name)
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def _stop(self) -> None:
        """Connections close within the grace, then workers leave. A second signal ends the waiting."""
        loop = asyncio.get_running_loop()
        drained = loop.create_task(self._drain())
        hurry = loop.create_task(self._hurry.wait())
        await asyncio.wait((drained, hurry), return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurry):
            task.cancel()
        await asyncio.gather(drained, hurry, return_exceptions=True)
        self._tell(messages.Halt())
        for link in self._links:
            link.down()
        self._handle.stop()

    async def _drain(self) -> None:
        if self._grace_s <= 0:
            return
        asked = (link.ask(messages.Drain(), "drained", self._grace_s) for link in self._links)
        for index, answer in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
            if isinstance(answer, TimeoutError):
                log.warning("worker %d did not close its connections within %g s", index, self._grace_s)

    def in_child(self) -> None:
        """A worker that is forked again must not keep our sockets and applications' descriptors open."""
        with contextlib.suppress(OSError):
            self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                os.close(client.sock.detach())
        self._apps.in_child()


def _run_in_child(server: Server) -> None:
    reference = weakref.ref(server)

    def after_fork() -> None:
        alive = reference()
        if alive is not None:
            alive.in_child()

    os.register_at_fork(after_in_child=after_fork)
