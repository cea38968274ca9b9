# SPDX-License-Identifier: Apache-2.0
"""What the control process needs from the configuration, and its socket's file."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sennit.ctrl import access
from sennit.shm import control_client, messages

BACKLOG = 64


class StartError(Exception):
    """The control process cannot start: one sentence."""


@dataclass(frozen=True)
class Settings:
    instance: str
    socket_path: Path
    group: str | None
    allow_uid: tuple[int, ...]
    grace_s: float
    limits: messages.Limits
    endpoints: tuple[messages.Endpoint, ...]
    path_manager: str


def read(config: Any) -> Settings:
    """From `sennit.runtime.config`, which has checked it."""
    return Settings(
        instance=config.name,
        socket_path=control_client.socket_path(config.name),
        group=config.group or None,
        allow_uid=tuple(config.allow_uid),
        grace_s=config.grace_s,
        limits=config.limits,
        endpoints=tuple(config.endpoints),
        path_manager=config.path_manager,
    )


def listen(path: Path, instance: str, rule: access.Access) -> socket.socket:
    """The listening control socket. What a dead instance left behind is replaced; a living one is an error."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if _answers(path):
            raise StartError(
                f"instance '{instance}' is running already ({path}): choose another --name, or stop it with "
                f"`sennit down --name {instance}`"
            )
        # Bound under a private mask: nobody gets in between bind and chmod.
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        before = os.umask(0o177)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        if rule.gid is not None:
            os.chown(path, -1, rule.gid)
        path.chmod(rule.mode)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        hint = ""
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = ": run as root, or set SENNIT_RUNTIME_DIR to a directory of yours"
        raise StartError(f"cannot make the control socket {path} ({error.strerror or error}){hint}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    """True if a process listens on the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except BlockingIOError:
            return True  # its backlog is full
        return True


def remove(path: Path) -> None:
    """The socket's file, and our own directory if it is empty now."""
    with contextlib.suppress(OSError):
        path.unlink()
    if path.parent == Path(control_client.DEFAULT_RUNTIME_DIR):
        with contextlib.suppress(OSError):
            path.parent.rmdir()
