# SPDX-License-Identifier: Apache-2.0
"""The files of an instance beside its control socket: the lock that keeps two instances of one name apart, and the
state file that says what to restore after a crash."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from sennit.runtime import ports
from sennit.runtime.errors import StartError
from sennit.shm import control_client

log = logging.getLogger("sennit.runtime")


def directory() -> Path:
    """/run/sennit, or SENNIT_RUNTIME_DIR."""
    return control_client.socket_path("default").parent


def lock_path(name: str) -> Path:
    return directory() / f"{name}.lock"


def state_path(name: str) -> Path:
    return directory() / f"{name}.json"


class Lock:
    """Held as long as the instance lives. The file is removed with it."""

    def __init__(self, name: str) -> None:
        self._path = lock_path(name)
        self.fd = -1
        try:
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            while self.fd < 0:
                self._take(name)
        except OSError as error:
            raise StartError(
                f"cannot make {self._path} ({error.strerror}): run as root, or set SENNIT_RUNTIME_DIR to a directory "
                "of yours"
            ) from None

    def _take(self, name: str) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise StartError(
                f"instance '{name}' is running already{f' (pid {holder})' if holder else ''}: choose another --name, "
                f"or stop it with 'sennit down --name {name}'"
            ) from None
        # Its last holder may have removed the file between our open and flock.
        try:
            same = self._path.stat().st_ino == os.fstat(fd).st_ino
        except FileNotFoundError:
            same = False
        if not same:
            os.close(fd)
            return
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self.fd = fd

    def release(self) -> None:
        if self.fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1


def write(name: str, state: ports.State) -> None:
    """Complete or not at all: a crash may come at any time."""
    path = state_path(name)
    scratch = path.with_suffix(".json.new")
    scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    scratch.rename(path)


def remove(name: str) -> None:
    state_path(name).unlink(missing_ok=True)


def recover(name: str) -> bool:
    """Restores what a killed instance of this name left. The caller holds the lock. True if there was something."""
    path = state_path(name)
    try:
        state = msgspec.json.decode(path.read_bytes(), type=ports.State)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s is of no use (%s): removed", path, error)
        path.unlink(missing_ok=True)
        return False
    if state.netns == ports.netns():
        for saved in state.interfaces:
            for sentence in ports.give_back(saved):
                log.warning("%s", sentence)
    elif state.interfaces:
        log.warning(
            "instance '%s' was killed in another network namespace; %s there is without its address now",
            name,
            ", ".join(s.name for s in state.interfaces),
        )
    if state.eal_dir:
        remove_eal_dir(state.eal_dir)
    control_client.socket_path(name).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return True


def refuse_shared(name: str, wanted: Iterable[str]) -> None:
    """Raises StartError if another instance of this network namespace runs on one of these interfaces. One that was
    killed there is cleaned up."""
    for path in sorted(directory().glob("*.json")):
        other = path.stem
        if other == name:
            continue
        try:
            state = msgspec.json.decode(path.read_bytes(), type=ports.State)
        except (OSError, msgspec.DecodeError):
            continue
        shared = [saved.name for saved in state.interfaces if saved.name in wanted]
        if not shared or state.netns != ports.netns() or clean_up(other):
            continue
        if path.exists():
            raise StartError(
                f"interface {shared[0]} is in use by instance '{other}' (pid {state.pid}): choose another port, or "
                f"stop it with 'sennit down --name {other}'"
            )


def clean_up(name: str) -> bool:
    """For `sennit down`, when nobody answers: restores what a killed instance left. False if there was nothing to do or
    an instance is alive. Raises StartError if it may not."""
    if not lock_path(name).exists() and not state_path(name).exists():
        return False
    try:
        lock = Lock(name)
    except StartError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return False
    try:
        return recover(name)
    finally:
        lock.release()


def remove_eal_dir(path: str) -> None:
    """DPDK leaves its directory behind."""
    if "/dpdk/" in path and Path(path).name.startswith("sennit-"):
        shutil.rmtree(path, ignore_errors=True)
