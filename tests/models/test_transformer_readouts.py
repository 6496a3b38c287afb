"""What a Transformer's classes are read from, and a block without norms, by hand."""

import jax
import numpy as np

from aimodels.models import TransformerClassifier

INPUTS = np.array([[1, 2, 3, 4], [4, 3, 0, 0]])
LENGTHS = np.array([4, 2])
FIELDS = {"width": 8, "num_layers": 1, "num_heads": 1, "mlp_width": 5, "vocabulary": 5}
CLOSE = 1e-5  # float32, numbers of order 1


def drawn(model):
    """Parameters of order 1, biases among them."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), INPUTS)["params"]
    draw = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: draw.normal(size=leaf.shape).astype(np.float32), shapes)


def test_each_last_and_mean_are_of_the_same_tokens():
    models = {
        readout: TransformerClassifier(3, readout=readout, **FIELDS)
        for readout in ("each", "last", "mean")
    }
    params = drawn(models["each"])
    found = {
        readout: np.asarray(model.apply({"params": params}, INPUTS, lengths=LENGTHS))
        for readout, model in models.items()
    }
    assert found["each"].shape == (2, 4, 3)
    np.testing.assert_allclose(found["last"], found["each"][[0, 1], [3, 1]], atol=CLOSE)
    # The head is linear, so that the mean goes through it.
    means = [found["each"][0].mean(0), found["each"][1, :2].mean(0)]
    np.testing.assert_allclose(found["mean"], means, atol=CLOSE)
    whole = np.asarray(models["last"].apply({"params": params}, INPUTS))
    np.testing.assert_allclose(whole[0], found["last"][0], atol=CLOSE)


def test_a_block_without_norms():
    model = TransformerClassifier(3, readout="last", norm="none", activation="relu", **FIELDS)
    params = drawn(model)
    assert set(params["encoder"]) == {"block_0"}
    assert set(params["encoder"]["block_0"]) == {"attention", "mlp"}
    block = params["encoder"]["block_0"]

    def dense(weights, inputs):
        kernel = np.asarray(weights["kernel"], float).reshape(inputs.shape[-1], -1)
        return inputs @ kernel + np.ravel(weights["bias"])

    positions = params["positions"]["embedding"]
    tokens = np.asarray(params["embedding"]["embedding"], float)[INPUTS[0]] + positions
    query, key, value = (dense(block["attention"][n], tokens) for n in ("query", "key", "value"))
    logits = query @ key.T / np.sqrt(8)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    attended = weights / weights.sum(1, keepdims=True) @ value
    hidden = tokens + dense(block["attention"]["out"], attended)
    added = dense(block["mlp"]["out"], np.maximum(dense(block["mlp"]["hidden"], hidden), 0))
    expected = dense(params["head"], (hidden + added)[-1])
    got = np.asarray(model.apply({"params": params}, INPUTS[:1]))[0]
    # Of order 100 where nothing is normalised: float32 against float64.
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)
