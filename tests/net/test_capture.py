# SPDX-License-Identifier: Apache-2.0
"""An independent reader of our packets: tshark finds nothing malformed, no bad checksum and nothing to warn about."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from sennit.tools import demo_runs
from sennit.tools.capture_tshark import check, tshark
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 4 << 20


@pytest.mark.parametrize(("role", "family"), [("client", "ipv4"), ("server", "ipv4"), ("client", "ipv6")])
def test_no_malformed_packet_and_no_expert_warning(
    lab: Lab, runtime: Runtime, tmp_path: Path, role: str, family: Family
) -> None:
    files = [tmp_path / f"path{i}.pcap" for i in lab.indices]
    write = ("-Z", "root", "-B", "32768", "-U", "-w")
    dumps = [
        lab.popen(lab.net, "tcpdump", "-i", f"rh{i}", *write, str(file), stderr=subprocess.PIPE)
        for i, file in zip(lab.indices, files, strict=True)
    ]
    for dump in dumps:
        assert dump.stderr is not None
        dump.stderr.readline()  # "listening on ..."
    near = demo_runs.SennitNear(lab, runtime, family)
    for direction in ("send", "receive"):
        assert demo_runs.measure(lab, near, role, direction, 3, SIZE, lambda *_: None).sha256_ok
    for dump in dumps:
        dump.send_signal(signal.SIGINT)
        dump.wait(10)
    for file in files:
        assert tshark(file, "-Y", "mptcp"), f"no MPTCP in {file.name}"
        assert check(file) == []
