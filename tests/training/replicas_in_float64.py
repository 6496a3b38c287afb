"""Prints, for each model, how far a replica under vmap is from its single run after 100 steps.

The largest |difference| / (1 + |weight|) over all weights, in float64: JAX computes so in a whole
process or not at all, which is why this is one of its own. See test_replicas.py.
"""

import json

import jax
import numpy as np

from aimodels.config import resolve
from aimodels.training.assembly import Assembly
from aimodels.training.step import Plan

SEEDS, STEPS = (3, 8), 100
DIGITS, SIGNALS = {"name": "digits"}, {"name": "mnist1d"}
TOKENS = {"name": "random_tokens", "vocabulary": 32, "length": 16, "train_size": 256}
RECURRENT = {"name": "RecurrentClassifier", "features": 6, "num_classes": 10}
MODELS = {
    "Linear": ({"name": "Linear", "num_classes": 10}, DIGITS),
    "MLP": ({"name": "MLP", "features": (32, 32), "num_classes": 10}, DIGITS),
    "CNN": ({"name": "CNN", "features": (8, 8), "num_classes": 10, "batch_norm": True}, DIGITS),
    "RNN": (RECURRENT | {"cell": "rnn"}, SIGNALS),
    "GRU": (RECURRENT | {"cell": "gru", "bidirectional": True}, SIGNALS),
    "GRU, 40 wide": (RECURRENT | {"cell": "gru", "features": 40}, SIGNALS),
    "LSTM": (RECURRENT | {"cell": "lstm", "num_layers": 2, "dropout_rate": 0.1}, SIGNALS),
    "Transformer": (
        {
            "name": "TransformerClassifier",
            "width": 16,
            "num_layers": 1,
            "patch_size": 4,
            "num_classes": 10,
        },
        SIGNALS,
    ),
    "GPT": ({"name": "GPT", "vocabulary": 32, "width": 16, "num_layers": 1}, TOKENS),
}


def trained(model: dict, data: dict, seeds: tuple[int, ...]) -> list[np.ndarray]:
    """The weights of all replicas after the last step."""
    config = resolve(
        {
            "model": model,
            "task": {"name": "classification"},
            "data": data,
            "optimizer": {"name": "adam", "learning_rate": 1e-3},
            "training": {"steps": STEPS, "batch_size": 16},
            "precision": "float64",
            "replicas": {"seeds": seeds},
            "parallel": {"replica": 1},
        }
    )
    assembly = Assembly(config)
    program = assembly.program(Plan(STEPS, "vmap"))
    feed = assembly.feeds()()
    state, report = program.run(program.init(feed, assembly.target()), feed, 0, STEPS)
    assert np.isfinite(report.metrics["loss"]).all()
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float64")}
    return leaves


def main() -> None:
    found = {}
    for name, (model, data) in MODELS.items():
        together = trained(model, data, SEEDS)
        differences = [
            np.max(np.abs(all_of[index] - one[0]) / (1 + np.abs(one[0])))
            for index, seed in enumerate(SEEDS)
            for all_of, one in zip(together, trained(model, data, (seed,)), strict=True)
        ]
        found[name] = float(max(differences))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
