# SPDX-License-Identifier: Apache-2.0
"""What this machine must offer, checked before anything is changed. `sennit doctor` shows the same list."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sennit.runtime import ports
from sennit.runtime.config import Config
from sennit.runtime.errors import StartError

CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW"}


class Finding(NamedTuple):
    """One check. sentence: what is wrong and the way out, or what was found."""

    name: str
    ok: bool
    sentence: str


def cores_here() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def check_privilege() -> str:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    have = int(found[1], 16) if found else 0
    missing = [name for bit, name in CAPABILITIES.items() if not have >> bit & 1]
    if missing:
        lacking = " and ".join(missing)
        raise StartError(f"user {os.getuid()} lacks {lacking}, needed to take over ports: run as root (sudo)")
    return f"user {os.getuid()} may take over ports"


def check_cores(config: Config | None) -> str:
    here = cores_here()
    if config is not None:
        outside = [c for c in config.cores if c not in here]
        if outside:
            raise StartError(
                f"core {outside[0]} is not in this machine or not allowed here: choose --lcores from {ranges(here)}"
            )
    return f"cores {ranges(here)}"


def check_extension() -> str:
    from sennit.shm import native

    version = native.ffi.string(native.lib.sn_dpdk_version()).decode()
    if not version:
        raise StartError("sennit was built without DPDK: install libdpdk-dev and build again")
    return str(version)


def check_memory(wanted_mb: int) -> str:
    """wanted_mb: for packet buffers; tables take some more."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    free_mb = int(found[1]) // 1024 if found else 1 << 30
    needed_mb = wanted_mb + 128
    if free_mb < needed_mb:
        raise StartError(f"{free_mb} MB of memory are free, {needed_mb} MB are needed: use fewer buffers or lcores")
    return f"{free_mb} MB of memory are free"


def check_hugepages(config: Config | None) -> str:
    text = Path("/proc/meminfo").read_text()
    free = int(m[1]) if (m := re.search(r"^HugePages_Free:\s*(\d+)", text, re.MULTILINE)) else 0
    if config is not None and config.hugepages and not free:
        raise StartError(
            "hugepages = true, but no huge page is free: echo 512 > /proc/sys/vm/nr_hugepages, or leave it out"
        )
    needed = config is not None and config.hugepages
    return f"{free} huge pages are free{'' if needed else '; they are not needed'}"


def check_ports(config: Config | None) -> str:
    if config is None:
        return f"interfaces: {', '.join(ports.interfaces()) or 'none'}"
    return ", ".join(f"{p.name} {' '.join(p.addresses)}" for p in map(ports.read, config.port_list))


def check_offloads(config: Config | None) -> str:
    if config is None:
        return "checksums and segmentation: in software on Linux interfaces, a PCI device does what its driver can"
    taken = [ports.read(p) for p in config.port_list]
    soft = ", ".join(p.name for p in taken if not p.pci)
    hard = ", ".join(p.name for p in taken if p.pci)
    parts = [f"in software on {soft}"] if soft else []
    if hard:
        parts.append(f"by {hard} as far as the driver can (sennit status shows it)")
    return f"checksums and segmentation: {'; '.join(parts)}"


def findings(config: Config | None = None) -> Iterator[Finding]:
    """Every check, failed ones included. Without a configuration: what could be used."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("privilege", check_privilege),
        ("cores", lambda: check_cores(config)),
        ("DPDK", check_extension),
        ("memory", lambda: check_memory(64)),
        ("huge pages", lambda: check_hugepages(config)),
        ("ports", lambda: check_ports(config)),
        ("offloads", lambda: check_offloads(config)),
    )
    for name, look in checks:
        try:
            yield Finding(name, True, look())
        except StartError as error:
            yield Finding(name, False, str(error))
        except ImportError as error:
            yield Finding(name, False, f"the extension is not built ({error}): run ./sennit once as root")


def require(config: Config) -> None:
    """The same, as a gate: raises the first StartError. Ports are read by the caller."""
    check_privilege()
    check_cores(config)
    check_extension()
    check_hugepages(config)


def ranges(cores: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    parts: list[list[int]] = []
    for core in cores:
        if parts and core == parts[-1][1] + 1:
            parts[-1][1] = core
        else:
            parts.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
