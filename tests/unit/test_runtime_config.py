# SPDX-License-Identifier: Apache-2.0
"""The configuration: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit.runtime import config
from sennit.runtime.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "cores"), [("0", (0,)), ("0-1", (0, 1)), ("0,2-3", (0, 2, 3)), (" 3 , 1 ", (1, 3)), ("2-2,2", (2,))]
)
def test_lcores_list(text: str, cores: tuple[int, ...]) -> None:
    assert config.parse_lcores(text) == cores


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-1", "0,,1", "0-99999", "1024", "0x3"])
def test_bad_lcores_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="write it like 0,2-3"):
        config.parse_lcores(text)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_coremask_and_list_agree(cores: set[int]) -> None:
    mask = hex(sum(1 << c for c in cores))
    assert config.parse_coremask(mask) == tuple(sorted(cores))
    assert config.parse_lcores(",".join(map(str, cores))) == tuple(sorted(cores))


@pytest.mark.parametrize("text", ["0", "0x", "xyz", "", "-3"])
def test_bad_coremask_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="coremask"):
        config.parse_coremask(text)


def test_command_line_wins_over_file(tmp_path: Path) -> None:
    file = tmp_path / "sennit.toml"
    file.write_text('name = "lab"\nlcores = "0-3"\nports = ["eth1"]\n[limits]\nsubflows = 2\n')
    loaded = config.load(file, coremask="0x2", ports=("veth0", "veth1"))
    assert loaded.name == "lab"
    assert loaded.cores == (1,)
    assert [p.name for p in loaded.port_list] == ["veth0", "veth1"]
    assert loaded.limits.subflows == 2


def test_ports_may_be_tables(tmp_path: Path) -> None:
    file = tmp_path / "sennit.toml"
    file.write_text('[[ports]]\nname = "0000:01:00.0"\naddress = "10.0.0.1/24"\ngateway = "10.0.0.254"\nmtu = 9000\n')
    (port,) = config.load(file).port_list
    assert port.pci
    assert port.mtu == 9000


def test_a_port_on_the_command_line_may_have_its_settings_with_it() -> None:
    loaded = config.load(ports=("eth1,vlan=5,address=10.0.5.1/24,gateway=10.0.5.9,mtu=1400", "eth2"))
    assert loaded.port_list == (
        config.Port("eth1", "10.0.5.1/24", "10.0.5.9", 1400, vlan=5),
        config.Port("eth2"),
    )


def test_ipv6_can_be_left_to_the_kernel(tmp_path: Path) -> None:
    file = tmp_path / "sennit.toml"
    file.write_text('[[ports]]\nname = "eth1"\n[[ports]]\nname = "0000:01:00.0"\naddress6 = "fd00::1/64"\n')
    assert [p.ipv6 for p in config.load(file).port_list] == [True, True]
    assert [p.ipv6 for p in config.load(ports=["eth1"], ipv6=False).port_list] == [False]
    file.write_text('[[ports]]\nname = "eth1"\n[[ports]]\nname = "eth2"\nipv6 = false\n')
    assert [p.ipv6 for p in config.load(file).port_list] == [True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ports = [", "not valid TOML"),
        ('ports = ["eth1"]\nnonsense = 1', "nonsense"),
        ('ports = ["eth1"]\npoll = "fast"', "adaptive or busy"),
        ('ports = ["eth1"]\nlcores = 3', "lcores"),
        ("", "no port is given"),
        ('ports = ["eth1", "eth1"]', "eth1 is given twice"),
        ('ports = ["a b"]', "neither the name of an interface"),
        ('ports = ["01:00.0"]', "PCI device without an address"),
        ('ports = [{name = "eth1", address = "10.0.0.1"}]', "prefix length"),
        ('ports = [{name = "eth1", address = "fe80::1/64"}]', "not IPv4"),
        ('ports = [{name = "eth1", address6 = "10.0.0.1/24"}]', "address6 '10.0.0.1/24' is not IPv6 like fd00::1/64"),
        ('ports = [{name = "eth1", address6 = "fe80::1/64"}]', "not a global address"),
        ('ports = [{name = "eth1", address6 = "ff02::1/64"}]', "not a global address"),
        ('ports = [{name = "eth1", address6 = "::ffff:10.0.0.1/112"}]', "not a global address"),
        ('ports = [{name = "eth1", address6 = "fd00::1"}]', "needs a prefix length, like fd00::1/64"),
        ('ports = [{name = "eth1", gateway6 = "10.0.0.9"}]', "gateway6 '10.0.0.9' is not an IPv6 address"),
        ('ports = [{name = "eth1", gateway6 = "fe80::9%eth1"}]', "is not an IPv6 address"),
        ('ports = [{name = "eth1", address6 = "fd00::1/64", mtu = 1000}]', "IPv6, which needs 1280"),
        ('ports = [{name = "eth1", address6 = "fd00::1/64", ipv6 = false}]', "but ipv6 = false"),
        ('ports = [{name = "01:00.0", address = "10.0.0.1/24", gateway6 = "fe80::9"}]', "without address6"),
        ('ports = [{name = "eth1", mtu = 100}]', "mtu 100"),
        ('ports = ["eth1,vlan=5"]', "vlan 5 needs an address"),
        ('ports = [{name = "eth1", vlan = 4095, address = "10.0.0.1/24"}]', "vlan 4095 must lie between 1 and 4094"),
        ('ports = [{name = "eth1", vlan = -1}]', "vlan -1 must lie"),
        ('ports = ["eth1,vlan=x"]', "vlan 'x' is not a number"),
        ('ports = ["eth1,vlan"]', "'vlan' is not one of address="),
        ('ports = ["eth1,name=eth2"]', "'name=eth2' is not one of"),
        ('ports = ["eth1,mtu=1400,mtu=1500"]', "mtu is given twice"),
        ('ports = ["eth1"]\nname = "a/b"', "instance name"),
        ('ports = ["eth1"]\nbuffers = 3', "buffers is 3"),
        ('ports = ["eth1"]\nlcores = "0-16"', "16 queues"),
        ('ports = ["eth0"]\n[engine]\nsyn_cookies = "maybe"', "off, auto or always"),
        ('ports = ["eth0"]\n[engine]\ntime_wait_s = 601', "engine.time_wait_s is 601"),
        ('ports = ["eth0"]\n[engine]\nfin_wait_s = -1', "engine.fin_wait_s is -1"),
    ],
)
def test_one_sentence_names_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "sennit.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    sentence = str(caught.value)
    assert words in sentence
    assert "\n" not in sentence


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path / "none.toml")


def test_lcores_and_coremask_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="both"):
        config.load(ports=("eth1",), lcores="0", coremask="1")


@pytest.mark.parametrize("workers", range(1, 17))
def test_blocks_of_local_ports_fit(workers: int) -> None:
    loaded = config.load(ports=("eth1",), lcores=f"0-{workers - 1}")
    block = loaded.block_ports
    assert block & (block - 1) == 0
    assert block * workers <= config.PORT_RANGE
    assert block <= 32768
