# SPDX-License-Identifier: Apache-2.0
"""`sennit doctor`."""

from __future__ import annotations

import argparse

from sennit.tools.commands import up
from sennit.tools.commands.base import Command, add_instance, add_json, print_json, print_table


class Doctor(Command):
    help = "check what this host offers, and what was given up"
    examples = (
        "  sennit doctor\n"
        "  sennit doctor --port veth-a1 --lcores 0-1     would `sennit up` with these arguments start?\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        add_json(parser)
        up.add_configuration(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        from sennit.runtime import host

        config = up.configuration(options) if options.port or options.config else None
        found = list(host.findings(config))
        if options.json:
            print_json([finding._asdict() for finding in found])
        else:
            from sennit.tools import render

            print_table(render.doctor([(finding.name, finding.ok, finding.sentence) for finding in found]))
        return 0 if all(finding.ok for finding in found) else 1
