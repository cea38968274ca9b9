# SPDX-License-Identifier: Apache-2.0
"""Shared by every Python test: the seed of hypothesis and what a failing run prints."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis.settings.load_profile("ci")
