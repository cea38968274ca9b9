# SPDX-License-Identifier: Apache-2.0
"""What `top` and `status` show: the pure reduction of two looks, and the tables."""

from __future__ import annotations

import io
from typing import Any

import ctrl_fake as fake
import msgspec
import pytest
from rich.console import Console, RenderableType

from sennit.shm import messages
from sennit.tools import render, units
from sennit.tools.top_view import TopView, reduce


def look(seconds: float, **changes: Any) -> messages.Status:
    """A status at a second of the instance's life: lcore 0 gets 1000 frames of 100 bytes a second in bursts of 10."""
    at = int(seconds)
    counters = {"rx_packets": 1000 * at, "rx_bursts": 100 * at, "rx_bytes": 100_000 * at, "misdirected": 2 * at}
    workers = (fake.worker_info(0, counters=counters, uptime_s=seconds, conns=1), fake.worker_info(1))
    flows = tuple(fake.subflow(i, bytes_sent=(i + 1) * 100_000 * at) for i in range(3))
    conn = fake.conn(0, 1, bytes_sent=600_000 * at, bytes_acked=500_000 * at, subflows=flows, age_s=seconds)
    return fake.status(**({"uptime_s": seconds, "workers": workers, "conns": (conn,)} | changes))


def text(what: RenderableType, width: int = 120) -> str:
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    console.print(what)
    return console.export_text()


def test_rates_are_differences_over_the_interval() -> None:
    view = reduce(look(10), look(12))
    lcore = view.lcores[0]
    assert (lcore.rx_pps, lcore.bursts_s, lcore.burst_size, lcore.rx_bit_s) == (1000, 100, 10, 800_000)
    assert (lcore.misdirected_s, lcore.misdirected) == (2, 24)
    assert view.interval_s == 2
    assert view.conns[0].tx_bit_s == 4_000_000


def test_shares_of_a_connection_add_up_to_one() -> None:
    shares = [s.share for s in reduce(look(10), look(12)).conns[0].subflows]
    assert shares == [pytest.approx(1 / 6, abs=1e-4), pytest.approx(1 / 3, abs=1e-4), pytest.approx(1 / 2, abs=1e-4)]


def test_a_quiet_connection_shows_the_shares_of_its_whole_life() -> None:
    before = look(10)
    after = msgspec.structs.replace(before, uptime_s=11.0)
    conn = reduce(before, after).conns[0]
    assert conn.tx_bit_s == 0
    assert [round(s.share, 2) for s in conn.subflows] == [0.17, 0.33, 0.5]


def test_without_a_first_look_rates_are_since_the_start() -> None:
    view = reduce(None, look(10))
    assert view.interval_s == 0
    assert view.lcores[0].rx_pps == 1000


def test_another_start_of_the_instance_is_not_subtracted() -> None:
    view = reduce(look(100), look(10, pid=4711))
    assert view.lcores[0].rx_pps == 1000
    assert view.interval_s == 0


def test_a_restarted_worker_counts_from_zero() -> None:
    old = look(10)
    fresh = fake.worker_info(0, pid=555, uptime_s=1.0, counters={"rx_packets": 50}, restarts=1)
    view = reduce(old, msgspec.structs.replace(old, uptime_s=12.0, workers=(fresh, old.workers[1])))
    assert view.lcores[0].rx_pps == 50


def test_a_connection_number_used_again_is_a_new_connection() -> None:
    before = look(10)
    young = fake.conn(0, 1, token=1, bytes_acked=1000, age_s=0.5)
    view = reduce(before, msgspec.structs.replace(before, uptime_s=12.0, conns=(young,)))
    assert view.conns[0].tx_bit_s == 16_000


def test_busiest_connections_come_first_and_the_rest_is_counted() -> None:
    conns = tuple(fake.conn(0, i, bytes_acked=0, token=i) for i in range(5))
    busy = (*conns[:3], msgspec.structs.replace(conns[3], bytes_acked=999), conns[4])
    workers = (fake.worker_info(0, conns=9),)
    view = reduce(look(10, conns=conns), look(11, conns=busy, workers=workers), max_conns=2)
    assert view.conns[0].conn == 3
    assert (len(view.conns), view.conns_total, view.conns_hidden) == (2, 9, 7)


