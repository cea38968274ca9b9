# SPDX-License-Identifier: Apache-2.0
"""docs/conformance*.md name tests that exist, every time-sequence test has its row, and what is done is shown."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN_BY = re.compile(r"`([a-z][a-z0-9_]{7,})`")
TCP = ("conformance.md", "conformance-congestion.md")
NETWORK = "conformance-network.md"


def rows(name: str) -> list[list[str]]:
    """Cells of every row of a document's tables: requirement, state, how, shown by."""
    lines = (ROOT / "docs" / name).read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return [row for row in cells if len(row) == 4 and row[0] not in ("requirement", "rule", "---")]


def named(name: str) -> set[str]:
    return {test for row in rows(name) for test in SHOWN_BY.findall(row[3])}


def defined(files: str, pattern: str) -> set[str]:
    return {test for path in ROOT.glob(files) for test in re.findall(pattern, path.read_text())}


SCRIPTS = {p.stem for p in (ROOT / "tests/script").glob("*.pkt")}


@pytest.mark.parametrize("name", [*TCP, NETWORK])
def test_every_named_test_exists(name: str) -> None:
    units = defined("tests/unit/*/test_*.c", r"SN_TEST\((\w+)\)")
    sims = defined("tests/sim/test_*.py", r"def (test_\w+)")
    assert named(name) - SCRIPTS - units - sims == set()


def test_every_script_is_named() -> None:
    assert SCRIPTS - named(TCP[0]) - named(TCP[1]) == set()


@pytest.mark.parametrize("name", TCP)
def test_every_row_has_a_state_and_what_is_done_is_shown(name: str) -> None:
    assert len(rows(name)) > 40
    for row in rows(name):
        assert row[1] in ("done", "not", "differs"), row
        assert row[1] != "done" or SHOWN_BY.search(row[3]), row
        assert row[1] == "done" or row[2], row


def test_every_labelled_requirement_of_rfc_9293_has_its_row() -> None:
    text = " ".join(row[0] for row in rows(TCP[0]))
    for label, last in (("MUST", 69), ("SHLD", 31)):
        have = {int(n) for n in re.findall(rf"{label}-(\d+)", text)}
        for first, end in re.findall(rf"{label}-(\d+) to {label}-(\d+)", text):
            have |= set(range(int(first), int(end) + 1))
        assert set(range(1, last + 1)) - have == set(), label
