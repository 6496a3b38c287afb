"""The convolutional classifier of sentences: what the formula says, what padding changes."""

import jax
import jax.numpy as jnp
import numpy as np
from compiled import apply, init

from aimodels.models import TextCNN, count_parameters

MODEL = TextCNN(2, vocabulary=11, embedding_features=4, windows=(2, 3), features=5)
# Other orders of summation of float32 numbers of order 1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def drawn():
    """Parameters of order 1, biases among them, and a batch with lengths."""
    inputs = jax.random.randint(jax.random.key(0), (3, 6), 0, 11)
    variables = init(MODEL, inputs)
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, leaves), inputs, jnp.array([6, 1, 4])


def by_hand(params, sentence):
    """Equations 2 to 4 of the paper, window by window."""
    words = np.asarray(params["embedding"]["embedding"])[np.asarray(sentence)]
    found = []
    for window in (2, 3):
        kernel = np.asarray(params[f"window_{window}"]["kernel"])
        bias = np.asarray(params[f"window_{window}"]["bias"])
        padded = np.pad(words, ((window - 1, window - 1), (0, 0)))
        maps = [
            np.maximum(np.einsum("kd,kdf->f", padded[start : start + window], kernel) + bias, 0)
            for start in range(len(padded) - window + 1)
        ]
        found.append(np.max(maps, axis=0))
    head = params["head"]
    return np.concatenate(found) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def test_it_is_the_formula_whatever_the_padding():
    variables, inputs, lengths = drawn()
    outputs = apply(MODEL, variables, inputs, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        expected = by_hand(variables["params"], inputs[row, :length])
        np.testing.assert_allclose(outputs[row], expected, **CLOSE)
    np.testing.assert_allclose(apply(MODEL, variables, inputs)[0], outputs[0], **CLOSE)
    noise = jnp.where(jnp.arange(6) < lengths[:, None], inputs, 3)
    np.testing.assert_array_equal(apply(MODEL, variables, noise, lengths=lengths), outputs)


def test_it_starts_as_the_authors_code():
    params = init(MODEL, jnp.zeros((1, 6), jnp.int32))["params"]
    assert 0.2 < jnp.abs(params["embedding"]["embedding"]).max() <= 0.25
    assert 0.005 < jnp.abs(params["window_2"]["kernel"]).max() <= 0.01
    assert not params["head"]["kernel"].any()


def test_its_parameters_are_counted_as_in_the_paper():
    """300 (3 + 4 + 5) 100 + 300 in the windows, 300 x 2 + 2 in the last layer, 300 a word."""
    model = TextCNN(2, vocabulary=18_766)
    ids = jax.ShapeDtypeStruct((1, 56), jnp.int32)
    assert count_parameters(model, ids) == 18_766 * 300 + 360_300 + 602
