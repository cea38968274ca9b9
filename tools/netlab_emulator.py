# SPDX-License-Identifier: Apache-2.0
"""The emulator's process: one for all links. Frames move in C (native/netlab); here are control and the end.

`python -m sennit.tools.netlab_emulator STATE-FILE [--owned]` says "ready" on standard output when the links work.
Owned, it also ends when its standard input does. Whatever ends it, it removes the laboratory.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

import msgspec

from sennit.shm.native import check, ffi, lib
from sennit.tools import link_spec, netlab_build, netlab_control
from sennit.tools.errors import ToolError, sentence
from sennit.tools.link_spec import LinkError, Shape
from sennit.tools.netlab_build import NetlabError
from sennit.tools.netlab_control import DirectionStatus, Done, Failed, GetStatus, LinkStatus, Load, Set, Status, Stop
from sennit.tools.netlab_file import End, Lab

SIDES = {"": (0, 1), "ab": (0,), "ba": (1,)}
NEVER = (1 << 64) - 1
REQUEST_MAX = 64 << 10
CLIENTS_MAX = 64


class Emulator:
    """The links of a laboratory that has been built."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.start = time.monotonic_ns()
        self.shapes = [list(link.shape) for link in lab.links]
        self._events = [(self.start + change.at_ns, number) for number, change in enumerate(lab.changes)]
        heapq.heapify(self._events)
        self._stats = ffi.new("struct sn_netlab_stats *")
        self._native = lib.sn_netlab_new(lab.frame, lab.buffers, lab.grain_ns)
        if self._native == ffi.NULL:
            raise NetlabError(f"no memory for {lab.buffers} frames of {lab.frame} bytes: set a smaller 'buffers'")
        namespace = os.open(netlab_build.NETNS / lab.emulator, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for index, link in enumerate(lab.links):
                ends = (self._end(namespace, link.a, index, "a"), self._end(namespace, link.b, index, "b"))
                check(
                    lib.sn_netlab_add(self._native, *ends[0], *ends[1], lab.seed),
                    f"link '{link.name}' cannot be opened",
                )
                self.apply(index, (0, 1), Shape())
                box = ffi.new("struct sn_sim_box *")
                link_spec.fill_box(box, link.box.native())
                check(lib.sn_netlab_set_box(self._native, index, box), f"the box of link '{link.name}'")
        finally:
            os.close(namespace)
        lib.sn_netlab_prepare(self._native, lab.realtime)

    @staticmethod
    def _end(namespace: int, end: End, index: int, side: str) -> tuple[int, bytes]:
        return (namespace, netlab_build.port(index, side).encode()) if end.host else (-1, end.interface.encode())

    def close(self) -> None:
        if self._native != ffi.NULL:
            lib.sn_netlab_free(self._native)
            self._native = ffi.NULL

    def watch(self, fd: int) -> None:
        check(lib.sn_netlab_watch(self._native, fd), "watching a descriptor")

    def apply(self, link: int, sides: tuple[int, ...], shape: Shape) -> None:
        """Changes a link; raises LinkError before anything has changed."""
        merged = {side: link_spec.merge(self.shapes[link][side], shape) for side in sides}
        resolved = {side: link_spec.resolve(value) for side, value in merged.items()}
        what = ffi.new("struct sn_netlab_link *")
        for side in sides:
            self.shapes[link][side] = merged[side]
            link_spec.fill(what, resolved[side])
            check(lib.sn_netlab_set(self._native, link, side, what), "setting a link")

    def carry(self) -> None:
        """Carries frames until a watched descriptor has something to say; makes the changes that are due on the way."""
        while (result := lib.sn_netlab_run(self._native, self._events[0][0] if self._events else NEVER)) == 0:
            self._change()
        if result != lib.SN_E_AGAIN:
            check(result, "carrying frames")

    def _change(self) -> None:
        while self._events and self._events[0][0] <= time.monotonic_ns():
            at, number = heapq.heappop(self._events)
            change = self.lab.changes[number]
            with contextlib.suppress(LinkError):  # a later `set` may have made it senseless
                self.apply(change.link, (0, 1), change.shape)
            if change.every_ns:
                heapq.heappush(self._events, (at + change.every_ns, number))

    # ---------------------------------------------------------------------------------------------------------- status

    def _direction(self, link: int, side: int) -> DirectionStatus:
        check(lib.sn_netlab_stats(self._native, link, side, self._stats), "reading statistics")
        return DirectionStatus(
            link_spec.resolve(self.shapes[link][side]),
            **{name: int(getattr(self._stats, name)) for name in netlab_control.COUNTERS},
        )

    def status(self) -> Status:
        lab = self.lab
        load = ffi.new("struct sn_netlab_load *")
        lib.sn_netlab_load(self._native, load)
        now = time.monotonic_ns()
        return Status(
            lab.name,
            os.getpid(),
            now,
            round((now - self.start) / 1e9, 3),
            {host: lab.namespace(host) for host in lab.hosts},
            Load(**{name: int(getattr(load, name)) for name in Load.__struct_fields__}),
            tuple(
                LinkStatus(link.name, str(link.a), str(link.b), self._direction(i, 0), self._direction(i, 1))
                for i, link in enumerate(lab.links)
            ),
        )

    def answer(self, text: bytes) -> Status | Done | Failed | None:
        """None: stop."""
        try:
            request = msgspec.json.decode(text, type=GetStatus | Set | Stop)
            if isinstance(request, Stop):
                return None
            if isinstance(request, GetStatus):
                return self.status()
            if request.side not in SIDES:
                return Failed(f"'{request.side}' is no direction: ab, ba, or nothing for both")
            self.apply(self.lab.link_index(request.link), SIDES[request.side], request.shape)
        except (ToolError, msgspec.MsgspecError) as error:
            return Failed(str(error))
        return Done()


class Control:
    """The socket: clients come, ask once, get the answer. None of them can hold up the frames."""

    def __init__(self, emulator: Emulator):
        self._emulator = emulator
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self.leaving: socket.socket | None = None  # who asked for the end; told by the connection's close
        path = netlab_control.socket_path(emulator.lab.name)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        self._listener.listen(16)
        self._listener.setblocking(False)
        emulator.watch(self._listener.fileno())

    def serve(self) -> bool:
        """Does what can be done at once. False: stop."""
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                if len(self._clients) == CLIENTS_MAX:
                    self._clients.pop(next(iter(self._clients)))[0].close()
                client.setblocking(False)
                self._clients[client.fileno()] = (client, bytearray())
                self._emulator.watch(client.fileno())
        going = True
        for fd, (client, text) in list(self._clients.items()):
            try:
                part = client.recv(REQUEST_MAX)
            except BlockingIOError:
                continue
            except OSError:
                part = b""
            text += part
            if part and b"\n" not in text and len(text) < REQUEST_MAX:
                continue
            del self._clients[fd]
            if not part:
                client.close()
                continue
            reply = self._emulator.answer(bytes(text))
            if reply is None:
                self.leaving = client
                going = False
                continue
            with contextlib.suppress(OSError), client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
                client.settimeout(0.05)
                client.sendall(msgspec.json.encode(reply))
        return going

    def close(self) -> None:
        self._listener.close()
        for client, _ in self._clients.values():
            client.close()


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def emulate(lab: Lab, *, owned: bool) -> socket.socket | None:
    """Until it is told to end. Returns the connection that said so."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    emulator = Emulator(lab)
    control = Control(emulator)
    try:
        emulator.watch(wake.fileno())
        if owned:
            emulator.watch(0)
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        while True:
            emulator.carry()
            if not control.serve() or _readable(wake.fileno()) or (owned and _readable(0)):
                return control.leaving
    finally:
        control.close()
        emulator.close()


def main(argv: list[str]) -> int:
    lab = msgspec.json.decode(Path(argv[0]).read_bytes(), type=Lab)
    leaving = None
    try:
        leaving = emulate(lab, owned="--owned" in argv)
    except Exception as error:
        print(f"failed {sentence(error)}", flush=True)
        return 1
    finally:
        netlab_build.remove(lab.namespaces)
        netlab_control.socket_path(lab.name).unlink(missing_ok=True)
        netlab_control.state_path(lab.name).unlink(missing_ok=True)
        if leaving is not None:
            with contextlib.suppress(OSError), leaving:
                leaving.sendall(msgspec.json.encode(Done()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
