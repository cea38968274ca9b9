# SPDX-License-Identifier: Apache-2.0
"""What docs/congestion.md promises, in short runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sennit.tools import congestion, congestion_report
from sennit.tools import sim_driver as driver


@pytest.mark.parametrize("cc", congestion.CONTROLS)
def test_one_flow_fills_the_line(cc: str) -> None:
    ecn = 200 * congestion.FRAME if cc == "dctcp" else 0
    found = congestion.run(congestion.bulk(cc, 5.0, **congestion.links(1000, 5, ecn=ecn)))
    assert found.rate(0, 1, 4) >= 0.98 * congestion.LINE


def test_bbr_keeps_its_rate_at_one_percent_loss() -> None:
    result = congestion.random_loss(3.0, (0.01,))
    assert result.met, result.rows


def test_cubic_follows_its_response_function() -> None:
    result = congestion.response(((100, 3333), (10, 1000)))
    assert result.met, result.rows


def test_dctcp_keeps_the_queue_at_the_threshold() -> None:
    result = congestion.marking(((0.1, 20),), 1.5)
    assert result.met, result.rows


def test_messages_under_loss_agree_with_arithmetic() -> None:
    result = congestion.messages(6000)
    assert result.met, result.rows


@pytest.mark.parametrize("cc", congestion.CONTROLS)
def test_two_flows_share_the_line(cc: str) -> None:
    runs = sorted(congestion.pair(cc, 100.0, seed).reached for seed in range(1, 6 if cc == "bbr" else 2))
    assert runs[len(runs) // 2] <= 10, runs


def test_two_flows_share_a_gigabit() -> None:
    assert congestion.pair("cubic").reached <= 10


def test_each_side_has_its_own_control() -> None:
    ab, ba = congestion.links(100, 5, ecn=30 * congestion.FRAME).values()
    scenario = driver.Scenario(
        ab=ab, ba=ba, bytes_ab=1 << 20, bytes_ba=1 << 20, tcp_a=True, tcp_b=True, cc="bbr", cc_b="newreno", ecn=3
    )
    out = driver.run(scenario)
    assert out.completed, out.failure
    assert out.counters[0]["tcp_ecn"] == out.counters[1]["tcp_ecn"] == 1


def test_paced_windows_arrive_too() -> None:
    plain = congestion.bulk("cubic", 1.0, 100, **congestion.links(100, 5))
    out = driver.run(msgspec.structs.replace(plain, pacing=True, tcp_a=True, tcp_b=True))
    assert out.completed, out.failure
    assert out.received[0] == plain.bytes_ab


def test_report_has_a_table_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(congestion, "EXPERIMENTS", (lambda: congestion.messages(600),))
    congestion_report.write(tmp_path)
    assert "| datacenter | 3% |" in (tmp_path / "congestion.md").read_text()
    assert (tmp_path / "img" / "congestion-messages.png").stat().st_size > 1000
