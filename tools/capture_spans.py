# SPDX-License-Identifier: Apache-2.0
"""What the capture checker remembers of sequence spaces: bytes by data sequence number, mappings by subflow number."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


def near(value: int, bits: int, about: int) -> int:
    """The number with these low bits that is nearest to `about`."""
    span = 1 << bits
    return about + (value - about + span // 2) % span - span // 2


class Stream:
    """Bytes of one direction by their offset in the data stream, and which of them were seen."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._starts: list[int] = []  # of what was seen, ascending, never touching each other
        self._ends: list[int] = []

    def total(self) -> int:
        return sum(self._ends) - sum(self._starts)

    def has(self, start: int, end: int) -> bool:
        """All of it."""
        i = bisect_right(self._starts, start) - 1
        return start >= end or (i >= 0 and self._ends[i] >= end)

    def lacks(self, end: int) -> int:
        """How many of the first bytes were not seen."""
        spans = zip(self._starts, self._ends, strict=True)
        return end - sum(min(high, end) - low for low, high in spans if low < end)

    def get(self, start: int, end: int) -> bytes:
        return bytes(self._bytes[start:end])

    def put(self, start: int, data: bytes) -> int | None:
        """Takes bytes; the offset of the first that was seen with another value, which stays."""
        end = start + len(data)
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        for i in range(first, last):
            low, high = max(start, self._starts[i]), min(end, self._ends[i])
            if self._bytes[low:high] != data[low - start : high - start]:
                return next(at for at in range(low, high) if self._bytes[at] != data[at - start])
        if len(self._bytes) < end:
            self._bytes.extend(bytes(end - len(self._bytes)))
        self._bytes[start:end] = data
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]
        return None


class Mappings:
    """Mappings of one direction of a subflow: which offset of the data stream a subflow number stands for."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # spans with one distance each, ascending, not overlapping
        self._ends: list[int] = []
        self._shifts: list[int] = []

    def add(self, start: int, end: int, shift: int) -> int | None:
        """Numbers start to end are at offsets start + shift; the first number for which another mapping was given."""
        if start >= end:
            return None
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        for i in range(first, last):
            if self._shifts[i] != shift:
                return max(start, self._starts[i])
        if first and self._ends[first - 1] == start and self._shifts[first - 1] == shift:
            first -= 1
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last], self._shifts[first:last] = [start], [end], [shift]
        return None

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """Cuts start to end at the borders of mappings: from, to, shift or None without one."""
        i = bisect_right(self._ends, start)
        while start < end:
            if i < len(self._starts) and self._starts[i] < end:
                if start < self._starts[i]:
                    yield start, self._starts[i], None
                    start = self._starts[i]
                stop = min(end, self._ends[i])
                yield start, stop, self._shifts[i]
                start, i = stop, i + 1
            else:
                yield start, end, None
                start = end
