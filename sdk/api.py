# SPDX-License-Identifier: Apache-2.0
"""connect() and listen()."""

from __future__ import annotations

import errno
import random
import time
from typing import Any

from sennit.sdk import address as addresses
from sennit.sdk.address import Address
from sennit.sdk.channel import Channel
from sennit.sdk.connection import Connection, check_timeout
from sennit.sdk.listener import Backlog, Listener
from sennit.sdk.session import Pending, Session, registry
from sennit.shm import errors, native

lib = native.lib

SCHEDULERS = {
    "default": lib.SN_SCHED_DEFAULT,
    "minrtt": lib.SN_SCHED_MINRTT,
    "roundrobin": lib.SN_SCHED_ROUNDROBIN,
    "round-robin": lib.SN_SCHED_ROUNDROBIN,
}

CONTROLS = {
    "default": lib.SN_CC_DEFAULT,
    "cubic": lib.SN_CC_CUBIC,
    "newreno": lib.SN_CC_NEWRENO,
    "bbr": lib.SN_CC_BBR,
    "dctcp": lib.SN_CC_DCTCP,
}

FREE_PORTS = range(16384, 32768)  # where a listener without a port gets one: below what workers open from
FREE_PORT_TRIES = 32
WORKER_TIMEOUT = 10.0


def connect(
    address: Address,
    timeout: float | None = None,
    source_address: Address | None = None,
    *,
    mptcp: bool = True,
    scheduler: str | None = None,
    cc: str | None = None,
    instance: str | None = None,
) -> Connection:
    """Opens a connection. The timeout covers the opening and stays with the connection, as in socket.create_connection.

    scheduler (minrtt, roundrobin) and cc (cubic, newreno, bbr, dctcp): of this connection; default: the instance's.

    ConnectionRefusedError, TimeoutError, OSError(ENETUNREACH) as from sockets; sennit.NotRunning without a runtime.
    """
    timeout = check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    remote = addresses.resolve(address)
    local = None if source_address is None else addresses.resolve(source_address, passive=True)
    sched, control = _scheduler(scheduler), _control(cc)
    session = registry.get(instance, timeout)
    what = f"connecting to {remote[0]}:{remote[1]}"
    fields = {
        "flags": 0 if mptcp else lib.SN_OPF_TCP,
        "scheduler": sched,
        "cc": control,
        "remote": (addresses.pack(remote[0]), remote[1]),
        "local": None if local is None else (addresses.pack(local[0]), local[1]),
    }
    with session.lock:
        channel = session.pick_channel(deadline)
        pending = _attempt(session, channel, deadline, fields)
        if pending.error == errno.EADDRNOTAVAIL and local is not None and local[1]:
            # Each worker owns some of the local ports.
            for other in [c for c in session.channels.values() if c is not channel]:
                if pending.error == errno.EADDRNOTAVAIL:
                    pending = _attempt(session, other, deadline, fields)
        if not pending.done():
            raise TimeoutError(errno.ETIMEDOUT, f"{what}: timed out after {timeout:g} s")
        if pending.stream is None:
            raise errors.from_errno(pending.error or errno.EIO, what)
        return Connection(session, pending.stream, timeout)


def _attempt(session: Session, channel: Channel, deadline: float | None, fields: dict[str, Any]) -> Pending:
    """Lock held. Asks one worker; returns when it answered, or at the deadline."""
    token = session.token()
    pending = session.pending[channel, token] = Pending(session.lock)
    try:
        session.submit(channel, deadline, lib.SN_OP_CONNECT, user=token, **fields)
        done = session.wait(pending.changed, pending.done, deadline)
    except BaseException:
        _give_up(session, pending)
        raise
    if not done:
        _give_up(session, pending)
    return pending


def listen(
    address: Address,
    backlog: int = 128,
    *,
    mptcp: bool = True,
    scheduler: str | None = None,
    cc: str | None = None,
    timeout: float | None = None,
    instance: str | None = None,
) -> Listener:
    """Listens on every worker. Host "" or "0.0.0.0": every address of the runtime; port 0: a free one.

    scheduler and cc: of the connections accepted, as for connect().
    """
    timeout = check_timeout(timeout)
    local = addresses.resolve(address, passive=True)
    session = registry.get(instance, 10.0)
    flags = 0 if mptcp else lib.SN_OPF_TCP
    sched, control = _scheduler(scheduler), _control(cc)
    ports = [local[1]] if local[1] else random.sample(FREE_PORTS, FREE_PORT_TRIES)
    with session.lock:
        session.pick_channel(None)
        for attempt, port in enumerate(ports):
            entry = Backlog(session, (local[0], port), max(1, backlog), flags, sched, control)
            session.listeners[entry.token] = entry
            try:
                _start(session, entry)
            except BaseException as error:
                entry.close()
                last = attempt == len(ports) - 1
                if last or not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                    raise
            else:
                break
        return Listener(session, entry, timeout)


def _start(session: Session, entry: Backlog) -> None:
    """Lock held. Asks every worker; returns when all of them listen."""
    channels = list(session.channels.values())
    for channel in channels:
        entry.ask(channel, None)
    deadline = time.monotonic() + WORKER_TIMEOUT
    if not session.wait(entry.changed, lambda: all(c in entry.results for c in channels), deadline):
        raise TimeoutError(errno.ETIMEDOUT, "a worker does not answer")
    for channel in channels:
        if entry.results[channel] < 0 and not channel.lost:
            raise errors.from_errno(entry.results[channel], f"listening on {entry.local[0]}:{entry.local[1]}")


def _scheduler(name: str | None) -> int:
    try:
        return int(SCHEDULERS[name or "default"])
    except KeyError:
        raise ValueError(f"no packet scheduler {name!r}; there are {', '.join(sorted(SCHEDULERS))}") from None


def _control(name: str | None) -> int:
    try:
        return int(CONTROLS[name or "default"])
    except KeyError:
        raise ValueError(f"no congestion control {name!r}; there are {', '.join(sorted(CONTROLS))}") from None


def _give_up(session: Session, pending: Pending) -> None:
    """The answer may still come: then the connection is aborted."""
    pending.abandoned = True
    if pending.stream is not None:
        session.abort(pending.stream)
