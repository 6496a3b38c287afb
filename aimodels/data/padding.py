"""Batches for evaluation: every example exactly once, the last batch padded."""

import numpy as np


def evaluation_batches(
    length: int, batch_size: int, multiple_of: int = 1
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of one shape that hold each example exactly once, in order.

    The last batch is filled up by repeating the last example, with `mask` False there, so that one
    compiled program serves all batches and metrics count each example once.

    Args:
      length: number of examples; 0 gives no batches.
      batch_size: examples a batch.
      multiple_of: number of devices that share a batch; the batch size is rounded up to a multiple.

    Returns:
      (indices [B] int64, mask [B] bool) for each batch.
    """
    if length < 0 or batch_size < 1 or multiple_of < 1:
        raise ValueError(
            f"evaluation_batches takes length >= 0, batch_size >= 1 and multiple_of >= 1, got "
            f"{length}, {batch_size}, {multiple_of}"
        )
    size = -(-batch_size // multiple_of) * multiple_of
    batches = []
    for start in range(0, length, size):
        indices = np.arange(start, start + size, dtype=np.int64)
        batches.append((np.minimum(indices, length - 1), indices < length))
    return batches
