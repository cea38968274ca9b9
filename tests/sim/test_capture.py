# SPDX-License-Identifier: Apache-2.0
"""What the engine puts on the wire, read by an independent dissector (tshark)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sennit.tools import sim_driver as driver


def tshark(pcap: Path, *arguments: str) -> list[str]:
    program = shutil.which("tshark")
    assert program, "this test reads captures with tshark: install the Debian package tshark"
    done = subprocess.run([program, "-r", str(pcap), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


# The payload is random: no dissector may take it for a protocol it knows.
CHECKED = ("-d", "tcp.port==5000,data", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
# What tshark's MPTCP dissector warns of.
EXPERT = (
    "mptcp.connection.echoed_key_mismatch",
    "mptcp.connection.missing_algorithm",
    "mptcp.connection.unsupported_algorithm",
    "mptcp.dss.infinite_mapping",
    "mptcp.dss.missing_mapping",
)


@pytest.mark.parametrize(
    ("csum", "loss", "family"),
    [
        (False, 0.0, "ipv4"),
        (False, 0.02, "ipv4"),
        (True, 0.0, "ipv4"),
        (True, 0.02, "ipv4"),
        (True, 0.02, "mixed"),
    ],
)
def test_nothing_malformed_and_every_checksum_right(tmp_path: Path, csum: bool, loss: float, family: str) -> None:
    link = driver.path(100, 5, loss=loss)
    out = driver.run(
        driver.symmetric(
            3,
            link,
            bytes_ab=400_000,
            bytes_ba=200_000,
            pcap=str(tmp_path / "run"),
            soft_csum=True,
            csum_a=csum,
            family=driver.FAMILIES[family],
        )
    )
    assert out.completed, out.failure
    for side in "ab":
        pcap = tmp_path / f"run-{side}.pcapng"
        assert len(tshark(pcap)) == sum(p.frames[0] + p.frames[1] - p.lost[side == "a"] for p in out.paths) - sum(
            p.overflow[side == "a"] for p in out.paths
        )
        assert tshark(pcap, *CHECKED, "-Y", "_ws.malformed") == []
        wrong = " || ".join(f'{what}.checksum.status == "Bad"' for what in ("ip", "tcp", "icmpv6"))
        assert tshark(pcap, *CHECKED, "-Y", wrong) == []
        assert tshark(pcap, *CHECKED, "-Y", " || ".join(EXPERT)) == []
        if family == "mixed":
            assert tshark(pcap, "-Y", "ipv6 && tcp.len > 0")


def test_handshakes_of_connection_and_joins(tmp_path: Path) -> None:
    scenario = driver.symmetric(3, driver.path(100, 5), bytes_ab=2_000_000, pcap=str(tmp_path / "run"))
    assert driver.run(scenario).completed
    shown = tshark(
        tmp_path / "run-a.pcapng",
        *CHECKED,
        *("-Y", "tcp.flags.syn == 1", "-T", "fields", "-e", "tcp.flags.ack", "-e", "tcp.options.mptcp.subtype"),
    )
    # MP_CAPABLE there and back, then two MP_JOINs there and back.
    assert sorted(line.split("\t")[1] for line in shown) == ["0", "0", "1", "1", "1", "1"]
