# SPDX-License-Identifier: Apache-2.0
"""Which lines of the TCP engine and of the codecs the tests reach: `./sennit test --coverage`. A build of its own in
build/coverage runs the C tests, the packet scripts, the codec tests and random scenarios with fixed seeds; gcov counts,
gcovr reads. Exit status 1 under the goal."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from sennit.tools import checks
from sennit.tools.errors import ToolError

ROOT = checks.ROOT
BUILD = ROOT / "build" / "coverage"
DOCUMENT = ROOT / "docs" / "coverage.md"
FOLDERS = ("native/tcp", "native/wire")
GOAL = 95.0
SCENARIOS = {"tcp": 200, "mptcp": 100}
NO_REASON = "**no reason given**"
COMMAND = "./sennit test --coverage"


class Line(msgspec.Struct, frozen=True):
    """One line of gcovr's JSON that holds code."""

    line_number: int
    count: int
    function_name: str = ""


class Source(msgspec.Struct, frozen=True):
    """One file of gcovr's JSON."""

    file: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        return len(self.lines)

    @property
    def missed(self) -> list[Line]:
        return [line for line in self.lines if not line.count]


class Report(msgspec.Struct, frozen=True):
    """gcovr's JSON, as far as it matters here."""

    files: tuple[Source, ...]


class Share(msgspec.Struct, frozen=True):
    """A row of the table: a file or a folder."""

    name: str
    lines: int
    covered: int
    missing: str = ""

    @property
    def percent(self) -> float:
        """Cut, not rounded, to one digit: 100 means every line."""
        return self.covered * 1000 // self.lines / 10 if self.lines else 0.0


def spans(lines: Iterable[int]) -> str:
    """7, 8, 9, 12 as `7-9, 12`."""
    found: list[list[int]] = []
    for n in sorted(lines):
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in found)


def files(report: Report) -> list[Share]:
    return [
        Share(s.file, s.total, s.total - len(s.missed), spans(line.line_number for line in s.missed))
        for s in sorted(report.files, key=lambda s: s.file)
    ]


def folders(report: Report) -> list[Share]:
    """The totals that must reach the goal; a folder without a file counts as 0 %."""
    return [
        Share(name, sum(s.lines for s in rows), sum(s.covered for s in rows))
        for name in FOLDERS
        for rows in [[s for s in files(report) if Path(s.name).parent.as_posix() == name]]
    ]


def missed(report: Report) -> dict[tuple[str, str], str]:
    """(file, function) -> its lines that no test reaches."""
    found: dict[tuple[str, str], list[int]] = {}
    for source in sorted(report.files, key=lambda s: s.file):
        for line in source.missed:
            found.setdefault((source.file, line.function_name), []).append(line.line_number)
    return {key: spans(lines) for key, lines in found.items()}


