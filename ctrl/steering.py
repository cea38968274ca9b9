# SPDX-License-Identifier: Apache-2.0
"""Asks ports for one exact rule per subflow, so that its packets arrive at the worker that owns the connection.

Best effort: whatever no rule catches is forwarded between workers in software. Bounded per port; a rule goes
when its subflow has gone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from sennit.ctrl import contract
from sennit.shm import messages

log = logging.getLogger("sennit.ctrl")

PERIOD_S = 0.5
MAX_CONNS = 4096  # looked at per worker
MAX_RULES = 1024  # per port
BY_RULE = "rte_flow"
BY_FORWARD = "software-forward"


@dataclass(frozen=True)
class Flow:
    """A subflow as a port sees it."""

    port: int
    local: str  # "10.0.1.1:40000"
    remote: str

    @property
    def kind(self) -> tuple[int, bool]:
        """The port, and whether it is IPv6."""
        return self.port, self.local.startswith("[")


@dataclass(frozen=True)
class Rule:
    number: int
    worker: int


def wanted_flows(conns: Iterable[messages.ConnInfo]) -> dict[Flow, int]:
    """Which worker should get the packets of which flow."""
    return {Flow(s.port, s.local, s.remote): conn.worker for conn in conns for s in conn.subflows}


class Steering:
    """The rules in force. Only the control process makes and removes them."""

    def __init__(self, handle: contract.Handle) -> None:
        self._handle = handle
        self._rules: dict[Flow, Rule] = {}
        # Ports and whether IPv6: what can have rules, and why it makes no more.
        self._refused: dict[tuple[int, bool], str] = {}
        self._able = {
            (port.index, ":" in address)
            for port in handle.port_info()
            if port.steering == BY_RULE
            for address in port.addresses
        }

    def useful(self) -> bool:
        """False: one worker gets everything anyway, or no port can do it."""
        return len(self._handle.workers) > 1 and bool(self._able - self._refused.keys())

    def look(self, conns: Iterable[messages.ConnInfo]) -> None:
        """Brings the rules in line with the subflows there are now."""
        wanted = wanted_flows(conns)
        for flow, rule in list(self._rules.items()):
            if wanted.get(flow) != rule.worker:
                self._drop(flow)
        counts: dict[int, int] = {}
        for flow in self._rules:
            counts[flow.port] = counts.get(flow.port, 0) + 1
        for flow, worker in wanted.items():
            if flow in self._rules or flow.kind not in self._able or flow.kind in self._refused:
                continue
            if counts.get(flow.port, 0) >= MAX_RULES:
                continue
            if self._ask(flow, worker):
                counts[flow.port] = counts.get(flow.port, 0) + 1

    def worker_down(self, index: int) -> None:
        for flow, rule in list(self._rules.items()):
            if rule.worker == index:
                self._drop(flow)

    def decorate(self, ports: Iterable[messages.PortInfo]) -> tuple[messages.PortInfo, ...]:
        """Ports with the rung that is in use."""
        counts: dict[int, int] = {}
        for flow in self._rules:
            counts[flow.port] = counts.get(flow.port, 0) + 1
        return tuple(
            msgspec.structs.replace(port, steering=self._rung(port), flow_rules=counts.get(port.index, port.flow_rules))
            for port in ports
        )

    def _rung(self, port: messages.PortInfo) -> str:
        """One that makes rules for one family still makes rules."""
        left = {kind for kind in self._able - self._refused.keys() if kind[0] == port.index}
        return BY_FORWARD if port.steering == BY_RULE and not left else port.steering

    def _ask(self, flow: Flow, worker: int) -> bool:
        try:
            number = self._handle.flow_ask(flow.port, worker, flow.local, flow.remote)
        except OSError as error:
            # One refusal is an answer for this port and family: it is not asked again for every packet of every flow.
            self._refused[flow.kind] = error.strerror or str(error)
            log.info(
                "port %d makes no flow rules for %s: %s; packets are forwarded in software",
                flow.port, "IPv6" if flow.kind[1] else "IPv4", error,
            )  # fmt: skip
            return False
        self._rules[flow] = Rule(number, worker)
        return True

    def _drop(self, flow: Flow) -> None:
        rule = self._rules.pop(flow)
        try:
            self._handle.flow_drop(flow.port, rule.number)
        except OSError as error:
            log.warning("port %d: flow rule of %s is not removed: %s", flow.port, flow.local, error)
