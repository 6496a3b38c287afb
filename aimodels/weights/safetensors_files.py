"""The safetensors format: eight bytes of a header's length, the header in JSON, the arrays' bytes.

Read and written by hand, as huggingface.co/docs/safetensors describes the format: that is shorter
than what NumPy's types need around the library, which has no bfloat16 for NumPy, and a dependency
less. The tests compare with files of the library.
"""

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from aimodels.errors import UserError
from aimodels.files import write_atomically

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LARGEST_HEADER = 100_000_000  # the format's own limit


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file, in the order of their bytes.

    Raises:
      UserError: the file is damaged.
    """

    def damaged(reason: str) -> UserError:
        return UserError(f"weights {path} are damaged: {reason}")

    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if length > min(size - 8, LARGEST_HEADER):
            raise damaged(f"a header of {length:,} bytes in a file of {size:,}")
        try:
            header = json.loads(file.read(length), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise damaged(f"its header is no JSON: {error}") from error
    # Mapped, not read: what becomes a parameter is copied once, when it is turned.
    content = np.memmap(path, np.uint8, "r", 8 + length) if size > 8 + length else np.empty(0, "u1")
    arrays, end = {}, 0
    header.pop("__metadata__", None)
    try:
        entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        for name, about in entries:
            dtype, shape = DTYPES.get(about["dtype"]), tuple(about["shape"])
            start, stop = about["data_offsets"]
            if dtype is None:
                raise damaged(f"{name!r} has the unknown type {about['dtype']!r}")
            if min(shape, default=0) < 0 or start != end or stop > len(content):
                raise damaged(f"{name!r}, {shape}, is at {start:,} to {stop:,}")
            if stop - start != math.prod(shape) * dtype.itemsize:
                raise damaged(f"{name!r}, {about['dtype']} {shape}, has {stop - start:,} bytes")
            arrays[name] = content[start:stop].view(dtype).reshape(shape)
            end = stop
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise damaged(f"its header is not one of safetensors ({error!r})") from error
    if end != len(content):
        raise damaged(f"{len(content) - end:,} bytes belong to no array")
    return arrays


def write_safetensors(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by their names, whole or not at all.

    Raises:
      UserError: an array has a type that the format lacks.
    """
    # Larger types first, so that each array starts at a multiple of its type's size.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    # What transformers asks of a file before it reads it: who laid the arrays out.
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    parts, end = [], 0
    for name in order:
        array = np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape)
        dtype = array.dtype.newbyteorder("<")
        if dtype not in NAMES:
            raise UserError(f"{path}: {name!r} is {array.dtype}, which safetensors lacks")
        parts.append(array.astype(dtype, copy=False).tobytes())
        start, end = end, end + len(parts[-1])
        shape = list(array.shape)
        header[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(Path(path), b"".join([struct.pack("<Q", len(text)), text, *parts]))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that comes twice would hide the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found
