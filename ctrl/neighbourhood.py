# SPDX-License-Identifier: Apache-2.0
"""Between the workers and what is decided of neighbours (`neighbours`) and of our own addresses (`addresses`)."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable, Sequence

from sennit.ctrl import addresses, contract, links, neighbours, policy
from sennit.shm import messages

LINK_S = 1.0  # between two looks at the ports' links


class Neighbourhood:
    """Of one instance; lives on its event loop."""

    def __init__(self, handle: contract.Handle, workers: Sequence[links.WorkerLink]) -> None:
        self._handle = handle
        self._links = workers
        self._table = neighbours.Neighbours()
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._up: Sequence[bool] = ()
        self.addresses = addresses.Addresses(
            handle.port_info(), lambda index, message: workers[index].post(message), self._to_all, self._alive,
            lambda: asyncio.get_running_loop().time(),
        )  # fmt: skip

    async def start(self) -> None:
        """The workers run; nobody uses them yet. Raises addresses.DuplicateError."""
        await self.addresses.claim()
        self._handle.addresses_ready()
        self._up = self._handle.links_up()
        self.addresses.announce()
        self._look = asyncio.get_running_loop().call_later(LINK_S, self._links_looked_at)

    def close(self) -> None:
        self.addresses.close()
        for timer in (self._timer, self._look):
            if timer is not None:
                timer.cancel()
        self._timer = self._look = None

    def heard(self, worker: int, report: messages.NeighbourReport) -> None:
        now = asyncio.get_running_loop().time()
        for news in report.news:
            if news.kind == "conflict":
                self.addresses.conflict(news.port, news.address, news.mac)
            else:
                self._give(self._table.heard(worker, news, now))
        self._schedule()

    def worker_down(self, index: int) -> None:
        heir = self._alive()
        if heir is not None:
            self._table.worker_down(index, heir)

    def worker_up(self, link: links.WorkerLink) -> None:
        for message in self._table.worker_up(asyncio.get_running_loop().time()):
            link.post(message)
        self.addresses.announce()

    def _links_looked_at(self) -> None:
        """A port that is back may be at another place of the network."""
        before, self._up = self._up, self._handle.links_up()
        if any(now and not then for then, now in zip(before, self._up, strict=True)):
            self.addresses.announce()
        self._look = asyncio.get_running_loop().call_later(LINK_S, self._links_looked_at)

    def infos(self) -> tuple[messages.NeighbourInfo, ...]:
        return self._table.infos(asyncio.get_running_loop().time())

    def flush(self, address: str) -> None:
        """Raises policy.PolicyError."""
        if address:
            try:
                address = str(ipaddress.ip_address(address))
            except ValueError:
                raise policy.PolicyError(f"'{address}' is no IP address; give one like 10.0.1.2 or fd00::2") from None
        orders = self._table.flush(address)
        if address and not orders:
            raise policy.PolicyError(f"there is no neighbour {address} (see `sennit neigh show`)", policy.ENOENT)
        self._give(orders)
        self._schedule()

    def _alive(self) -> int | None:
        return next((link.index for link in self._links if link.alive), None)

    def _to_all(self, message: messages.Neighbour) -> None:
        for link in self._links:
            link.post(message)

    def _give(self, orders: Iterable[neighbours.Order]) -> None:
        for order in orders:
            for link in self._links:
                if order.to in (None, link.index) and link.index != order.but:
                    link.post(order.message)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._table.next()
        self._timer = None if due is None else asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        self._give(self._table.tick(asyncio.get_running_loop().time()))
        self._schedule()
