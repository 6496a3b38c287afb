"""Makes transformer.npz: PyTorch's Transformer encoder and decoder, with their gradients.

python tests/golden/make_transformer.py        # needs torch (pip install 'aimodels[goldens]')
"""

import torch
from recorder import Recorder
from torch import nn


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    fields = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "batch_first": True}
    lengths = torch.tensor([5, 3])
    padding = torch.arange(5) >= lengths[:, None]

    for norm_first, activation in ((False, "relu"), (True, "gelu")):
        layer = nn.TransformerEncoderLayer(**fields, norm_first=norm_first, activation=activation)
        norm = nn.LayerNorm(8) if norm_first else None
        module = recorder.randomize(
            nn.TransformerEncoder(layer, num_layers=2, norm=norm, enable_nested_tensor=False)
        )
        inputs = recorder.draw(2, 5, 8)
        output = module(inputs, src_key_padding_mask=padding)
        case = "encoder_pre" if norm_first else "encoder_post"
        leaves = {"inputs": inputs, "lengths": lengths}
        recorder.record(case, {"outputs": output}, leaves, module)

        layer = nn.TransformerDecoderLayer(**fields, norm_first=norm_first, activation=activation)
        module = recorder.randomize(layer)
        inputs, memory = recorder.draw(2, 4, 8), recorder.draw(2, 5, 8)
        output = module(
            inputs,
            memory,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64),
            memory_key_padding_mask=padding,
        )
        case = "decoder_pre" if norm_first else "decoder_post"
        leaves = {"inputs": inputs, "memory": memory, "memory_lengths": lengths}
        recorder.record(case, {"outputs": output}, leaves, module)

    recorder.save(__file__)


if __name__ == "__main__":
    main()
