# SPDX-License-Identifier: Apache-2.0
"""Every MPTCP option that we write, as tshark reads it: the fields agree and nothing is malformed."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sennit.shm.native import ffi, lib

P = "tcp.options.mptcp."
KEY, PEER = 0x0102030405060708, 0x1112131415161718
HMAC = bytes(range(0x60, 0x74))
V4 = [0] * 10 + [0xFF, 0xFF, 10, 1, 2, 3]
V6 = list(bytes.fromhex("20010db8000000000000000000000042"))
# Fields of the view, and what tshark must show.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "capable syn": (
        {"mp_present": 1, "capable_len": 4, "capable_version": 1, "capable_flags": 0x81},
        {"subtype": 0, "version": 1, "checksumreq.flags": 1, "sha256.flag": 1},
    ),
    "capable synack": (
        {"mp_present": 1, "capable_len": 12, "capable_version": 1, "capable_flags": 1, "capable_sender_key": KEY},
        {"subtype": 0, "sendkey": KEY},
    ),
    "capable ack": (
        {
            "mp_present": 1,
            "capable_len": 20,
            "capable_version": 1,
            "capable_flags": 1,
            "capable_sender_key": KEY,
            "capable_receiver_key": PEER,
        },
        {"subtype": 0, "sendkey": KEY, "recvkey": PEER},
    ),
    "capable data": (
        {
            "mp_present": 1,
            "capable_len": 24,
            "capable_version": 1,
            "capable_flags": 0x81,
            "capable_sender_key": KEY,
            "capable_receiver_key": PEER,
            "capable_data_len": 1300,
            "capable_csum": 0xBEEF,
        },
        {"subtype": 0, "sendkey": KEY, "recvkey": PEER, "datalvllen": 1300, "checksum": 0xBEEF},
    ),
    "join syn": (
        {
            "mp_present": 2,
            "join_len": 12,
            "join_backup": 1,
            "join_addr_id": 5,
            "join_token": 0xCAFEF00D,
            "join_nonce": 7,
        },
        {"subtype": 1, "backup.flag": 1, "addrid": 5, "recvtok": 0xCAFEF00D, "sendrand": 7},
    ),
    "join synack": (
        {"mp_present": 2, "join_len": 16, "join_addr_id": 6, "join_hmac64": KEY, "join_nonce": 9},
        {"subtype": 1, "backup.flag": 0, "addrid": 6, "sendtrunchmac": KEY, "sendrand": 9},
    ),
    "join ack": (
        {"mp_present": 2, "join_len": 24, "join_hmac": list(HMAC)},
        {"subtype": 1, "sendhmac": HMAC.hex(":")},
    ),
    "dss ack 32": ({"mp_present": 4, "dss_flags": 0x01, "dss_ack": 77}, {"subtype": 2, "rawdataack": 77}),
    "dss full": (
        {"mp_present": 4, "dss_flags": 0x0F, "dss_ack": KEY, "dss_dsn": PEER, "dss_ssn": 1, "dss_len": 1400},
        {
            "subtype": 2,
            "rawdataack": KEY,
            "rawdataseqno": PEER,
            "subflowseqno": 1,
            "datalvllen": 1400,
            "datafin.flag": 0,
            "dseqn8.flag": 1,
            "dataack8.flag": 1,
        },
    ),
    "dss fin with checksum": (
        {"mp_present": 4, "dss_flags": 0x9D, "dss_ack": 3, "dss_dsn": PEER, "dss_len": 1, "dss_csum": 0x1234},
        {"subtype": 2, "rawdataack": 3, "datafin.flag": 1, "rawdataseqno": PEER, "datalvllen": 1},  # csum: never shown
    ),
    "add_addr v4": (
        {"mp_present": 8, "add_addr_id": 4, "add_addr_family": 4, "add_addr": V4, "add_addr_hmac": KEY},
        {"subtype": 3, "echo": 0, "addrid": 4, "ipv4": "10.1.2.3", "addaddrtrunchmac": KEY},
    ),
    "add_addr v4 port": (
        {
            "mp_present": 8,
            "add_addr_id": 4,
            "add_addr_family": 4,
            "add_addr_has_port": 1,
            "add_addr_port": 4433,
            "add_addr": V4,
            "add_addr_hmac": KEY,
        },
        {"subtype": 3, "ipv4": "10.1.2.3", "port": 4433, "addaddrtrunchmac": KEY},
    ),
    "add_addr echo": (
        {"mp_present": 8, "add_addr_id": 4, "add_addr_echo": 1, "add_addr_family": 4, "add_addr": V4},
        {"subtype": 3, "echo": 1, "addrid": 4, "ipv4": "10.1.2.3"},
    ),
    "add_addr v6 port": (
        {
            "mp_present": 8,
            "add_addr_id": 9,
            "add_addr_family": 6,
            "add_addr_has_port": 1,
            "add_addr_port": 80,
            "add_addr": V6,
            "add_addr_hmac": KEY,
        },
        {"subtype": 3, "addrid": 9, "ipv6": "2001:db8::42", "port": 80, "addaddrtrunchmac": KEY},
    ),
    "remove_addr": ({"mp_present": 16, "remove_n": 2, "remove_id": [3, 8]}, {"subtype": 4, "addrid": [3, 8]}),
    "prio": ({"mp_present": 32, "prio_backup": 1}, {"subtype": 5, "backup.flag": 1}),
    "fail": ({"mp_present": 64, "fail_dsn": PEER}, {"subtype": 6, "rawdataseqno": PEER}),
    "fastclose": ({"mp_present": 128, "fastclose_key": KEY}, {"subtype": 7, "recvkey": KEY}),
    "tcprst": ({"mp_present": 256, "rst_flags": 1, "rst_reason": 6}, {"subtype": 8, "flag_T.flag": 1, "rst_reason": 6}),
}


def packet(fields: dict[str, Any], number: int) -> bytes:
    """An IPv4 packet around the segment; ports differ so that tshark sees as many connections."""
    view = ffi.new("struct sn_wire_view *", {"sport": 1000 + number, "dport": 80, "flags": 0x10, "wnd": 99} | fields)
    out = ffi.new("uint8_t[60]")
    n = lib.sn_wire_emit_tcp(view, out)
    assert n > 20
    return struct.pack("!BBHHHBBHII", 0x45, 0, 20 + n, 1, 0, 64, 6, 0, 0x0A000001, 0x0A000002) + bytes(
        ffi.buffer(out, n)
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """tshark's layers of one capture that holds all cases."""
    assert shutil.which("tshark"), "this test needs tshark (Debian package tshark)"
    capture: Path = tmp_path_factory.mktemp("wire") / "options.pcap"
    raw_ip = 101
    blob = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, raw_ip)
    for number, (fields, _) in enumerate(CASES.values()):
        data = packet(fields, number)
        blob += struct.pack("<IIII", number, 0, len(data), len(data)) + data
    capture.write_bytes(blob)
    run = subprocess.run(
        ["tshark", "-r", str(capture), "-T", "json", "--no-duplicate-keys"], capture_output=True, check=True, text=True
    )
    return {name: frame["_source"]["layers"] for name, frame in zip(CASES, json.loads(run.stdout), strict=True)}


