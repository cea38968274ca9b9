# SPDX-License-Identifier: Apache-2.0
"""A port on a VLAN of an interface that the kernel goes on using untagged."""

from __future__ import annotations

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
TIMEOUT_S = 20.0
OURS: dict[Family, str] = {"ipv4": "10.1.105.1", "ipv6": "fd00:1:105::1"}


# The router's end of the VLANs, for kernels without VLAN interfaces: TAP devices v5, v6, ..., whose frames cross the
# link with a tag, of priority 5. Packet sockets show the tag beside the frame (PACKET_AUXDATA).
TRUNK = """
import fcntl, os, selectors, socket, struct, sys
link, vlans = sys.argv[1], [int(word) for word in sys.argv[2:]]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((link, 3))
wire.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
taps = {}
for vlan in vlans:
    taps[vlan] = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(taps[vlan], 0x400454CA, struct.pack("16sH22x", b"v%d" % vlan, 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
chosen = selectors.DefaultSelector()
for vlan, tap in [*taps.items(), (None, wire)]:
    chosen.register(tap, selectors.EVENT_READ, vlan)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.data is None:
            frame, said, _, where = wire.recvmsg(2000, 200)
            if where[2] == 4:  # PACKET_OUTGOING
                continue
            for level, kind, data in said:
                status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
                if status & 0x10 and tci & 0xFFF in taps:  # TP_STATUS_VLAN_VALID
                    os.write(taps[tci & 0xFFF], frame)
        else:
            frame = os.read(key.fd, 2000)
            wire.send(frame[:12] + struct.pack("!HH", 0x8100, 5 << 13 | key.data) + frame[12:])
"""


# Knocks at a port where nobody listens, through one device. Says "there" if somebody refuses.
KNOCK = """
import socket, sys
device, host, seconds = sys.argv[1:]
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    s.settimeout(float(seconds))
    try:
        s.connect((host, 9))
    except ConnectionRefusedError:
        print("there")
    except OSError:
        print("silence")
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """VLAN 5 and 6 of the link to the host; the router is in both."""
    with Lab(paths=1, ipv6=True) as made:
        trunk = made.popen(made.net, sys.executable, "-I", "-c", TRUNK, "rh1", "5", "6", stdout=subprocess.PIPE)
        assert trunk.stdout is not None
        assert trunk.stdout.readline() == b"ready\n"
        made.batch(made.net, [
            "link set v5 up", "address add 10.1.105.254/24 dev v5", "route add 10.1.105.0/24 dev v5 table 201",
            "link set v6 up", "address add 10.1.106.254/24 dev v6",
        ])  # fmt: skip
        made.batch(made.net, [
            "address add fd00:1:105::254/64 dev v5 nodad", "route add fd00:1:105::/64 dev v5 table 201",
        ], "-6")  # fmt: skip
        yield made


WORDS = "h1,vlan=5,address=10.1.105.1/24,gateway=10.1.105.254,address6=fd00:1:105::1/64,gateway6=fd00:1:105::254"


@pytest.fixture(scope="module")
def runtime(lab: Lab) -> Iterator[Runtime]:
    with Runtime(lab, lcores="0-1", ports=[WORDS]) as made:
        yield made


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_kernel_connects_and_sends(lab: Lab, runtime: Runtime, family: Family) -> None:
    with sdk.listen(("", PORT), instance=runtime.name, timeout=TIMEOUT_S) as listener:
        peer = KernelProcess(lab, lab.peer, PORT, "client", OURS[family], "send", SIZE)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TIMEOUT_S)
            got = b"".join(iter(lambda: connection.recv(65536), b""))
    assert got == b"".join(Pattern(SIZE).blocks())
    assert peer.done().mptcp


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_kernel_is_sent_to(lab: Lab, runtime: Runtime, family: Family) -> None:
    peer = KernelProcess(lab, lab.peer, PORT, "server", ANY[family], "receive", SIZE)
    peer.event("listening")
    with sdk.connect((lab.peer_address(1, family), PORT), timeout=TIMEOUT_S, instance=runtime.name) as connection:
        assert connection.getsockname()[0] == OURS[family]
        for block in Pattern(SIZE).blocks():
            connection.sendall(block)
        connection.shutdown(1)
        assert connection.recv(1) == b""
    assert peer.done().sha256 == Pattern(SIZE).sha256()


def test_other_vlans_and_untagged_frames_are_not_ours(
    lab: Lab, runtime: Runtime, eventually: Callable[[Callable[[], bool], float], bool]
) -> None:
    """The same network in VLAN 6 gets no answer; the kernel's own, untagged, is as it was."""

    def dropped() -> int:
        return runtime.counters()["rx_drop_vlan"]

    def knock(device: str, host: str, seconds: float = 5) -> str:
        return lab.run(lab.net, sys.executable, "-I", "-c", KNOCK, device, host, str(seconds)).strip()

    before = dropped()
    lab.run(lab.net, "ip", "route", "add", OURS["ipv4"], "dev", "v6", "metric", "1")
    assert knock("v6", OURS["ipv4"], 0.5) == "silence"
    lab.run(lab.net, "ip", "route", "del", OURS["ipv4"], "dev", "v6", "metric", "1")
    assert eventually(lambda: dropped() > before, 5)
    before = dropped()
    assert knock("rh1", lab.host_address(1)) == "there"  # the host's kernel
    assert eventually(lambda: dropped() > before, 5)
    assert knock("v5", OURS["ipv4"]) == "there"
    (port,) = runtime.status().ports
    assert (port.name, port.vlan, port.addresses) == ("h1", 5, ("10.1.105.1/24", "fd00:1:105::1/64"))
