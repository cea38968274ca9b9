# SPDX-License-Identifier: Apache-2.0
"""An independent reader of our packets: tshark finds nothing malformed, no bad checksum and nothing to warn about."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from sennit.tools import demo_runs
from sennit.tools.lab import Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 4 << 20
CHECKS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "mptcp.analyze_mappings:TRUE"]
# Sequence analysis of one subflow (retransmissions, window full, ...) speaks of the network, not of correctness.
WRONG = (
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || tcp.options.type.invalid"
    " || (_ws.expert.severity == error) || (_ws.expert.severity == warn && _ws.expert.group == protocol && mptcp)"
)


def tshark(file: Path, expression: str) -> list[str]:
    program = shutil.which("tshark")
    assert program, "tshark not found: apt install tshark"
    done = subprocess.run(
        [program, "-r", str(file), *CHECKS, "-Y", expression], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("role", ["client", "server"])
def test_no_malformed_packet_and_no_expert_warning(lab: Lab, runtime: Runtime, tmp_path: Path, role: str) -> None:
    files = [tmp_path / f"path{i}.pcap" for i in lab.indices]
    write = ("-Z", "root", "-B", "32768", "-U", "-w")
    dumps = [
        lab.popen(lab.net, "tcpdump", "-i", f"rh{i}", *write, str(file), stderr=subprocess.PIPE)
        for i, file in zip(lab.indices, files, strict=True)
    ]
    for dump in dumps:
        assert dump.stderr is not None
        dump.stderr.readline()  # "listening on ..."
    near = demo_runs.SennitNear(lab, runtime)
    for direction in ("send", "receive"):
        assert demo_runs.measure(lab, near, role, direction, 3, SIZE, lambda *_: None).sha256_ok
    for dump in dumps:
        dump.send_signal(signal.SIGINT)
        dump.wait(10)
    for file in files:
        assert tshark(file, "mptcp"), f"no MPTCP in {file.name}"
        assert tshark(file, WRONG) == []
