# SPDX-License-Identifier: Apache-2.0
"""The `sennit` command: its arguments, its sentences, its exit status, against a control process with fake workers."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import ctrl_fake as fake
import pytest
from ctrl_dial import until

from sennit.shm import messages
from sennit.tools import cli, pump
from sennit.tools.commands import COMMANDS, base, endpoint, limits, up
from sennit.tools.commands.base import host_port
from sennit.tools.errors import UsageError


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SENNIT_INSTANCE", "unit")
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


# ------------------------------------------------------------------------------------------------------- command line


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not c.passes_through])
def test_every_command_has_help_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "usage: sennit" in said
    assert "examples:" in said or name == "version"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["status", "--jsn"], "unrecognized arguments: --jsn"),
        (["status", "--max-conns", "-3"], "--max-conns -3 is negative"),
        (["down", "--grace", "-1"], "--grace -1 is outside"),
        (["top", "--interval", "0"], "--interval 0 is outside"),
        (["connect", "10.0.0.1"], "'10.0.0.1' has no port: write HOST:PORT"),
        (["connect", "10.0.0.1:http"], "'http' in '10.0.0.1:http' is no port"),
        (["connect", "fd00::1:80"], "write an IPv6 address in brackets"),
        (["connect", "10.0.0.1:1", "--timeout", "-1"], "--timeout -1 is outside"),
        (["listen", "70000"], "'70000' in '70000' is no port"),
        (["endpoint", "add"], "give an address"),
        (["endpoint", "add", "10.0.0.1", "fast"], "'fast' is no endpoint word; words are: signal subflow"),
        (["endpoint", "add", "10.0.0.1", "id", "900"], "'id' wants a number from 1 to 255, not '900'"),
        (["endpoint", "add", "10.0.0.1", "port"], "'port' wants a number from 1 to 65535, not ''"),
        (["endpoint", "del", "ten"], "say which"),
        (["limits", "set"], "say what to set"),
        (["neigh", "show", "10.0.1.2"], "`neigh show` does not take '10.0.1.2'"),
        (["neigh", "flush", "10.0.1.2", "all"], "`neigh flush` does not take 'all'"),
        (["limits", "set", "subflow", "many"], "'subflow' wants a number, not 'many'"),
        (["limits", "set", "speed", "9"], "'speed' is no limit"),
        (["up", "--port", "x", "--lcores", "0", "--coremask", "1"], "not allowed with argument"),
        (["up", "--port", "x", "--rcvbuf", "big"], "--rcvbuf 'big' is not a number of bytes"),
        (["up", "--port", "x", "--limits", "a"], "--limits 'a' is not like 8 or 8,8"),
        (["up", "--port", "x", "--endpoint", "10.0.0.1,fast"], "'fast' is no endpoint word"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_status_2(words: list[str], sentence: str, run: Run) -> None:
    status, out, err = run(*words)
    assert status == 2
    assert out == ""
    assert sentence in err
    assert err.startswith("sennit: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["up"], "no port is given"),
        (["up", "--port", "x", "--lcores", "3-1"], "lcores '3-1' is not a list of cores"),
        (["up", "--port", "x", "--config", "/nonexistent.toml"], "/nonexistent.toml cannot be read"),
        (["status"], "no sennit instance 'unit'"),
        (["top", "--once"], "no sennit instance 'unit'"),
        (["connect", "10.0.0.1:80"], "no sennit instance 'unit'"),
        (["listen", "80"], "no sennit instance 'unit'"),
        (["status", "--name", "../etc"], "is not an instance name"),
        (["connect", "10.0.0.1:80", "--in", "/nonexistent"], "cannot open /nonexistent: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(words: list[str], sentence: str, run: Run) -> None:
    status, out, err = run(*words)
    assert status == 1
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def test_trace_is_shown_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENNIT_TRACE", "1")
    assert "Traceback" in run("status")[2]


def test_malformed_toml_names_the_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("lcores = [")
    status, _, err = run("up", "--config", str(file))
    assert status == 1
    assert f"{file} is not valid TOML" in err


def test_no_command_prints_the_help(run: Run) -> None:
    status, out, _ = run()
    assert status == 2
    assert "commands:" in out


def test_version(run: Run) -> None:
    assert run("version")[0] == 0
    assert json.loads(run("version", "--json")[1])["protocol"] == messages.PROTOCOL_VERSION


def test_up_puts_the_command_line_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        'name = "f"\nlcores = "0-3"\nports = ["a"]\n'
        '[engine]\nscheduler = "minrtt"\nchecksum = true\n[limits]\nsubflows = 1\n'
    )
    words = ["up", "--config", str(file), "--coremask", "0x3", "--port", "b", "--cc", "newreno", "--rcvbuf", "4M"]
    words += ["--endpoint", "10.0.2.1,subflow,backup", "--endpoint", "all,signal", "--limits", "3,4"]
    words += ["--max-conns", "20000"]
    config = up.configuration(cli.make_parser().parse_args(words))
    assert (config.name, config.cores, [p.name for p in config.port_list]) == ("f", (0, 1), ["b"])
    engine = config.engine
    assert (engine.scheduler, engine.congestion_control, engine.checksum, engine.receive_buffer) == (
        "minrtt", "newreno", True, 4 << 20,
    )  # fmt: skip
    assert (engine.max_connections, engine.max_subflows) == (20000, 0)
    assert config.limits == messages.Limits(3, 4)
    assert [(e.address, e.flags) for e in config.endpoints] == [
        ("10.0.2.1", ("subflow", "backup")), ("all", ("signal",)),
    ]  # fmt: skip


def test_up_takes_the_path_managers_settings(tmp_path: Path) -> None:
    words = ["up", "--port", "b", "--limits", "3,4,2", "--no-join", "--path-manager", "own:Policy", "--cc", "bbr"]
    config = up.configuration(cli.make_parser().parse_args([*words, "--endpoint", "10.0.2.1,laminar"]))
    assert config.limits == messages.Limits(3, 4, 2)
    assert (config.engine.no_join, config.path_manager, config.engine.congestion_control) == (True, "own:Policy", "bbr")
    assert config.endpoints[0].flags == ("laminar",)
    file = tmp_path / "s.toml"
    file.write_text('ports = ["a"]\npath_manager = "f.py:P"\n[limits]\nndiffports = 3\n[engine]\nno_join = true\n')
    config = up.configuration(cli.make_parser().parse_args(["up", "--config", str(file)]))
    assert (config.limits.ndiffports, config.engine.no_join, config.path_manager) == (3, True, "f.py:P")
    plain = up.configuration(cli.make_parser().parse_args(["up", "--port", "b"]))
    assert (plain.limits.ndiffports, plain.engine.no_join, plain.path_manager) == (1, False, "")


def test_words_of_ip_mptcp() -> None:
    assert endpoint.parse_words("10.0.2.1 signal backup id 3 port 80".split()) == messages.Endpoint(
        3, "10.0.2.1", ("signal", "backup"), 80
    )
    assert limits.parse_words("subflow 2 add_addr_accepted 3".split()) == {"subflows": 2, "add_addr_accepted": 3}


def test_addresses() -> None:
    assert host_port("10.0.0.1:80") == ("10.0.0.1", 80)
    assert host_port("[fd00::1]:80") == ("fd00::1", 80)
    assert host_port("80", "0.0.0.0") == ("0.0.0.0", 80)
    assert host_port(":80", "0.0.0.0") == ("0.0.0.0", 80)
    for text in (":80", "host", "host:", "host:0", "host:65536", "host:-1"):
        with pytest.raises(UsageError):
            host_port(text)


# -------------------------------------------------------------------------------------------------- against an instance


def test_status_and_top_as_table_and_json(run: Run, directory: Path) -> None:
    handle = fake.Handle(workers=2)
    handle.workers[1].conns = (fake.conn(1, 1),)
    handle.ports[0] = fake.port(0, offloads=("tx-checksum", "tso"))

    def scenario(path: Path) -> None:
        shown_as_table = run("status")[1]
        assert "10.0.3.1:40000" in shown_as_table
        assert "tx-checksum" in shown_as_table  # of port 0
        assert "software" in shown_as_table  # of port 1
        shown = json.loads(run("status", "--json")[1])
        assert [port["offloads"] for port in shown["ports"]][:2] == [["tx-checksum", "tso"], []]
        assert shown["conns"][0]["subflows"][2]["srtt_us"] == 10500.0
        assert "Lcores" in run("top", "--once", "--interval", "0.05")[1]
        lines = run("top", "--once", "--json", "--interval", "0.05")[1].splitlines()
        assert [len(json.loads(line)["lcores"]) for line in lines] == [2]

    fake.with_server(handle, scenario, directory)


def test_endpoints_and_limits_from_the_command_line(run: Run, directory: Path) -> None:
    def scenario(path: Path) -> None:
        assert run("endpoint", "add", "10.0.2.1", "subflow", "backup") == (0, "", "")
        assert run("endpoint", "add", "10.0.3.1", "signal", "id", "9", "port", "81")[0] == 0
        assert "subflow backup" in run("endpoint", "show")[1]
        assert [e["id"] for e in json.loads(run("endpoint", "show", "--json")[1])] == [1, 9]
        assert run("endpoint", "change", "id", "1", "nobackup", "fullmesh") == (0, "", "")
        assert json.loads(run("endpoint", "show", "--json")[1])[0]["flags"] == ["subflow", "fullmesh"]
        assert run("endpoint", "change", "id", "5", "backup")[0] == 2
        assert run("endpoint", "change", "id", "1", "signal")[0] == 2
        assert run("endpoint", "change", "id", "1", "backup", "nofullmesh")[0] == 0
        assert run("endpoint", "del", "id", "9")[0] == 0
        assert run("endpoint", "del", "1")[0] == 0
        assert "Endpoints: none" in run("endpoint", "show")[1]
        status, _, err = run("endpoint", "add", "10.9.9.9")
        assert (status, "10.9.9.9 is not the address of a port of this instance" in err) == (1, True)
        assert run("limits", "set", "subflow", "2") == (0, "", "")
        assert json.loads(run("limits", "show", "--json")[1])["subflows"] == 2
        assert run("limits", "set", "ndiffports", "3") == (0, "", "")
        assert "ndiffports 3" in run("limits", "show")[1]
        assert run("limits", "set", "ndiffports", "99")[0] == 1
        assert run("limits", "show")[1] == "Limits: subflow 2 add_addr_accepted 8 ndiffports 3\n"
        assert "outside 0-15" in run("limits", "set", "subflow", "99")[2]

    fake.with_server(fake.Handle(), scenario, directory)


def test_neighbours_and_routes_from_the_command_line(run: Run, directory: Path) -> None:
    handle = fake.Handle(ports=1)

    def scenario(path: Path) -> None:
        assert run("neigh")[:2] == (0, "Neighbours: none\n")
        news = messages.NeighbourNews("heard", 0, "10.0.1.2", "02:00:00:00:00:07")
        handle.workers[0].say(messages.NeighbourReport((news,)))
        assert until(lambda: len(json.loads(run("neigh", "--json")[1])) == 1)
        shown = run("neigh", "show")[1]
        assert all(word in shown for word in ("10.0.1.2", "veth-a1", "02:00:00:00:00:07", "REACHABLE"))
        assert run("neigh", "flush", "10.0.1.2") == (0, "", "")
        assert json.loads(run("neigh", "--json")[1]) == []
        assert json.loads(run("route", "--json")[1]) == [
            {"destination": "10.0.1.0/24", "via": "-", "port": "veth-a1", "source": "10.0.1.1", "kind": "link"},
            {"destination": "default", "via": "10.0.1.2", "port": "veth-a1", "source": "10.0.1.1", "kind": "gateway"},
        ]
        shown = run("route")[1]
        assert all(word in shown for word in ("default", "10.0.1.2", "gateway"))

    fake.with_server(handle, scenario, directory)


def test_endpoint_all_stands_for_every_port(run: Run, directory: Path) -> None:
    handle = fake.Handle(endpoints=(messages.Endpoint(0, "all", ("subflow",)),))

    def scenario(path: Path) -> None:
        shown = json.loads(run("endpoint", "show", "--json")[1])
        assert [e["address"] for e in shown] == ["10.0.1.1", "10.0.2.1", "10.0.3.1"]

    fake.with_server(handle, scenario, directory)


def test_down_returns_when_the_instance_is_gone(run: Run, directory: Path) -> None:
    handle = fake.Handle()

    def scenario(path: Path) -> None:
        assert run("down", "--grace", "0.1") == (0, "instance 'unit' has stopped\n", "")
        assert handle.stopped
        assert not path.exists()
        assert run("down")[0] == 1

    fake.with_server(handle, scenario, directory)


# ---------------------------------------------------------------------------------------------------------------- pump


class Peer:
    """A connection's face over a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.send = sock.send
        self.recv_into = sock.recv_into
        self.shutdown = sock.shutdown


