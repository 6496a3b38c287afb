"""PyTorch's parameters, as the goldens store them, in the layout of our modules."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name: str, case: str) -> dict[str, np.ndarray]:
    """The arrays of one case of golden/<name>.npz."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {
            key.removeprefix(f"{case}/"): file[key] for key in file if key.startswith(f"{case}/")
        }


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose name starts with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def dense(weight: np.ndarray, bias: np.ndarray | None) -> dict[str, np.ndarray]:
    """nn.Linear's weight [out, in] -> kernel [in, out]."""
    return {"kernel": weight.T} | ({} if bias is None else {"bias": bias})


def attention(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """nn.MultiheadAttention's parameters (or their gradients) as MultiHeadAttention's."""
    names = ("query", "key", "value")
    if "in_proj_weight" in arrays:
        weights = np.split(arrays["in_proj_weight"], 3)
    else:
        weights = [arrays[f"{letter}_proj_weight"] for letter in "qkv"]
    biases = np.split(arrays["in_proj_bias"], 3) if "in_proj_bias" in arrays else [None] * 3
    projections = {
        name: dense(weight, bias) for name, weight, bias in zip(names, weights, biases, strict=True)
    }
    out = dense(arrays["out_proj.weight"], arrays.get("out_proj.bias"))
    return {**projections, "out": out}


def norm(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """nn.LayerNorm called `name`."""
    return {"scale": arrays[f"{name}.weight"], "bias": arrays[f"{name}.bias"]}


def block(arrays: dict[str, np.ndarray]) -> dict:
    """nn.TransformerEncoderLayer's or nn.TransformerDecoderLayer's as TransformerBlock's."""
    params = {
        "attention": attention(under(arrays, "self_attn.")),
        "attention_norm": norm(arrays, "norm1"),
        "mlp": {
            "hidden": dense(arrays["linear1.weight"], arrays["linear1.bias"]),
            "out": dense(arrays["linear2.weight"], arrays["linear2.bias"]),
        },
        "mlp_norm": norm(arrays, "norm2"),
    }
    if "norm3.weight" in arrays:
        params["memory_attention"] = attention(under(arrays, "multihead_attn."))
        params["memory_norm"] = norm(arrays, "norm2")
        params["mlp_norm"] = norm(arrays, "norm3")
    return params


def encoder(arrays: dict[str, np.ndarray], num_layers: int) -> dict:
    """nn.TransformerEncoder's as Transformer's."""
    params = {f"block_{i}": block(under(arrays, f"layers.{i}.")) for i in range(num_layers)}
    return {**params, "norm": norm(arrays, "norm")} if "norm.weight" in arrays else params
