# SPDX-License-Identifier: Apache-2.0
"""A router whose second link carries less than ours: it says so, or a firewall keeps it from saying so. A firewall that
says no to an open."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sennit import sdk
from sennit.tools import demo_runs
from sennit.tools.lab import ANY, Family, KernelProcess, Lab
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5007
SIZE = 4 << 20
TIMEOUT_S = 20.0
FAMILIES: tuple[Family, Family] = ("ipv4", "ipv6")
Eventually = Callable[[Callable[[], bool], float], bool]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(paths=2, ipv6=True) as made:
        yield made


@pytest.fixture
def runtime(lab: Lab) -> Iterator[Runtime]:
    """Its own for each test: what paths carry is remembered."""
    with Runtime(lab) as made:
        yield made


@contextmanager
def narrow(lab: Lab, says: bool, **mtus: int) -> Iterator[None]:
    """Interfaces of the router with another MTU, which it says or is kept from saying."""
    for name, mtu in mtus.items():
        lab.run(lab.net, "ip", "link", "set", name, "mtu", str(mtu))
    lab.run(lab.net, "nft", "add table inet quiet")
    if not says:
        lab.run(lab.net, "nft", "add chain inet quiet o { type filter hook output priority 0; }")
        lab.run(lab.net, "nft", "add rule inet quiet o icmp type destination-unreachable drop")
        lab.run(lab.net, "nft", "add rule inet quiet o icmpv6 type packet-too-big drop")
    try:
        yield
    finally:
        lab.run(lab.net, "nft", "delete table inet quiet")
        for name in mtus:
            lab.run(lab.net, "ip", "link", "set", name, "mtu", str(lab.mtu))


@pytest.mark.parametrize("says", [True, False], ids=["icmp", "no-icmp"])
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_pass_a_narrow_link(lab: Lab, runtime: Runtime, family: Family, role: str, says: bool) -> None:
    with narrow(lab, says, rp1=1300):
        near = demo_runs.SennitNear(lab, runtime, family)
        started = time.monotonic()
        run = demo_runs.measure(lab, near, role, "send", 1, SIZE, lambda *_: None)
        took = time.monotonic() - started
    assert run.sha256_ok
    found = runtime.counters()
    if says:
        assert found["pmtu_lowered"] >= 1
        assert found["pmtu_black_hole"] == 0
    else:
        assert found["pmtu_lowered"] == 0
        assert found["pmtu_black_hole"] >= 1
    assert found["icmp_error_forged"] == 0
    assert took < 10  # 0.4 s on the wire, a retransmission timeout or four without ICMP; the rest is starting programs


@pytest.mark.parametrize("family", FAMILIES)
def test_kernel_sends_through_a_narrow_link(lab: Lab, runtime: Runtime, family: Family) -> None:
    with narrow(lab, True, rh1=1300):
        run = demo_runs.measure(
            lab, demo_runs.SennitNear(lab, runtime, family), "client", "receive", 1, SIZE, lambda *_: None
        )
    assert run.sha256_ok


@pytest.mark.parametrize("says", [True, False], ids=["icmp", "no-icmp"])
@pytest.mark.parametrize("family", FAMILIES)
def test_paths_of_different_mtu_carry_one_connection(
    lab: Lab, runtime: Runtime, family: Family, says: bool, eventually: Eventually
) -> None:
    size = 24 << 20
    runtime.limits(8, 8)
    runtime.endpoints("subflow", family=family)
    with narrow(lab, says, rp2=1280):
        peer = KernelProcess(lab, lab.peer, PORT, "server", ANY[family], "receive", size)
        peer.event("listening")
        to = (lab.peer_address(1, family), PORT)
        with sdk.connect(to, timeout=TIMEOUT_S, instance=runtime.name) as connection:
            for number, block in enumerate(Pattern(size).blocks()):
                connection.sendall(block)
                if number == 0:
                    assert eventually(lambda: len(runtime.status().conns[0].subflows) == 2, 5)
            wide, thin = sorted(runtime.status().conns[0].subflows, key=lambda s: s.local)
            assert (wide.pmtu, thin.pmtu) == (1500, 1280)
            assert min(wide.bytes_acked, thin.bytes_acked) > size // 20
            connection.shutdown(1)
            assert connection.recv(1) == b""
        done = peer.done()
    assert done.mptcp
    assert done.sha256 == Pattern(size).sha256()
    found = runtime.counters()
    assert (found["conn_fallback"], found["DSSNoMatchTCP"]) == (0, 0)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("reject with icmpx type port-unreachable", errno.ECONNREFUSED),
        ("reject with icmpx type admin-prohibited", errno.EHOSTUNREACH),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_firewall_that_says_no_ends_an_open_at_once(
    lab: Lab, runtime: Runtime, family: Family, rule: str, wanted: int
) -> None:
    lab.run(lab.net, "nft", "add table inet wall")
    lab.run(lab.net, "nft", "add chain inet wall f { type filter hook forward priority 0; }")
    lab.run(lab.net, "nft", f"add rule inet wall f iifname rh1 tcp dport {PORT} {rule}")
    try:
        started = time.monotonic()
        with pytest.raises(OSError) as caught:
            sdk.connect((lab.peer_address(1, family), PORT), timeout=TIMEOUT_S, instance=runtime.name)
        assert caught.value.errno == wanted
        assert time.monotonic() - started < 3
    finally:
        lab.run(lab.net, "nft", "delete table inet wall")
    assert runtime.counters()["icmp_error_ended"] == 1
