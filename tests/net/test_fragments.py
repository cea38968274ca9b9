# SPDX-License-Identifier: Apache-2.0
"""Packets that somebody on the way or the peer's kernel cut in pieces arrive whole, whichever worker each piece meets.

Of IPv4 it is the host's kernel that joins them: the driver asks the packet socket for that. Of IPv6 it is the engine.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from sennit import sdk
from sennit.tools.lab import ANY, Family, KernelProcess, Lab
from sennit.tools.lab_peer import Pattern
from sennit.tools.lab_runtime import Runtime

PORT = 5006
SIZE = 1 << 20
NARROW = 1280  # bytes that the router's link to the host carries; with less the kernel takes IPv6 from it
TIMEOUT_S = 20.0

# An echo request with as many bytes as told, that the kernel may cut. Says "answered" or "silence".
ECHO = """
import socket, struct, sys
host, data = sys.argv[1], bytes(i * 7 & 255 for i in range(int(sys.argv[2])))
six = ":" in host
with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1) as s:
    s.settimeout(float(sys.argv[3]))
    if not six:
        s.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER: never set DF
    body = struct.pack("!HH", 0x534E, 7) + data
    words = sum(struct.unpack(f"!{len(body) // 2}H", body)) + 0x0800
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    s.sendto(struct.pack("!BBH", 128 if six else 8, 0, ~words & 0xFFFF) + body, (host, 0))
    try:
        while True:
            answer, who = s.recvfrom(9000)
            answer = answer if six else answer[(answer[0] & 15) * 4 :]
            if who[0] == host and answer[0] == (129 if six else 0):
                assert answer[4:] == body, answer
                print("answered")
                break
    except TimeoutError:
        print("silence")
"""

# Stands in the router between a TUN device and the link to the host: IPv6 packets leave in pieces of at most 496 bytes,
# out of order, every third packet with a piece twice; every 50th of the long ones as an attacker would cut it.
CUTTER = """
import fcntl, itertools, socket, struct, sys
link, mac = sys.argv[1], bytes.fromhex(sys.argv[2])
tun = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"cut0", 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
out = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
print("ready", flush=True)
for number in itertools.count(1):
    packet = tun.read(2000)
    if packet[0] >> 4 != 6:
        continue
    upper, pieces = packet[40:], []
    if len(upper) <= 496 or packet[6] == 44:
        pieces = [packet]
    else:
        cuts = [(at, upper[at : at + 496]) for at in range(0, len(upper), 496)]
        if number % 50 == 0:
            cuts[1] = (cuts[1][0] - 8, cuts[1][1])  # overlaps
        cuts.append(cuts.pop(0))
        if number % 3 == 0:
            cuts.insert(1, cuts[0])
        for at, piece in cuts:
            more = at + len(piece) < len(upper)
            body = struct.pack("!BBHI", packet[6], 0, at | more, number) + piece
            pieces.append(packet[:4] + struct.pack("!HB", len(body), 44) + packet[7:40] + body)
    for piece in pieces:
        out.sendto(piece, (link, 0x86DD, 0, 0, mac))
