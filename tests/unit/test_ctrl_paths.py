# SPDX-License-Identifier: Apache-2.0
"""Events from workers to path managers and monitors; steps of path managers to workers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ctrl_fake as fake
import pytest

from sennit.ctrl import path_manager, paths, settings
from sennit.shm import control_client, framing, messages
from sennit.tools import cli
from sennit.tools.commands import monitor

ROOT = Path(__file__).resolve().parents[2]
BASE = """\
from sennit.ctrl.path_manager import KernelPathManager, PathManager
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SENNIT_INSTANCE", "unit")
    return tmp_path


def event(name: str, conn: int = 5, **more: Any) -> messages.PathEvent:
    return messages.PathEvent(event=name, time=1.0, worker=0, conn=conn, token=77, **more)


FLOW: dict[str, Any] = {"saddr": "10.0.1.1", "sport": 40000, "daddr": "10.0.1.2", "dport": 12000}
SECOND: dict[str, Any] = {"saddr": "10.0.2.1", "sport": 40001, "daddr": "10.0.2.2", "dport": 12000}
CREATED, ESTABLISHED = event("created", **FLOW), event("established", **FLOW)
JOINED = event("sub_established", subflow=1, loc_id=1, rem_id=2, backup=False, nic=1, **SECOND)
LEFT = event("sub_closed", subflow=1, loc_id=1, rem_id=2, backup=False, nic=1, error=110, **SECOND)


def until(true: Callable[[], bool], seconds: float = 3.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def steps(handle: fake.Handle) -> list[messages.PathCommand]:
    return [m for m in handle.workers[0].heard if isinstance(m, messages.PathCommand)]


def watched(handle: fake.Handle) -> list[bool]:
    return [m.on for m in handle.workers[0].heard if isinstance(m, messages.Watch)]


def policy(directory: Path, text: str) -> str:
    file = directory / "policy.py"
    file.write_text(BASE + text)
    return f"{file}:Policy"


def tell(handle: fake.Handle, *events: messages.PathEvent, lost: int = 0) -> None:
    handle.workers[0].say(messages.PathEvents(events, lost))


# ------------------------------------------------------------------------------------------------------- path managers


def test_example_of_the_documentation_runs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "path-manager.md").read_text()
    (example,) = re.findall(r"```python\n(# mypolicy\.py\n.*?)```", text, re.DOTALL)
    (directory / "mypolicy.py").write_text(example)
    monkeypatch.syspath_prepend(str(directory))
    handle = fake.Handle(workers=1, path_manager="mypolicy:Policy")

    def scenario(path: Path) -> None:
        tell(handle, CREATED)
        tell(handle, ESTABLISHED)
        assert until(lambda: len(steps(handle)) == 2)
        opened = [(s.op, s.conn, s.token, s.local, s.remote, s.backup) for s in steps(handle)]
        assert opened == [("open", 5, 77, "10.0.2.1", "", False), ("open", 5, 77, "10.0.3.1", "", True)]
        tell(handle, JOINED, LEFT)
        assert until(lambda: len(steps(handle)) == 3)
        assert (steps(handle)[2].local, steps(handle)[2].remote) == ("10.0.2.1", "10.0.2.2")
        tell(handle, LEFT, event("closed"))
        time.sleep(1.2)
        assert len(steps(handle)) == 3

    fake.with_server(handle, scenario, directory)
    assert watched(handle) == [True]
    assert [m.manual for m in handle.workers[0].heard if isinstance(m, messages.PutLimits)] == [True]


def test_default_leaves_everything_to_the_workers(directory: Path) -> None:
    handle = fake.Handle(workers=1)
    fake.with_server(handle, lambda path: None, directory)
    assert watched(handle) == []
    assert [m.manual for m in handle.workers[0].heard if isinstance(m, messages.PutLimits)] == [False]


