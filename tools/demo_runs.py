# SPDX-License-Identifier: Apache-2.0
"""The transfers of the demo: one connection, one direction, measured at both ends and on the wire."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from sennit import sdk
from sennit.tools import lab_peer
from sennit.tools.lab import ANY, Family, KernelProcess, Lab, Side
from sennit.tools.lab_runtime import Runtime

PORT = 15000
SAMPLE_S = 0.05
TIMEOUT_S = 60.0

# Peer counters that must not move: any of them is a protocol error of one side or a fallback to TCP.
BAD = (
    "MPTcpExtMPCapableFallbackACK", "MPTcpExtMPCapableFallbackSYNACK", "MPTcpExtMPCapableDataFallback",
    "MPTcpExtMPFallbackTokenInit", "MPTcpExtDssFallback", "MPTcpExtMD5SigFallback", "MPTcpExtSimultConnectFallback",
    "MPTcpExtFallbackFailed", "MPTcpExtDSSNotMatching", "MPTcpExtDSSCorruptionFallback", "MPTcpExtDSSCorruptionReset",
    "MPTcpExtDSSNoMatchTCP", "MPTcpExtDataCsumErr", "MPTcpExtInfiniteMapTx", "MPTcpExtInfiniteMapRx",
    "MPTcpExtMPJoinNoTokenFound", "MPTcpExtMPJoinSynAckHMacFailure", "MPTcpExtMPJoinAckHMacFailure",
    "MPTcpExtMPFailTx", "MPTcpExtMPFailRx",
)  # fmt: skip
# Joins that were completed, as the peer's passive and active side count them.
JOINED = ("MPTcpExtMPJoinAckRx", "MPTcpExtMPJoinSynAckRx")


@dataclass
class Run:
    """One transfer. stack: who plays this host. series: seconds, and per path the Mbit/s on the wire since the last."""

    stack: str  # sennit, kernel
    role: str  # client, server
    direction: str  # send, receive
    paths: int
    size: int = 0
    seconds: float = 0.0
    goodput_mbit_s: float = 0.0
    share: list[float] = field(default_factory=list)
    sha256_ok: bool = False
    joins: int = 0
    series: list[tuple[float, list[float]]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return f"{self.role}/{self.direction}"

    def as_json(self) -> dict[str, Any]:
        return {
            "role": self.role,
            "direction": self.direction,
            "paths": self.paths,
            "goodput_mbit_s": round(self.goodput_mbit_s, 2),
            "share": [round(s, 4) for s in self.share],
            "sha256_ok": self.sha256_ok,
            "joins": self.joins,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
        }


class Sampler:
    """Reads the router's counters in the background. progress gets the bytes on the wire since the start, per path."""

    def __init__(self, lab: Lab, towards_peer: bool, progress: Callable[[float, list[int]], None]):
        self._lab = lab
        self._side = 0 if towards_peer else 1
        self._progress = progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._base = self._read()
        self.start = time.monotonic()
        self.samples: list[tuple[float, list[int]]] = [(self.start, [0] * lab.paths)]

    def _read(self) -> list[int]:
        return self._lab.path_bytes()[self._side]

    def _take(self) -> None:
        count = [now - base for now, base in zip(self._read(), self._base, strict=True)]
        self.samples.append((time.monotonic(), count))
        self._progress(time.monotonic() - self.start, count)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._take()

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._take()

    def series(self) -> list[tuple[float, list[float]]]:
        """Rates in Mbit/s between samples, from the first byte on."""
        rates: list[tuple[float, list[float]]] = []
        start = 0.0
        for (t0, before), (t1, after) in pairwise(self.samples):
            if not rates:
                if before == after:
                    continue
                start = t0
            span = max(t1 - t0, 1e-6)
            rates.append((t1 - start, [(b - a) * 8 / span / 1e6 for a, b in zip(before, after, strict=True)]))
        return rates

    def share(self) -> list[float]:
        total = sum(self.samples[-1][1]) or 1
        return [count / total for count in self.samples[-1][1]]


class Near(Protocol):
    """Who plays this host: sennit, or the host's own kernel for comparison."""

    stack: str

    def prepare(self, role: str, paths: int) -> None:
        """Addresses and limits for so many paths."""

    def run(self, role: str, direction: str, size: int) -> tuple[Side, Side]:
        """One transfer: what the near and the far end say."""


