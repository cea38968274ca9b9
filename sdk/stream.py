# SPDX-License-Identifier: Apache-2.0
"""What the session knows of one connection. No locks, no waiting: the session's lock is held by every caller."""

from __future__ import annotations

import errno
import threading
from collections import deque

from sennit.sdk import address as addresses
from sennit.sdk.address import Address
from sennit.sdk.arena import BLOCK, SendQueue
from sennit.sdk.channel import Channel
from sennit.shm import errors, native

lib = native.lib


class Stream:
    """Bytes in and out of one connection id of one channel."""

    def __init__(
        self, channel: Channel, conn: int, lock: threading.Lock, queue: SendQueue, *, local: Address, remote: Address,
        mptcp: bool,
    ) -> None:
        self.channel = channel
        self.conn = conn
        self.local = local
        self.remote = remote
        self.mptcp = mptcp
        self.changed = threading.Condition(lock)
        self.queue = queue
        self.received: deque[tuple[int, int]] = deque()  # slot's offset, length
        self.taken = 0  # bytes of the first slot that were read
        self.eof = False
        self.write_shut = False
        self.read_shut = False
        self.close_sent = False
        self.closed = False  # the worker's last word came
        self.error = 0  # errno

    # -- completions

    def on_received(self, offset: int, length: int) -> None:
        if self.read_shut or self.close_sent:
            self.channel.release(self.conn, offset, 0 if self.close_sent else length)
            self.channel.notify()
            return
        self.received.append((offset, length))
        self.changed.notify_all()

    def on_sent(self, count: int) -> bool:
        """True if a block of the arena became free."""
        freed = self.queue.give_back(count)
        self.changed.notify_all()
        return freed

    def on_eof(self) -> None:
        self.eof = True
        self.changed.notify_all()

    def on_closed(self, result: int) -> None:
        self.closed = True
        self.fail(abs(result))

    def fail(self, error: int) -> None:
        """The connection is over; 0: in good order. What was received stays readable."""
        self.eof = True
        self.error = self.error or error
        self.queue.drop()
        self.changed.notify_all()

    # -- receiving

    def readable(self) -> bool:
        return bool(self.received) or self.eof or self.read_shut or self.error != 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes of what is here; b"" at the end of the stream."""
        if not self.received:
            self._check_end()
            return b""
        pieces = []
        memory = self.channel.map
        while self.received and size > 0:
            offset, length = self.received[0]
            count = min(size, length - self.taken)
            at = offset + self.taken
            pieces.append(memory[at : at + count])
            size -= count
            self._take(count)
        self.channel.notify()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_into(self, target: memoryview) -> int:
        if not self.received:
            self._check_end()
            return 0
        done = 0
        memory = self.channel.memory
        while self.received and done < len(target):
            offset, length = self.received[0]
            count = min(len(target) - done, length - self.taken)
            at = offset + self.taken
            target[done : done + count] = memory[at : at + count]
            done += count
            self._take(count)
        self.channel.notify()
        return done

    def _take(self, count: int) -> None:
        offset, length = self.received[0]
        self.taken += count
        if self.taken == length:
            self.received.popleft()
            self.taken = 0
            if not self.channel.lost:
                self.channel.release(self.conn, offset, length)

    def _check_end(self) -> None:
        if self.error:
            raise errors.from_errno(self.error, f"connection to {addresses.show(self.remote)}")

    def discard_received(self, consumed: bool) -> None:
        """Gives every slot back, as read or as unread."""
        for offset, length in self.received:
            self.channel.release(self.conn, offset, length if consumed else 0)
        self.received.clear()
        self.taken = 0

    # -- sending

    def writable(self) -> bool:
        return self.write_shut or self.closed or self.error != 0 or self.queue.resumable()

    def write(self, data: memoryview) -> int:
        """Copies what fits into the arena and submits it; 0: nothing for now."""
        if self.error and not self.write_shut:
            raise errors.from_errno(self.error, f"connection to {addresses.show(self.remote)}")
        if self.write_shut or self.closed:
            raise BrokenPipeError(errno.EPIPE, "sending after the connection was shut down")
        done = 0
        channel, queue = self.channel, self.queue
        while done < len(data):
            offset, room = queue.room()
            if room == 0:
                break
            count = min(room, len(data) - done, BLOCK)
            at = channel.tx_offset + offset
            channel.memory[at : at + count] = data[done : done + count]
            if not channel.send(self.conn, offset, count):
                break
            queue.commit(count)
            done += count
        if done:
            channel.notify()
        return done
