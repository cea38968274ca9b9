# SPDX-License-Identifier: Apache-2.0
"""Addresses: what Python programs write, and the 16 bytes of the channel (IPv4 is held IPv4-mapped).

An address is always a pair (host, port), of IPv6 as well: flow labels and zones mean nothing to a runtime.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Collection

Address = tuple[str, int]

MAPPED = bytes(10) + b"\xff\xff"
EVERY = "::"  # every address of both families


def pack(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, host) if ":" in host else MAPPED + socket.inet_aton(host)


def unpack(raw: bytes) -> str:
    return socket.inet_ntoa(raw[12:]) if raw[:12] == MAPPED else socket.inet_ntop(socket.AF_INET6, raw)


def family(host: str) -> int:
    """4 or 6, of a numeric host."""
    return 6 if ":" in host else 4


def families(hosts: Collection[str]) -> frozenset[int]:
    return frozenset(family(host) for host in hosts)


def show(address: Address) -> str:
    """ "10.0.1.1:443", "[fd00::1]:443"."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check(address: Address) -> Address:
    """TypeError, OverflowError as from sockets."""
    try:
        host, port = address
    except (TypeError, ValueError):
        raise TypeError(f"an address is a pair (host, port), not {address!r}") from None
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"an address is a pair (host, port) of str and int, not {address!r}")
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"port {port} is not in 0-65535")
    return host, port


def resolve(address: Address, usable: Collection[int] = (4, 6), passive: bool = False) -> list[Address]:
    """Every (numeric host, port) that an address stands for, IPv6 first; never empty. usable: the families that the
    instance has addresses of; of a name, others are left out. socket.gaierror as sockets raise it.

    The order of the C library is not kept: it sorts by addresses and routes of the kernel, which are not ours.
    """
    host, port = check(address)
    if host == "":
        return [(EVERY, port)]
    numeric = _numeric(host)
    if numeric is not None:
        return [(numeric, port)]
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, flags)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"{host}: {error.strerror}") from None
    known = dict.fromkeys(n for info in found if (n := _usual(str(info[4][0]))) is not None)
    hosts = sorted((n for n in known if family(n) in usable), key=family, reverse=True)
    if not hosts:
        only = "IPv6" if any(family(n) == 6 for n in known) else "IPv4" if known else "link-local"
        raise OSError(errno.ENETUNREACH, f"{host} has only {only} addresses, this instance has none of that kind")
    return [(n, port) for n in hosts]


def _numeric(host: str) -> str | None:
    """The usual form of a numeric host; None: it is a name."""
    if "%" in host:
        raise OSError(errno.EINVAL, f"{host}: an address of one link cannot be used, take a global one")
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_link_local:
        raise OSError(errno.EINVAL, f"{host}: an address of one link cannot be used, take a global one")
    return _usual(str(ip))


def _usual(host: str) -> str | None:
    """IPv4-mapped as IPv4; None: of one link."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.is_link_local:
            return None
        return str(ip.ipv4_mapped or ip)
    return str(ip)
