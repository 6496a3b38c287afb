"""The rows in eager PyTorch, run by pytorch.py in an interpreter that has torch (and no JAX).

Reads a JSON line {"row", "threads", "seconds"} from standard input, trains that row for so long,
and writes {"steps", "seconds"}; between two lines it waits and uses no processor.
Usage: torch_worker.py FOLDER, with FOLDER/<row>-data.npz holding inputs and targets.
"""

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Mlp(nn.Module):
    """MNIST-1D's: 40-100-100-10, the second layer residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(40, 100), nn.Linear(100, 100)
        self.head = nn.Linear(100, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Signals [B, 40] -> [B, 10]."""
        hidden = F.relu(self.first(inputs))
        return self.head(hidden + F.relu(self.second(hidden)))


def signal_cnn() -> nn.Module:
    """MNIST-1D's: three strided convolutions of 25 channels."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 40)),
        *(nn.Conv1d(1, 25, 5, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(125, 10)),
    )


class Gru(nn.Module):
    """MNIST-1D's: bidirectional, 6 wide, all outputs side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(1, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40 * 12, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Signals [B, 40] -> [B, 10]."""
        return self.head(self.recurrent(inputs.unsqueeze(-1))[0].flatten(1))


def image_cnn() -> nn.Module:
    """Fashion-MNIST's: two convolutions 5x5 with pooling, a Dense layer of 1024."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 49, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    )


class Block(nn.Module):
    """nanoGPT's block without biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        batch, time_, width = x.shape
        qkv = self.qkv(self.norm_1(x)).split(width, dim=2)
        q, k, v = (part.view(batch, time_, self.heads, -1).transpose(1, 2) for part in qkv)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time_, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Gpt(nn.Module):
    """nanoGPT on a CPU: 4 layers, 4 heads, 128 wide, block 64, 65 characters, tied logits."""

    def __init__(self, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(65, width), nn.Embedding(64, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02 / (1 if len(weight) == 65 else math.sqrt(layers)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Ids [B, T] -> [B, T, V]."""
        x = self.tokens(inputs) + self.places(torch.arange(inputs.shape[1]))
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


# Row -> model, batch size, whether batches are shuffled.
ROWS = {
    "mlp": (Mlp, 100, False),
    "cnn": (signal_cnn, 100, False),
    "gru": (Gru, 100, False),
    "gpt": (Gpt, 12, True),
    "fashion": (image_cnn, 128, True),
}


class Trainer:
    """A model in training; data in memory, nothing logged, no number read back."""

    def __init__(self, row: str, folder: Path) -> None:
        model, self.batch_size, self.shuffled = ROWS[row]
        torch.manual_seed(0)
        self.model = model()
        arrays = np.load(folder / f"{row}-data.npz")
        inputs = arrays["inputs"]
        if row == "fashion":
            inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
        elif row != "gpt":
            inputs = inputs.reshape(-1, 40)
        tokens = row == "gpt"
        self.inputs = torch.from_numpy(inputs.astype(np.int64 if tokens else np.float32))
        self.targets = torch.from_numpy(arrays["targets"].astype(np.int64))
        if tokens:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1
            )
        else:
            rate = 1e-3 if row == "fashion" else 1e-2
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.batches = self._batches()
        for _ in range(20):
            self.step()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        size, last = self.batch_size, len(self.inputs) - self.batch_size
        while True:
            order = torch.randperm(len(self.inputs)) if self.shuffled else None
            for at in range(0, last + 1, size):
                rows = slice(at, at + size) if order is None else order[at : at + size]
                yield self.inputs[rows], self.targets[rows]

    def step(self) -> None:
        """One update."""
        inputs, targets = next(self.batches)
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten())
        loss.backward()
        self.optimizer.step()

    def run(self, seconds: float) -> dict[str, float]:
        """Trains for so long."""
        for _ in range(3):
            self.step()
        begin, steps = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < seconds:
            self.step()
            steps += 1
        return {"steps": steps, "seconds": passed, "parameters": self.parameters}


def main() -> None:
    print(json.dumps({"torch": torch.__version__}), flush=True)
    folder, trainers = Path(sys.argv[1]), {}
    for line in sys.stdin:
        request = json.loads(line)
        torch.set_num_threads(request["threads"])
        row = request["row"]
        if row not in trainers:
            trainers[row] = Trainer(row, folder)
        print(json.dumps(trainers[row].run(request["seconds"])), flush=True)


if __name__ == "__main__":
    main()
