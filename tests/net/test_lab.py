# SPDX-License-Identifier: Apache-2.0
"""The laboratory itself: what a run measures is only worth something if the links are what they claim."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sennit.tools import demo_runs, lab

SIZE = 8 << 20


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines()}


def test_kernel_uses_three_paths_and_reaches_three_times_one_path() -> None:
    with lab.Lab() as made:
        near = demo_runs.KernelNear(made)
        for direction in ("send", "receive"):
            one, three = (
                demo_runs.measure(made, near, "client", direction, paths, SIZE, lambda *_: None) for paths in (1, 3)
            )
            assert one.sha256_ok
            assert three.sha256_ok
            assert one.share[0] > 0.99
            assert min(three.share) > 0.2
            assert three.joins == 2
            assert three.goodput_mbit_s > 2.5 * one.goodput_mbit_s


def test_nothing_is_left_behind_after_an_exception() -> None:
    child = None
    with pytest.raises(KeyboardInterrupt), lab.Lab(paths=1) as made:
        child = made.popen(made.peer, "sleep", "1000")
        names = {made.host, made.net, made.peer}
        assert names <= namespaces()
        raise KeyboardInterrupt
    assert not names & namespaces()
    assert child is not None
    assert child.poll() is not None


def test_namespaces_of_a_dead_process_are_removed() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = f"snt-{gone.pid}-0000-host"
    living = f"snt-{os.getpid()}-0000-host"
    for name in (stale, living):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        assert stale in lab.remove_stale()
        assert stale not in namespaces()
        assert living in namespaces()
    finally:
        subprocess.run(["ip", "netns", "delete", living], check=True)


def test_a_user_without_root_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(lab.LabError, match="demo --sim"), lab.Lab():
        pass


def test_the_peer_program_runs_without_the_package() -> None:
    text = Path(lab.PEER).read_text()
    assert "import sennit" not in text
    assert "from sennit" not in text
