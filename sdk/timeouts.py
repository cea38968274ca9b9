# SPDX-License-Identifier: Apache-2.0
"""How long a call may wait, for connections and listeners alike: the words of socket."""

from __future__ import annotations

import time


def check_timeout(value: float | None) -> float | None:
    """As socket.settimeout(): None blocks, 0 never waits."""
    if value is None:
        return None
    value = float(value)
    if not value >= 0:
        raise ValueError("Timeout value out of range")
    return value


class Timeouts:
    """Base of what waits. Takes a timeout that was checked."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout

    def settimeout(self, value: float | None) -> None:
        self._timeout = check_timeout(value)

    def gettimeout(self) -> float | None:
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def _deadline(self) -> float | None:
        """On time.monotonic()'s clock; None: never."""
        return None if self._timeout is None else time.monotonic() + self._timeout
