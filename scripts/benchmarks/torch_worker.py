"""The rows in eager PyTorch, run by pytorch.py in an interpreter that has torch (and no JAX).

Reads a JSON line {"row", "threads", "seconds"} from standard input, trains that row for so long,
and writes {"steps", "seconds"}; between two lines it waits and uses no processor.
Usage: torch_worker.py FOLDER, with FOLDER/<row>-data.npz holding inputs and targets.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
import torch_models as models
from common import peak_bytes
from torch import Tensor, nn

# Row -> model, batch size, whether batches are shuffled, the optimizer and its learning rate.
ROWS = {
    "mlp": (models.Mlp, 100, False, "adam", 1e-2),
    "cnn": (models.signal_cnn, 100, False, "adam", 1e-2),
    "gru": (models.Gru, 100, False, "adam", 1e-2),
    "gpt": (lambda: models.Gpt(128, 4, 4, 64, bias=False), 12, True, "adamw", 1e-3),
    "fashion": (models.image_cnn, 128, True, "adam", 1e-3),
    "resnet18": (models.resnet18, 32, True, "sgd", 0.1),
    "unet": (lambda: models.UNet().to(memory_format=torch.channels_last), 4, True, "sgd", 0.1),
    "vit_ti": (models.vit_ti, 32, True, "adamw", 1e-3),
    "gpt2": (lambda: models.Gpt(384, 6, 6, 256, bias=True), 4, True, "adamw", 1e-3),
    "lstm": (models.LstmClassifier, 32, True, "adam", 1e-3),
}
OF_TOKENS = ("gpt", "gpt2", "lstm")


def make_optimizer(name: str, weights: Iterator[nn.Parameter], rate: float) -> Any:
    """As the row's config has it."""
    if name == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=0.9)
    if name == "adam":
        return torch.optim.Adam(weights, lr=rate)
    return torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.99), weight_decay=0.1)


class Trainer:
    """A model in training; data in memory, nothing logged, no number read back."""

    def __init__(self, row: str, folder: Path) -> None:
        model, self.batch_size, self.shuffled, optimizer, rate = ROWS[row]
        torch.manual_seed(0)
        self.model = model()
        arrays = np.load(folder / f"{row}-data.npz")
        inputs, tokens = arrays["inputs"], row in OF_TOKENS
        self.inputs = torch.from_numpy(inputs.astype(np.int64 if tokens else np.float32))
        if inputs.ndim == 4:  # already channels last in memory
            self.inputs = self.inputs.permute(0, 3, 1, 2)
        elif not tokens:
            self.inputs = self.inputs.reshape(-1, 40)
        self.targets = torch.from_numpy(arrays["targets"].astype(np.int64))
        # Of logits with classes behind, as sequences have them, every token counts.
        self.flat = tokens
        self.optimizer = make_optimizer(optimizer, self.model.parameters(), rate)
        self.parameters = sum(weight.numel() for weight in self.model.parameters())
        self.batches = self._batches()
        for _ in range(3):
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
        if self.flat:
            logits, targets = logits.flatten(0, -2), targets.flatten()
        loss = F.cross_entropy(logits, targets)
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
        return {
            "steps": steps,
            "seconds": passed,
            "parameters": self.parameters,
            "peak_bytes": peak_bytes(),
        }


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
