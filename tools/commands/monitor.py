# SPDX-License-Identifier: Apache-2.0
"""`sennit monitor`: connections and paths as they come and go, written as `ip mptcp monitor` writes the kernel's."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

import msgspec

from sennit.shm import messages
from sennit.tools.client import Client
from sennit.tools.commands.base import Command, add_instance

NAMES = {
    "created": "CREATED", "established": "ESTABLISHED", "closed": "CLOSED", "announced": "ANNOUNCED",
    "removed": "REMOVED", "sub_established": "SF_ESTABLISHED", "sub_closed": "SF_CLOSED", "sub_priority": "SF_PRIO",
}  # fmt: skip


class Lost(msgspec.Struct, frozen=True, omit_defaults=True):
    """In between: so many events are missing here."""

    event: str
    count: int


def line(e: messages.PathEvent) -> str:
    """One event, in the order in which ip(8) writes attributes."""
    family = "6" if ":" in (e.saddr or e.daddr or "") else "4"
    begins = e.event in ("created", "established")
    flags = e.deny_join_id0 | e.server_side << 1 if begins else 0
    words: list[tuple[str, object | None]] = [
        ("token", f"{e.token:08x}"),
        ("remid", 0 if begins else e.rem_id),
        ("locid", 0 if begins else e.loc_id),
        (f"saddr{family}", e.saddr),
        (f"daddr{family}", e.daddr),
        ("sport", e.sport),
        ("dport", e.dport),
        ("backup", None if e.backup is None else int(e.backup)),
        ("error", e.error),
        ("flags", flags or None),
        ("nic", e.nic),
        ("reset_reason", e.reset_reason),
        ("reset_flags", None if e.reset_flags is None else hex(e.reset_flags)),
    ]
    written = " ".join(f"{name}={value}" for name, value in words if value is not None)
    return f"[{NAMES.get(e.event, e.event):>14}] {written}"


def lines(said: messages.Events, as_json: bool) -> Iterator[str]:
    for event in said.events:
        yield msgspec.json.encode(event).decode() if as_json else line(event)
    if said.lost:
        lost = Lost("lost", said.lost)
        yield msgspec.json.encode(lost).decode() if as_json else f"lost {said.lost} events"


class Monitor(Command):
    help = "show connections and paths as they come and go, the way `ip mptcp monitor` does"
    examples = (
        "  sennit monitor\n"
        "  sennit monitor --json | jq -c 'select(.event == \"sub_closed\") | {daddr, error, reset_reason}'\n"
    )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_instance(parser)
        parser.add_argument("--json", action="store_true", help="one JSON object per line")

    @classmethod
    def run(cls, options: argparse.Namespace) -> int:
        with Client(options.name) as client, contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            name = client.instance
            for said in client.monitor(lambda: print(f"monitoring '{name}'", file=sys.stderr, flush=True)):
                for text in lines(said, options.json):
                    print(text)
                sys.stdout.flush()
        return 0
