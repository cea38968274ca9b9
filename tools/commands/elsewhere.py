# SPDX-License-Identifier: Apache-2.0
"""Commands with a parser of their own: `sennit demo`, `sennit sim`, `sennit bench`, `sennit matrix`."""

from __future__ import annotations

from collections.abc import Sequence

from sennit.tools.commands.base import Command


class Demo(Command):
    help = "run the main job on this machine against a Linux MPTCP peer (--sim: without privilege, in virtual time)"
    passes_through = True

    @classmethod
    def forward(cls, arguments: Sequence[str]) -> int:
        from sennit.tools import demo

        return int(demo.main(list(arguments)))


class Sim(Command):
    help = "run the engine in the simulator"
    passes_through = True

    @classmethod
    def forward(cls, arguments: Sequence[str]) -> int:
        from sennit.tools import sim

        return int(sim.main(list(arguments)))


class Bench(Command):
    help = "measure what the engine costs in instructions and memory (in a clone)"
    passes_through = True

    @classmethod
    def forward(cls, arguments: Sequence[str]) -> int:
        from sennit.tools import bench

        return int(bench.main(list(arguments)))


class Matrix(Command):
    help = "try every combination of role, family, path manager, fault and end against this machine's kernel (root)"
    passes_through = True

    @classmethod
    def forward(cls, arguments: Sequence[str]) -> int:
        from sennit.tools import matrix

        return int(matrix.main(list(arguments)))
