# SPDX-License-Identifier: Apache-2.0
"""Scenario files of the simulator (TOML, docs/simulator.md): what a person writes becomes a driver.Scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from sennit.tools import sim_driver as driver
from sennit.tools import sim_view
from sennit.tools.errors import UsageError

Size = int | str  # 4096, "64k", "8M"


class Link(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One direction of a path."""

    rate_mbit: float = 0.0  # 0: no limit
    delay_ms: float = 0.0
    queue_ms: float | None = None  # one round trip (at least 64 KiB) unless said; 0: no limit
    ecn_ms: float = 0.0  # frames that wait longer are marked
    loss: float = 0.0
    loss_every: int = 0
    burst_enter: float = 0.0
    burst_leave: float = 0.0
    burst_loss: float = 1.0
    burst_ms: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 0.0
    jitter_ms: float = 0.0
    mtu: int = 0
    up_ms: float = 0.0
    down_ms: float = 0.0

    def native(self) -> driver.Link:
        def ns(ms: float) -> int:
            return round(ms * driver.MS)

        wait = driver.path(self.rate_mbit, self.delay_ms, queue_ms=self.queue_ms)
        return driver.Link(
            rate_bps=wait.rate_bps,
            delay_ns=wait.delay_ns,
            queue_bytes=0 if self.queue_ms == 0 else wait.queue_bytes,
            ecn_bytes=round(self.rate_mbit * 1000 / 8 * self.ecn_ms),
            loss_every=self.loss_every,
            loss=self.loss,
            burst_enter=self.burst_enter,
            burst_leave=self.burst_leave,
            burst_loss=self.burst_loss if self.burst_enter else 0.0,
            burst_ns=ns(self.burst_ms),
            duplicate=self.duplicate,
            corrupt=self.corrupt,
            reorder=self.reorder,
            reorder_ns=ns(self.reorder_ms),
            jitter_ns=ns(self.jitter_ms),
            mtu=self.mtu,
            up_ns=ns(self.up_ms),
            down_ns=ns(self.down_ms),
        )


KINDS = {"mss": 2, "wscale": 3, "sack-permitted": 4, "sack": 5, "timestamps": 8, "mptcp": 30}
Kind = Literal["mss", "wscale", "sack-permitted", "sack", "timestamps", "mptcp"]


def _mask(kinds: tuple[Kind, ...]) -> int:
    return driver.kinds(*(KINDS[k] for k in kinds))


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The middlebox of a path."""

    nat: bool = False
    sequence: bool = False
    forget_sack: bool = False
    strip_syn: tuple[Kind, ...] = ()
    strip_synack: tuple[Kind, ...] = ()
    strip_data: tuple[Kind, ...] = ()
    mangle: float = 0.0
    mangle_options: tuple[Kind, ...] = ()
    mss: int = 0
    split: int = 0
    coalesce: int = 0
    coalesce_ms: float = 1.0
    drop_options: bool = False  # coalescing keeps the first segment's MPTCP options only
    rewrite: float = 0.0
    rewrite_max: int = 0
    mtu: int = 0
    fragment: int = 0  # IP fragments of so many bytes, a multiple of 8

    def native(self) -> driver.Box:
        flags = (driver.NAT if self.nat else 0) | (driver.SEQ if self.sequence else 0)
        flags |= (driver.NO_SACK if self.forget_sack else 0) | (driver.DUMB if self.drop_options else 0)
        return driver.Box(
            flags=flags,
            strip_syn=_mask(self.strip_syn),
            strip_synack=_mask(self.strip_synack),
            strip_data=_mask(self.strip_data),
            mangle_kinds=_mask(self.mangle_options),
            mangle=self.mangle,
            mss=self.mss,
            split=self.split,
            coalesce=self.coalesce,
            coalesce_ns=round(self.coalesce_ms * driver.MS) if self.coalesce else 0,
            rewrite=self.rewrite,
            rewrite_max=self.rewrite_max,
            mtu=self.mtu,
            fragment=self.fragment,
        )


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path; `back` replaces `link` for the direction from server to client."""

    link: Link = Link()
    back: Link | None = None
    box: Box = Box()


