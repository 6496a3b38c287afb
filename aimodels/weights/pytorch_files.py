"""State dicts that PyTorch wrote, read without PyTorch, and without running what a file says.

`torch.save` writes a pickle, which is a program that may call anything. This reader lets through
only the operations and the few names that a state dict needs: dicts, lists, texts, numbers, and
"this part of that storage, in this shape and these strides". Anything else is named and refused.

Two formats: since PyTorch 1.6 a zip archive of data.pkl and one file a storage; before that pickles
and storages one behind the other ("legacy").
"""

import dataclasses
import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from aimodels.errors import UserError

# A class of storages in module `torch` -> the type of its numbers.
STORAGES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
ARRAYS_ALONE = "a state dict holds arrays alone; save model.state_dict() with torch.save"
# A training state may hold its weights under one of these.
INSIDE = ("state_dict", "model_state_dict", "model")
# What pickles of state dicts are made of, in any protocol. Left out are the operations that make
# objects of a class, or look names up by numbers.
# fmt: off
OPERATIONS = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING", "BINBYTES",
    "SHORT_BINBYTES", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2",
    "TUPLE3", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET",
    "LONG_BINGET", "MEMOIZE", "GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD",
})
# fmt: on


class _RefusedError(Exception):
    """The file holds something that no state dict needs, or is not what it says."""


class _Sealed:
    """What the operation BUILD, which sets an object's fields, does not change."""

    def __setstate__(self, state: Any) -> None:
        raise _RefusedError(f"it changes what it has made, and {ARRAYS_ALONE}")


@dataclasses.dataclass(frozen=True)
class _Storage(_Sealed):
    """`size` numbers of the storage `key`, from the number `start` on."""

    dtype: np.dtype
    key: str
    start: int
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor(_Sealed):
    """A view of a storage, whose bytes are not read yet; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, content: np.ndarray) -> np.ndarray:
        """The view as an array of its own, from all bytes of its storage."""
        storage = self.storage
        if len(content) % storage.dtype.itemsize:
            raise _RefusedError(f"storage {storage.key} has {len(content)} bytes")
        numbers = content.view(storage.dtype)[storage.start :][: storage.size]
        count = math.prod(self.shape)
        pairs = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in pairs)
        # As many numbers as there are, or a small file could ask for any amount of memory.
        if count and (last >= len(numbers) or count > len(numbers)):
            raise _RefusedError(f"a tensor {self.shape} reaches out of its storage {storage.key}")
        steps = [stride * storage.dtype.itemsize for stride in self.strides]
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :] if count else numbers[:0], self.shape, steps, writeable=False
        )
        return view.copy()


class _Dict(dict):
    """An OrderedDict of the file. What is said about it (versions of modules) is not kept."""

    def __setstate__(self, state: Any) -> None: ...


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *about_gradients: Any
) -> _Tensor:
    del about_gradients
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise _RefusedError("a tensor without a storage")
    if any(type(number) is not int or number < 0 for number in numbers):
        raise _RefusedError(f"a tensor of shape {shape}, strides {strides} at {offset}")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data: Any, *about_gradients: Any) -> Any:
    del about_gradients
    return data


@dataclasses.dataclass(frozen=True)
class _Function(_Sealed):
    """What a file can call."""

    function: Callable

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


@dataclasses.dataclass(frozen=True)
class _Type(_Sealed):
    """The type of a storage's numbers."""

    dtype: np.dtype


