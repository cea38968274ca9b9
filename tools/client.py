# SPDX-License-Identifier: Apache-2.0
"""The tools' blocking client of an instance's control socket."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from sennit.shm import control_client, messages
from sennit.tools.errors import ToolError, sentence

R = TypeVar("R", bound=messages.Message)
TIMEOUT_S = 5.0


class Client:
    """One conversation. Everything that goes wrong is a ToolError with one sentence."""

    def __init__(self, instance: str | None = None, *, name: str = "sennit", timeout: float = TIMEOUT_S) -> None:
        try:
            self.instance = control_client.instance_name(instance)
            self.path = control_client.socket_path(self.instance)
            self._socket, self.welcome = control_client.dial(self.instance, name, timeout)
        except PermissionError as error:
            if error.errno == 1:  # the server's own words
                raise ToolError(sentence(error)) from None
            raise ToolError(
                f"user {os.getuid()} may not use instance '{self.instance}' ({self.path}): run as root or as its "
                "owner, or start the instance with allow_uid"
            ) from None
        except TimeoutError:
            raise self._silent() from None
        except (OSError, ValueError) as error:
            raise ToolError(sentence(error)) from None
        self._timeout = timeout

    def status(self, max_conns: int = 256) -> messages.Status:
        return self.ask(messages.GetStatus(max_conns=max_conns), messages.Status)

    def endpoints(self) -> tuple[messages.Endpoint, ...]:
        return self.ask(messages.GetEndpoints(), messages.Endpoints).endpoints

    def add_endpoint(self, endpoint: messages.Endpoint) -> tuple[messages.Endpoint, ...]:
        """The table afterwards."""
        return self.ask(messages.AddEndpoint(endpoint), messages.Endpoints).endpoints

    def del_endpoint(self, endpoint_id: int) -> tuple[messages.Endpoint, ...]:
        return self.ask(messages.DelEndpoint(endpoint_id), messages.Endpoints).endpoints

    def limits(self) -> messages.Limits:
        return self.ask(messages.GetLimits(), messages.LimitsReply).limits

    def set_limits(
        self, *, subflows: int | None = None, add_addr_accepted: int | None = None, ndiffports: int | None = None
    ) -> messages.Limits:
        request = messages.SetLimits(subflows, add_addr_accepted, ndiffports)
        return self.ask(request, messages.LimitsReply).limits

    def neighbours(self) -> tuple[messages.NeighbourInfo, ...]:
        return self.ask(messages.GetNeighbours(), messages.Neighbours).neighbours

    def flush_neighbours(self, address: str = "") -> tuple[messages.NeighbourInfo, ...]:
        """Of one address, or all; the table afterwards."""
        return self.ask(messages.FlushNeighbours(address), messages.Neighbours).neighbours

    def monitor(self, begun: Callable[[], None] = lambda: None) -> Iterator[messages.Events]:
        """What happens to connections and paths after `begun` was called, until the instance is gone."""
        self.ask(messages.Monitor(), messages.Done)
        begun()
        while True:
            try:
                said = self._socket.receive(None)
            except ConnectionError:
                return
            if isinstance(said, messages.Events):
                yield said

    def shutdown(self, grace_s: float = 5.0) -> None:
        """Stops the instance; returns when it is gone."""
        self.ask(messages.Shutdown(grace_s=grace_s), messages.Done)
        patience = grace_s + 15
        try:
            while True:
                self._socket.receive(patience)
        except TimeoutError:
            raise ToolError(
                f"instance '{self.instance}' has not stopped {patience:.0f} s after it was asked to: look at its log, "
                f"then `kill -9 {self.welcome.pid}`"
            ) from None
        except ConnectionError:
            pass  # gone

    def ask(self, request: messages.Request, expected: type[R]) -> R:
        try:
            reply = self._socket.request(request, self._timeout)
        except TimeoutError:
            raise self._silent() from None
        except ConnectionError:
            raise ToolError(f"instance '{self.instance}' closed the connection: it is stopping or has died") from None
        except OSError as error:
            raise ToolError(sentence(error)) from None
        if not isinstance(reply, expected):
            raise ToolError(
                f"instance '{self.instance}' answered {type(reply).__name__} instead of {expected.__name__}: "
                "use the sennit that started it"
            )
        return reply

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _silent(self) -> ToolError:
        return ToolError(
            f"instance '{self.instance}' does not answer on {self.path}: its control process hangs or is stopped"
        )
