# SPDX-License-Identifier: Apache-2.0
"""Finding a running instance and saying hello to it: for the SDK and for tools."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from sennit.shm import errors, framing, messages

DEFAULT_RUNTIME_DIR = "/run/sennit"
DEFAULT_INSTANCE = "default"


def instance_name(instance: str | None = None) -> str:
    """The given name, or SENNIT_INSTANCE, or "default"."""
    name = instance or os.environ.get("SENNIT_INSTANCE") or DEFAULT_INSTANCE
    if "/" in name or name.startswith(".") or len(name) > 64:
        raise ValueError(f"{name!r} is not an instance name: no slash, no leading dot, at most 64 characters")
    return name


def socket_path(instance: str | None = None) -> Path:
    """Where the control socket of an instance lies; SENNIT_RUNTIME_DIR overrides /run/sennit."""
    return Path(os.environ.get("SENNIT_RUNTIME_DIR") or DEFAULT_RUNTIME_DIR) / f"{instance_name(instance)}.sock"


def dial(
    instance: str | None = None, client: str = "", timeout: float | None = 10.0
) -> tuple[framing.FramedSocket, messages.Welcome]:
    """Connects and exchanges hellos. NotRunning, PermissionError, TimeoutError."""
    name, path = instance_name(instance), socket_path(instance)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        sock.close()
        raise errors.NotRunning(
            error.errno, f"no sennit instance {name!r} (socket {path}): start one with 'sennit up'"
        ) from None
    except PermissionError:
        sock.close()
        raise PermissionError(
            errno.EACCES,
            f"not allowed to use sennit instance {name!r} (socket {path}): run as the user who started it, or as root",
        ) from None
    except BaseException:
        sock.close()
        raise
    framed = framing.FramedSocket(sock)
    try:
        reply = framed.request(messages.Hello(name=client), timeout)
        if not isinstance(reply, messages.Welcome):
            raise errors.ProtocolError(errno.EPROTO, f"sennit instance {name!r} answered a hello with {reply!r}")
        if reply.version != messages.PROTOCOL_VERSION:
            raise errors.ProtocolError(
                errno.EPROTONOSUPPORT,
                f"sennit instance {name!r} speaks protocol {reply.version}, this program {messages.PROTOCOL_VERSION}: "
                "restart the older of the two",
            )
    except BaseException:
        framed.close()
        raise
    return framed, reply
