# SPDX-License-Identifier: Apache-2.0
"""The only module that imports the C extension. `ffi` and `lib` are cffi's; `check` makes exceptions of error codes."""

from __future__ import annotations

from typing import Any

from sennit._native import ffi as _ffi
from sennit._native import lib as _lib
from sennit.shm import errors

ffi: Any = _ffi
lib: Any = _lib


def check(code: int, what: str) -> int:
    """Returns a result that is not negative; raises the OSError of a negative one, naming `what` failed."""
    if code < 0:
        raise errors.from_errno(code, what)
    return code
