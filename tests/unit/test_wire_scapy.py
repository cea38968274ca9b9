# SPDX-License-Identifier: Apache-2.0
"""TCP codec against scapy: what one writes, the other reads alike; checksums agree."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.utils import checksum

from sennit.shm.native import ffi, lib

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
MSS, WSCALE, SACK_OK, SACK, TS = 1, 2, 4, 8, 16
E_PROTO = -71


def parse(data: bytes) -> Any:
    view = ffi.new("struct sn_wire_view *")
    assert lib.sn_wire_parse_tcp(data, len(data), view) == 0
    return view


def emit(view: Any) -> bytes:
    out = ffi.new("uint8_t[60]")
    n = lib.sn_wire_emit_tcp(view, out)
    assert n >= 20
    return bytes(ffi.buffer(out, n))


def scapy_segment(fields: dict[str, Any], options: list[tuple[Any, Any]], payload: bytes = b"") -> bytes:
    return bytes(TCP(**fields, options=options, chksum=0) / payload)


headers = st.fixed_dictionaries(
    {
        "sport": u16,
        "dport": u16,
        "seq": u32,
        "ack": u32,
        "window": u16,
        "urgptr": u16,
        "flags": u8,
    }
)
NAMES = {
    "sport": "sport",
    "dport": "dport",
    "seq": "seq",
    "ack": "ack",
    "window": "wnd",
    "urgptr": "urg",
    "flags": "flags",
}


@given(headers, st.binary(max_size=64))
def test_header_written_by_scapy_is_read_alike(fields: dict[str, int], payload: bytes) -> None:
    view = parse(scapy_segment(fields, [], payload))
    for name, ours in NAMES.items():
        assert getattr(view, ours) == fields[name]
    assert (view.hdr_len, view.len, view.opts, view.mp_present) == (20, len(payload), 0, 0)


@given(headers)
def test_header_written_by_us_is_read_alike(fields: dict[str, int]) -> None:
    view = ffi.new("struct sn_wire_view *", {ours: fields[name] for name, ours in NAMES.items()})
    seen = TCP(emit(view))
    for name in NAMES:
        assert int(getattr(seen, name)) == fields[name]
    assert (seen.dataofs, seen.reserved, seen.options) == (5, 0, [])


@given(u16, st.integers(0, 14), u32, u32)
def test_syn_options_written_by_scapy_are_read_alike(mss: int, shift: int, val: int, ecr: int) -> None:
    view = parse(scapy_segment({}, [("MSS", mss), ("SAckOK", b""), ("Timestamp", (val, ecr)), ("WScale", shift)]))
    assert view.opts == MSS | SACK_OK | TS | WSCALE
    assert (view.mss, view.ts_val, view.ts_ecr, view.wscale) == (mss, val, ecr, shift)


@given(u16, st.integers(0, 14), u32, u32)
def test_syn_options_written_by_us_are_read_alike(mss: int, shift: int, val: int, ecr: int) -> None:
    view = ffi.new(
        "struct sn_wire_view *",
        {"opts": MSS | SACK_OK | TS | WSCALE, "mss": mss, "ts_val": val, "ts_ecr": ecr, "wscale": shift},
    )
    options = {name: value for name, value in TCP(emit(view)).options if name != "NOP"}
    assert options == {"MSS": mss, "SAckOK": b"", "Timestamp": (val, ecr), "WScale": shift}


@given(st.lists(u32, min_size=2, max_size=8).map(lambda edges: edges[: len(edges) & ~1]))
def test_sack_blocks_agree_both_ways(edges: list[int]) -> None:
    view = parse(scapy_segment({}, [("NOP", None), ("NOP", None), ("SAck", tuple(edges))]))
    assert view.opts == SACK
    assert [view.sack[i] for i in range(2 * view.nsack)] == edges
    assert ("SAck", tuple(edges)) in TCP(emit(view)).options


@given(st.binary(max_size=3000))
def test_checksum_equals_scapys(data: bytes) -> None:
    ours = ~lib.sn_wire_sum(data, len(data)) & 0xFFFF
    assert ours == checksum(data)


@given(st.binary(max_size=1460), u32, u32, u16, u16)
def test_a_segment_that_scapy_sums_up_sums_to_all_ones(
    payload: bytes, src: int, dst: int, sport: int, dport: int
) -> None:
    packet = IP(bytes(IP(src=str_ip(src), dst=str_ip(dst)) / TCP(sport=sport, dport=dport) / payload))
    segment = bytes(packet[TCP])
    pseudo = struct.pack("!IIBBH", src, dst, 0, 6, len(segment))
    assert lib.sn_wire_sum(pseudo + segment, len(pseudo) + len(segment)) == 0xFFFF


def str_ip(value: int) -> str:
    return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))


def mptcp(body: bytes) -> tuple[int, bytes]:
    """Option kind 30 for scapy: it adds kind and length."""
    return (30, body)


@given(st.sampled_from([4, 12, 20, 22, 24]), u8, u64, u64, u16, u16)
def test_mp_capable_read_from_scapys_bytes(length: int, flags: int, key: int, peer: int, dlen: int, csum: int) -> None:
    body = struct.pack("!BBQQHH", 0x01, flags, key, peer, dlen, csum)[: length - 2]
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad) == (1, 0)
    assert (view.capable_len, view.capable_version, view.capable_flags) == (length, 1, flags)
    assert view.capable_sender_key == (key if length >= 12 else 0)
    assert view.capable_receiver_key == (peer if length >= 20 else 0)
    assert view.capable_data_len == (dlen if length >= 22 else 0)
    assert view.capable_csum == (csum if length == 24 else 0)
    assert body in dict(TCP(emit(view)).options).values()


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), u64, u64, u32, u16, u16)
@settings(max_examples=200)
def test_dss_read_from_scapys_bytes(
    ack: bool, wide_ack: bool, wide_dsn: bool, csum: bool, data_ack: int, dsn: int, ssn: int, dlen: int, check: int
) -> None:
    flags = 0x04 | (0x01 if ack else 0) | (0x02 if ack and wide_ack else 0) | (0x08 if wide_dsn else 0)
    body = struct.pack("!BB", 0x20, flags)
    if ack:
        body += struct.pack("!Q" if wide_ack else "!I", data_ack if wide_ack else data_ack & 0xFFFFFFFF)
    body += struct.pack("!Q" if wide_dsn else "!I", dsn if wide_dsn else dsn & 0xFFFFFFFF)
    body += struct.pack("!IH", ssn, dlen) + (struct.pack("!H", check) if csum else b"")
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad) == (4, 0)
    assert view.dss_flags == flags | (0x80 if csum else 0)
    assert (view.dss_ssn, view.dss_len, view.dss_csum) == (ssn, dlen, check if csum else 0)
    assert view.dss_dsn == (dsn if wide_dsn else dsn & 0xFFFFFFFF)
    assert view.dss_ack == (0 if not ack else data_ack if wide_ack else data_ack & 0xFFFFFFFF)
    assert body in dict(TCP(emit(view)).options).values()


@given(st.binary(min_size=20, max_size=80))
def test_what_is_accepted_is_written_again_and_read_alike(data: bytes) -> None:
    view = ffi.new("struct sn_wire_view *")
    err = lib.sn_wire_parse_tcp(data, len(data), view)
    assert err in (0, E_PROTO)
    if err:
        return
    again = parse(emit(view))
    again.hdr_len, again.len, again.mp_bad = view.hdr_len, view.len, view.mp_bad
    assert bytes(ffi.buffer(again)) == bytes(ffi.buffer(view))
