"""What GPT-3's sizes would take of 8, 64 and 512 devices, which nothing here could run.

The figures are `aimodels show --devices`'s: of a program that is compiled and read, not run. So
nothing is timed, and the machine need not be quiet; it takes minutes of compilation.
"""

import dataclasses
import sys
import time
from typing import Any

import common
from common import ROOT, table

from aimodels.config import load_config
from aimodels.errors import UserError
from aimodels.training.estimate import estimate

SIZES = ("xl", "6_7b")
LAYOUTS: dict[str, dict[str, Any]] = {
    "data parallel": {"rules": "()"},
    "FSDP": {"rules": "fsdp"},
    "FSDP x tensor 8": {"rules": "fsdp_tensor", "model": "8"},
}
DEVICES = (8, 64, 512)


def needs(size: str, layout: str, devices: int) -> dict[str, Any]:
    """What a size takes of each device under a layout; `error` says why where it can't."""
    fields = {f"parallel.{field}": value for field, value in LAYOUTS[layout].items()}
    config = load_config(f"{ROOT}/experiments/language/gpt_sizes.py:{size}", fields)
    row = {"size": size, "layout": layout, "devices": devices}
    begin = time.monotonic()
    try:
        found = estimate(config, devices)
    except UserError as error:
        return row | {"error": str(error)}
    row |= dataclasses.asdict(found) | {"memory": found.memory}
    return row | {"compilation_seconds": round(time.monotonic() - begin, 1)}


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    table(
        ("size", "layout", "devices", "GB a device", "TFLOP a device", "GB sent", "compiled in"),
        [
            (
                row["size"],
                row["layout"],
                row["devices"],
                f"{row['memory'] / 1e9:,.1f}",
                f"{row['operations'] / 1e12:,.1f}",
                f"{sum(size for _, size in row['collectives'].values()) / 1e9:,.1f}",
                f"{row['compilation_seconds']:.0f} s",
            )
            for row in rows
            if "error" not in row
        ],
    )


def main() -> None:
    parser = common.arguments(__doc__, repeats=1)
    options = parser.parse_args()
    sizes, counts = (SIZES[:1], DEVICES[:1]) if options.quick else (SIZES, DEVICES)
    begin, rows = time.time(), []
    for size in sizes:
        for layout in LAYOUTS:
            for devices in counts:
                print(f"{size}, {layout}, {devices} devices ...", file=sys.stderr)
                rows.append(needs(size, layout, devices))
    report(rows)
    if not options.quick:
        common.keep("on_paper", {"rows": rows}, begin, {})


if __name__ == "__main__":
    main()
