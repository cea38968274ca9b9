# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them."""

from __future__ import annotations


def size(octets: float) -> str:
    """Bytes in binary units: 512 B, 1.5 KiB, 64.0 MiB."""
    value = float(octets)
    if abs(value) < 1024:
        return f"{value:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        value /= 1024
        if abs(value) < 1024 or unit == "PiB":
            break
    return f"{value:.1f} {unit}"


def rate(bits_per_s: float) -> str:
    """Bits per second: 0, 950 kbit/s, 93.1 Mbit/s, 2.40 Gbit/s."""
    if bits_per_s < 1:
        return "0"
    for limit, unit, digits in ((1e9, "Gbit/s", 2), (1e6, "Mbit/s", 1), (1e3, "kbit/s", 0)):
        if bits_per_s >= limit:
            return f"{bits_per_s / limit:.{digits}f} {unit}"
    return f"{bits_per_s:.0f} bit/s"


def short(value: float, base: int = 1000) -> str:
    """A number where a table's head says what it counts: 512, 9.8k, 64.0K (base 1024), 93.1M."""
    units = "KMGTP" if base == 1024 else "kMGTP"
    if abs(value) < base:
        return f"{value:.0f}"
    for unit in units:
        value /= base
        if abs(value) < 999.95 or unit == "P":
            break
    return f"{value:.1f}{unit}"


def ms(microseconds: float) -> str:
    """A round-trip time; '-' before the first sample."""
    if microseconds <= 0:
        return "-"
    value = microseconds / 1000
    return f"{value:.2f}ms" if value < 10 else f"{value:.1f}ms" if value < 1000 else f"{value / 1000:.1f}s"


def span(seconds: float) -> str:
    """A duration: 4.2s, 3m12s, 2h05m, 3d04h."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def bar(share: float, width: int = 10) -> str:
    """A share of one as a bar of fixed width."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    text = "█" * full + ("" if part == 0 else " ▏▎▍▌▋▊▉"[part])
    return text.ljust(width, "·")
