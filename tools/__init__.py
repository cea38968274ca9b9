# SPDX-License-Identifier: Apache-2.0
"""What a person runs: the `sennit` command and everything behind it."""
