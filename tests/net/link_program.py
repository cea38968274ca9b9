# SPDX-License-Identifier: Apache-2.0
"""Programs for the other end of a link, run by `ip netns exec`: they see and send bare frames. Standard library only.

    watch IF          prints one JSON object for every ARP packet and IPv6 neighbour message that arrives at IF
    flood IF MAC N    N frames of invented hosts: in turn ARP requests, ARP replies, announcements, advertisements
    echo PORT         takes connections of either family and sends back what comes
    refused HOST PORT connects; succeeds if it is refused
"""

from __future__ import annotations

import errno
import json
import random
import socket
import struct
import sys
import threading

ARP, IPV6, ALL = 0x0806, 0x86DD, 3
OURS = ("10.1.1.1", "fd00:1:1::1")


def mac_text(raw: bytes) -> str:
    return raw.hex(":")


def watch(name: str) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as s:
        s.bind((name, ALL))
        print(json.dumps({"kind": "watching"}), flush=True)
        while True:
            try:
                frame, about = s.recvfrom(2048)
            except OSError as error:
                if error.errno != errno.ENETDOWN:
                    raise
                continue
            if about[2] == 4:  # PACKET_OUTGOING
                continue
            kind = struct.unpack("!H", frame[12:14])[0]
            told: dict[str, object] = {"to": mac_text(frame[:6]), "from": mac_text(frame[6:12])}
            if kind == ARP:
                told["kind"] = {1: "request", 2: "reply"}.get(struct.unpack("!H", frame[20:22])[0], "?")
                told["sender"], told["target"] = socket.inet_ntoa(frame[28:32]), socket.inet_ntoa(frame[38:42])
            elif kind == IPV6 and frame[20] == 58 and frame[54] in (135, 136):
                told["kind"] = {135: "solicit", 136: "advertise"}[frame[54]]
                told["sender"] = socket.inet_ntop(socket.AF_INET6, frame[22:38])
                told["target"] = socket.inet_ntop(socket.AF_INET6, frame[62:78])
            else:
                continue
            print(json.dumps(told), flush=True)


def arp(op: int, mac: bytes, sender: bytes, target: bytes) -> bytes:
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + mac + sender + bytes(6) + target


def advertise(mac: bytes, sender: bytes, to: bytes) -> bytes:
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + sender + bytes([2, 1]) + mac
    words = sum(struct.unpack(f"!{len(body) // 2}H", body)) + sum(struct.unpack("!16H", sender + to)) + len(body) + 58
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    body = body[:2] + struct.pack("!H", ~words & 0xFFFF) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + sender + to + body


def flood(name: str, to: str, count: int) -> None:
    dice = random.Random(1)
    our4, our6 = socket.inet_aton(OURS[0]), socket.inet_pton(socket.AF_INET6, OURS[1])
    target = bytes.fromhex(to.replace(":", ""))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((name, 0))
        for i in range(count):
            mac = b"\x02" + dice.randbytes(5)
            four = bytes([10, 1, 1, dice.randrange(2, 250)])
            six = our6[:8] + dice.randbytes(8)
            kind, payload = [
                (ARP, arp(1, mac, four, our4)),
                (ARP, arp(2, mac, four, our4)),
                (ARP, arp(1, mac, four, four)),
                (IPV6, advertise(mac, six, our6)),
            ][i % 4]
            s.send((b"\xff" * 6 if i % 4 == 2 else target) + mac + struct.pack("!H", kind) + payload)
    print(json.dumps({"kind": "sent", "frames": count}), flush=True)


def serve(connection: socket.socket) -> None:
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def echo(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        listener.listen(64)
        print(json.dumps({"kind": "listening"}), flush=True)
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def refused(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return
    sys.exit(f"{host} took a connection to port {port}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["watch", name]:
            watch(name)
        case ["flood", name, to, count]:
            flood(name, to, int(count))
        case ["echo", port]:
            echo(int(port))
        case ["refused", host, port]:
            refused(host, int(port))
