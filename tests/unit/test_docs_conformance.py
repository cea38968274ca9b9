# SPDX-License-Identifier: Apache-2.0
"""docs/conformance*.md name tests that exist, every time-sequence test has its row, and what is done is shown."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN_BY = re.compile(r"`([a-z][a-z0-9_]{7,})`")
TCP = ("conformance.md", "conformance-congestion.md")
NETWORK = "conformance-network.md"
MPTCP = "conformance-rfc8684.md"
# Sentences with MUST, SHOULD, RECOMMENDED and their negations, section by section of RFC 8684 (said twice in a section:
# one row), and the choices (MAY) that have a row.
RFC_8684 = {
    "3": 4, "3.1": 31, "3.2": 12, "3.3": 4, "3.3.1": 15, "3.3.2": 7, "3.3.3": 5, "3.3.4": 2, "3.3.5": 3, "3.3.6": 4,
    "3.3.8": 2, "3.4.1": 16, "3.4.2": 8, "3.5": 4, "3.6": 5, "3.7": 17, "3.9.1": 4, "3.9.2": 1, "3.9.3": 3, "4": 4,
    "6": 1,
}  # fmt: skip


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


@pytest.mark.parametrize("name", [*TCP, NETWORK, MPTCP])
def test_every_named_test_exists(name: str) -> None:
    units = defined("tests/unit/*/test_*.c", r"SN_TEST\((\w+)\)")
    sims = defined("tests/sim/test_*.py", r"def (test_\w+)")
    if name == MPTCP:
        sims |= defined("tests/net/test_*.py", r"def (test_\w+)") | defined("tests/unit/test_*.py", r"def (test_\w+)")
    assert named(name) - SCRIPTS - units - sims == set()


def test_every_script_is_named() -> None:
    assert SCRIPTS - named(TCP[0]) - named(TCP[1]) - named(MPTCP) == set()


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


def test_every_requirement_of_rfc_8684_has_its_row() -> None:
    counts = dict.fromkeys(RFC_8684, 0)
    for row in rows(MPTCP):
        section = re.fullmatch(r"([\d.]+) (MUST|SHOULD|RECOMMENDED|MAY)(?: NOT)?: .+", row[0]).group(1)  # type: ignore[union-attr]
        counts[section] += 1
        assert row[1] in ("done", "differs", "not", "n/a"), row
        assert row[1] != "done" or SHOWN_BY.search(row[3]), row
        assert row[1] == "done" or row[2], row
    assert counts == RFC_8684
