# SPDX-License-Identifier: Apache-2.0
"""Lock and state file: one instance per name, and nothing of a killed one is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sennit.runtime import ports, state
from sennit.runtime.errors import StartError

SAVED = ports.Saved("eth1", 7, (("10.0.1.1/24", "scope", "global"),), (), {"forwarding": "0"}, {"gro": True})


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run"


def test_a_second_instance_of_a_name_is_refused_with_the_way_out(runtime_dir: Path) -> None:
    lock = state.Lock("lab")
    with pytest.raises(StartError, match=f"running already .pid {os.getpid()}.*--name"):
        state.Lock("lab")
    other = state.Lock("other")
    lock.release()
    state.Lock("lab").release()
    other.release()
    assert list(runtime_dir.iterdir()) == []


def test_a_directory_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", "/proc/none")
    with pytest.raises(StartError, match="SENNIT_RUNTIME_DIR"):
        state.Lock("lab")


def test_what_a_killed_instance_left_is_restored_once(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[ports.Saved] = []
    monkeypatch.setattr(ports, "give_back", lambda saved: given.append(saved) or [])
    runtime_dir.mkdir()
    state.write("lab", ports.State(1, ports.netns(), (SAVED,)))
    assert state.clean_up("lab")
    assert given == [SAVED]
    assert not state.clean_up("lab")
    assert list(runtime_dir.iterdir()) == []


def test_another_network_namespace_is_left_alone(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "give_back", lambda saved: pytest.fail("touched"))
    runtime_dir.mkdir()
    state.write("lab", ports.State(1, ports.netns() + 1, (SAVED,)))
    assert state.clean_up("lab")


def test_a_living_instance_is_not_cleaned_up(runtime_dir: Path) -> None:
    lock = state.Lock("lab")
    state.write("lab", ports.State(os.getpid(), ports.netns(), ()))
    assert not state.clean_up("lab")
    assert state.state_path("lab").exists()
    lock.release()


def test_a_damaged_state_file_is_dropped(runtime_dir: Path) -> None:
    runtime_dir.mkdir()
    state.state_path("lab").write_text("{")
    assert not state.clean_up("lab")
    assert list(runtime_dir.iterdir()) == []


def test_only_directories_of_ours_are_removed(tmp_path: Path) -> None:
    mine, other = tmp_path / "dpdk" / "sennit-lab", tmp_path / "dpdk" / "rte"
    mine.mkdir(parents=True)
    other.mkdir()
    for path in (mine, other, tmp_path):
        state.remove_eal_dir(str(path))
    assert not mine.exists()
    assert other.exists()


def test_an_interface_of_another_instance_is_refused_by_name(runtime_dir: Path) -> None:
    lock = state.Lock("other")
    state.write("other", ports.State(os.getpid(), ports.netns(), (SAVED,)))
    state.refuse_shared("lab", ["eth2"])
    with pytest.raises(StartError, match="eth1 is in use by instance 'other'"):
        state.refuse_shared("lab", ["eth0", "eth1"])
    lock.release()


def test_an_interface_of_a_killed_instance_is_restored_first(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[ports.Saved] = []
    monkeypatch.setattr(ports, "give_back", lambda saved: given.append(saved) or [])
    runtime_dir.mkdir()
    state.write("other", ports.State(1, ports.netns(), (SAVED,)))
    state.refuse_shared("lab", ["eth1"])
    assert given == [SAVED]
