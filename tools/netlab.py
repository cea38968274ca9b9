# SPDX-License-Identifier: Apache-2.0
"""Laboratories of real-time links, for programs and tests as for `sennit netlab`.

    with Netlab(netlab_file.load("lab.toml")) as lab:
        lab.run("left", "ping", "-c1", "10.0.1.2")
        lab.set("one", loss="5 %")
        print(lab.status().links[0].ab.lost)
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from sennit.tools import netlab_build, netlab_control
from sennit.tools.link_spec import Shape
from sennit.tools.netlab_build import NetlabError
from sennit.tools.netlab_control import GetStatus, Set, Status, Stop
from sennit.tools.netlab_file import Lab

STOP_PATIENCE = 30.0


def down(name: str) -> None:
    """Removes a laboratory, whether its emulator lives or not. Raises NetlabError if there is none."""
    lab = netlab_control.read_state(name)
    try:
        netlab_control.ask(name, Stop(), patience=STOP_PATIENCE)
        return
    except NetlabError:
        if lab is None:
            raise NetlabError(f"there is no laboratory '{name}'") from None
    netlab_build.check_host()
    remains(lab)


def remains(lab: Lab) -> None:
    """Removes what an emulator that died has left."""
    netlab_build.remove(lab.namespaces)
    netlab_control.socket_path(lab.name).unlink(missing_ok=True)
    netlab_control.state_path(lab.name).unlink(missing_ok=True)


def is_up(name: str) -> bool:
    try:
        netlab_control.ask(name, GetStatus())
    except NetlabError:
        return False
    return True


class Netlab:
    """A laboratory that is built on entry and removed on exit, also if this process is killed; detached, it stays."""

    def __init__(self, lab: Lab, *, detach: bool = False):
        self.lab = lab
        self.name = lab.name
        self.detach = detach
        self._emulator: subprocess.Popen[str] | None = None
        self._children: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def up(self) -> None:
        netlab_build.check_host()
        old = netlab_control.read_state(self.name)
        if old is not None:
            if is_up(self.name):
                raise NetlabError(f"laboratory '{self.name}' is up already: sennit netlab down {self.name}")
            remains(old)
        netlab_build.check(self.lab)
        state = netlab_control.state_path(self.name)
        try:
            # First: whatever happens from here on, `down` and the next `up` know what to remove.
            state.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            state.write_bytes(msgspec.json.encode(self.lab))
        except OSError as error:
            raise NetlabError(f"cannot write {state}: {error.strerror}; set SENNIT_RUNTIME_DIR") from None
        try:
            netlab_build.build(self.lab)
            self._start()
        except BaseException:
            self.close(force=True)
            raise

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", "sennit.tools.netlab_emulator"]
        command.append(str(netlab_control.state_path(self.name)))
        self._emulator = subprocess.Popen(
            command if self.detach else [*command, "--owned"],
            stdin=subprocess.DEVNULL if self.detach else subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if self.detach else None,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert self._emulator.stdout is not None
        said = self._emulator.stdout.readline().strip()
        if said != "ready":
            raise NetlabError(said.removeprefix("failed ") or "the emulator ended before it was ready")
        # Nothing more comes; a detached emulator must not be held by our end of the pipe.
        self._emulator.stdout.close()

    def close(self, *, force: bool = False) -> None:
        """Ends what was started here and removes the laboratory; leaves a detached one alone. May be called twice."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()
        emulator, self._emulator = self._emulator, None
        if self.detach and not force:
            return
        if emulator is not None:
            if emulator.stdin is not None:
                emulator.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                emulator.terminate()
            try:
                emulator.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                emulator.kill()
                emulator.wait()
        if emulator is not None or force:
            remains(self.lab)

    # --------------------------------------------------------------------------------------------------------- running

    def command(self, host: str, *args: str) -> list[str]:
        return ["ip", "netns", "exec", self.lab.namespace(host), *args]

    def run(self, host: str, *args: str, check: bool = True, timeout: float = 60) -> str:
        """Runs a command inside a host and returns its output."""
        done = subprocess.run(
            self.command(host, *args), capture_output=True, text=True, check=False, timeout=timeout
        )
        if check and done.returncode:
            raise NetlabError(f"'{' '.join(args)}' in {host} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def popen(
        self, host: str, *args: str, stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None,
    ) -> subprocess.Popen[Any]:  # fmt: skip
        """Starts a process inside a host; it is ended with the laboratory."""
        child = subprocess.Popen(
            self.command(host, *args), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
        self._children.append(child)
        return child

    # --------------------------------------------------------------------------------------------------------- looking

    def status(self) -> Status:
        return status(self.name)

    def set(self, link: str, side: str = "", **shape: Any) -> None:
        """set("one", "ab", rate="10 Mbit/s"): changes what is named, of both directions if none is."""
        netlab_control.ask(self.name, Set(link, msgspec.convert(shape, Shape), side))


def status(name: str) -> Status:
    reply = netlab_control.ask(name, GetStatus())
    assert isinstance(reply, Status)
    return reply


def watch(name: str, interval: float, show: Callable[[Status | None, Status], None], stop: threading.Event) -> None:
    """Gives the last two looks to `show` until `stop` is set. NetlabError when the laboratory is gone."""
    before = None
    while True:
        now = status(name)
        show(before, now)
        before = now
        if stop.wait(interval):
            return


