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
    flags: tuple[str, ...] = ()  # of: signal, subflow, backup, fullmesh, laminar
    port: int = 0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Path-manager limits, as `ip mptcp limits`."""

    subflows: int = 8
    add_addr_accepted: int = 8
    ndiffports: int = 1  # subflows over the first pair of addresses, from different ports


OFFLOADS = ("tx-checksum", "rx-checksum", "tso")  # tso: cuts large sends into segments


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
    vlan: int = 0  # 0: none
    routes: tuple[str, ...] = ()  # "10.9.0.0/16 via 10.0.1.2", of both families
    probed: tuple[bool, ...] = ()  # families (True: IPv6) whose address was probed at the start
    offloads: tuple[str, ...] = ()  # what the port does itself, of OFFLOADS; the rest is done in software

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
    # As struct tcp_info of the kernel, where it differs from the above.
    cc: str = ""
    ca_state: str = "open"  # open, recovery, loss
    options: tuple[str, ...] = ()  # of: ts, sack, wscale, ecn
    snd_wscale: int = 0
    rcv_wscale: int = 0
    snd_wnd: int = 0  # bytes, as last advertised
    rcv_wnd: int = 0
    unacked: int = 0  # bytes
    lost: int = 0  # segments
    sacked: int = 0
    rcv_ooo: int = 0  # buffers
    backoff: int = 0
    reordering: bool = False
    delivery_rate: int = 0  # bytes/s, 0: unknown
    pacing_rate: int = 0  # bytes/s, 0: not paced
    delivered: int = 0  # bytes
    last_sent_ms: float | None = None  # ago
    last_recv_ms: float | None = None
    last_acked_ms: float | None = None
    active: bool = False  # we sent the SYN
    silent: bool = False  # no answer for longer than the path takes
    our_backup: bool = False  # `backup` is either of these
    peer_backup: bool = False
    pmtu: int = 0  # what the path is taken to carry, bytes of IP


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
    # As struct mptcp_info of the kernel.
    remote_token: int = 0
    cc: str = ""  # asked for by the application; empty: the instance's
    fallback: bool = False
    remote_key_received: bool = False
    csum_enabled: bool = False
    peer_no_join: bool = False  # C flag: joins to announced addresses only
    extra_subflows: int = 0  # beyond the first, as the limit counts them
    subflows_max: int = 0
    add_addr_signal: int = 0  # our addresses announced
    add_addr_accepted: int = 0  # the peer's in use
    add_addr_accepted_max: int = 0
    retransmits: int = 0  # timeouts in a row
    write_seq: int = 0  # data sequence numbers
    snd_nxt: int = 0
    snd_una: int = 0
    rcv_nxt: int = 0
    snd_wnd: int = 0  # bytes
    rcv_wnd: int = 0
    last_sent_ms: float | None = None  # ago
    last_recv_ms: float | None = None
    last_acked_ms: float | None = None


class PathEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to a connection or a path of it, as `ip mptcp monitor` tells it; what says nothing is absent."""

    event: str  # created, established, closed, announced, removed, sub_established, sub_closed, sub_priority
    time: float  # Unix time
    worker: int
    conn: int
    token: int
    server_side: bool = False
    deny_join_id0: bool = False  # the peer's C flag
    subflow: int | None = None
    rem_id: int | None = None
    loc_id: int | None = None
    saddr: str | None = None
    daddr: str | None = None
    sport: int | None = None
    dport: int | None = None
    backup: bool | None = None
    nic: int | None = None  # index of the port it leaves by
    error: int | None = None  # errno
    reset_reason: int | None = None  # MP_TCPRST of the peer
    reset_flags: int | None = None


class NeighbourInfo(msgspec.Struct, frozen=True):
    """One neighbour as the control process knows it."""

    port: int
    address: str
    mac: str  # "" while it is unknown
    state: str  # INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED
    since_s: float  # in this state
    confirmed_s: float | None  # since it was heard
    worker: int  # the last one that told of it


class TableInfo(msgspec.Struct, frozen=True):
    used: int
    peak: int
    count: int
    item_size: int  # bytes
    index_size: int = 0  # bytes per record beside it: the table's link, its share of hash heads


class Memory(msgspec.Struct, frozen=True):
    """Of the workers' tables; packet buffers and what applications hold come on top."""

    bytes_per_connection: int = 0  # an established connection on which nothing happens, with its first subflow
    bytes_per_subflow: int = 0  # one more subflow
    tables_bytes: int = 0  # taken from the start, all workers together
    tables_used_bytes: int = 0


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
    ndiffports: int | None = None


