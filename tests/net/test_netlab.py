# SPDX-License-Identifier: Apache-2.0
"""The link emulator in real time. What arithmetic decides (rate, loss, order) is checked strictly; what the machine's
load can spoil (delay) strictly from below and loosely from above. docs/netlab.md has measured figures."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sennit.tools import netlab, netlab_build, netlab_control, netlab_file
from sennit.tools.link_spec import LinkError
from sennit.tools.netlab import Netlab
from sennit.tools.netlab_build import NetlabError
from sennit.tools.netlab_control import DROPS, DirectionStatus

Eventually = Callable[[Callable[[], bool], float], bool]

# Sends COUNT numbered UDP packets of SIZE bytes to a port of nobody's: RATE per second, in bursts of ten.
BLAST = """
import socket, sys, time
family, host, count, size, rate = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
s = socket.socket(family, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
start = time.perf_counter()
for i in range(count):
    s.sendto(i.to_bytes(4, "big") + b"x" * (size - 4), (host, 5555))
    if i % 10 == 9:
        time.sleep(max(0, start + (i + 1) / rate - time.perf_counter()))
"""
# Says "ready"; at the end of its input, the numbers of what came in the order of arrival.
COLLECT = """
import select, socket, sys
s = socket.socket(int(sys.argv[1]), socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
s.bind(("", 5555))
print("ready", flush=True)
while True:
    if s in select.select([s, sys.stdin], [], [])[0]:
        data = s.recv(65536)
        print(int.from_bytes(data[:4], "big"), len(data), data[4:].count(b"x"), flush=False)
    else:
        break
"""
# Round trips in ms of COUNT echo requests.
PING = """
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.settimeout(2)
def checksum(b):
    t = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    t = (t >> 16) + (t & 65535)
    return ~(t + (t >> 16)) & 65535
for i in range(int(sys.argv[2])):
    h = struct.pack("!BBHHH", 8, 0, 0, 7, i) + bytes(56)
    start = time.perf_counter()
    s.sendto(h[:2] + struct.pack("!H", checksum(h)) + h[4:], (sys.argv[1], 0))
    while True:
        d = s.recv(2048)
        if d[20] == 0 and d[24:28] == struct.pack("!HH", 7, i):
            break
    print((time.perf_counter() - start) * 1000)
    time.sleep(0.003)
"""
# A frame with VLAN tag 7, sent or received; what arrived: tag protocol, tag, length of the packet inside.
TAGGED = """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(263, 8, 1)
s.bind(("one", 3))
if sys.argv[1] == "send":
    s.send(bytes([2] * 12) + bytes.fromhex("8100000788b5") + b"tagged".ljust(1500, b"."))
else:
    print("ready", flush=True)
    while True:
        data, control, _, _ = s.recvmsg(4096, 256)
        if data[14:20] == b"tagged":
            tag = struct.unpack("3I4H", control[0][2])
            print("%x %d %d" % (tag[6], tag[5], len(data) - 14))
            break
"""
# A TCP stream of 200000 bytes; how many came.
GIVE = """
import socket, sys
with socket.create_connection((sys.argv[1], 5556), 10) as s:
    s.sendall(bytes(200000))
"""
TAKE = """
import socket
with socket.create_server(("", 5556)) as listener:
    print("ready", flush=True)
    s, _ = listener.accept()
    print(len(s.makefile("rb").read()), flush=True)
"""
FILE = """
name = "sntnl{pid}"
[[link]]
name = "one"
a = "left 10.0.1.1/24 fd00:1::1/64"
b = "right 10.0.1.2/24 fd00:1::2/64"
{shape}
"""
V4, V6 = "10.0.1.2", "fd00:1::2"


def described(shape: str = "") -> netlab_file.Lab:
    return netlab_file.parse(FILE.format(pid=os.getpid(), shape=shape), "x")


@pytest.fixture(scope="module")
def lab() -> Iterator[Netlab]:
    """One link that every test sets as it needs it. Jumbo interfaces: the link's own MTU is the limit."""
    made = described('mtu = 9000\nqueue = "1 MiB"')
    with Netlab(made) as up:
        up.run("left", sys.executable, "-I", "-c", PING, V4, "1")  # neighbours are known from here on
        yield up


@pytest.fixture
def link(lab: Netlab) -> Netlab:
    lab.set("one", up=False)  # what the last test left under way is lost
    lab.set(
        "one", rate=0, delay=0, jitter=0, loss=0, reorder=0, reorder_by="1 ms", duplicate=0, corrupt=0, queue="1 MiB",
        mtu=9000, up=True, burst={"enter": 0, "leave": 0},
    )  # fmt: skip
    return lab


def ab(lab: Netlab) -> DirectionStatus:
    return lab.status().links[0].ab


def ping(lab: Netlab, count: int) -> list[float]:
    return [float(line) for line in lab.run("left", sys.executable, "-I", "-c", PING, V4, str(count)).split()]


class Arrived:
    """What a blast became: numbers in the order of arrival, lengths, intact bytes."""

    def __init__(self, lab: Netlab, count: int, size: int, rate: int, host: str = V4, settle: float = 0.1):
        family = "10" if ":" in host else "2"
        collector = lab.popen(
            "right", sys.executable, "-I", "-c", COLLECT, family, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert collector.stdout is not None
        collector.stdout.readline()
        self.before = ab(lab)
        self.start = time.monotonic()
        arguments = (family, host, str(count), str(size), str(rate))
        lab.run("left", sys.executable, "-I", "-c", BLAST, *arguments)
        time.sleep(settle)
        self.after = ab(lab)
        rows = [tuple(map(int, line.split())) for line in collector.communicate()[0].splitlines()]
        self.numbers = [number for number, _, _ in rows]
        self.whole = sum(length == size and intact == size - 4 for _, length, intact in rows)

    def moved(self, name: str) -> int:
        return int(getattr(self.after, name)) - int(getattr(self.before, name))


def test_a_perfect_link_carries_everything_in_order_in_both_families(link: Netlab) -> None:
    for host in (V4, V6):
        got = Arrived(link, 3000, 1200, 30000, host)
        assert got.numbers == list(range(3000))
        assert got.whole == 3000
        assert got.moved("unfinished") == 0
        assert sum(got.moved(name) for name in DROPS) == 0


@pytest.mark.parametrize("ms", [5, 50])
def test_delay(link: Netlab, ms: int) -> None:
    link.set("one", delay=f"{ms} ms")
    trips = ping(link, 20)
    assert min(trips) > 2 * ms - 0.4
    assert statistics.median(trips) < 2 * ms * 1.02 + 5


def test_jitter_adds_delay_and_keeps_the_order(link: Netlab) -> None:
    link.set("one", "ab", jitter="10 ms")
    got = Arrived(link, 1000, 100, 5000)
    assert got.numbers == list(range(1000))
    assert 2e6 < got.moved("delay_ns") / 1000 < 30e6


def test_rate(link: Netlab) -> None:
    link.set("one", rate="20 Mbit/s", queue="100 ms")
    sender = link.popen("left", sys.executable, "-I", "-c", BLAST, "2", V4, "4500", "1472", "2500")
    time.sleep(0.4)  # the queue has filled
    first = ab(link)
    time.sleep(1)
    last = ab(link)
    sender.wait()
    bits = 8 * (last.tx_bytes - first.tx_bytes)
    assert last.overflow > first.overflow
    # What the two looks do not see at the same instant is a few frames at most.
    assert bits / 20e6 == pytest.approx(1.0, rel=0.1)


def test_a_queue_of_a_given_time_holds_frames_that_long(link: Netlab) -> None:
    link.set("one", rate="10 Mbit/s", queue="50 ms")
    got = Arrived(link, 400, 1000, 100000, settle=0.2)
    assert got.moved("overflow") > 0
    assert len(got.numbers) == 400 - got.moved("overflow")
    assert len(got.numbers) >= 55  # 62500 bytes of 1042-byte frames wait, and one is on the wire
    assert 20e6 < got.moved("delay_ns") / got.moved("tx_frames") < 60e6


def test_loss_has_its_share(link: Netlab) -> None:
    link.set("one", "ab", loss="5 %")
    got = Arrived(link, 20000, 100, 25000)
    received = got.moved("rx_frames")
    assert received >= 20000
    share = got.moved("lost") / received
    assert share == pytest.approx(0.05, abs=0.008)  # five standard deviations
    assert len(got.numbers) == pytest.approx(20000 - got.moved("lost"), abs=5)


def test_burst_loss_is_of_frames_in_a_row(link: Netlab) -> None:
    link.set("one", "ab", burst={"enter": "0.5 %", "leave": "20 %"})
    got = Arrived(link, 10000, 100, 25000)
    missing = sorted(set(range(10000)) - set(got.numbers))
    runs = sum(1 for i, n in enumerate(missing) if i == 0 or missing[i - 1] != n - 1)
    assert 100 < len(missing) < 450
    assert len(missing) / runs > 3


def test_reordering_and_duplication(link: Netlab) -> None:
    link.set("one", "ab", delay="1 ms", reorder="5 %", reorder_by="3 ms", duplicate="5 %")
    got = Arrived(link, 4000, 100, 20000)
    assert set(got.numbers) == set(range(4000))
    assert len(got.numbers) - 4000 == pytest.approx(200, abs=75)
    late = sum(1 for i, n in enumerate(got.numbers[1:]) if n < got.numbers[i])
    assert late > 50


def test_corruption_is_caught_by_checksums(link: Netlab) -> None:
    link.set("one", "ab", corrupt="20 %")
    got = Arrived(link, 1000, 1000, 10000)
    assert got.moved("corrupted") == pytest.approx(200, abs=80)
    assert len(got.numbers) < 900
    assert got.whole == len(got.numbers)


@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_what_fits_the_mtu_passes_and_what_does_not_vanishes(link: Netlab, mtu: int) -> None:
    link.set("one", mtu=mtu)
    assert len(Arrived(link, 10, mtu - 28, 1000).numbers) == 10
    if mtu < 9000:
        got = Arrived(link, 10, mtu - 27, 1000)
        assert got.numbers == []
        assert got.moved("too_big") == 10


def test_vlan_tags_travel(link: Netlab) -> None:
    watch = link.popen("right", sys.executable, "-I", "-c", TAGGED, "receive", stdout=subprocess.PIPE)
    assert watch.stdout is not None
    watch.stdout.readline()
    link.run("left", sys.executable, "-I", "-c", TAGGED, "send")
    assert watch.stdout.read().decode().split() == ["8100", "7", "1500"]


def test_a_link_that_is_down_loses_everything(link: Netlab) -> None:
    link.set("one", up=False)
    got = Arrived(link, 100, 100, 10000)
    assert got.numbers == []
    assert got.moved("down_lost") >= 100
    link.set("one", up=True)
    assert len(Arrived(link, 100, 100, 10000).numbers) == 100


def test_what_cannot_be_set_is_refused_and_changes_nothing(link: Netlab) -> None:
    before = ab(link).setting
    with pytest.raises(NetlabError, match="there is no link 'two'; links are: one"):
        link.set("two", loss="1 %")
    with pytest.raises(NetlabError, match="no quantity"):
        link.set("one", rate="x", delay="1 ms")
    assert ab(link).setting == before


def test_the_control_socket_survives_garbage(link: Netlab) -> None:
    import socket

    for text in (b"", b"\n", b"{}\n", b'{"type":"set"}\n', b"\xff" * 100_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(netlab_control.socket_path(link.name)))
            client.sendall(text)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(5)
            try:
                answer = client.recv(65536)
            except ConnectionResetError:
                answer = b""
            assert b"failed" in answer or not answer
    assert ab(link).setting.up


def test_two_of_a_name_are_refused(lab: Netlab) -> None:
    with pytest.raises(NetlabError, match="is up already"):
        Netlab(described()).up()
    assert lab.status().name == lab.name


def other(**change: object) -> netlab_file.Lab:
    import msgspec

    made = described('delay = "1 ms"')
    return msgspec.structs.replace(made, name=f"{made.name}b", **change)


def test_events_change_a_link_again_and_again() -> None:
    text = FILE.format(pid=f"{os.getpid()}e", shape="") + (
        '[[event]]\nat = "100 ms"\nevery = "200 ms"\nlink = "one"\nset = { up = false }\n'
        '[[event]]\nat = "200 ms"\nevery = "200 ms"\nlink = "one"\nset = { up = true }\n'
    )
    with Netlab(netlab_file.parse(text, "x")) as up:
        seen: list[bool] = []
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            state = ab(up).setting.up
            if not seen or seen[-1] != state:
                seen.append(state)
            time.sleep(0.01)
    assert len(seen) >= 5


def test_a_middlebox_cuts_segments() -> None:
    text = FILE.format(pid=f"{os.getpid()}c", shape="box = { split = 500 }")
    with Netlab(netlab_file.parse(text, "x")) as up:
        receiver = up.popen("right", sys.executable, "-I", "-c", TAKE, stdout=subprocess.PIPE)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == b"ready\n"
        up.run("left", sys.executable, "-I", "-c", GIVE, V4)
        assert receiver.stdout.readline() == b"200000\n"
        assert ab(up).tx_frames >= 200_000 // 500


def test_links_between_interfaces_that_exist() -> None:
    name = f"snt{os.getpid() % 100000}"
    for end in ("a", "b"):
        subprocess.run(["ip", "link", "add", f"{name}{end}", "type", "veth", "peer", f"{name}{end}p"], check=True)
    try:
        text = f'name = "{name}"\n[[link]]\na = ":{name}a"\nb = "right:p1 10.99.1.2/24"\n'
        with Netlab(netlab_file.parse(text, "x")) as up:
            assert up.status().links[0].a == f":{name}a"
        with pytest.raises(NetlabError, match=f"there is no interface '{name}c' here"):
            Netlab(netlab_file.parse(text.replace(f"{name}a", f"{name}c"), "x")).up()
        assert Path(f"/sys/class/net/{name}a").exists()
    finally:
        for end in ("a", "b"):
            subprocess.run(["ip", "link", "delete", f"{name}{end}"], check=True)


def gone(made: netlab_file.Lab) -> bool:
    return not netlab_build.existing(made.namespaces) and not netlab_control.state_path(made.name).exists()


def test_nothing_is_left_behind_when_the_owner_is_killed(eventually: Eventually) -> None:
    made = other()
    script = (
        "import sys, time\nfrom sennit.tools import netlab, netlab_file\nimport msgspec\n"
        "lab = netlab.Netlab(msgspec.json.decode(sys.argv[1], type=netlab_file.Lab))\nlab.up()\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    import msgspec

    owner = subprocess.Popen(
        [sys.executable, "-P", "-c", script, msgspec.json.encode(made).decode()], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    assert not gone(made)
    owner.kill()
    owner.wait()
    assert eventually(lambda: gone(made), 10)


def test_what_a_killed_emulator_left_is_removed_by_down_and_by_up() -> None:
    made = other()
    for last in (partial(netlab.down, made.name), Netlab(made, detach=True).up):
        Netlab(made, detach=True).up()
        os.kill(netlab.status(made.name).pid, signal.SIGKILL)
        with pytest.raises(NetlabError, match="is not up"):
            netlab.status(made.name)
        last()
    netlab.down(made.name)
    assert gone(made)
    with pytest.raises(NetlabError, match="there is no laboratory"):
        netlab.down(made.name)


def test_a_failed_start_leaves_nothing_behind() -> None:
    import msgspec

    for host, sentence in (
        (netlab_file.Host(routes=("10.9.0.0/16 via 10.8.0.1",)), "route add 10.9.0.0/16 via 10.8.0.1"),
        (netlab_file.Host(sysctl={"net.none": 1}), "net.none"),
    ):
        made = other(hosts={"left": host, "right": netlab_file.Host()})
        with pytest.raises(NetlabError, match=re.escape(sentence)):
            Netlab(made).up()
        assert gone(made)
    assert msgspec.json.encode(described())


def test_a_namespace_of_somebody_else_is_not_touched() -> None:
    made = other()
    subprocess.run(["ip", "netns", "add", made.namespace("left")], check=True)
    try:
        with pytest.raises(NetlabError, match="exists already, and is not of this laboratory"):
            Netlab(made).up()
        assert netlab_build.existing(made.namespaces) == [made.namespace("left")]
    finally:
        subprocess.run(["ip", "netns", "delete", made.namespace("left")], check=True)


def command(*words: str, **rest: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "sennit.tools.cli", "netlab", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def say(*words: str) -> tuple[int, str, str]:
    process = command(*words)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def test_the_command_in_the_foreground_and_ctrl_c(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(FILE.format(pid=f"{os.getpid()}c", shape='delay = "1 ms"'))
    made = netlab_file.load(file)
    up = command("up", str(file), "--json", "--interval", "0.1")
    assert up.stdout is not None
    assert json.loads(up.stdout.readline())["links"][0]["ab"]["setting"]["delay_ns"] == 1_000_000
    assert say("set", made.name, "one", "--loss", "5 %", "--side", "ab")[0] == 0
    status, out, _ = say("status", made.name, "--json")
    assert status == 0
    assert [json.loads(out)["links"][0][side]["setting"]["loss"] for side in ("ab", "ba")] == [0.05, 0.0]
    assert "loss 5 %" in say("status", made.name)[1]
    up.send_signal(signal.SIGINT)
    assert up.wait(10) == 0
    assert gone(made)


def test_the_command_detached(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(FILE.format(pid=f"{os.getpid()}d", shape=""))
    made = netlab_file.load(file)
    status, out, _ = say("up", str(file), "--detach")
    assert status == 0
    assert f"ip netns exec {made.namespace('left')}" in out or made.namespace("left") in out
    assert say("down", made.name) == (0, f"laboratory '{made.name}' is removed\n", "")
    assert gone(made)
    status, _, err = say("down", made.name)
    assert (status, err) == (1, f"sennit: there is no laboratory '{made.name}'\n")
    file.write_text("[[link]]\n")
    status, _, err = say("up", str(file))
    assert status == 1
    assert err.startswith(f"sennit: {file}: ")
    assert err.count("\n") == 1


def test_a_wrong_description_raises_before_anything_is_made() -> None:
    with pytest.raises(LinkError):
        described('rate = "fast"')
