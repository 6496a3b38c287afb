"""Agents: DQN against Stable-Baselines3, seeds as replicas, PPO by hand, and CartPole solved.

Four rows, each of them of whole commands `aimodels train` on experiments/rl/classic_control.py:
  sb3       DQN's steps of the environment a second over those of Stable-Baselines3, in an
            interpreter of its own (--sb3-python), with the faster of 1 and 2 threads.
  replicas  eight seeds of DQN in one command against eight commands, one after the other, each side
            with a compilation cache that is cold when it begins.
  ppo       PPO's steps a second over those of handwritten_ppo.py, which only trains, with the
            faster of 1 thread and all.
  solved    seconds from the command to its end, with a cold and a warm cache, and the mean return
            of 100 episodes that the trained agent plays, which is to be 475 at least.
Rates are of the steps after the first dispatch, as in results.json; logs, evaluation and
checkpoint are in there.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
from common import HERE, ROOT, OtherPython, ratio, spread, summary, table, verdict

EXPERIMENT = ROOT / "experiments/rl/classic_control.py"
TARGETS = {"sb3": 20.0, "replicas": 3.0, "ppo": 1.0, "solved": 60.0}
SOLVED = 475.0
SEEDS = tuple(range(8))
THREADS = (1, 2)
# Steps of the environment in a training step.
BLOCKS = {"dqn_cartpole": 10, "ppo_cartpole": 4 * 128, "a2c_cartpole": 5 * 8}
# Iterations of PPO by which rates are compared: four times those of its recipe, which are over
# before the evaluation is compiled.
ITERATIONS = 4 * 976
QUICK = {"dqn_cartpole": 3_000, "ppo_cartpole": 40, "a2c_cartpole": 300}  # training steps


def train(
    variant: str, seeds: tuple[int, ...], folder: Path, quick: bool, steps: int | None = None
) -> dict[str, Any]:
    """Runs the command once; the cache is in `folder`, and warm if a command there has filled it.

    Args:
      variant: of the experiment.
      seeds: its replicas.
      folder: for its work folder and the cache.
      quick: whether it is a short trial.
      steps: of training; None is the config's own.

    Returns:
      `seconds` of the process, `stepping_seconds` of its steps after the first dispatch, the rate
      in steps of the environment, returns of the seeds and the plan.
    """
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        fields: dict[str, Any] = {"replicas.seeds": f"{','.join(map(str, seeds))},"}
        steps = QUICK[variant] if quick else steps
        if steps is not None:
            fields["training.steps"] = steps
        command = [sys.executable, "-m", "aimodels.cli", "train"]
        command += [f"--config={EXPERIMENT}:{variant}", f"--workdir={workdir}"]
        command += [f"--config.{name}={value}" for name, value in fields.items()]
        _, seconds = common.child(command, AIMODELS_CACHE=str(folder / "cache"))
        results, plan = (
            json.loads((Path(workdir) / f"{name}.json").read_text()) for name in ("results", "plan")
        )
    return {
        "seconds": seconds,
        "stepping_seconds": results["seconds"] - results["first_dispatch_seconds"],
        "steps_per_second": results["steps_per_second"] * BLOCKS[variant] * len(seeds),
        "returns": [replica["metrics"].get("test/return") for replica in results["replicas"]],
        "plan": plan,
    }


def against_sb3(python: str, scratch: Path, repeats: int, quick: bool) -> dict[str, Any]:
    """Row `sb3`."""
    ours: list[dict] = []
    theirs: dict[int, list[float]] = {threads: [] for threads in THREADS}
    command = [python, str(HERE / "sb3_worker.py")]
    needs = "--sb3-python takes a Python that has stable-baselines3; this one ended"
    with OtherPython(command, needs) as other:
        for _ in range(repeats):
            ours.append(train("dqn_cartpole", (0,), scratch, quick))
            for threads, rates in theirs.items():
                done = other.ask(threads=threads, seconds=2 if quick else 20)
                rates.append(done["steps"] / done["seconds"])
    best = max(THREADS, key=lambda threads: statistics.median(theirs[threads]))
    return {
        "ours": ours,
        "sb3_steps_per_second": {str(threads): rates for threads, rates in theirs.items()},
        "sb3_threads": best,
        "versions": other.first,
        "ratio": ratio([run["steps_per_second"] for run in ours], theirs[best]),
    }


def as_replicas(scratch: Path, repeats: int, quick: bool) -> dict[str, Any]:
    """Row `replicas`."""
    all_seeds = SEEDS[:2] if quick else SEEDS
    found: list[dict[str, dict]] = []
    for _ in range(repeats):
        both = {}
        for side, runs in (("replicas", [all_seeds]), ("runs", [(seed,) for seed in all_seeds])):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                each = [train("dqn_cartpole", seeds, Path(folder), quick) for seeds in runs]
            both[side] = {
                "seconds": sum(one["seconds"] for one in each),
                "stepping_seconds": sum(one["stepping_seconds"] for one in each),
                "plan": each[0]["plan"],
            }
        found.append(both)
    ratios = {
        name: ratio([f["runs"][name] for f in found], [f["replicas"][name] for f in found])
        for name in ("seconds", "stepping_seconds")
    }
    return {"seeds": len(all_seeds), "repeats": found, "ratios": ratios, "ratio": ratios["seconds"]}


def by_hand(threads: int, quick: bool) -> dict[str, float]:
    """handwritten_ppo.py once; 0 threads are all."""
    iterations = QUICK["ppo_cartpole"] if quick else ITERATIONS
    command = [sys.executable, str(HERE / "handwritten_ppo.py"), str(iterations)]
    return common.child(command, **({"NPROC": str(threads)} if threads else {}))[0]


def against_hand(scratch: Path, repeats: int, quick: bool) -> dict[str, Any]:
    """Row `ppo`."""
    ours: list[dict] = []
    theirs: dict[int, list[dict]] = {0: [], 1: []}
    for _ in range(repeats):
        ours.append(train("ppo_cartpole", (0,), scratch, quick, ITERATIONS))
        for threads, runs in theirs.items():
            runs.append(by_hand(threads, quick))
    rates = {t: [run["steps_per_second"] for run in runs] for t, runs in theirs.items()}
    best = max(rates, key=lambda threads: statistics.median(rates[threads]))
    return {
        "ours": ours,
        "by_hand": {str(threads): runs for threads, runs in theirs.items()},
        "by_hand_threads": best,
        "ratio": ratio([run["steps_per_second"] for run in ours], rates[best]),
    }


def solved(scratch: Path, repeats: int, quick: bool) -> dict[str, Any]:
    """Row `solved`: each repeat has a seed of its own."""
    found: dict[str, dict[str, list]] = {}
    for variant in ("ppo_cartpole",) if quick else BLOCKS:
        runs: dict[str, list] = {"cold": [], "warm": []}
        for seed in range(repeats):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                for each in runs.values():
                    each.append(train(variant, (seed,), Path(folder), quick))
        found[variant] = runs
    return {
        "variants": found,
        "seconds": {
            variant: {
                kind: summary([run["seconds"] for run in each]) for kind, each in runs.items()
            }
            for variant, runs in found.items()
        },
        "returns": {
            variant: [run["returns"][0] for run in runs["cold"]] for variant, runs in found.items()
        },
    }


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--rows", default=",".join(TARGETS), help="separated by commas")
    parser.add_argument("--sb3-python", help="a Python that has stable-baselines3 2.9")
    options = parser.parse_args()
    rows, quick = options.rows.split(","), options.quick
    if "sb3" in rows and not options.sb3_python:
        print("row sb3 is left out: --sb3-python names no Python that has it", file=sys.stderr)
        rows.remove("sb3")
    repeats = 1 if quick else options.repeats
    with common.session(options, "agents") as record:
        scratch = record["scratch"]
        measure = {
            "sb3": lambda: against_sb3(options.sb3_python, scratch, repeats, quick),
            "replicas": lambda: as_replicas(scratch, min(repeats, 3), quick),
            "ppo": lambda: against_hand(scratch, repeats, quick),
            "solved": lambda: solved(scratch, min(repeats, 3), quick),
        }
        record |= {"targets": TARGETS, "rows": []}
        for row in rows:
            print(f"{row} ...", file=sys.stderr)
            record["rows"].append({"row": row} | measure[row]())
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints both tables."""
    titles = {
        "sb3": "DQN, steps/s over Stable-Baselines3",
        "replicas": "DQN, 8 commands over 8 replicas",
        "ppo": "PPO, steps/s over a script by hand",
    }
    lines = []
    for row in (row for row in rows if row["row"] in titles):
        ours = ""
        if "ours" in row:
            ours = f"{statistics.median(run['steps_per_second'] for run in row['ours']):,.0f}"
        stepping = row["ratios"]["stepping_seconds"] if "ratios" in row else None
        lines.append(
            (
                titles[row["row"]],
                ours,
                spread(row["ratio"]),
                spread(stepping) if stepping else "",
                verdict(row["ratio"]["median"], TARGETS[row["row"]]),
            )
        )
    table(("CartPole-v1", "our steps/s", "ratio", "without start", "target"), lines)
    for row in (row for row in rows if row["row"] == "solved"):
        print()
        lines = []
        for variant, kinds in row["seconds"].items():
            for kind, seconds in kinds.items():
                met = verdict(seconds["median"], TARGETS["solved"], smaller_is_better=True)
                least = min(row["returns"][variant])
                lines.append((f"{variant}, {kind} cache", spread(seconds, 1), f"{least:.0f}", met))
        table(("seconds of a command", "", f"least return ({SOLVED:g})", "target"), lines)


if __name__ == "__main__":
    main()
