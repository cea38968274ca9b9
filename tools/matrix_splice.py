# SPDX-License-Identifier: Apache-2.0
"""Middleboxes that cut and join segments, between the router and the peer of a laboratory: netlab's links by their own.

`matrix_splice FIRST... -- SECOND...` joins the interfaces of the namespace it runs in pairwise, says "ready", obeys
lines of standard input, the name of an event each, answers them with "ready", and ends with its input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from sennit.shm.native import check, ffi, lib
from sennit.tools import link_spec
from sennit.tools.link_spec import Shape
from sennit.tools.sim_scenario import Box

BOXES = {"split": Box(split=500), "coalesce": Box(coalesce=1300, coalesce_ms=0.5)}
FRAME, BUFFERS, GRAIN_NS = 1518, 16384, 100_000
NEVER = (1 << 64) - 1


def carry(pairs: Sequence[tuple[str, str]]) -> None:
    native = lib.sn_netlab_new(FRAME, BUFFERS, GRAIN_NS)
    wire, box = ffi.new("struct sn_netlab_link *"), ffi.new("struct sn_sim_box *")
    link_spec.fill(wire, link_spec.resolve(Shape()))
    for one, other in pairs:
        link = lib.sn_netlab_add(native, -1, one.encode(), -1, other.encode(), 1)
        check(link, f"{one} - {other}")
        for side in (0, 1):
            check(lib.sn_netlab_set(native, link, side, wire), "a link")
    lib.sn_netlab_prepare(native, 0)
    check(lib.sn_netlab_watch(native, 0), "watching the input")
    print("ready", flush=True)
    while True:
        result = lib.sn_netlab_run(native, NEVER)
        if result == lib.SN_E_AGAIN:
            continue
        check(result, "carrying frames")
        said = os.read(0, 100)
        if not said:
            return
        link_spec.fill_box(box, BOXES.get(said.decode().strip(), Box()).native())
        for link in range(len(pairs)):
            check(lib.sn_netlab_set_box(native, link, box), "a box")
        print("ready", flush=True)


def main() -> None:
    middle = sys.argv.index("--")
    carry(list(zip(sys.argv[1:middle], sys.argv[middle + 1 :], strict=True)))


if __name__ == "__main__":
    main()
