# SPDX-License-Identifier: Apache-2.0
"""The step lists of make_corpus.py for the targets that have a small language of their own: fuzz_frag.c, fuzz_mptcp.c,
fuzz_channel.c, fuzz_neigh.c."""

from __future__ import annotations

import struct

PSH, ACK = 8, 16

# Fragments (fuzz_frag.c): which packet and what is wrong, offset and length in 8 bytes. Packet n has 40 + 271 n bytes.
WRONG, NOT_LAST, WAIT, OTHER_ID, OTHER_NEXT = 8, 16, 32, 64, 128
ALL = bytes([5, 0, 100, 5, 100, 255])
FRAG = {
    "in_order": ALL,
    "reversed": bytes([4, 100, 255, 4, 50, 50, 4, 0, 50]),
    "whole_in_one": bytes([0, 0, 2, 0, 2, 3]),
    "twice": ALL[:3] * 2 + ALL[3:],
    "twice_but_other_bytes": ALL[:3] + bytes([5 | WRONG]) + ALL[1:],
    "overlap": ALL[:3] + bytes([5, 90, 20]) + ALL[3:],
    "inside": ALL[:3] + bytes([5, 10, 5]) + ALL[3:],
    "wrong_byte": bytes([5 | WRONG]) + ALL[1:],
    "two_ends": ALL[:3] + bytes([5 | NOT_LAST, 120, 5, 5 | NOT_LAST, 130, 5]) + ALL[3:],
    "no_end": bytes([5 | NOT_LAST, 100, 255]) + ALL[:3],
    "too_late": ALL[:3] + bytes([WAIT, 61, 0]) + ALL[3:],
    "longer_than_the_reply_may_be": bytes([7, 0, 180, 7, 180, 255]),
    "many_pieces": b"".join(bytes([3, i, 1]) for i in range(110)),
    "one_sender_too_many": b"".join(bytes([n | other, 0, 4]) for other in (0, OTHER_ID) for n in range(8)) * 2 + ALL,
    "other_next_header": bytes([5 | OTHER_NEXT, 0, 100, 5, 100, 255, 5, 0, 100]),
    "mixed": b"".join(bytes([n, i * 20, 20]) for i in range(13) for n in range(8)),
}


# Steps of fuzz_mptcp.c. Flow 0 is the first subflow, 8 and up are over the second port.

SERVER, CLIENT = 6, 3  # roles: three joins to the engine; the engine connects and joins once
AGAIN, GAP, OVERLAP, FIRST_BYTE, FAR, BEYOND, AHEAD, BEHIND, ONE_BACK = 2, 1, 3, 4, 5, 6, 8, 16, 24
(ADDRESS, REMOVE, PRIORITY, FAILED, FAST, RESET, ALL_SENT, INFINITE, OLD_ACK, KEYS, END, THIRD) = range(12)


def bytes_on(flow: int, length: int = 50, how: int = 0, form: int = 0) -> bytes:
    return bytes([0, flow, length, how, form])


def control(flow: int, what: int, number: int = 0, bend: int = 0) -> bytes:
    return bytes([1, flow, what, number, bend])


def joins(flow: int, bend: int = 0) -> bytes:
    return bytes([2, flow, flow + 1, bend])


def tick(amount: int = 0x80) -> bytes:
    return bytes([3, amount])


def does(what: int, size: int = 0) -> bytes:
    return bytes([4, what, size])


def policy(what: int, number: int) -> bytes:
    return bytes([5, what, number])


