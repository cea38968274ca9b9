# SPDX-License-Identifier: Apache-2.0
"""`sennit sim` and `sennit demo --sim` as a person calls them."""

from __future__ import annotations

import json
import re
import shlex
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


def test_line_of_a_failure_repeats_it_to_the_bit(tmp_path: Path) -> None:
    words = shlex.split(sim.repro("tcp", 1005))
    assert words[:2] == ["sennit", "sim"]
    files = []
    for name in ("one", "two"):
        stem = tmp_path / name
        assert sim.main([*words[2:], "--pcap", str(stem), "--picture", f"{stem}.svg"]) == 0
        assert Path(f"{stem}.svg").stat().st_size > 1000
        files.append([Path(f"{stem}-{side}.pcapng").read_bytes() for side in "ab"])
    assert files[0] == files[1]


def test_help_has_examples_that_parse() -> None:
    lines = [line for line in sim.make_parser().format_help().splitlines() if line.startswith("  sennit sim ")]
    assert len(lines) >= 5
    for line in lines:
        sim.make_parser().parse_args(shlex.split(re.split(r"\s{3,}|   ", line.strip())[0])[2:])


def test_run_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--paths", "1", "--bytes", "1M", "--loss", "1", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["completed"] is False
    assert "the run failed: connect 0 fails: " in captured.err


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
        (["--random", "2", "--picture", "x.png"], "--picture is of one run"),
        (["--random", "2", "--pcap", "x"], "--pcap is of one run"),
        (["--random", "1", "--rate", "10"], "--rate does not go with --random"),
        (["--scenario", "x.toml", "--read-rate", "5"], "--read-rate does not go with --scenario"),
        (["--pcap", "/nonexistent/dir/x"], ""),
    ],
)
def test_bad_options_are_named(arguments: list[str], word: str, tmp_path: Path) -> None:
    if word:
        with pytest.raises(UsageError, match=word):
            sim.main(arguments)
    else:
        assert sim.main(arguments) == 1
