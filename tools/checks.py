# SPDX-License-Identifier: Apache-2.0
"""Everything a change must pass: `./sennit test`. Stages run one after the other, also after a failed one, and the last
line says how many checks passed and failed. Logs are in build/checks/."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "checks"
SANITIZED = ROOT / "build" / "san"
BIN = Path(sys.executable).parent
CLANG = ("clang-14", "clang")
FORMAT = ("clang-format-14", "clang-format")


class Outcome(NamedTuple):
    """One check, or the sum of many."""

    name: str
    passed: int
    failed: int


def tool(*names: str) -> str:
    """The first of the programs that exists."""
    for name in names:
        if (BIN / name).exists():
            return str(BIN / name)
        if found := shutil.which(name):
            return found
    raise FileNotFoundError(f"{names[0]} not found; './sennit test' installs it when it runs as root")


def run(
    name: str, *command: str, env: dict[str, str] | None = None, live: bool = False, timeout: float = 900
) -> tuple[bool, str]:
    """Runs one command with its output in a log; shows it while it runs, or its end when it failed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    start = time.monotonic()
    print(f"== {name}", flush=True)
    lines: list[str] = []
    with log.open("w") as out:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(env or {}), "PATH": f"{BIN}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        assert child.stdout is not None
        try:
            for line in child.stdout:
                out.write(line)
                lines.append(line)
                if live:
                    print(f"   {line}", end="", flush=True)
            status = child.wait(timeout)
        except BaseException:
            child.kill()
            raise
    ok = status == 0
    if not ok and not live:
        print("".join(f"   {line}" for line in lines[-60:]), end="")
    end = "ok" if ok else f"FAILED (exit status {status}, {log})"
    print(f"   {name}: {end}, {time.monotonic() - start:.1f} s", flush=True)
    return ok, "".join(lines)


def check(name: str, *command: str, env: dict[str, str] | None = None) -> Outcome:
    ok, _ = run(name, *command, env=env)
    return Outcome(name, int(ok), int(not ok))


def c_sources() -> list[str]:
    folders = [ROOT / "native", ROOT / "tests" / "unit" / "c", ROOT / "tests" / "fuzz"]
    return [str(p.relative_to(ROOT)) for f in folders for p in sorted(f.rglob("*.[ch]"))]


def lint() -> Iterator[Outcome]:
    """ruff, mypy --strict, clang-format."""
    yield check("ruff", tool("ruff"), "check", ".")
    yield check("mypy", tool("mypy"), "--strict", "-p", "sennit")
    yield check("mypy-tests", tool("mypy"), "--strict", "tests")
    yield check("clang-format", tool(*FORMAT), "--dry-run", "-Werror", *c_sources())


def meson_tests(name: str, build: Path, env: dict[str, str] | None = None) -> Outcome:
    """Counts the checks inside the test programs, not the programs."""
    ok, output = run(name, tool("meson"), "test", "-C", str(build), "--print-errorlogs", "-v", env=env)
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.MULTILINE)
    passed, failed = (sum(int(c[i]) for c in counts) for i in (0, 1))
    if ok and not passed:
        print("   FAILED: no test ran")
    return Outcome(name, passed, failed if ok and passed else max(failed, 1))


def c_tests() -> Iterator[Outcome]:
    """The C tests against the build that ships."""
    build = ROOT / "build" / "py"
    configured = check("c-configure", tool("meson"), "setup", "--reconfigure", str(build), str(ROOT))
    yield configured if configured.failed else meson_tests("c-tests", build)


def sanitized_build() -> Outcome:
    """clang with AddressSanitizer, UndefinedBehaviorSanitizer, assertions of our own and the fuzz targets."""
    setup = ["--reconfigure"] if (SANITIZED / "build.ninja").exists() else [
        "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dcheck=true", "-Dfuzz=true", "-Dextension=false",
    ]  # fmt: skip
    done = check("san-configure", tool("meson"), "setup", *setup, str(SANITIZED), str(ROOT), env={"CC": tool(*CLANG)})
    return done if done.failed else check("san-build", tool("ninja"), "-C", str(SANITIZED))


SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def sanitized_tests() -> Iterator[Outcome]:
    """The C tests under AddressSanitizer and UndefinedBehaviorSanitizer."""
    built = sanitized_build()
    yield built if built.failed else meson_tests("san-tests", SANITIZED, SANITIZER_ENV)


