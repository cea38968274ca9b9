# SPDX-License-Identifier: Apache-2.0
"""`sennit sim` and `sennit demo --sim` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sennit.tools import sim
from sennit.tools.errors import UsageError


def test_json_of_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--paths", "2", "--rate", "100", "--bytes", "1M", "--seed", "4", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["completed"] is True
    assert out["received"] == [1 << 20, 0]
    assert len(out["share"][0]) == 2


def test_table_of_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--paths", "1", "--rate", "100", "--bytes", "64k"]) == 0
    out = capsys.readouterr().out
    assert "A to B" in out
    assert "64.0 KiB" in out


def test_random_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--random", "3", "--seed", "1000", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert (out["scenarios"], out["failures"], out["seed_first"]) == (3, 0, 1000)
    assert out["virtual_s"] > 0


def test_run_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--paths", "1", "--bytes", "1M", "--loss", "1", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["completed"] is False
    assert "the run failed: " in captured.err


def test_demo_shows_both_readings(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.demo(["--sim", "--bytes", "64M", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(r["reading"], r["paths"]) for r in runs] == [
        ("disjoint", 1),
        ("disjoint", 3),
        ("shared", 1),
        ("shared", 3),
    ]
    # Slow start and the joins take about 0.1 s of a transfer that takes 0.6 s over three paths.
    assert runs[1]["ratio"] > 2.3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--paths", "9"], "--paths 9"),
        (["--rate", "1,2"], "--rate"),
        (["--workers", "x"], "--workers x"),
        (["--family", "ipv6", "--mtu", "1000"], "--mtu 1000"),
        (["--down", "7@1"], "path 7"),
        (["--random", "0"], "--random 0"),
        (["--pcap", "/nonexistent/dir/x"], ""),
    ],
)
def test_bad_options_are_named(arguments: list[str], word: str, tmp_path: Path) -> None:
    if word:
        with pytest.raises(UsageError, match=word):
            sim.main(arguments)
    else:
        assert sim.main(arguments) == 1
