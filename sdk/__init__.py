# SPDX-License-Identifier: Apache-2.0
"""The application's side. `import sennit` re-exports what `__all__` names."""

from __future__ import annotations

from sennit.sdk.api import connect, listen
from sennit.sdk.connection import Connection, Keepalive
from sennit.sdk.listener import Listener
from sennit.shm.errors import Error, NotRunning, ProtocolError
from sennit.shm.messages import ConnInfo, SubflowInfo

__all__ = [
    "ConnInfo", "Connection", "Error", "Keepalive", "Listener", "NotRunning", "ProtocolError", "SubflowInfo",
    "connect", "listen",
]  # fmt: skip
