# SPDX-License-Identifier: Apache-2.0
"""Independent readers of our packets: tshark finds nothing malformed, no bad checksum and nothing to warn about; our
checker of captures finds nothing that RFC 8684 forbids, from us or from the kernel."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sennit.tools import capture_tshark, demo_runs
from sennit.tools.capture_check import check
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 4 << 20


@contextmanager
def captured(lab: Lab, folder: Path) -> Iterator[list[Path]]:
    """What passes between this host and the router, one file per path, complete after the block."""
    files = [folder / f"path{i}.pcap" for i in lab.indices]
    how = ("-Z", "root", "-B", "32768", "-U", "--immediate-mode", "--time-stamp-precision", "nano", "-w")
    dumps = [
        lab.popen(lab.net, "tcpdump", "-i", f"rh{i}", *how, str(file), stderr=subprocess.PIPE)
        for i, file in zip(lab.indices, files, strict=True)
    ]
    for dump in dumps:
        assert dump.stderr is not None
        dump.stderr.readline()  # "listening on ..."
    yield files
    before: list[int] = []
    while (sizes := [file.stat().st_size for file in files]) != before:  # tcpdump writes what it still has
        before = sizes
        time.sleep(0.2)
    for dump in dumps:
        dump.send_signal(signal.SIGINT)
        dump.wait(10)


@pytest.mark.parametrize(("role", "family"), [("client", "ipv4"), ("server", "ipv4"), ("client", "ipv6")])
def test_no_malformed_packet_and_no_expert_warning(
    lab: Lab, runtime: Runtime, tmp_path: Path, role: str, family: Family
) -> None:
    near = demo_runs.SennitNear(lab, runtime, family)
    with captured(lab, tmp_path) as files:
        for direction in ("send", "receive"):
            assert demo_runs.measure(lab, near, role, direction, 3, SIZE, lambda *_: None).sha256_ok
    for file in files:
        assert capture_tshark.tshark(file, "-Y", "mptcp"), f"no MPTCP in {file.name}"
        assert capture_tshark.check(file) == []


@pytest.fixture
def checksums(lab: Lab, request: pytest.FixtureRequest) -> Iterator[bool]:
    """The peer asks for DSS checksums, or does not."""
    lab.sysctl(lab.peer, {"net.mptcp.checksum_enabled": int(request.param)})
    yield request.param
    lab.sysctl(lab.peer, {"net.mptcp.checksum_enabled": 0})


@pytest.mark.parametrize("paths", [1, 3])
@pytest.mark.parametrize("checksums", [False, True], ids=["bare", "checksums"], indirect=True)
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("role", ["client", "server"])
def test_nothing_that_the_rfc_forbids(
    lab: Lab, runtime: Runtime, tmp_path: Path, role: str, family: Family, checksums: bool, paths: int
) -> None:
    near = demo_runs.SennitNear(lab, runtime, family)
    with captured(lab, tmp_path) as files:
        for direction in ("send", "receive"):
            assert demo_runs.measure(lab, near, role, direction, paths, SIZE, lambda *_: None).sha256_ok
    report = check(*files)
    assert report.findings == []
    assert report.unseen == report.lacking == report.cut == report.without_start == 0
    assert [conn.state for conn in report.connections] == ["mptcp", "mptcp"]
    assert sorted(sum(conn.octets) for conn in report.connections) == [SIZE, SIZE]
    assert [conn.subflows for conn in report.connections] == [paths, paths]
    assert [conn.checksums for conn in report.connections] == [checksums] * 2
    seen = ["capable-keys", "dss-form", "mapping-covers", "same-bytes", "data-ack-sent", "window-edge", "window-used"]
    seen += ["dss-checksum"] if checksums else []
    seen += ["join-hmac-synack", "join-hmac-ack", "address-id"] if paths > 1 else []
    seen += ["add-addr-hmac", "add-addr-echo"] if paths > 1 and role == "server" else []
    assert [rule for rule in seen if not report.checked[rule]] == []
