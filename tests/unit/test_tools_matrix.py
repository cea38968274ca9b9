# SPDX-License-Identifier: Apache-2.0
"""The matrix as data: cells, what means nothing, pairs, expectations; the command around it."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from sennit.tools import matrix, matrix_boxes, matrix_cells
from sennit.tools.errors import UsageError
from sennit.tools.matrix_cells import FACTORS, Cell, expected, meaningless, parse
from sennit.tools.matrix_run import Result

EVERY = list(matrix_cells.every())
PLAIN = "client-ipv4-off-3-signal-close-ours-none"


def test_every_value_is_in_some_cell() -> None:
    for position, (factor, values) in enumerate(FACTORS.items()):
        assert {str(cell).split("-")[position] for cell in EVERY} == set(values), factor


def test_name_and_cell_are_one() -> None:
    assert all(parse(str(cell)) == cell for cell in EVERY[::97])
    assert len(set(map(str, EVERY))) == len(EVERY)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("client-ipv4", "has 2 values, a cell has 8"),
        ("client-ipv5-off-3-signal-close-ours-none", "'ipv5' in .* is no family: ipv4, ipv6, mapped"),
        ("client-ipv4-off-1-signal-close-ours-none", "nothing to do"),
        ("client-ipv4-off-1-subflow-close-ours-blackholed", "another path"),
        ("client-ipv4-off-3-subflow-close-ours-corrupt", "nobody can see it"),
        ("client-ipv4-off-8-signal-close-ours-stripsyn", "no further paths"),
        ("client-ipv4-off-8-signal-close-ours-split", "small pieces"),
        ("client-ipv4-off-3-signal-close-ours-stripdata", "every subflow is reset"),
    ],
)
def test_what_is_no_cell_is_refused_with_the_reason(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(name)


def test_choice_has_every_pair_that_any_cell_has_and_is_small() -> None:
    chosen = matrix_cells.pairwise(EVERY)
    assert {p for c in chosen for p in matrix_cells.pairs(c)} == {p for c in EVERY for p in matrix_cells.pairs(c)}
    assert len(chosen) < 100
    assert not any(map(meaningless, chosen))
    assert chosen == matrix_cells.pairwise(reversed(EVERY))  # nothing but the cells decides


def test_pairs_of_two_small_factors_are_all_needed() -> None:
    cells = [
        cell for cell in EVERY
        if str(cell).startswith("client-ipv4-off-") and str(cell).endswith("-close-ours-none") and cell.count > 1
    ]  # fmt: skip
    assert len(matrix_cells.pairwise(cells)) == len(cells)  # subflows x pm: each cell has a pair of its own


def test_order_needs_few_runtimes() -> None:
    ordered = matrix_cells.in_order(EVERY)
    assert sorted(map(str, ordered)) == sorted(map(str, EVERY))
    flags = {cell.flags for cell in EVERY}
    assert len(list(itertools.groupby(ordered, key=lambda cell: cell.flags))) <= 2 * len(flags)  # of two laboratories


@pytest.mark.parametrize(
    ("name", "mptcp", "joins", "ends"),
    [
        (PLAIN, True, (2, 2), ("EOF",)),
        ("server-ipv6-off-8-port-half-theirs-nat", True, (7, 7), ("EOF",)),
        ("client-ipv4-off-8-fullmesh-abort-ours-restored", True, (7, matrix_cells.MANY), ("ECONNRESET",)),
        ("client-ipv4-off-3-signal-fastclose-theirs-nojoin", True, (0, 0), ("ECONNRESET",)),
        ("client-ipv4-off-3-signal-kill-ours-stripsyn", False, (0, 0), ("EOF", "ECONNRESET")),
        ("client-ipv4-off-3-signal-abort-theirs-stripsyn", False, (0, 0), ("ECONNRESET",)),
        ("client-ipv4-off-3-signal-kill-theirs-none", True, (2, 2), ("EOF",)),
        ("client-ipv4-off-3-signal-fastclose-theirs-stripsyn", False, (0, 0), ("EOF", "ECONNRESET")),
        ("server-mapped-theirs-1-subflow-close-ours-corrupt", False, (0, matrix_cells.MANY), ("EOF",)),
    ],
)
def test_expectation(name: str, mptcp: bool, joins: tuple[int, int], ends: tuple[str, ...]) -> None:
    e = expected(parse(name))
    assert (e.mptcp, e.joins, e.ends) == (mptcp, joins, ends)


def test_quiet_cell_allows_no_counter_at_all() -> None:
    e = expected(parse(PLAIN))
    assert e.ours == e.theirs == {}
    assert e.altered == ""


def test_fastclose_is_counted_at_both_ends_and_not_after_a_fallback() -> None:
    e = expected(parse("client-ipv4-off-3-signal-abort-ours-none"))
    assert (list(e.ours), list(e.theirs)) == (["MPFastcloseTx"], ["MPFastcloseRx"])
    e = expected(parse("client-ipv4-off-3-signal-abort-ours-stripsyn"))
    assert "MPFastcloseTx" not in e.ours


def test_who_removes_an_address_is_not_who_hears_of_it() -> None:
    for name, announced in (("signal", True), ("port", True), ("subflow", False), ("backup", False)):
        for role in FACTORS["role"]:
            e = expected(parse(f"{role}-ipv4-off-3-{name}-close-ours-removed"))
            ours_has_it = (role == "server") == announced
            assert ("RmAddr" in e.theirs) == ours_has_it
            assert ("RmAddr" in e.ours) == (not ours_has_it)


def test_only_the_reader_of_an_altered_single_subflow_sees_other_bytes() -> None:
    names = {e.altered: str(c) for c in EVERY if (e := expected(c)).altered}
    assert set(names) == {"ours", "theirs"}
    assert all("-1-" in name and name.endswith("corrupt") for name in names.values())


def test_differences_of_counters_are_sentences() -> None:
    before, after = {"A": 1, "B": 5, "C": 0}, {"A": 3, "B": 5, "C": 9, "D": 1}
    said = matrix_cells.differences({"B": (1, matrix_cells.MANY), "C": (8, 10)}, ("A", "D"), before, after)
    assert said == [
        "A moved by 2 instead of 0", "B moved by 0 instead of at least 1", "D moved by 1 instead of 0",
    ]  # fmt: skip


def test_flags_of_the_runtime() -> None:
    assert parse(PLAIN).flags == ()
    assert parse("server-ipv4-ours-3-cflag-close-ours-none").flags == ("--checksum", "--no-join")
    assert parse("client-ipv4-ours-3-cflag-close-ours-none").flags == ("--checksum",)  # the kernel's flag, a sysctl


def test_middleboxes_replace_what_was_there() -> None:
    for event in FACTORS["event"]:
        lines = matrix_boxes.begin(event, "h").splitlines()
        assert lines[:3] == ["add table inet matrix", "delete table inet matrix", "add table inet matrix"]
    assert 'oifname "rp*" masquerade' in matrix_boxes.begin("nat", "h")
    assert matrix_boxes.hole("fd00::1").count("ip6 ") == 2
    assert "ip daddr 10.2.1.1 drop" in matrix_boxes.hole("10.2.1.1")


# -------------------------------------------------------------------------------------------------------- the command


def choose(*words: str) -> list[Cell]:
    return matrix.choose(matrix.make_parser().parse_args(words))


def test_choice_of_cells_on_the_command_line() -> None:
    assert len(choose()) == len(EVERY)
    assert [str(c) for c in choose("--cell", PLAIN)] == [PLAIN]
    assert all(c.event == "nat" for c in choose("--select", "*-nat"))
    assert len(choose("--sample", "7")) == 7
    assert choose("--sample", "7", "--seed", "2") == choose("--sample", "7", "--seed", "2")
    assert len(choose("--pairwise")) < 100
    for words in (["--cell", "nonsense"], ["--select", "nothing"]):
        with pytest.raises(UsageError):
            choose(*words)


def test_cells_that_passed_last_are_not_run_again(tmp_path: Path) -> None:
    journal = tmp_path / "results.jsonl"
    assert matrix.passed(journal) == set()
    bad = ("broken",)
    lines = [Result("a", 1.0), Result("b", 1.0), Result("b", 1.0, bad), Result("c", 1.0, bad), Result("c", 1.0)]
    journal.write_bytes(b"\n".join(map(msgspec.json.encode, lines)) + b'\n{"cell": "d", "sec')
    assert matrix.passed(journal) == {"a", "c"}


def test_report_sums_up() -> None:
    said = matrix.summary([Result("a", 1.0), Result("b", 3.0, ("broken",))], 4.04)
    assert said == {
        "cells": 2, "failed": 1, "seconds": 4.0, "slowest": [["b", 3.0], ["a", 1.0]], "failures": {"b": ["broken"]},
    }  # fmt: skip
