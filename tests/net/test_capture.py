# SPDX-License-Identifier: Apache-2.0
"""Independent readers of our packets: tshark finds nothing malformed, no bad checksum and nothing to warn about; our
checker of captures finds nothing that RFC 8684 forbids, from us or from the kernel."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sennit.tools import demo_runs
from sennit.tools.capture_check import check
from sennit.tools.lab import Family, Lab
from sennit.tools.lab_runtime import Runtime

SIZE = 4 << 20
# What is carried is no protocol that tshark could know.
CHECKS = [
    *("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"),
    *("-d", f"tcp.port=={demo_runs.PORT},data"),
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
}


def tshark(file: Path, *arguments: str) -> list[str]:
    program = shutil.which("tshark")
    assert program, "tshark not found: apt install tshark"
    done = subprocess.run(
        [program, "-r", str(file), *CHECKS, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
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
        assert tshark(file, "-Y", "mptcp"), f"no MPTCP in {file.name}"
        assert tshark(file, "-Y", WRONG) == []
        assert warnings(file) == set()


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
