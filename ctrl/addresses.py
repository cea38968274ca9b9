# SPDX-License-Identifier: Apache-2.0
"""The instance's own addresses: whether others have them already, telling all that they are here, conflicts.

An address that the kernel had on the same interface is not probed: of IPv6 the kernel has done it, and of IPv4 it was
in use there until now. One that only the configuration gives is held back by the workers until `claim` has found it
free: PROBES questions, PROBE_S apart and for all ports at once, then PROBE_S of waiting. RFC 5227 1.1 has seconds where
this has fifths of one: it allows for switches that take long to let a port in, and for slow links.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

PROBES = 3
PROBE_S = 0.2
ANNOUNCEMENTS = 2  # RFC 5227 1.1
ANNOUNCE_S = 2.0  # between them
WARN_S = 60.0  # one warning of a conflict in this time


@dataclass(frozen=True)
class Own:
    """An address of a port. held: it is to be probed."""

    port: int
    name: str
    address: str  # without prefix
    held: bool


class DuplicateError(Exception):
    """An address is somebody else's: one sentence."""


def own(ports: Sequence[messages.PortInfo]) -> tuple[Own, ...]:
    return tuple(
        Own(port.index, port.name, address.split("/", 1)[0], (":" in address) in port.probed)
        for port in ports
        for address in port.addresses
    )


class Addresses:
    """send: to one worker, by its index; to_all: to every one; asker: the index of a worker that lives."""

    def __init__(
        self,
        ports: Sequence[messages.PortInfo],
        send: Callable[[int, messages.Neighbour], None],
        to_all: Callable[[messages.Neighbour], None],
        asker: Callable[[], int | None],
        now: Callable[[], float],
    ) -> None:
        self.own = own(ports)
        self._send, self._to_all, self._asker, self._now = send, to_all, asker, now
        self._wanted = {(one.port, one.address) for one in self.own if one.held}  # not ours yet
        self._taken: dict[tuple[int, str], str] = {}  # heard of these: address -> MAC
        self._warned: dict[tuple[int, str], float] = {}
        self._announcing: asyncio.Task[None] | None = None

    async def claim(self) -> None:
        """Returns when every address is ours. Raises DuplicateError."""
        held = [own for own in self.own if own.held]
        if not held:
            return
        for _ in range(PROBES):
            self._ask(held, "probe")
            await self._listen()
        await self._listen()
        self._wanted.clear()
        for one in held:
            self._to_all(messages.Neighbour("ready", one.port, one.address))

    async def _listen(self) -> None:
        await asyncio.sleep(PROBE_S)
        for one in self.own:
            mac = self._taken.get((one.port, one.address))
            if mac is not None:
                raise DuplicateError(
                    f"port {one.name}: address {one.address} is in use already, by the host with the MAC {mac}: "
                    "give the port another one, or take it from that host"
                )

    def conflict(self, port: int, address: str, mac: str) -> None:
        """A worker heard somebody claim an address of ours; it has defended it, if it was in use."""
        key = (port, address)
        if key in self._wanted:
            self._taken.setdefault(key, mac)
            return
        now = self._now()
        if now - self._warned.get(key, -WARN_S) >= WARN_S:
            self._warned[key] = now
            log.warning("address %s: the host with the MAC %s claims it too; one of us must give way", address, mac)

    def announce(self) -> None:
        """Now, and once more later: caches and switches learn where the addresses are."""
        self.close()
        self._announcing = asyncio.get_running_loop().create_task(self._announce())

    def close(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None

    async def _announce(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            for number in range(ANNOUNCEMENTS):
                if number:
                    await asyncio.sleep(ANNOUNCE_S)
                self._ask(self.own, "announce")

    def _ask(self, wanted: Sequence[Own], op: str) -> None:
        worker = self._asker()
        for one in wanted if worker is not None else ():
            assert worker is not None
            self._send(worker, messages.Neighbour(op, one.port, one.address))
