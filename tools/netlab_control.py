# SPDX-License-Identifier: Apache-2.0
"""What an emulator and its clients say to each other: a request and an answer, each a line of JSON; where they meet."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from sennit.tools.link_spec import Direction, Shape
from sennit.tools.netlab_build import NetlabError
from sennit.tools.netlab_file import NAME, Lab

DEFAULT_DIRECTORY = "/run/sennit"
PATIENCE = 5.0


class GetStatus(msgspec.Struct, frozen=True, tag="status"):
    pass


class Set(msgspec.Struct, frozen=True, tag="set"):
    link: str
    shape: Shape
    side: str = ""  # "ab", "ba"; empty: both


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Everything is removed before the connection is closed."""


Request = GetStatus | Set | Stop


class Done(msgspec.Struct, frozen=True, tag="done"):
    pass


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    error: str


class DirectionStatus(msgspec.Struct, frozen=True):
    """Counters since the start, as `struct sn_netlab_stats`, and how the direction is set."""

    setting: Direction
    rx_frames: int
    rx_bytes: int
    tx_frames: int
    tx_bytes: int
    lost: int
    burst_lost: int
    overflow: int
    down_lost: int
    too_big: int
    no_buffer: int
    corrupted: int
    duplicated: int
    reordered: int
    tx_failed: int
    missed: int
    unfinished: int
    delay_ns: int
    late_ns: int
    late_max_ns: int
    queue_bytes: int
    backlog_ns: int
    waiting: int


COUNTERS = tuple(name for name in DirectionStatus.__struct_fields__ if name != "setting")
DROPS = ("lost", "burst_lost", "overflow", "down_lost", "too_big", "no_buffer", "tx_failed", "missed")


class LinkStatus(msgspec.Struct, frozen=True):
    name: str
    a: str
    b: str
    ab: DirectionStatus
    ba: DirectionStatus


class Load(msgspec.Struct, frozen=True):
    """Of the emulator's process; `cpu_ns` holds what the hosts' kernels do when a frame is handed to them."""

    cpu_ns: int
    wakeups: int
    frames: int
    buffers: int
    buffers_used: int
    buffers_peak: int
    realtime: int


class Status(msgspec.Struct, frozen=True, tag="state"):
    name: str
    pid: int
    time_ns: int  # monotonic: two of these make rates
    uptime_s: float
    namespaces: dict[str, str]  # by host
    load: Load
    links: tuple[LinkStatus, ...]


Reply = Done | Failed | Status


def directory() -> Path:
    return Path(os.environ.get("SENNIT_RUNTIME_DIR") or DEFAULT_DIRECTORY)


def socket_path(name: str) -> Path:
    return directory() / f"netlab-{name}.sock"


def state_path(name: str) -> Path:
    return directory() / f"netlab-{name}.json"


def names() -> list[str]:
    """Laboratories that exist here."""
    with contextlib.suppress(OSError):
        return sorted(path.stem.removeprefix("netlab-") for path in directory().glob("netlab-*.json"))
    return []


def pick(name: str | None) -> str:
    """The laboratory meant: the only one if none is named."""
    if name is not None:
        if not NAME.fullmatch(name):
            raise NetlabError(f"'{name}' is no name of a laboratory")
        return name
    found = names()
    if len(found) != 1:
        raise NetlabError(
            f"which laboratory? there are: {', '.join(found)}" if found
            else "there is no laboratory: `sennit netlab up FILE` makes one"
        )  # fmt: skip
    return found[0]


def read_state(name: str) -> Lab | None:
    """What was built; kept in a file so that it can be removed even if its emulator died."""
    try:
        return msgspec.json.decode(state_path(name).read_bytes(), type=Lab)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise NetlabError(f"{state_path(name)} cannot be read: {error}") from None


def ask(name: str, request: Request, *, patience: float = PATIENCE) -> Status | Done:
    """Raises NetlabError if there is no such laboratory, if it does not answer, or with what it answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(patience)
        try:
            link.connect(os.fspath(socket_path(name)))
            link.sendall(msgspec.json.encode(request) + b"\n")
            answer = _all(link)
        except (FileNotFoundError, ConnectionError):
            raise NetlabError(f"laboratory '{name}' is not up") from None
        except PermissionError:
            raise NetlabError(f"laboratory '{name}' belongs to another user: run it as root") from None
        except TimeoutError:
            raise NetlabError(f"the emulator of laboratory '{name}' does not answer") from None
    try:
        reply: Any = msgspec.json.decode(answer, type=Reply)
    except msgspec.MsgspecError:
        raise NetlabError(f"the emulator of laboratory '{name}' ended without an answer") from None
    if isinstance(reply, Failed):
        raise NetlabError(reply.error)
    assert isinstance(reply, Status | Done)
    return reply


def _all(link: socket.socket) -> bytes:
    parts = []
    while part := link.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)
