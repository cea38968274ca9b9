# SPDX-License-Identifier: Apache-2.0
"""mptcp_connect of the kernel's selftests as server and as client of sennit: random files both ways compare equal."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sennit.tools.lab import ANY, Family, Lab
from sennit.tools.lab_runtime import Runtime, command

PORT = 12000
TIMEOUT_S = 60


def compare(near: subprocess.Popen[bytes], far: subprocess.Popen[bytes], folder: Path) -> None:
    """Both ends leave with 0, and each has what the other sent."""
    for name, child in (("sennit", near), ("mptcp_connect", far)):
        _, complaint = child.communicate(timeout=TIMEOUT_S)
        assert child.returncode == 0, f"{name}: {complaint.decode()}"
    assert (folder / "near.out").read_bytes() == (folder / "far.in").read_bytes(), "what sennit received"
    assert (folder / "far.out").read_bytes() == (folder / "near.in").read_bytes(), "what mptcp_connect received"


@pytest.mark.parametrize("joins", [[], ["-j"]], ids=["plain", "joins"])
@pytest.mark.parametrize(
    ("size", "family"),
    [(1, "ipv4"), (1 << 20, "ipv4"), (32 << 20, "ipv4"), (8 << 20, "ipv6")],
    ids=["1B", "1MiB", "32MiB", "8MiB-ipv6"],
)
@pytest.mark.parametrize("role", ["client", "server"])
def test_files_compare_equal_both_ways(
    lab: Lab,
    runtime: Runtime,
    mptcp_connect: Path,
    tmp_path: Path,
    role: str,
    size: int,
    family: Family,
    joins: list[str],
) -> None:
    for name in ("near.in", "far.in"):
        (tmp_path / name).write_bytes(os.urandom(size))
    runtime.limits(2, 2)
    runtime.endpoints("subflow" if role == "client" else "signal", family=family)
    common = ["-p", str(PORT), "-t", "30000", *joins, "-i", str(tmp_path / "far.in")]
    if family == "ipv6":
        common.append("-6")
    host, peer = lab.host_address(1, family), lab.peer_address(1, family)
    files = ["--in", str(tmp_path / "near.in"), "--out", str(tmp_path / "near.out"), "--timeout", "30"]
    before = lab.nstat(lab.peer)
    with (tmp_path / "far.out").open("wb") as received:
        if role == "client":
            far = lab.popen(
                lab.peer, str(mptcp_connect), "-l", *common, ANY[family], stdout=received, stderr=subprocess.PIPE
            )
            wait_for_port(lab, lab.peer)
            to = f"{peer}:{PORT}" if family == "ipv4" else f"[{peer}]:{PORT}"
            near = subprocess.Popen(
                command("connect", "--name", runtime.name, to, *files),
                stderr=subprocess.PIPE,
            )
        else:
            near = subprocess.Popen(
                command("listen", "--name", runtime.name, str(PORT), *files), stderr=subprocess.PIPE
            )
            assert near.stderr is not None
            assert near.stderr.readline().startswith(b"listening")
            far = lab.popen(lab.peer, str(mptcp_connect), *common, host, stdout=received, stderr=subprocess.PIPE)
        try:
            compare(near, far, tmp_path)
        finally:
            for child in (near, far):
                child.kill()
                child.wait()
    after = lab.nstat(lab.peer)
    assert after["MPTcpExtMPCapableSYNTX"] + after["MPTcpExtMPCapableSYNRX"] > (
        before["MPTcpExtMPCapableSYNTX"] + before["MPTcpExtMPCapableSYNRX"]
    )
    if joins and size > 1:
        completed = ("MPTcpExtMPJoinAckRx", "MPTcpExtMPJoinSynAckRx")
        assert sum(after[n] - before[n] for n in completed) >= 2


def wait_for_port(lab: Lab, namespace: str) -> None:
    script = f"for i in $(seq 200); do ss -Hltn 'sport = {PORT}' | grep -q . && exit 0; sleep 0.02; done; exit 1"
    lab.run(namespace, "sh", "-c", script)
