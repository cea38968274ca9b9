# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit.sdk.arena import BLOCK, MAX_PIECES, Arena, SendQueue


def test_small_sends_lie_side_by_side() -> None:
    queue = SendQueue(Arena(4 * BLOCK))
    offset, room = queue.room()
    assert room == BLOCK
    queue.commit(10)
    assert queue.room() == (offset + 10, BLOCK - 10)


def test_block_is_free_when_all_its_bytes_came_back() -> None:
    arena = Arena(4 * BLOCK)
    queue = SendQueue(arena)
    queue.room()
    queue.commit(10)
    queue.commit(20)
    assert not queue.give_back(15)
    assert len(arena.free) == 3
    assert queue.give_back(15)
    assert len(arena.free) == 4
    assert queue.outstanding == 0


def test_more_than_was_sent_cannot_come_back() -> None:
    queue = SendQueue(Arena(BLOCK))
    queue.room()
    queue.commit(5)
    with pytest.raises(ValueError, match="6 bytes"):
        queue.give_back(6)


def test_limit_holds() -> None:
    queue = SendQueue(Arena(64 * BLOCK), limit=BLOCK + 100)
    assert queue.room()[1] == BLOCK
    queue.commit(BLOCK)
    assert queue.room()[1] == 100
    queue.commit(100)
    assert queue.room() == (0, 0)
    assert not queue.resumable()
    queue.give_back(BLOCK)
    assert queue.resumable()


def test_pieces_are_bounded() -> None:
    queue = SendQueue(Arena(64 * BLOCK))
    for _ in range(MAX_PIECES):
        assert queue.room()[1]
        queue.commit(1)
    assert queue.room() == (0, 0)


def test_greedy_connections_leave_a_block_for_one_more() -> None:
    arena = Arena(16 * BLOCK)
    for _ in range(3):
        queue = SendQueue(arena)
        while queue.room()[1]:
            queue.commit(queue.room()[1])
    assert arena.free


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * BLOCK)), max_size=200), st.randoms())
def test_no_byte_is_lent_twice_and_nothing_is_lost(steps: list[tuple[int, int]], rng: object) -> None:
    arena = Arena(12 * BLOCK)
    queues = [SendQueue(arena, limit=5 * BLOCK) for _ in range(3)]
    owner: dict[int, int] = {}  # block -> queue that has unreturned bytes there
    pieces: list[list[tuple[int, int]]] = [[] for _ in queues]
    for which, amount in steps:
        if which == 3:
            which = amount % 3
            back = min(amount, queues[which].outstanding)
            queues[which].give_back(back)
            while back:
                offset, length = pieces[which][0]
                take = min(back, length)
                back -= take
                if take == length:
                    pieces[which].pop(0)
                else:
                    pieces[which][0] = offset + take, length - take
            continue
        offset, room = queues[which].room()
        count = min(room, amount)
        if count == 0:
            continue
        queues[which].commit(count)
        for other, held in enumerate(pieces):
            for o, n in held:
                assert offset + count <= o or o + n <= offset
                assert other == which or o // BLOCK != offset // BLOCK
        pieces[which].append((offset, count))
    assert [q.outstanding for q in queues] == [sum(n for _, n in p) for p in pieces]
    for queue in queues:
        queue.drop()
    assert sorted(arena.free) == [i * BLOCK for i in range(12)]
    assert not owner
