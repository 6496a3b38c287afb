"""Steps/s over batch size, size of the data set and size of the model, as a picture and numbers.

The compiled step under the plan that a run would choose, apart from logs and evaluations. All
points of a panel take turns in each repeat.
"""

import statistics
import sys
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import RESULTS, table
from rows import make_config
from steady import Steady

from aimodels.training.assembly import Assembly, count
from aimodels.training.plan import choose_plan

BATCHES = (1, 4, 16, 64, 256, 1024)
DATA_SETS = (1_000, 10_000, 100_000, 1_000_000)
WIDTHS = {"mlp": (16, 64, 256, 1024, 2048), "gpt": (32, 64, 128, 256)}
LABELS = {"mlp": "MLP", "cnn": "CNN", "gru": "GRU", "gpt": "Transformer, 4 layers"}
COLORS = ("#3b6fb6", "#d1603d", "#4b9b6e", "#8a6bbe")


def points(quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Panel -> its points: line, what x is, and the config's sections."""
    some = slice(0, 2) if quick else slice(None)
    return {
        "batch": [
            {"line": row, "x": size, "row": row, "training": {"batch_size": size}}
            for row in ("mlp", "cnn", "gru")
            for size in BATCHES[some]
        ],
        "data": [
            {"line": feed, "x": size, "row": "mlp", "size": size, "execution": {"feed": feed}}
            for feed in ("device", "host")
            for size in DATA_SETS[some]
        ],
        "model": [
            {
                "line": row,
                "row": row,
                "model": {"features": (width, width)} if row == "mlp" else {"width": width},
            }
            for row, widths in WIDTHS.items()
            for width in widths[some]
        ],
    }


def signals(size: int, scratch: Path) -> dict[str, Any]:
    """A section `data` with as many signals of MNIST-1D's shape."""
    file = scratch / f"signals-{size}.npz"
    if not file.exists():
        generator = np.random.Generator(np.random.Philox(0))
        inputs = generator.random((size, 40), dtype=np.float32)
        np.savez(file, train_inputs=inputs, train_targets=np.arange(size, dtype=np.int32) % 10)
    return {"name": "arrays", "path": str(file)}


def prepare(point: dict[str, Any], scratch: Path) -> Steady:
    """The point's program; notes its parameters, its plan and, for models, x."""
    sections = {
        name: point[name] for name in ("training", "execution", "model", "data") if name in point
    }
    config = make_config(point["row"], scratch, **sections).to_dict()
    if "size" in point:
        from aimodels.config import resolve

        config["data"] = signals(point["size"], scratch)
        config["training"]["order"] = "shuffled"
        config["evaluation"]["splits"] = ()
        config = resolve(config)
    else:
        config = make_config(point["row"], scratch, **sections)
    assembly = Assembly(config)
    feeds = assembly.feeds()
    plan = choose_plan(config, assembly.program, feeds, assembly.target(), assembly.step_flops)
    program = Steady(assembly, plan, feeds())
    point["parameters"] = count(program.state.params)
    point["batch_size"] = config.training.batch_size
    point["steps_per_dispatch"] = plan.steps_per_dispatch
    point.setdefault("x", point["parameters"])
    return program


def main() -> None:
    parser = common.arguments(__doc__, repeats=3)
    parser.add_argument("--seconds", type=float, default=1, help="of a point in a repeat")
    options = parser.parse_args()
    seconds, repeats = (0.1, 1) if options.quick else (options.seconds, options.repeats)
    with common.session(options, "scaling") as record:
        record["panels"] = points(options.quick)
        for panel, members in record["panels"].items():
            print(f"{panel} ...", file=sys.stderr)
            programs = [prepare(point, record["scratch"]) for point in members]
            for _ in range(repeats):
                for point, program in zip(members, programs, strict=True):
                    point.setdefault("steps_per_second", []).append(program.rate(seconds))
            report(panel, members)
        folder = record["scratch"] if options.quick else RESULTS
        folder.mkdir(exist_ok=True)
        draw(record["panels"], folder / "scaling.png")


def rate(point: dict[str, Any]) -> float:
    """The point's median."""
    return statistics.median(point["steps_per_second"])


def report(panel: str, members: list[dict[str, Any]]) -> None:
    """Prints a line a point."""
    table(
        (panel, "x", "parameters", "steps/s", "examples/s", "steps a dispatch"),
        [
            (
                LABELS.get(point["line"], point["line"]),
                f"{point['x']:,}",
                f"{point['parameters']:,}",
                f"{rate(point):,.1f}",
                f"{rate(point) * point['batch_size']:,.0f}",
                point["steps_per_dispatch"],
            )
            for point in members
        ],
    )
    print()


def draw(panels: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Three panels side by side, logarithmic on both axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = {
        "batch": ("Batch size", "examples a step"),
        "data": ("Size of the data set", "training examples (MLP, batch 100)"),
        "model": ("Size of the model", "parameters (MLP batch 100, Transformer 12 x 64)"),
    }
    names = LABELS | {"device": "data on the device", "host": "data on the host"}
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    for axis, (panel, members) in zip(axes, panels.items(), strict=True):
        lines = list(dict.fromkeys(point["line"] for point in members))
        for color, line in zip(COLORS, lines, strict=False):
            own = [point for point in members if point["line"] == line]
            x = [point["x"] for point in own]
            low, high = ([f(p["steps_per_second"]) for p in own] for f in (min, max))
            axis.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
            y = [rate(point) for point in own]
            axis.plot(x, y, "o-", color=color, label=names[line], markersize=4.5, linewidth=1.8)
        title, label = titles[panel]
        axis.set_title(title, loc="left", fontweight="bold")
        axis.set(xlabel=label, xscale="log", yscale="log")
        axis.grid(which="major", color="#dddddd", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.legend(frameon=False)
    axes[0].set_ylabel("training steps a second")
    figure.savefig(file, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
