# SPDX-License-Identifier: Apache-2.0
"""The capture checker: finds nothing in captures of the simulator, and every rule finds the frame made wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from capture_edit import ACK, RST, SYN, Frame, add, flip, patch, read, write

from sennit.tools import cli
from sennit.tools import sim_driver as driver
from sennit.tools.capture_check import check
from sennit.tools.capture_rules import RULES
from sennit.tools.capture_spans import Mappings, Stream, near

CAPABLE, JOIN, DSS, ADD_ADDR, REMOVE_ADDR, PRIO, FAIL, FASTCLOSE, TCPRST = range(9)
Frames = list[Frame]


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Frames]:
    """joined: three paths, checksums. bare: one without. twice: two connections. plain: the server knows no MPTCP."""
    folder = tmp_path_factory.mktemp("captures")
    link = driver.path(100, 5)
    runs = {
        "joined": driver.symmetric(3, link, bytes_ab=300_000, bytes_ba=200_000, csum_a=True, csum_b=True),
        "bare": driver.symmetric(1, link, bytes_ab=100_000, bytes_ba=50_000),
        "single": driver.symmetric(1, link, bytes_ab=100_000, bytes_ba=50_000, csum_a=True, csum_b=True),
        "twice": driver.symmetric(1, link, bytes_ab=10_000, conns=2),
        "plain": driver.symmetric(1, link, bytes_ab=10_000, tcp_b=True),
    }
    frames = {}
    for name, scenario in runs.items():
        out = driver.run(msgspec.structs.replace(scenario, pcap=str(folder / name), single=True))
        assert out.completed, out.failure
        frames[name] = [f for f in read(folder / f"{name}-a.pcapng") if f.is_tcp]
    return frames


# ------------------------------------------------------------------------------------------------ picking frames


def client(frame: Frame) -> bool:
    return frame.dport == 5000


def which(frames: Frames, wanted: Callable[[Frame], object], nth: int = 0) -> int:
    return [i for i, frame in enumerate(frames) if wanted(frame)][nth]


def is_syn(frame: Frame) -> bool:
    return frame.flags & (SYN | ACK) == SYN


def is_synack(frame: Frame) -> bool:
    return frame.flags & (SYN | ACK) == SYN | ACK


def has(subtype: int, length: int | None = None) -> Callable[[Frame], bool]:
    def wanted(frame: Frame) -> bool:
        option = frame.mptcp(subtype)
        return option is not None and length in (None, len(option))

    return wanted


def third_ack(subtype: int) -> Callable[[Frame], bool]:
    return lambda f: f.mptcp(subtype) is not None and not f.flags & SYN and not f.payload


def mapped(frame: Frame) -> bool:
    option = frame.mptcp(DSS)
    return bool(frame.payload and option and option[3] & 4)


def lone_fin(frame: Frame) -> bool:
    option = frame.mptcp(DSS)
    return bool(option and not frame.payload and option[3] & 16)


def pure_ack(frame: Frame) -> bool:
    return not frame.payload and frame.flags == ACK and frame.mptcp(DSS) is not None and not lone_fin(frame)


def map_at(frame: Frame) -> int:
    """Where the DSN is in the option; it has 8 bytes."""
    option = frame.mptcp(DSS)
    assert option is not None
    return 4 + (0 if not option[3] & 1 else 8 if option[3] & 2 else 4)


def first(frames: Frames, wanted: Callable[[Frame], object], subtype: int, change: Callable[[bytes], bytes]) -> None:
    """Changes one option of the first frame wanted."""
    i = which(frames, wanted)
    frames[i] = frames[i].with_option(subtype, change)


def insert(option: bytes, nth: int = 10) -> Callable[[Frames], None]:
    """Puts an option on a pure ACK of the client in mid-transfer."""

    def change(frames: Frames) -> None:
        i = which(frames, lambda f: client(f) and pure_ack(f) and len(f.options()) == 2, nth)
        frames[i] = frames[i].plus(option)

    return change


# ------------------------------------------------------------------------------------------------------ mutations


def swap(wanted: Callable[[Frame], object], subtype: int, change: Callable[[bytes], bytes]) -> Callable[[Frames], None]:
    return lambda frames: first(frames, wanted, subtype, change)


def key_twice(frames: Frames) -> None:
    keys = [frame.mptcp(CAPABLE) for frame in frames if is_synack(frame)]
    assert keys[0] is not None
    first(frames, lambda f: is_synack(f) and f.mptcp(CAPABLE) != keys[0], CAPABLE, patch(4, keys[0][4:12]))


def nonce_twice(frames: Frames) -> None:
    one, two = [i for i, f in enumerate(frames) if is_syn(f) and f.mptcp(JOIN)][:2]
    nonce = frames[one].mptcp(JOIN)
    assert nonce is not None
    frames[two] = frames[two].with_option(JOIN, patch(8, nonce[8:12]))


def join_too_early(frames: Frames) -> None:
    join = frames.pop(which(frames, lambda f: is_syn(f) and f.mptcp(JOIN)))
    frames.insert(which(frames, third_ack(CAPABLE)) + 1, join)


def join_where_not_wanted(frames: Frames) -> None:
    first(frames, is_synack, CAPABLE, flip(3, 0x20))
    server = frames[which(frames, is_synack)]
    i = which(frames, lambda f: is_syn(f) and f.mptcp(JOIN))
    frames[i] = frames[i].at(30, server.src)


def data_before_the_fourth_packet(frames: Frames) -> None:
    port = frames[which(frames, lambda f: is_syn(f) and f.mptcp(JOIN))].sport
    data = which(frames, lambda f: f.sport == port and f.payload)
    answers = [i for i, f in enumerate(frames[:data]) if f.dport == port and not f.flags & SYN]
    for i in reversed(answers):
        del frames[i]


def number_of_another(frames: Frames) -> None:
    first(frames, lambda f: is_syn(f) and f.mptcp(JOIN), JOIN, patch(3, b"\0"))


def copy_with(change: Callable[[Frame], Frame]) -> Callable[[Frames], None]:
    """A segment with data comes once more, changed."""

    def mutate(frames: Frames) -> None:
        i = which(frames, lambda f: client(f) and mapped(f), 20)
        frames.insert(i + 1, change(frames[i]))

    return mutate


def without_mapping(nth: int) -> Callable[[Frames], None]:
    def mutate(frames: Frames) -> None:
        i = which(frames, lambda f: client(f) and mapped(f), nth)
        frames[i] = frames[i].with_option(DSS, lambda o: b"")

    return mutate


def windows_of_one(frames: Frames) -> None:
    for i, frame in enumerate(frames):
        if not client(frame):
            frames[i] = frame.with_window(1)


def window_back(frames: Frames) -> None:
    i = which(frames, lambda f: not client(f) and pure_ack(f), 20)
    frames[i] = frames[i].with_window(1)


def ack_back(frames: Frames) -> None:
    acks = [i for i, f in enumerate(frames) if not client(f) and pure_ack(f)]
    i = acks[len(acks) // 2]
    frames[i] = frames[i].with_option(DSS, add(4, 8, -20_000))


def narrow_acks(frames: Frames) -> None:
    for i, frame in enumerate(frames):
        if pure_ack(frame):
            frames[i] = frame.with_option(DSS, lambda o: bytes([30, 8, o[2], o[3] & ~2]) + o[8:12] if o[3] & 2 else o)


def without_checksum(frames: Frames) -> None:
    first(frames, mapped, DSS, lambda o: bytes([30, len(o) - 2]) + o[2:-2])


def dss(change: Callable[[int], Callable[[bytes], bytes]], nth: int = 20) -> Callable[[Frames], None]:
    """Changes the mapping of a segment of the client; change is told where the DSN is."""

    def mutate(frames: Frames) -> None:
        i = which(frames, lambda f: client(f) and mapped(f), nth)
        frames[i] = frames[i].with_option(DSS, change(map_at(frames[i])))

    return mutate


def below_the_start(frames: Frames) -> None:
    i = which(frames, lambda f: not client(f) and mapped(f))
    frames[i] = frames[i].with_option(DSS, add(map_at(frames[i]), 8, -1))


def fin_moves(frames: Frames) -> None:
    i = which(frames, lambda f: client(f) and lone_fin(f))
    frames.insert(i + 1, frames[i].with_option(DSS, add(map_at(frames[i]), 8, 1)))


def fail(frames: Frames, further: int = 0, reserved: int = 0, answer: bool = False) -> None:
    """The server finds a wrong checksum in the client's 20th mapping."""
    data = which(frames, lambda f: client(f) and mapped(f), 20)
    option = frames[data].mptcp(DSS)
    assert option is not None
    at = map_at(frames[data])
    dsn = add(0, 8, further)(option[at : at + 8])
    said = which(frames[data:], lambda f: not client(f) and pure_ack(f) and len(f.options()) == 2) + data
    frames[said] = frames[said].plus(bytes([30, 12, FAIL << 4, reserved]) + dsn)
    if answer:
        back = which(frames[said:], lambda f: client(f) and pure_ack(f) and len(f.options()) == 2) + said
        theirs = next(f for f in frames if not client(f) and mapped(f))
        option = theirs.mptcp(DSS)
        assert option is not None
        at = map_at(theirs)
        frames[back] = frames[back].plus(bytes([30, 12, FAIL << 4, 0]) + option[at : at + 8])


