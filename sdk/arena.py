# SPDX-License-Identifier: Apache-2.0
"""The send arena of one channel, in blocks, and what each connection has in it.

A connection fills one block at a time from its start, so small sends lie side by side. What was submitted comes back in
submission order (SN_CQ_SENT); a block is free again when nothing of it is outstanding. Everything is O(1) per piece.
"""

from __future__ import annotations

from collections import deque

BLOCK = 64 * 1024
SEND_LIMIT = 4 * 1024 * 1024
RESUME = 4  # who waits for the limit goes on when a quarter of it is free: no drizzle of small pieces
MAX_PIECES = 1024  # submissions of one connection that are not given back


class Arena:
    """Free blocks, the most recently used first: an arena that is hardly used stays small in memory."""

    def __init__(self, size: int) -> None:
        self.blocks = size // BLOCK
        self.free = [i * BLOCK for i in reversed(range(self.blocks))]


class _Block:
    __slots__ = ("filled", "offset", "pieces")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.filled = 0
        self.pieces = 0


class SendQueue:
    """One connection's bytes in the arena."""

    def __init__(self, arena: Arena, limit: int = SEND_LIMIT) -> None:
        self.arena = arena
        self.limit = limit
        self.outstanding = 0  # bytes submitted and not given back
        self._current: _Block | None = None
        self._held = 0  # blocks
        self._pieces: deque[tuple[_Block, int]] = deque()
        self._given = 0  # bytes of the first piece that came back already

    def room(self) -> tuple[int, int]:
        """Where the next bytes go (offset in the arena) and how many fit there; (0, 0): nothing for now.

        A connection takes a further block only while it holds at most half as many as are free: a few peers that do not
        read cannot use up the arena for the others.
        """
        left = self.limit - self.outstanding
        if left <= 0 or len(self._pieces) >= MAX_PIECES:
            return 0, 0
        block = self._current
        if block is None:
            free = self.arena.free
            if not free or 2 * self._held > len(free):
                return 0, 0
            block = self._current = _Block(free.pop())
            self._held += 1
        return block.offset + block.filled, min(left, BLOCK - block.filled)

    def resumable(self) -> bool:
        """A sender that found no room may try again."""
        return self.limit - self.outstanding >= self.limit // RESUME and self.room()[1] > 0

    def commit(self, count: int) -> None:
        """`count` bytes were written where `room` said, and submitted."""
        block = self._current
        assert block is not None
        assert 0 < count <= BLOCK - block.filled
        block.filled += count
        block.pieces += 1
        self.outstanding += count
        self._pieces.append((block, count))
        if block.filled == BLOCK:
            self._current = None

    def give_back(self, count: int) -> bool:
        """The oldest `count` bytes came back. True if a block became free. ValueError: more than was submitted."""
        if count > self.outstanding:
            raise ValueError(f"{count} bytes came back, {self.outstanding} were outstanding")
        self.outstanding -= count
        freed = False
        count += self._given
        while self._pieces and count >= self._pieces[0][1]:
            block, length = self._pieces.popleft()
            count -= length
            block.pieces -= 1
            if block.pieces == 0:
                if block is self._current:
                    self._current = None
                self.arena.free.append(block.offset)
                self._held -= 1
                freed = True
        self._given = count
        return freed

    def drop(self) -> None:
        """The connection is over: everything comes back at once."""
        offsets = {block.offset for block, _length in self._pieces}
        if self._current is not None:
            offsets.add(self._current.offset)
        self.arena.free.extend(offsets)
        self._pieces.clear()
        self._current = None
        self.outstanding = self._held = self._given = 0
