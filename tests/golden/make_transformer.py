"""Makes transformer.npz: PyTorch's Transformer layers on seeded weights, with their gradients.

    python tests/golden/make_transformer.py        # needs torch (pip install 'aimodels[goldens]')

Keys are as in make_attention.py.
"""

from pathlib import Path

import numpy as np
import torch
from make_attention import leaf, parameters, randomized, record
from torch import nn


def main() -> None:
    """Writes the cases beside this file."""
    torch.manual_seed(0)
    golden: dict = {}
    fields = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "batch_first": True}
    lengths = torch.tensor([5, 3])
    padding = torch.arange(5) >= lengths[:, None]

    for norm_first, activation in ((False, "relu"), (True, "gelu")):
        layer = nn.TransformerEncoderLayer(**fields, norm_first=norm_first, activation=activation)
        norm = nn.LayerNorm(8) if norm_first else None
        module = randomized(
            nn.TransformerEncoder(layer, num_layers=2, norm=norm, enable_nested_tensor=False)
        )
        inputs = leaf(2, 5, 8)
        output = module(inputs, src_key_padding_mask=padding)
        case = "encoder_pre" if norm_first else "encoder_post"
        leaves = {"inputs": inputs, "lengths": lengths}
        record(golden, case, output, {**parameters(module), **leaves})

        layer = nn.TransformerDecoderLayer(**fields, norm_first=norm_first, activation=activation)
        module = randomized(layer)
        inputs, memory = leaf(2, 4, 8), leaf(2, 5, 8)
        output = module(
            inputs,
            memory,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64),
            memory_key_padding_mask=padding,
        )
        case = "decoder_pre" if norm_first else "decoder_post"
        leaves = {"inputs": inputs, "memory": memory, "memory_lengths": lengths}
        record(golden, case, output, {**parameters(module), **leaves})

    arrays = {name: value.detach().numpy() for name, value in golden.items()}
    arrays = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in arrays.items()}
    np.savez_compressed(Path(__file__).with_name("transformer.npz"), **arrays)


if __name__ == "__main__":
    main()
