"""SQuAD: Devlin et al., "BERT: pre-training of deep bidirectional transformers", 2019, table 2.

aimodels show --config=experiments/language/squad.py:bert_base

For a machine that has the data and BERT's weights: neither can be had from here. There,

    aimodels data fetch tfds_squad
    aimodels import FOLDER --from=huggingface --workdir=runs/bert_base

with the FOLDER of bert-base-uncased (config.json, model.safetensors, tokenizer.json), and then
`aimodels train` with this file; `bert_large` likewise. Section 4.2: three epochs, a learning rate
of 5e-5, batches of 32; windows of 384 and a stride of 128 are those of the authors' code, as are
Adam's weight decay of 0.01, the tenth of warm-up, and answers of up to 30 tokens. The paper's
table 2 has single models on SQuAD 1.1's development set; its base model has uncased words.
`bert_base_v2` is section 4.3, on SQuAD 2.0: two epochs, batches of 48, and "no answer" where the
score of [CLS] is larger (τ = 0 here; the paper chooses it on the development set).
"""

from ml_collections import ConfigDict

from aimodels.reproduce import Row

VARIANTS = ("bert_base", "bert_large", "bert_base_v2")
# Windows of the training questions, about: most paragraphs are one.
WINDOWS = {"1.1": 88_500, "2.0": 132_000}
LARGE = {"width": 1024, "num_layers": 24, "num_heads": 16}
# Those of the paper's base model, 109,482,240, without the pooler and with the head.
PARAMETERS = {"bert_base": 108_893_186}
DEVLIN = "Devlin et al. 2019, table 2"


def get_config(variant: str = "bert_base") -> ConfigDict:
    """A pre-trained BERT that learns to find answers."""
    version = "2.0" if variant.endswith("v2") else "1.1"
    size = "bert_large" if "large" in variant else "bert_base"
    batch_size, epochs = (48, 2) if version == "2.0" else (32, 3)
    steps = epochs * WINDOWS[version] // batch_size
    return ConfigDict(
        {
            "model": {"name": "BERT", "head": "span", **(LARGE if "large" in size else {})},
            "task": {"name": "span_extraction", "no_answer": version == "2.0"},
            "data": {
                "name": "tfds_squad",
                "dataset": f"squad/v{version}",
                "tokenizer": f"runs/{size}",
            },
            "optimizer": {
                "name": "adamw",
                "learning_rate": 5e-5,
                "eps": 1e-6,
                "weight_decay": 0.01,
                "decay_exclude": ("bias$", "scale$"),
                "clip_global_norm": 1.0,
                "schedule": {"name": "linear", "warmup_steps": steps // 10},
            },
            "training": {"steps": steps, "batch_size": batch_size},
            "evaluation": {"splits": ("validation",), "batch_size": 64},
            "checkpoint": {"every": 1000},
            "init_from": {"path": f"runs/{size}", "new": ("^classes/",), "ignore": ("pooler",)},
        }
    )


def published() -> list[Row]:
    """Exact match and F1, in percent."""
    figures = {"bert_base": ("BERT base, single", 80.8, 88.5)}
    figures["bert_large"] = ("BERT large, single", 84.1, 90.9)
    return [
        Row(
            name=name,
            variant=variant,
            metric=f"validation/{metric}",
            published=figure,
            source=DEVLIN,
            units="%",
            decimals=1,
            long=True,
            parameters=PARAMETERS.get(variant),
        )
        for variant, (name, exact, f1) in figures.items()
        for metric, figure in (("exact_match", exact), ("f1", f1))
    ]
