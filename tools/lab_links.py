# SPDX-License-Identifier: Apache-2.0
"""A laboratory of emulated links between a host of sennit ("left") and one of the kernel ("right")."""

from __future__ import annotations

import os
import secrets
import subprocess
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from sennit.tools import netlab_file
from sennit.tools.lab import Family
from sennit.tools.netlab import Netlab


class Links:
    """One link per entry of `shapes` (words of docs/netlab.md). Context manager."""

    host, peer = "left", "right"

    def __init__(self, *shapes: dict[str, Any]):
        name = f"snl{os.getpid()}{secrets.token_hex(2)}"
        links = [
            {
                "name": f"p{i}",
                "a": f"left {self.host_address(i)}/24 {self.host_address(i, 'ipv6')}/64",
                "b": f"right {self.peer_address(i)}/24 {self.peer_address(i, 'ipv6')}/64",
                **shape,
            }
            for i, shape in enumerate(shapes, 1)
        ]
        self.netlab = Netlab(netlab_file.check(msgspec.convert({"link": links}, netlab_file.File), name))
        self.indices = range(1, len(shapes) + 1)
        self.ports = [f"p{i}" for i in self.indices]

    def __enter__(self) -> Self:
        self.netlab.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.netlab.close()

    def host_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.7.{path}.1" if family == "ipv4" else f"fd00:7:{path}::1"

    def peer_address(self, path: int, family: Family = "ipv4") -> str:
        return f"10.7.{path}.2" if family == "ipv4" else f"fd00:7:{path}::2"

    def popen(
        self, namespace: str, *args: str, stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None
    ) -> subprocess.Popen[Any]:
        return self.netlab.popen(namespace, *args, stdout=stdout, stderr=stderr)

    def run(self, namespace: str, *args: str) -> str:
        return self.netlab.run(namespace, *args)

    def set(self, path: int, side: str = "", **shape: Any) -> None:
        self.netlab.set(f"p{path}", side, **shape)