def opposite(direction: str) -> str:
    return "receive" if direction == "send" else "send"


class SennitNear:
    """sennit through its own blocking API. The first subflow is of `family`, the others of `joins` (the same)."""

    stack = "sennit"

    def __init__(self, lab: Lab, runtime: Runtime, family: Family = "ipv4", joins: Family | None = None):
        self._lab = lab
        self._runtime = runtime
        self._family = family
        self._joins = joins or family

    def prepare(self, role: str, paths: int) -> None:
        extra = paths - 1
        self._runtime.limits(extra, extra)
        flag = "subflow" if role == "client" else "signal"
        self._runtime.endpoints(*([flag] if extra else []), family=self._joins)
        # Without an address of the other family nobody could join it.
        announce = role == "client" and extra and self._joins != self._family
        self._lab.peer_endpoints("signal" if announce else None, self._joins)

    def run(self, role: str, direction: str, size: int) -> tuple[Side, Side]:
        lab, far_do = self._lab, opposite(direction)
        both = self._joins != self._family
        everywhere = "::" if both else ANY[self._family]
        if role == "client":
            peer = KernelProcess(lab, lab.peer, PORT, "server", everywhere, far_do, size)
            peer.event("listening")
            to = lab.peer_address(1, self._family)
            connection = sdk.connect((to, PORT), timeout=TIMEOUT_S, instance=self._runtime.name)
            with connection:
                return self._move(connection, direction, size), peer.done()
        with sdk.listen((everywhere, PORT), instance=self._runtime.name) as listener:
            here = lab.host_address(1, self._family)
            mapped = "::ffff:" if both and self._family == "ipv4" else ""  # a socket of the kernel that can do both
            peer = KernelProcess(lab, lab.peer, PORT, "client", mapped + here, far_do, size)
            listener.settimeout(TIMEOUT_S)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(TIMEOUT_S)
                return self._move(connection, direction, size), peer.done()

    @staticmethod
    def _move(connection: sdk.Connection, direction: str, size: int) -> Side:
        digest = hashlib.sha256()
        count = 0
        first = time.monotonic()
        if direction == "send":
            for block in lab_peer.Pattern(size).blocks():
                connection.sendall(block)
                digest.update(block)
                count += len(block)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        else:
            view = memoryview(bytearray(1 << 18))
            while n := connection.recv_into(view):
                digest.update(view[:n])
                count += n
            connection.shutdown(socket.SHUT_WR)
        return Side(first, time.monotonic(), digest.hexdigest(), count)


class KernelNear:
    """The host's own MPTCP, on the same links: what a good implementation reaches here. Client only."""

    stack = "kernel"

    def __init__(self, lab: Lab):
        self._lab = lab

    def prepare(self, role: str, paths: int) -> None:
        assert role == "client"
        self._lab.run(self._lab.host, "ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        self._lab.kernel_endpoints(self._lab.host, "h", 1, "subflow" if paths > 1 else None)

    def run(self, role: str, direction: str, size: int) -> tuple[Side, Side]:
        lab = self._lab
        far = KernelProcess(lab, lab.peer, PORT, "server", "0.0.0.0", opposite(direction), size)
        far.event("listening")
        near = KernelProcess(lab, lab.host, PORT, role, lab.peer_address(1), direction, size)
        return near.done(), far.done()


def measure(
    lab: Lab, near: Near, role: str, direction: str, paths: int, size: int, progress: Callable[[float, list[int]], None]
) -> Run:
    """One run from a known state. Goodput counts from the sender's first byte to the receiver's last."""
    near.prepare(role, paths)
    joins = lab.nstat(lab.peer)
    with Sampler(lab, direction == "send", progress) as sampler:
        here, there = near.run(role, direction, size)
    sender, receiver = (here, there) if direction == "send" else (there, here)
    seconds = receiver.last - sender.first
    after = lab.nstat(lab.peer)
    return Run(
        stack=near.stack,
        role=role,
        direction=direction,
        paths=paths,
        size=receiver.size,
        seconds=seconds,
        goodput_mbit_s=receiver.size * 8 / seconds / 1e6,
        share=sampler.share(),
        sha256_ok=receiver.size == size and receiver.sha256 == lab_peer.Pattern(size).sha256(),
        joins=sum(after[name] - joins[name] for name in JOINED),
        series=sampler.series(),
    )
