"""Weights that a name and a shape decide, so that goldens need not hold them; NumPy only."""

import zlib

import numpy as np


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array called `name` in a state dict of PyTorch's, in float32.

    Kernels and matrices are He normal by their inputs, so that what flows through a network of
    ReLUs neither dies nor explodes; running variances and scales are around 1, all else around 0.
    """
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal
    values = draw(shape, dtype=np.float32)
    if len(shape) > 1 and shape[0] > 1:
        return values * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    if name.endswith("running_var"):
        return np.exp(np.float32(0.3) * values)
    is_scale = name.endswith("weight")
    return np.float32(1.0 if is_scale else 0.0) + np.float32(0.3) * values


def images(*shape: int) -> np.ndarray:
    """Pictures [B, H, W, C] of noise."""
    return seeded("images", (1, *shape))[0] / np.float32(0.3)
