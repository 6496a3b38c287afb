"""Systems of translation on the same texts: their scores, and how far each is from a baseline.

An experiment file's `systems()` returns a list of `Systems`. The runs of their rows leave their
translations beside them, in translations/<split>.<run>.txt, and under the table `reproduce` shows
what a paired bootstrap says of them (Koehn, "Statistical significance tests for machine translation
evaluation", EMNLP 2004).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aimodels.config import Experiment, call_section
from aimodels.errors import UserError, unknown
from aimodels.files import write_atomically
from aimodels.reproduce.published import Row

SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Systems:
    """Systems that translate the same texts.

    Attributes:
      title: what the texts are, such as "German".
      data: a config's section of data, for the right translations.
      splits: that are translated.
      variants: the name of each system -> the variant of its rows.
      baseline: one of the names.
      metric: bleu or chrf.
    """

    title: str
    data: Mapping[str, Any]
    splits: tuple[str, ...]
    variants: Mapping[str, str]
    baseline: str
    metric: str = "bleu"


def of(experiment: Experiment, rows: Sequence[Row]) -> tuple[Systems, ...]:
    """The systems of an experiment file, once they fit its rows; none where it names none.

    Raises:
      UserError: with the fault in what `systems()` returned.
    """
    if not hasattr(experiment.module, "systems"):
        return ()
    found = tuple(experiment.module.systems())
    known = list(dict.fromkeys(row.variant for row in rows))
    for one in found:
        if not isinstance(one, Systems):
            raise UserError(f"systems() returned {one!r}; it takes aimodels.reproduce.Systems.")
        if one.baseline not in one.variants:
            raise unknown("systems(): baseline", one.baseline, one.variants)
        for variant in one.variants.values():
            if variant not in known:
                raise unknown("systems(): variant", variant, known)
    return found


def translations_file(folder: Path, split: str, run: int = 0) -> Path:
    """Where a run leaves its translations of a split, one a line."""
    return folder / "translations" / f"{split}.{run}.txt"


def write_translations(folder: Path, split: str, texts: Sequence[str], run: int = 0) -> None:
    """Leaves them there."""
    lines = "".join(f"{text}\n" for text in texts)
    write_atomically(translations_file(folder, split, run), lines)


def leave_translations(experiment: Experiment, variant: str, folder: Path, runs: int) -> None:
    """Writes the translations of trained runs, where the experiment compares them."""
    if not hasattr(experiment.module, "systems"):
        return
    splits = [
        split
        for one in experiment.module.systems()
        if variant in one.variants.values()
        for split in one.splits
    ]
    missing = [
        (split, run)
        for split in dict.fromkeys(splits)
        for run in range(runs)
        if not translations_file(folder, split, run).is_file()
    ]
    if not missing:
        return
    from aimodels.training.load import load
    from aimodels.training.translate import translations_of_split

    for run in dict.fromkeys(run for _, run in missing):
        loaded = load(folder, replica=run)
        for split in (split for split, other in missing if other == run):
            write_translations(folder, split, translations_of_split(loaded, split), run)


def measure(compared: Sequence[Systems], folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """A line for each split and system whose translations there are: part of table.json.

    Texts are drawn anew, the same for all systems. The score of a system with several runs is the
    mean of theirs, in every draw.

    Args:
      compared: what is compared.
      folders: variant -> where its runs left their files; those that were not run are missing.
    """
    lines = []
    for one in compared:
        for split in one.splits:
            scores = {
                name: found
                for name, variant in one.variants.items()
                if variant in folders and len(found := _scores(one, split, folders[variant]))
            }
            for name, runs in scores.items():
                lines.append(_line(one, split, name, runs, scores.get(one.baseline)))
    return lines


def _scores(one: Systems, split: str, folder: Path) -> np.ndarray:
    """Of each run the score of all texts, and those of the draws [runs, 1 + SAMPLES]."""
    from aimodels.tasks.translation_metrics import bootstrap_scores

    found = []
    while (file := translations_file(folder, split, len(found))).is_file():
        dataset = call_section("data", one.data)
        references = [[text] for text in dataset.pairs(split).targets]
        # Not `splitlines`, which takes more characters for ends.
        texts = file.read_text().removesuffix("\n").split("\n")
        found.append(
            bootstrap_scores(
                texts,
                references,
                metric=one.metric,
                samples=SAMPLES,
                is_cut_into_words=dataset.is_cut_into_words,
            )
        )
    return np.array(found)


def _line(
    one: Systems, split: str, name: str, runs: np.ndarray, baseline: np.ndarray | None
) -> dict[str, Any]:
    from aimodels.tasks.translation_metrics import compared_scores

    ours = runs.mean(0)
    line = {"title": one.title, "split": split, "metric": one.metric, "system": name}
    line |= {"baseline": one.baseline, "runs": len(runs)}
    whole = compared_scores(ours, ours if baseline is None else baseline.mean(0))
    line["score"] = whole["first"]
    if baseline is None or name == one.baseline:
        return line | {"difference": None, "p_value": None}
    return line | {"difference": whole["difference"], "p_value": whole["p_value"]}


def columns(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The lines as cells, the first one the heading."""
    names = {"bleu": "BLEU", "chrf": "chrF"}
    head = ["translations", "n", "score", "less the baseline's", "p"]
    cells = [
        [
            f"{line['title']}, {line['split'].replace('_', ' ')}, {line['system']}",
            str(line["runs"]),
            f"{names[line['metric']]} {_interval(line['score'])}",
            "-" if line["difference"] is None else _interval(line["difference"], "+"),
            _p(line["p_value"]),
        ]
        for line in lines
    ]
    return [head, *cells]


def notes(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on what the figures are."""
    baselines = ", ".join(dict.fromkeys(line["baseline"] for line in lines))
    return [
        f"Scores of the same texts with 95 % intervals of {SAMPLES:,} draws of them, and the "
        f"difference to the baseline ({baselines}) in the same draws; p is the share of draws in "
        "which the better one is not better (Koehn, EMNLP 2004). Of several runs the mean."
    ]


def _interval(values: Sequence[float], sign: str = "") -> str:
    value, low, high = values
    return f"{value:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"< {1 / SAMPLES:g}" if value == 0 else f"{value:.3f}"
