"""Any file of weights; which kind it is, its first bytes say."""

import os
from pathlib import Path

import numpy as np

from aimodels.errors import UserError
from aimodels.weights.pytorch_files import read_legacy_pytorch, read_pytorch_archive
from aimodels.weights.safetensors_files import read_safetensors

TAKES = "takes a .safetensors file, or a state dict that torch.save wrote (.pth, .pt, .bin)"


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file or of PyTorch's state dict, by the names they have there.

    Raises:
      UserError: the file is not there, of another kind, damaged, or holds more than arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise UserError(f"weights {path} can't be read: {error.strerror}; {TAKES}") from error
    if start[8:] == b"{":  # asked first: the length before it may begin as a pickle does
        return read_safetensors(path)
    if start.startswith(b"PK\x03\x04"):
        return read_pytorch_archive(path)
    if start.startswith(b"\x80"):
        return read_legacy_pytorch(path)
    raise UserError(f"weights {path}: a file of another kind; {TAKES}")
