# SPDX-License-Identifier: Apache-2.0
"""Instances with another path manager than usual, against the kernel: a policy of a user's own, the C flag, an endpoint
with a port."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sennit import sdk
from sennit.tools.lab import KernelProcess, Lab
from sennit.tools.lab_runtime import Runtime

PORT = 5032
SIZE = 300_000
Eventually = Callable[[Callable[[], bool], float], bool]


class Served:
    """A connection that a kernel client opens; it sends after a pause."""

    def __init__(self, lab: Lab, runtime: Runtime, wait: float) -> None:
        self.listener = sdk.listen(("0.0.0.0", PORT), instance=runtime.name, timeout=20)
        self.client = KernelProcess(
            lab, lab.peer, PORT, "client", lab.host_address(1), "send", SIZE, "--wait", str(wait)
        )
        self.connection, _ = self.listener.accept()

    def usable(self) -> int:
        return sum(sf.usable for sf in self.connection.info().subflows)

    def joined(self) -> list[str]:
        return [sf.local for sf in self.connection.info().subflows if sf.join]

    def finish(self) -> None:
        got = 0
        while piece := self.connection.recv(65536):
            got += len(piece)
        self.connection.close()
        self.client.done()
        self.listener.close()
        assert got == SIZE


@pytest.fixture(autouse=True)
def _no_endpoints_at_the_peer(lab: Lab) -> None:
    lab.peer_endpoints(None)


POLICY = """
from sennit.ctrl.path_manager import PathManager

class Policy(PathManager):
    def on_established(self, conn):
        if conn.server:
            conn.announce("10.1.2.1")
            return
        for address in self.host.addresses()[1:]:
            conn.open_subflow(local=address, backup=True)

    async def on_sub_established(self, conn, subflow):
        if not conn.server and subflow.local == "10.1.3.1":
            await conn.set_backup(subflow, False)

    def on_sub_closed(self, conn, subflow):
        if not conn.closed:
            conn.open_subflow(local=subflow.local, backup=subflow.backup)
"""


def test_policy_of_a_user_decides_alone(lab: Lab, tmp_path: Path, eventually: Eventually) -> None:
    (tmp_path / "policy.py").write_text(POLICY)
    extra = ["--path-manager", f"{tmp_path / 'policy.py'}:Policy", "--endpoint", "all,subflow,fullmesh"]
    before = lab.nstat(lab.peer)
    with Runtime(lab, extra=extra) as runtime:
        peer = KernelProcess(lab, lab.peer, PORT, "server", "0.0.0.0", "receive", SIZE)
        peer.event("listening")
        connection = sdk.connect((lab.peer_address(1), PORT), timeout=20, instance=runtime.name)
        connection.sendall(b"x" * SIZE)

        def state() -> list[tuple[str, bool]]:
            subflows = connection.info().subflows
            return sorted((sf.local.split(":")[0], sf.backup) for sf in subflows if sf.usable)

        wanted = [(lab.host_address(1), False), (lab.host_address(2), True), (lab.host_address(3), False)]
        assert eventually(lambda: state() == wanted, 5), runtime.log()
        # The peer ends one: the policy opens it again, from another port.
        gone = next(sf.local for sf in connection.info().subflows if sf.local.startswith(lab.host_address(2)))
        lab.run(lab.peer, "ss", "-K", "-t", "dst", lab.host_address(2))
        assert eventually(lambda: all(sf.local != gone for sf in connection.info().subflows), 5)
        assert eventually(lambda: state() == wanted, 5), runtime.log()
        connection.shutdown(1)
        assert peer.done().size == SIZE
        connection.close()
        middle = lab.nstat(lab.peer)

        served = Served(lab, runtime, 1)
        assert eventually(lambda: served.usable() == 2, 3), runtime.log()
        served.finish()
    after = lab.nstat(lab.peer)
    assert middle["MPTcpExtAddAddr"] == before["MPTcpExtAddAddr"]
    assert after["MPTcpExtAddAddr"] - middle["MPTcpExtAddAddr"] == 1
    assert middle["MPTcpExtMPPrioRx"] > before["MPTcpExtMPPrioRx"]


def test_c_flag_keeps_the_kernel_from_the_first_address(lab: Lab, eventually: Eventually) -> None:
    lab.peer_endpoints("subflow")
    with Runtime(lab, extra=["--no-join", "--endpoint", f"{lab.host_address(2)},signal"]) as runtime:
        served = Served(lab, runtime, 2)
        assert eventually(lambda: served.usable() == 2, 2)
        time.sleep(0.5)
        joined = served.joined()
        served.finish()
        counters = runtime.status().workers[0].counters
    assert joined == [f"{lab.host_address(2)}:{PORT}"]
    assert counters["MPJoinRejected"] == 0


def test_port_of_an_endpoint_is_announced_and_joined(lab: Lab, eventually: Eventually) -> None:
    with Runtime(lab, extra=["--endpoint", f"{lab.host_address(2)},signal,port,7000"]) as runtime:
        served = Served(lab, runtime, 1)
        assert eventually(lambda: served.usable() == 2, 2)
        joined = served.joined()
        served.finish()
        counters = runtime.status().workers[0].counters
    assert joined == [f"{lab.host_address(2)}:7000"]
    assert (counters["MPJoinPortSynRx"], counters["MPJoinPortAckRx"], counters["MismatchPortSynRx"]) == (1, 1, 0)