def collect(node: Any, key: str) -> list[Any]:
    """All values of a field anywhere below a node."""
    if isinstance(node, list):
        return [value for item in node for value in collect(item, key)]
    if not isinstance(node, dict):
        return []
    found = []
    for name, value in node.items():
        if name == key:
            found += value if isinstance(value, list) else [value]
        else:
            found += collect(value, key)
    return found


def as_number(value: str) -> int | str:
    for base in (10, 16):
        try:
            return int(value, base)
        except ValueError:
            continue
    return value


@pytest.mark.parametrize("name", CASES)
def test_tshark_reads_what_we_wrote(shown: dict[str, dict[str, Any]], name: str) -> None:
    layers = shown[name]
    assert "_ws.malformed" not in json.dumps(layers)
    for field, wanted in CASES[name][1].items():
        seen = collect(layers, P + field)
        values = wanted if isinstance(wanted, list) else [wanted]
        if isinstance(values[0], int):
            seen = [as_number(value) for value in seen]
        assert seen == values, field


OURS, PEERS = bytes.fromhex("fd000000000000000000000000000001"), bytes.fromhex("fd000000000000000000000000000002")
GROUP, ALL = bytes.fromhex("ff0200000000000000000001ff000002"), bytes.fromhex("ff020000000000000000000000000001")
MAC = bytes([2, 0, 0, 0, 0, 7])
# What we send of ICMPv6, and what tshark must show.
ICMP6: dict[str, tuple[dict[str, Any], bytes, dict[str, Any]]] = {
    "solicitation": (
        {"type": 135, "src": OURS, "dst": GROUP, "ttl": 255, "nd_target": PEERS, "nd_has_mac": 1, "nd_mac": MAC},
        b"",
        {"nd.ns.target_address": "fd00::2", "opt.src_linkaddr": "02:00:00:00:00:07", "opt.length": 1},
    ),
    "advertisement": (
        {"type": 136, "src": OURS, "dst": PEERS, "ttl": 255, "nd_flags": 0x60, "nd_target": OURS, "nd_has_mac": 1}
        | {"nd_mac": MAC},
        b"",
        {
            "nd.na.target_address": "fd00::1",
            "opt.target_linkaddr": "02:00:00:00:00:07",
            "nd.na.flag.r": 0,
            "nd.na.flag.s": 1,
            "nd.na.flag.o": 1,
        },
    ),
    "advertisement to all": (
        {"type": 136, "src": OURS, "dst": ALL, "ttl": 255, "nd_flags": 0x20, "nd_target": OURS, "nd_has_mac": 1}
        | {"nd_mac": MAC},
        b"",
        {"nd.na.flag.s": 0, "nd.na.flag.o": 1},
    ),
    "echo reply": (
        {"type": 129, "src": OURS, "dst": PEERS, "ttl": 64, "echo_id": 77, "echo_seq": 3},
        b"odd bytes",
        {"echo.identifier": 77, "echo.sequence_number": 3},
    ),
}


def test_tshark_reads_our_ipv6_and_icmpv6(tmp_path: Path) -> None:
    capture = tmp_path / "icmp6.pcap"
    blob = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    for fields, data, _ in ICMP6.values():
        out = ffi.new("uint8_t[200]")
        n = lib.sn_wire_emit_ip6(ffi.new("struct sn_wire_ip6_view *", fields), data, len(data), out, 200)
        blob += struct.pack("<IIII", 0, 0, n, n) + bytes(ffi.buffer(out, n))
    capture.write_bytes(blob)
    run = subprocess.run(
        ["tshark", "-r", str(capture), "-T", "json", "--no-duplicate-keys"], capture_output=True, check=True, text=True
    )
    for (name, (fields, _, wanted)), frame in zip(ICMP6.items(), json.loads(run.stdout), strict=True):
        layers = frame["_source"]["layers"]
        assert "_ws.malformed" not in json.dumps(layers), name
        shown = {"checksum.status": 1, "type": fields["type"], "code": 0} | wanted
        for field, value in shown.items():
            seen = collect(layers, f"icmpv6.{field}")
            assert [as_number(v) if isinstance(value, int) else v for v in seen] == [value], (name, field)
        assert collect(layers, "ipv6.hlim") == [str(fields["ttl"])]
