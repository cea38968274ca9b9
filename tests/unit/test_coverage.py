# SPDX-License-Identifier: Apache-2.0
"""The line coverage report, and what docs/coverage.md says: the goal was reached, and every line without a test has its
reason."""

from __future__ import annotations

import msgspec
import pytest

from sennit.tools import coverage

SAMPLE = coverage.Report(
    (
        coverage.Source("native/tcp/b.c", tuple(coverage.Line(n, n % 2, "f") for n in range(1, 5))),
        coverage.Source("native/tcp/a.c", tuple(coverage.Line(n, n < 8, "g") for n in (7, 8, 9))),
        coverage.Source("native/wire/w.c", (coverage.Line(1, 5, "h"),)),
    )
)
EMPTY = "".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in ("total", "files", "missed"))


def test_gcovrs_json_is_read() -> None:
    line = '{"line_number": 3, "function_name": "f", "count": 2, "branches": [], "gcovr/md5": "0"}'
    data = f'{{"gcovr/format_version": "0.15", "files": [{{"file": "native/tcp/a.c", "lines": [{line}]}}]}}'
    report = msgspec.json.decode(data, type=coverage.Report)
    assert report.files[0].lines == (coverage.Line(3, 2, "f"),)


def test_folders_are_the_sums_of_their_files() -> None:
    assert [(s.name, s.lines, s.covered) for s in coverage.folders(SAMPLE)] == [
        ("native/tcp", 7, 3),
        ("native/wire", 1, 1),
    ]


def test_a_folder_without_files_does_not_pass() -> None:
    assert [s.percent for s in coverage.folders(coverage.Report(()))] == [0.0, 0.0]


def test_a_hundred_percent_means_every_line() -> None:
    assert coverage.Share("x", 2000, 1999).percent == 99.9
    assert coverage.Share("x", 2000, 2000).percent == 100


def test_lines_are_put_together() -> None:
    assert coverage.spans([9, 1, 2, 3, 12, 10]) == "1-3, 9-10, 12"
    assert coverage.missed(SAMPLE) == {("native/tcp/a.c", "g"): "8-9", ("native/tcp/b.c", "f"): "2, 4"}


def test_recording_keeps_the_reasons() -> None:
    text = coverage.document(SAMPLE, EMPTY)
    assert coverage.reasons(text) == {}
    assert text.count(coverage.NO_REASON) == 2
    text = text.replace(f"8-9 | {coverage.NO_REASON}", "8-9 | a reason | with a bar")
    again = coverage.document(SAMPLE, text)
    assert again == text
    assert coverage.reasons(again) == {("native/tcp/a.c", "g"): "a reason | with a bar"}


@pytest.mark.parametrize(("covered", "status"), [(950, 0), (949, 1)])
def test_the_run_fails_under_the_goal(
    covered: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tuple(coverage.Line(n, int(n < covered), "f") for n in range(1000))
    full = coverage.Source("native/wire/w.c", (coverage.Line(1, 5, "h"),))
    report = coverage.Report((coverage.Source("native/tcp/a.c", lines), full))
    monkeypatch.setattr(coverage, "measure", lambda: report)
    assert coverage.main(["--json"]) == status
    out = msgspec.json.decode(capsys.readouterr().out)
    assert [f["percent"] for f in out["folders"]] == [covered / 10, 100]


def test_the_document_says_that_the_goal_was_reached_and_why_lines_are_missing() -> None:
    text = coverage.DOCUMENT.read_text()
    assert coverage.NO_REASON not in text
    for name in coverage.FOLDERS:
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        lines, covered, percent = (cell.strip() for cell in row.split("|")[2:5])
        assert 0 < int(covered) <= int(lines)
        assert float(percent) >= coverage.GOAL