def key_of_server(frames: Frames) -> bytes:
    option = frames[which(frames, is_synack)].mptcp(CAPABLE)
    assert option is not None
    return option[4:12]


def fast_close(reserved: int = 0, wrong: int = 0) -> Callable[[Frames], None]:
    def mutate(frames: Frames) -> None:
        key = add(0, 8, wrong)(key_of_server(frames))
        insert(bytes([30, 12, FASTCLOSE << 4, reserved]) + key)(frames)

    return mutate


def infinite(checksum: int) -> Callable[[bytes], bytes]:
    """The mapping of an option that has a checksum becomes infinite."""
    return lambda o: o[:-4] + bytes(2) + checksum.to_bytes(2)


def from_infinite_on(frames: Frames) -> None:
    dss(lambda at: infinite(0), nth=30)(frames)


def silent_after_fallback(frames: Frames) -> None:
    i = which(frames, lambda f: client(f) and f.payload)
    frames[i] = frames[i].plus(bytes([30, 8, DSS << 4, 1, 0, 0, 0, 0]))


MUTATIONS: dict[str, tuple[str, Callable[[Frames], None]]] = {
    "option-form": ("joined", swap(mapped, DSS, patch(2, b"\x90"))),
    "capable-form": ("bare", swap(third_ack(CAPABLE), CAPABLE, lambda o: bytes([30, 22]) + o[2:] + b"\0\5")),
    "capable-version": ("bare", swap(is_synack, CAPABLE, patch(2, b"\2"))),
    "capable-flags": ("bare", swap(is_syn, CAPABLE, flip(3, 1))),
    "capable-checksum": ("joined", swap(third_ack(CAPABLE), CAPABLE, flip(3, 0x80))),
    "capable-keys": ("bare", swap(third_ack(CAPABLE), CAPABLE, flip(15))),
    "capable-unasked": ("bare", swap(is_syn, CAPABLE, lambda o: b"")),
    "key-unique": ("twice", key_twice),
    "fallback-silent": ("plain", silent_after_fallback),
    "join-form": ("joined", swap(has(JOIN, 12), JOIN, flip(2, 2))),
    "join-token": ("joined", swap(has(JOIN, 12), JOIN, flip(4))),
    "join-hmac-synack": ("joined", swap(has(JOIN, 16), JOIN, flip(11))),
    "join-hmac-ack": ("joined", swap(has(JOIN, 24), JOIN, flip(23))),
    "join-nonce": ("joined", nonce_twice),
    "join-early": ("joined", join_too_early),
    "join-unwanted": ("joined", join_where_not_wanted),
    "join-data-early": ("joined", data_before_the_fourth_packet),
    "address-id": ("joined", number_of_another),
    "dss-form": ("bare", swap(mapped, DSS, flip(3, 0x40))),
    "dss-checksum-there": ("joined", without_checksum),
    "dss-checksum": ("joined", dss(lambda at: flip(at + 15))),
    "mapping-start": ("bare", below_the_start),
    "mapping-fixed": ("bare", copy_with(lambda f: f.with_option(DSS, add(map_at(f), 8, 100)))),
    "mapping-covers": ("bare", without_mapping(20)),
    "mapping-here": ("bare", dss(lambda at: add(at + 8, 4, 50_000))),
    "mapping-until-acked": ("bare", without_mapping(2)),
    "same-bytes": ("bare", copy_with(lambda f: f.with_payload(bytes([f.payload[0] ^ 1]) + f.payload[1:]))),
    "data-ack-forward": ("bare", ack_back),
    "data-ack-sent": ("bare", swap(lambda f: not client(f) and pure_ack(f), DSS, add(4, 4, 10 << 20))),
    "data-ack-width": ("bare", narrow_acks),
    "window-edge": ("bare", window_back),
    "window-used": ("bare", windows_of_one),
    "data-fin-form": ("bare", swap(lone_fin, DSS, lambda o: o[:-4] + b"\0\5" + o[-2:])),
    "data-fin-stable": ("bare", fin_moves),
    "add-addr-form": ("joined", swap(has(ADD_ADDR, 16), ADD_ADDR, flip(2, 2))),
    "add-addr-hmac": ("joined", swap(has(ADD_ADDR, 16), ADD_ADDR, flip(15))),
    "add-addr-echo": ("joined", swap(has(ADD_ADDR, 8), ADD_ADDR, flip(7))),
    "remove-addr-form": ("joined", insert(bytes([30, 4, REMOVE_ADDR << 4 | 1, 0]))),
    "remove-addr-known": ("joined", insert(bytes([30, 4, REMOVE_ADDR << 4, 77]))),
    "prio-form": ("joined", insert(bytes([30, 4, PRIO << 4, 1]))),
    "fastclose-form": ("joined", fast_close(reserved=1)),
    "fastclose-key": ("joined", fast_close(wrong=1)),
    "tcprst-form": ("joined", insert(bytes([30, 4, TCPRST << 4, 1]))),
    "fail-form": ("bare", fail),
    "fail-place": ("single", lambda frames: fail(frames, further=1)),
    "fail-answered": ("single", fail),
    "infinite-form": ("single", dss(lambda at: infinite(7))),
    "infinite-alone": ("joined", dss(lambda at: infinite(0), nth=150)),
    "infinite-final": ("single", from_infinite_on),
}  # fmt: skip


