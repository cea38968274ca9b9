# SPDX-License-Identifier: Apache-2.0
"""TCP, IPv6 and ICMPv6 codecs against scapy: what one writes, the other reads alike; checksums agree."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Pad1,
    PadN,
    RouterAlert,
)
from scapy.utils import checksum

from sennit.shm.native import ffi, lib

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
MSS, WSCALE, SACK_OK, SACK, TS, FASTOPEN = 1, 2, 4, 8, 16, 32
E_PROTO, E_AGAIN, E_INVAL, E_MSGSIZE = -71, -11, -22, -90


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


@given(u32, u32)
def test_fast_open_cookies_agree_both_ways(first: int, second: int) -> None:
    view = parse(scapy_segment({}, [("TFO", (first, second))]))
    cookie = first.to_bytes(4) + second.to_bytes(4)
    assert (view.opts, view.fastopen_len, bytes(view.fastopen)[:8]) == (FASTOPEN, 8, cookie)
    assert ("TFO", (first, second)) in TCP(emit(view)).options


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


@given(st.booleans(), u8, u32, u32)
def test_mp_join_syn_read_from_scapys_bytes(backup: bool, number: int, token: int, nonce: int) -> None:
    """RFC 8684 3.2, figure 5."""
    body = struct.pack("!BBII", 0x10 | backup, number, token, nonce)
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad, view.join_len) == (2, 0, 12)
    assert (view.join_backup, view.join_addr_id, view.join_token, view.join_nonce) == (backup, number, token, nonce)
    assert body in dict(TCP(emit(view)).options).values()


@given(st.booleans(), u8, u64, u32)
def test_mp_join_synack_read_from_scapys_bytes(backup: bool, number: int, hmac: int, nonce: int) -> None:
    """RFC 8684 3.2, figure 6."""
    body = struct.pack("!BBQI", 0x10 | backup, number, hmac, nonce)
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad, view.join_len) == (2, 0, 16)
    assert (view.join_backup, view.join_addr_id, view.join_hmac64, view.join_nonce) == (backup, number, hmac, nonce)
    assert body in dict(TCP(emit(view)).options).values()


@given(st.binary(min_size=20, max_size=20))
def test_mp_join_ack_read_from_scapys_bytes(hmac: bytes) -> None:
    """RFC 8684 3.2, figure 7."""
    body = b"\x10\x00" + hmac
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad, view.join_len) == (2, 0, 24)
    assert bytes(ffi.buffer(view.join_hmac)) == hmac
    assert body in dict(TCP(emit(view)).options).values()


@given(st.booleans(), u8, st.sampled_from([4, 16]), st.binary(min_size=16, max_size=16), st.none() | u16, u64)
def test_add_addr_read_from_scapys_bytes(
    echo: bool, number: int, size: int, address: bytes, port: int | None, hmac: int
) -> None:
    """RFC 8684 3.4.1, figure 12: an echo carries no HMAC."""
    body = struct.pack("!BB", 0x30 | echo, number) + address[:size]
    body += b"" if port is None else struct.pack("!H", port)
    body += b"" if echo else struct.pack("!Q", hmac)
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad) == (8, 0)
    assert (view.add_addr_id, view.add_addr_echo, view.add_addr_family) == (number, echo, 4 if size == 4 else 6)
    assert bytes(ffi.buffer(view.add_addr))[-size:] == address[:size]
    assert (view.add_addr_has_port, view.add_addr_port) == (port is not None, port or 0)
    assert view.add_addr_hmac == (0 if echo else hmac)
    assert body in dict(TCP(emit(view)).options).values()


@given(st.lists(u8, min_size=1, max_size=16))
def test_remove_addr_read_from_scapys_bytes(numbers: list[int]) -> None:
    """RFC 8684 3.4.2, figure 13."""
    body = b"\x40" + bytes(numbers)
    view = parse(scapy_segment({}, [mptcp(body)]))
    assert (view.mp_present, view.mp_bad) == (16, 0)
    assert [view.remove_id[i] for i in range(view.remove_n)] == numbers
    assert body in dict(TCP(emit(view)).options).values()


@given(st.booleans(), u64, u64, st.integers(0, 15), u8)
def test_mp_prio_fail_fastclose_and_tcprst_read_from_scapys_bytes(
    backup: bool, dsn: int, key: int, flags: int, reason: int
) -> None:
    """RFC 8684 3.3.8, 3.7, 3.5, 3.6."""
    bodies = [
        struct.pack("!B", 0x50 | backup),
        struct.pack("!BBQ", 0x60, 0, dsn),
        struct.pack("!BBQ", 0x70, 0, key),
        struct.pack("!BB", 0x80 | flags, reason),
    ]
    view = parse(scapy_segment({}, [mptcp(body) for body in bodies]))
    assert (view.mp_present, view.mp_bad) == (0x1E0, 0)
    assert (view.prio_backup, view.fail_dsn, view.fastclose_key) == (backup, dsn, key)
    assert (view.rst_flags, view.rst_reason) == (flags, reason)
    assert [value for kind, value in TCP(emit(view)).options if kind == 30] == bodies


@pytest.mark.parametrize(
    "fields",
    [
        {"mp_present": 1 << 9},
        {"opts": SACK, "nsack": 0},
        {"opts": SACK, "nsack": 5},
        {"opts": FASTOPEN, "fastopen_len": 2},
        {"opts": FASTOPEN, "fastopen_len": 7},
        {"opts": FASTOPEN, "fastopen_len": 18},
        {"mp_present": 1, "capable_len": 13},
        {"mp_present": 1, "capable_len": 12, "capable_version": 16},
        {"mp_present": 2, "join_len": 20},
        {"mp_present": 8, "add_addr_family": 5},
        {"mp_present": 16, "remove_n": 0},
        {"mp_present": 16, "remove_n": 17},
    ],
    ids=str,
)
def test_what_has_no_form_is_not_written(fields: dict[str, int]) -> None:
    assert lib.sn_wire_emit_tcp(ffi.new("struct sn_wire_view *", fields), ffi.new("uint8_t[60]")) == E_INVAL


def test_options_of_more_than_40_bytes_are_not_written() -> None:
    """RFC 9293 3.1: the data offset counts to 60 bytes."""
    fields = {"opts": TS, "mp_present": 1 | 2, "capable_len": 20, "join_len": 12}
    assert lib.sn_wire_emit_tcp(ffi.new("struct sn_wire_view *", fields), ffi.new("uint8_t[60]")) == E_MSGSIZE


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


# IPv6 and ICMPv6.

addresses = st.binary(min_size=16, max_size=16).filter(lambda a: a[0] != 0xFF and a[:12] != bytes(10) + b"\xff\xff")
macs = st.binary(min_size=6, max_size=6).map(lambda m: bytes([m[0] & 0xFE]) + m[1:])


def text6(address: bytes) -> str:
    return str(IPv6Address(address))


def text_mac(mac: bytes) -> str:
    return mac.hex(":")


def parse6(data: bytes) -> Any:
    view = ffi.new("struct sn_wire_ip6_view *")
    assert lib.sn_wire_parse_ip6(data, len(data), view) == 0
    return view


def emit6(fields: dict[str, Any], data: bytes = b"") -> IPv6:
    view = ffi.new("struct sn_wire_ip6_view *", fields)
    out = ffi.new("uint8_t[2048]")
    n = lib.sn_wire_emit_ip6(view, data, len(data), out, 2048)
    assert n > 0
    return IPv6(bytes(ffi.buffer(out, n)))


def checksum_of(packet: IPv6, layer: type[Any]) -> int:
    """What scapy would have written there."""
    again = packet.copy()
    del again[layer].cksum
    return int(IPv6(bytes(again))[layer].cksum)


@given(addresses, addresses, u8, u8, st.binary(max_size=40), st.sampled_from(range(6)))
def test_ipv6_with_extension_headers_written_by_scapy_is_read_alike(
    src: bytes, dst: bytes, tc: int, hops: int, payload: bytes, chain: int
) -> None:
    pad = PadN(optdata=b"\0\0\0\0")
    chains: list[list[Any]] = [
        [],
        [IPv6ExtHdrHopByHop(options=[RouterAlert(), pad])],
        [IPv6ExtHdrDestOpt(options=[Pad1(), pad])],
        [IPv6ExtHdrRouting(addresses=[text6(dst)], segleft=0)],
        [IPv6ExtHdrFragment(offset=0, m=0)],
        [
            IPv6ExtHdrHopByHop(options=[pad]),
            IPv6ExtHdrDestOpt(options=[pad]),
            IPv6ExtHdrFragment(),
            IPv6ExtHdrDestOpt(),
        ],
    ]
    packet = IPv6(src=text6(src), dst=text6(dst), tc=tc, hlim=hops)
    for header in chains[chain]:
        packet /= header
    whole = bytes(packet / TCP(sport=1, dport=2) / payload)
    view = parse6(whole)
    assert (bytes(view.src), bytes(view.dst), view.tos, view.ttl) == (src, dst, tc, hops)
    assert (view.proto, view.total_len) == (6, len(whole))
    assert view.hdr_len == len(whole) - 20 - len(payload)


@given(addresses, addresses, u16, st.booleans())
def test_a_fragment_by_scapy_is_one(src: bytes, dst: bytes, offset: int, more: bool) -> None:
    offset &= 0x1FFF
    data = bytes(IPv6(src=text6(src), dst=text6(dst)) / IPv6ExtHdrFragment(offset=offset, m=more) / TCP())
    view = ffi.new("struct sn_wire_ip6_view *")
    assert lib.sn_wire_parse_ip6(data, len(data), view) == (E_AGAIN if offset or more else 0)


@given(addresses, addresses, u16, u16, st.binary(max_size=64), u8, u8)
def test_echo_agrees_with_scapy_both_ways(
    src: bytes, dst: bytes, ident: int, seq: int, data: bytes, tc: int, hops: int
) -> None:
    view = parse6(bytes(IPv6(src=text6(src), dst=text6(dst)) / ICMPv6EchoRequest(id=ident, seq=seq, data=data)))
    assert (view.type, view.code, view.echo_id, view.echo_seq) == (128, 0, ident, seq)
    ours = emit6({"src": src, "dst": dst, "type": 129, "echo_id": ident, "echo_seq": seq, "tos": tc, "ttl": hops}, data)
    reply = ours[ICMPv6EchoReply]
    assert (reply.id, reply.seq, reply.data, reply.cksum) == (ident, seq, data, checksum_of(ours, ICMPv6EchoReply))
    assert (ours.src, ours.dst, ours.tc, ours.hlim, ours.plen) == (text6(src), text6(dst), tc, hops, 8 + len(data))


@given(addresses, addresses, addresses, macs, st.booleans())
def test_solicitation_agrees_with_scapy_both_ways(
    src: bytes, dst: bytes, target: bytes, mac: bytes, with_mac: bool
) -> None:
    theirs = IPv6(src=text6(src), dst=text6(dst), hlim=255) / ICMPv6ND_NS(tgt=text6(target))
    if with_mac:
        theirs /= ICMPv6NDOptSrcLLAddr(lladdr=text_mac(mac))
    view = parse6(bytes(theirs))
    if any(src):
        assert (view.is_nd, view.type, bytes(view.nd_target), view.nd_has_mac) == (1, 135, target, with_mac)
        assert not with_mac or bytes(view.nd_mac) == mac
    ours = emit6(
        {"src": src, "dst": dst, "ttl": 255, "type": 135, "nd_target": target, "nd_has_mac": with_mac, "nd_mac": mac}
    )
    assert ours[ICMPv6ND_NS].tgt == text6(target)
    assert ours[ICMPv6ND_NS].cksum == checksum_of(ours, ICMPv6ND_NS)
    assert (ICMPv6NDOptSrcLLAddr in ours) == with_mac
    assert not with_mac or ours[ICMPv6NDOptSrcLLAddr].lladdr == text_mac(mac)


@given(addresses, addresses, addresses, macs, st.sampled_from(range(8)))
def test_advertisement_agrees_with_scapy_both_ways(
    src: bytes, dst: bytes, target: bytes, mac: bytes, flags: int
) -> None:
    body = ICMPv6ND_NA(tgt=text6(target), R=flags >> 2, S=flags >> 1 & 1, O=flags & 1)
    option = ICMPv6NDOptDstLLAddr(lladdr=text_mac(mac))
    view = parse6(bytes(IPv6(src=text6(src), dst=text6(dst), hlim=255) / body / option))
    assert (view.is_nd, view.type, view.nd_flags, bytes(view.nd_target)) == (1, 136, flags << 5, target)
    assert (view.nd_has_mac, bytes(view.nd_mac)) == (1, mac)
    fields = {"src": src, "dst": dst, "ttl": 255, "type": 136, "nd_flags": flags << 5, "nd_target": target}
    ours = emit6(fields | {"nd_has_mac": 1, "nd_mac": mac})
    seen = ours[ICMPv6ND_NA]
    assert (seen.R << 2 | seen.S << 1 | seen.O, seen.tgt) == (flags, text6(target))
    assert seen.cksum == checksum_of(ours, ICMPv6ND_NA)
    assert ours[ICMPv6NDOptDstLLAddr].lladdr == text_mac(mac)


@given(st.binary(min_size=40, max_size=200))
def test_ipv6_garbage_is_refused_or_within_its_bounds(data: bytes) -> None:
    view = ffi.new("struct sn_wire_ip6_view *")
    data = b"\x60" + data[1:4] + struct.pack("!H", len(data) - 40) + data[6:]
    err = lib.sn_wire_parse_ip6(data, len(data), view)
    assert err in (0, E_PROTO, E_AGAIN)
    if not err:
        assert 40 <= view.hdr_len <= view.total_len == len(data)


def test_a_packet_that_does_not_fit_is_refused() -> None:
    view = ffi.new("struct sn_wire_ip6_view *", {"type": 128})
    for size, room in ((100, 64), (65535, 1 << 17)):
        assert lib.sn_wire_emit_ip6(view, bytes(size), size, ffi.new("uint8_t[]", room), room) == E_MSGSIZE
