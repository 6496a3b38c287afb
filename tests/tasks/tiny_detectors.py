"""A trunk that compiles in a second, and pictures of squares and bars with boxes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from aimodels.modules import ConvNormActivation

SIZE = 64


class TinyTrunk(nn.Module):
    """Maps of stride 4 to 32."""

    dtype: Any = jnp.float32
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs, *, train=False):
        """[B, H, W, 3] -> the maps by name."""
        hidden, maps = inputs, {}
        for level, features in enumerate((8, 16, 24, 32, 32), start=1):
            conv = ConvNormActivation(features, 3, strides=2, name=f"conv_{level}")
            hidden = maps[f"c{level}"] = conv(hidden, train=train)
        return maps


class TinyYOLOv1(nn.Module):
    """What YOLOv1's task needs of a model: cells of 16 pixels."""

    num_classes: int = 2
    boxes_per_cell: int = 2

    @nn.compact
    def __call__(self, inputs, *, train=False):
        """[B, 16 S, 16 S, 3] -> [B, S, S, A · 5 + V]."""
        hidden = TinyTrunk()(inputs, train=train)["c4"]
        return nn.Conv(self.boxes_per_cell * 5 + self.num_classes, (3, 3))(hidden)


def pictures(count=6, most=4):
    """Batches of detection: each picture has two objects at random, but for the last, with none."""
    rng = np.random.default_rng(0)
    inputs = rng.integers(60, 100, (count, SIZE, SIZE, 3)).astype(np.uint8)
    boxes, labels = np.zeros((count, most, 4), np.float32), np.full((count, most), -1, np.int32)
    for image in range(count - 1):
        for place in range(2):  # one on the left, one on the right
            label = int(rng.integers(2))
            width, height = (18, 18) if label == 0 else (12, 26)
            left = int(rng.integers(32 - width)) + 32 * place
            top = int(rng.integers(SIZE - height))
            colour = (220, 30, 30) if label == 0 else (30, 220, 220)
            inputs[image, top : top + height, left : left + width] = colour
            boxes[image, place] = (left, top, left + width, top + height)
            labels[image, place] = label
    return {"inputs": inputs, "boxes": boxes, "labels": labels}


def unit(batch, key, *, train):
    """A transform: pixels to [-1, 1]."""
    return batch | {"inputs": jnp.asarray(batch["inputs"], jnp.float32) / 127.5 - 1}


class Compiled:
    """A task whose functions are compiled once for all tests of a file."""

    def __init__(self, task):
        self.task = task
        self.init, self.train_step = jax.jit(task.init), jax.jit(task.train_step)
        self.found = jax.jit(self._found)

    def _found(self, state, batch):
        """Detections and metrics together: one compilation of the model."""
        seen = self.task.transforms(batch, None, train=False)
        outputs = self.task.model.apply(state.variables, seen["inputs"])
        return self.task.detections(outputs, (SIZE, SIZE)), self.task.metrics(outputs, seen)

    def trained(self, batch, steps):
        """The state and the losses after so many steps on one batch."""
        state, losses = self.init(jax.random.key(0), batch), []
        for number in range(steps):
            state, metrics = self.train_step(state, batch, jax.random.key(number))
            losses.append({k: float(v) for k, v in metrics.items() if k.endswith("loss")})
        return state, losses