class GetConn(Message, frozen=True):
    """One connection, as `ConnReply`."""

    worker: int
    conn: int


class Monitor(Message, frozen=True):
    """`Events` from now on, until the client closes."""


class GetNeighbours(Message, frozen=True):
    pass


class FlushNeighbours(Message, frozen=True):
    """Forgets one address, or all; they are asked again when they are needed. Answered as `GetNeighbours`."""

    address: str = ""



class Shutdown(Message, frozen=True):
    """Ordered stop of the whole runtime. grace_s: how long connections may take to close."""

    grace_s: float = 5.0


Request = Union[
    Hello, Attach, GetStatus, GetEndpoints, AddEndpoint, DelEndpoint, GetLimits, SetLimits, GetConn, Monitor,
    GetNeighbours, FlushNeighbours, Shutdown
]


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
    memory: Memory = Memory()


class Endpoints(Message, frozen=True):
    endpoints: tuple[Endpoint, ...]


class Neighbours(Message, frozen=True):
    neighbours: tuple[NeighbourInfo, ...]


class LimitsReply(Message, frozen=True):
    limits: Limits


class ConnReply(Message, frozen=True):
    """None: it is gone."""

    conn: ConnInfo | None


class Events(Message, frozen=True):
    """Unasked, after `Monitor`. lost: how many came after these and found no room."""

    events: tuple[PathEvent, ...]
    lost: int = 0


class WorkerDown(Message, frozen=True):
    """Unasked: a worker of this session died; its connections are gone. The channel is marked dead."""

    worker: int


class WorkerUp(Message, frozen=True):
    """Unasked, with three file descriptors as in `Attached`: a new worker's channel of this session."""

    worker: int


Reply = Union[
    Welcome, Done, Failure, Attached, Status, Endpoints, LimitsReply, ConnReply, Events, Neighbours, WorkerDown,
    WorkerUp,
]  # fmt: skip


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
    """manual: nothing is opened or announced but by `PathCommand`."""

    limits: Limits
    manual: bool = False


class Watch(Message, frozen=True):
    """`PathEvents` from now on, or no longer."""

    on: bool


class PathCommand(Message, frozen=True):
    """One step of a path manager; answered by `PathDone`. A subflow's ports tell it from its successor."""

    seq: int
    op: str  # open, close, announce, withdraw, priority
    conn: int
    token: int
    subflow: int = 0
    backup: bool = False
    local: str = ""  # empty: any
    local_port: int = 0
    remote: str = ""
    remote_port: int = 0


class Neighbour(Message, frozen=True):
    """An order about a neighbour, or about an address of ours (probe, ready, announce); as sn_neigh_op."""

    op: str  # put, fail, forget, ask, stale, probe, ready, announce
    port: int
    address: str
    mac: str = ""
    hold_ms: int = 0


class Query(Message, frozen=True):
    """Asks for a `Snapshot`. conn: of this one connection only, 0: of all."""

    seq: int
    max_conns: int
    conn: int = 0


class SiblingRestarted(Message, frozen=True):
    """Buffers lent to that worker will not come back through its return ring."""

    worker: int


class Drain(Message, frozen=True):
    """Close every connection, then report `Drained`."""


class Halt(Message, frozen=True):
    """Leave now."""


ToWorker = Union[
    AttachChannel, DetachChannel, PutEndpoint, RemoveEndpoint, PutLimits, Watch, PathCommand, Neighbour, Query,
    SiblingRestarted, Drain, Halt,
]  # fmt: skip


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


class PathEvents(Message, frozen=True):
    """lost: how many came after these and found no room."""

    events: tuple[PathEvent, ...]
    lost: int = 0


class NeighbourNews(msgspec.Struct, frozen=True):
    """What a worker has to tell of a neighbour, or of who claims our address (conflict)."""

    kind: str  # asked, heard, silent, in-use, conflict
    port: int
    address: str
    mac: str


class NeighbourReport(Message, frozen=True):
    news: tuple[NeighbourNews, ...]


class PathDone(Message, frozen=True):
    """errno 0: done."""

    seq: int
    errno: int


class Drained(Message, frozen=True):
    pass


class WorkerError(Message, frozen=True):
    error: str


FromWorker = Union[
    Ready, ChannelAttached, ChannelDetached, Snapshot, PathEvents, NeighbourReport, PathDone, Drained, WorkerError
]

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
to_worker_decoder = msgspec.msgpack.Decoder(ToWorker)
from_worker_decoder = msgspec.msgpack.Decoder(FromWorker)
