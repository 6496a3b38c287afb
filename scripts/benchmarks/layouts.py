"""Memory a device and step time of a 25 M-parameter Transformer under each layout of 8 devices.

The devices are host devices, which share this machine's cores and memory. So the time of a step
says what a layout costs beside the products, not how it would scale; memory is what XLA says that
a device holds (arguments, new outputs and temporaries).
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import statistics
import sys
from typing import Any

import common
from common import summary, table
from steady import Steady

from aimodels.config import resolve
from aimodels.training.assembly import Assembly, count
from aimodels.training.hlo import memory_of
from aimodels.training.step import Plan

VOCABULARY, LENGTH = 8192, 64
# 8 blocks of 12 · 480² and a table of 8,192 · 480: 26 M parameters, all sizes divisible by 8.
MODEL = {
    "name": "GPT",
    "vocabulary": VOCABULARY,
    "width": 480,
    "num_layers": 8,
    "num_heads": 8,
    "max_length": LENGTH,
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "one device": {},
    "data parallel": {"data": 8},
    "FSDP": {"data": 8, "rules": "fsdp"},
    "FSDP, rematerialised": {"data": 8, "rules": "fsdp", "remat": "blocks"},
    "tensor parallel": {"model": 8, "rules": "tensor"},
    "FSDP 2 x tensor 4": {"data": 2, "model": 4, "rules": "fsdp_tensor"},
}


def config_of(parallel: dict[str, Any]) -> Any:
    """The model on random tokens, 16 sequences a step."""
    tokens = {"name": "random_tokens", "vocabulary": VOCABULARY, "length": LENGTH}
    return resolve(
        {
            "model": MODEL,
            "task": {"name": "classification", "confusion": False},
            "data": tokens,
            "optimizer": {"name": "adamw", "learning_rate": 3e-4},
            "training": {"steps": 1, "batch_size": 16},
            "parallel": parallel,
        }
    )


def measure(repeats: int, seconds: float) -> list[dict[str, Any]]:
    """Each layout's memory, and the seconds of a step in each repeat; layouts take turns."""
    plan = Plan(1, "sequential")
    found, running = [], {}
    for name, parallel in LAYOUTS.items():
        print(f"{name} ...", file=sys.stderr)
        assembly = Assembly(config_of(parallel))
        running[name] = Steady(assembly, plan, assembly.feeds()())
        parameters = count(running[name].state.params)
        memory = memory_of(running[name].compiled)
        found.append({"layout": name, "parameters": parameters, "bytes_a_device": memory})
    for _ in range(repeats):
        for row in found:
            rate = running[row["layout"]].rate(seconds)
            row.setdefault("step_seconds", []).append(1 / rate)
    return found


def report(record: dict[str, Any]) -> None:
    """Prints the tables."""
    rows = [
        (
            row["layout"],
            f"{row['bytes_a_device'] / 1e6:,.0f}",
            f"{1000 * statistics.median(row['step_seconds']):,.0f}",
        )
        for row in record["layouts"]
    ]
    table(("layout", "MB a device", "ms a step"), rows)


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--seconds", type=float, default=5, help="of a layout in a repeat")
    options = parser.parse_args()
    seconds, repeats = (0.1, 1) if options.quick else (options.seconds, options.repeats)
    with common.session(options, "layouts") as record:
        record["layouts"] = measure(repeats, seconds)
        for row in record["layouts"]:
            row["milliseconds"] = summary([1000 * value for value in row["step_seconds"]])
        report(record)


if __name__ == "__main__":
    main()
