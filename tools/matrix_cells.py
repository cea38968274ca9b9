# SPDX-License-Identifier: Apache-2.0
"""The interoperability matrix against the kernel as data: factors, cells, which combinations mean nothing, which cells
cover every pair of values, and what a cell must end in. Nothing here touches the machine."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields

FACTORS: dict[str, tuple[str, ...]] = {
    "role": ("client", "server"),  # ours; the kernel plays the other
    "family": ("ipv4", "ipv6", "mapped"),  # mapped: whoever dials writes ::ffff:a.b.c.d, listeners take both families
    "checksum": ("off", "theirs", "ours"),  # who asks for DSS checksums
    "subflows": ("1", "3", "8"),
    # Who makes the further paths. The server announces: signal, port, cflag. The client opens: subflow, backup.
    # Both: fullmesh.
    "pm": ("subflow", "signal", "fullmesh", "backup", "port", "cflag"),
    "end": ("close", "half", "fastclose", "abort", "kill"),
    "by": ("ours", "theirs"),  # who ends it
    "event": (
        "none", "removed", "blackholed", "restored", "nat", "nojoin",
        "stripsyn", "stripsynack", "stripdata", "corrupt", "split", "coalesce",
    ),
}  # fmt: skip
FALLBACKS = ("stripsyn", "stripsynack", "stripdata")  # there is no MPTCP left
LINK_BOXES = ("split", "coalesce")  # what nftables cannot do


@dataclass(frozen=True)
class Cell:
    """One combination; its name is its values, joined."""

    role: str
    family: str
    checksum: str
    subflows: str
    pm: str
    end: str
    by: str
    event: str

    def __str__(self) -> str:
        return "-".join(astuple(self))

    @property
    def count(self) -> int:
        """Subflows in all."""
        return int(self.subflows)

    @property
    def ours_closes(self) -> bool:
        return self.by == "ours"

    @property
    def fallback(self) -> bool:
        return self.event in FALLBACKS

    @property
    def flags(self) -> tuple[str, ...]:
        """Of `sennit up`: cells with the same flags can share a runtime."""
        asked = ["--checksum"] if self.checksum == "ours" else []
        return (*asked, *(["--no-join"] if self.pm == "cflag" and self.role == "server" else []))


NAMES = tuple(f.name for f in fields(Cell))
assert tuple(FACTORS) == NAMES


def parse(name: str) -> Cell:
    """From a cell's name; ValueError says what is wrong with it."""
    values = name.split("-")
    if len(values) != len(NAMES):
        raise ValueError(f"'{name}' has {len(values)} values, a cell has {len(NAMES)}: {'-'.join(NAMES)}")
    for factor, value in zip(NAMES, values, strict=True):
        if value not in FACTORS[factor]:
            raise ValueError(f"'{value}' in '{name}' is no {factor}: {', '.join(FACTORS[factor])}")
    cell = Cell(*values)
    if why := meaningless(cell):
        raise ValueError(f"'{name}' means nothing: {why}")
    return cell


def meaningless(cell: Cell) -> str | None:
    """Why there is no such cell; None: there is."""
    if cell.count == 1 and cell.pm != "subflow":
        return "with one subflow the path manager has nothing to do"
    if cell.count == 1 and cell.event in ("removed", "blackholed", "nojoin"):
        return "a connection needs another path to go on over"
    if cell.event == "corrupt" and cell.checksum == "off":
        return "without DSS checksums nobody can see it"
    if cell.event == "split" and cell.count == 8:
        # Linux 6.18 to Linux as well: 1 of 5 transfers never ended. Small buffers cost more memory than the window
        # stands for; when all of it holds data out of order, what is missing is not taken.
        return "a Linux receiver may stop for good when many paths bring it small pieces out of order"
    if cell.event == "stripdata" and cell.count > 1:
        return "joins come before data: then nothing can fall back any more, and every subflow is reset"
    if cell.event in ("stripsyn", "stripsynack") and (cell.subflows, cell.pm) != ("3", "signal"):
        return "without MPTCP there are no further paths, whoever wants to make them"
    return None


