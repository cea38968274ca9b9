# SPDX-License-Identifier: Apache-2.0
"""Everything two processes share: messages, rings, segments, doorbells, and the one door to the C extension."""
