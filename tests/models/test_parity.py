"""Every model against the same model in PyTorch, on the same weights: outputs and gradients."""

import jax
import numpy as np
import pytest
from compiled import pullback
from torch_layout import dense, encoder, load, under

from aimodels.models import CNN, GPT, MLP, RecurrentClassifier, TransformerClassifier

# Float32 against float64: 6e-8 a rounding, some hundred of them on values up to 10.
CLOSE = {"rtol": 1e-4, "atol": 3e-5}


def linear(arrays, name):
    return dense(arrays[f"{name}.weight"], arrays[f"{name}.bias"])


def flattened(arrays, name, channels, *spatial):
    """A Linear on PyTorch's flattened [C, *S], for our [*S, C]."""
    weight = arrays[f"{name}.weight"].reshape(-1, channels, *spatial)
    weight = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    return dense(weight, arrays[f"{name}.bias"])


def conv(arrays, name):
    """[F, C, *k] -> [*k, C, F]."""
    kernel = np.moveaxis(arrays[f"{name}.weight"], (0, 1), (-1, -2))
    return {"kernel": kernel, "bias": arrays[f"{name}.bias"]}


def recurrent(arrays, name, layers):
    names = {
        "input_kernel": "weight_ih",
        "recurrent_kernel": "weight_hh",
        "input_bias": "bias_ih",
        "recurrent_bias": "bias_hh",
    }
    return {
        f"layer_{layer}_{direction}": {
            ours: arrays[f"{name}.{theirs}_l{layer}{suffix}"].T for ours, theirs in names.items()
        }
        for layer in range(layers)
        for direction, suffix in (("forward", ""), ("backward", "_reverse"))
    }


def mnist1d_mlp(arrays):
    names = {"dense_0": "linear1", "dense_1": "linear2", "head": "linear3"}
    return {ours: linear(arrays, theirs) for ours, theirs in names.items()}


def mnist1d_cnn(arrays):
    convs = {f"conv_{i}": conv(arrays, f"conv{i + 1}") for i in range(3)}
    return {**convs, "head": flattened(arrays, "linear", 5, 5)}


def pooled_cnn(arrays):
    return {
        "conv_0": conv(arrays, "conv1"),
        "conv_1": conv(arrays, "conv2"),
        "dense_0": flattened(arrays, "dense", 3, 2, 3),
        "head": linear(arrays, "linear"),
    }


def mnist1d_gru(arrays):
    return {"recurrent": recurrent(arrays, "gru", 1), "head": linear(arrays, "linear")}


def lstm(arrays):
    return {
        "embedding": {"embedding": arrays["embedding.weight"]},
        "recurrent": recurrent(arrays, "lstm", 2),
        "head": linear(arrays, "linear"),
    }


def vit(arrays):
    return {
        "embedding": conv(arrays, "patches"),
        "class_token": arrays["class_token"],
        "positions": {"embedding": arrays["positions"]},
        "encoder": encoder(under(arrays, "encoder."), 2),
        "head": linear(arrays, "linear"),
    }


def gpt(arrays):
    def block(arrays):
        names = ("query", "key", "value")
        weights = np.split(arrays["c_attn.weight"], 3)
        projections = {n: dense(w, None) for n, w in zip(names, weights, strict=True)}
        return {
            "attention": {**projections, "out": dense(arrays["c_proj.weight"], None)},
            "attention_norm": {"scale": arrays["ln_1.weight"]},
            "mlp": {
                "hidden": dense(arrays["c_fc.weight"], None),
                "out": dense(arrays["mlp_proj.weight"], None),
            },
            "mlp_norm": {"scale": arrays["ln_2.weight"]},
        }

    blocks = {f"block_{i}": block(under(arrays, f"blocks.{i}.")) for i in range(2)}
    return {
        "embedding": {"embedding": arrays["wte.weight"]},
        "positions": {"embedding": arrays["wpe.weight"]},
        "decoder": {**blocks, "norm": {"scale": arrays["ln_f.weight"]}},
    }


POOLED = CNN(
    (2, 3),
    10,
    kernel_sizes=(5, (5, 3)),
    padding=(2, 1),
    pooling="average",
    activation="tanh",
    dense_features=(7,),
)
CASES = {
    "mnist1d_mlp": (MLP((12, 12), 10, residual=True), mnist1d_mlp),
    "mnist1d_cnn": (
        CNN((5, 5, 5), 10, kernel_sizes=(5, 3, 3), strides=(2, 2, 2), padding=1),
        mnist1d_cnn,
    ),
    "mnist1d_gru": (
        RecurrentClassifier(2, 10, cell="gru", bidirectional=True, readout="flatten"),
        mnist1d_gru,
    ),
    "average": (POOLED, pooled_cnn),
    "max": (POOLED.clone(pooling="max", activation="relu"), pooled_cnn),
    "lstm": (
        RecurrentClassifier(
            3, 5, num_layers=2, bidirectional=True, vocabulary=11, embedding_features=4
        ),
        lstm,
    ),
    "vit": (
        TransformerClassifier(5, width=8, num_heads=2, mlp_width=12, patch_size=2),
        vit,
    ),
    "gpt": (GPT(11, width=8, num_layers=2, num_heads=2, max_length=7), gpt),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch_forward_and_gradient(case):
    model, layout = CASES[case]
    golden = load("models", case)
    inputs = golden["inputs"]
    if case in ("average", "max", "vit"):
        inputs = np.moveaxis(inputs, 1, -1)
    lengths = golden.get("lengths")
    params = layout(under(golden, "parameters."))
    expected = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, dict(expected))

    outputs, (gradient,) = pullback(
        lambda params: model.apply({"params": params}, inputs, lengths=lengths),
        golden["cotangent.outputs"],
        params,
    )
    np.testing.assert_allclose(outputs, golden["outputs"], **CLOSE)
    expected = layout(under(golden, "gradient.parameters."))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), gradient, expected)
