# SPDX-License-Identifier: Apache-2.0
"""Every message that crosses a process boundary, as frozen tagged msgspec structs encoded as MessagePack.

Two conversations:

* control socket (unix stream): 4-byte big-endian length, then one `Request` or `Reply`. File descriptors of an attached
  session travel as SCM_RIGHTS with the reply.
* control rings (shared memory, control process <-> worker): one record is one `ToWorker` or `FromWorker`.

Every message is decoded once, at the boundary, by the decoders at the end of this file; what does not fit the schema is
answered with `Failure` (socket) or counted and dropped (rings).
"""

from __future__ import annotations

from typing import Union

import msgspec

PROTOCOL_VERSION = 1
MAX_FRAME = 16 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag=True, tag_field="t", forbid_unknown_fields=True):
    """Base: immutable, tagged with the class name."""


# --------------------------------------------------------------------------------------------------------- plain data


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A local address for the path manager; words as in ip-mptcp(8)."""

    id: int
    address: str
    flags: tuple[str, ...] = ()  # of: signal, subflow, backup, fullmesh
    port: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Path-manager limits, as `ip mptcp limits`."""

    subflows: int = 8
    add_addr_accepted: int = 8


class PortInfo(msgspec.Struct, frozen=True):
    """One port as the runtime took it over."""

    index: int
    name: str  # as given: interface name or PCI address
    driver: str
    mac: str
    address: str  # "10.0.1.1/24"; "" without IPv4
    gateway: str | None
    mtu: int
    queues: int
    steering: str  # rung in use: "rte_flow", "software-forward"
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_missed: int = 0
    flow_rules: int = 0
    address6: str = ""  # "fd00:1::1/64"; "" without IPv6
    gateway6: str | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """What the port has of both families, with prefix, IPv4 first."""
        return tuple(a for a in (self.address, self.address6) if a)

    @property
    def gateways(self) -> tuple[str, ...]:
        return tuple(g for g in (self.gateway, self.gateway6) if g)


class SubflowInfo(msgspec.Struct, frozen=True):
    id: int
    state: str
    join: bool
    backup: bool
    usable: bool
    stale: bool
    port: int  # index of the port it leaves by
    local: str  # "10.0.1.1:40000"
    remote: str
    local_id: int
    remote_id: int
    cwnd: int  # bytes
    ssthresh: int
    in_flight: int
    mss: int
    srtt_us: float
    rttvar_us: float
    min_rtt_us: float
    rto_us: float
    bytes_sent: int
    bytes_acked: int
    bytes_received: int
    bytes_retrans: int
    segs_sent: int
    segs_received: int
    retrans: int
    rtos: int


class ConnInfo(msgspec.Struct, frozen=True):
    worker: int
    conn: int
    session: int
    token: int
    state: str
    mptcp: bool
    server: bool
    scheduler: str
    local: str
    remote: str
    bytes_sent: int
    bytes_acked: int
    bytes_received: int
    bytes_retrans: int
    send_queue: int
    recv_queue: int
    age_s: float
    subflows: tuple[SubflowInfo, ...]


class TableInfo(msgspec.Struct, frozen=True):
    used: int
    peak: int
    count: int
    item_size: int


class WorkerInfo(msgspec.Struct, frozen=True):
    """One lcore."""

    worker: int
    lcore: int
    pid: int
    state: str  # BOOT, RUN, DRAIN, HALT, FAIL
    restarts: int
    heartbeat_age_ms: float
    uptime_s: float
    loops: int
    idle_share: float  # 0..1 of the time since the previous housekeeping pass
    conns: int  # all of them, also where `Status.conns` is cut
    pool_free: int
    pool_size: int
    counters: dict[str, int]
    tables: dict[str, TableInfo]


class SessionInfo(msgspec.Struct, frozen=True):
    """One attached application."""

    session: int
    pid: int
    uid: int
    name: str
    shm_bytes: int
    age_s: float


# ----------------------------------------------------------------------------------------------------- control socket


class Hello(Message, frozen=True):
    """First request of every client. name: what the client calls itself."""

    version: int = PROTOCOL_VERSION
    name: str = ""


class Attach(Message, frozen=True):
    """Makes this connection an application session; it lives as long as the socket. Sizes 0: defaults.

    Reply `Attached` with file descriptors: per worker, in order: channel memory, application's doorbell, worker's
    doorbell (shm/segment.py makes them).
    """

    tx_bytes: int = 0
    rx_bytes: int = 0


