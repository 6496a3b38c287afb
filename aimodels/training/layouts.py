"""Which axes of an array are divided over which axes of the mesh: ready-made lists, and one's own.

"tensor" divides layers over the axis `model`, as Megatron-LM does (Shoeybi et al. 2019, section 3):
of two layers that follow each other, the first by its outputs and the second by its inputs, so that
only the second's outputs are summed over devices; attention by heads, the embedding by vocabulary.

"fsdp" divides each large array over the axis `data`, along its largest axis that is divisible:
weights, and with them their gradients, moments and moving averages, are kept once, not on every
device (ZeRO stage 3, Rajbhandari et al. 2020; FSDP, Zhao et al. 2023). "fsdp_tensor" does both.

Arrays, or axes, that such a list can't divide evenly stay whole.
"""

import math
import re
from collections.abc import Mapping
from typing import Literal

from aimodels.errors import UserError

Axes = tuple[str | None, ...]
Rules = tuple[tuple[str, Axes], ...]
ReadyMade = Literal["fsdp", "tensor", "fsdp_tensor"]

# Under "fsdp", arrays of fewer numbers stay whole: they weigh little, and a message costs its
# latency however short it is.
SMALL = 2**12

_COLUMN, _ROW = (None, "model"), ("model", None)

TENSOR: Rules = (
    # Transformer blocks: by heads, then back; by hidden units, then back.
    ("(memory_)?attention/(query|key|value)/kernel", _COLUMN),
    ("(memory_)?attention/(query|key|value)/bias", ("model",)),
    ("(memory_)?attention/out/kernel", _ROW),
    ("mlp/(hidden|gate)/kernel", _COLUMN),
    ("mlp/(hidden|gate)/bias", ("model",)),
    ("mlp/out/kernel", _ROW),
    # The table [V, D] of tokens, by vocabulary; the logits of tied weights are then divided too.
    ("embedding/embedding", _ROW),
    # Stacks of Dense layers and of convolutions [*window, C, F]: even ones by their outputs.
    (r"dense_\d*[02468]/kernel", _COLUMN),
    (r"dense_\d*[02468]/bias", ("model",)),
    (r"dense_\d*[13579]/kernel", _ROW),
    *((r"conv_\d*[02468]/kernel", (*(None,) * axes, *_COLUMN)) for axes in (1, 2, 3)),
    (r"conv_\d*[02468]/bias", ("model",)),
    *((r"conv_\d*[13579]/kernel", (*(None,) * axes, *_ROW)) for axes in (1, 2, 3)),
)


def axes_of(
    rules: Rules | ReadyMade, path: str, shape: tuple[int, ...], mesh: Mapping[str, int]
) -> Axes:
    """The axis of the mesh over which each axis of an array is divided, None where it is whole.

    Args:
      rules: the name of a ready-made list, or (pattern, axes) pairs, of which the first counts
        whose pattern matches the end of the path and that has as many axes as the array.
      path: of the array, e.g. `params/dense_0/kernel`.
      shape: of the array.
      mesh: devices along each axis of the mesh.

    Raises:
      UserError: a rule of the user's own names an unknown axis, or divides unevenly.
    """
    whole = (None,) * len(shape)
    if not isinstance(rules, str):
        pattern, axes = _first_match(rules, path, shape) or ("", whole)
        _check(pattern, axes, path, shape, mesh)
        return axes
    axes = whole
    if "tensor" in rules:
        _, axes = _first_match(TENSOR, path, shape) or ("", whole)
        axes = tuple(
            axis if axis is not None and size % mesh[axis] == 0 else None
            for size, axis in zip(shape, axes, strict=True)
        )
    return _with_data(axes, shape, mesh["data"]) if "fsdp" in rules else axes


def _first_match(rules: Rules, path: str, shape: tuple[int, ...]) -> tuple[str, Axes] | None:
    for pattern, axes in rules:
        if len(axes) == len(shape) and re.search(f"(^|/)(?:{pattern})$", path):
            return pattern, axes
    return None


def _with_data(axes: Axes, shape: tuple[int, ...], devices: int) -> Axes:
    """The axes, with `data` on the largest one that is still whole and divisible."""
    free = [i for i, axis in enumerate(axes) if axis is None and shape[i] % devices == 0]
    if math.prod(shape) < SMALL or not free:
        return axes
    largest = max(free, key=lambda i: shape[i])
    return (*axes[:largest], "data", *axes[largest + 1 :])


def _check(
    pattern: str, axes: Axes, path: str, shape: tuple[int, ...], mesh: Mapping[str, int]
) -> None:
    for size, axis in zip(shape, axes, strict=True):
        if axis is None:
            continue
        if axis not in mesh:
            raise UserError(
                f"config.parallel.rules: {pattern!r} divides {path} over {axis!r}; the mesh has "
                f"the axes {', '.join(map(repr, mesh))}, and None leaves an axis whole"
            )
        if size % mesh[axis]:
            raise UserError(
                f"config.parallel.rules: {pattern!r} divides {path} {shape} over "
                f"{axis!r}, but {size} is not divisible by {mesh[axis]} "
                "devices; put a rule for it before this one, e.g. "
                f"({path.split('/', 1)[-1]!r}, {(None,) * len(axes)})"
            )
