"""From the command to the first trained step, with nothing compiled before and with all of it.

The clock starts before the process does and stops when the first dispatch of steps (100 for these
small models) is computed; first_step.py tells. Beside it the seconds of the whole command for 100
steps: training, evaluation, checkpoint, results and curves. "Cold" removes what was compiled and
planned, not the data set; the system's file cache is warm in all.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import common
from common import HERE, spread, summary, table, verdict
from rows import MNIST1D

TARGETS = {"cold": 6.0, "warm": 3.5, "help": 1.0, "import": 0.2}
COMMAND = "import sys; from aimodels.cli import main; sys.exit(main())"
VARIANTS = ("mlp", "cnn")


def seconds_of(code: str, *arguments: str) -> float:
    """The seconds of a Python process that runs `code`."""
    return common.child([sys.executable, "-c", code, *arguments])[1]


def train(variant: str, scratch: Path, cold: bool) -> dict[str, float]:
    """Runs the command once: seconds to the first step, and of all of it."""
    cache, workdir, told = Path(os.environ["AIMODELS_CACHE"]), scratch / "run", scratch / "told"
    common.forget(workdir)
    if cold:
        common.forget(cache / "xla", cache / "plans")
    arguments = (
        f"--config={MNIST1D}:{variant}",
        f"--workdir={workdir}",
        "--config.training.steps=100",
    )
    begin = time.time()
    _, seconds = common.child(
        [sys.executable, str(HERE / "first_step.py"), str(told), "train", *arguments]
    )
    return {"first_step": float(told.read_text()) - begin, "whole_command": seconds}


def main() -> None:
    parser = common.arguments(__doc__, repeats=7)
    options = parser.parse_args()
    repeats = 2 if options.quick else options.repeats
    with common.session(options, "startup") as record:
        scratch = record["scratch"]
        train("mlp", scratch, cold=True)  # makes the data set and fills the system's file cache
        first: dict[str, dict[str, list]] = {v: {"cold": [], "warm": []} for v in VARIANTS}
        commands: dict[str, list[float]] = {"help": [], "jax": [], "aimodels": []}
        for _ in range(repeats):
            for variant in VARIANTS:
                for kind in ("cold", "warm"):
                    first[variant][kind].append(train(variant, scratch, kind == "cold"))
            commands["help"].append(seconds_of(COMMAND, "--help"))
            commands["jax"].append(seconds_of("import jax"))
            commands["aimodels"].append(seconds_of("import jax, aimodels"))
        pairs = zip(commands["aimodels"], commands["jax"], strict=True)
        over = [ours - jax for ours, jax in pairs]
        record |= {
            "targets": TARGETS,
            "train": first,
            "commands": commands,
            "import_over_jax": summary(over),
        }
        report(record)


def report(record: dict[str, Any]) -> None:
    """Prints the table."""
    lines = []
    for variant, kinds in record["train"].items():
        for kind, runs in kinds.items():
            step = summary([run["first_step"] for run in runs])
            whole = summary([run["whole_command"] for run in runs])
            met = verdict(step["median"], TARGETS[kind], smaller_is_better=True)
            lines.append((f"train MNIST-1D {variant}, {kind}", spread(step), spread(whole), met))
    help_ = summary(record["commands"]["help"])
    met = verdict(help_["median"], TARGETS["help"], smaller_is_better=True)
    lines.append(("aimodels --help", "", spread(help_), met))
    over = record["import_over_jax"]
    met = verdict(over["median"], TARGETS["import"], smaller_is_better=True)
    lines.append(("import aimodels, over import jax", "", spread(over), met))
    table(("seconds", "to the first step", "in all", "target"), lines)


if __name__ == "__main__":
    main()
