# SPDX-License-Identifier: Apache-2.0
"""Runs cells of the matrix: a laboratory of eight paths, a runtime in it, a program at either end, and what is looked
at when a cell is over. Everything is kept from cell to cell; only a cell with other flags gets another runtime."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from sennit.shm import messages
from sennit.tools import matrix_boxes, matrix_cells
from sennit.tools.client import Client
from sennit.tools.lab import ANY, Family, Lab
from sennit.tools.lab_runtime import Runtime
from sennit.tools.matrix_capture import Capture
from sennit.tools.matrix_cells import Cell, Expected

PATHS = 8
END = str(Path(__file__).resolve().with_name("matrix_end.py"))
PORTS = itertools.cycle(range(20000, 28000))
ANNOUNCED = itertools.cycle(range(30000, 60000))  # a port of the kernel stays taken for a while
ANSWER_S = 30.0
JOIN_S = 8.0
DRAIN_S = 10.0
FIRST, LONG, LAST, EXTRA = 100_000, 4_000_000, 200_000, 60_000
HOLE_S = 0.7
TABLES = ("connections", "subflows", "chunks", "segments")


class Failed(AssertionError):
    """A cell cannot go on."""


class End:
    """A program at one end of the connection."""

    def __init__(self, door: str, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        self._socket.connect(door)
        self._lines = self._socket.makefile("rw")
        self.pid: int = self.answer()["pid"]

    def tell(self, what: str, **values: Any) -> None:
        self._lines.write(json.dumps({"do": what, **values}) + "\n")
        self._lines.flush()

    def answer(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise Failed(f"{self.name}: no answer within {ANSWER_S:.0f} s") from None
        if not line:
            raise Failed(f"{self.name}: has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def ask(self, what: str, **values: Any) -> dict[str, Any]:
        self.tell(what, **values)
        return self.answer()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Ends the program if it still runs: it closes what it has."""
        with contextlib.suppress(OSError):
            self._lines.close()
        self._socket.close()


class Result(msgspec.Struct, frozen=True):
    """Of one cell."""

    cell: str
    seconds: float
    failures: tuple[str, ...] = ()


