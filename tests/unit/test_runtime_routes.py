# SPDX-License-Identifier: Apache-2.0
"""Static routes in the configuration, on the command line, and as they are shown."""

from __future__ import annotations

from pathlib import Path

import ctrl_fake as fake
import pytest

from sennit.runtime import config, routes
from sennit.runtime.errors import ConfigError
from sennit.tools import cli
from sennit.tools.commands import route, up
from sennit.tools.errors import UsageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.9.0.0/16", "is not a network and a router"),
        ("10.9.0.0/16 dev 10.0.1.2", "is not a network and a router"),
        ("10.9.0.1/16 via 10.0.1.2", "has host bits set"),
        ("10.9.0.0/16 via here", "does not appear to be"),
        ("10.9.0.0/16 via fe80::1", "of different families"),
        ("224.0.0.0/8 via 10.0.1.2", "neither groups nor loopback"),
        ("127.0.0.0/8 via 10.0.1.2", "neither groups nor loopback"),
        ("10.9.0.0/16 via 0.0.0.0", "neither groups nor loopback"),
    ],
)
def test_what_is_no_route_is_said_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        routes.parse(text)


def test_routes_are_checked_with_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    many = ", ".join(f'"10.{i}.0.0/16 via 10.0.1.2"' for i in range(17))
    for given, words in (
        ('"10.9.0.0/16"', "port eth1: route '10.9.0.0/16' is not"),
        ('"10.9.0.0/16 via 10.0.1.2", "10.9.0.0/16 via 10.0.1.3"', "two routes to 10.9.0.0/16"),
        (many, "17 routes of IPv4 are given, 16 are possible"),
    ):
        file.write_text(f'[[ports]]\nname = "eth1"\nroutes = [{given}]\n')
        with pytest.raises(ConfigError, match=words):
            config.load(file)
    file.write_text('[[ports]]\nname = "eth1"\nroutes = ["10.9.0.0/16 via 10.0.1.2", "FD00:9::/48 via FE80:0::1"]\n')
    (port,) = config.load(file).port_list
    assert port.routes is not None
    assert routes.of_family(port.routes, 6) == ("fd00:9::/48 via fe80::1",)


def given(*words: str) -> dict[str, tuple[str, ...] | None]:
    loaded = up.configuration(cli.make_parser().parse_args(["up", *words]))
    return {port.name: port.routes for port in loaded.port_list}


def test_routes_on_the_command_line_name_their_port() -> None:
    words = ["--port", "a", "--port", "b", "--route", "10.9.0.0/16 via 10.0.1.2 dev b"]
    assert given(*words, "--route", "10.8.0.0/16 via 10.0.1.2 dev b") == {
        "a": None,
        "b": ("10.9.0.0/16 via 10.0.1.2", "10.8.0.0/16 via 10.0.1.2"),
    }
    assert given("--port", "a", "--route", "10.9.0.0/16 via 10.0.1.2") == {"a": ("10.9.0.0/16 via 10.0.1.2",)}
    with pytest.raises(UsageError, match="names no port: end it with 'dev' and one of a, b"):
        given("--port", "a", "--port", "b", "--route", "10.9.0.0/16 via 10.0.1.2")
    with pytest.raises(ConfigError, match="is not a network and a router"):
        given("--port", "a", "--route", "10.9.0.0/16")


def test_routes_are_listed_as_they_are_looked_at() -> None:
    ports = (
        fake.port(0, routes=("10.9.0.0/16 via 10.0.1.7", "fd00:9::/48 via fe80::7"), address6="fd00:1::1/64"),
        fake.port(1, gateway=None, routes=("10.9.8.0/24 via 10.0.2.7",)),
    )
    assert [" ".join(row) for row in route.rows(ports)] == [
        "10.0.1.0/24 - veth-a1 10.0.1.1 link",
        "10.0.2.0/24 - veth-a2 10.0.2.1 link",
        "10.9.8.0/24 10.0.2.7 veth-a2 10.0.2.1 route",
        "10.9.0.0/16 10.0.1.7 veth-a1 10.0.1.1 route",
        "default 10.0.1.2 veth-a1 10.0.1.1 gateway",
        "fd00:1::/64 - veth-a1 fd00:1::1 link",
        "fd00:9::/48 fe80::7 veth-a1 fd00:1::1 route",
    ]