@pytest.mark.parametrize("name", ["joined", "bare", "single", "twice", "plain"])
def test_nothing_is_found_in_what_the_engine_sends(captures: dict[str, Frames], tmp_path: Path, name: str) -> None:
    report = check(write(tmp_path / "x.pcap", captures[name]))
    assert report.findings == []
    assert report.unseen == report.lacking == report.cut == report.without_start == 0
    assert [conn.state for conn in report.connections] == {"plain": ["fallback"], "twice": ["mptcp"] * 2}.get(
        name, ["mptcp"]
    )
    if name == "joined":
        assert report.connections[0].octets == (300_000, 200_000)
        assert report.connections[0].subflows == 3
        assert report.connections[0].checksums
        assert report.connections[0].data_fin == (True, True)
        # What a calm transfer has no occasion for.
        rare = ("capable-unasked", "fallback-silent", "remove", "prio", "fastclose", "tcprst", "fail", "infinite-")
        assert [r for r in report.never_checked() if not r.startswith(rare)] == []


@pytest.mark.parametrize("rule", RULES)
def test_rule_finds_its_mutation(captures: dict[str, Frames], tmp_path: Path, rule: str) -> None:
    name, mutate = MUTATIONS[rule]
    frames = list(captures[name])
    mutate(frames)
    report = check(write(tmp_path / "x.pcap", frames))
    assert report.broken()[rule], report.findings[:5]
    said = next(finding for finding in report.found if finding.rule == rule)
    assert said.section == RULES[rule][0]
    assert 1 <= int(said.frame) <= len(frames)


