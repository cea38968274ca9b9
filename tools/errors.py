# SPDX-License-Identifier: Apache-2.0
"""What a tool ends with when it cannot do what was asked."""

from __future__ import annotations


class ToolError(Exception):
    """One clear sentence for stderr: names the thing and the way out. The exit status is 1."""


class UsageError(ToolError):
    """The command line itself is wrong. The exit status is 2."""


def sentence(error: Exception) -> str:
    """What a person is told about a failure. Errors of our own packages are sentences already."""
    if isinstance(error, ImportError) and error.name == "sennit._native":
        return "the C part is not built: run `./sennit` from the clone, or install the package"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return text + where
    if type(error).__module__.startswith("sennit."):
        return text
    return f"{type(error).__name__}: {text}; SENNIT_TRACE=1 shows where"
