"""What the choice of a plan rests on: steps/s of every candidate, over models of all sizes.

aimodels/training/plan.py loops on the device; from LARGE floating-point operations a step on, as
XLA counts them, it runs replicas one after the other, and below it measures. Every candidate of a
model takes its turn in each repeat. A figure is the candidate's steps/s over that of the model's
fastest, for one replica and for five.
"""

import statistics
import sys
from pathlib import Path
from typing import Any

import common
from common import table
from rows import make_config
from steady import Steady

from aimodels.training.assembly import Assembly
from aimodels.training.plan import LARGE
from aimodels.training.step import Plan

LENET = {
    "features": (6, 16),
    "kernel_sizes": 5,
    "padding": (2, 0),
    "activation": "tanh",
    "pooling": "average",
    "dense_features": (120, 84),
}
# Label -> row, sections that are changed.
MODELS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "linear, batch 20": ("linear", {"training": {"batch_size": 20}}),
    "linear": ("linear", {}),
    "MLP, batch 10": ("mlp", {"training": {"batch_size": 10}}),
    "CNN, batch 10": ("cnn", {"training": {"batch_size": 10}}),
    "GRU, batch 10": ("gru", {"training": {"batch_size": 10}}),
    "MLP": ("mlp", {}),
    "CNN": ("cnn", {}),
    "GRU": ("gru", {}),
    "GRU, 32 wide": ("gru", {"model": {"features": 32}}),
    "MLP, 300 wide": ("mlp", {"model": {"features": (300, 300)}}),
    "CNN, batch 1000": ("cnn", {"training": {"batch_size": 1000}}),
    "MLP, 1000 wide": ("mlp", {"model": {"features": (1000, 1000)}}),
    "LeNet, 28x28, batch 32": ("fashion", {"model": LENET, "training": {"batch_size": 32}}),
    "LeNet, 28x28, batch 128": ("fashion", {"model": LENET}),
    "MLP, 2000 wide": ("mlp", {"model": {"features": (2000, 2000)}}),
    "Transformer, 1 layer": ("gpt", {"model": {"num_layers": 1, "width": 64}}),
    "Transformer, 4 layers": ("gpt", {}),
}


def candidates(replicas: int) -> list[Plan]:
    """All ways to run so many replicas."""
    modes = ("vmap", "sequential") if replicas > 1 else ("sequential",)
    return [Plan(loop, mode) for mode in modes for loop in (100, 1)]


def name_of(plan: Plan, replicas: int) -> str:
    """As a column's head and a key in the JSON."""
    mode = f" {plan.replicas}" if replicas > 1 else ""
    return f"{replicas}x{mode} {plan.steps_per_dispatch}"


def time_model(label: str, scratch: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """FLOPs of a step and steps/s of all candidates (of each replica)."""
    row, sections = MODELS[label]
    rates: dict[str, list[float]] = {}
    flops = 0.0
    for replicas in (1, 5):
        seeds = {"replicas": {"seeds": tuple(range(replicas))}}
        config = make_config(row, scratch, **sections, **seeds)
        assembly = Assembly(config)
        feed = assembly.feeds()
        flops = flops or assembly.step_flops()
        programs = {
            name_of(plan, replicas): Steady(assembly, plan, feed()) for plan in candidates(replicas)
        }
        for _ in range(repeats):
            for name, program in programs.items():
                rates.setdefault(name, []).append(program.rate(seconds))
    return {"model": label, "mflop": flops / 1e6, "steps_per_second": rates}


def relative(rates: dict[str, list[float]]) -> dict[str, float]:
    """Each candidate's median over the fastest one's with as many replicas."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = {
        count: max(rate for name, rate in medians.items() if name.startswith(count))
        for count in ("1x", "5x")
    }
    return {name: rate / best[name[:2]] for name, rate in medians.items()}


def main() -> None:
    parser = common.arguments(__doc__, repeats=3)
    parser.add_argument("--models", help="labels that contain one of these, separated by commas")
    parser.add_argument("--seconds", type=float, default=1, help="of each candidate in a repeat")
    options = parser.parse_args()
    seconds, repeats = (0.1, 1) if options.quick else (options.seconds, options.repeats)
    parts = options.models.split(",") if options.models else [""]
    with common.session(options, "plan") as record:
        record["threshold_mflop"] = LARGE / 1e6
        record["models"] = []
        for label in MODELS:
            if any(part in label for part in parts):
                print(f"{label} ...", file=sys.stderr)
                record["models"].append(time_model(label, record["scratch"], repeats, seconds))
        report(record["models"])


def report(models: list[dict[str, Any]]) -> None:
    """Prints a line a model, smallest first; the fastest candidates are 1.00."""
    names = [name_of(plan, count) for count in (1, 5) for plan in candidates(count)]
    lines = []
    for model in sorted(models, key=lambda model: model["mflop"]):
        rates = model["steps_per_second"]
        shares = relative(rates)
        best = max(statistics.median(rates[name]) for name in names if name.startswith("1x"))
        shown = (f"{shares[name]:.2f}" for name in names)
        lines.append((model["model"], f"{model['mflop']:.3g}", *shown, f"{best:,.0f}"))
    table(("model", "MFLOP", *names, "steps/s of 1"), lines)


if __name__ == "__main__":
    main()
