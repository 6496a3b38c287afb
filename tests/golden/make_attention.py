"""Makes attention.npz: PyTorch's attention on seeded weights, with its gradients.

    python tests/golden/make_attention.py        # needs torch (pip install 'aimodels[goldens]')

Keys are `case/what`: inputs and masks, `parameters.*` under PyTorch's names, the output, and
`gradient.*` of sum(output * cotangent).
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def randomized(module: nn.Module) -> nn.Module:
    """The module in float64 with every parameter, biases too, drawn from N(0, 0.3²)."""
    module = module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def record(golden: dict, case: str, output: torch.Tensor, leaves: dict[str, torch.Tensor]) -> None:
    """Stores leaves, output, cotangent and gradients under the case's name."""
    cotangent = torch.randn_like(output)
    (output * cotangent).sum().backward()
    golden[f"{case}/output"] = output
    golden[f"{case}/cotangent"] = cotangent
    for name, leaf in leaves.items():
        golden[f"{case}/{name}"] = leaf
        if leaf.requires_grad:
            golden[f"{case}/gradient.{name}"] = leaf.grad


def parameters(module: nn.Module) -> dict[str, torch.Tensor]:
    """The module's parameters as leaves called parameters.<name>."""
    return {f"parameters.{name}": value for name, value in module.named_parameters()}


def leaf(*shape: int) -> torch.Tensor:
    """A random float64 input whose gradient is wanted."""
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def main() -> None:
    """Writes the cases beside this file."""
    torch.manual_seed(0)
    golden: dict = {}

    module = randomized(nn.MultiheadAttention(8, 4, batch_first=True))
    inputs, lengths = leaf(3, 5, 8), torch.tensor([5, 3, 1])
    padding = torch.arange(5) >= lengths[:, None]
    output, _ = module(inputs, inputs, inputs, key_padding_mask=padding, need_weights=False)
    record(golden, "self", output, {**parameters(module), "inputs": inputs, "lengths": lengths})

    module = randomized(nn.MultiheadAttention(8, 2, batch_first=True, bias=False))
    inputs = leaf(2, 6, 8)
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), diagonal=1)
    output, weights = module(
        inputs, inputs, inputs, attn_mask=later, need_weights=True, average_attn_weights=False
    )
    golden["causal/weights"] = weights
    record(golden, "causal", output, {**parameters(module), "inputs": inputs})

    module = randomized(nn.MultiheadAttention(8, 2, batch_first=True, kdim=6, vdim=6))
    inputs, memory, lengths = leaf(2, 3, 8), leaf(2, 5, 6), torch.tensor([2, 5])
    padding = torch.arange(5) >= lengths[:, None]
    output, _ = module(inputs, memory, memory, key_padding_mask=padding, need_weights=False)
    leaves = {"inputs": inputs, "memory": memory, "lengths": lengths}
    record(golden, "cross", output, {**parameters(module), **leaves})

    # Grouped queries, and one query that may attend to nothing.
    query, key, value = leaf(2, 4, 6, 4), leaf(2, 5, 2, 4), leaf(2, 5, 2, 4)
    mask = torch.rand(2, 1, 4, 5) < 0.6
    mask[0, 0, 1] = False
    output = functional.scaled_dot_product_attention(
        *(each.transpose(1, 2) for each in (query, key, value)), attn_mask=mask, enable_gqa=True
    ).transpose(1, 2)
    leaves = {"query": query, "key": key, "value": value, "mask": mask}
    record(golden, "grouped", output, leaves)

    # Rotary positions by complex numbers (interleaved), and by GPT-NeoX's rotate_half.
    inputs = leaf(2, 7, 3, 6)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [3, 5, 9, 100, 250, 1000, 2000]])
    frequencies = 1.0 / 10_000.0 ** (torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angles = positions[..., None].double() * frequencies
    turns = torch.polar(torch.ones_like(angles), angles)[:, :, None]
    pairs = torch.view_as_complex(inputs.reshape(2, 7, 3, 3, 2))
    output = torch.view_as_real(pairs * turns).flatten(-2)
    record(golden, "interleaved", output, {"inputs": inputs, "positions": positions})
    other = inputs.detach().clone().requires_grad_()
    half = torch.cat([-other[..., 3:], other[..., :3]], dim=-1)
    doubled = torch.cat([angles, angles], dim=-1)[:, :, None]
    output = other * doubled.cos() + half * doubled.sin()
    record(golden, "half", output, {"inputs": other, "positions": positions})

    arrays = {name: value.detach().numpy() for name, value in golden.items()}
    arrays = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("attention.npz"), **arrays)


if __name__ == "__main__":
    main()