def test_every_handler_is_called_with_what_it_needs(directory: Path) -> None:
    name = policy(directory, """
class Policy(KernelPathManager):
    def __init__(self, host):
        super().__init__(host)
        self.file = open(__file__ + ".log", "a", buffering=1)

    def note(self, *words):
        print(*words, file=self.file)

    def on_created(self, conn): self.note("created", conn.local, conn.remote_port, len(conn.subflows))
    async def on_established(self, conn): self.note("established", conn.server)
    def on_announced(self, conn, address): self.note("announced", address.id, address.address, address.port)
    def on_removed(self, conn, address): self.note("removed", address.id, address.address, len(conn.remotes))
    def on_sub_established(self, conn, subflow): self.note("joined", subflow.id, subflow.nic, sorted(conn.subflows))
    def on_sub_priority(self, conn, subflow): self.note("priority", conn.subflows[1].backup)
    def on_sub_closed(self, conn, subflow): self.note("left", subflow.error, subflow.reset_reason, len(conn.subflows))
    def on_closed(self, conn): self.note("closed", conn.closed)
    def on_lost(self, count): self.note("lost", count)
""")
    handle = fake.Handle(workers=1, path_manager=name)
    handle.workers[0].conns = (fake.conn(0, 6),)
    log = directory / "policy.py.log"

    def scenario(path: Path) -> None:
        tell(handle, CREATED, ESTABLISHED)
        time.sleep(0.1)  # async: in its own time
        tell(
            handle, event("announced", rem_id=2, daddr="10.0.2.2", dport=81), JOINED,
            event("sub_priority", subflow=1, loc_id=1, rem_id=2, backup=True, nic=1, **SECOND),
            event("removed", rem_id=2),
            event("sub_closed", subflow=1, backup=True, reset_reason=3, error=104, **SECOND),
        )  # fmt: skip
        # Connection 5 has ended unheard; 6 lives.
        tell(handle, event("created", conn=6, **FLOW), lost=9)
        assert until(lambda: "closed" in log.read_text())
        handle.kill(0)
        assert until(lambda: log.read_text().count("closed") == 2)

    fake.with_server(handle, scenario, directory)
    assert log.read_text().splitlines() == [
        "created 10.0.1.1 12000 1", "established False", "announced 2 10.0.2.2 81", "joined 1 1 [0, 1]",
        "priority True", "removed 2 10.0.2.2 0", "left 104 3 1", "created 10.0.1.1 12000 1", "lost 9", "closed True",
        "closed True",
    ]  # fmt: skip


def test_steps_are_answered_refused_and_repeated(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = policy(directory, """
class Policy(PathManager):
    async def on_established(self, conn):
        await conn.announce("10.0.2.1")
        try:
            await conn.close_subflow(conn.subflows[0])
        except OSError as error:
            await conn.withdraw(str(error.errno))
        conn.set_backup(conn.subflows[0])
        raise RuntimeError("a mistake")
""")
    handle = fake.Handle(workers=1, path_manager=name)
    handle.workers[0].step_errors = [errno.EAGAIN, errno.EAGAIN, 0, errno.ENOTCONN]

    def scenario(path: Path) -> None:
        tell(handle, CREATED, ESTABLISHED)
        assert until(lambda: len(steps(handle)) == 6)
        assert until(lambda: "a mistake" in caplog.text)
        tell(handle, event("created", conn=6, **FLOW))  # the instance goes on
        with framed() as sock:
            assert isinstance(sock.request(messages.GetLimits()), messages.LimitsReply)

    with caplog.at_level(logging.WARNING, "sennit.ctrl"):
        fake.with_server(handle, scenario, directory)
    said = [(s.op, s.local, s.local_port, s.remote_port, s.backup) for s in steps(handle)]
    assert said == [
        *[("announce", "10.0.2.1", 0, 0, False)] * 3, ("close", "", 40000, 12000, False),
        ("withdraw", str(errno.ENOTCONN), 0, 0, False), ("priority", "", 40000, 12000, True),
    ]  # fmt: skip
    assert len({s.seq for s in steps(handle)}) == 6
    assert "close on connection 0/5" in caplog.text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nothing", "is not like module:Class"),
        ("no.such.module:Policy", "cannot be loaded: ModuleNotFoundError"),
        ("json:JSONDecoder", "is no subclass"),
        ("json:loads", "is no subclass"),
        ("/no/such/file.py:Policy", "cannot be loaded: FileNotFoundError"),
    ],
)
def test_path_manager_that_cannot_be_loaded_ends_the_start(directory: Path, text: str, sentence: str) -> None:
    with pytest.raises(settings.StartError, match=sentence):
        fake.with_server(fake.Handle(workers=1, path_manager=text), lambda path: None, directory)


def test_path_manager_that_does_not_start_ends_the_start(directory: Path) -> None:
    name = policy(directory, """
class Policy(PathManager):
    def __init__(self, host):
        raise ValueError("no such peer")
""")
    with pytest.raises(settings.StartError, match="does not start: ValueError: no such peer"):
        fake.with_server(fake.Handle(workers=1, path_manager=name), lambda path: None, directory)


def test_module_in_the_current_directory_is_found(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "policy_here.py").write_text(BASE + "class Mine(KernelPathManager): pass\n")
    monkeypatch.chdir(directory)
    monkeypatch.setattr("sys.path", [p for p in sys.path if p not in ("", str(directory))])
    assert path_manager.load("policy_here:Mine").in_worker


# ------------------------------------------------------------------------------------------------------------ monitors


@contextlib.contextmanager
def framed() -> Iterator[framing.FramedSocket]:
    sock, _ = control_client.dial("unit", "test", 5)
    try:
        yield sock
    finally:
        sock.close()


