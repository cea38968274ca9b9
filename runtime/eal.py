# SPDX-License-Identifier: Apache-2.0
"""Arguments for DPDK's environment abstraction layer. Pure.

Before a fork they must name one lcore only and an own file prefix, and must not ask for in-memory mode: otherwise what
one process allocates later corrupts the heap of the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sennit.runtime.config import Config
from sennit.runtime.ports import Taken

PAGE = 4096
FRAMES = 512  # of each ring of a packet socket
SOCKET_OVERHEAD = 96  # what the kernel puts before a frame in its ring
LINK_OVERHEAD = 26  # Ethernet, two VLAN tags


def frame_size(mtu: int) -> int:
    """Room for one frame in a packet socket's ring, and at most what a packet buffer takes (native/lcore/runtime.c)."""
    return max(2048, (mtu + LINK_OVERHEAD + SOCKET_OVERHEAD + 1023) & ~1023)


def block_size(frame: int) -> int:
    """The kernel wants whole pages, the driver whole frames per block."""
    block = math.lcm(frame, PAGE)
    return block * max(1, 32768 // block)


def device_name(index: int, port: Taken) -> str:
    return port.name if port.pci else f"net_af_packet{index}"


def frame_count(mtu: int) -> int:
    """Frames of one ring: whole blocks."""
    per_block = block_size(frame_size(mtu)) // frame_size(mtu)
    return max(FRAMES - FRAMES % per_block, per_block)


def vdev(index: int, port: Taken, queues: int) -> str:
    """The shaping of the interface stays in effect: its queueing discipline is not bypassed."""
    frame = frame_size(port.mtu)
    return (
        f"net_af_packet{index},iface={port.name},qpairs={queues},blocksz={block_size(frame)},framesz={frame},"
        f"framecnt={frame_count(port.mtu)},qdisc_bypass=0"
    )


def arguments(config: Config, ports: Sequence[Taken], memory_mb: int) -> list[str]:
    cores = config.cores
    args = ["sennit", "-l", str(cores[0]), "--file-prefix", f"sennit-{config.name}", "--no-telemetry"]
    if config.hugepages:
        args += ["-m", str(memory_mb), "--socket-limit", str(memory_mb)]
    else:
        args += ["--no-huge", "-m", str(memory_mb)]
    pci = [p for p in ports if p.pci]
    for port in pci:
        args += ["-a", port.name]
    if not pci:
        args.append("--no-pci")
    for index, port in enumerate(ports):
        if not port.pci:
            args.append(f"--vdev={vdev(index, port, len(cores))}")
    return args
