# SPDX-License-Identifier: Apache-2.0
"""The conformance pages name tests that exist, and every time-sequence test has its row."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOWN_BY = re.compile(r"`([a-z][a-z0-9_]{7,})`")


def test_every_named_test_exists_and_every_script_is_named() -> None:
    scripts = {p.stem for p in (ROOT / "tests/script").glob("*.pkt")}
    units = {
        name
        for p in (ROOT / "tests/unit/c").glob("test_*.c")
        for name in re.findall(r"SN_TEST\((\w+)\)", p.read_text())
    }
    assert named_in("conformance.md") - scripts - units == set()
    assert scripts - named_in("conformance.md") == set()
    assert named_in("conformance-network.md") - units == set()


def named_in(document: str) -> set[str]:
    named: set[str] = set()
    for line in (ROOT / "docs" / document).read_text().splitlines():
        cells = line.split("|")
        if len(cells) == 6:
            named |= set(SHOWN_BY.findall(cells[4]))
    return named
