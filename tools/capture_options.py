# SPDX-License-Identifier: Apache-2.0
"""MPTCP options (RFC 8684 3) as plain values, written apart from the engine's own codec."""

from __future__ import annotations

from typing import NamedTuple

DSS, EXPERIMENTAL = 2, 15  # subtypes; the others are told apart in _other()
# Flags of MP_CAPABLE.
CHECKSUM_REQUIRED, NO_JOIN_HERE, HMAC_SHA256 = 0x80, 0x20, 0x01


class Capable(NamedTuple):
    """MP_CAPABLE. Keys and the mapping are there from lengths 12, 20 and 22 on."""

    length: int
    version: int
    flags: int
    sender_key: bytes = b""
    receiver_key: bytes = b""
    data_length: int | None = None
    checksum: int | None = None


class Join(NamedTuple):
    """MP_JOIN. flags: the four bits beside the subtype (12 and 16) or all that is reserved (24)."""

    length: int
    flags: int
    address_id: int = 0
    token: bytes = b""
    nonce: bytes = b""
    hmac: bytes = b""


class Dss(NamedTuple):
    """DSS. Numbers are as they are on the wire: with 32 bits unless the `wide` flag says 64."""

    ack: int | None
    ack_wide: bool
    dsn: int | None
    dsn_wide: bool
    ssn: int
    length: int
    checksum: int | None
    fin: bool
    reserved: int


class AddAddr(NamedTuple):
    echo: bool
    reserved: int
    address_id: int
    address: bytes
    port: int  # 0: not there
    has_port: bool
    hmac: bytes  # empty in an echo


class RemoveAddr(NamedTuple):
    reserved: int
    ids: bytes


class Prio(NamedTuple):
    length: int
    flags: int


class Fail(NamedTuple):
    reserved: int
    dsn: int


class Fastclose(NamedTuple):
    reserved: int
    key: bytes


class Reset(NamedTuple):
    flags: int
    reason: int


class Malformed(NamedTuple):
    """Of no known subtype, or of a length that its subtype cannot have."""

    subtype: int
    length: int


Option = Capable | Join | Dss | AddAddr | RemoveAddr | Prio | Fail | Fastclose | Reset | Malformed


def decode(raw: bytes) -> Option | None:
    """One option with its kind and length bytes. None: of private use."""
    if len(raw) < 3:
        return Malformed(-1, len(raw))
    subtype = raw[2] >> 4
    if subtype == DSS:
        return _dss(raw) or Malformed(subtype, len(raw))
    if subtype == EXPERIMENTAL:
        return None
    return _other(subtype, raw) or Malformed(subtype, len(raw))


def _dss(raw: bytes) -> Dss | None:
    if len(raw) < 4:
        return None
    flags, at = raw[3], 4
    reserved = (raw[2] & 15) << 3 | flags >> 5
    has_ack, has_map = bool(flags & 1), bool(flags & 4)
    ack_wide, dsn_wide = has_ack and bool(flags & 2), has_map and bool(flags & 8)
    need = 4 + (has_ack and (8 if ack_wide else 4)) + (has_map and (14 if dsn_wide else 10))
    if len(raw) != need and not (has_map and len(raw) == need + 2):
        return None
    ack = dsn = checksum = None
    ssn = length = 0
    if has_ack:
        end = at + (8 if ack_wide else 4)
        ack, at = int.from_bytes(raw[at:end]), end
    if has_map:
        end = at + (8 if dsn_wide else 4)
        dsn = int.from_bytes(raw[at:end])
        ssn, length = int.from_bytes(raw[end : end + 4]), int.from_bytes(raw[end + 4 : end + 6])
        if len(raw) > need:
            checksum = int.from_bytes(raw[end + 6 : end + 8])
    return Dss(ack, ack_wide, dsn, dsn_wide, ssn, length, checksum, has_map and bool(flags & 16), reserved)


def _other(subtype: int, raw: bytes) -> Option | None:
    length, low = len(raw), raw[2] & 15
    match subtype, length:
        case 0, 4:
            return Capable(length, low, raw[3])
        case 0, 12:
            return Capable(length, low, raw[3], raw[4:12])
        case 0, 20:
            return Capable(length, low, raw[3], raw[4:12], raw[12:20])
        case 0, 22:
            return Capable(length, low, raw[3], raw[4:12], raw[12:20], int.from_bytes(raw[20:22]))
        case 0, 24:
            first, last = int.from_bytes(raw[20:22]), int.from_bytes(raw[22:24])
            return Capable(length, low, raw[3], raw[4:12], raw[12:20], first, last)
        case 1, 12:
            return Join(length, low, raw[3], token=raw[4:8], nonce=raw[8:12])
        case 1, 16:
            return Join(length, low, raw[3], hmac=raw[4:12], nonce=raw[12:16])
        case 1, 24:
            return Join(length, low << 8 | raw[3], hmac=raw[4:24])
        case 3, (8 | 10 | 16 | 18 | 20 | 22 | 28 | 30):
            return _add_addr(raw)
        case 4, _ if length >= 4:
            return RemoveAddr(low, raw[3:])
        case 5, (3 | 4):
            return Prio(length, low)
        case 6, 12:
            return Fail(low << 8 | raw[3], int.from_bytes(raw[4:12]))
        case 7, 12:
            return Fastclose(low << 8 | raw[3], raw[4:12])
        case 8, 4:
            return Reset(low, raw[3])
    return None


def _add_addr(raw: bytes) -> AddAddr | None:
    echo = bool(raw[2] & 1)
    address, hmac = raw[4 : len(raw) if echo else -8], b"" if echo else raw[-8:]
    has_port = len(address) in (6, 18)
    port = int.from_bytes(address[-2:]) if has_port else 0
    address = address[:-2] if has_port else address
    if len(address) not in (4, 16):
        return None
    return AddAddr(echo, raw[2] & 14, raw[3], address, port, has_port, hmac)
