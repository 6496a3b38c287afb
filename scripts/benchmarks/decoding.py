"""Tokens a second of generation with a cache, against transformers' `generate` on the same weights.

GPT-2 of 124 M parameters and one of 6 layers x 384, random weights; greedy, since then both sides
must say the same. transformers runs in an interpreter of its own (--torch-python) and with the
faster of 1 and 2 threads. A repeat is a call of ours, then one of theirs with each.
"""

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
from common import HERE, OtherPython, ratio, spread, table, verdict

TARGET = 1.2
PROMPT, NEW = 64, 128
THREADS = (1, 2)
SIZES = {
    "gpt2": {"width": 768, "num_layers": 12, "num_heads": 12, "max_length": 1024},
    "small": {"width": 384, "num_layers": 6, "num_heads": 6, "max_length": 256},
}
VOCABULARY = 50_257
BATCHES = (1, 32)


def time_size(size: str, torch: OtherPython, scratch: Path, repeats: int) -> list[dict[str, Any]]:
    """The figures of a model, a row for each batch size."""
    import jax

    from aimodels.models import GPT
    from aimodels.models.generation import generate
    from aimodels.models.state_dicts import to_state_dict
    from aimodels.weights import write_safetensors

    model = GPT(VOCABULARY, **SIZES[size], use_bias=True, activation="gelu_tanh")
    prompts = np.random.default_rng(0).integers(0, VOCABULARY, (max(BATCHES), PROMPT), np.int32)
    variables = jax.jit(model.init)(jax.random.key(0), prompts[:1])
    write_safetensors(
        scratch / f"{size}.safetensors", to_state_dict("huggingface", model, variables)
    )
    np.save(scratch / f"{size}.npy", prompts)
    decode = jax.jit(
        lambda variables, prompts, key: generate(
            model, variables, prompts, NEW, key, temperature=0.0
        )
    )
    rows = []
    for batch in BATCHES:
        given = (variables, jax.device_put(prompts[:batch]), jax.random.key(0))
        said = np.asarray(decode(*given))
        request = {"size": size, "batch": batch, "new": NEW} | SIZES[size]
        ours: list[float] = []
        theirs: dict[int, list[float]] = {threads: [] for threads in THREADS}
        same = 0.0
        for _ in range(repeats):
            begin = time.perf_counter()
            jax.block_until_ready(decode(*given))
            ours.append(batch * NEW / (time.perf_counter() - begin))
            for threads, rates in theirs.items():
                answer = torch.ask(threads=threads, **request)
                rates.append(batch * NEW / answer["seconds"])
                same = float((np.array(answer["ids"]) == said).mean())
        best = max(THREADS, key=lambda threads: statistics.median(theirs[threads]))
        rows.append(
            {
                "row": f"{size}-{batch}",
                "same_tokens": same,
                "ours": ours,
                "transformers": {str(threads): rates for threads, rates in theirs.items()},
                "ratio": ratio(ours, theirs[best]),
            }
        )
    return rows


def main() -> None:
    parser = common.arguments(__doc__, repeats=5)
    parser.add_argument("--torch-python", default=sys.executable, help="one that has transformers")
    parser.add_argument("--sizes", default=",".join(SIZES), help="separated by commas")
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    with common.session(options, "decoding") as record:
        record["target"] = TARGET
        command = [options.torch_python, str(HERE / "torch_decoding_worker.py")]
        needs = "the interpreter ended; --torch-python takes one that has transformers"
        with OtherPython([*command, str(record["scratch"])], needs) as torch:
            record |= torch.first
            record["rows"] = []
            for size in options.sizes.split(","):
                record["rows"] += time_size(size, torch, record["scratch"], repeats)
        report(record["rows"])


def report(rows: list[dict[str, Any]]) -> None:
    """Prints the table."""
    lines = []
    for row in rows:
        theirs = max(statistics.median(rates) for rates in row["transformers"].values())
        lines.append(
            (
                row["row"],
                f"{statistics.median(row['ours']):,.0f}",
                f"{theirs:,.0f}",
                spread(row["ratio"]),
                f"{row['same_tokens']:.1%}",
                verdict(row["ratio"]["median"], TARGET),
            )
        )
    table(("tokens/s", "ours", "transformers", "ratio", "same tokens", "target"), lines)


if __name__ == "__main__":
    main()
