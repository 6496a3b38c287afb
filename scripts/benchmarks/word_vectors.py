"""word2vec's words a second and its scores, against gensim's on the same text and settings.

The Brown corpus, five epochs of skip-gram and of CBOW as experiments/language/word_vectors.py has
them; gensim runs in an interpreter of its own (--gensim-python). A repeat is a command of ours and
one of theirs, with 1 thread and with 2, and has a seed of its own; both answer the same questions.
Rates are words of the text a second: ours of the steps after the first dispatch, gensim's of its
training without the count of words before it.
"""

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, ROOT, OtherPython, ratio, spread, table, verdict

EXPERIMENT = ROOT / "experiments/language/word_vectors.py"
METHODS = ("skip_gram", "cbow")
THREADS = (1, 2)
# Questions -> what their score is called.
QUESTIONS = {"wordsim353": "spearman", "simlex999": "spearman", "syntactic": "accuracy"}
EPOCHS, QUICK_STEPS = 5, 400


def train(method: str, seed: int, threads: int, folder: Path, quick: bool) -> dict[str, Any]:
    """Runs the command once, in so many threads: the rate of its steps, its seconds, its scores."""
    with tempfile.TemporaryDirectory(dir=folder) as workdir:
        command = [sys.executable, "-m", "aimodels.cli", "train"]
        command += [f"--config={EXPERIMENT}:{method}", f"--workdir={workdir}"]
        command += [f"--config.replicas.seeds={seed},", f"--config.execution.threads={threads}"]
        if quick:
            command.append(f"--config.training.steps={QUICK_STEPS}")
        _, seconds = common.child(command, AIMODELS_CACHE=str(folder / "cache"))
        results = json.loads((Path(workdir) / "results.json").read_text())
    metrics = results["replicas"][0]["metrics"]
    return {
        "seconds": seconds,
        "steps_per_second": results["steps_per_second"],
        "scores": {name: metrics[f"{name}/{score}"] for name, score in QUESTIONS.items()},
    }


def scores_of(vectors: np.ndarray, data: Any) -> dict[str, float]:
    """What vectors [V, D] answer."""
    import jax.numpy as jnp

    from aimodels.tasks import word_metrics

    given, found = jnp.asarray(vectors), {}
    for name, score in QUESTIONS.items():
        source = data.load_whole(name)
        batch = source.gather(np.arange(len(source)))
        inputs, targets = jnp.asarray(batch["inputs"]), jnp.asarray(batch["targets"])
        mask = jnp.ones(len(targets), bool)
        if score == "accuracy":
            parts = [
                word_metrics.answers(given, inputs[i : i + 500]) for i in range(0, len(inputs), 500)
            ]
            found[name] = float((jnp.concatenate(parts) == targets).mean())
        else:
            cosines = word_metrics.cosines(given, inputs)
            found[name] = float(word_metrics.spearman(cosines, targets, mask))
    return found


def compare(
    method: str, data: Any, gensim: OtherPython, scratch: Path, repeats: int, quick: bool
) -> dict[str, Any]:
    """The row of a method."""
    tokens, config = len(data.counted.tokens), load_section(method)
    a_step = config["batch_size"] * data.length
    ours: dict[int, list[dict]] = {threads: [] for threads in THREADS}
    theirs: dict[int, list[dict]] = {threads: [] for threads in THREADS}
    epochs = 1 if quick else EPOCHS
    for seed in range(1, repeats + 1):
        for threads in THREADS:
            run = train(method, seed, threads, scratch, quick)
            run["words_per_second"] = run["steps_per_second"] * a_step
            ours[threads].append(run)
            output = str(scratch / "vectors.npy")
            done = gensim.ask(
                method=method,
                threads=threads,
                epochs=epochs,
                seed=seed,
                words=data.words,
                output=output,
            )
            theirs[threads].append(
                {
                    "seconds": done["seconds"],
                    "words_per_second": tokens * epochs / done["seconds"],
                    "scores": scores_of(np.load(output), data),
                }
            )
    rates = {
        side: {threads: [run["words_per_second"] for run in runs] for threads, runs in each.items()}
        for side, each in (("ours", ours), ("theirs", theirs))
    }
    return {
        "row": method,
        "ours": {str(threads): runs for threads, runs in ours.items()},
        "gensim": {str(threads): runs for threads, runs in theirs.items()},
        "ratios": {str(t): ratio(rates["ours"][t], rates["theirs"][t]) for t in THREADS},
    }


def load_section(method: str) -> dict[str, Any]:
    """The section `training` of a method's config."""
    from aimodels.config import load_config, plain

    return plain(load_config(f"{EXPERIMENT}:{method}"))["training"]


def main() -> None:
    parser = common.arguments(__doc__, repeats=3)
    parser.add_argument("--gensim-python", default=sys.executable, help="one that has gensim")
    parser.add_argument("--rows", default=",".join(METHODS), help="separated by commas")
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from aimodels.data.text.words import Words

    data = Words("brown")
    counted = data.counted
    begins = np.flatnonzero(np.diff(counted.segments)) + 1
    sentences = [[counted.words[i] for i in ids] for ids in np.split(counted.tokens, begins)]
    with common.session(options, "word_vectors") as record:
        scratch = record["scratch"]
        (scratch / "sentences.json").write_text(json.dumps(sentences))
        command = [options.gensim_python, str(HERE / "gensim_worker.py"), str(scratch)]
        needs = "the interpreter ended; --gensim-python takes one that has gensim"
        with OtherPython(command, needs) as gensim:
            record |= gensim.first
            record["rows"] = [
                compare(method, data, gensim, scratch, repeats, options.quick)
                for method in options.rows.split(",")
            ]
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    lines = []
    for row in rows:
        for threads in map(str, THREADS):
            both = [row[side][threads] for side in ("ours", "gensim")]
            rates = [statistics.median(run["words_per_second"] for run in runs) for runs in both]
            scores = [
                " ".join(
                    f"{statistics.mean(run['scores'][name] for run in runs):.3f}" for runs in both
                )
                for name in QUESTIONS
            ]
            ratios = row["ratios"][threads]
            lines.append(
                (
                    f"{row['row']}, {threads} thread{'s' * (threads != '1')}",
                    *(f"{rate:,.0f}" for rate in rates),
                    spread(ratios),
                    *scores,
                    verdict(ratios["median"], 1.0),
                )
            )
    names = [f"{name} (ours, gensim)" for name in QUESTIONS]
    table(("words/s", "ours", "gensim", "ratio", *names, "target"), lines)


if __name__ == "__main__":
    main()
