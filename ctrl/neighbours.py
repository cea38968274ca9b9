# SPDX-License-Identifier: Apache-2.0
"""Neighbours of all workers: one table of who has which MAC, kept fresh, and spread to every worker.

A worker asks the first questions itself and hears the answer (native/net/neigh.c); nothing here is on the way of a
connect. From there on this table decides, in the words of RFC 4861 7.3.2: an entry that nobody confirmed for
REACHABLE_S is STALE; the next use makes it DELAY, and DELAY_S later PROBE: one worker asks, up to PROBES times. Who
stays silent is forgotten; who never answered is FAILED for FAILED_S, in which nobody waits for it.

Pure: events and the time go in, orders for workers come out. Workers tell only of what is used, at a bounded rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sennit.shm import messages

REACHABLE_S = 30.0  # RFC 4861 10, REACHABLE_TIME
STALE_S = 60.0  # then an entry that nobody uses is forgotten
DELAY_S = 5.0  # DELAY_FIRST_PROBE_TIME
PROBE_S = 1.0  # RETRANS_TIMER
PROBES = 3  # MAX_UNICAST_SOLICIT
INCOMPLETE_S = 12.0  # a worker gives up after 10 s and says so; this is for one that cannot any more
FAILED_S = 3.0  # SN_NEIGH_FAIL_HOLD
CONFIRM_S = 1.0  # what is confirmed again within this time is not spread again
MAX_ENTRIES = 1024

Key = tuple[int, str]  # index of the port, address


@dataclass
class Entry:
    port: int
    address: str
    state: str  # INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED
    since: float  # when it came into the state
    until: float  # when something is to be done
    mac: str = ""
    confirmed: float | None = None
    worker: int = 0  # the last one that told of it
    probes: int = 0


@dataclass(frozen=True)
class Order:
    """A message for some workers."""

    message: messages.Neighbour
    to: int | None = None  # only this one; None: all ...
    but: int | None = None  # ... but this one


class Neighbours:
    """now: seconds on any clock that only goes forward."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    # ------------------------------------------------------------------------------------------------- what is heard

    def heard(self, worker: int, news: messages.NeighbourNews, now: float) -> list[Order]:
        match news.kind:
            case "asked":
                return self._asked(worker, news, now)
            case "heard":
                return self._heard(worker, news, now)
            case "silent":
                return self._silent(worker, news, now)
            case "in-use":
                entry = self._entries.get((news.port, news.address))
                if entry is not None and entry.state == "STALE":
                    entry.worker = worker
                    _set(entry, "DELAY", now, DELAY_S)
        return []

    def _asked(self, worker: int, news: messages.NeighbourNews, now: float) -> list[Order]:
        entry = self._entries.get((news.port, news.address))
        if entry is not None and entry.mac and entry.state in ("REACHABLE", "DELAY", "PROBE"):
            return [Order(_order("put", entry), to=worker)]  # it had no room for it, or lost it
        if entry is not None and entry.state == "FAILED" and entry.until > now:
            return [Order(_order("fail", entry, entry.until - now), to=worker)]
        entry = self._entry(news, now)
        entry.worker = worker
        entry.mac = ""
        _set(entry, "INCOMPLETE", now, INCOMPLETE_S)
        return []

    def _heard(self, worker: int, news: messages.NeighbourNews, now: float) -> list[Order]:
        entry = self._entry(news, now)
        fresh = entry.state == "REACHABLE" and entry.confirmed is not None and now - entry.confirmed < CONFIRM_S
        known = fresh and entry.mac == news.mac
        entry.worker, entry.mac, entry.confirmed = worker, news.mac, now
        _set(entry, "REACHABLE", now, REACHABLE_S)
        return [] if known else [Order(_order("put", entry), but=worker)]

    def _silent(self, worker: int, news: messages.NeighbourNews, now: float) -> list[Order]:
        entry = self._entry(news, now)
        if entry.state in ("REACHABLE", "DELAY", "PROBE"):
            return [Order(_order("put", entry), to=worker)]  # another one hears it
        if entry.state != "FAILED":
            entry.mac = ""
            _set(entry, "FAILED", now, FAILED_S)
        return [Order(_order("fail", entry, entry.until - now), but=worker)]

    def _entry(self, news: messages.NeighbourNews, now: float) -> Entry:
        key = (news.port, news.address)
        if key not in self._entries:
            if len(self._entries) >= MAX_ENTRIES:
                # Those that are of no use first, then by age. Workers keep what they have, and go on alone.
                least = min(self._entries.values(), key=lambda e: (e.state in ("REACHABLE", "DELAY", "PROBE"), e.since))
                del self._entries[least.port, least.address]
            self._entries[key] = Entry(news.port, news.address, "INCOMPLETE", now, now + INCOMPLETE_S)
        return self._entries[key]

    # --------------------------------------------------------------------------------------------------- what is due

    def next(self) -> float | None:
        """When `tick` is due; None: never."""
        return min((entry.until for entry in self._entries.values()), default=None)

    def tick(self, now: float) -> list[Order]:
        orders: list[Order] = []
        for entry in [e for e in self._entries.values() if e.until <= now]:
            match entry.state:
                case "REACHABLE":
                    _set(entry, "STALE", now, STALE_S)
                    orders.append(Order(_order("stale", entry)))
                case "DELAY" | "PROBE" if entry.state == "DELAY" or entry.probes < PROBES:
                    entry.probes = entry.probes + 1 if entry.state == "PROBE" else 1
                    _set(entry, "PROBE", now, PROBE_S)
                    orders.append(Order(_order("ask", entry), to=entry.worker))
                case _:  # INCOMPLETE and nobody says more, STALE and unused, silent when probed, FAILED long enough
                    del self._entries[entry.port, entry.address]
                    if entry.mac:
                        orders.append(Order(_order("forget", entry)))
        return orders

    # ------------------------------------------------------------------------------------------------------- workers

    def worker_down(self, worker: int, heir: int) -> None:
        """heir: a worker that lives; it asks from now on."""
        for entry in self._entries.values():
            if entry.worker == worker:
                entry.worker = heir

    def worker_up(self, now: float) -> Iterable[messages.Neighbour]:
        """What a fresh worker has to be told."""
        for entry in self._entries.values():
            if entry.mac:
                yield _order("put", entry)
            if entry.state == "STALE":
                yield _order("stale", entry)
            elif entry.state == "FAILED" and entry.until > now:
                yield _order("fail", entry, entry.until - now)

    # -------------------------------------------------------------------------------------------------------- people

    def flush(self, address: str = "") -> list[Order]:
        """Forgets one address, on every port, or all."""
        gone = [entry for entry in self._entries.values() if not address or entry.address == address]
        for entry in gone:
            del self._entries[entry.port, entry.address]
        return [Order(_order("forget", entry)) for entry in gone]

    def infos(self, now: float) -> tuple[messages.NeighbourInfo, ...]:
        return tuple(
            messages.NeighbourInfo(
                port=entry.port,
                address=entry.address,
                mac=entry.mac,
                state=entry.state,
                since_s=round(now - entry.since, 3),
                confirmed_s=None if entry.confirmed is None else round(now - entry.confirmed, 3),
                worker=entry.worker,
            )
            for entry in sorted(self._entries.values(), key=lambda e: (e.port, ":" in e.address, e.address))
        )


def _set(entry: Entry, state: str, now: float, lasts: float) -> None:
    entry.state, entry.since, entry.until = state, now, now + lasts


def _order(op: str, entry: Entry, hold_s: float = 0.0) -> messages.Neighbour:
    return messages.Neighbour(op, entry.port, entry.address, entry.mac, int(hold_s * 1000))
