# SPDX-License-Identifier: Apache-2.0
"""An idle runtime leaves the processor alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sennit.tools.lab_runtime import Runtime


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_worker_and_control_process_use_under_five_percent(runtime: Runtime) -> None:
    now = runtime.status()
    pids = [now.pid, *(worker.pid for worker in now.workers)]
    time.sleep(0.5)
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(3)
    used = [(after - at) / 3 for after, at in zip(map(cpu_seconds, pids), before, strict=True)]
    assert max(used) < 0.05, dict(zip(pids, used, strict=True))
