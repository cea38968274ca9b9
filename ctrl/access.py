# SPDX-License-Identifier: Apache-2.0
"""Who may use the control socket: root, the instance's owner, allowed users, members of the configured group."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_UCRED = struct.Struct("3i")


@dataclass(frozen=True)
class Peer:
    """The process at the other end, as the kernel knows it (SO_PEERCRED: when it connected)."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, gid)


class Access:
    """The rule for one instance. group: a name or a number; None for nobody."""

    def __init__(self, *, owner: int, allow_uid: Iterable[int] = (), group: str | None = None) -> None:
        self.gid = group_id(group) if group else None
        self._uids = {0, owner, *allow_uid}
        self._restricted = self._uids == {0, owner}

    @property
    def mode(self) -> int:
        """Permission bits of the socket file. With allowed users anybody may knock; who enters is checked after."""
        if not self._restricted:
            return 0o666
        return 0o660 if self.gid is not None else 0o600

    def allows(self, peer: Peer) -> bool:
        return peer.uid in self._uids or (self.gid is not None and self.gid in groups_of(peer))


def group_id(group: str) -> int:
    """Raises ValueError with a sentence if there is no such group."""
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group '{group}' on this host: create it or drop the option") from None


def groups_of(peer: Peer) -> set[int]:
    try:
        name = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return {peer.gid}
    return {peer.gid, *os.getgrouplist(name, peer.gid)}


def refusal(peer: Peer, instance: str) -> str:
    """What a user without the right is told."""
    return (
        f"user {peer.uid} may not use instance '{instance}': run as root or as its owner, or start the instance "
        f"with allow_uid = [{peer.uid}] or with a group of that user"
    )
