# SPDX-License-Identifier: Apache-2.0
"""Neighbours through the control process: what workers say, what others are told, what people ask for."""

from __future__ import annotations

from pathlib import Path

import ctrl_fake as fake
import pytest
from ctrl_dial import until

from sennit.ctrl import addresses, neighbourhood, neighbours, settings
from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.errors import ToolError

MAC = "02:00:00:00:00:07"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(addresses, "PROBE_S", 0.002)
    monkeypatch.setattr(addresses, "ANNOUNCE_S", 0.002)
    return tmp_path


def say(handle: fake.Handle, worker: int, kind: str, address: str = "10.0.1.2", mac: str = "") -> None:
    handle.workers[worker].say(messages.NeighbourReport((messages.NeighbourNews(kind, 0, address, mac),)))


def told(handle: fake.Handle, worker: int) -> list[tuple[str, str, str]]:
    heard = handle.workers[worker].heard
    return [(m.op, m.address, m.mac) for m in heard if isinstance(m, messages.Neighbour) and m.op != "announce"]


def announced(handle: fake.Handle) -> list[str]:
    heard = [m for worker in handle.workers for m in worker.heard]
    return [m.address for m in heard if isinstance(m, messages.Neighbour) and m.op == "announce"]


def test_what_one_worker_says_the_other_is_told_and_people_see(directory: Path) -> None:
    handle = fake.Handle()

    def scenario(path: Path) -> None:
        with Client("unit") as client:
            say(handle, 0, "asked")
            say(handle, 0, "heard", mac=MAC)
            assert until(lambda: told(handle, 1) == [("put", "10.0.1.2", MAC)])
            assert told(handle, 0) == []
            (known,) = client.neighbours()
            assert (known.address, known.mac, known.state, known.port) == ("10.0.1.2", MAC, "REACHABLE", 0)
            with pytest.raises(ToolError, match=r"there is no neighbour 10\.0\.1\.3"):
                client.flush_neighbours("10.0.1.3")
            with pytest.raises(ToolError, match="'here' is no IP address"):
                client.flush_neighbours("here")
            assert client.flush_neighbours("10.0.1.2") == ()
            assert until(lambda: told(handle, 0) == [("forget", "10.0.1.2", MAC)])
            assert client.flush_neighbours() == ()

    fake.with_server(handle, scenario, directory)


def test_silence_is_spread_and_times_are_kept(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "FAILED_S", 0.05)
    handle = fake.Handle()

    def scenario(path: Path) -> None:
        with Client("unit") as client:
            say(handle, 1, "silent")
            assert until(lambda: [op for op, _, _ in told(handle, 0)] == ["fail"])
            assert until(lambda: client.neighbours() == ())

    fake.with_server(handle, scenario, directory)


def test_a_worker_that_is_back_is_told_everything_and_addresses_are_announced(directory: Path) -> None:
    handle = fake.Handle()

    def scenario(path: Path) -> None:
        say(handle, 0, "heard", mac=MAC)
        assert until(lambda: told(handle, 1) == [("put", "10.0.1.2", MAC)])
        assert until(lambda: announced(handle) == ["10.0.1.1", "10.0.2.1", "10.0.3.1"] * 2)
        handle.kill(0)
        handle.restart(0)
        assert until(lambda: told(handle, 0) == [("put", "10.0.1.2", MAC)])
        assert until(lambda: announced(handle) == ["10.0.1.1", "10.0.2.1", "10.0.3.1"] * 2)

    fake.with_server(handle, scenario, directory)


def test_a_link_that_is_back_is_announced(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbourhood, "LINK_S", 0.02)
    handle = fake.Handle(ports=1)

    def scenario(path: Path) -> None:
        assert until(lambda: len(announced(handle)) == 2)
        handle.links = [False]
        assert not until(lambda: len(announced(handle)) > 2, 0.2)
        handle.links = [True]
        assert until(lambda: len(announced(handle)) == 4)

    fake.with_server(handle, scenario, directory)


def test_addresses_are_ready_before_anything_else_is_said(directory: Path) -> None:
    handle = fake.Handle(ports=1)
    handle.ports = [fake.port(0, probed=(False,))]

    def scenario(path: Path) -> None:
        assert handle.ready
        assert told(handle, 0) == [("probe", "10.0.1.1", "")] * 3 + [("ready", "10.0.1.1", "")]
        assert told(handle, 1) == [("ready", "10.0.1.1", "")]
        policy = next(i for i, m in enumerate(handle.workers[0].heard) if isinstance(m, messages.PutLimits))
        ready = handle.workers[0].heard.index(messages.Neighbour("ready", 0, "10.0.1.1"))
        assert ready < policy

    fake.with_server(handle, scenario, directory)


def test_a_duplicate_address_ends_the_start(directory: Path) -> None:
    handle = fake.Handle(ports=1)
    handle.ports = [fake.port(0, probed=(False,))]
    say(handle, 1, "conflict", "10.0.1.1", MAC)
    with pytest.raises(settings.StartError, match=f"10.0.1.1 is in use already, by the host with the MAC {MAC}"):
        fake.with_server(handle, lambda path: None, directory)
    assert handle.stopped
    assert not handle.ready