def every() -> Iterator[Cell]:
    """The full product of what means something."""
    for values in itertools.product(*FACTORS.values()):
        cell = Cell(*values)
        if not meaningless(cell):
            yield cell


def pairs(cell: Cell) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Every two values of a cell, each with the name of its factor."""
    return itertools.combinations(zip(NAMES, astuple(cell), strict=True), 2)


def pairwise(cells: Iterable[Cell]) -> list[Cell]:
    """A small choice of cells that has every pair of values that any cell has. The same cells give the same choice:
    each step takes the cell with the most pairs that are still missing, of several the one with the lowest hash (in the
    order of the product all would be neighbours)."""
    bits: dict[object, int] = {}
    mixed = sorted(cells, key=lambda cell: zlib.crc32(str(cell).encode()))
    masks = [(cell, sum(1 << bits.setdefault(pair, len(bits)) for pair in pairs(cell))) for cell in mixed]
    missing = (1 << len(bits)) - 1
    chosen = []
    while missing:
        masks = [(cell, mask & missing) for cell, mask in masks if mask & missing]
        cell, mask = max(masks, key=lambda candidate: candidate[1].bit_count())
        chosen.append(cell)
        missing &= ~mask
    return chosen


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells that can share a laboratory and a runtime follow each other; otherwise as given."""
    return sorted(cells, key=lambda cell: (cell.event in LINK_BOXES, cell.flags))


# -------------------------------------------------------------------------------------------------------- expectations

# Counters, under the kernel's names and ours alike, that say that a peer broke the protocol or that MPTCP was given up.
# None of them may move but where a cell says so.
WRONG = (
    "MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPFallbackTokenInit", "MPJoinNoTokenFound",
    "MPJoinSynAckHMacFailure", "MPJoinAckHMacFailure", "MPJoinRejected", "DSSNotMatching", "DSSCorruptionFallback",
    "DSSCorruptionReset", "DSSNoMatchTCP", "DataCsumErr", "InfiniteMapRx", "InfiniteMapTx", "MPFailTx", "MPFailRx",
    "MPFastcloseTx", "MPFastcloseRx", "AddAddrDrop", "MismatchPortSynRx", "MPJoinSynTxCreatSkErr",
    "MPJoinSynTxBindErr", "MPJoinSynTxConnectErr", "Blackhole", "MPCapableSYNTXDrop", "RmAddr",
)  # fmt: skip
WRONG_THEIRS = (
    *WRONG, "MPCapableDataFallback", "DssFallback", "MD5SigFallback", "SimultConnectFallback", "FallbackFailed",
    "MismatchPortAckRx", "RmAddrDrop", "NoDSSInWindow",
)  # fmt: skip
WRONG_OURS = (
    *WRONG, "conn_fallback", "MPOptBad", "rx_drop_tcp", "rx_drop_nd", "rx_drop_frag",
    "tx_full", "tx_nobuf", "tcp_mem_limit", "pool_refused", "app_violation", "tcp_syn_drop",
)  # fmt: skip

MANY = 1 << 30
Range = tuple[int, int]


@dataclass
class Expected:
    """What a cell ends in."""

    mptcp: bool = True  # at the end of the exchange, at both ends
    joins: Range = (0, 0)  # completed, as the kernel counts them
    altered: str = ""  # ours, theirs: who receives other bytes than were sent
    ends: tuple[str, ...] = ("EOF",)  # what the stream may end with for who does not end it
    # Counters that differ from zero here.
    ours: dict[str, Range] = field(default_factory=dict)
    theirs: dict[str, Range] = field(default_factory=dict)