def test_monitor_hears_events_and_workers_make_them_only_meanwhile(directory: Path) -> None:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        with framed() as sock, framed() as other:
            for one in (sock, other):
                assert one.request(messages.Monitor()) == messages.Done()
            tell(handle, CREATED, ESTABLISHED, lost=3)
            assert sock.receive(3) == messages.Events((CREATED, ESTABLISHED), 3)
            assert other.receive(3) == messages.Events((CREATED, ESTABLISHED), 3)
            assert isinstance(sock.request(messages.GetLimits()), messages.LimitsReply)
        assert until(lambda: watched(handle) == [True, False])

    fake.with_server(handle, scenario, directory)


def test_new_worker_of_a_monitored_instance_is_watched_too(directory: Path) -> None:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        with framed() as sock:
            sock.request(messages.Monitor())
            handle.kill(0)
            handle.restart(0)
            assert until(lambda: watched(handle) == [True])

    fake.with_server(handle, scenario, directory)


class Slow:
    """A client that takes messages, but does not read them until it is let."""

    def __init__(self) -> None:
        self.closed = False
        self.got: list[messages.Events] = []
        self.reads = asyncio.Event()

    def send(self, message: messages.Reply) -> None:
        assert isinstance(message, messages.Events)
        self.got.append(message)

    async def drained(self) -> None:
        await self.reads.wait()


def test_slow_listener_loses_events_in_one_place_and_is_told_how_many() -> None:
    async def main() -> None:
        client = Slow()
        listener = paths.Listener(client)
        numbered = [event("closed", conn=i) for i in range(paths.MAX_QUEUED + 100)]
        listener.offer(numbered[:1], 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        listener.offer(numbered[1:], 0)
        listener.offer(numbered[:7], 5)
        assert len(client.got) == 1
        client.reads.set()
        while not client.got[-1].lost:
            await asyncio.sleep(0)
        listener.offer(numbered[-1:], 0)
        for _ in range(5):
            await asyncio.sleep(0)
        told = [e.conn for said in client.got for e in said.events]
        assert told == [*range(paths.MAX_QUEUED + 1), numbered[-1].conn]
        assert sum(said.lost for said in client.got) == 99 + 7 + 5
        assert client.got[-1] == messages.Events((numbered[-1],), 0)
        listener.task.cancel()

    asyncio.run(main())


def test_events_are_written_like_the_kernels() -> None:
    assert [monitor.line(e) for e in (CREATED, JOINED, LEFT)] == [
        "[       CREATED] token=0000004d remid=0 locid=0 saddr4=10.0.1.1 daddr4=10.0.1.2 sport=40000 dport=12000",
        "[SF_ESTABLISHED] token=0000004d remid=2 locid=1 saddr4=10.0.2.1 daddr4=10.0.2.2 sport=40001 dport=12000 "
        "backup=0 nic=1",
        "[     SF_CLOSED] token=0000004d remid=2 locid=1 saddr4=10.0.2.1 daddr4=10.0.2.2 sport=40001 dport=12000 "
        "backup=0 error=110 nic=1",
    ]
    assert monitor.line(event("removed", rem_id=3)) == "[       REMOVED] token=0000004d remid=3"
    six = event("announced", rem_id=3, daddr="fd00::2")
    assert monitor.line(six) == "[     ANNOUNCED] token=0000004d remid=3 daddr6=fd00::2"
    served = event("created", server_side=True, deny_join_id0=True, **FLOW)
    assert monitor.line(served).endswith("dport=12000 flags=3")


def monitored(directory: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    handle = fake.Handle(workers=1)

    def scenario(path: Path) -> None:
        thread = threading.Thread(target=cli.main, args=(["monitor", *words],), daemon=True)
        thread.start()
        assert until(lambda: watched(handle) == [True])
        tell(handle, CREATED, event("closed"), lost=12)
        time.sleep(0.2)

    fake.with_server(handle, scenario, directory)
    return capsys.readouterr().out.splitlines()


def test_monitor_command_prints_lines_and_json(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = monitored(directory, capsys)
    assert plain == [monitor.line(CREATED), "[        CLOSED] token=0000004d", "lost 12 events"]
    objects = [json.loads(text) for text in monitored(directory, capsys, "--json")]
    assert [o["event"] for o in objects] == ["created", "closed", "lost"]
    assert (objects[0]["saddr"], objects[2]["count"]) == ("10.0.1.1", 12)
    assert "daddr" not in objects[1]


def test_one_connection_is_asked_for_by_its_number(directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.workers[1].conns = (fake.conn(1, 6), fake.conn(1, 7))

    def scenario(path: Path) -> None:
        with framed() as sock:
            assert sock.request(messages.GetConn(1, 7)) == messages.ConnReply(fake.conn(1, 7))
            for worker, conn in ((1, 8), (0, 7), (9, 7), (-1, 7), (1, 0)):
                assert sock.request(messages.GetConn(worker, conn)) == messages.ConnReply(None)

    fake.with_server(handle, scenario, directory)


def test_default_class_is_found_without_a_name() -> None:
    assert path_manager.load("") is path_manager.KernelPathManager
