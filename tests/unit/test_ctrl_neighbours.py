# SPDX-License-Identifier: Apache-2.0
"""The table of neighbours, with a clock of paper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit.ctrl import neighbours
from sennit.ctrl.neighbours import Neighbours, Order
from sennit.shm import messages

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
PEER = "10.0.1.2"


def news(kind: str, mac: str = "", address: str = PEER, port: int = 0) -> messages.NeighbourNews:
    return messages.NeighbourNews(kind, port, address, mac)


def order(op: str, mac: str = "", hold_ms: int = 0, address: str = PEER) -> messages.Neighbour:
    return messages.Neighbour(op, 0, address, mac, hold_ms)


def state(table: Neighbours, now: float = 0.0) -> str:
    (only,) = table.infos(now)
    return only.state


@pytest.fixture
def table() -> Neighbours:
    return Neighbours()


def known(at: float = 0.0) -> Neighbours:
    made = Neighbours()
    made.heard(0, news("asked"), at)
    made.heard(0, news("heard", MAC), at)
    return made


def test_what_one_worker_hears_the_others_are_told(table: Neighbours) -> None:
    assert table.heard(0, news("asked"), 1.0) == []
    assert state(table) == "INCOMPLETE"
    assert table.heard(0, news("heard", MAC), 1.1) == [Order(order("put", MAC), but=0)]
    assert table.infos(1.6) == (messages.NeighbourInfo(0, PEER, MAC, "REACHABLE", 0.5, 0.5, 0),)


def test_what_was_just_confirmed_is_not_spread_again_but_a_change_is(table: Neighbours) -> None:
    table.heard(0, news("heard", MAC), 1.0)
    assert table.heard(1, news("heard", MAC), 1.5) == []
    assert table.heard(1, news("heard", OTHER), 1.6) == [Order(order("put", OTHER), but=1)]
    assert table.heard(1, news("heard", OTHER), 9.0) == [Order(order("put", OTHER), but=1)]


def test_a_worker_that_lost_an_entry_gets_it_back() -> None:
    table = known()
    assert table.heard(1, news("asked"), 5.0) == [Order(order("put", MAC), to=1)]
    assert table.heard(1, news("silent"), 6.0) == [Order(order("put", MAC), to=1)]
    assert state(table) == "REACHABLE"


def test_silence_is_kept_for_three_seconds_and_spread(table: Neighbours) -> None:
    table.heard(0, news("asked"), 0.0)
    assert table.heard(0, news("silent"), 10.0) == [Order(order("fail", hold_ms=3000), but=0)]
    assert state(table) == "FAILED"
    # Another one, which has not heard of it: for the rest of the time.
    assert table.heard(1, news("asked"), 12.0) == [Order(order("fail", hold_ms=1000), to=1)]
    assert table.heard(1, news("silent"), 12.0) == [Order(order("fail", hold_ms=1000), but=1)]
    assert table.next() == 13.0
    assert table.tick(13.0) == []
    assert len(table) == 0
    assert table.heard(1, news("asked"), 13.0) == []
    assert state(table) == "INCOMPLETE"


def test_an_entry_in_use_is_probed_by_one_worker_and_stays(table: Neighbours) -> None:
    table = known()
    assert table.next() == 30.0
    assert table.tick(29.9) == []
    assert table.tick(30.0) == [Order(order("stale", MAC))]
    assert state(table) == "STALE"
    assert table.heard(1, news("in-use"), 31.0) == []
    assert state(table) == "DELAY"
    assert table.tick(35.9) == []
    assert table.tick(36.0) == [Order(order("ask", MAC), to=1)]
    assert state(table) == "PROBE"
    assert table.heard(1, news("heard", MAC), 36.1) == [Order(order("put", MAC), but=1)]
    assert (state(table), table.next()) == ("REACHABLE", 66.1)


def test_silence_after_three_probes_ends_an_entry() -> None:
    table = known()
    table.tick(30.0)
    table.heard(0, news("in-use"), 30.0)
    for second in range(3):
        assert table.tick(35.0 + second) == [Order(order("ask", MAC), to=0)]
        assert table.tick(35.5 + second) == []
    assert table.tick(38.0) == [Order(order("forget", MAC))]
    assert len(table) == 0


def test_an_entry_that_nobody_uses_goes() -> None:
    table = known()
    table.tick(30.0)
    assert table.tick(90.0) == [Order(order("forget", MAC))]
    assert (len(table), table.next()) == (0, None)


def test_use_is_no_news_of_what_is_not_stale() -> None:
    table = known()
    table.heard(0, news("in-use"), 1.0)
    table.heard(0, news("in-use", address="10.0.1.9"), 1.0)
    assert (len(table), state(table)) == (1, "REACHABLE")


def test_a_question_that_nobody_speaks_of_any_more_is_forgotten(table: Neighbours) -> None:
    table.heard(0, news("asked"), 0.0)
    assert table.tick(12.0) == []
    assert len(table) == 0


def test_a_fresh_worker_is_told_what_is_known(table: Neighbours) -> None:
    table.heard(0, news("heard", MAC, "10.0.1.1"), 0.0)
    table.tick(30.0)
    table.heard(0, news("heard", OTHER, "fd00::2", 1), 31.0)
    table.heard(0, news("silent", address="10.0.1.3"), 31.0)
    table.heard(0, news("asked", address="10.0.1.4"), 31.0)
    assert list(table.worker_up(32.0)) == [
        order("put", MAC, address="10.0.1.1"),
        order("stale", MAC, address="10.0.1.1"),
        messages.Neighbour("put", 1, "fd00::2", OTHER),
        order("fail", hold_ms=2000, address="10.0.1.3"),
    ]
    assert [info.address for info in table.infos(32.0)] == ["10.0.1.1", "10.0.1.3", "10.0.1.4", "fd00::2"]


def test_another_worker_probes_when_one_has_died() -> None:
    table = known()
    table.worker_down(0, 1)
    table.tick(30.0)
    table.heard(0, news("in-use"), 30.0)
    table.worker_down(0, 1)
    assert table.tick(35.0) == [Order(order("ask", MAC), to=1)]


def test_one_address_or_all_are_flushed(table: Neighbours) -> None:
    for port, address in ((0, PEER), (1, PEER), (0, "fd00::2")):
        table.heard(0, news("heard", MAC, address, port), 0.0)
    assert [(o.message.port, o.message.op) for o in table.flush(PEER)] == [(0, "forget"), (1, "forget")]
    assert table.flush(PEER) == []
    assert table.flush() == [Order(order("forget", MAC, address="fd00::2"))]
    assert len(table) == 0


def test_the_table_is_bounded_and_keeps_what_is_in_use(table: Neighbours) -> None:
    table.heard(0, news("heard", MAC), 0.0)
    for i in range(20000):
        table.heard(0, news("asked", address=f"10.7.{i >> 8}.{i & 255}"), 1.0 + i / 1000)
    assert len(table) == neighbours.MAX_ENTRIES
    assert (0, PEER) in {(info.port, info.address) for info in table.infos(30.0)}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["asked", "heard", "silent", "in-use", "tick", "down", "flush"]),
            st.integers(0, 2), st.integers(0, 3), st.sampled_from([MAC, OTHER]), st.floats(0, 20),
        ),
        max_size=80,
    )
)  # fmt: skip
def test_every_entry_has_a_time_at_which_it_changes(steps: list[tuple[str, int, int, str, float]]) -> None:
    table, now = Neighbours(), 0.0
    for kind, worker, address, mac, pause in steps:
        now += pause
        match kind:
            case "tick":
                table.tick(now)
            case "down":
                table.worker_down(worker, (worker + 1) % 3)
            case "flush":
                table.flush(f"10.0.1.{address}")
            case _:
                table.heard(worker, news(kind, mac, f"10.0.1.{address}"), now)
        assert all(info.mac or info.state in ("INCOMPLETE", "FAILED") for info in table.infos(now))
    for _ in range(100):
        due = table.next()
        if due is None:
            break
        now = max(now, due)
        table.tick(now)
        left = table.next()
        assert left is None or left > now
    assert len(table) == 0  # nobody uses anything any more