class Bench:
    """Context manager: the laboratory and the runtime of the last cell, and the programs that wait to be forked. Cells
    that need other ones get them."""

    def __init__(self, lcores: str = "0", capture: Path | None = None) -> None:
        self.capture = capture  # a folder: every cell is captured there and judged
        self._lcores = lcores
        self._stack = contextlib.ExitStack()
        self._splice: subprocess.Popen[bytes] | None = None
        self._runtime: Runtime | None = None
        self._client: Client | None = None
        self._flags: tuple[str, ...] = ()
        self.lab: Lab | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _build(self, splice: bool) -> None:
        self._stack.close()
        self.lab = None
        with contextlib.ExitStack() as stack:
            lab = stack.enter_context(Lab(PATHS, ipv6=True, splice=splice))
            inside = ["ip", "netns", "exec"]
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sennit-matrix-")))
            self._doors = {"kernel": str(folder / "kernel"), "sennit": str(folder / "sennit")}
            lab.sysctl(lab.peer, {"net.ipv4.tcp_fin_timeout": 5})
            kernel, ours = [*inside, lab.peer, sys.executable, "-I", END], [sys.executable, "-P", END]
            self._start(stack, [*kernel, "kernel", self._doors["kernel"]])
            self._start(stack, [*ours, "sennit", self._doors["sennit"]])
            if splice:
                near, far = ([f"{letter}{i}" for i in lab.indices] for letter in "fe")
                program = [sys.executable, "-P", "-m", "sennit.tools.matrix_splice", *near, "--", *far]
                self._splice = self._start(stack, [*inside, lab.net, *program])
            stack.callback(self.stop_runtime)
            self._stack = stack.pop_all()
        self.lab = lab

    @staticmethod
    def _start(stack: contextlib.ExitStack, words: list[str]) -> subprocess.Popen[bytes]:
        """A program that says when it is ready."""
        program = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        stack.callback(program.wait)
        stack.callback(program.kill)
        assert program.stdout is not None
        if program.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{' '.join(words)} did not start")
        return program

    def stop_runtime(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._runtime is not None:
            self._runtime.stop()
            self._runtime = None

    def need(self, cell: Cell) -> Lab:
        """The laboratory, with a runtime in it, for a cell."""
        splice = cell.event in matrix_cells.LINK_BOXES
        if self.lab is None or self.lab.splice != splice:
            self._build(splice)
        assert self.lab is not None
        if self._runtime is None or self._flags != cell.flags:
            self.stop_runtime()
            runtime = Runtime(self.lab, lcores=self._lcores, extra=cell.flags)
            runtime.__enter__()
            self._runtime, self._flags = runtime, cell.flags
            self._client = runtime.client()
        return self.lab

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    @property
    def instance(self) -> str:
        assert self._runtime is not None
        return self._runtime.name

    def box(self, event: str) -> None:
        """What the links between router and peer do to segments."""
        program = self._splice
        assert program is not None
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(f"{event}\n".encode())
        program.stdin.flush()
        if program.stdout.readline() != b"ready\n":
            raise RuntimeError("the links between router and peer are gone")

    # --------------------------------------------------------------------------------------------------------- one cell

    def run(self, cell: Cell) -> Result:
        """Never raises for what a cell does: its failures are sentences."""
        lab = self.need(cell)
        start = time.monotonic()
        run = Run(self, lab, cell)
        packets = Capture(lab, cell, self.capture) if self.capture else None
        try:
            run.whole()
        except (Failed, OSError) as error:
            run.failures.append(str(error))
        finally:
            run.leave()
            if packets:
                packets.stop()
        if packets:
            run.failures += packets.judge()
        if run.failures:
            # What went wrong may have left something: the next cell begins afresh.
            self.stop_runtime()
        return Result(str(cell), round(time.monotonic() - start, 3), tuple(run.failures))

    def end(self, stack: str) -> End:
        return End(self._doors[stack], "ours" if stack == "sennit" else "theirs")


class Run:
    """One cell, step by step."""

    def __init__(self, bench: Bench, lab: Lab, cell: Cell) -> None:
        self.bench = bench
        self.lab = lab
        self.cell = cell
        self.expected: Expected = matrix_cells.expected(cell)
        self.failures: list[str] = []
        self.port = next(PORTS)
        self._ends: list[End] = []

    def whole(self) -> None:
        self._prepare()
        worker = self.bench.client.status().workers[0]
        theirs = self.lab.nstat(self.lab.peer)
        self._connect()
        self._exchange(FIRST)
        self._wait_for_joins()
        self._exchange(LONG, self._event)
        self._check_state()
        self._finish()
        if self.cell.event == "blackholed":
            self._nft(matrix_boxes.pass_all())  # what is left of the lost path can end
        self._drained(worker)
        self._counters(worker, theirs)

    def leave(self) -> None:
        for end in self._ends:
            end.leave()

    def _check(self, right: bool, sentence: str) -> None:
        if not right:
            self.failures.append(sentence)

    def _nft(self, ruleset: str) -> None:
        words = ["ip", "netns", "exec", self.lab.net, "nft", "-f", "-"]
        done = subprocess.run(words, input=ruleset, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"nft refused {ruleset!r}: {done.stderr}")

    # --------------------------------------------------------------------------------------------------------- set-up

    @property
    def _client_is_ours(self) -> bool:
        return self.cell.role == "client"

    @property
    def _family(self) -> Family:
        return "ipv6" if self.cell.family == "ipv6" else "ipv4"

    def _prepare(self) -> None:
        cell, lab = self.cell, self.lab
        self._nft(matrix_boxes.begin(cell.event, "h" if self._client_is_ours else "p"))
        if cell.event in matrix_cells.LINK_BOXES:
            self.bench.box(cell.event)
        lab.sysctl(lab.peer, {
            "net.mptcp.checksum_enabled": int(cell.checksum == "theirs"),
            "net.mptcp.allow_join_initial_addr_port": int(not (cell.pm == "cflag" and self._client_is_ours)),
        })  # fmt: skip
        # 40 bytes of options do not hold timestamps and an IPv6 address with a port; neither stack announces it then.
        alone = cell.pm == "port" and self._family == "ipv6"
        lab.sysctl(lab.peer, {"net.ipv4.tcp_timestamps": int(not alone)})
        server, client = self._endpoints()
        ours, theirs = (client, server) if self._client_is_ours else (server, client)
        limits = cell.count - 1
        self.bench.client.set_limits(subflows=limits, add_addr_accepted=8 if limits else 0)
        for endpoint in self.bench.client.endpoints():
            self.bench.client.del_endpoint(endpoint.id)
        for path, words, port in ours:
            address = lab.host_address(path, self._family)
            self.bench.client.add_endpoint(messages.Endpoint(path, address, tuple(words.split()), port))
        lines = ["mptcp endpoint flush", f"mptcp limits set subflow {limits} add_addr_accepted {8 if limits else 0}"]
        for path, words, port in theirs:
            address = lab.peer_address(path, self._family)
            with_port = f" port {port}" if port else ""
            lines.append(f"mptcp endpoint add {address} dev p{path} id {path} {words}{with_port}")
        lab.batch(lab.peer, lines)

    def _endpoints(self) -> tuple[list[tuple[int, str, int]], list[tuple[int, str, int]]]:
        """Of the server and of the client: path, words, port."""
        extra = range(2, self.cell.count + 1)
        match self.cell.pm:
            case "signal" | "cflag":
                return [(i, "signal", 0) for i in extra], []
            case "port":
                return [(i, "signal", next(ANNOUNCED)) for i in extra], []
            case "fullmesh":
                # Two addresses of either side make 3 paths, 3 and 4 make 8 of 9; the limits do the rest.
                here, there = ((2,), (2,)) if self.cell.count == 3 else ((2, 3, 4), (2, 3))
                return [(i, "signal", 0) for i in there], [(i, "subflow fullmesh", 0) for i in here]
            case "backup":
                return [], [(i, "subflow backup", 0) for i in extra]
        return [], [(i, "subflow", 0) for i in extra]

    def _connect(self) -> None:
        cell, lab = self.cell, self.lab
        self.ours, self.theirs = self.bench.end("sennit"), self.bench.end("kernel")
        self._ends = [self.ours, self.theirs]
        server, client = (self.theirs, self.ours) if self._client_is_ours else (self.ours, self.theirs)
        more: dict[End, dict[str, Any]] = {self.ours: {"instance": self.bench.instance}, self.theirs: {}}
        if cell.event == "corrupt":
            # Linux 6.18 leaves no room for its infinite mapping in a full segment; it would never leave the host.
            more[self.theirs] = {"maxseg": 1340}
        elif cell.event == "coalesce":
            more[self.theirs] = {"maxseg": 600}  # two of them fit into a frame
        everywhere = "::" if cell.family == "mapped" else ANY[self._family]
        to = (lab.peer_address if self._client_is_ours else lab.host_address)(1, self._family)
        server.ask("listen", address=everywhere, port=self.port, **more[server])
        server.tell("accept")
        mapped = "::ffff:" if cell.family == "mapped" else ""
        client.ask("connect", address=mapped + to, port=self.port, **more[client])
        server.answer()

    # -------------------------------------------------------------------------------------------------------- exchange

    def _exchange(self, size: int, event: Any = None) -> None:
        """Both directions at once, compared byte by byte at either end."""
        seeds = (self.port, self.port + 1)
        for end, (out, back) in ((self.ours, seeds), (self.theirs, seeds[::-1])):
            end.tell("exchange", send=(out, size), receive=(back, size))
        if event:
            event()
        for end in (self.ours, self.theirs):
            answer = end.answer()
            for word in ("send_error", "receive_error", "eof"):
                if word in answer:
                    raise Failed(f"{end.name}: {word} {answer[word]} after {answer['received']} bytes of {size}")
            altered = event is not None and end.name == self.expected.altered
            self._check(
                (answer["differs"] is not None) == altered,
                f"{end.name}: {'nothing was altered' if altered else 'other bytes than were sent'}: {answer}",
            )

    def _wait_for_joins(self) -> None:
        wanted = self.expected.joins[0]
        if not wanted:
            return
        deadline = time.monotonic() + JOIN_S
        while True:
            joined = [end.ask("state")["joined"] for end in (self.ours, self.theirs)]
            if joined == [wanted, wanted]:
                return
            if time.monotonic() > deadline:
                raise Failed(f"joined: ours {joined[0]}, theirs {joined[1]}, wanted {wanted}")
            time.sleep(0.02)

    def _victim(self) -> str:
        """The address that goes away: the second path's, or the first one's where there is no other."""
        path = 2 if self.cell.count > 1 else 1
        ours = matrix_cells.ours_has_endpoint(self.cell)
        return (self.lab.host_address if ours else self.lab.peer_address)(path, self._family)

    def _event(self) -> None:
        event = self.cell.event
        if event == "removed":
            time.sleep(0.03)
            if matrix_cells.ours_has_endpoint(self.cell):
                self.bench.client.del_endpoint(2)
            else:
                self.lab.batch(self.lab.peer, ["mptcp endpoint delete id 2"])
        elif event in ("blackholed", "restored"):
            time.sleep(0.03)
            self._nft(matrix_boxes.hole(self._victim()))
            if event == "restored":
                time.sleep(HOLE_S)
                self._nft(matrix_boxes.pass_all())
        elif event == "corrupt":
            self._nft(matrix_boxes.alter("h" if self._client_is_ours else "p"))

    def _check_state(self) -> None:
        for end in (self.ours, self.theirs):
            mptcp = end.ask("state")["mptcp"]
            self._check(mptcp == self.expected.mptcp, f"{end.name}: {'MPTCP' if mptcp else 'TCP'} at the end")

    # ------------------------------------------------------------------------------------------------------------- end

    def _finish(self) -> None:
        """One side ends the connection in the cell's way; what the other sees."""
        closer, other = (self.ours, self.theirs) if self.cell.ours_closes else (self.theirs, self.ours)
        getattr(self, f"_{self.cell.end}")(closer, other)

    def _sees_end(self, end: End, wanted: tuple[str, ...] | None = None) -> None:
        answer = end.ask("until_end")
        wanted = wanted or self.expected.ends
        self._check(
            answer["ended"] in wanted, f"{end.name}: the stream ended with {answer['ended']}, not {' or '.join(wanted)}"
        )  # fmt: skip
        self._check(answer["received"] == 0, f"{end.name}: {answer['received']} bytes that nobody sent")

    def _close(self, closer: End, other: End) -> None:
        closer.ask("close")
        self._sees_end(other)
        other.ask("close")

    def _half(self, closer: End, other: End) -> None:
        closer.ask("shutdown")
        self._sees_end(other)
        other.ask("send", seed=5, size=LAST)
        other.ask("close")
        answer = closer.ask("receive", seed=5, size=LAST)
        self._check(
            (answer["received"], answer["differs"]) == (LAST, None), f"{closer.name}: after its end: {answer}"
        )  # fmt: skip
        self._sees_end(closer, ("EOF",))
        closer.ask("close")

    def _fastclose(self, closer: End, other: End) -> None:
        """Closes with bytes that nobody read."""
        other.ask("send", seed=6, size=EXTRA)
        closer.ask("receive", seed=6, size=1)
        closer.ask("close")
        self._sees_end(other)
        other.ask("close")

    def _abort(self, closer: End, other: End) -> None:
        closer.ask("abort")
        self._sees_end(other)
        other.ask("close")

    def _kill(self, closer: End, other: End) -> None:
        closer.kill()
        self._sees_end(other)
        other.ask("close")

    # ----------------------------------------------------------------------------------------------------------- after

    def _left(self, before: messages.WorkerInfo) -> list[str]:
        """What our tables hold beyond what they held before the cell; TIME_WAIT is no connection of anybody's."""
        status = self.bench.client.status()
        now = status.workers[0]
        left = [f"{len(status.conns)} connections"] if status.conns else []
        for name in TABLES:
            if now.tables[name].used > before.tables[name].used:
                left.append(f"{now.tables[name].used - before.tables[name].used} of table {name}")
        return left

    def _drained(self, before: messages.WorkerInfo) -> None:
        deadline = time.monotonic() + DRAIN_S
        while left := self._left(before):
            if time.monotonic() > deadline:
                self.failures.append(f"left behind after {DRAIN_S:.0f} s: {', '.join(left)}")
                return
            time.sleep(0.02)

    def _counters(self, worker: messages.WorkerInfo, theirs: dict[str, int]) -> None:
        e = self.expected
        ours_now = self.bench.client.status().workers[0].counters
        for said in matrix_cells.differences(e.ours, matrix_cells.WRONG_OURS, worker.counters, ours_now):
            self.failures.append(f"ours: {said}")
        before, after = (_kernel_names(counters) for counters in (theirs, self.lab.nstat(self.lab.peer)))
        for said in matrix_cells.differences(e.theirs, matrix_cells.WRONG_THEIRS, before, after):
            self.failures.append(f"theirs: {said}")
        joined = "MPJoinAckRx" if self._client_is_ours else "MPJoinSynAckRx"
        for said in matrix_cells.differences({joined: e.joins}, (), before, after):
            self.failures.append(f"theirs: {said}")


def _kernel_names(counters: dict[str, int]) -> dict[str, int]:
    """nstat's, without the group of the MPTCP ones."""
    return {name.removeprefix("MPTcpExt"): value for name, value in counters.items()}