def test_top_as_json_is_what_top_shows() -> None:
    view = reduce(look(10), look(12))
    assert msgspec.json.decode(msgspec.json.encode(view), type=TopView) == view


def test_top_shows_lcores_ports_and_paths() -> None:
    shown = text(render.top(reduce(look(10), look(12))))
    for word in ("unit", "1.0k", "800.0k", "50 %", "misdir/s", "veth-a3", "10.0.3.1:40000", "10.5ms"):
        assert word in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_top_without_connections_says_so() -> None:
    assert "no connections" in text(render.top(reduce(None, fake.status())))


def test_status_shows_everything_it_was_given() -> None:
    shown = text(
        render.status(
            look(
                10,
                sessions=(messages.SessionInfo(7, 4242, 1000, "my app", 3 << 20, 61.0),),
                endpoints=(messages.Endpoint(3, "10.0.2.1", ("subflow", "backup")),),
            ),
            10,
        )
    )
    for word in ("version 1.2.3", "my app", "3.0 MiB", "1m01s", "subflow backup", "0/1 client minrtt"):
        assert word in shown
    assert "Limits: subflow 8 add_addr_accepted 8" in shown
    assert "…" not in shown


def test_status_names_unusual_states_and_hidden_connections() -> None:
    flows = (fake.subflow(0, state="SYN_SENT", usable=False), fake.subflow(1, backup=True, stale=True))
    conns = (fake.conn(0, 1, state="CLOSING", subflows=flows), fake.conn(0, 2))
    workers = (fake.worker_info(0, conns=2, state="STALLED"),)
    shown = text(render.status(fake.status(conns=conns, workers=workers), 1))
    for word in ("closing", "pending syn-sent", "backup stale", "STALLED", "1 more: --max-conns 2"):
        assert word in shown


def test_status_tells_what_connections_take() -> None:
    taken = messages.Memory(3090, 1364, 28 << 20, 3 << 20)
    shown = text(render.status(fake.status(memory=taken), 5))
    assert "3090 B per quiet connection, 1364 B per further subflow; tables 3.0 MiB of 28.0 MiB" in shown
    assert "per quiet connection" not in text(render.status(fake.status(), 5))


def test_long_addresses_wrap_instead_of_vanishing() -> None:
    one = fake.subflow(0, local="[2001:db8:1234:5678:9abc:def0:1234:5678]:40000", remote="[2001:db8::1]:443")
    shown = text(render.status(fake.status(conns=(fake.conn(subflows=(one,)),)), 5))
    assert "[2001:db8::1]:443" in shown


def test_ipv6_addresses_are_shown_beside_ipv4() -> None:
    flow = fake.subflow(0, local="[fd00:1::1]:40000", remote="[fd00:1::2]:443")
    both = fake.port(0, address6="fd00:1::1/64", gateway6="fe80::9")
    ports = (both, fake.port(1, address="", address6="fd00:2::1/64"))
    status = fake.status(ports=ports, conns=(fake.conn(local=flow.local, remote=flow.remote, subflows=(flow,)),))
    for shown in (text(render.status(status, 5)), text(render.top(reduce(None, status)))):
        for word in ("[fd00:1::1]:40000 → [fd00:1::2]:443", "10.0.1.1/24", "fd00:1::1/64", "fd00:2::1/64"):
            assert word in shown
        assert shown.count("[fd00:1::2]:443") == 2
    assert "fe80::9" in text(render.status(status, 5))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (units.short(999), "999"), (units.short(1000), "1.0k"), (units.short(999_999), "1.0M"),
        (units.short(65536, 1024), "64.0K"), (units.size(0), "0 B"), (units.size(64 << 20), "64.0 MiB"),
        (units.rate(93.1e6), "93.1 Mbit/s"), (units.rate(0), "0"), (units.ms(0), "-"), (units.ms(450), "0.45ms"),
        (units.ms(12_345), "12.3ms"), (units.span(3725), "1h02m"), (units.bar(0.5, 4), "██··"), (units.bar(7, 2), "██"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(said: str, shown: str) -> None:
    assert said == shown
