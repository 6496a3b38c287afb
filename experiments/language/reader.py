"""Span readers for generated stories: Devlin et al., "BERT", 2019, section 4.2, on little data.

aimodels train --config=experiments/language/reader.py:small --workdir=runs/reader

aimodels data fetch minilm_l6_v2
aimodels train --config=experiments/language/reader.py:minilm --workdir=runs/minilm_reader

`small` is a BERT of two layers from scratch; `minilm` goes on from the shipped MiniLM encoder with
its words, so that it can be asked about texts with other words too. What both have learned from
are the ten kinds of generated questions whose answers stand in the story (the data set
`babi_spans`): they look for people, places, things and colours, and know of no other questions.
`aimodels answer` asks them about a folder of texts. No published figure is on these questions.
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("small", "minilm")
# What makes a run small enough for a test.
SHRUNK = {
    "data.size": "40",
    "data.tasks": "1,4",
    "data.length": "96",
    "data.stride": "48",
    "task.bucket_lengths": "",
}
QUESTIONS, BATCH_SIZE = 10_000, 32
OURS = "our own questions: no published figure"


def get_config(variant: str = "small") -> ConfigDict:
    """A reader from scratch, or from the shipped encoder."""
    config = {
        "model": {
            "name": "BERT",
            "head": "span",
            "vocabulary": 400,
            "width": 128,
            "num_layers": 2,
            "num_heads": 4,
            "max_length": 256,
        },
        "task": {"name": "span_extraction", "longest_answer": 5, "bucket_lengths": (64, 128)},
        "data": {"name": "babi_spans", "length": 256, "stride": 128},
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "eps": 1e-6,
            "weight_decay": 0.01,
            "decay_exclude": ("bias$", "scale$"),
            "schedule": {"name": "linear", "warmup_steps": 200},
        },
        "training": {
            "steps": 10 * QUESTIONS // BATCH_SIZE,
            "batch_size": BATCH_SIZE,
            "order": "by_length",
        },
        "evaluation": {"splits": ("test",), "batch_size": 250},
        "checkpoint": {"every": 1000},
    }
    if variant == "minilm":
        config["model"] |= {
            "vocabulary": 30_522,
            "width": 384,
            "num_layers": 6,
            "num_heads": 12,
            "mlp_width": 1536,
            "max_length": 512,
        }
        config["data"] |= {"tokenizer": "minilm_l6_v2"}
        config["optimizer"] |= {"learning_rate": 1e-4}
        config["training"] |= {"steps": QUESTIONS // BATCH_SIZE}
        config["init_from"] = {
            "path": "minilm_l6_v2",
            "naming": "huggingface",
            "new": ("^classes/",),
            "ignore": ("pooler",),
        }
    return ConfigDict(config)


def published() -> list[Row]:
    """Exact match in percent."""
    labels = {"small": "BERT, 2 layers of 128", "minilm": "MiniLM, fine-tuned"}
    return [
        Row(
            name=labels[variant],
            variant=variant,
            metric="test/exact_match",
            published=None,
            source=OURS,
            units="%",
            decimals=1,
            long=True,
            seconds=1800,
        )
        for variant in VARIANTS
    ]