def reasons(text: str) -> dict[tuple[str, str], str]:
    """(file, function) -> why, from the last table of docs/coverage.md."""
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]*)` \| [^|]* \| (.*) \|$", text, re.MULTILINE)
    return {(file, function): why for file, function, why in rows if why != NO_REASON}


# --- measuring ------------------------------------------------------------------------------------------------------


def _step(name: str, *command: str, env: dict[str, str] | None = None) -> None:
    """What fails ends the measurement: a figure from failing tests says nothing."""
    with contextlib.redirect_stdout(sys.stderr):
        ok, _ = checks.run(f"coverage-{name}", *command, env=env)
    if not ok:
        raise ToolError(f"coverage: {name} failed; all it said is in {checks.LOGS / f'coverage-{name}.log'}")


def _package() -> dict[str, str]:
    """A package of links like build/site, with the extension that counts; the environment that finds it first."""
    site = BUILD / "site" / "sennit"
    site.mkdir(parents=True, exist_ok=True)
    targets = [ROOT / part for part in ("runtime", "lcore", "ctrl", "shm", "sdk", "tools", "py.typed")]
    for target in [*targets, BUILD / "__init__.py", BUILD / "native" / "_native.abi3.so"]:
        link = site / target.name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return {"PYTHONPATH": str(site.parent)}


def measure() -> Report:
    """Builds, runs everything, and reads the counts."""
    meson = checks.tool("meson")
    setup = ["--reconfigure"] if (BUILD / "build.ninja").exists() else [
        "-Db_coverage=true", "-Dbuildtype=debug", "-Dcheck=true", "-Ddpdk=disabled",
    ]  # fmt: skip
    _step("configure", meson, "setup", *setup, str(BUILD), str(ROOT), env={"CC": checks.tool("gcc")})
    _step("build", checks.tool("ninja"), "-C", str(BUILD))
    for counts in BUILD.rglob("*.gcda"):
        counts.unlink()
    _step("c-tests", meson, "test", "-C", str(BUILD), "--print-errorlogs")
    env = _package()
    for kind, n in SCENARIOS.items():
        _step(
            f"sim-{kind}", sys.executable, "-P", "-m", "sennit.tools.cli", "sim",
            "--random", str(n), "--kind", kind, "--seed", "1", env=env,
        )  # fmt: skip
    codecs = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests" / "unit").glob("test_wire_*.py"))
    _step("codecs", sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *codecs, env=env)
    out = BUILD / "coverage.json"
    filters = [word for name in FOLDERS for word in ("--filter", f"{re.escape(str(ROOT / name))}/")]
    _step(
        "gcovr", checks.tool("gcovr"), "--root", str(ROOT), "--object-directory", str(BUILD), *filters,
        "-j", str(os.cpu_count() or 1), "--json", str(out), str(BUILD),
    )  # fmt: skip
    return msgspec.json.decode(out.read_bytes(), type=Report)


# --- showing --------------------------------------------------------------------------------------------------------


def table(report: Report) -> list[str]:
    """For a terminal: every file, then the folders."""
    lines = [f"{'file':<28} {'lines':>6} {'covered':>8} {'%':>6}  not covered"]
    rows = [(s, s.missing) for s in files(report)] + [(s, f"goal {GOAL:.0f}") for s in folders(report)]
    lines += [f"{s.name:<28} {s.lines:>6} {s.covered:>8} {s.percent:>6.1f}  {rest}".rstrip() for s, rest in rows]
    return lines


def as_json(report: Report) -> str:
    rows = {
        kind: [msgspec.structs.asdict(s) | {"percent": s.percent} for s in shares]
        for kind, shares in (("folders", folders(report)), ("files", files(report)))
    }
    return msgspec.json.encode({"goal": GOAL, **rows}).decode()


def document(report: Report, text: str) -> str:
    """docs/coverage.md with the three tables made anew; reasons are kept."""
    known = reasons(text)
    head = ["| | lines | covered | % |", "| --- | ---: | ---: | ---: |"]
    parts = {
        "total": head + [f"| {s.name} | {s.lines} | {s.covered} | {s.percent:.1f} |" for s in folders(report)],
        "files": head + [f"| {s.name} | {s.lines} | {s.covered} | {s.percent:.1f} |" for s in files(report)],
        "missed": ["| file | function | lines | why no test reaches them |", "| --- | --- | --- | --- |"]
        + [
            f"| `{file}` | `{function}` | {lines} | {known.get((file, function), NO_REASON)} |"
            for (file, function), lines in missed(report).items()
        ],
    }
    for name, rows in parts.items():
        found = re.search(rf"(?<=<!-- {name}: begin -->\n).*?(?=<!-- {name}: end -->)", text, re.DOTALL)
        if found is None:
            raise ToolError(f"{DOCUMENT} has no place for a table (<!-- {name}: begin -->)")
        text = text[: found.start()] + "\n".join(rows) + "\n" + text[found.end() :]
    return text


def make_parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="sennit test --coverage", description=__doc__)
    p.add_argument("--json", action="store_true", help="JSON on stdout instead of the table")
    p.add_argument("--record", action="store_true", help="write the figures into docs/coverage.md")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """`./sennit test --coverage`."""
    o = make_parser().parse_args(argv)
    try:
        report = measure()
        if o.record:
            DOCUMENT.write_text(document(report, DOCUMENT.read_text()))
    except (ToolError, FileNotFoundError) as e:
        print(f"sennit: {e}", file=sys.stderr)
        return 1
    print(as_json(report) if o.json else "\n".join(table(report)))
    known = reasons(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    for (file, function), lines in missed(report).items():
        if (file, function) not in known:
            print(f"sennit: {file}:{lines} ({function}) has no reason in docs/{DOCUMENT.name}", file=sys.stderr)
    low = [s for s in folders(report) if s.percent < GOAL]
    for s in low:
        print(f"sennit: {s.name}: {s.percent:.1f} % of the lines are covered, less than {GOAL:.0f} %", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
