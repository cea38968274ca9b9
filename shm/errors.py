# SPDX-License-Identifier: Apache-2.0
"""The exceptions of sennit: one small tree below OSError.

What a socket would raise is raised as Python's socket module does (ConnectionRefusedError, TimeoutError, ...): OSError
picks the class from the errno. Only what sockets do not know has a class here.
"""

from __future__ import annotations

import os


class Error(OSError):
    """What is special to sennit; carries an errno like every OSError."""


class NotRunning(Error, ConnectionError):
    """There is no runtime to talk to."""


class ProtocolError(Error):
    """The other process said something that is not in the protocol."""


def from_errno(number: int, what: str) -> OSError:
    """The exception for Linux error `number` (positive, or negative as C returns it), naming what failed."""
    number = abs(number)
    return OSError(number, f"{what}: {os.strerror(number)}")
