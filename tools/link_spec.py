# SPDX-License-Identifier: Apache-2.0
"""What a link does, as a person writes it: rate, delay, loss and the rest, for the simulator and for netlab alike.

    rate = "100 Mbit/s"    delay = "5 ms"    jitter = "1 ms"    loss = "1 %"    queue = "40 ms"    mtu = 1500

`Shape` is the written form; every field may be missing. `Direction` is what both emulators work with.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from sennit.tools import sim_driver
from sennit.tools.errors import ToolError

Quantity = str | int | float

RATES = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
TIMES = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "KiB": 1 << 10, "MiB": 1 << 20}
NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(\S*)\s*")
MAX_RATE = 10**12
MAX_TIME = 3600 * 10**9
MAX_QUEUE = 1 << 32
MS = 10**6
MIN_QUEUE = 64 << 10  # of a link that names a rate and no queue


class LinkError(ToolError):
    """A description that makes no link; one sentence says which field and how it is written."""


def _quantity(text: Quantity, field: str, units: dict[str, int], example: str) -> float | None:
    """A number in the base unit; None if the unit is not one of these."""
    if isinstance(text, bool):
        raise LinkError(f"{field} = {str(text).lower()} is no quantity: write it like {example}")
    if isinstance(text, int | float):
        if text != 0 and "" not in units:
            raise LinkError(f"{field} = {text} has no unit: write it like {example}")
        return float(min(max(text, -1), 1 << 63))  # a file may hold any number of digits
    match = NUMBER.fullmatch(text)
    if match is None:
        raise LinkError(f"{field} = '{text}' is no quantity: write it like {example}")
    number, unit = float(match[1]), match[2]
    if not unit and number == 0:
        return 0.0
    known = {name.lower(): size for name, size in units.items()}
    return number * known[unit.lower()] if unit.lower() in known else None


def _within(value: float | None, text: Quantity, field: str, most: int, example: str) -> int:
    if value is None:
        raise LinkError(f"{field} = '{text}': unknown unit; write it like {example}")
    if not 0 <= value <= most:
        raise LinkError(f"{field} = '{text}' is out of range")
    return round(value)


def rate(text: Quantity, field: str = "rate") -> int:
    """Bits per second of "100 Mbit/s"; a plain number is in bit/s."""
    return _within(_quantity(text, field, {"": 1, **RATES}, '"100 Mbit/s"'), text, field, MAX_RATE, '"100 Mbit/s"')


def time(text: Quantity, field: str = "delay") -> int:
    """Nanoseconds of "5 ms"."""
    return _within(_quantity(text, field, TIMES, '"5 ms"'), text, field, MAX_TIME, '"5 ms"')


def probability(text: Quantity, field: str = "loss") -> float:
    """A share of one: "1 %" or 0.01."""
    value = _quantity(text, field, {"": 1, "%": 1}, '"1 %"')
    if value is not None and isinstance(text, str) and "%" in text:
        value /= 100
    if value is None or not 0 <= value <= 1:
        raise LinkError(f"{field} = '{text}' is no probability: write it like \"1 %\" or 0.01")
    return value


def queue(text: Quantity, rate_bps: int, field: str = "queue") -> int:
    """Bytes of "256 KiB", of "40 ms" at the link's rate, or of a plain number."""
    example = '"256 KiB" or "40 ms"'
    size = _quantity(text, field, {"": 1, **SIZES}, example)
    if size is None:
        wait = _quantity(text, field, TIMES, example)
        if wait is not None and not rate_bps:
            raise LinkError(f"{field} = '{text}' is a time, and the link has no rate: give a size, like 256 KiB")
        size = None if wait is None else wait / 1e9 * rate_bps / 8
    return _within(size, text, field, MAX_QUEUE, example)