# The only names that a file can call.
CALLED: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): _Dict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Finds `CALLED` and the types of storages, nothing else; keeps what storages there are."""

    def __init__(self, file: BinaryIO, storages: dict[str, np.dtype]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in CALLED:
            return _Function(CALLED[module, name])
        if module == "torch" and name in STORAGES:
            return _Type(STORAGES[name])
        raise _RefusedError(f"it asks for {module}.{name}, and {ARRAYS_ALONE}")

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise _RefusedError("it refers to something other than a storage")
        _, kind, key, _, size, *view = pid
        start = 0
        if view and view[0] is not None:  # a part of a storage, in old legacy files
            _, start, size = view[0]
        numbers = isinstance(start, int) and isinstance(size, int) and min(start, size) >= 0
        if not isinstance(kind, _Type) or not numbers:
            raise _RefusedError(f"its storage {key} is of an unknown type or size")
        self._storages[str(key)] = kind.dtype
        return _Storage(kind.dtype, str(key), start, size)


def _unpickled(file: BinaryIO, storages: dict[str, np.dtype]) -> Any:
    """The next pickle of a file, once its operations are found to be among `OPERATIONS`.

    Args:
      file: at the pickle; at its end afterwards.
      storages: gets the storages that it refers to, and their types.
    """
    start = file.tell()
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if operation.name not in OPERATIONS:
            raise _RefusedError(
                f"its pickle has the operation {operation.name}, and {ARRAYS_ALONE}"
            )
        # The unpickler reserves as much memory as the highest place that is written to.
        if operation.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise _RefusedError(f"its pickle writes to place {argument} at operation {count}")
    file.seek(start)
    return _Unpickler(file, storages).load()


def read_pytorch_archive(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict in PyTorch's zip format.

    Raises:
      UserError: the file is damaged, or holds more than arrays.
    """

    def read() -> dict[str, np.ndarray]:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in sizes if name.count("/") == 1 and name.endswith("data.pkl")]
            if len(pickles) != 1:
                raise _RefusedError("a zip archive that torch.save did not write")
            folder = pickles[0].removesuffix("data.pkl")

            def content(name: str) -> bytes:
                # PyTorch doesn't compress: a file that unpacks to any size is not its own.
                if folder + name not in sizes:
                    raise _RefusedError(f"{folder + name} is missing in it")
                if sizes[folder + name].compress_type != zipfile.ZIP_STORED:
                    raise _RefusedError(f"{folder + name} is compressed in it")
                return archive.read(folder + name)

            if f"{folder}byteorder" in sizes and content("byteorder") != b"little":
                raise _RefusedError("its numbers are big-endian")
            found = _unpickled(io.BytesIO(content("data.pkl")), {})
            return _arrays(found, lambda key: np.frombuffer(content(f"data/{key}"), np.uint8))

    return _said_of(path, read)


def read_legacy_pytorch(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a state dict in PyTorch's format before 1.6.

    Raises:
      UserError: the file is damaged, or holds more than arrays.
    """

    def read() -> dict[str, np.ndarray]:
        dtypes: dict[str, np.dtype] = {}
        with path.open("rb") as file:
            if _unpickled(file, dtypes) != LEGACY_MAGIC:
                raise _RefusedError("a pickle that torch.save did not write")
            _unpickled(file, dtypes)  # the version of the format, of which there was one
            if not _unpickled(file, dtypes).get("little_endian", True):
                raise _RefusedError("its numbers are big-endian")
            found = _unpickled(file, dtypes)
            keys = _unpickled(file, dtypes)
            # Each storage in turn: how many numbers, and they.
            starts: dict[str, tuple[int, int]] = {}
            for key in keys:
                (size,) = struct.unpack("<q", file.read(8))
                if key not in dtypes:
                    raise _RefusedError(f"nothing refers to its storage {key}")
                starts[key] = file.tell(), size * dtypes[key].itemsize
                file.seek(starts[key][1], io.SEEK_CUR)
            end = path.stat().st_size

            def content(key: str) -> np.ndarray:
                start, size = starts[key]
                if size < 0 or start + size > end:
                    raise _RefusedError(f"storage {key} is not whole")
                return np.memmap(path, np.uint8, "r", start, (size,)) if size else np.empty(0, "u1")

            return _arrays(found, content)

    return _said_of(path, read)


def _said_of(path: Path, read: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `read` returns; whatever it raises becomes one message."""
    try:
        return read()
    except _RefusedError as error:
        raise UserError(f"weights {path} are refused: {error}") from error
    except Exception as error:  # a damaged pickle or archive can fail in any way
        raise UserError(
            f"weights {path} are damaged, or no state dict: {type(error).__name__}: {error}"
        ) from error


def _arrays(found: Any, content: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of an unpickled state dict; `content` gives the bytes of a storage."""
    return {
        name: tensor.array(content(tensor.storage.key))
        for name, tensor in _state_dict(found).items()
    }


def _state_dict(found: Any) -> Mapping[str, _Tensor]:
    """The state dict itself, without what was wrapped around it or before all of its names."""
    for name in INSIDE:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    if not isinstance(found, dict) or not found:
        raise _RefusedError(f"a {type(found).__name__} in place of names and arrays")
    others = [str(name) for name, value in found.items() if not isinstance(value, _Tensor)]
    if others:
        raise _RefusedError(f"these entries are no arrays: {', '.join(others[:8])}")
    parallel = "module."  # of DataParallel
    if all(str(name).startswith(parallel) for name in found):
        return {str(name).removeprefix(parallel): tensor for name, tensor in found.items()}
    return {str(name): tensor for name, tensor in found.items()}
