# SPDX-License-Identifier: Apache-2.0
"""Bytes arrive, in order and once, whatever the sizes and the shape of the applications."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sennit.tools import sim_driver as driver

Run = Callable[..., driver.Outcome]

MIB = 1 << 20


def test_one_clean_path_is_used_fully(run: Run) -> None:
    out = run(1, driver.path(333, 5), bytes_ab=32 * MIB)
    assert out.mptcp_conns == 1
    # 1424 of 1514 bytes are payload; what is missing beyond that is slow start.
    assert out.goodput_mbit_s[0] > 0.85 * 333
    assert out.counters[0].get("tcp_rto", 0) == 0


@pytest.mark.parametrize("size", [0, 1, 2, 1424, 1425, 65535, 65536, 1_000_000])
@pytest.mark.parametrize("closing", sorted(driver.CLOSING))
def test_sizes_and_ways_to_close(run: Run, size: int, closing: str) -> None:
    run(2, bytes_ab=size, bytes_ba=size // 2, closing=driver.CLOSING[closing])


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_server_to_client(run: Run, size: int) -> None:
    run(2, bytes_ba=size)


def test_both_directions_at_once(run: Run) -> None:
    out = run(3, driver.path(100, 5), bytes_ab=8 * MIB, bytes_ba=8 * MIB)
    assert min(out.goodput_mbit_s) > 135


def test_many_connections(run: Run) -> None:
    out = run(2, bytes_ab=300_000, bytes_ba=100_000, conns=16)
    assert out.mptcp_conns == 16


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_small_writes(run: Run, chunk: int) -> None:
    run(2, bytes_ab=20_000, chunk=chunk)


def test_odd_writes(run: Run) -> None:
    run(3, bytes_ab=2 * MIB, bytes_ba=MIB, chunk=30_000, odd_chunks=True)


def test_slow_reader_holds_the_sender_back(run: Run) -> None:
    out = run(3, bytes_ab=3 * MIB, read_rate_b=400_000, rcvbuf=256 * 1024, rx_slots=32)
    # Memory at the receiver is bounded: about what the reader takes, plus its buffers.
    assert out.virtual_s > 5


def test_reader_that_stops_for_seconds_between_slots(run: Run) -> None:
    run(2, bytes_ab=300_000, read_rate_b=8_000, rcvbuf=65536, rx_slots=4)


def test_checksums(run: Run) -> None:
    out = run(3, driver.path(100, 5, loss=0.01), bytes_ab=2 * MIB, csum_a=True, csum_b=True, soft_csum=True)
    assert "DataCsumErr" not in out.counters[1]
    assert out.mptcp_conns == 1


@pytest.mark.parametrize("side", ["csum_a", "csum_b"])
def test_checksums_asked_for_by_one_side(run: Run, side: str) -> None:
    out = run(2, bytes_ab=MIB, bytes_ba=MIB, **{side: True})
    assert out.mptcp_conns == 1


@pytest.mark.parametrize("mtu", [576, 1280, 1500, 2000])
def test_mtu(run: Run, mtu: int) -> None:
    run(2, bytes_ab=MIB, mtu=mtu)


def test_clock_and_sequence_numbers_wrap(run: Run) -> None:
    """The millisecond timestamps pass 2^32 in mid-transfer."""
    run(2, bytes_ab=4 * MIB, start_ns=(1 << 32) * driver.MS - 100 * driver.MS)


def test_no_limit_and_no_delay(run: Run) -> None:
    run(2, driver.Link(), bytes_ab=MIB, bytes_ba=MIB)


def test_long_fat_path(run: Run) -> None:
    run(1, driver.path(1000, 100), bytes_ab=16 * MIB)


def test_same_seed_same_run(run: Run) -> None:
    link = driver.path(50, 10, loss=0.02)
    first, second = (run(3, link, bytes_ab=MIB, bytes_ba=MIB, seed=5) for _ in range(2))
    assert first.virtual_s == second.virtual_s
    assert first.steps == second.steps
    assert first.counters == second.counters
    assert run(3, link, bytes_ab=MIB, bytes_ba=MIB, seed=6).virtual_s != first.virtual_s


@pytest.mark.parametrize("csum", [False, True])
def test_bursts_that_are_received_together_share_acks(run: Run, csum: bool) -> None:
    one_by_one, together = (
        run(
            1, driver.path(333, 5), bytes_ab=8 * MIB, rcvbuf=256 * 1024, csum_a=csum, soft_csum=csum, rx_wait_ns=wait
        ).counters
        for wait in (0, driver.MS)
    )
    for sender, receiver in (one_by_one, together):
        assert sender["tx_units"] > 100
        assert sender.get("tcp_retrans", 0) + receiver.get("DataCsumErr", 0) == 0
    assert together[1]["tcp_tx_segments"] < one_by_one[1]["tcp_tx_segments"] / 2


def test_ports_that_take_no_units_get_none(run: Run) -> None:
    assert run(2, bytes_ab=MIB, single=True).counters[0].get("tx_units", 0) == 0
