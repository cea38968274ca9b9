# SPDX-License-Identifier: Apache-2.0
"""What tshark, an independent reader, finds wrong in a capture: malformed packets, bad checksums, expert warnings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sennit.tools.errors import ToolError

CHECKS = [
    *("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"),
    *("-d", "tcp.port==1-65535,data"),  # what is carried is no protocol that it could know
]
# Linux writes 0xffff for a sum of 0 (legal: RFC 1624 3); tshark calls that an error.
WRONG = (
    "!tcp.checksum.ffff && "
    "(_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || icmpv6.checksum.status == 0 || "
    '_ws.expert.severity == "Error")'
)
WARNING, SEQUENCE = str(0x600000), str(0x02000000)
# tshark adds up the padding around all options; it says the same of the kernel's segments.
NOT_ABOUT_US = {
    "4 NOP in a row - a router may have removed some options",
    "TCP Checksum 0xffff instead of 0x0000 (see RFC 1624)",
    "Unsupported algorithm",  # it takes the C flag of MP_CAPABLE for one
}


def tshark(file: Path, *arguments: str) -> list[str]:
    """Lines of tshark's output."""
    program = shutil.which("tshark")
    if program is None:
        raise ToolError("tshark not found: apt install tshark")
    done = subprocess.run(
        [program, "-r", str(file), *CHECKS, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise ToolError(f"tshark cannot read {file}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def warnings(file: Path) -> set[str]:
    """Expert warnings but those of the sequence analysis, which speak of the network: retransmission, reset, ..."""
    fields = [word for name in ("severity", "group", "message") for word in ("-e", f"_ws.expert.{name}")]
    lines = tshark(file, "-Y", '_ws.expert.severity == "Warning"', "-T", "fields", "-E", "aggregator=|", *fields)
    said = set()
    for line in lines:
        for severity, group, message in zip(*(field.split("|") for field in line.split("\t")), strict=True):
            if severity == WARNING and group != SEQUENCE:
                said.add(message)
    return said - NOT_ABOUT_US


def check(file: Path) -> list[str]:
    """Everything that is wrong, one line each."""
    return [*tshark(file, "-Y", WRONG), *sorted(warnings(file))]
