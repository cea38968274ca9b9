# SPDX-License-Identifier: Apache-2.0
"""Inputs of the cffi generator: the abi headers in name order are the cdef; the prelude includes their owners."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ABI = HERE / "include" / "abi"


def headers() -> list[Path]:
    """Abi files in name order."""
    return sorted(ABI.glob("*.h"))


def owners() -> list[str]:
    """For each abi file the guarded header that includes it, as C would name it."""
    including: dict[str, str] = {}
    for path in sorted(HERE.rglob("*.h")):
        for name in re.findall(r'^#include "abi/([^"]+)"', path.read_text(), re.MULTILINE):
            base = HERE / "include" if path.is_relative_to(HERE / "include") else HERE
            including[name] = str(path.relative_to(base))
    lost = [p.name for p in headers() if p.name not in including]
    if lost:
        sys.exit(f"native/cdef.py: no header includes abi/{', abi/'.join(lost)}")
    return list(dict.fromkeys(including[p.name] for p in headers()))


def cdef() -> str:
    """One cdef; what cffi cannot read is refused here, with the line."""
    parts: list[str] = []
    for path in headers():
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith(("#", "_Static_assert")):
                sys.exit(f"{path}:{number}: an abi file serves as cffi cdef: declarations only")
        parts.append(text)
    return "\n".join(parts)


def prelude() -> str:
    """C text above the generated glue."""
    return "".join(f'#include "{owner}"\n' for owner in owners())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true", help="print the abi files, relative to this folder")
    action.add_argument("--cdef", type=Path, metavar="OUT")
    action.add_argument("--prelude", type=Path, metavar="OUT")
    args = parser.parse_args()
    if args.list:
        print("\n".join(str(p.relative_to(HERE)) for p in headers()))
    elif args.cdef:
        args.cdef.write_text(cdef())
    else:
        args.prelude.write_text(prelude())


if __name__ == "__main__":
    main()
