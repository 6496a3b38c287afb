"""Makes attention.npz: PyTorch's attention and rotary positions, with their gradients.

python tests/golden/make_attention.py        # needs torch (pip install 'aimodels[goldens]')
"""

import torch
from recorder import Recorder
from torch import nn
from torch.nn import functional


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()

    module = recorder.randomize(nn.MultiheadAttention(8, 4, batch_first=True))
    inputs, lengths = recorder.draw(3, 5, 8), torch.tensor([5, 3, 1])
    padding = torch.arange(5) >= lengths[:, None]
    output, _ = module(inputs, inputs, inputs, key_padding_mask=padding, need_weights=False)
    recorder.record("self", {"outputs": output}, {"inputs": inputs, "lengths": lengths}, module)

    module = recorder.randomize(nn.MultiheadAttention(8, 2, batch_first=True, bias=False))
    inputs = recorder.draw(2, 6, 8)
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), diagonal=1)
    output, weights = module(
        inputs, inputs, inputs, attn_mask=later, need_weights=True, average_attn_weights=False
    )
    recorder.record("causal", {"outputs": output}, {"inputs": inputs}, module)
    recorder.store("causal", weights=weights)

    module = recorder.randomize(nn.MultiheadAttention(8, 2, batch_first=True, kdim=6, vdim=6))
    inputs, memory, lengths = recorder.draw(2, 3, 8), recorder.draw(2, 5, 6), torch.tensor([2, 5])
    padding = torch.arange(5) >= lengths[:, None]
    output, _ = module(inputs, memory, memory, key_padding_mask=padding, need_weights=False)
    leaves = {"inputs": inputs, "memory": memory, "lengths": lengths}
    recorder.record("cross", {"outputs": output}, leaves, module)

    # Grouped queries, and one query that may attend to nothing.
    query, key, value = (
        recorder.draw(2, 4, 6, 4),
        recorder.draw(2, 5, 2, 4),
        recorder.draw(2, 5, 2, 4),
    )
    mask = recorder.draw(2, 1, 4, 5) < 0.3
    mask[0, 0, 1] = False
    output = functional.scaled_dot_product_attention(
        *(each.transpose(1, 2) for each in (query, key, value)), attn_mask=mask, enable_gqa=True
    ).transpose(1, 2)
    leaves = {"query": query, "key": key, "value": value, "mask": mask}
    recorder.record("grouped", {"outputs": output}, leaves)

    # Rotary positions by complex numbers (interleaved), and by GPT-NeoX's rotate_half.
    inputs = recorder.draw(2, 7, 3, 6)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [3, 5, 9, 100, 250, 1000, 2000]])
    frequencies = 1.0 / 10_000.0 ** (torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angles = positions[..., None].double() * frequencies
    turns = torch.polar(torch.ones_like(angles), angles)[:, :, None]
    pairs = torch.view_as_complex(inputs.reshape(2, 7, 3, 3, 2))
    output = torch.view_as_real(pairs * turns).flatten(-2)
    recorder.record("interleaved", {"outputs": output}, {"inputs": inputs, "positions": positions})
    other = inputs.detach().clone().requires_grad_()
    half = torch.cat([-other[..., 3:], other[..., :3]], dim=-1)
    doubled = torch.cat([angles, angles], dim=-1)[:, :, None]
    output = other * doubled.cos() + half * doubled.sin()
    recorder.record("half", {"outputs": output}, {"inputs": other, "positions": positions})

    recorder.save(__file__)


if __name__ == "__main__":
    main()
