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
from sennit.sdk.connection import Connection
from sennit.sdk.listener import Backlog, Listener
from sennit.sdk.session import Pending, Session, registry
from sennit.sdk.timeouts import check_timeout
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
    early: bytes | None = None,
    instance: str | None = None,
) -> Connection:
    """Opens a connection. The timeout covers the opening and stays with the connection, as in socket.create_connection.

    scheduler (minrtt, roundrobin) and cc (cubic, newreno, bbr, dctcp): of this connection; default: the instance's.

    early: TCP Fast Open (RFC 7413) with these bytes, which are sent first: a server that gave us a cookie before has as
    many of them as fit into one segment together with the SYN, else they follow the handshake. Only for what may
    arrive twice: a SYN that is repeated by the network, or to a server that restarts, can deliver them again.

    The addresses of a name are tried one after the other, IPv6 first, each with its share of the timeout.

    ConnectionRefusedError, TimeoutError, OSError(ENETUNREACH) as from sockets; sennit.NotRunning without a runtime.
    """
    timeout = check_timeout(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    for given in (address, source_address):
        if given is not None:
            addresses.check(given)
    sched, control = _scheduler(scheduler), _control(cc)
    session = registry.get(instance, timeout)
    pairs = _pairs(session, address, source_address)
    error: OSError | None = None
    for index, (remote, local) in enumerate(pairs):
        fields = {
            "flags": (0 if mptcp else lib.SN_OPF_TCP) | (0 if early is None else lib.SN_OPF_FASTOPEN),
            "scheduler": sched,
            "cc": control,
            "remote": (addresses.pack(remote[0]), remote[1]),
            "local": None if local is None else (addresses.pack(local[0]), local[1]),
        }
        share = None if deadline is None else max(deadline - time.monotonic(), 0.0) / (len(pairs) - index)
        try:
            connection, loaded = _open(session, share, fields, early or b"", f"connecting to {addresses.show(remote)}")
        except errors.Error:
            raise  # of the runtime, not of the address
        except OSError as caught:
            # A family that leads nowhere says less than an answer over the other.
            if error is None or caught.errno != errno.ENETUNREACH:
                error = caught
        else:
            connection.settimeout(timeout)
            if early and loaded < len(early):
                connection.sendall(memoryview(early)[loaded:])
            return connection
    assert error is not None
    raise error


def _pairs(session: Session, address: Address, source_address: Address | None) -> list[tuple[Address, Address | None]]:
    """Where to connect to, and from where, in the order of the attempts."""
    usable = addresses.families(session.addresses)
    remotes = addresses.resolve(address, usable)
    if source_address is None:
        return [(remote, None) for remote in remotes]
    locals_ = addresses.resolve(source_address, usable, passive=True)
    pairs: list[tuple[Address, Address | None]] = []
    for remote in remotes:
        for local in locals_:
            if local[0] == addresses.EVERY or addresses.family(local[0]) == addresses.family(remote[0]):
                pairs.append((remote, local))
                break
    if not pairs:
        raise OSError(
            errno.EADDRNOTAVAIL,
            f"connecting to {addresses.show(remotes[0])} from {locals_[0][0]}: one is IPv4 and the other IPv6",
        )
    return pairs


def _open(
    session: Session, seconds: float | None, fields: dict[str, Any], early: bytes, what: str
) -> tuple[Connection, int]:
    """One address: asks one worker, or each of them if only one has the local port that is wanted. Also returns how
    many of the early bytes are under way."""
    deadline = None if seconds is None else time.monotonic() + seconds
    with session.lock:
        channel = session.pick_channel(deadline)
        pending = _attempt(session, channel, deadline, fields, early)
        if pending.error == errno.EADDRNOTAVAIL and fields["local"] is not None and fields["local"][1]:
            # Each worker owns some of the local ports.
            for other in [c for c in session.channels.values() if c is not channel]:
                if pending.error == errno.EADDRNOTAVAIL:
                    pending = _attempt(session, other, deadline, fields, early)
        if not pending.done():
            raise TimeoutError(errno.ETIMEDOUT, f"{what}: timed out after {seconds:.2g} s")
        if pending.stream is None:
            raise errors.from_errno(pending.error or errno.EIO, what)
        return Connection(session, pending.stream), pending.loaded


def _attempt(
    session: Session, channel: Channel, deadline: float | None, fields: dict[str, Any], early: bytes
) -> Pending:
    """Lock held. Asks one worker; returns when it answered, or at the deadline."""
    token = session.token()
    pending = session.pending[channel, token] = Pending(session.lock)
    try:
        offset = pending.load(channel, early) if early else 0
        session.submit(
            channel, deadline, lib.SN_OP_CONNECT, user=token, offset=offset, length=pending.loaded, **fields
        )
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
    fastopen: bool = False,
    timeout: float | None = None,
    instance: str | None = None,
) -> Listener:
    """Listens on every worker. Host "" or "::": every address of the runtime, "0.0.0.0": every IPv4 address; port 0: a
    free one.

    scheduler and cc: of the connections accepted, as for connect(). fastopen: gives clients cookies of TCP Fast Open
    and takes data that comes with a SYN.
    """
    timeout = check_timeout(timeout)
    addresses.check(address)
    session = registry.get(instance, 10.0)
    found = addresses.resolve(address, addresses.families(session.addresses), passive=True)
    local = next((a for a in found if a[0] in session.addresses), found[0])
    flags = (0 if mptcp else lib.SN_OPF_TCP) | (lib.SN_OPF_FASTOPEN if fastopen else 0)
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
            raise errors.from_errno(entry.results[channel], f"listening on {addresses.show(entry.local)}")


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
