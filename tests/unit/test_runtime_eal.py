# SPDX-License-Identifier: Apache-2.0
"""DPDK's arguments obey the rules for forking and the packet socket driver's arithmetic."""

from __future__ import annotations

import pytest

from sennit.runtime import config, eal, ports


def taken(name: str = "eth1", mtu: int = 1500, pci: bool = False) -> ports.Taken:
    return ports.Taken(name, pci, 0 if pci else 3, "10.0.0.1/24", None, mtu)


@pytest.mark.parametrize("mtu", [576, 1280, 1500, 1502, 4000, 9000, 9600])
def test_frames_and_blocks_of_a_packet_socket(mtu: int) -> None:
    words = dict(w.split("=", 1) for w in eal.vdev(0, taken(mtu=mtu), 2).split(",")[1:])
    frame, block, count = int(words["framesz"]), int(words["blocksz"]), int(words["framecnt"])
    assert frame >= mtu + 14 + 66  # what the kernel puts before the frame
    assert frame % 16 == 0
    assert block % 4096 == 0
    assert block % frame == 0
    assert count % (block // frame) == 0
    assert count * frame // block * block == count * frame
    assert words["qpairs"] == "2"
    assert words["qdisc_bypass"] == "0"


def test_interfaces_need_neither_huge_pages_nor_pci() -> None:
    args = eal.arguments(config.load(name="lab", ports=("eth1",), lcores="1-2"), [taken()], 100)
    assert args[args.index("-l") + 1] == "1"
    assert args[args.index("--file-prefix") + 1] == "sennit-lab"
    assert {"--no-huge", "--no-pci", "--no-telemetry"} <= set(args)
    assert "--in-memory" not in args
    assert sum(a.startswith("--vdev=") for a in args) == 1


def test_pci_ports_are_allowed_by_address() -> None:
    port = taken("0000:01:00.0", pci=True)
    cfg = config.load(ports=(config.Port("0000:01:00.0", "10.0.0.1/24"),), hugepages=True)
    args = eal.arguments(cfg, [port], 100)
    assert args[args.index("-a") + 1] == "0000:01:00.0"
    assert "--no-pci" not in args
    assert "--no-huge" not in args
    assert eal.device_name(0, port) == "0000:01:00.0"
