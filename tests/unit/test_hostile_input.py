# SPDX-License-Identifier: Apache-2.0
"""Whatever is written into a file or onto the control socket is understood or refused in words: no other exception, and
nobody else notices."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctrl_fake as fake
import msgspec
import pytest
from ctrl_dial import dialled, raw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sennit.runtime import config
from sennit.runtime.errors import ConfigError
from sennit.shm import errors, framing, messages
from sennit.tools import netlab_file, sim_scenario
from sennit.tools.errors import UsageError
from sennit.tools.link_spec import LinkError

ROOT = Path(__file__).resolve().parents[2]

# What people write, and what they do not.
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=12),
    st.sampled_from(["10.0.0.1/24", "fd00::1/64", "eth0", "0-3", "0x3", "100 Mbit/s", "5 ms", "1 %", "::ffff:1.2.3.4"]),
)  # fmt: skip
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
        case str():
            return json.dumps(value.replace("\x7f", ""))
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
        case _:
            return str(value)


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [f.encode_name for f in msgspec.structs.fields(kind)]


def tables(**kinds: type[msgspec.Struct]) -> st.SearchStrategy[str]:
    """Files with known names and any values: of the top, of tables, and of ARRAYS of tables."""

    def table(name: str, kind: type[msgspec.Struct]) -> st.SearchStrategy[str]:
        head = "" if name == "TOP" else f"[{name}]\n" if name.islower() else f"[[{name.lower()}]]\n"
        values = st.dictionaries(st.sampled_from(fields(kind)), VALUES, max_size=6)
        return values.map(lambda d: head + "\n".join(f"{k} = {toml(v)}" for k, v in d.items()))

    return st.tuples(*(table(name, kind) for name, kind in kinds.items())).map("\n".join)


def damaged(text: str) -> st.SearchStrategy[bytes]:
    """A good file with some bytes cut out and others put in."""
    good = text.encode()
    places = st.tuples(st.integers(0, len(good)), st.integers(0, 6), st.binary(max_size=4))

    def damage(where: list[tuple[int, int, bytes]]) -> bytes:
        data = good
        for at, length, instead in where:
            data = data[:at] + instead + data[at + length :]
        return data

    return st.lists(places, min_size=1, max_size=4).map(damage)


def understood(path: Path, content: bytes, load: Callable[[Path], object], refusal: type[Exception]) -> None:
    path.write_bytes(content)
    with contextlib.suppress(refusal):
        load(path)


QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CONFIG = """name = "one"
lcores = "0-1"
ports = ["eth1"]
[limits]
subflows = 4
[[endpoints]]
id = 1
address = "10.0.0.1"
flags = ["subflow"]
[engine]
max_connections = 100
"""


@QUICK
@given(
    content=tables(TOP=config.Config, engine=config.Engine, limits=messages.Limits, PORTS=config.Port,
                   ENDPOINTS=messages.Endpoint).map(str.encode)
    | damaged(CONFIG)
)  # fmt: skip
def test_configuration(tmp_path: Path, content: bytes) -> None:
    understood(tmp_path / "c.toml", content, config.load, ConfigError)


@QUICK
@given(
    content=tables(TOP=netlab_file.File, LINK=netlab_file.Link, EVENT=netlab_file.Event).map(str.encode)
    | st.sampled_from(sorted((ROOT / "docs" / "examples").glob("*.toml"))).flatmap(lambda p: damaged(p.read_text()))
)
def test_laboratory_file(tmp_path: Path, content: bytes) -> None:
    understood(tmp_path / "l.toml", content, netlab_file.load, LinkError)


@QUICK
@given(
    content=tables(TOP=sim_scenario.File, PATH=sim_scenario.Way, EVENT=sim_scenario.Event).map(str.encode)
    | st.sampled_from(sorted((ROOT / "tests" / "sim" / "scenarios").glob("*.toml"))).flatmap(
        lambda p: damaged(p.read_text())
    )
)
def test_scenario_file(tmp_path: Path, content: bytes) -> None:
    understood(tmp_path / "s.toml", content, lambda p: sim_scenario.load(p).native(), UsageError)


REQUESTS = [
    messages.Hello(), messages.GetStatus(), messages.GetStatus(max_conns=-1), messages.Attach(tx_bytes=-5, rx_bytes=1),
    messages.Attach(tx_bytes=2**63 - 1, rx_bytes=2**63 - 1), messages.GetEndpoints(), messages.GetLimits(),
    messages.AddEndpoint(messages.Endpoint(id=900, address="nowhere", flags=("subflow",))), messages.DelEndpoint(id=-1),
    messages.SetLimits(subflows=-1, add_addr_accepted=2**40), messages.GetConn(worker=99, conn=2**63 - 1),
    messages.GetConn(worker=-1, conn=-1), messages.Monitor(),
]  # fmt: skip
FRAMES = st.one_of(
    st.sampled_from(REQUESTS).map(framing.encode),
    st.sampled_from(REQUESTS).map(lambda m: framing.encode(m)[4:]).flatmap(
        lambda good: damaged(good.decode("latin-1"))).map(lambda p: len(p).to_bytes(4, "big") + p),
    st.binary(max_size=60).map(lambda p: len(p).to_bytes(4, "big") + p),
    st.binary(max_size=60),
)  # fmt: skip


@given(st.lists(FRAMES, max_size=5).map(b"".join), st.integers(1, 40))
def test_frames_are_decoded_or_refused(data: bytes, cut: int) -> None:
    decoder = framing.FrameDecoder(4096)
    try:
        frames = [f for i in range(0, len(data), cut) for f in decoder.feed(data[i : i + cut])]
    except errors.ProtocolError:
        return
    for decode in (messages.request_decoder, messages.reply_decoder, messages.to_worker_decoder):
        for frame in frames:
            try:
                decode.decode(frame)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass


def test_a_control_process_outlives_whatever_its_clients_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    hello = framing.encode(messages.Hello())

    def scenario(path: Path) -> None:
        @settings(max_examples=200, deadline=None)
        @given(st.lists(FRAMES, max_size=5).map(b"".join), st.booleans())
        def says(data: bytes, polite: bool) -> None:
            answer = raw(path, hello + data if polite else data)
            assert answer is None or isinstance(answer, messages.Message)

        says()
        with dialled() as sock:
            assert isinstance(sock.request(messages.GetStatus()), messages.Status)

    fake.with_server(fake.Handle(), scenario, tmp_path)