def expected(cell: Cell) -> Expected:
    """What must come out of a cell."""
    extra = cell.count - 1
    e = Expected()
    e.mptcp = not (cell.fallback or (cell.event == "corrupt" and not extra))
    if not cell.fallback and cell.event != "nojoin":
        # What was lost may be opened again, and what was removed leaves room for another.
        e.joins = (extra, extra if cell.event in ("none", "nat", "split", "coalesce") else MANY)
        if e.joins[1] == MANY:
            e.theirs["MPJoinRejected"] = (0, MANY)  # the kernel has not closed yet whose place is taken
    if extra and (cell.role == "server" or cell.event in ("removed", "blackholed", "restored")):
        # Linux opens the window of a connection with its first DATA_ACK, but its handshake announces it already: of the
        # first bytes it drops what overtakes on another subflow. Of paths that fail in the other role it was seen too;
        # captures show what we sent within what had been announced.
        e.theirs["NoDSSInWindow"] = (0, 20)
    _event(cell, e)
    # Of a killed program the kernel closes the sockets in good order; sennit does not pretend that all was said.
    reset = cell.end in ("fastclose", "abort") or (cell.end == "kill" and cell.ours_closes)
    if reset:
        e.ends = ("ECONNRESET",)
    if reset and not e.mptcp and (cell.ours_closes or cell.end == "fastclose"):
        # After a fallback Linux makes an end of the stream of whatever ends its only subflow, which may overtake the
        # error that a RST makes; and it closes with a FIN although there is unread data, and then answers data by RST.
        e.ends = ("EOF", "ECONNRESET")
    if reset and e.mptcp:
        ours, theirs = ("MPFastcloseTx", "MPFastcloseRx") if cell.ours_closes else ("MPFastcloseRx", "MPFastcloseTx")
        e.ours[ours] = e.theirs[theirs] = (1, MANY)
    return e


def _event(cell: Cell, e: Expected) -> None:
    client = cell.role == "client"
    of_client, of_server = (e.ours, e.theirs) if client else (e.theirs, e.ours)
    if not e.mptcp:
        e.ours["conn_fallback"] = (1, 1)
    match cell.event:
        case "removed":
            # Who has the endpoint says that it is gone.
            (e.theirs if ours_has_endpoint(cell) else e.ours)["RmAddr"] = (1, MANY)
        case "stripsyn" | "stripsynack":
            of_client["MPCapableFallbackSYNACK"] = (1, 1)
            if cell.event == "stripsynack":
                of_server["MPCapableFallbackACK"] = (1, 1)
        case "stripdata" if client:
            e.theirs["DssFallback"] = (1, 1)
        case "stripdata":
            e.ours["DSSCorruptionFallback"] = e.ours["DSSNoMatchTCP"] = (1, 1)
            e.theirs["MPCapableDataFallback"] = (0, 1)
        case "corrupt":
            # The client's data is altered, so the server finds out. With other subflows this one is reset (the RST with
            # MP_FAIL may get lost behind a challenge), and its data comes again on another.
            of_server["DataCsumErr"] = (1, MANY)
            of_server["DSSCorruptionReset"] = (0, MANY if e.mptcp else 0)
            of_server["MPFailTx"] = (1, MANY)
            of_client["MPFailRx"] = (0, MANY)
            if not e.mptcp:
                e.altered = "theirs" if client else "ours"
                of_client["MPFailRx"] = of_client["MPFailTx"] = of_server["MPFailRx"] = (1, 1)
                # What was under way when the other side gave MPTCP up.
                e.theirs["DssFallback"] = e.ours["DSSCorruptionFallback"] = e.ours["DSSNoMatchTCP"] = (0, 1)
                for counters in (e.ours, e.theirs):
                    counters["InfiniteMapTx"] = counters["InfiniteMapRx"] = (0, MANY)


def ours_has_endpoint(cell: Cell) -> bool:
    """Whose endpoint makes the second path: of those that announce the server's, else the client's."""
    announced = cell.pm in ("signal", "port", "cflag")
    return (cell.role == "server") == announced


def differences(
    want: dict[str, Range], names: Sequence[str], before: dict[str, int], after: dict[str, int]
) -> list[str]:
    """Counters that moved otherwise than wanted, one sentence each."""
    said = []
    for name in sorted({*names, *want}):
        moved = after.get(name, 0) - before.get(name, 0)
        low, high = want.get(name, (0, 0))
        if not low <= moved <= high:
            wanted = f"{low}" if low == high else f"at least {low}" if high == MANY else f"{low} to {high}"
            said.append(f"{name} moved by {moved} instead of {wanted}")
    return said
