# SPDX-License-Identifier: Apache-2.0
"""Start-up of an instance: configuration, ports, DPDK, fork of the workers, supervision, orderly end."""
