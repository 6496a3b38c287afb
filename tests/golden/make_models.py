"""Makes models.npz: the papers' models in PyTorch, small, with their gradients.

python tests/golden/make_models.py        # needs torch (pip install 'aimodels[goldens]')

The MNIST-1D models are written after the paper's `models.py`,
the language model after nanoGPT's `model.py`, with fewer features.
"""

import math
from collections.abc import Callable

import torch
from recorder import Recorder
from torch import nn
from torch.nn import functional

Function = Callable[..., torch.Tensor]


class Mnist1dMLP(nn.Module):
    """MNIST-1D's MLPBase."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(40, features)
        self.linear2 = nn.Linear(features, features)
        self.linear3 = nn.Linear(features, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 40] -> [B, 10]."""
        h = self.linear1(x).relu()
        h = h + self.linear2(h).relu()
        return self.linear3(h)


class Mnist1dCNN(nn.Module):
    """MNIST-1D's ConvBase."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, channels, 5, stride=2, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(channels, channels, 3, stride=2, padding=1)
        self.linear = nn.Linear(5 * channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 40] -> [B, 10]."""
        h = self.conv1(x[:, None]).relu()
        h = self.conv2(h).relu()
        h = self.conv3(h).relu()
        return self.linear(h.flatten(1))


class Mnist1dGRU(nn.Module):
    """MNIST-1D's GRUBase."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gru = nn.GRU(1, features, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * features * 40, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 40] -> [B, 10]."""
        output, _ = self.gru(x[..., None])
        return self.linear(output.flatten(1))


class PooledCNN(nn.Module):
    """Two convolutions, each followed by pooling, and two dense layers: LeNet-5 and its heirs."""

    def __init__(self, pool: Function, activation: Function) -> None:
        super().__init__()
        self.pool, self.activation = pool, activation
        self.conv1 = nn.Conv2d(1, 2, 5, padding=2)
        self.conv2 = nn.Conv2d(2, 3, (5, 3), padding=1)
        self.dense = nn.Linear(3 * 2 * 3, 7)
        self.linear = nn.Linear(7, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, 12, 14] -> [B, 10]; the last pooling, of [4, 7], leaves one column out."""
        h = self.pool(self.activation(self.conv1(x)), 2)
        h = self.pool(self.activation(self.conv2(h)), 2)
        return self.linear(self.activation(self.dense(h.flatten(1))))


class SequenceLSTM(nn.Module):
    """Two bidirectional layers over token vectors; the last states of the upper one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 4)
        self.lstm = nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Ids [B, T] -> [B, 5]."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(x), lengths, batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.linear(torch.cat([hidden[-2], hidden[-1]], dim=-1))


class VisionTransformer(nn.Module):
    """A ViT of torch's own parts: patches, class token, learned positions, pre-norm encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 8, 2, stride=2)
        self.class_token = nn.Parameter(torch.zeros(8))
        self.positions = nn.Parameter(torch.zeros(7, 8))
        layer = nn.TransformerEncoderLayer(
            8, 2, 12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False
        )
        self.linear = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 2, 4, 6] -> [B, 5]."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), 1, 8), tokens], dim=1)
        return self.linear(self.encoder(tokens + self.positions)[:, 0])


class NanoGPTBlock(nn.Module):
    """nanoGPT's Block, without biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width, bias=False)
        self.c_attn = nn.Linear(width, 3 * width, bias=False)
        self.c_proj = nn.Linear(width, width, bias=False)
        self.ln_2 = nn.LayerNorm(width, bias=False)
        self.c_fc = nn.Linear(width, 4 * width, bias=False)
        self.mlp_proj = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, T, D] -> [B, T, D]."""
        b, t, d = x.shape
        q, k, v = (
            each.view(b, t, self.heads, d // self.heads).transpose(1, 2)
            for each in self.c_attn(self.ln_1(x)).split(d, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(d // self.heads)
        later = torch.triu(torch.ones(t, t, dtype=torch.bool), diagonal=1)
        y = scores.masked_fill(later, -math.inf).softmax(dim=-1) @ v
        x = x + self.c_proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.mlp_proj(functional.gelu(self.c_fc(self.ln_2(x))))


class NanoGPT(nn.Module):
    """nanoGPT's GPT, with weights tied."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(11, 8), nn.Embedding(7, 8)
        self.blocks = nn.ModuleList([NanoGPTBlock(8, 2) for _ in range(2)])
        self.ln_f = nn.LayerNorm(8, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ids [B, T] -> logits [B, T, V]."""
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    tokens = (recorder.draw(3, 6).detach() * 100).long() % 11
    lengths = torch.tensor([6, 2, 4])
    for case, module, inputs in (
        ("mnist1d_mlp", Mnist1dMLP(12), {"inputs": recorder.draw(3, 40)}),
        ("mnist1d_cnn", Mnist1dCNN(5), {"inputs": recorder.draw(3, 40)}),
        ("mnist1d_gru", Mnist1dGRU(2), {"inputs": recorder.draw(3, 40)}),
        (
            "average",
            PooledCNN(functional.avg_pool2d, torch.tanh),
            {"inputs": recorder.draw(2, 1, 12, 14)},
        ),
        (
            "max",
            PooledCNN(functional.max_pool2d, torch.relu),
            {"inputs": recorder.draw(2, 1, 12, 14)},
        ),
        ("lstm", SequenceLSTM(), {"inputs": tokens, "lengths": lengths}),
        ("vit", VisionTransformer(), {"inputs": recorder.draw(2, 2, 4, 6)}),
        ("gpt", NanoGPT(), {"inputs": tokens}),
    ):
        recorder.randomize(module)
        recorder.record(case, {"outputs": module(*inputs.values())}, inputs, module)
    recorder.save(__file__)


if __name__ == "__main__":
    main()
