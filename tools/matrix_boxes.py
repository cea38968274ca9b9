# SPDX-License-Identifier: Apache-2.0
"""The middleboxes of the matrix as nftables rules of the laboratory's router. Pure: words in, a ruleset out."""

from __future__ import annotations

TABLE = "inet matrix"
SYN, SYNACK = "tcp flags & (syn|ack) == syn", "tcp flags & (syn|ack) == (syn|ack)"
DATA = "@ih,0,8 0-255"  # there is a first byte of payload
# Two bytes of the payload, behind any header, move to the urgent pointer, which nobody reads without the flag: the TCP
# checksum still fits, the one of the DSS does not.
ALTER = "@th,144,16 set @th,800,16 @th,800,16 set 0"
STRIP = "reset tcp option mptcp"
FROM_THE_START = {
    "stripsyn": f"{SYN} {STRIP}",
    "stripsynack": f"{SYNACK} {STRIP}",
    "stripdata": f"{DATA} {STRIP}",
    "nojoin": f"{SYN} tcp option mptcp subtype 1 drop",
}


def begin(event: str, inside: str) -> str:
    """Replaces whatever was there. inside: the letter of the side that a NAT hides, h or p."""
    outside = "p" if inside == "h" else "h"
    lines = [
        f"add table {TABLE}",
        f"delete table {TABLE}",
        f"add table {TABLE}",
        f"add chain {TABLE} forward {{ type filter hook forward priority 0; }}",
    ]
    if event == "nat":
        lines += [
            f"add chain {TABLE} nat {{ type nat hook postrouting priority 100; }}",
            f'add rule {TABLE} nat oifname "r{outside}*" masquerade',
        ]
    elif event in FROM_THE_START:
        lines.append(f"add rule {TABLE} forward {FROM_THE_START[event]}")
    return "\n".join(lines) + "\n"


def hole(address: str) -> str:
    """Whatever has this address vanishes."""
    ip = "ip6" if ":" in address else "ip"
    return "".join(f"add rule {TABLE} forward {ip} {way} {address} drop\n" for way in ("saddr", "daddr"))


def alter(inside: str) -> str:
    """One segment from this side gets another payload."""
    once = "limit rate 1/day burst 1 packets"
    return f'add rule {TABLE} forward iifname "r{inside}*" meta length > 1300 {once} {ALTER}\n'


def pass_all() -> str:
    return f"flush chain {TABLE} forward\n"
