# SPDX-License-Identifier: Apache-2.0
"""A laboratory out of network namespaces: this host, a router that shapes, and a Linux peer, joined by N paths.

    host  h<i> 10.1.<i>.1/24 --- rh<i> .254  router  .254 rp<i> --- 10.2.<i>.1/24 p<i>  peer
          fd00:1:<i>::1/64       ::254               ::254          fd00:2:<i>::1/64    with ipv6=True, beside IPv4

What enters the router by rh<i> leaves by rp<i> and the other way round, whatever the destination: a path is chosen by
the interface, so a subflow from h2 to the peer's first address travels over path 2. Each egress of the router is
shaped. With splice=True every path is cut between router and peer: what leaves by rp<i> comes out at f<i>, and e<i>
leads to p<i>, both in the router's namespace, for a program that joins them.

Everything is made on entry and removed on exit, also after an exception or Ctrl-C; what a killed run left behind is
removed by the next one. Needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self

NAME = re.compile(r"^snt-(\d+)-[0-9a-f]+-(host|net|peer)$")
PEER = str(Path(__file__).resolve().with_name("lab_peer.py"))
NEEDED = ("ip", "tc", "ethtool", "nstat")
OFFLOADS = ("tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off")
Family = Literal["ipv4", "ipv6"]
ANY: dict[Family, str] = {"ipv4": "0.0.0.0", "ipv6": "::"}  # what a listener of the kernel binds to


class LabError(RuntimeError):
    """The laboratory cannot be built; one sentence says why."""


def check_host() -> None:
    """Raises LabError, with the way out, if namespaces cannot be made here."""
    if os.geteuid() != 0:
        raise LabError("network namespaces need root: run it as root, or use 'sennit demo --sim'")
    lacking = [tool for tool in NEEDED if shutil.which(tool) is None]
    if lacking:
        raise LabError(f"not found: {', '.join(lacking)}: apt install iproute2 ethtool")


def _run(*args: str, stdin: str | None = None, check: bool = True) -> str:
    done = subprocess.run(args, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabError(f"'{' '.join(args)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _namespaces() -> list[str]:
    return [line.split()[0] for line in _run("ip", "netns", "list", check=False).splitlines() if line.strip()]


def _pids(namespace: str) -> list[int]:
    return [int(number) for number in _run("ip", "netns", "pids", namespace, check=False).split()]


def _remove(namespace: str) -> None:
    """Ends what still runs inside (started by a laboratory, nothing else enters these names) and deletes it."""
    for number in _pids(namespace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    _run("ip", "netns", "delete", namespace, check=False)


def remove_stale() -> list[str]:
    """Removes namespaces of laboratories whose process is gone; returns their names."""
    stale = [n for n in _namespaces() if (m := NAME.match(n)) and not Path(f"/proc/{m[1]}").exists()]
    for namespace in stale:
        _remove(namespace)
    return stale


class Lab:
    """Context manager. rate_mbit 0: no shaping. The host's own kernel can use every path too."""

    def __init__(
        self,
        paths: int = 3,
        *,
        rate_mbit: float = 100,
        queue_ms: float = 40,
        burst: int = 32768,
        mtu: int = 1500,
        ipv6: bool = False,
        splice: bool = False,
    ):
        self.paths = paths
        self.ipv6 = ipv6
        self.splice = splice
        self.rate_mbit = rate_mbit
        self.queue_ms = queue_ms
        self.burst = burst
        self.mtu = mtu
        base = f"snt-{os.getpid()}-{secrets.token_hex(2)}"
        self.host, self.net, self.peer = (f"{base}-{part}" for part in ("host", "net", "peer"))
        self._children: list[subprocess.Popen[Any]] = []
        self._holder: subprocess.Popen[Any] | None = None

    # ------------------------------------------------------------------------------------------------------ addresses

    @property
    def indices(self) -> range:
        return range(1, self.paths + 1)

    @property
    def ports(self) -> list[str]:
        """Interfaces of the host."""
        return [f"h{i}" for i in self.indices]

    def host_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.1.{path}.1" if family == "ipv4" else f"fd00:1:{path}::1"

    def peer_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.2.{path}.1" if family == "ipv4" else f"fd00:2:{path}::1"

    # ---------------------------------------------------------------------------------------------------------- set-up

    def __enter__(self) -> Self:
        check_host()
        remove_stale()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _build(self) -> None:
        for namespace in (self.host, self.net, self.peer):
            _run("ip", "netns", "add", namespace)
            self.sysctl(namespace, {
                "net.ipv4.conf.all.rp_filter": 0,
                "net.ipv4.conf.default.rp_filter": 0,
                "net.ipv6.conf.all.disable_ipv6": int(not self.ipv6),
                "net.ipv6.conf.default.disable_ipv6": int(not self.ipv6),
                "net.ipv6.conf.default.accept_ra": 0,
                "net.ipv6.conf.default.accept_dad": 0,
                "net.ipv6.conf.default.dad_transmits": 0,
                "net.ipv4.tcp_no_metrics_save": 1,
            })  # fmt: skip
            self._loss_based(namespace)
        self.sysctl(self.net, {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.send_redirects": 0})
        for i in self.indices:
            _run("ip", "link", "add", f"h{i}", "netns", self.host, "type", "veth", "peer", f"rh{i}", "netns", self.net)
            end = f"e{i}" if self.splice else f"rp{i}"
            _run("ip", "link", "add", f"p{i}", "netns", self.peer, "type", "veth", "peer", end, "netns", self.net)
        if self.splice:
            self._build_cuts()
        self.batch(self.host, ["link set lo up", *(line for i in self.indices for line in self._end("h", 1, 2, i))])
        self.batch(self.peer, ["link set lo up", *(line for i in self.indices for line in self._end("p", 2, 1, i))])
        self.batch(self.net, ["link set lo up", *(line for i in self.indices for line in self._router(i))])
        if self.ipv6:
            self._build_ipv6()
        for namespace, names in (
            (self.host, self.ports),
            (self.peer, [f"p{i}" for i in self.indices]),
            (self.net, [f"r{side}{i}" for side in "hp" for i in self.indices]),
        ):
            for name in names:
                self.run(namespace, "ethtool", "-K", name, *OFFLOADS)
        if self.rate_mbit:
            self.shape(self.rate_mbit)
        self.run(self.peer, "ip", "mptcp", "limits", "set", "subflow", "8", "add_addr_accepted", "8")
        self._holder = self.popen(self.net, "sleep", "infinity")

    def _build_cuts(self) -> None:
        """Ends that nobody speaks through but the program that joins them."""
        cuts = [f"{letter}{i}" for letter in "ef" for i in self.indices]
        self.batch(self.net, [f"link add rp{i} type veth peer name f{i}" for i in self.indices])
        self.batch(self.net, [f"link set {name} mtu {self.mtu} arp off addrgenmode none up" for name in cuts])
        for name in cuts:
            self.run(self.net, "ethtool", "-K", name, *OFFLOADS)

    def _loss_based(self, namespace: str) -> None:
        """Cubic as the default, or reno where a namespace may not choose cubic (tcp_allowed_congestion_control)."""
        for name in ("cubic", "reno"):
            self.run(namespace, "sh", "-c", f"echo {name} > /proc/sys/net/ipv4/tcp_congestion_control", check=False)
            if self.run(namespace, "cat", "/proc/sys/net/ipv4/tcp_congestion_control").strip() == name:
                return

    def _end(self, letter: str, own: int, other: int, i: int) -> list[str]:
        """Either end of path i. The table per source address lets a kernel use every path towards any address."""
        name, gateway = f"{letter}{i}", f"10.{own}.{i}.254"
        return [
            f"link set {name} mtu {self.mtu} up",
            f"address add 10.{own}.{i}.1/24 dev {name}",
            f"route add 10.{other}.{i}.0/24 via {gateway} dev {name}",
            f"route add default via {gateway} dev {name} metric {100 + i}",
            f"route add default via {gateway} dev {name} table {100 + i}",
            *([f"rule add from 10.{own}.{i}.1 table {100 + i}"] if letter == "h" else []),
        ]

    def _router(self, i: int) -> list[str]:
        return [
            f"link set rh{i} mtu {self.mtu} up",
            f"link set rp{i} mtu {self.mtu} up",
            f"address add 10.1.{i}.254/24 dev rh{i}",
            f"address add 10.2.{i}.254/24 dev rp{i}",
            f"route add default via 10.2.{i}.1 dev rp{i} table {100 + i}",
            f"route add default via 10.1.{i}.1 dev rh{i} table {200 + i}",
            f"rule add iif rh{i} table {100 + i}",
            f"rule add iif rp{i} table {200 + i}",
        ]

    def _build_ipv6(self) -> None:
        """The same addresses and routes again, of IPv6. Nobody waits for duplicate address detection."""
        self.sysctl(self.net, {"net.ipv6.conf.all.forwarding": 1})
        for namespace, letter, own, other in ((self.host, "h", 1, 2), (self.peer, "p", 2, 1)):
            lines = []
            for i in self.indices:
                name, gateway = f"{letter}{i}", f"fd00:{own}:{i}::254"
                lines += [
                    f"address add fd00:{own}:{i}::1/64 dev {name} nodad",
                    f"route add fd00:{other}:{i}::/64 via {gateway} dev {name}",
                    f"route add default via {gateway} dev {name} metric {100 + i}",
                    f"route add default via {gateway} dev {name} table {100 + i}",
                    *([f"rule add from fd00:{own}:{i}::1 table {100 + i}"] if letter == "h" else []),
                ]
            self.batch(namespace, lines, "-6")
        lines = []
        for i in self.indices:
            lines += [
                f"address add fd00:1:{i}::254/64 dev rh{i} nodad",
                f"address add fd00:2:{i}::254/64 dev rp{i} nodad",
                f"route add default via fd00:2:{i}::1 dev rp{i} table {100 + i}",
                f"route add default via fd00:1:{i}::1 dev rh{i} table {200 + i}",
                f"rule add iif rh{i} table {100 + i}",
                f"rule add iif rp{i} table {200 + i}",
            ]
        self.batch(self.net, lines, "-6")

    def shape(self, rate_mbit: float, path: int | None = None) -> None:
        """Sets the rate of both directions of one path, or of all."""
        for i in self.indices if path is None else (path,):
            for name in (f"rh{i}", f"rp{i}"):
                self.run(
                    self.net, "tc", "qdisc", "replace", "dev", name, "root", "tbf", "rate", f"{rate_mbit}mbit",
                    "burst", str(self.burst), "latency", f"{self.queue_ms}ms",
                )  # fmt: skip

    def close(self) -> None:
        """Ends every process started here and removes the namespaces. May be called twice."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + 5
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()
        self._holder = None
        existing = set(_namespaces())
        for namespace in (self.host, self.net, self.peer):
            if namespace in existing:
                _remove(namespace)

    # --------------------------------------------------------------------------------------------------------- running

    def run(self, namespace: str, *args: str, check: bool = True, timeout: float = 60) -> str:
        """Runs a command inside and returns its output."""
        done = subprocess.run(
            ["ip", "netns", "exec", namespace, *args], capture_output=True, text=True, check=False, timeout=timeout
        )
        if check and done.returncode:
            raise LabError(f"'{' '.join(args)}' in {namespace} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def popen(
        self,
        namespace: str,
        *args: str,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
    ) -> subprocess.Popen[Any]:
        """Starts a process inside; it is ended with the laboratory. Its own session: Ctrl-C reaches us alone."""
        child = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *args],
            stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True,
        )  # fmt: skip
        self._children.append(child)
        return child

    def batch(self, namespace: str, lines: Sequence[str], *options: str) -> None:
        """Many ip(8) commands in one process."""
        _run("ip", "-n", namespace, *options, "-batch", "-", stdin="\n".join(lines) + "\n")

    def sysctl(self, namespace: str, values: dict[str, int | str]) -> None:
        script = "".join(f"echo '{value}' > /proc/sys/{key.replace('.', '/')}\n" for key, value in values.items())
        self.run(namespace, "sh", "-ec", script)

    # --------------------------------------------------------------------------------------------------------- looking

    def pids(self, namespace: str) -> list[int]:
        """Processes that run inside."""
        return _pids(namespace)

    def nstat(self, namespace: str) -> dict[str, int]:
        """All kernel counters of a namespace, absolute."""
        counters: dict[str, int] = json.loads(self.run(namespace, "nstat", "-asz", "-j"))["kernel"]
        return counters

    def path_bytes(self) -> tuple[list[int], list[int]]:
        """Bytes the router sent so far per path: towards the peer, towards the host. Cheap: one file is read."""
        assert self._holder is not None
        sent: dict[str, int] = {}
        for line in Path(f"/proc/{self._holder.pid}/net/dev").read_text().splitlines()[2:]:
            name, _, rest = line.partition(":")
            sent[name.strip()] = int(rest.split()[8])
        return [sent[f"rp{i}"] for i in self.indices], [sent[f"rh{i}"] for i in self.indices]

    def peer_endpoints(self, flags: str | None, family: Family = "ipv4") -> None:
        """Path-manager endpoints of the peer for every path but the first; None removes them all."""
        self.kernel_endpoints(self.peer, "p", 2, flags, family)

    def kernel_endpoints(
        self, namespace: str, letter: str, net: int, flags: str | None, family: Family = "ipv4"
    ) -> None:
        self.run(namespace, "ip", "mptcp", "endpoint", "flush")
        if flags:
            for i in self.indices[1:]:
                self.run(
                    namespace,
                    "ip",
                    "mptcp",
                    "endpoint",
                    "add",
                    f"10.{net}.{i}.1" if family == "ipv4" else f"fd00:{net}:{i}::1",
                    "dev",
                    f"{letter}{i}",
                    *flags.split(),
                )


@dataclass(frozen=True)
class Side:
    """What one end of a transfer says when it is done; times of CLOCK_MONOTONIC."""

    first: float
    last: float
    sha256: str
    size: int
    mptcp: bool | None = None


class Programs(Protocol):
    """What can run programs in namespaces: Lab, and others like it."""

    def popen(
        self, namespace: str, *args: str, stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None
    ) -> subprocess.Popen[Any]: ...


class KernelProcess:
    """lab_peer.py in a namespace: a program on the kernel's sockets, spoken to through its JSON lines."""

    def __init__(
        self, lab: Programs, namespace: str, port: int, role: str, address: str, do: str, size: int, *options: str
    ):
        self.what = f"{role} in {namespace}"
        self.process = lab.popen(
            namespace, sys.executable, "-I", PEER, role, address, str(port), "--do", do, "--bytes", str(size), *options,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def event(self, wanted: str) -> dict[str, Any]:
        """The next event of this kind; an error of the program is an error here."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        for line in self.process.stdout:
            said: dict[str, Any] = json.loads(line)
            if said["event"] == wanted:
                return said
            if said["event"] == "error":
                raise LabError(f"the kernel's {self.what} failed: {said['error']}")
        raise LabError(f"the kernel's {self.what} ended early: {self.process.stderr.read().decode()[-500:]}")

    def done(self) -> Side:
        said = self.event("done")
        return Side(said["first"], said["last"], said["sha256"], said["bytes"], said["mptcp"])