def test_pump_moves_both_ways_and_half_closes(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    ours, theirs = socket.socketpair()
    echoed: list[bytes] = []

    def echo() -> None:
        while part := theirs.recv(100_000):
            echoed.append(part)
        theirs.sendall(b"".join(echoed))
        theirs.close()

    thread = threading.Thread(target=echo)
    thread.start()
    source = os.open(tmp_path / "in", os.O_RDONLY)
    sink = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    moved = pump.Pump(Peer(ours), source, sink)
    moved.run()
    thread.join()
    assert (tmp_path / "out").read_bytes() == data
    stats = moved.stats(("10.0.0.1", 1), ("fd00::1", 2), True)
    assert (stats.bytes_sent, stats.bytes_received, stats.remote) == (len(data), len(data), "[fd00::1]:2")
    assert "sent 2.9 MiB" in stats.line()
    for fd in (source, sink):
        os.close(fd)
    ours.close()


def test_pump_tells_when_the_peer_leaves_before_everything_was_sent(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"x" * 3_000_000)
    ours, theirs = socket.socketpair()
    theirs.close()
    source = os.open(tmp_path / "in", os.O_RDONLY)
    with pytest.raises(ConnectionResetError):
        pump.Pump(Peer(ours), source, 1).run()
    os.close(source)
    ours.close()


def test_pump_waits_while_the_other_direction_moves(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.2)
    read, write = os.pipe()
    moved = pump.Pump(Peer(ours), read, os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT), timeout=0.2)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            moved.run()
        except TimeoutError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(5):
        os.write(write, b"tick")
        thread.join(0.1)
    assert thread.is_alive(), "gave up although the other direction moved"
    thread.join(2)
    assert failed
    os.close(write)
    theirs.close()
    ours.close()


def test_an_address_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    """rich makes a disc of ":cd:" unless it is told not to."""
    base.print_table("b6:4e:a7:cd:89:52 and fd00:cd::1")
    assert capsys.readouterr().out == "b6:4e:a7:cd:89:52 and fd00:cd::1\n"
