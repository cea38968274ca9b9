# SPDX-License-Identifier: Apache-2.0
"""The description of links and laboratories: what is written, what is understood, what is refused with one sentence."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import msgspec
import pytest

from sennit.tools import link_spec, netlab_file, sim_driver
from sennit.tools.link_spec import Burst, LinkError, Shape
from sennit.tools.netlab_control import Status
from sennit.tools.netlab_file import End, Lab

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs" / "examples").glob("*.toml"))
TWO = """
[[link]]
name = "one"
a = "left 10.0.1.1/24"
b = "right:p1 10.0.1.2/24 fd00::2/64"
"""


def test_rates() -> None:
    assert [link_spec.rate(t) for t in ("100 Mbit/s", "1.5Gbit/s", "500 kbit/s", "64 bit/s", 9600, "0")] == [
        100_000_000, 1_500_000_000, 500_000, 64, 9600, 0,
    ]  # fmt: skip


def test_times() -> None:
    assert [link_spec.time(t) for t in ("5 ms", "0.5 ms", "250us", "250 µs", "2 s", "7 ns", 0, "0")] == [
        5_000_000, 500_000, 250_000, 250_000, 2_000_000_000, 7, 0, 0,
    ]  # fmt: skip


def test_probabilities() -> None:
    assert [link_spec.probability(t) for t in ("1 %", "0.1%", 0.25, "0.5", 1)] == [0.01, 0.001, 0.25, 0.5, 1.0]


def test_queues_as_size_and_as_time() -> None:
    rate = 100_000_000
    assert [link_spec.queue(t, rate) for t in ("256 KiB", "10 kB", 5000, "40 ms")] == [262144, 10000, 5000, 500000]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("rate", "fast", "rate = 'fast' is no quantity: write it like \"100 Mbit/s\""),
        ("rate", "100 MB", "unknown unit; write it like \"100 Mbit/s\""),
        ("rate", "-5 Mbit/s", "rate = '-5 Mbit/s' is no quantity"),
        ("rate", "9e99", "unknown unit"),
        ("rate", 10**400, "out of range"),
        ("rate", 10**15, "out of range"),
        ("delay", 5, "delay = 5 has no unit: write it like \"5 ms\""),
        ("delay", "5", "unknown unit; write it like \"5 ms\""),
        ("delay", "3 h", "unknown unit"),
        ("delay", "4000 s", "out of range"),
        ("loss", "150 %", "is no probability"),
        ("loss", 2, "is no probability"),
        ("loss", -0.1, "is no probability"),
        ("loss", float("nan"), "is no probability"),
        ("delay", True, "is no quantity"),
        ("queue", "40 ms", "is a time, and the link has no rate"),
        ("queue", "40 parsecs", "unknown unit"),
    ],
)
def test_what_is_no_quantity_is_refused_with_an_example(field: str, value: object, sentence: str) -> None:
    with pytest.raises(LinkError) as caught:
        link_spec.resolve(Shape(**{field: value}))  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@hypothesis.given(st.text(max_size=20) | st.integers() | st.floats())
def test_whatever_is_written_is_understood_or_refused(value: str | float) -> None:
    for field in ("rate", "delay", "jitter", "loss", "reorder", "reorder_by", "duplicate", "corrupt", "queue"):
        try:
            link_spec.resolve(Shape(**{field: value}))  # type: ignore[arg-type]
        except LinkError:
            pass


def test_a_direction_differs_in_what_it_names() -> None:
    lab = netlab_file.parse(TWO + 'rate = "10 Mbit/s"\ndelay = "1 ms"\nba = { rate = "1 Mbit/s", loss = 0.1 }\n', "x")
    there, back = (link_spec.resolve(shape) for shape in lab.links[0].shape)
    assert (there.rate_bps, there.delay_ns, there.loss) == (10_000_000, 1_000_000, 0.0)
    assert (back.rate_bps, back.delay_ns, back.loss) == (1_000_000, 1_000_000, 0.1)
    assert there.queue_bytes == link_spec.MIN_QUEUE


def test_the_simulator_takes_the_same_link() -> None:
    shape = Shape(rate="100 Mbit/s", delay="5 ms", jitter="1 ms", loss="1 %", reorder="2 %", duplicate="3 %")
    direction = link_spec.resolve(shape)
    link = link_spec.for_simulator(direction)
    assert (link.rate_bps, link.delay_ns, link.jitter_ns) == (100_000_000, 5_000_000, 1_000_000)
    assert (link.loss, link.reorder, link.reorder_ns, link.duplicate) == (0.01, 0.02, 2_500_000, 0.03)
    assert link.queue_bytes == direction.queue_bytes == 125_000
    with pytest.raises(LinkError, match="no loss in bursts"):
        link_spec.for_simulator(link_spec.resolve(Shape(burst=Burst("1 %", "25 %"))))


def test_a_laboratory_runs_in_the_simulator() -> None:
    lab = netlab_file.load(next(path for path in EXAMPLES if path.stem == "three-paths"))
    out = sim_driver.run(netlab_file.scenario(lab, bytes_ab=4 << 20))
    assert out.completed, out.failure
    assert out.goodput_mbit_s[0] > 50
    assert out.paths[0].frames[0] > 0


def test_a_middlebox_is_the_same_in_the_simulator() -> None:
    lab = netlab_file.parse(TWO + 'box = { strip_syn = ["mptcp"], split = 500 }', "x")
    assert netlab_file.scenario(lab).box == (sim_driver.Box(strip_syn=1 << 30, split=500),)
    assert not sim_driver.run(netlab_file.scenario(lab, bytes_ab=1 << 16)).mptcp_conns


def test_what_the_simulator_cannot_do_is_refused() -> None:
    event = '[[event]]\nat = "1 s"\nlink = "one"\n'
    lab = netlab_file.parse(TWO + event + "set = { up = false }", "x")
    assert netlab_file.scenario(lab).event == (sim_driver.Event(1_000_000_000, 0, sim_driver.DOWN),)
    for text in (event + "set = { loss = 0.1 }", event + 'every = "1 s"\nset = { up = true }'):
        with pytest.raises(LinkError, match="the simulator knows no event"):
            netlab_file.scenario(netlab_file.parse(TWO + text, "x"))


def test_ends_in_short_and_as_tables() -> None:
    lab = netlab_file.parse(
        TWO + '[[link]]\na = { host = "left", interface = "eth9", mac = "02:00:00:00:00:09", mtu = 9000 }\nb = ":lo"\n',
        "labor",
    )
    assert lab.links[0].a == End("one", "left", ("10.0.1.1/24",))
    assert lab.links[0].b == End("p1", "right", ("10.0.1.2/24", "fd00::2/64"))
    assert (lab.links[1].name, lab.links[1].a.mtu, lab.links[1].b) == ("link2", 9000, End("lo"))
    assert lab.namespaces == ["labor-left", "labor-right", "labor-netlab"]
    assert lab.frame == 9018


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Object missing required field `link`"),
        ("link = []", "there is no link"),
        ("link = [", "not valid TOML"),
        ("[[link]]\na = 'x'\n", "missing required field `b`"),
        (TWO + "speed = 5", "Object contains unknown field `speed`"),
        (TWO + 'rate = "fast"', "link 'one': rate = 'fast' is no quantity"),
        (TWO + "mtu = 20", "`int` >= 68"),
        (TWO + TWO, "link 'one' is there twice"),
        (TWO + "box = { nat = true }", "link 'one': only the simulator has this NAT"),
        (TWO + 'box = { strip_syn = ["magic"] }', "Invalid enum value 'magic'"),
        (TWO + '[[link]]\na = "left:one"\nb = "right:x"', "interface 'left:one' is there twice"),
        ('[[link]]\na = "left 10.0.1/24"\nb = "b"', "'10.0.1/24' is no address like 10.0.1.1/24"),
        ('[[link]]\na = "left 10.0.1.1"\nb = "b"', "'10.0.1.1' has no prefix length"),
        ('[[link]]\na = ":eth0 10.0.0.1/24"\nb = "b"', "interface 'eth0' exists already and keeps its addresses"),
        ('[[link]]\na = "le/ft"\nb = "b"', "'le/ft' is no name of a host"),
        ('[[link]]\na = "netlab"\nb = "b"', "'netlab' is no name of a host"),
        ('[[link]]\na = "left:averyverylonginterface"\nb = "b"', "is no name of an interface"),
        ('[[link]]\na = { host = "x", interface = "y", mac = "1" }\nb = "b"', "'1' is no MAC address"),
        ('name = "../x"\n' + TWO, "'../x' is no name of a laboratory"),
        ("buffers = 5\n" + TWO, "buffers = 5 is out of range"),
        (TWO + '[[event]]\nat = "1 s"\nlink = "two"\nset = { up = false }', "there is no link 'two'; links are: one"),
        (TWO + '[[event]]\nat = "1 s"\nlink = "one"\nset = { rate = "x" }', "rate = 'x' is no quantity"),
        (TWO + '[[event]]\nat = 1\nlink = "one"\nset = { up = false }', "at = 1 has no unit"),
        (TWO + '[[event]]\nat = "1 s"\nevery = "1 us"\nlink = "one"\nset = { up = true }', "shorter than 1 ms"),
    ],
)
def test_a_wrong_file_is_refused_with_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(LinkError) as caught:
        netlab_file.load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="cannot be read: No such file"):
        netlab_file.load(tmp_path / "none.toml")
    (tmp_path / "bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LinkError, match="is no text file"):
        netlab_file.load(tmp_path / "bin")


def test_a_laboratory_survives_its_state_file() -> None:
    text = TWO + 'box = { coalesce = 900 }\n[[event]]\nat = "1 s"\nlink = "one"\nset = { up = false }'
    lab = netlab_file.parse(text, "x")
    assert msgspec.json.decode(msgspec.json.encode(lab), type=Lab) == lab


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_right(path: Path) -> None:
    assert netlab_file.load(path).links


def test_there_are_examples() -> None:
    assert EXAMPLES


def _status(tx_bytes: int, lost: int, time_ns: int) -> Status:
    counters = dict.fromkeys(link_counters(), 0) | {
        "rx_frames": 100 + lost, "tx_frames": tx_bytes // 1000, "tx_bytes": tx_bytes, "lost": lost,
        "delay_ns": tx_bytes // 1000 * 5_000_000,
    }  # fmt: skip
    direction = {"setting": msgspec.to_builtins(link_spec.resolve(Shape(rate="10 Mbit/s")))} | counters
    load = {"cpu_ns": time_ns // 10, "wakeups": 0, "frames": 0, "buffers": 9, "buffers_used": 0, "buffers_peak": 0}
    return msgspec.convert(
        {
            "type": "state", "name": "x", "pid": 1, "time_ns": time_ns, "uptime_s": time_ns / 1e9,
            "namespaces": {"left": "x-left"}, "load": load | {"realtime": 1},
            "links": [{"name": "one", "a": "left:one", "b": "right:one", "ab": direction, "ba": direction}],
        },
        Status,
    )  # fmt: skip


def link_counters() -> tuple[str, ...]:
    from sennit.tools import netlab_control

    return netlab_control.COUNTERS


def test_two_looks_make_rates() -> None:
    from rich.console import Console

    from sennit.tools import netlab_view

    before, now = _status(0, 0, 10**9), _status(625_000, 10, 2 * 10**9)
    row = netlab_view.rows(before, now)[0]
    assert (row.bit_s, row.load, row.frames_s, row.drops_s, row.delay_ms) == (5e6, 0.5, 625, 10, 5.0)
    assert netlab_view.cpu_share(before, now) == pytest.approx(0.1)
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(netlab_view.render_status(before, now))
    shown = console.export_text()
    assert "5.0 Mbit/s" in shown
    assert "ip netns exec x-left" in shown
