"""GPT-3's sizes (Brown et al., "Language Models are Few-Shot Learners", 2020): what they need.

aimodels show --config=experiments/language/gpt_sizes.py:xl --devices=64
aimodels show --config=experiments/language/gpt_sizes.py:6_7b --devices=64 --config.parallel.model=8

Models, batches (in tokens) and learning rates of the paper's table 2.1, the rest of appendix B:
Adam with β 0.9 and 0.95, weight decay 0.1, gradients clipped at norm 1, a cosine down to a tenth
after 375 million tokens of warm-up. Weights are float32, computation is bfloat16. They are for
`show`, which says what a step takes of each of so many devices: their data are random tokens.

Two things differ. The table gives XL 24 heads of 128, which its width of 2,048 doesn't hold: here
it has 16. Every layer attends to all tokens before; GPT-3 alternates that with a sparse pattern.
The vocabulary's 50,257 ids are rounded up to 50,304, as nanoGPT does, so that devices can share it.
"""

import dataclasses

from ml_collections import ConfigDict

CONTEXT, VOCABULARY = 2048, 50_304
TOKENS, WARMUP_TOKENS = 260e9, 375e6  # the learning rate falls over the first 260 billion


@dataclasses.dataclass(frozen=True)
class Size:
    """A line of table 2.1; its batches of 0.5, 1 and 2 million tokens as sequences of CONTEXT."""

    layers: int
    width: int
    heads: int
    batch_size: int
    learning_rate: float
    parameters: float


SIZES = {
    "small": Size(12, 768, 12, 256, 6.0e-4, 125e6),
    "xl": Size(24, 2048, 16, 512, 2.0e-4, 1.3e9),
    "6_7b": Size(32, 4096, 32, 1024, 1.2e-4, 6.7e9),
}
VARIANTS = tuple(SIZES)
# What makes them small enough for a test to train.
SHRUNK = {
    "model.width": "32",
    "model.num_layers": "2",
    "model.num_heads": "2",
    "model.max_length": "16",
    "data.length": "16",
}


def get_config(variant: str = "small") -> ConfigDict:
    """A size, divided over the axis `data` (and `model`, where that is more than one device)."""
    size = SIZES[variant]
    batch_tokens = size.batch_size * CONTEXT
    return ConfigDict(
        {
            "model": {
                "name": "GPT",
                "vocabulary": VOCABULARY,
                "width": size.width,
                "num_layers": size.layers,
                "num_heads": size.heads,
                "max_length": CONTEXT,
                "use_bias": True,
                "activation": "gelu_tanh",
            },
            "task": {"name": "classification", "confusion": False},
            "data": {"name": "random_tokens", "vocabulary": VOCABULARY, "length": CONTEXT},
            "optimizer": {
                "name": "adamw",
                "learning_rate": size.learning_rate,
                "b2": 0.95,
                "weight_decay": 0.1,
                "clip_global_norm": 1.0,
                "schedule": {
                    "name": "cosine",
                    "final_fraction": 0.1,
                    "warmup_steps": round(WARMUP_TOKENS / batch_tokens),
                },
            },
            "training": {
                "steps": round(TOKENS / batch_tokens),
                "batch_size": size.batch_size,
            },
            "evaluation": {"batch_size": 32},
            "parallel": {"rules": "fsdp_tensor", "remat": "blocks"},
            "precision": "bfloat16",
        }
    )
