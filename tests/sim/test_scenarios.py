# SPDX-License-Identifier: Apache-2.0
"""Scenario files, what they can say, and that a seed repeats a run to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from sennit.tools import sim, sim_picture, sim_random, sim_scenario
from sennit.tools import sim_driver as driver
from sennit.tools.errors import UsageError

SHIPPED = sorted((Path(__file__).parent / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda p: p.stem)
def test_shipped_scenarios_complete(file: Path) -> None:
    out = driver.run(sim_scenario.load(file).native())
    assert out.completed, out.failure


@pytest.mark.parametrize("kind", sorted(sim_random.KINDS))
@pytest.mark.parametrize("seed", range(2000, 2005))
def test_same_seed_same_capture(tmp_path: Path, kind: str, seed: int) -> None:
    captures = []
    for turn in "12":
        scenario = replace(sim_random.scenario(seed, kind), pcap=str(tmp_path / turn))
        assert driver.run(scenario).completed
        captures.append([(tmp_path / f"{turn}-{side}.pcapng").read_bytes() for side in "ab"])
    assert captures[0] == captures[1]


def test_seed_of_the_command_line_wins(tmp_path: Path) -> None:
    def capture(*more: str) -> bytes:
        assert sim.main(["--scenario", str(SHIPPED[0]), "--pcap", str(tmp_path / "x"), "--json", *more]) == 0
        return (tmp_path / "x-a.pcapng").read_bytes()

    assert capture() == capture("--seed", "3")
    assert capture() != capture("--seed", "4")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "path"),
        ("path = [", "not TOML"),
        ("[[path]]\nlink = { rate = 3 }", "rate"),
        ("[[path]]\n[[event]]\nat_ms = 1\nwhat = 'sleep'", "sleep"),
        ("[[path]]\n[[event]]\nat_ms = 1\nwhat = 'down'\npath = 1", "path 1"),
        ("scheduler = 'best'\n[[path]]", "best"),
        ("family = 'ipv6'\nmtu = 1279\n[[path]]", "mtu 1279"),
        ("family = 'mixed'\n[[path]]\n[[path]]\nbox = { nat = true }", "path 1"),
        ("family = 'ipx'\n[[path]]", "ipx"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=word):
        sim_scenario.load(file).native()


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing.toml: No such file"):
        sim_scenario.load(tmp_path / "nothing.toml")


def test_picture_of_every_subflow(tmp_path: Path) -> None:
    file, picture = Path(__file__).parent / "scenarios" / "wifi_and_mobile.toml", tmp_path / "p.png"
    assert sim.main(["--scenario", str(file), "--picture", str(picture), "--json"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_table_of_segments_tells_what_was_sent_again(tmp_path: Path) -> None:
    table = tmp_path / "s.csv"
    link = replace(driver.path(100, 5), loss_every=50)
    out = driver.run(driver.symmetric(1, link, bytes_ab=400_000, tcp_a=True, tcp_b=True, segments=str(table)))
    assert out.completed, out.failure
    (flow,) = sim_picture.read(table)
    assert flow.top == 400_001
    assert len(flow.again) == out.retransmissions > 0
    assert flow.ack[-1][1] >= 400_001
    assert flow.sack
