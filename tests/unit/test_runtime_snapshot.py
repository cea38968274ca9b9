# SPDX-License-Identifier: Apache-2.0
"""From C structs to messages."""

from __future__ import annotations

from sennit.lcore import snapshot
from sennit.shm import messages
from sennit.shm.native import ffi

V4 = bytes(10) + b"\xff\xff" + bytes([10, 0, 1, 1])


def test_addresses_read_as_people_write_them() -> None:
    assert snapshot.endpoint(V4, 443) == "10.0.1.1:443"
    assert snapshot.endpoint(bytes(15) + b"\1", 443) == "[::1]:443"


def test_connection_and_subflow() -> None:
    c = ffi.new("struct sn_conn_info *")
    c.conn, c.state, c.mptcp, c.sched, c.lport, c.opened_ns = 5, 2, 1, 2, 40000, 1_000_000_000
    c.laddr = list(V4)
    s = ffi.new("struct sn_subflow_info *")
    s.state, s.established, s.srtt_ns = 3, 1, 1_500_000
    sub = snapshot.subflow(s)
    assert sub.state == "ESTABLISHED"
    assert sub.usable
    assert sub.srtt_us == 1500.0
    conn = snapshot.conn(c, (sub,), worker=1, session=9, now=3_500_000_000)
    assert (conn.state, conn.scheduler, conn.local, conn.age_s) == ("established", "round-robin", "10.0.1.1:40000", 2.5)
    assert messages.from_worker_decoder.decode(messages.encoder.encode(messages.Drained())) == messages.Drained()


def test_states_of_a_newer_engine_are_shown_as_numbers() -> None:
    assert snapshot.word(("a", "b"), 7) == "7"


def test_idle_share_of_an_interval() -> None:
    assert snapshot.idle_share((0, 0), (25, 75)) == 0.75
    assert snapshot.idle_share((5, 5), (5, 5)) == 1.0
