# SPDX-License-Identifier: Apache-2.0
"""Addresses: what Python programs write, and the 16 bytes of the channel (IPv4 is held IPv4-mapped)."""

from __future__ import annotations

import errno
import socket

Address = tuple[str, int]

MAPPED = bytes(10) + b"\xff\xff"


def pack(host: str) -> bytes:
    return MAPPED + socket.inet_aton(host)


def unpack(raw: bytes) -> str:
    return socket.inet_ntoa(raw[12:]) if raw[:12] == MAPPED else socket.inet_ntop(socket.AF_INET6, raw)


def resolve(address: Address, passive: bool = False) -> Address:
    """(host, port) with a numeric IPv4 host. socket.gaierror as sockets raise it."""
    try:
        host, port = address
    except (TypeError, ValueError):
        raise TypeError(f"an address is a pair (host, port), not {address!r}") from None
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"an address is a pair (host, port) of str and int, not {address!r}")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port {port} is not in 0-65535")
    if host == "":
        return "0.0.0.0", port
    if ":" in host:
        raise OSError(errno.EAFNOSUPPORT, f"{host}: IPv6 is not supported yet, use an IPv4 address")
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM, 0, flags)
    except socket.gaierror as error:
        if _has_ipv6(host):
            raise OSError(errno.EAFNOSUPPORT, f"{host} has only IPv6 addresses, which are not supported yet") from None
        raise socket.gaierror(error.errno, f"{host}: {error.strerror}") from None
    return str(found[0][4][0]), port


def _has_ipv6(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None, socket.AF_INET6, socket.SOCK_STREAM))
    except socket.gaierror:
        return False