NO_BUFFERS, BUFFERS = b"\6\1", b"\6\0"
WRITE, READ, SHUT, LEAVE, DROP = range(5)
ON_ALL = (0, 8, 1, 10)
MPTCP = {
    "spread": b"".join(bytes_on(f) for f in ON_ALL) * 6 + does(READ) * 8 + tick() * 2,
    "holes": b"".join(bytes_on(f, 40, GAP) + bytes_on(f, 40, AGAIN) for f in ON_ALL) * 3 + does(READ) * 8,
    "overlaps": b"".join(bytes_on(f, 90, OVERLAP) + bytes_on(f, 30, FIRST_BYTE) for f in ON_ALL) * 3 + does(READ) * 8,
    "ahead_and_behind": b"".join(bytes_on(f, 20, how) for f in ON_ALL for how in (AHEAD, 0, BEHIND, ONE_BACK)),
    "beyond_the_window": bytes_on(0, 90, FAR) + bytes_on(8, 90, BEYOND) + bytes_on(0) + does(READ) * 3,
    "narrow_numbers": b"".join(bytes_on(f, 50, 0, 3) for f in ON_ALL) + bytes_on(0, 50, 0, 2) + does(READ) * 5,
    "mapping_bent": bytes_on(0, 50, 0, 0x10) + bytes_on(8, 50, 0, 0x20) + bytes_on(1, 50, 0, 0x40) + tick() * 3,
    "mapping_left_out": bytes_on(8, 50, 0, 0x80) + bytes_on(0, 50) + tick() * 3,
    "full": b"".join(bytes_on(f, 229) for f in ON_ALL * 12) + does(READ) * 16 + control(0, OLD_ACK),
    "no_buffers": NO_BUFFERS + bytes_on(0) + does(WRITE, 200) + tick() * 4 + BUFFERS + tick() * 4,
    "writes": does(WRITE, 200) * 4 + b"".join(control(f, OLD_ACK) for f in ON_ALL) + tick() * 6,
    "lost": does(WRITE, 200) * 2 + tick() * 20 + control(8, OLD_ACK) + tick() * 6,
    "data_ack_of_the_future": does(WRITE, 100) + control(0, OLD_ACK, 5, 1) + control(0, OLD_ACK, 200, 1) + tick() * 4,
    "zero_window": does(WRITE, 200) + control(0, OLD_ACK, 0, 2) + tick() * 8 + control(8, OLD_ACK),
    "addresses": b"".join(control(0, ADDRESS, n, 16) for n in range(3, 14)) + control(0, REMOVE, 3, 3) + tick() * 4,
    "address_twice": control(0, ADDRESS, 2) * 2 + control(8, ADDRESS, 2, 1) + control(0, ADDRESS, 2, 2) + tick() * 4,
    "remove_what_is_used": control(0, REMOVE, 1, 3) + control(8, REMOVE, 0, 3) + bytes_on(0) + tick() * 4,
    "priorities": b"".join(control(f, PRIORITY, f & 1) for f in ON_ALL) + does(WRITE, 100) + tick() * 2,
    "failure": control(0, FAILED, 0, 1) + control(8, FAILED) + bytes_on(0) + tick() * 3,
    "infinite": control(0, INFINITE) + bytes_on(0, 20, 0, 0x80) + tick() * 3,
    "fastclose": control(8, FAST, 0, 1) + control(0, FAST) + tick() * 2,
    "fastclose_by_reset": control(8, FAST, 0, 2) + tick() * 2,
    "reset_of_each": b"".join(control(f, RESET, f, 1) + bytes_on(0, 10) for f in (8, 1, 10, 0)) + tick() * 12,
    "subflows_end": b"".join(control(f, END) + bytes_on(0, 10) for f in (8, 1, 10)) + does(WRITE, 50) + tick() * 6,
    "closes": control(0, ALL_SENT) + does(SHUT) + tick() * 2 + control(8, OLD_ACK) + tick() * 8,
    "closes_too_early": control(0, ALL_SENT, 0, 1) + bytes_on(8) + does(LEAVE) + tick() * 12,
    "aborted_unread": bytes_on(0, 200) * 3 + does(DROP) + tick() * 3,
    "joins_bent": joins(2, 1) + joins(3, 2) + joins(11, 4) + joins(12, 128) + bytes_on(12) + tick() * 6,
    "third_ack_again": control(8, THIRD) + control(1, THIRD, 0, 2) + bytes_on(8) + tick() * 2,
    "keys_again": control(0, KEYS, 10, 1) + control(8, KEYS, 10, 2) + bytes_on(0),
    "endpoints": policy(8, 0) + policy(16, 1) + tick() * 6 + joins(9, 8) + policy(1, 0) + policy(1, 1) + tick() * 4,
    "limits": policy(2, 3) + policy(2, 9) + policy(2, 130) + tick() * 4 + does(WRITE, 80),
    "commands": policy(4, 1) + b"".join(policy(3 + 128 * (n & 1), 16 * n + n) for n in range(5)) + tick() * 6,
    "reopened": b"\7\x08\x02\0\0\0" + bytes_on(8) + b"\7\0\x11\0\0\0" + tick() * 3,
}
MPTCP_SETTINGS = {"mapping_bent": 4, "failure": 4, "no_buffers": 8, "full": 16, "writes": 2, "lost": 128}

# Steps of fuzz_channel.c.


def entry(how: int, op: int, **fields: int) -> bytes:
    names = ("flags", "port", "conn", "user", "off", "len")
    return bytes([0, how]) + struct.pack("<BBHIQII", op, *(fields.get(n, 0) for n in names)).ljust(64, b"\0")


def scribble(where: int, at: int, content: bytes) -> bytes:
    return struct.pack("!BBHB", 1, where, at, len(content)) + content


def from_peer(flags: int, length: int = 0) -> bytes:
    return struct.pack("!BBH", 2, flags, length)