class GetStatus(Message, frozen=True):
    """max_conns limits the connections listed per worker."""

    max_conns: int = 256


class GetEndpoints(Message, frozen=True):
    pass


class AddEndpoint(Message, frozen=True):
    """id 0: the lowest free one."""

    endpoint: Endpoint


class DelEndpoint(Message, frozen=True):
    id: int


class GetLimits(Message, frozen=True):
    pass


class SetLimits(Message, frozen=True):
    subflows: int | None = None
    add_addr_accepted: int | None = None


class Shutdown(Message, frozen=True):
    """Ordered stop of the whole runtime. grace_s: how long connections may take to close."""

    grace_s: float = 5.0


Request = Union[Hello, Attach, GetStatus, GetEndpoints, AddEndpoint, DelEndpoint, GetLimits, SetLimits, Shutdown]


class Welcome(Message, frozen=True):
    version: int
    instance: str
    pid: int
    workers: int


class Done(Message, frozen=True):
    pass


class Failure(Message, frozen=True):
    """error: one sentence that names the thing and the way out. errno: Linux' number, 0 if none fits."""

    error: str
    errno: int = 0


class Attached(Message, frozen=True):
    session: int
    workers: int
    channel_bytes: int
    addresses: tuple[str, ...]  # of the ports without prefix, in index order, IPv4 first


class Status(Message, frozen=True):
    instance: str
    version: str
    pid: int
    uptime_s: float
    time_unix: float
    workers: tuple[WorkerInfo, ...]
    ports: tuple[PortInfo, ...]
    conns: tuple[ConnInfo, ...]
    sessions: tuple[SessionInfo, ...]
    endpoints: tuple[Endpoint, ...]
    limits: Limits


class Endpoints(Message, frozen=True):
    endpoints: tuple[Endpoint, ...]


class LimitsReply(Message, frozen=True):
    limits: Limits


class WorkerDown(Message, frozen=True):
    """Unasked: a worker of this session died; its connections are gone. The channel is marked dead."""

    worker: int


class WorkerUp(Message, frozen=True):
    """Unasked, with three file descriptors as in `Attached`: a new worker's channel of this session."""

    worker: int


Reply = Union[Welcome, Done, Failure, Attached, Status, Endpoints, LimitsReply, WorkerDown, WorkerUp]


# ------------------------------------------------------------------------------------------------------ control rings


class AttachChannel(Message, frozen=True):
    """The channel's three descriptors come over the worker's descriptor socket, tagged with the session."""

    session: int


class DetachChannel(Message, frozen=True):
    session: int


class PutEndpoint(Message, frozen=True):
    """port_index: the NIC port that has this address."""

    endpoint: Endpoint
    port_index: int


class RemoveEndpoint(Message, frozen=True):
    id: int


class PutLimits(Message, frozen=True):
    limits: Limits


class Query(Message, frozen=True):
    """Asks for a `Snapshot`."""

    seq: int
    max_conns: int


class SiblingRestarted(Message, frozen=True):
    """Buffers lent to that worker will not come back through its return ring."""

    worker: int


class Drain(Message, frozen=True):
    """Close every connection, then report `Drained`."""


class Halt(Message, frozen=True):
    """Leave now."""


ToWorker = Union[
    AttachChannel, DetachChannel, PutEndpoint, RemoveEndpoint, PutLimits, Query, SiblingRestarted, Drain, Halt
]


class Ready(Message, frozen=True):
    pid: int


class ChannelAttached(Message, frozen=True):
    session: int
    error: str | None = None


class ChannelDetached(Message, frozen=True):
    """Nothing in the worker refers to the session's memory any more. violation: the worker ended it by itself."""

    session: int
    violation: bool = False


class Snapshot(Message, frozen=True):
    seq: int
    worker: WorkerInfo
    conns: tuple[ConnInfo, ...]


class Drained(Message, frozen=True):
    pass


class WorkerError(Message, frozen=True):
    error: str


FromWorker = Union[Ready, ChannelAttached, ChannelDetached, Snapshot, Drained, WorkerError]

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
to_worker_decoder = msgspec.msgpack.Decoder(ToWorker)
from_worker_decoder = msgspec.msgpack.Decoder(FromWorker)
