# SPDX-License-Identifier: Apache-2.0
"""The sub-commands of `sennit`, one module each. What a command needs is imported when it runs."""

from __future__ import annotations

from sennit.tools.commands import (
    check_capture,
    connect,
    doctor,
    down,
    elsewhere,
    endpoint,
    limits,
    listen,
    monitor,
    neigh,
    netlab,
    nstat,
    route,
    ss,
    status,
    top,
    up,
    version,
)
from sennit.tools.commands.base import Command

COMMANDS: dict[str, type[Command]] = {
    "up": up.Up,
    "down": down.Down,
    "status": status.Status,
    "top": top.Top,
    "nstat": nstat.Nstat,
    "ss": ss.Ss,
    "monitor": monitor.Monitor,
    "connect": connect.Connect,
    "listen": listen.Listen,
    "endpoint": endpoint.EndpointCommand,
    "limits": limits.LimitsCommand,
    "neigh": neigh.Neigh,
    "route": route.Route,
    "doctor": doctor.Doctor,
    "demo": elsewhere.Demo,
    "sim": elsewhere.Sim,
    "netlab": netlab.NetlabCommand,
    "check-capture": check_capture.CheckCapture,
    "bench": elsewhere.Bench,
    "matrix": elsewhere.Matrix,
    "version": version.Version,
}

__all__ = ["COMMANDS", "Command"]
