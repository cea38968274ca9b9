# SPDX-License-Identifier: Apache-2.0
"""A sennit runtime inside a laboratory's host namespace, as a child process like any user's."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.errors import ToolError
from sennit.tools.lab import Family, Programs

START_S = 30.0


def command(*args: str) -> list[str]:
    """The `sennit` command line of this very installation."""
    return [sys.executable, "-P", "-m", "sennit.tools.cli", *args]


class Place(Programs, Protocol):
    """Where a runtime can live: a namespace and the interfaces in it that become its ports."""

    @property
    def host(self) -> str: ...
    @property
    def ports(self) -> list[str]: ...
    @property
    def indices(self) -> range: ...
    def host_address(self, path: int, family: Family = "ipv4") -> str: ...


class Runtime:
    """Context manager: `sennit up` on entry, ready when every worker runs; ordered stop on exit."""

    def __init__(
        self,
        lab: Place,
        *,
        lcores: str = "0",
        name: str | None = None,
        extra: Sequence[str] = (),
        ports: Sequence[str] = (),
    ):
        self.lab = lab
        self.ports = list(ports or lab.ports)
        self.lcores = lcores
        self.name = name or f"lab-{os.getpid()}-{secrets.token_hex(2)}"
        self.extra = list(extra)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as we do
        self._process: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the control process."""
        return self.status().pid

    def start(self) -> None:
        ports = [word for port in self.ports for word in ("--port", port)]
        self._process = self.lab.popen(
            self.lab.host, *command("up", "--name", self.name, "--lcores", self.lcores, *ports, *self.extra),
            stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            if self._process.poll() is not None:
                raise ToolError(f"the runtime did not start (exit status {self._process.returncode}): {self.log()}")
            with contextlib.suppress(ToolError):
                if all(worker.state == "RUN" for worker in self.status().workers):
                    return
            if time.monotonic() > deadline:
                raise ToolError(f"the runtime was not ready within {START_S:.0f} s: {self.log()}")
            time.sleep(0.05)

    def stop(self) -> int | None:
        """Orderly; the exit status. Kills what does not leave."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.poll() is None:
            with contextlib.suppress(ToolError), self.client() as client:
                client.shutdown(grace_s=1.0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        if process.poll() is None:
            process.kill()
            process.wait()
        return process.returncode

    def client(self) -> Client:
        return Client(self.name, name="lab")

    def status(self) -> messages.Status:
        with self.client() as client:
            return client.status()

    def counters(self) -> dict[str, int]:
        """By name, of all workers together."""
        total: Counter[str] = Counter()
        for worker in self.status().workers:
            total.update(worker.counters)
        return dict(total)  # a name that there is none of is an error

    def log(self) -> str:
        """What the runtime has printed, the end of it."""
        path = Path(f"/proc/self/fd/{self._log.fileno()}")
        return path.read_text(errors="replace")[-4000:].strip()

    def endpoints(self, *flags: str, paths: Sequence[int] | None = None, family: Family = "ipv4") -> None:
        """Replaces the endpoint table: paths 2.. with these flags, or an empty table without flags."""
        with self.client() as client:
            for endpoint in client.endpoints():
                client.del_endpoint(endpoint.id)
            for path in (self.lab.indices[1:] if paths is None else paths) if flags else ():
                client.add_endpoint(messages.Endpoint(id=0, address=self.lab.host_address(path, family), flags=flags))

    def limits(self, subflows: int, add_addr_accepted: int) -> None:
        with self.client() as client:
            client.set_limits(subflows=subflows, add_addr_accepted=add_addr_accepted)