def test_signals_that_are_right_are_no_finding(captures: dict[str, Frames], tmp_path: Path) -> None:
    for put in (
        insert(bytes([30, 4, REMOVE_ADDR << 4, 0])),
        insert(bytes([30, 3, PRIO << 4 | 1])),
        fast_close(),
    ):
        frames = list(captures["joined"])
        put(frames)
        assert check(write(tmp_path / "x.pcap", frames)).findings == []
    frames = list(captures["single"])
    fail(frames, answer=True)
    assert check(write(tmp_path / "x.pcap", frames)).findings == []
    i = which(frames, lambda f: f.flags & ACK and client(f), -1)
    frames.append(frames[i].with_options([bytes([30, 4, TCPRST << 4, 6])]).at(frames[i].tcp + 13, bytes([RST])))
    assert check(write(tmp_path / "x.pcap", frames)).findings == []


def test_what_the_capture_lacks_is_said_and_not_held_against_anybody(
    captures: dict[str, Frames], tmp_path: Path
) -> None:
    frames = list(captures["bare"])
    del frames[which(frames, lambda f: client(f) and mapped(f), 20)]
    report = check(write(tmp_path / "x.pcap", frames))
    assert report.lacking > 1000
    assert report.findings == []
    early = list(captures["bare"])
    del early[which(early, lambda f: client(f) and f.payload)]
    del early[which(early, lambda f: client(f) and f.payload) :]
    early.append(captures["bare"][which(captures["bare"], lambda f: not client(f) and pure_ack(f))])
    report = check(write(tmp_path / "x.pcap", early))
    assert report.unseen == 1
    assert report.findings == []
    report = check(write(tmp_path / "x.pcap", captures["bare"][2:]))
    assert report.without_start == report.segments > 0
    assert report.findings == []


