# SPDX-License-Identifier: Apache-2.0
"""The real runtime in network namespaces against the kernel. Needs root; without it every test here fails loudly."""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sennit.tools.lab import Lab
from sennit.tools.lab_runtime import Runtime

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (Path("/usr/src/linux-source-6.1.tar.xz"),)
SELFTEST = "tools/testing/selftests/net/mptcp/mptcp_connect.c"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="every combination instead of a choice (tests/net)")


@pytest.fixture(scope="session", autouse=True)
def _own_control_sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Apart from instances that this machine may have."""
    folder = tmp_path_factory.mktemp("run")
    folder.chmod(0o755)
    folder.parent.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENNIT_RUNTIME_DIR", str(folder))
        yield


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three paths of 100 Mbit/s, IPv4 and IPv6."""
    with Lab(ipv6=True) as made:
        yield made


@pytest.fixture(scope="module")
def runtime(lab: Lab) -> Iterator[Runtime]:
    """One worker on all three ports."""
    with Runtime(lab) as made:
        yield made


@pytest.fixture(scope="session")
def mptcp_connect() -> Path:
    """The kernel's own selftest program, compiled once from Debian's kernel sources."""
    folder = ROOT / "build" / "kernel-selftests"
    program = folder / "mptcp_connect"
    if program.exists():
        return program
    archive = next((path for path in SOURCES if path.exists()), None)
    if archive is None:
        pytest.fail("kernel sources not found: apt install linux-source-6.1")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "mptcp_connect.c"
    with tarfile.open(archive, "r|xz") as tar:
        for member in tar:
            if member.name.endswith(SELFTEST):
                content = tar.extractfile(member)
                assert content is not None
                source.write_bytes(content.read())
                break
    subprocess.run(["gcc", "-O1", "-o", str(program), str(source)], check=True)
    return program


def _eventually(check: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], float], bool]:
    """Polls a condition until it holds; False when the time is over."""
    return _eventually
