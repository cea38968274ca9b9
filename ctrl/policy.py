# SPDX-License-Identifier: Apache-2.0
"""Path-manager policy: the endpoint table and the limits, and what the workers are told about them.

Words and rules follow ip-mptcp(8). The table is pure: it knows no worker and no socket.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from sennit.shm import messages

FLAGS = ("signal", "subflow", "backup", "fullmesh", "laminar")
MAX_ENDPOINTS = 16  # SN_MAX_ENDPOINTS
MAX_ID = 255
MAX_LIMIT = 15  # SN_MAX_SUBFLOWS less the first one
EINVAL, ENOENT, EEXIST, ENOSPC, EADDRNOTAVAIL = 22, 2, 17, 28, 99


class PolicyError(Exception):
    """A request that cannot be met: one sentence, and the errno that fits."""

    def __init__(self, sentence: str, errno: int = EINVAL) -> None:
        super().__init__(sentence)
        self.errno = errno


def port_addresses(ports: Iterable[messages.PortInfo]) -> tuple[str, ...]:
    """The bare addresses of ports ("10.0.1.1/24" -> "10.0.1.1"), port by port, IPv4 first."""
    return tuple(address.split("/", 1)[0] for port in ports for address in port.addresses)


class Policy:
    """Endpoints and limits of one instance."""

    def __init__(self) -> None:
        self.limits = messages.Limits()
        self.manual = False  # a path manager outside decides; workers open and announce nothing by themselves
        self._endpoints: dict[int, messages.Endpoint] = {}
        self._port_of: dict[int, int] = {}

    @property
    def endpoints(self) -> tuple[messages.Endpoint, ...]:
        return tuple(self._endpoints[i] for i in sorted(self._endpoints))

    def add(self, wanted: messages.Endpoint, ports: Sequence[messages.PortInfo]) -> messages.PutEndpoint:
        """Checks and enters an endpoint; answers what workers are to be told.

        The id, address and port of an endpoint that exists, with other flags, change that endpoint.
        """
        flags = self._flags(wanted)
        address = self._address(wanted.address)
        if not 0 <= wanted.port <= 65535:
            raise PolicyError(f"endpoint port {wanted.port} is outside 1-65535")
        port_index = self._port_index(address, ports)
        old = self._endpoints.get(wanted.id)
        if old is not None and (old.address, old.port) == (address, wanted.port) and old.flags != flags:
            self._endpoints[old.id] = msgspec.structs.replace(old, flags=flags)
            return messages.PutEndpoint(endpoint=self._endpoints[old.id], port_index=port_index)
        if len(self._endpoints) >= MAX_ENDPOINTS:
            raise PolicyError(f"the endpoint table is full ({MAX_ENDPOINTS}): delete one first", ENOSPC)
        for other in self._endpoints.values():
            if other.address == address and other.port == wanted.port:
                raise PolicyError(
                    f"endpoint {address} exists already as id {other.id}: delete it first to change its flags", EEXIST
                )
        endpoint = messages.Endpoint(id=self._id(wanted.id), address=address, flags=flags, port=wanted.port)
        self._endpoints[endpoint.id] = endpoint
        self._port_of[endpoint.id] = port_index
        return messages.PutEndpoint(endpoint=endpoint, port_index=port_index)

    def remove(self, endpoint_id: int) -> messages.RemoveEndpoint:
        if endpoint_id not in self._endpoints:
            known = ", ".join(str(i) for i in sorted(self._endpoints)) or "none"
            raise PolicyError(f"there is no endpoint with id {endpoint_id} (known: {known})", ENOENT)
        del self._endpoints[endpoint_id], self._port_of[endpoint_id]
        return messages.RemoveEndpoint(id=endpoint_id)

    def set_limits(
        self, subflows: int | None, add_addr_accepted: int | None, ndiffports: int | None = None
    ) -> messages.PutLimits:
        for word, value in (("subflow", subflows), ("add_addr_accepted", add_addr_accepted)):
            if value is not None and not 0 <= value <= MAX_LIMIT:
                raise PolicyError(f"limit {word} {value} is outside 0-{MAX_LIMIT}")
        if ndiffports is not None and not 1 <= ndiffports <= MAX_LIMIT + 1:
            raise PolicyError(f"limit ndiffports {ndiffports} is outside 1-{MAX_LIMIT + 1}")
        changes = {"subflows": subflows, "add_addr_accepted": add_addr_accepted, "ndiffports": ndiffports}
        self.limits = msgspec.structs.replace(self.limits, **{k: v for k, v in changes.items() if v is not None})
        return messages.PutLimits(limits=self.limits, manual=self.manual)

    def everything(self) -> list[messages.ToWorker]:
        """All a fresh worker has to be told."""
        told: list[messages.ToWorker] = [messages.PutLimits(limits=self.limits, manual=self.manual)]
        told += [messages.PutEndpoint(endpoint=e, port_index=self._port_of[e.id]) for e in self.endpoints]
        return told

    @staticmethod
    def _flags(wanted: messages.Endpoint) -> tuple[str, ...]:
        unknown = [flag for flag in wanted.flags if flag not in FLAGS]
        if unknown:
            raise PolicyError(f"'{unknown[0]}' is no endpoint flag; flags are: {', '.join(FLAGS)}")
        flags = tuple(flag for flag in FLAGS if flag in wanted.flags)
        if "signal" in flags and "fullmesh" in flags:
            raise PolicyError("an endpoint cannot be both signal and fullmesh: leave one out")
        if wanted.port and ("signal" not in flags or "subflow" in flags):
            raise PolicyError("an endpoint with a port must be signal and not subflow: the port is what is announced")
        return flags

    @staticmethod
    def _address(text: str) -> str:
        try:
            ip = ipaddress.ip_address(text)
        except ValueError:
            raise PolicyError(f"'{text}' is no IP address; give one like 10.0.2.1 or fd00::1") from None
        return str((ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip)

    @staticmethod
    def _port_index(address: str, ports: Sequence[messages.PortInfo]) -> int:
        for port in ports:
            if address in port_addresses((port,)):
                return port.index
        ours = ", ".join(port_addresses(ports))
        raise PolicyError(f"{address} is not the address of a port of this instance (they are: {ours})", EADDRNOTAVAIL)

    def _id(self, wanted: int) -> int:
        if wanted == 0:
            return next(i for i in range(1, MAX_ID + 1) if i not in self._endpoints)
        if not 1 <= wanted <= MAX_ID:
            raise PolicyError(f"endpoint id {wanted} is outside 1-{MAX_ID}")
        if wanted in self._endpoints:
            raise PolicyError(f"endpoint id {wanted} is taken by {self._endpoints[wanted].address}", EEXIST)
        return wanted