WHAT = {
    "down": driver.DOWN,
    "up": driver.UP,
    "rebind": driver.REBIND,
    "pool-empty": driver.POOL,
    "forward-full": driver.FORWARD,
    "freeze": driver.FREEZE,
    "stop-reading": driver.NO_READ,
    "worker-stops": driver.STOP,
    "clock-jump": driver.CLOCK,
    "application-dies": driver.DIE,
    "ack-stalls": driver.STALL,
    "syn-flood": driver.FLOOD,
}
HOSTS = {"client": 0, "server": 1}


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that happens, or begins at `at_ms` and lasts `for_ms`."""

    at_ms: float
    what: Literal[
        "down",
        "up",
        "rebind",
        "pool-empty",
        "forward-full",
        "freeze",
        "stop-reading",
        "worker-stops",
        "clock-jump",
        "application-dies",
        "ack-stalls",
        "syn-flood",
    ]
    path: int = 0
    host: Literal["client", "server"] = "client"
    for_ms: float = 0.0
    worker: int = 0
    share: float = 1.0  # of the allocations that fail
    jump_ms: float = 0.0
    per_s: int = 10_000  # SYNs of a flood

    def native(self) -> list[driver.Event]:
        at, lasts = round(self.at_ms * driver.MS), round(self.for_ms * driver.MS)
        what, host = WHAT[self.what], HOSTS[self.host]
        if what == driver.DOWN and lasts:
            return [driver.Event(at, self.path, driver.DOWN), driver.Event(at + lasts, self.path, driver.UP)]
        arg = {
            driver.POOL: round(self.share * 1000),
            driver.STOP: self.worker,
            driver.CLOCK: round(self.jump_ms * driver.MS),
            driver.FLOOD: self.per_s,
        }.get(what, 0)
        return [driver.Event(at, self.path, what, lasts, arg, host)]


class Messages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The client sends messages at times fixed beforehand; their one-way times are measured."""

    count: int
    octets: int = 1000
    every_ms: float = 1.0


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A scenario file."""

    path: tuple[Way, ...]
    title: str = ""
    seed: int = 1
    kind: Literal["mptcp", "tcp", "tcp-client", "tcp-server"] = "mptcp"
    family: Literal["ipv4", "ipv6", "mixed"] = "ipv4"  # mixed: IPv6 on paths 1, 3, ...
    to_server: Size = 0
    to_client: Size = 0
    connections: int = 1
    messages: Messages | None = None
    event: tuple[Event, ...] = ()
    workers: tuple[int, int] = (1, 1)
    steering: Literal["rss", "blocks", "first"] = "rss"
    scheduler: str = "default"
    close: Literal["calm", "early", "only"] = "calm"
    cc: str = ""
    ecn: Literal["default", "off", "accept", "ask"] = "default"
    pacing: bool = False
    timers: Literal["", "datacenter", "linux"] = ""
    checksums: bool = False  # DSS checksums
    software_checksums: bool = False
    mtu: int = 1500
    receive_buffer: Size = 0
    read_rate: Size = 0  # bytes/s of the server's application
    shared: bool = False
    errors_allowed: bool = False
    bytes_may_differ: bool = False
    bound_s: float = 3600.0

    def native(self) -> driver.Scenario:
        """As the simulator takes it."""
        if not 1 <= len(self.path) <= 8:
            raise UsageError(f"{len(self.path)} paths: 1 to 8")
        schedulers = driver.SCHEDULERS
        if self.scheduler not in schedulers:
            raise UsageError(f"scheduler {self.scheduler}: one of {', '.join(sorted(schedulers))}")
        events = sorted((e for some in self.event for e in some.native()), key=lambda e: e.at_ns)
        for e in events:
            if not 0 <= e.path < len(self.path):
                raise UsageError(f"an event names path {e.path}: 0 to {len(self.path) - 1}")
        self._check_family()
        m = self.messages
        rest: dict[str, Any] = {}
        if m is not None:
            rest = {"msg_bytes": m.octets, "msg_every_ns": round(m.every_ms * driver.MS)}
        if self.timers:
            rest["profile"] = self.timers
        allow = driver.ALLOW_ERRORS if self.errors_allowed else 0
        return driver.Scenario(
            ab=tuple(p.link.native() for p in self.path),
            ba=tuple((p.back or p.link).native() for p in self.path),
            box=tuple(p.box.native() for p in self.path),
            seed=self.seed,
            bound_ns=round(self.bound_s * driver.SECOND),
            bytes_ab=m.count * m.octets if m else _size(self.to_server),
            bytes_ba=_size(self.to_client),
            conns=self.connections,
            event=tuple(events),
            allow=allow | (driver.ALLOW_BYTES if self.bytes_may_differ else 0),
            workers_a=self.workers[0],
            workers_b=self.workers[1],
            steering=driver.STEERING[self.steering],
            family=driver.FAMILIES[self.family],
            sched_a=schedulers[self.scheduler],
            sched_b=schedulers[self.scheduler],
            closing=driver.CLOSING[self.close],
            cc=self.cc,
            ecn=("default", "off", "accept", "ask").index(self.ecn),
            pacing=self.pacing,
            csum_a=self.checksums,
            csum_b=self.checksums,
            tcp_a=self.kind in ("tcp", "tcp-client"),
            tcp_b=self.kind in ("tcp", "tcp-server"),
            soft_csum=self.software_checksums,
            mtu=self.mtu,
            rcvbuf=_size(self.receive_buffer),
            read_rate_b=_size(self.read_rate),
            shared=self.shared,
            **rest,
        )

    def _check_family(self) -> None:
        if self.family != "ipv4" and self.mtu < driver.IPV6_MTU:
            raise UsageError(f"mtu {self.mtu}: IPv6 needs at least {driver.IPV6_MTU}")
        for i, way in enumerate(self.path):
            if way.box.nat and (self.family == "ipv6" or (self.family == "mixed" and i % 2)):
                raise UsageError(f"path {i} is IPv6: there is no NAT")


def _size(value: Size) -> int:
    return sim_view.size(value) if isinstance(value, str) else value


def load(name: Path) -> File:
    """Reads a file; what is wrong with it is said with the place."""
    try:
        return msgspec.toml.decode(name.read_bytes(), type=File, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: not TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
