# SPDX-License-Identifier: Apache-2.0
"""`sennit nstat` and `sennit ss`: the kernel's names and the kernel's way to write a socket."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import ctrl_fake as fake
import pytest

from sennit.shm.native import ffi, lib
from sennit.tools import cli
from sennit.tools.commands import nstat, ss


def counter_names() -> list[str]:
    names: list[str] = []
    while text := lib.sn_worker_counter_name(len(names)):
        names.append(ffi.string(text).decode())
    return names


def test_every_mptcp_counter_bears_a_name_that_the_kernel_has_or_had() -> None:
    kernel = subprocess.run(["nstat", "-az"], capture_output=True, text=True, check=True).stdout
    known = {line.split()[0] for line in kernel.splitlines() if line and not line.startswith("#")}
    if not any(name.startswith("MPTcpExt") for name in known):
        pytest.skip("this kernel has no MPTCP counters")
    known |= {"MPTcpExtRcvPruned", "TcpExtTCPOFODrop"}  # by kernel version
    names = [nstat.mib_name(name) for name in counter_names()]
    assert len(set(names)) == len(names)
    assert [n for n in names if n.startswith(("MPTcpExt", "Tcp")) and n not in known] == []


def test_counters_are_summed_filtered_and_ordered() -> None:
    workers = [
        fake.worker_info(0, counters={"MPJoinSynRx": 2, "tcp_retrans": 5, "rx_packets": 1, "MPFailTx": 0}),
        fake.worker_info(1, counters={"MPJoinSynRx": 3, "tcp_retrans": 0, "rx_packets": 1, "MPFailTx": 0}),
    ]
    assert nstat.collect(workers, [], False) == {
        "TcpRetransSegs": 5, "MPTcpExtMPJoinSynRx": 5, "Sennit_rx_packets": 2,
    }  # fmt: skip
    assert list(nstat.collect(workers, [], False)) == ["TcpRetransSegs", "MPTcpExtMPJoinSynRx", "Sennit_rx_packets"]
    assert nstat.collect(workers, ["MPTcpExt*"], True) == {"MPTcpExtMPFailTx": 0, "MPTcpExtMPJoinSynRx": 5}


def test_a_connection_is_written_like_ss_writes_it() -> None:
    conn = fake.conn(0, 1, state="established", bytes_sent=9000, send_queue=42, token=0xABCD)
    text = "\n".join(ss.lines(list(ss.rows((conn,), True, True)), True)).splitlines()
    assert text[0].split()[:4] == ["Netid", "State", "Recv-Q", "Send-Q"]
    assert text[1].split() == ["mptcp", "ESTAB", "0", "42", "10.0.1.1:40000", "10.0.1.2:12000"]
    assert "subflows:2 token:0000abcd write_seq:0 " in text[2]
    assert " bytes_sent:9000 subflows_total:3 " in text[2]
    assert text[3].split()[:2] == ["tcp", "ESTAB"]
    assert "rto:210 rtt:10.5/0.5 mss:1424 cwnd:46" in text[4]
    assert "flags:Mec token:00000000(id:0)/0000abcd(id:0)" in text[4]
    assert "flags:Jec" in text[6]
    assert len(text) == 9


def test_backup_and_stale_subflows_show_it() -> None:
    assert "flags:Jbec" in ss.subflow_details(fake.conn(), fake.subflow(1, backup=True))
    assert "flags:JjBec" in ss.subflow_details(
        fake.conn(), fake.subflow(1, backup=True, peer_backup=True, active=True)
    )
    assert ss.subflow_details(fake.conn(), fake.subflow(1, stale=True)).endswith("stale")


def test_plain_tcp_has_no_mptcp_words() -> None:
    conn = fake.conn(0, 1, mptcp=False, subflows=(fake.subflow(0),))
    found = list(ss.rows((conn,), True, True))
    assert [columns[0] for columns, _ in found] == ["tcp"]
    assert "mptcp" not in found[0][1]


def test_commands_against_an_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENNIT_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("SENNIT_INSTANCE", "unit")
    handle = fake.Handle(workers=1)
    handle.workers[0].conns = (fake.conn(0, 1),)

    def scenario(path: Path) -> None:
        assert cli.main(["ss"]) == 0
        assert "10.0.3.1:40000" in capsys.readouterr().out
        assert cli.main(["ss", "-M", "--brief"]) == 0
        assert capsys.readouterr().out.count("\n") == 2
        assert cli.main(["ss", "--json"]) == 0
        assert len(json.loads(capsys.readouterr().out)) == 1
        assert cli.main(["nstat", "--json"]) == 0
        assert "sennit" in json.loads(capsys.readouterr().out)
        assert cli.main(["nstat"]) == 0
        assert capsys.readouterr().out.startswith("#sennit\n")
        assert cli.main(["nstat", "--worker", "9"]) == 2

    fake.with_server(handle, scenario, tmp_path)
