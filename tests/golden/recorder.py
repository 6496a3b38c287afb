"""Records what PyTorch computes on seeded weights, for the make_*.py beside this file."""

from pathlib import Path

import numpy as np
import torch
from torch import nn


class Recorder:
    """Collects cases as `case/what` and writes them to one .npz.

    Weights and inputs come from a seeded NumPy generator, rounded to float32 so that both sides
    start from the same numbers; PyTorch then computes in float64.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.arrays: dict[str, np.ndarray] = {}

    def draw(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        """N(0, scale²) as a float64 leaf whose gradient is wanted."""
        values = (scale * self.rng.standard_normal(shape)).astype(np.float32)
        return torch.tensor(values, dtype=torch.float64, requires_grad=True)

    def randomize(self, module: nn.Module, scale: float = 0.3) -> nn.Module:
        """The module in float64, each parameter (biases too) drawn from N(0, scale²)."""
        module = module.double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(self.draw(*parameter.shape, scale=scale))
        return module

    def store(self, case: str, **arrays: torch.Tensor) -> None:
        """Store arrays; floating ones as float32."""
        for name, array in arrays.items():
            values = array.detach().numpy()
            is_float = values.dtype == np.float64
            self.arrays[f"{case}/{name}"] = values.astype(np.float32) if is_float else values

    def record(
        self,
        case: str,
        outputs: dict[str, torch.Tensor],
        leaves: dict[str, torch.Tensor],
        module: nn.Module | None = None,
    ) -> None:
        """Store leaves, parameters and outputs, and the gradients of Σ outputs · cotangents."""
        cotangents = {name: self.draw(*value.shape).detach() for name, value in outputs.items()}
        total = sum((outputs[name] * cotangents[name]).sum() for name in outputs)
        leaves = dict(leaves)
        if module is not None:
            leaves |= {f"parameters.{name}": leaf for name, leaf in module.named_parameters()}
        total.backward()
        self.store(case, **leaves, **outputs)
        self.store(case, **{f"cotangent.{name}": value for name, value in cotangents.items()})
        gradients = {name: leaf.grad for name, leaf in leaves.items() if leaf.requires_grad}
        self.store(case, **{f"gradient.{name}": value for name, value in gradients.items()})

    def save(self, script: str) -> None:
        """Write make_<name>.py's cases to <name>.npz."""
        path = Path(script)
        np.savez_compressed(path.with_name(f"{path.stem.removeprefix('make_')}.npz"), **self.arrays)
