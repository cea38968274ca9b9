# SPDX-License-Identifier: Apache-2.0
"""Our own addresses: probing, conflicts, announcements, without workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import ctrl_fake as fake
import pytest

from sennit.ctrl import addresses
from sennit.shm import messages

PROBE_S = addresses.PROBE_S  # before the tests make it shorter
MAC = "02:00:00:00:00:07"
PORTS = (
    fake.port(0, address="10.0.1.1/24", address6="fd00:1::1/64", probed=(False, True)),
    fake.port(1, address="10.0.2.1/24"),
)


class World:
    def __init__(self, ports: tuple[messages.PortInfo, ...] = PORTS) -> None:
        self.sent: list[tuple[int, str, str]] = []
        self.all: list[tuple[str, str]] = []
        self.asker: int | None = 1
        self.now = 100.0
        self.addresses = addresses.Addresses(
            ports,
            lambda worker, m: self.sent.append((worker, m.op, m.address)),
            lambda m: self.all.append((m.op, m.address)),
            lambda: self.asker,
            lambda: self.now,
        )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "PROBE_S", 0.002)
    monkeypatch.setattr(addresses, "ANNOUNCE_S", 0.002)


def run(what: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await what()

    asyncio.run(main())


def test_held_addresses_are_probed_three_times_together_and_then_ready_everywhere() -> None:
    world = World()
    run(world.addresses.claim)
    assert world.sent == [(1, "probe", "10.0.1.1"), (1, "probe", "fd00:1::1")] * 3
    assert world.all == [("ready", "10.0.1.1"), ("ready", "fd00:1::1")]


def test_what_the_kernel_had_is_not_probed() -> None:
    world = World((fake.port(0), fake.port(1)))
    run(world.addresses.claim)
    assert (world.sent, world.all) == ([], [])


def test_probing_takes_less_than_a_second() -> None:
    assert (addresses.PROBES + 1) * PROBE_S < 1.0


def test_a_duplicate_is_named_with_the_mac_that_has_it() -> None:
    world = World()

    async def claim() -> None:
        task = asyncio.create_task(world.addresses.claim())
        await asyncio.sleep(0)
        world.addresses.conflict(0, "fd00:1::1", MAC)
        await task

    with pytest.raises(addresses.DuplicateError) as caught:
        run(claim)
    said = f"port veth-a1: address fd00:1::1 is in use already, by the host with the MAC {MAC}"
    assert str(caught.value).startswith(said)
    assert world.all == []


def test_a_later_conflict_is_warned_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    world = World((fake.port(0), fake.port(1)))
    for seconds in (0, 10, 59, 61):
        world.now = 100.0 + seconds
        world.addresses.conflict(1, "10.0.2.1", MAC)
    world.addresses.conflict(0, "10.0.1.1", MAC)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in said] == ["address 10.0.2.1", "address 10.0.2.1", "address 10.0.1.1"]
    assert MAC in said[0]


def test_every_address_is_announced_twice() -> None:
    world = World()

    async def announce() -> None:
        world.addresses.announce()
        await asyncio.sleep(0.05)
        world.addresses.close()

    run(announce)
    once = [(1, "announce", address) for address in ("10.0.1.1", "fd00:1::1", "10.0.2.1")]
    assert world.sent == once * 2


def test_without_a_worker_nobody_is_told() -> None:
    world = World()
    world.asker = None

    async def announce() -> None:
        world.addresses.announce()
        await asyncio.sleep(0.02)
        world.addresses.close()

    run(announce)
    assert world.sent == []