REJOIN = b"\6"
CHANNEL = {
    "every_operation": b"".join(entry(1, op, len=100) for op in range(12)),
    "sends": entry(7, 5, off=0, len=8000) * 3 + from_peer(ACK) + bytes([3, 0x80]) * 6,
    "send_outside": entry(1, 5, off=16000, len=1000),
    "send_wraps": entry(1, 5, off=2**32 - 10, len=100),
    "released_twice": bytes([5, 0, 8]) + bytes([5, 0, 0]) + bytes([5, 0, 0]),
    "released_askew": bytes([5, 0, 1]),
    "never_reaps": b"\4\0" + from_peer(ACK | PSH, 500) * 20 + bytes([3, 0x80]) * 6,
    "tail_far_ahead": scribble(0, 64, b"\xff" * 8) + entry(1, 5, len=10),
    "header_overwritten": b"".join(scribble(0, 32 * n, b"\xff" * 32) for n in range(8)) + entry(1, 5, len=10),
    "header_zeroed": b"".join(scribble(0, 32 * n, bytes(32)) for n in range(8)) + from_peer(ACK | PSH, 300),
    "joined_damaged": scribble(0, 64, b"\xff" * 8) + entry(1, 0) + scribble(0, 8, b"\x7f" * 32) + REJOIN + entry(1, 0),
    "joined_again": scribble(0, 64, b"\xff" * 8)
    + entry(1, 0)
    + scribble(0, 64, bytes(8))
    + REJOIN
    + entry(3, 2, port=9),
    "closed_with_data": from_peer(ACK | PSH, 1000) * 3 + entry(1, 8) + from_peer(ACK) + bytes([3, 0x80]) * 9,
}
RINGS = {
    "ring": b"".join(bytes([5, 12]) + bytes(range(12)) for _ in range(100)),
    "ring_damaged": bytes([1, 30]) + bytes(30) + b"".join(bytes([14 + 16 * n, 8]) + b"\xff" * 8 for n in range(14)),
}

# Steps of fuzz_neigh.c.


def heard(who: int, mac: int, how: int) -> bytes:
    return bytes([0, who, mac, how])


def discovered(who: int, mac: int, how: int, flags: int = 0x60) -> bytes:
    return bytes([1, who, mac, how, flags])


def wanted(who: int) -> bytes:
    return bytes([2, who])


def knocks(who: int, port: int = 0) -> bytes:
    return bytes([3, who, port])


LATER = b"\4\x80"
EVERYONE = range(2, 250)
NEIGH = {
    "asked_and_told": wanted(2) + heard(2, 7, 1) + LATER * 3,
    "told_unasked": heard(2, 7, 1) + heard(2, 8, 3) + wanted(2) + LATER * 3,
    "others_asked": heard(2, 7, 2) + heard(3, 7, 6) + wanted(2) + wanted(3) + LATER * 3,
    "in_our_name": heard(1, 7, 3) + heard(1, 7, 0) + knocks(2) + LATER,
    "bad_macs": heard(2, 255, 1) + heard(2, 254, 1) + heard(2, 7, 9) + wanted(2) + LATER * 2,
    "nobody_answers": b"".join(wanted(n) for n in range(2, 12)) + LATER * 12,
    "everybody_asks": b"".join(heard(n, n, 2) for n in EVERYONE) + b"".join(knocks(n) for n in EVERYONE) + LATER * 4,
    "everybody_knocks": b"".join(knocks(n % 256, n // 256) for n in range(400)) + LATER * 8,
    "moved": wanted(2) + heard(2, 7, 1) + heard(2, 8, 1 | 32) + LATER * 4 + b"\4\x7f" * 20 + knocks(2) + LATER * 4,
    "no_buffers": b"\5\1" + wanted(2) + LATER * 3 + b"\5\0" + heard(2, 7, 1) + LATER * 3,
}
NEIGH6 = {
    "advertised": wanted(2) + discovered(2, 7, 1) + LATER * 3,
    "advertised_unasked": discovered(2, 7, 1, 0x20) + discovered(2, 8, 1, 0) + wanted(2) + LATER * 3,
    "solicited": discovered(2, 7, 2) + discovered(0, 7, 10) + discovered(3, 7, 0) + knocks(2) + LATER * 2,
    "in_our_name6": discovered(1, 7, 3) + discovered(1, 7, 1) + knocks(2) + LATER,
    "moved6": wanted(2) + discovered(2, 7, 1) + discovered(2, 8, 1, 0x20) + discovered(2, 9, 1 | 32, 0x40) + LATER * 6,
    "everybody_solicits": b"".join(discovered(n, n, 2) for n in EVERYONE)
    + b"".join(knocks(n) for n in EVERYONE)
    + LATER * 4,
    "echo": b"".join(bytes([7, n, 40]) for n in range(2, 60)) + LATER * 3,
}
