# SPDX-License-Identifier: Apache-2.0
"""Addresses of both families: what a program writes, what is tried in which order."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sdk_fake as fake

import sennit
from sennit.sdk import address as addresses
from sennit.sdk.session import registry

Names = Callable[..., None]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fake.FakeRuntime]:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    rt = fake.FakeRuntime(tmp_path)
    rt.addresses = ("10.0.0.1", "fd00::1")
    yield rt
    registry.close()
    rt.close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Names:
    """host("a", "b"): what every name stands for, in this order."""

    def lookup(*hosts: str) -> None:
        def getaddrinfo(name: str, port: int, family: int = 0, *rest: Any) -> list[Any]:
            assert family == socket.AF_UNSPEC
            return [
                (socket.AF_INET6, 1, 6, "", (h, port, 0, 3)) if ":" in h else (socket.AF_INET, 1, 6, "", (h, port))
                for h in hosts
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return lookup


def asked(runtime: fake.FakeRuntime) -> set[str]:
    return {host for worker in runtime.workers.values() for host in worker.asked}


def test_sixteen_bytes_and_back() -> None:
    for host in ("10.0.1.2", "fd00:1::2", "::", "::1"):
        assert addresses.unpack(addresses.pack(host)) == host
    assert addresses.pack("::ffff:10.0.1.2") == addresses.pack("10.0.1.2")
    assert addresses.show(("10.0.1.2", 80)) == "10.0.1.2:80"
    assert addresses.show(("fd00::2", 80)) == "[fd00::2]:80"


def test_numbers_need_no_lookup(host: Names) -> None:
    host("192.0.2.9")
    assert addresses.resolve(("FD00:0::2", 80)) == [("fd00::2", 80)]
    assert addresses.resolve(("::ffff:10.0.1.2", 80)) == [("10.0.1.2", 80)]
    assert addresses.resolve(("10.0.1.2", 80), usable=(6,)) == [("10.0.1.2", 80)]
    assert addresses.resolve(("", 80)) == [("::", 80)]


def test_ipv6_comes_first_and_each_once(host: Names) -> None:
    host("10.0.1.2", "fd00::2", "::ffff:10.0.1.2", "10.0.1.3", "fe80::7%3", "fd00::3", "fd00::2")
    found = addresses.resolve(("name", 80))
    assert found == [("fd00::2", 80), ("fd00::3", 80), ("10.0.1.2", 80), ("10.0.1.3", 80)]
    assert addresses.resolve(("name", 80), usable=(4,)) == [("10.0.1.2", 80), ("10.0.1.3", 80)]


def test_a_name_without_a_usable_address_says_so(host: Names) -> None:
    host("fd00::2", "fe80::2")
    with pytest.raises(OSError, match="name has only IPv6 addresses") as caught:
        addresses.resolve(("name", 80), usable=(4,))
    assert caught.value.errno == errno.ENETUNREACH
    host("fe80::2")
    with pytest.raises(OSError, match="name has only link-local addresses"):
        addresses.resolve(("name", 80))


def test_connect_to_an_ipv6_address(runtime: fake.FakeRuntime) -> None:
    with sennit.connect(("fd00::2", fake.ECHO), timeout=5) as conn:
        assert conn.getpeername() == ("fd00::2", fake.ECHO)
        conn.sendall(b"hello")
        assert conn.recv(5) == b"hello"
    with pytest.raises(ConnectionRefusedError, match=r"connecting to \[fd00::2\]:1: "):
        sennit.connect(("fd00::2", fake.REFUSED))


def test_the_other_family_is_tried_when_one_leads_nowhere(runtime: fake.FakeRuntime, host: Names) -> None:
    host("10.0.1.2", fake.NO_ROUTE)
    with sennit.connect(("name", fake.ECHO), timeout=5) as conn:
        assert conn.getpeername() == ("10.0.1.2", fake.ECHO)
        assert conn.gettimeout() == 5
    assert asked(runtime) == {fake.NO_ROUTE, "10.0.1.2"}


def test_a_silent_address_leaves_time_for_the_next(runtime: fake.FakeRuntime, host: Names) -> None:
    host("10.0.1.2", fake.NO_ANSWER)
    begun = time.monotonic()
    with sennit.connect(("name", fake.ECHO), timeout=1) as conn:
        assert conn.getpeername() == ("10.0.1.2", fake.ECHO)
    assert time.monotonic() - begun > 0.45
    host(fake.NO_ANSWER)
    with pytest.raises(TimeoutError, match=r"\[fd00::408\]:7: timed out after 0\.1 s"):
        sennit.connect(("name", fake.ECHO), timeout=0.1)


def test_an_answer_is_told_rather_than_a_missing_route(runtime: fake.FakeRuntime, host: Names) -> None:
    host("10.0.1.2", fake.NO_ROUTE)
    with pytest.raises(ConnectionRefusedError):
        sennit.connect(("name", fake.REFUSED))
    host(fake.NO_ROUTE)
    with pytest.raises(OSError, match="fd00::404") as caught:
        sennit.connect(("name", fake.REFUSED))
    assert caught.value.errno == errno.ENETUNREACH


def test_an_instance_without_ipv6_does_not_try_it(runtime: fake.FakeRuntime, host: Names) -> None:
    runtime.addresses = ("10.0.0.1",)
    host(fake.NO_ANSWER, "10.0.1.2")
    with sennit.connect(("name", fake.ECHO), timeout=5) as conn:
        assert conn.getpeername()[0] == "10.0.1.2"
    assert asked(runtime) == {"10.0.1.2"}


def test_the_source_decides_the_family(runtime: fake.FakeRuntime, host: Names) -> None:
    host(fake.NO_ANSWER, "10.0.1.2")
    with sennit.connect(("name", fake.ECHO), timeout=5, source_address=("10.0.0.1", 0)) as conn:
        assert conn.getpeername()[0] == "10.0.1.2"
    assert asked(runtime) == {"10.0.1.2"}
    with sennit.connect(("fd00::2", fake.ECHO), timeout=5, source_address=("", 0)):
        pass
    with pytest.raises(OSError, match=r"\[fd00::2\]:7 from 10\.0\.0\.1: one is IPv4") as caught:
        sennit.connect(("fd00::2", fake.ECHO), source_address=("10.0.0.1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_listener_takes_the_address_that_is_ours(runtime: fake.FakeRuntime, host: Names) -> None:
    host("fd00::99", "10.0.0.1")
    with sennit.listen(("name", 8080)) as listener:
        assert listener.getsockname() == ("10.0.0.1", 8080)
    with sennit.listen(("fd00::1", 8080)) as listener:
        assert listener.getsockname() == ("fd00::1", 8080)
        assert all(list(w.listeners.values()) == [("fd00::1", 8080)] for w in runtime.workers.values())
    with pytest.raises(OSError, match=r"listening on \[::\]:1"):
        sennit.listen(("", fake.REFUSED))
