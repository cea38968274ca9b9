# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpus of the fuzz targets next to this file. Deterministic: run it again after a format change.

corpus/wire       one codec input per file: a selector byte (fuzz_wire.c), then a header
corpus/engine_rx  lists of steps (fuzz_engine_rx.c): handshakes, transfers, joins, closes, broken options
corpus/frag       lists of fragments (fuzz_frag.c): in any order, twice, overlapping, wrong, too late, too many
corpus/mptcp      steps on an established connection with joins (fuzz_mptcp.c)
corpus/channel    what a hostile application does to its channel (fuzz_channel.c)
corpus/neigh      ARP, neighbour discovery and who needs them (fuzz_neigh.c)
"""

from __future__ import annotations

import struct
from pathlib import Path

from corpus_steps import CHANNEL, CLIENT, FRAG, MPTCP, MPTCP_SETTINGS, NEIGH, NEIGH6, RINGS, SERVER

OUR_MAC, MAC = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 1, 0])  # the engine's first port, the peer
HERE = Path(__file__).resolve().parent
OUR_NET = b"\xfd" + bytes(7)  # fd00::/64
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
KEY, TOKEN, HMAC, DSN, TS, LPORT, IP2, BAD = 1, 2, 4, 8, 16, 32, 64, 128
SEND, RELEASE, SHUTDOWN, CLOSE, ABORT, ACCEPT, CONNECT, UNLISTEN = range(8)


# Options: bodies behind kind and length.


def option(kind: int, body: bytes) -> bytes:
    return bytes([kind, len(body) + 2]) + body


def sack(*edges: int) -> bytes:
    return b"\x01\x01" + option(5, struct.pack(f"!{len(edges)}i", *edges))


MSS = option(2, b"\x05\xb4")
SACK_OK = option(4, b"")
WSCALE = option(3, b"\x07")
TIMESTAMPS = b"\x01\x01" + option(8, struct.pack("!II", 1000, 0))
SYN_OPTIONS = MSS + SACK_OK + TIMESTAMPS[2:] + b"\x01" + WSCALE


def capable(length: int, flags: int = 0x01, data: int = 0) -> bytes:
    return option(30, struct.pack("!BBQQHH", 0x01, flags, 1, 2, data, 0)[: length - 2])


def join(length: int, address_id: int = 1) -> bytes:
    forms = {
        12: struct.pack("!BBII", 0x10, address_id, 3, 4),
        16: struct.pack("!BBQI", 0x10, address_id, 5, 6),
        24: struct.pack("!BB", 0x10, 0) + bytes(20),
    }
    return option(30, forms[length])


def dss(data: int = 0, dsn: int = 0, ssn: int = 1, ack: int = 0, *, fin: bool = False, csum: bool = False) -> bytes:
    """DATA_ACK always; a mapping if there is data or DATA_FIN."""
    if not data and not fin:
        return option(30, struct.pack("!BBQ", 0x20, 0x03, ack))
    body = struct.pack("!BBQQIH", 0x20, 0x1F if fin else 0x0F, ack, dsn & (2**64 - 1), ssn, data + fin)
    return option(30, body + (b"\0\0" if csum else b""))


ADD_ADDR = option(30, b"\x30\x02" + bytes([10, 0, 1, 2]) + bytes(8))
ADD_ADDR_PORT = option(30, b"\x30\x02" + bytes([10, 0, 1, 2]) + b"\x13\x88" + bytes(8))
ADD_ADDR_ECHO = option(30, b"\x31\x02" + bytes([10, 0, 1, 1]))
ADD_ADDR_V6 = option(30, b"\x30\x03" + bytes(16) + bytes(8))
ADD_ADDR_SECOND_V6 = option(30, b"\x30\x02" + OUR_NET[:7] + b"\x01" + bytes(7) + b"\x02" + bytes(8))
REMOVE_ADDR = option(30, b"\x40\x01\x02")
PRIO = option(30, b"\x51")
FAIL = option(30, b"\x60\x00" + bytes(8))
FASTCLOSE = option(30, b"\x70\x00" + bytes(8))
TCPRST = option(30, b"\x80\x03")


def padded(options: bytes) -> bytes:
    return options + b"\x01" * (-len(options) % 4)


# Steps of fuzz_engine_rx.c.


def segment(
    flags: int,
    options: bytes = b"",
    payload: int = 0,
    *,
    flow: int = 0,
    fix: int = 0,
    seq: int = 0,
    ack: int = 0,
    wnd: int = 60000,
) -> bytes:
    head = struct.pack("!BBBBhhHHB", 1, flow, flags, fix | TS, seq, ack, wnd, payload, len(options))
    return head + options


def raw(frame: bytes, bits: int = 0) -> bytes:
    return struct.pack("!BBH", 0, bits, len(frame)) + frame


def wait(milliseconds: int) -> bytes:
    return struct.pack("!BH", 2, milliseconds)


def deadline() -> bytes:
    return struct.pack("!BH", 2, 0x8000)


def icmp_error(kind: int, seq: int, mtu: int = 1300, *, flow: int = 0) -> bytes:
    return struct.pack("!BBBHH", 6, flow, kind, seq, mtu)


def app(what: int, length: int = 0) -> bytes:
    return struct.pack("!BBH", 3, what, length)


def fault(bits: int) -> bytes:
    return bytes([5, bits])


PLAIN_OPEN = segment(SYN, SYN_OPTIONS) + segment(ACK, TIMESTAMPS) + app(ACCEPT)
OPEN = (
    segment(SYN, SYN_OPTIONS + capable(4))
    + segment(ACK, TIMESTAMPS + capable(20), fix=KEY)
    + app(ACCEPT)
    + segment(ACK | PSH, TIMESTAMPS + capable(22, data=100), 100, fix=KEY)
)
JOIN = (
    segment(SYN, SYN_OPTIONS + join(12, 2), flow=1, fix=TOKEN)
    + segment(ACK, TIMESTAMPS + join(24), flow=1, fix=HMAC)
    + segment(ACK, TIMESTAMPS + dss(), flow=1, fix=DSN)
)


OPEN_CSUM = (
    segment(SYN, SYN_OPTIONS + capable(4, 0x81))
    + segment(ACK, TIMESTAMPS + capable(20, 0x81), fix=KEY)
    + app(ACCEPT)
    + segment(ACK | PSH, TIMESTAMPS + capable(24, 0x81, 100), 100, fix=KEY | DSN)
)
# 1 NewReno, 2 round robin, 4 checksums, 8 a pool of 16 buffers, 16 of 64, 32 IPv6 on the first port, 64 on the second.
FIRST6, SECOND6 = 32, 64
SETTINGS = {
    "plain_newreno": 1,
    "round_robin": 2,
    "checksums": 4,
    "checksum_wrong": 4,
    "mptcp_retransmit": 2,
    "pool_short_plain": 8,
    "pool_short_mptcp": 16,
    "tiny_segments_of_one_mapping": 8,
    "mptcp_addresses_mixed": SECOND6,
    "mptcp_announce_mixed": SECOND6,
    "client_join_mixed": SECOND6,
    "client_join_mixed_first": FIRST6,
}
# These over IPv6 too.
ALSO_IPV6 = (
    *("plain", "plain_loss", "refused", "fallback", "mptcp", "mptcp_join", "mptcp_announce", "checksums"),
    *("plain_too_big", "plain_unreachable"),
    *("client", "client_silence", "client_tcp", "syn_flood", "syn_tiny_mss", "hostile_application"),
)


def data(length: int, *, flow: int = 0, ssn: int = 1, dsn: int = 0, seq: int = 0, csum: bool = False) -> bytes:
    return segment(ACK, TIMESTAMPS + dss(length, dsn, ssn, csum=csum), length, flow=flow, fix=DSN, seq=seq)


def acks(flow: int = 0) -> bytes:
    return segment(ACK, TIMESTAMPS + dss(), flow=flow, fix=DSN)


DATA_FIN = segment(ACK, TIMESTAMPS + dss(0, 0, 0, fin=True), fix=DSN)

ENGINE = {
    "plain": PLAIN_OPEN
    + segment(ACK | PSH, TIMESTAMPS, 500)
    + app(RELEASE)
    + app(SEND, 3000)
    + segment(ACK, TIMESTAMPS)
    + segment(ACK | FIN, TIMESTAMPS)
    + app(CLOSE)
    + segment(ACK, TIMESTAMPS),
    "plain_no_options": segment(SYN) + segment(ACK) + app(ACCEPT) + segment(ACK, b"", 10) + app(CLOSE),
    "plain_out_of_order": PLAIN_OPEN
    + segment(ACK, TIMESTAMPS, 100, seq=100)
    + segment(ACK, TIMESTAMPS, 100, seq=300)
    + segment(ACK, TIMESTAMPS, 100)
    + segment(ACK, TIMESTAMPS, 400)
    + app(RELEASE) * 4,
    "plain_loss": PLAIN_OPEN
    + app(SEND, 14000)
    + segment(ACK, TIMESTAMPS, ack=-9000)
    + segment(ACK, TIMESTAMPS + sack(-5000, -4000), ack=-9000) * 4
    + deadline() * 8
    + segment(ACK, TIMESTAMPS),
    "plain_too_big": PLAIN_OPEN
    + app(SEND, 14000)
    + icmp_error(0, 14000)
    + segment(ACK, TIMESTAMPS, ack=-9000)
    + icmp_error(0, 9000, 600)
    + segment(ACK, TIMESTAMPS + sack(-5000, -4000), ack=-9000) * 4
    + icmp_error(0, 4000, 0)
    + deadline() * 8
    + segment(ACK, TIMESTAMPS),
    "plain_unreachable": PLAIN_OPEN
    + app(SEND, 5000)
    + icmp_error(1, 5000)
    + icmp_error(2, 3000)
    + icmp_error(3, 70)
    + deadline() * 40,
    "plain_black_hole": PLAIN_OPEN
    + app(SEND, 14000)
    + deadline() * 9
    + segment(ACK, TIMESTAMPS, ack=-12000)
    + app(SEND, 14000)
    + wait(2100)
    + segment(ACK, TIMESTAMPS, ack=-9000)
    + deadline() * 6
    + segment(ACK, TIMESTAMPS),
    "plain_zero_window": PLAIN_OPEN
    + segment(ACK, TIMESTAMPS, wnd=0)
    + app(SEND, 9000)
    + deadline() * 6
    + segment(ACK, TIMESTAMPS)
    + app(SHUTDOWN),
    "plain_reset": PLAIN_OPEN + segment(RST | ACK, seq=1) + segment(RST),
    "refused": segment(SYN, SYN_OPTIONS, fix=BAD)
    + segment(ACK, TIMESTAMPS)
    + segment(FIN)
    + segment(SYN, flow=9, fix=LPORT),
    "fallback": segment(SYN, SYN_OPTIONS + capable(4))
    + segment(ACK, TIMESTAMPS)
    + app(ACCEPT)
    + segment(ACK, TIMESTAMPS, 50)
    + app(SEND, 500)
    + app(CLOSE),
    "version_0": segment(SYN, MSS + option(30, b"\x00\x01")) + segment(ACK, b"", 10),
    "mptcp": OPEN
    + data(200, ssn=101)
    + app(SEND, 3000)
    + acks()
    + app(RELEASE) * 2
    + DATA_FIN
    + app(CLOSE)
    + acks()
    + segment(ACK | FIN, TIMESTAMPS + dss(), fix=DSN)
    + deadline() * 3,
    "mptcp_join": OPEN
    + JOIN
    + data(100, flow=1)
    + data(100, ssn=101)
    + app(SEND, 16000)
    + acks()
    + acks(1)
    + segment(RST | ACK, TCPRST, flow=1)
    + data(50, ssn=201),
    "mptcp_reorder": OPEN + JOIN + data(100, flow=1, dsn=100) + data(100, ssn=101, dsn=0) + app(RELEASE) * 3,
    "mptcp_addresses": OPEN
    + segment(ACK, TIMESTAMPS + ADD_ADDR, fix=HMAC)
    + deadline()
    + segment(SYN | ACK, SYN_OPTIONS + join(16, 2), flow=0, fix=HMAC | LPORT | IP2)
    + segment(ACK, TIMESTAMPS + ADD_ADDR_PORT, fix=HMAC)
    + segment(ACK, TIMESTAMPS + ADD_ADDR_ECHO)
    + segment(ACK, TIMESTAMPS + REMOVE_ADDR)
    + segment(ACK, TIMESTAMPS + PRIO),
    "mptcp_addresses_mixed": OPEN
    + segment(ACK, TIMESTAMPS + ADD_ADDR_SECOND_V6, fix=HMAC)
    + deadline()
    + segment(SYN | ACK, SYN_OPTIONS[:-4] + join(16, 2), flow=0, fix=HMAC | LPORT | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + app(SEND, 9000)
    + deadline() * 4
    + segment(ACK, TIMESTAMPS + REMOVE_ADDR),
    "mptcp_announce_mixed": OPEN + fault(4) + JOIN + fault(8) + deadline() * 6,
    "mptcp_announce": OPEN + fault(4) + JOIN + fault(8) + segment(ACK, TIMESTAMPS + ADD_ADDR_ECHO) + deadline() * 4,
    "mptcp_fastclose": OPEN + JOIN + segment(ACK, TIMESTAMPS + FASTCLOSE, fix=KEY),
    "mptcp_fail": OPEN + segment(ACK, TIMESTAMPS + FAIL) + segment(ACK, TIMESTAMPS + dss(0, 0, 0), fix=DSN),
    "mptcp_abort": OPEN + JOIN + app(SEND, 5000) + app(ABORT),
    "mptcp_unmapped": OPEN + segment(ACK, TIMESTAMPS, 100) + data(100, ssn=700),
    "mptcp_short_mapping": OPEN + segment(ACK, TIMESTAMPS + dss(50, 0, 101), 100, fix=DSN),
    "mptcp_window": OPEN
    + data(1400, ssn=101)
    + data(1400, ssn=1501)
    + data(1400, ssn=2901)
    + app(RELEASE) * 5
    + acks(),
    "mptcp_retransmit": OPEN + JOIN + app(SEND, 16000) + deadline() * 12 + acks(1) + acks() + deadline() * 4,
    "mptcp_unknown_token": segment(SYN, SYN_OPTIONS + join(12), flow=2),
    "mptcp_bad_hmac": OPEN
    + segment(SYN, SYN_OPTIONS + join(12), flow=1, fix=TOKEN)
    + segment(ACK, TIMESTAMPS + join(24), flow=1),
    "client": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + app(SEND, 4000)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + dss(100), 100, fix=LPORT | DSN)
    + app(RELEASE)
    + app(CLOSE)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN),
    "client_fallback": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS, fix=LPORT)
    + app(SEND, 400)
    + segment(ACK, TIMESTAMPS, 100, fix=LPORT),
    "client_refused": app(CONNECT) + segment(RST | ACK, fix=LPORT),
    "client_silence": app(CONNECT) + deadline() * 12,
    "client_tcp": app(CONNECT | 0x80)
    + segment(SYN | ACK, SYN_OPTIONS, fix=LPORT)
    + segment(ACK | FIN, TIMESTAMPS, fix=LPORT),
    "syn_flood": b"".join(segment(SYN, SYN_OPTIONS + capable(4), flow=n) for n in range(8)) + deadline() * 10,
    "faults": fault(1)
    + segment(SYN, SYN_OPTIONS + capable(4))
    + fault(0)
    + deadline()
    + segment(ACK, TIMESTAMPS)
    + fault(2)
    + raw(bytes(60))
    + app(UNLISTEN),
    "client_join": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + ADD_ADDR, fix=LPORT | HMAC)
    + deadline()
    + segment(SYN | ACK, SYN_OPTIONS[:-4] + join(16, 2), fix=HMAC | LPORT | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + app(SEND, 16000)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + REMOVE_ADDR, fix=LPORT)
    + app(CLOSE),
    "client_join_mixed": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + ADD_ADDR_SECOND_V6, fix=LPORT | HMAC)
    + deadline()
    + segment(SYN | ACK, SYN_OPTIONS[:-4] + join(16, 2), fix=HMAC | LPORT | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + app(SEND, 16000)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + REMOVE_ADDR, fix=LPORT)
    + app(CLOSE),
    "client_join_mixed_first": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + ADD_ADDR, fix=LPORT | HMAC)
    + deadline()
    + segment(SYN | ACK, SYN_OPTIONS[:-4] + join(16, 2), fix=HMAC | LPORT | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + app(SEND, 16000)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN | IP2)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + REMOVE_ADDR, fix=LPORT)
    + app(CLOSE),
    "client_join_silence": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + ADD_ADDR_PORT, fix=LPORT | HMAC)
    + deadline() * 20,
    "client_join_refused": app(CONNECT)
    + segment(SYN | ACK, SYN_OPTIONS + capable(12), fix=LPORT)
    + fault(8)
    + segment(ACK, TIMESTAMPS + dss(), fix=LPORT | DSN)
    + segment(ACK, TIMESTAMPS + ADD_ADDR, fix=LPORT | HMAC)
    + segment(SYN | ACK, SYN_OPTIONS + join(16, 2), fix=LPORT | IP2)
    + segment(RST | ACK, TCPRST, fix=LPORT | IP2),
    "plain_sack": PLAIN_OPEN
    + app(SEND, 14000)
    + segment(ACK, TIMESTAMPS + sack(-9000, -8000), ack=-12000) * 3
    + segment(ACK, TIMESTAMPS + sack(-9000, -4000, -3000, -2000), ack=-12000)
    + segment(ACK, TIMESTAMPS, ack=-4000)
    + deadline() * 3
    + segment(ACK, TIMESTAMPS),
    "plain_newreno": PLAIN_OPEN
    + app(SEND, 14000)
    + segment(ACK, TIMESTAMPS, ack=-12000) * 6
    + segment(ACK, TIMESTAMPS)
    + app(SEND, 14000) * 3
    + deadline() * 3
    + segment(ACK, TIMESTAMPS),
    "checksums": OPEN_CSUM + data(100, ssn=101, csum=True) + app(SEND, 4000) + acks() + app(CLOSE) + DATA_FIN,
    "checksum_wrong": OPEN_CSUM + segment(ACK, TIMESTAMPS + dss(100, 0, 101, csum=True), 100),
    "round_robin": OPEN + JOIN + app(SEND, 16000) * 2 + acks() + acks(1) + app(SEND, 16000) + acks(1) + acks(),
    "pool_short_plain": PLAIN_OPEN
    + b"".join(segment(ACK, TIMESTAMPS, 1400, seq=1400 * n) for n in range(1, 20))
    + segment(ACK, TIMESTAMPS, 1400) * 24
    + deadline() * 3
    + app(RELEASE) * 16
    + segment(ACK, TIMESTAMPS, 1400) * 4,
    "pool_short_mptcp": OPEN
    + JOIN
    + b"".join(
        data(1400, flow=n % 2, ssn=(1 if n % 2 else 101) + 1400 * (n // 2), dsn=1400 * (n + 1)) for n in range(40)
    )
    + b"".join(data(1400, ssn=101 + 1400 * (20 + n)) for n in range(40))
    + deadline() * 3
    + app(RELEASE) * 16,
    "tiny_segments_of_one_mapping": OPEN_CSUM
    + segment(ACK, TIMESTAMPS + dss(60, 0, 101, csum=True), 1, fix=DSN)
    + segment(ACK, TIMESTAMPS, 1) * 59
    + app(RELEASE),
    "syn_tiny_mss": segment(SYN, option(2, b"\0\1") + SACK_OK + TIMESTAMPS[2:] + b"\x01" + WSCALE)
    + segment(ACK, TIMESTAMPS)
    + app(ACCEPT)
    + app(SEND, 4000) * 3
    + segment(ACK, TIMESTAMPS) * 3,
    "announced_nonsense": OPEN
    + b"".join(
        segment(ACK, TIMESTAMPS + option(30, b"\x30" + bytes([n]) + address + bytes(8)), fix=HMAC)
        for n, address in enumerate((b"\xe0\0\0\1", b"\x7f\0\0\1", b"\n\0\0\1", bytes(4), b"\n\0\0\x09"))
    )
    + b"".join(
        segment(ACK, TIMESTAMPS + option(30, b"\x30" + bytes([n]) + bytes([10, 0, 2, n]) + bytes(8)), fix=HMAC)
        for n in range(1, 20)
    )
    + segment(ACK, TIMESTAMPS + option(30, b"\x40\x00"))
    + deadline() * 3,
    "mappings_at_the_edge": OPEN
    + segment(ACK, TIMESTAMPS + capable(22, data=65535), 10, fix=KEY)
    + JOIN
    + segment(ACK, TIMESTAMPS + dss(0, -1, 0, fin=True), fix=DSN)
    + segment(ACK, TIMESTAMPS + dss(65534, 0, 0, fin=True), 10, fix=DSN)
    + segment(ACK, TIMESTAMPS + dss(65535, 2**31 - 1, 2**32 - 1), 10, flow=1, fix=DSN)
    + segment(ACK, TIMESTAMPS + dss(10, -(2**31), 11), 10, flow=1, fix=DSN)
    + deadline() * 3,
    "hostile_application": OPEN + b"".join(bytes([4, 1, op]) + bytes(range(63)) for op in range(12)),
}


def tcp(options: bytes, payload: bytes = b"") -> bytes:
    body = padded(options)
    head = struct.pack("!HHIIBBHHH", 5000, 80, 1, 2, (20 + len(body)) // 4 << 4, ACK, 1000, 0, 0)
    return head + body + payload


def ipv4(proto: int, payload: bytes) -> bytes:
    return (
        struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, proto, 0, 0x0A000002, 0x0A000001)
        + payload
    )


def ethernet(kind: int, payload: bytes) -> bytes:
    return OUR_MAC + MAC + struct.pack("!H", kind) + payload


ARP = (
    struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes([2, 0, 0, 0, 1, 0, 10, 0, 0, 2]) + bytes(6) + bytes([10, 0, 0, 1])
)
ECHO = b"\x08\x00\xf7\xff\x00\x00\x00\x00"

WIRE = {
    "tcp_syn": tcp(SYN_OPTIONS),
    "tcp_sack": tcp(TIMESTAMPS + sack(-5000, -4000)),
    **{f"tcp_fast_open_{n}": tcp(option(34, bytes(n))) for n in (0, 4, 8, 16)},
    "tcp_zero_length": tcp(b"\x02\x00\x05\xb4"),
    "tcp_over_the_end": tcp(b"\x01\x01\x08\x0a\x00\x00\x00\x00"),
    **{f"tcp_capable_{n}": tcp(capable(n)) for n in (4, 12, 20, 22, 24)},
    **{f"tcp_join_{n}": tcp(join(n)) for n in (12, 16, 24)},
    "tcp_dss_ack": tcp(TIMESTAMPS + dss(), b"x"),
    "tcp_dss_map": tcp(TIMESTAMPS + dss(100), bytes(100)),
    "tcp_dss_csum": tcp(TIMESTAMPS + dss(100, csum=True), bytes(100)),
    "tcp_dss_fin": tcp(dss(fin=True)),
    "tcp_add_addr": tcp(ADD_ADDR),
    "tcp_add_addr_port": tcp(ADD_ADDR_PORT),
    "tcp_add_addr_echo": tcp(ADD_ADDR_ECHO),
    "tcp_add_addr_v6": tcp(ADD_ADDR_V6),
    "tcp_small_options": tcp(REMOVE_ADDR + PRIO + TCPRST + FAIL),
    "tcp_fastclose": tcp(FASTCLOSE + FASTCLOSE),
}
OTHER = {
    "eth_tcp": (1, ethernet(0x0800, ipv4(6, tcp(TIMESTAMPS + dss(10), bytes(10))))),
    "eth_arp": (1, ethernet(0x0806, ARP)),
    "ipv4": (2, ipv4(17, bytes(8))),
    "ipv4_options": (2, b"\x46" + ipv4(6, bytes(4) + tcp(b""))[1:]),
    "icmp_echo": (3, ECHO),
    "sum": (4, bytes(range(100))),
    "icmp_too_big": (7, bytes.fromhex("0304000000000514") + ipv4(6, tcp(TIMESTAMPS))),
    "icmp_port_unreachable": (7, bytes.fromhex("0303000000000000") + ipv4(6, tcp(b""))[:28]),
    "icmp_cut": (7, bytes.fromhex("0b00000000000000") + ipv4(6, tcp(b""))[:27]),
}


# IPv6: what a raw frame holds has to be right to get anywhere.

OURS, PEERS = OUR_NET + bytes(7) + b"\x01", OUR_NET + bytes(7) + b"\x02"
GROUP, EVERYBODY = b"\xff\x02" + bytes(9) + b"\x01\xff\0\0\x01", b"\xff\x02" + bytes(13) + b"\x01"
HOP_BY_HOP, TCP, ROUTING, FRAGMENT, ICMP6, NOTHING, DESTINATION = 0, 6, 43, 44, 58, 59, 60


def ipv6(proto: int, payload: bytes, src: bytes = PEERS, dst: bytes = OURS, hops: int = 255) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, hops) + src + dst + payload


def summed(proto: int, body: bytes, at: int, src: bytes = PEERS, dst: bytes = OURS) -> bytes:
    """The upper layer with its checksum at this offset."""
    pseudo = src + dst + struct.pack("!II", len(body), proto) + body + bytes(len(body) % 2)
    words = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return body[:at] + struct.pack("!H", ~words & 0xFFFF) + body[at + 2 :]


def icmp6(kind: int, body: bytes, src: bytes = PEERS, dst: bytes = OURS, code: int = 0) -> bytes:
    return summed(ICMP6, bytes([kind, code, 0, 0]) + body, 2, src, dst)


def solicit(target: bytes = OURS, src: bytes = PEERS, dst: bytes = GROUP, option: bytes = b"\x01\x01" + MAC) -> bytes:
    return ipv6(ICMP6, icmp6(135, bytes(4) + target + option, src, dst), src, dst)


def advertise(target: bytes = PEERS, flags: int = 0x60, dst: bytes = OURS, option: bytes = b"\x02\x01" + MAC) -> bytes:
    return ipv6(ICMP6, icmp6(136, bytes([flags, 0, 0, 0]) + target + option, dst=dst), dst=dst)


def extended(proto: int, payload: bytes, *headers: tuple[int, bytes]) -> bytes:
    """Extension headers, each given as (its number, what follows its first byte)."""
    kinds = [kind for kind, _ in headers] + [proto]
    chain = b"".join(bytes([following]) + rest for following, (_, rest) in zip(kinds[1:], headers, strict=True))
    return ipv6(kinds[0], chain + payload)


def frame6(packet: bytes, mac: bytes = OUR_MAC) -> bytes:
    return mac + MAC + b"\x86\xdd" + packet


PADN = b"\0" + b"\x01\x04" + bytes(4)  # length 0, one option that fills eight bytes
SYN6 = summed(TCP, tcp(SYN_OPTIONS + capable(4))[:13] + bytes([SYN]) + tcp(SYN_OPTIONS + capable(4))[14:], 16)
TO_GROUP = b"\x33\x33\xff\0\0\x01"
PACKETS6 = {
    "echo": ipv6(ICMP6, icmp6(128, b"\x12\x34\0\x07" + bytes(range(40)))),
    "echo_to_all": ipv6(ICMP6, icmp6(128, bytes(20), dst=EVERYBODY), dst=EVERYBODY),
    "solicit": solicit(),
    "solicit_unicast": solicit(dst=OURS),
    "solicit_of_detection": solicit(src=bytes(16), option=b""),
    "solicit_of_detection_with_option": solicit(src=bytes(16)),
    "solicit_of_another": solicit(target=PEERS),
    "solicit_zero_option": solicit(option=b"\x01\x00" + MAC),
    "solicit_over_a_hop": ipv6(ICMP6, icmp6(135, bytes(4) + OURS), hops=64),
    "advertise": advertise(),
    "advertise_to_all": advertise(dst=EVERYBODY, flags=0x20),
    "advertise_weak": advertise(flags=0x40, option=b"\x02\x01\x02\x66\x66\x66\x66\x66"),
    "advertise_multicast": advertise(target=EVERYBODY),
    "router_advertisement": ipv6(ICMP6, icmp6(134, bytes(12))),
    "too_big": ipv6(ICMP6, icmp6(2, struct.pack("!I", 1280) + ipv6(TCP, SYN6, OURS, PEERS))),
    "unreachable": ipv6(ICMP6, icmp6(1, bytes(4) + ipv6(TCP, SYN6, OURS, PEERS), code=4)),
    "syn": ipv6(TCP, SYN6),
    "hop_by_hop": extended(TCP, SYN6, (HOP_BY_HOP, PADN)),
    "hop_by_hop_late": extended(TCP, SYN6, (DESTINATION, PADN), (HOP_BY_HOP, PADN)),
    "all_headers": extended(
        TCP, SYN6, (HOP_BY_HOP, PADN), (DESTINATION, PADN), (ROUTING, bytes([0, 4, 0]) + bytes(4)),
        (FRAGMENT, bytes(7)), (DESTINATION, PADN),
    ),
    "too_many_headers": extended(TCP, SYN6, *[(DESTINATION, PADN)] * 20),
    "header_over_the_end": extended(TCP, b"", (DESTINATION, b"\xff" + bytes(6))),
    "unknown_option_to_discard": extended(TCP, SYN6, (DESTINATION, b"\0\x80\x04" + bytes(4))),
    "segments_left": extended(TCP, SYN6, (ROUTING, bytes([0, 0, 1]) + bytes(4))),
    "fragment": extended(TCP, SYN6, (FRAGMENT, b"\0\0\x01" + bytes(4))),
    "atomic_fragment": extended(TCP, SYN6, (FRAGMENT, bytes(7))),
    "no_next_header": ipv6(NOTHING, b""),
    "mapped_source": ipv6(TCP, SYN6, src=bytes(10) + b"\xff\xff\n\0\0\x02"),
    "mapped_both": ipv6(TCP, SYN6, bytes(10) + b"\xff\xff\n\0\0\x02", bytes(10) + b"\xff\xff\n\0\0\x01"),
    "from_itself": ipv6(TCP, SYN6, src=OURS),
    "from_a_group": ipv6(TCP, SYN6, src=EVERYBODY),
    "longer_than_the_frame": ipv6(TCP, SYN6)[:4] + b"\xff\xff" + ipv6(TCP, SYN6)[6:],
}


def write(folder: str, files: dict[str, bytes]) -> None:
    target = HERE / "corpus" / folder
    target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (target / name).write_bytes(content)
    print(f"{target}: {len(files)} files, {sum(map(len, files.values()))} bytes")


def main() -> None:
    wire = {k: b"\0" + v for k, v in WIRE.items()} | {k: bytes([sel]) + v for k, (sel, v) in OTHER.items()}
    wire |= {f"icmp6_{k}": b"\7" + PACKETS6[k][40:] for k in ("too_big", "unreachable")}
    wire["icmp6_too_big_with_headers"] = b"\7\2" + bytes(7) + PACKETS6["all_headers"]
    write("wire", wire | {f"ipv6_{k}": (b"\6" if v[6] == ICMP6 else b"\5") + v for k, v in PACKETS6.items()})
    steps = ENGINE | {
        "arp_and_icmp": raw(ethernet(0x0806, ARP)) + raw(ethernet(0x0800, ipv4(1, ECHO)), 1),
        "raw_tcp": raw(ethernet(0x0800, ipv4(6, tcp(capable(4)))), 1) + raw(ethernet(0x0800, ipv4(6, tcp(b""))), 3),
    }
    files = {name: bytes([SETTINGS.get(name, 0)]) + content for name, content in steps.items()}
    files |= {
        f"{name}_ipv6": bytes([SETTINGS.get(name, 0) | FIRST6 | SECOND6]) + steps[name] for name in ALSO_IPV6
    }
    for name, packet in PACKETS6.items():
        frame = frame6(packet, TO_GROUP if packet[24:40] == GROUP else OUR_MAC)
        # Before anything is known of the peer, and again while a connection to it is being opened.
        again = raw(frame, 1) + app(CONNECT) + raw(frame) + deadline() * 2 + raw(frame, 3)
        files[f"raw6_{name}"] = bytes([FIRST6]) + raw(frame) + again
    write("engine_rx", files)
    families = {"": 0, "_ipv6": 1, "_workers": 2, "_ipv6_workers": 3, "_few_buffers": 4}
    write("frag", {name + tail: bytes([n]) + steps for name, steps in FRAG.items() for tail, n in families.items()})

    mixed = {"": 0, "_ipv6": FIRST6 | SECOND6, "_mixed": SECOND6}
    files = {
        f"{name}_{role}{suffix}": bytes([MPTCP_SETTINGS.get(name, 0) | bits, number]) + content
        for name, content in MPTCP.items()
        for role, number, suffix, bits in (
            ("server", SERVER, "", 0), ("client", CLIENT, "", 0),
            *(("server", SERVER, s, b) for s, b in mixed.items() if s and name in ("spread", "addresses", "endpoints")),
        )
    }  # fmt: skip
    write("mptcp", files)
    write(
        "channel",
        {name: b"\0\0" + content for name, content in CHANNEL.items()}
        | {name: b"\0\1" + content for name, content in RINGS.items()},
    )
    write(
        "neigh",
        {name: b"\0" + content for name, content in NEIGH.items()}
        | {name: bytes([FIRST6 | SECOND6]) + content for name, content in NEIGH6.items()}
        | {f"{name}_mixed": bytes([SECOND6]) + content for name, content in (NEIGH | NEIGH6).items()},
    )


if __name__ == "__main__":
    main()
