"""What a run measured where another metric was best: early stopping, read off afterwards."""

from pathlib import Path

from aimodels.errors import UserError
from aimodels.training.writers import read_metrics


def at_best(workdir: str | Path, metric: str, split: str = "test") -> list[dict[str, float]]:
    """The metrics of a split at the evaluation where `metric` was the highest.

    Of several such evaluations the first counts.

    Args:
      workdir: of a run that evaluates both splits.
      metric: as "validation/accuracy".
      split: whose metrics are wanted.

    Returns:
      For each replica {"test/accuracy": ..., ..., "step": ...}.

    Raises:
      UserError: the run has not measured it.
    """
    chosen_split, _, name = metric.partition("/")
    best: dict[int, tuple[float, int]] = {}
    measured: dict[tuple[int, int], dict[str, float]] = {}
    for line in read_metrics(Path(workdir, "metrics.jsonl")):
        replica, step = line["replica"], line["step"]
        here = line["split"] == chosen_split and name in line
        if here and (replica not in best or line[name] > best[replica][0]):
            best[replica] = (line[name], step)
        if line["split"] == split:
            numbers = {k: v for k, v in line.items() if k not in _NOT_METRICS}
            measured[replica, step] = {f"{split}/{k}": v for k, v in numbers.items()}
    if not best or any((replica, step) not in measured for replica, (_, step) in best.items()):
        raise UserError(
            f"{workdir} has not measured {metric} and {split} at the same steps; set "
            f'evaluation.splits to ("{chosen_split}", "{split}"), and evaluation.every'
        )
    return [
        measured[replica, best[replica][1]] | {"step": float(best[replica][1])}
        for replica in sorted(best)
    ]


_NOT_METRICS = ("step", "split", "replica", "seed")