def fuzz(seconds: float, only: str | None = None) -> Iterator[Outcome]:
    """Every fuzz target for so long, as many at once as there are cores; new inputs stay in build/fuzz, the committed
    corpus is the seed."""
    built = sanitized_build()
    if built.failed:
        yield built
        return
    targets = sorted(p.stem for p in (ROOT / "tests" / "fuzz").glob("fuzz_*.c") if only in (None, p.stem))
    if not targets:
        print("   FAILED: no fuzz target")
        yield Outcome("fuzz", 0, 1)
    with ThreadPoolExecutor(os.cpu_count() or 1) as several:
        yield from several.map(lambda target: fuzz_one(target, seconds), targets)


def fuzz_one(target: str, seconds: float) -> Outcome:
    grown = ROOT / "build" / "fuzz" / target
    grown.mkdir(parents=True, exist_ok=True)
    corpus = ROOT / "tests" / "fuzz" / "corpus" / target.removeprefix("fuzz_")
    return check(
        target, str(SANITIZED / "tests" / "fuzz" / target), f"-max_total_time={max(1, seconds):.0f}",
        "-entropic=0",  # with so many features it would do little but keep its statistics
        "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={grown}-", str(grown),
        *([str(corpus)] if corpus.is_dir() else []), env=SANITIZER_ENV,
    )  # fmt: skip


def pytest(name: str, *arguments: str) -> Outcome:
    ok, output = run(name, sys.executable, "-P", "-m", "pytest", "--color=no", "-rs", *arguments, live=True)
    closing = output.splitlines()[-1] if output else ""
    words = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", closing)}
    passed = words.get("passed", 0)
    # A skipped test has tested nothing: here it counts as failed.
    failed = sum(words.get(w, 0) for w in ("failed", "error", "errors", "skipped"))
    return Outcome(name, passed, failed if ok else max(failed, 1))


def python_tests() -> Iterator[Outcome]:
    yield pytest("pytest-unit", "-n", "2", "tests/unit", "tests/sim")


def coverage() -> Iterator[Outcome]:
    """Lines that the tests reach, against the goal of tools/coverage.py."""
    ok, _ = run("coverage", sys.executable, "-P", "-m", "sennit.tools.coverage", live=True)
    yield Outcome("coverage", int(ok), int(not ok))


def net_tests() -> Iterator[Outcome]:
    """The real runtime against the kernel in network namespaces; needs root."""
    yield pytest("pytest-net", "tests/net")


def main() -> None:
    parser = argparse.ArgumentParser(prog="sennit test", description=__doc__)
    names = ["lint", "c", "san", "unit", "coverage", "net", "fuzz"]
    parser.add_argument("--only", metavar="STAGES", help=f"comma separated, of: {', '.join(names)}")
    parser.add_argument("--seconds", type=float, default=30, help="time for each fuzz target")
    parser.add_argument("--target", help="one fuzz target instead of all")
    parser.add_argument("--coverage", action="store_true", help="line coverage alone; more with --coverage --help")
    if "--coverage" in sys.argv[1:]:
        from sennit.tools import coverage as lines

        sys.exit(lines.main([word for word in sys.argv[1:] if word != "--coverage"]))
    args = parser.parse_args()
    stages: dict[str, Callable[[], Iterator[Outcome]]] = {
        "lint": lint, "c": c_tests, "san": sanitized_tests, "unit": python_tests,
        "coverage": coverage, "net": net_tests, "fuzz": lambda: fuzz(args.seconds, args.target),
    }  # fmt: skip
    wanted = args.only.split(",") if args.only else names
    if unknown := [w for w in wanted if w not in stages]:
        parser.error(f"no stage named {', '.join(unknown)}; there are {', '.join(names)}")

    start = time.monotonic()
    outcomes: list[Outcome] = []
    for name in wanted:
        try:
            outcomes += stages[name]()
        except FileNotFoundError as e:
            print(f"   FAILED: {e}")
            outcomes.append(Outcome(name, 0, 1))
    print()
    for outcome in outcomes:
        word = "FAILED" if outcome.failed else "ok    "
        print(f"{word} {outcome.name:<16} {outcome.passed} passed, {outcome.failed} failed")
    print(f"in {time.monotonic() - start:.0f} s")
    failed = sum(o.failed for o in outcomes)
    print(f"{sum(o.passed for o in outcomes)} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