"""


def counters(runtime: Runtime) -> Callable[[str], int]:
    """How often something happened since now, in all workers."""

    before = runtime.counters()
    return lambda name: runtime.counters()[name] - before[name]


def receive_from_kernel(lab: Lab, runtime: Runtime, role: str, family: Family) -> None:
    """The peer's kernel sends to us, who are client or server: the bytes are the same."""
    digest = hashlib.sha256()

    def drain(connection: sdk.Connection) -> None:
        connection.settimeout(TIMEOUT_S)
        while data := connection.recv(65536):
            digest.update(data)

    if role == "client":
        peer = KernelProcess(lab, lab.peer, PORT, "server", ANY[family], "send", SIZE)
        peer.event("listening")
        with sdk.connect((lab.peer_address(1, family), PORT), timeout=TIMEOUT_S, instance=runtime.name) as connection:
            drain(connection)
    else:
        with sdk.listen(("", PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
            peer = KernelProcess(lab, lab.peer, PORT, "client", lab.host_address(1, family), "send", SIZE)
            connection, _ = listener.accept()
            with connection:
                drain(connection)
    assert digest.hexdigest() == Pattern(SIZE).sha256() == peer.done().sha256


@pytest.fixture(scope="module")
def cut() -> Iterator[Lab]:
    """One path. IPv4: its last link is narrow, and the peer lets routers cut what it sends. IPv6: the cutter."""
    with Lab(paths=1, ipv6=True) as lab:
        lab.sysctl(lab.peer, {"net.ipv4.ip_no_pmtu_disc": 1})
        mac = lab.run(lab.host, "cat", "/sys/class/net/h1/address").strip().replace(":", "")
        cutter = lab.popen(lab.net, sys.executable, "-I", "-c", CUTTER, "rh1", mac, stdout=subprocess.PIPE)
        assert cutter.stdout is not None
        assert cutter.stdout.readline() == b"ready\n"
        lab.run(lab.net, "ip", "link", "set", "cut0", "up")
        lab.run(lab.net, "ip", "-6", "route", "replace", "default", "dev", "cut0", "table", "201")
        yield lab


@pytest.fixture(scope="module", params=["0", "0-1"], ids=["one-worker", "two-workers"])
def cut_runtime(cut: Lab, request: pytest.FixtureRequest) -> Iterator[Runtime]:
    with Runtime(cut, lcores=request.param) as runtime:
        yield runtime


@pytest.mark.parametrize("role", ["client", "server"])
def test_ipv6_segments_in_pieces_arrive_whole_and_hostile_ones_not(cut: Lab, cut_runtime: Runtime, role: str) -> None:
    since = counters(cut_runtime)
    receive_from_kernel(cut, cut_runtime, role, "ipv6")
    assert since("frag_done") >= SIZE // 1440
    assert since("frag_dup") > 100
    assert since("frag_conflict") > 5
    assert since("frag_evicted") + since("frag_nobuf") + since("frag_too_big") == 0


@pytest.mark.parametrize("role", ["client", "server"])
def test_ipv4_segments_that_a_router_cut_arrive_whole(cut: Lab, cut_runtime: Runtime, role: str) -> None:
    cut.run(cut.net, "ip", "link", "set", "rh1", "mtu", str(NARROW))
    before = cut.nstat(cut.net)["IpFragOKs"]
    try:
        receive_from_kernel(cut, cut_runtime, role, "ipv4")
    finally:
        cut.run(cut.net, "ip", "link", "set", "rh1", "mtu", "1500")
    assert cut.nstat(cut.net)["IpFragOKs"] - before >= SIZE // 1460


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_an_echo_request_in_fragments_is_answered_with_all_its_data(
    cut: Lab, cut_runtime: Runtime, family: Family
) -> None:
    """As long as one frame holds the answer; else there is none, which is counted."""
    since, most = counters(cut_runtime), 1500 - 8 - (20 if family == "ipv4" else 40)
    to = cut.host_address(1, family)
    if family == "ipv4":
        words = ["10.1.1.0/24", "via", "10.2.1.254", "dev", "p1", "mtu", "lock", "600"]
    else:
        words = ["fd00:1:1::/64", "via", "fd00:2:1::254", "dev", "p1", "mtu", "1280"]
    cut.run(cut.peer, "ip", f"-{family[-1]}", "route", "replace", *words)
    try:
        for size, answer in ((most, "answered"), (most + 2, "silence")):
            said = cut.run(cut.peer, sys.executable, "-I", "-c", ECHO, to, str(size), "5" if size == most else "0.3")
            assert said.strip() == answer
    finally:
        cut.run(cut.peer, "ip", f"-{family[-1]}", "route", "replace", *words[:5])
    assert since("icmp_too_big") == 1
    assert since("icmp_echo" if family == "ipv4" else "icmp6_echo") == 1
