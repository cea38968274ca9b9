# SPDX-License-Identifier: Apache-2.0
"""One worker: what runs in the process of an lcore."""