def test_bursts_of_segmentation_offload_are_taken(captures: dict[str, Frames], tmp_path: Path) -> None:
    """Mappings over many segments, with the option on each of them."""
    frames = list(captures["bare"])
    datas = [i for i, f in enumerate(frames) if client(f) and mapped(f)][20:23]
    options = [frames[i].mptcp(DSS) for i in datas]
    total = sum(len(frames[i].payload) for i in datas)
    assert all(a is not None for a in options)
    head = options[0]
    assert head is not None
    for i in datas:
        frames[i] = frames[i].with_option(DSS, lambda o: head[:-2] + total.to_bytes(2))
    assert check(write(tmp_path / "x.pcap", frames)).findings == []


def test_one_file_per_path_is_one_capture(captures: dict[str, Frames], tmp_path: Path) -> None:
    paths: dict[bytes, Frames] = {}
    for frame in captures["joined"]:
        paths.setdefault(min(frame.raw[26:30], frame.raw[30:34]), []).append(frame)
    assert len(paths) == 3
    files = [write(tmp_path / f"{i}.pcap", frames) for i, frames in enumerate(paths.values())]
    report = check(*files)
    assert report.findings == []
    assert report.connections[0].octets == (300_000, 200_000)


def test_command_says_what_it_saw(
    captures: dict[str, Frames], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(tmp_path / "good.pcap", captures["bare"])
    frames = list(captures["bare"])
    MUTATIONS["same-bytes"][1](frames)
    bad = write(tmp_path / "bad.pcap", frames)
    assert cli.main(["check-capture", str(good), "--rules"]) == 0
    assert "0 findings" in capsys.readouterr().out
    assert cli.main(["check-capture", str(bad)]) == 1
    assert "same-bytes" in capsys.readouterr().out
    assert cli.main(["check-capture", str(bad), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["found"][0]["rule"] == "same-bytes"
    assert said["checked"]["same-bytes"] > 50
    assert cli.main(["check-capture", str(tmp_path / "none")]) == 2
    (tmp_path / "text").write_text("not a capture\n")
    assert cli.main(["check-capture", str(tmp_path / "text")]) == 1
    assert "no pcap or pcapng" in capsys.readouterr().err


def test_numbers_are_expanded_to_the_nearest() -> None:
    assert near(5, 32, (1 << 32) - 3) == (1 << 32) + 5
    assert near(0xFFFFFFFF, 32, 1 << 33) == (1 << 33) - 1
    assert near(7, 64, 100) == 7


def test_stream_keeps_the_first_copy_of_a_byte() -> None:
    stream = Stream()
    assert stream.put(10, b"abcd") is None
    assert stream.put(0, b"xy") is None
    assert stream.put(1, b"y12345678abc") is None
    assert (stream.has(0, 14), stream.has(0, 15), stream.total()) == (True, False, 14)
    assert stream.put(12, b"cX") == 13
    assert stream.get(10, 14) == b"abcd"


def test_mappings_know_which_byte_was_another() -> None:
    mappings = Mappings()
    assert mappings.add(1, 11, 100) is None
    assert mappings.add(21, 31, 50) is None
    assert mappings.add(11, 21, 100) is None
    assert mappings.add(5, 25, 100) == 21
    assert list(mappings.pieces(15, 40)) == [(15, 21, 100), (21, 31, 50), (31, 40, None)]
    assert list(mappings.pieces(40, 41)) == [(40, 41, None)]