class Burst(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Loss in bursts (Gilbert-Elliott): probabilities per frame to enter and leave one, and of loss in and outside."""

    enter: Quantity
    leave: Quantity
    loss: Quantity = 1.0
    calm: Quantity = 0.0


Mtu = Annotated[int, msgspec.Meta(ge=68, le=65000)]


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One direction, or both, as written. What is missing is perfect: no limit, no delay, no fault."""

    rate: Quantity | None = None  # of frames, Ethernet header included
    delay: Quantity | None = None
    jitter: Quantity | None = None  # up to so much more delay, order kept
    loss: Quantity | None = None
    burst: Burst | None = None
    reorder: Quantity | None = None  # share of frames that are held back
    reorder_by: Quantity | None = None  # by so long; default: half the delay, at least 1 ms
    duplicate: Quantity | None = None
    corrupt: Quantity | None = None  # one bit of an IP packet flips
    queue: Quantity | None = None  # default: a round trip at the rate, at least 64 KiB
    mtu: Mtu | None = None  # longer packets vanish
    up: bool | None = None


class Direction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One direction in base units; zero: perfect."""

    rate_bps: int = 0
    delay_ns: int = 0
    jitter_ns: int = 0
    queue_bytes: int = 0
    loss: float = 0.0
    burst_enter: float = 0.0
    burst_leave: float = 0.0
    burst_loss: float = 0.0
    calm_loss: float = 0.0
    reorder: float = 0.0
    reorder_ns: int = 0
    duplicate: float = 0.0
    corrupt: float = 0.0
    mtu: int = 0
    up: bool = True


# What `struct sn_sim_link` and so both emulators know.
SHARED = (
    "rate_bps", "delay_ns", "jitter_ns", "queue_bytes", "loss", "reorder", "reorder_ns", "duplicate", "corrupt",
)  # fmt: skip


def merge(base: Shape, over: Shape) -> Shape:
    """What `over` names replaces what `base` says."""
    given = {name: getattr(over, name) for name in Shape.__struct_fields__ if getattr(over, name) is not None}
    kept = {name: getattr(base, name) for name in Shape.__struct_fields__}
    return Shape(**(kept | given))


def resolve(shape: Shape) -> Direction:
    """Raises LinkError for what cannot be understood."""
    rate_bps = rate(shape.rate or 0)
    delay = time(shape.delay or 0)
    burst = shape.burst
    if shape.queue is not None:
        queue_bytes = queue(shape.queue, rate_bps)
    else:
        queue_bytes = max(MIN_QUEUE, 2 * delay * rate_bps // (8 * 10**9)) if rate_bps else 0
    return Direction(
        rate_bps=rate_bps,
        delay_ns=delay,
        jitter_ns=time(shape.jitter or 0, "jitter"),
        queue_bytes=queue_bytes,
        loss=probability(shape.loss or 0),
        burst_enter=probability(burst.enter, "burst.enter") if burst else 0.0,
        burst_leave=probability(burst.leave, "burst.leave") if burst else 0.0,
        burst_loss=probability(burst.loss, "burst.loss") if burst else 0.0,
        calm_loss=probability(burst.calm, "burst.calm") if burst else 0.0,
        reorder=probability(shape.reorder or 0, "reorder"),
        reorder_ns=max(delay // 2, MS) if shape.reorder_by is None else time(shape.reorder_by, "reorder_by"),
        duplicate=probability(shape.duplicate or 0, "duplicate"),
        corrupt=probability(shape.corrupt or 0, "corrupt"),
        mtu=shape.mtu or 0,
        up=shape.up is not False,
    )


def for_simulator(direction: Direction) -> sim_driver.Link:
    """The same link for `sim_driver`. MTU and up/down belong to a whole scenario there (Scenario.mtu, Event)."""
    if direction.burst_enter:
        raise LinkError("the simulator has no loss in bursts: leave 'burst' out")
    return sim_driver.Link(**{name: getattr(direction, name) for name in SHARED})


def fill(cdata: Any, direction: Direction) -> None:
    """Into a `struct sn_netlab_link`."""
    for name in SHARED:
        setattr(cdata.link, name, getattr(direction, name))
    for name in ("burst_enter", "burst_leave", "burst_loss", "calm_loss", "mtu"):
        setattr(cdata, name, getattr(direction, name))
    cdata.down = not direction.up


def fill_box(cdata: Any, box: sim_driver.Box) -> None:
    """Into a `struct sn_sim_box`."""
    for name in box.__struct_fields__:
        setattr(cdata, name, getattr(box, name))


def words(direction: Direction) -> str:
    """A short form for people: "100 Mbit/s 5 ms loss 1 %"."""
    from sennit.tools import units

    parts = [units.rate(direction.rate_bps)] if direction.rate_bps else []
    for label, ns in (("", direction.delay_ns), ("±", direction.jitter_ns)):
        if ns:
            parts.append(f"{label}{ns / MS:g} ms")
    for label, share in (
        ("loss", direction.loss), ("burst", direction.burst_enter), ("reorder", direction.reorder),
        ("dup", direction.duplicate), ("corrupt", direction.corrupt),
    ):  # fmt: skip
        if share:
            parts.append(f"{label} {100 * share:g} %")
    if direction.mtu:
        parts.append(f"mtu {direction.mtu}")
    return " ".join(parts) or "perfect"
