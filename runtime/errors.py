# SPDX-License-Identifier: Apache-2.0
"""What start-up ends with when it cannot go on."""

from __future__ import annotations


class StartError(Exception):
    """One sentence that names the thing and the way out."""


class ConfigError(StartError):
    """The configuration or the command line is wrong."""
