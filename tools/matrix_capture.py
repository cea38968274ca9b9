# SPDX-License-Identifier: Apache-2.0
"""Captures a cell of the matrix, one file per path, and has the files judged by readers that are not the engine."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from sennit.tools import capture_check, capture_tshark
from sennit.tools.lab import Lab
from sennit.tools.matrix_cells import FALLBACKS, LINK_BOXES, Cell

ALTERED = (*FALLBACKS, *LINK_BOXES, "corrupt")  # what the peer got is not what is in the capture, or the reverse
# Linux counts a window from the DATA_ACK of a segment whose window field it did not take over: of a window that closes
# it may remember a right edge that nobody told it, and fills it.
LINUX_BREAKS = ("window-used",)


class Capture:
    """Between our side and the middlebox: our packets as we sent them."""

    def __init__(self, lab: Lab, cell: Cell, folder: Path) -> None:
        self._cell = cell
        folder.mkdir(parents=True, exist_ok=True)
        # A join to an announced address may leave by one of these paths and come back by another.
        self.files = [folder / f"{cell}-{path}.pcap" for path in range(1, cell.count + 1)]
        options = ("-Z", "root", "-B", "32768", "-U", "-w")
        self._dumps = [
            lab.popen(lab.net, "tcpdump", "-i", f"rh{path}", *options, str(file), stderr=subprocess.PIPE)
            for path, file in enumerate(self.files, start=1)
        ]
        for dump in self._dumps:
            assert dump.stderr is not None
            dump.stderr.readline()  # "listening on ..."

    def stop(self) -> None:
        for dump in self._dumps:
            dump.send_signal(signal.SIGINT)
        for dump in self._dumps:
            dump.wait(10)

    def judge(self) -> list[str]:
        """What is wrong, one line each. Files without a finding are removed."""
        found = [f"{file.name}: {said}" for file in self.files for said in capture_tshark.check(file)]
        if self._cell.event not in ALTERED:
            report = capture_check.check(*self.files)
            if not report.lacking:  # frames that tcpdump missed would be held against somebody
                found += [str(said) for said in report.found if said.rule not in LINUX_BREAKS]
        if not found:
            for file in self.files:
                file.unlink()
        return found
