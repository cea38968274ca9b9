# SPDX-License-Identifier: Apache-2.0
"""`sennit check-capture`: what a capture breaks of RFC 8684."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sennit.tools.commands.base import Command, add_json, print_json
from sennit.tools.errors import UsageError

if TYPE_CHECKING:
    from sennit.tools.capture_rules import Report

SHOWN = 50  # findings in full; --json has all


class CheckCapture(Command):
    help = "check MPTCP in captures against RFC 8684: HMACs, mappings, bytes, checksums, windows"
    examples = """\
  sennit check-capture run-a.pcapng
  sennit check-capture path1.pcap path2.pcap          one connection, one file per path
  sennit check-capture run-a.pcapng --json"""

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="+", type=Path, help="pcap or pcapng of one host, from before the first SYN on"
        )
        parser.add_argument("--rules", action="store_true", help="list every rule with how often it was judged")
        add_json(parser)

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        from sennit.tools.capture_check import check

        for path in options.file:
            if not path.is_file():
                raise UsageError(f"no file {path}")
        report = check(*options.file)
        if options.json:
            print_json(report)
        else:
            _show(report, options.rules)
        return 1 if report.found else 0


def _show(report: Report, rules: bool) -> None:
    from sennit.tools.capture_rules import RULES

    print(f"{report.frames} frames, {report.segments} TCP segments, {report.options} MPTCP options")
    for name, count in (("in part", report.cut), ("without their SYN", report.without_start)):
        if count:
            print(f"{count} segments were captured {name}")
    if report.unseen or report.lacking:
        print(f"the capture lacks {report.lacking} bytes; {report.unseen} acknowledgments are of what it does not have")
    for conn in report.connections:
        there, back = conn.octets
        print(
            f"connection {conn.token or '(no token)'} from frame {conn.first_frame}: {conn.state}, "
            f"subflows {conn.subflows}, bytes {there} and {back}"
        )
    if rules:
        for rule, (section, what) in RULES.items():
            print(f"{report.checked[rule]:>9} {rule:<20} {section:<6} {what}")
    else:
        judged = len(RULES) - len(report.never_checked())
        print(f"{sum(report.checked.values())} judgements by {judged} of {len(RULES)} rules")
    for finding in report.findings[:SHOWN]:
        print(finding)
    for rule, times in report.broken().most_common():
        print(f"{times:>9} times {rule}")
    print(f"{len(report.found)} findings")
