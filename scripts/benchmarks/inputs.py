"""Whether data keep up: examples that are made ready a second over those that training takes.

images: batches of CIFAR-10's shape gathered from memory, moved to the device, cropped, flipped,
RandAugment, standardized, erased, mixed; ResNet-18 in training takes them. tokens: tiny
Shakespeare's text through byte-level BPE (512 tokens) to windows of 64, and batches gathered; the
Transformer of nanoGPT's CPU setting takes them. Training is its compiled step alone, without input.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import ratio, spread, table, verdict
from rows import ROWS, make_config

TARGETS = {"images": 1.5, "tokens": 5.0}
TRAINED = {"images": "resnet18", "tokens": "gpt"}
TRANSFORMS = (
    {"name": "random_crop", "padding": 4},
    {"name": "horizontal_flip"},
    {"name": "rand_augment", "num_operations": 2, "magnitude": 9},
    {"name": "scale"},
    {"name": "standardize", "mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)},
    {"name": "random_erasing", "probability": 0.25},
    {"name": "mixup_or_cutmix", "num_classes": 10},
)


def consumer(row: str, scratch: Path) -> Callable[[int], float]:
    """A function: steps -> seconds of so many steps of training on one batch."""
    import jax

    from aimodels.training.build import load_split, task_builder

    config = make_config(row, scratch, training={"steps": 1000})
    task = task_builder(config)({})
    source = load_split(config, "train")[0]
    batch = jax.device_put(dict(source.gather(np.arange(ROWS[row].batch_size))))
    key = jax.random.key(0)
    step = jax.jit(task.train_step, donate_argnums=0)
    kept = [jax.block_until_ready(step(task.init(key, batch), batch, key))[0]]

    def run(steps: int) -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            kept[0], _ = step(kept[0], batch, key)
        jax.block_until_ready(kept[0])
        return time.perf_counter() - begin

    return run


def images(scratch: Path) -> Callable[[int], float]:
    """A function: batches -> seconds to make so many ready."""
    import jax

    from aimodels.config.names import call_section
    from aimodels.data.source import ArraySource
    from aimodels.data.transforms import Pipeline

    del scratch
    rng, count, batch_size = np.random.default_rng(0), 10_000, ROWS["resnet18"].batch_size
    inputs = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    source = ArraySource({"inputs": inputs, "targets": rng.integers(0, 10, count, np.int32)})
    pipeline = Pipeline(tuple(call_section("transform", one) for one in TRANSFORMS))
    ready = jax.jit(lambda batch, key: pipeline(batch, key, train=True))
    keys = jax.random.split(jax.random.key(0), 1000)

    def run(batches: int) -> float:
        begin = time.perf_counter()
        for number in range(batches):
            rows = rng.integers(0, count, batch_size)
            made = ready(jax.device_put(dict(source.gather(rows))), keys[number % len(keys)])
        jax.block_until_ready(made)
        return time.perf_counter() - begin

    run(1)
    return run


def tokens(scratch: Path) -> Callable[[int], float]:
    """A function: batches -> seconds, tokenizing as much text as they hold included."""
    from aimodels.data.source import Windows
    from aimodels.data.text import corpora, tokenizer_training

    del scratch
    corpus = corpora.CORPORA["tiny_shakespeare"]
    if not corpus.file.is_file():
        corpus.fetch()
    lines = corpus.read().splitlines(keepends=True)
    tokenizer = tokenizer_training.train("byte_bpe", lines, 512)
    batch_size, length = ROWS["gpt"].batch_size, 64
    rng = np.random.default_rng(0)
    at = 0

    def run(batches: int) -> float:
        nonlocal at
        wanted = batches * batch_size * length
        begin, found = time.perf_counter(), 0
        parts = []
        while found < wanted + length + 1:
            part = "".join(lines[at : at + 1000])
            parts.append(tokenizer.encode(part))
            found += len(parts[-1])
            at = (at + 1000) % (len(lines) - 1000)
        windows = Windows(np.concatenate(parts), length, length)
        for _ in range(batches):
            windows.gather(rng.integers(0, len(windows), batch_size))
        return time.perf_counter() - begin

    run(1)
    return run


SUPPLIERS = {"images": images, "tokens": tokens}


def time_row(row: str, scratch: Path, repeats: int, seconds: float) -> dict[str, Any]:
    """The figures of a row; each side runs for about so many `seconds` in a repeat."""
    consume, supply = consumer(TRAINED[row], scratch), SUPPLIERS[row](scratch)
    counts = {run: max(2, round(seconds / (run(5) / 5))) for run in (consume, supply)}
    rates: dict[Any, list[float]] = {consume: [], supply: []}
    for _ in range(repeats):
        for run, count in counts.items():
            rates[run].append(ROWS[TRAINED[row]].batch_size * count / run(count))
    return {
        "row": row,
        "ready": rates[supply],
        "taken": rates[consume],
        "ratio": ratio(rates[supply], rates[consume]),
    }


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each side in a repeat")
    options = parser.parse_args()
    seconds, repeats = (0.2, 2) if options.quick else (options.seconds, options.repeats)
    with common.session(options, "inputs") as record:
        record["targets"] = TARGETS
        record["rows"] = [time_row(row, record["scratch"], repeats, seconds) for row in SUPPLIERS]
        table(
            ("examples/s", "made ready", "taken by training", "ratio", "target"),
            [
                (
                    row["row"],
                    f"{statistics.median(row['ready']):,.0f}",
                    f"{statistics.median(row['taken']):,.0f}",
                    spread(row["ratio"]),
                    verdict(row["ratio"]["median"], TARGETS[row["row"]]),
                )
                for row in record["rows"]
            ],
        )


if __name__ == "__main__":
    main()
