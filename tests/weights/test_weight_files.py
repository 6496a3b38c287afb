"""Files of weights: those of PyTorch and of safetensors, and those that are no such files."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from aimodels.errors import UserError
from aimodels.weights import read_weights, write_safetensors
from aimodels.weights.pytorch_files import LEGACY_MAGIC

GOLDEN = Path(__file__).parents[1] / "golden/weights"
NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)
WHOLE = np.arange(-3, 3)
EXPECTED = {
    "numbers": NUMBERS,
    "turned": NUMBERS.T,
    "cut": NUMBERS[1:3, 2:5],
    "channels_last": np.arange(48, dtype=np.float32).reshape(2, 3, 4, 2),
    "parameter": np.array([0.5, -1.5], np.float32),
    "half": np.array([1.5, 65504], np.float16),
    "bfloat16": np.array([1, -3.140625, 2.0**100], ml_dtypes.bfloat16),
    "double": np.array([0.1]),
    "whole": WHOLE,
    "small": WHOLE.astype(np.int8),
    "flags": np.array([True, False, True]),
    "count.num_batches_tracked": np.array(7),
    "empty": np.zeros((0, 5), np.float32),
}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("file", ["archive.pth", "legacy.pth", "library.safetensors"])
def test_files_of_pytorch_and_of_the_library_are_read(file):
    """Strides, offsets and shared storages are honoured; every type comes as it is."""
    assert_equal(read_weights(GOLDEN / file), EXPECTED)


@pytest.mark.parametrize("file", ["training.pth", "training_legacy.pth"])
def test_weights_are_found_in_a_training_state_of_data_parallel(file):
    assert_equal(read_weights(GOLDEN / file), {"half": EXPECTED["half"]})


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "ours.safetensors"
    write_safetensors(path, EXPECTED)
    assert_equal(read_weights(path), EXPECTED)
    # As the library: the header ends at a multiple of 8, larger types first.
    content, library = path.read_bytes(), (GOLDEN / "library.safetensors").read_bytes()
    (length,), (its,) = (struct.unpack("<Q", text[:8]) for text in (content, library))
    assert length % 8 == 0
    assert len(content) - length == len(library) - its
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}
    for about in header.values():
        size = {"F64": 8, "F32": 4, "I64": 8, "F16": 2, "BF16": 2}.get(about["dtype"], 1)
        assert about["data_offsets"][0] % size == 0
    with pytest.raises(UserError, match="'complex' is complex64, which safetensors lacks"):
        write_safetensors(path, {"complex": np.zeros(2, np.complex64)})


def test_a_header_whose_length_begins_as_a_pickle_does(tmp_path):
    path = tmp_path / "ours.safetensors"
    for length in range(1, 300):
        write_safetensors(path, {"n" * length: EXPECTED["half"]})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert_equal(read_weights(path), {"n" * length: EXPECTED["half"]})


def test_the_library_reads_what_is_written(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    numbers = {n: a for n, a in EXPECTED.items() if n != "bfloat16"}
    write_safetensors(tmp_path / "ours.safetensors", numbers)
    assert_equal(library.load_file(tmp_path / "ours.safetensors"), numbers)


# --- what is refused ------------------------------------------------------------------------------


def refused(path, says):
    with pytest.raises(UserError) as error:
        read_weights(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


class Calls:
    """Pickles to a call of `os.mkdir`."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def archive(path, content, **others):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)
        for name, data in others.items():
            file.writestr(f"archive/{name}", data)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_nothing_that_a_file_says_is_run(tmp_path, protocol):
    folder = tmp_path / "made"
    content = pickle.dumps({"weight": Calls(folder)}, protocol)
    path = archive(tmp_path / "call.pth", content)
    refused(path, "mkdir, and a state dict holds arrays alone" if protocol > 1 else "refused")
    legacy = b"".join(pickle.dumps(part, 2) for part in (LEGACY_MAGIC, 1001, {}))
    (tmp_path / "legacy.pth").write_bytes(legacy + content)
    refused(tmp_path / "legacy.pth", "refused")
    assert not folder.exists()


def test_a_module_is_refused_with_what_to_do():
    refused(GOLDEN / "module.pth", "save model.state_dict()")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # Names that hide behind an allowed one.
        (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93.", "OrderedDict.fromkeys"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        # Operations that make objects, or look names up by numbers.
        (b"\x80\x02(cos\nsystem\no.", "operation OBJ"),
        (b"(S'x'\nios\nsystem\n.", "operation"),
        (b"\x80\x02\x82\x01.", "operation EXT1"),
        # A place in the memo that would take 32 GB.
        (b"\x80\x02}r\xff\xff\xff\xff.", "writes to place 4294967295"),
        (b"\x80\x02]q\x00.", "list in place of names and arrays"),
        (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "no arrays: a"),
        (b"\x80\x02}", "damaged, or no state dict"),
    ],
)
def test_pickles_of_other_things_are_refused(tmp_path, content, says):
    refused(archive(tmp_path / "other.pth", content), says)


@pytest.mark.parametrize(
    ("size", "shape", "strides", "offset", "says"),
    [
        (6, (2, 3), (3, 1), 0, None),
        (6, (2, 3), (3, 1), 1, "reaches out of its storage"),
        (6, (3, 3), (1, 1), 0, "reaches out of its storage"),  # 9 numbers of 6
        (6, (10**9,), (0,), 0, "reaches out of its storage"),
        (6, (2, 3), (-3, 1), 3, "strides (-3, 1)"),
        (99, (2, 3), (30, 1), 0, "reaches out of its storage"),  # claims more than there is
    ],
)
def test_a_tensor_stays_within_its_storage(tmp_path, size, shape, strides, offset, says):
    path = archive(
        tmp_path / "view.pth",
        state_dict_pickle(size, shape, strides, offset),
        **{"data/0": np.arange(6, dtype="<f4").tobytes()},
    )
    if says is None:
        np.testing.assert_array_equal(read_weights(path)["w"], [[0, 1, 2], [3, 4, 5]])
    else:
        refused(path, says)


def test_what_was_checked_is_not_changed_afterwards(tmp_path):
    made = state_dict_pickle(6, (2, 3), (3, 1), 0)
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += number(6) + b"tQ"
    new = b"}" + text("strides") + numbers((-(10**8), 1)) + b"sb"
    begun = b"\x80\x02}" + text("w")
    for changed in (
        made.removesuffix(b"s.") + new,
        begun + storage + new,
        begun + b"ctorch._utils\n_rebuild_tensor_v2\n" + new,
        begun + b"ctorch\nFloatStorage\n" + new,
    ):
        numbers_of = {"data/0": np.arange(6, dtype="<f4").tobytes()}
        path = archive(tmp_path / "changed.pth", changed + b"s.", **numbers_of)
        refused(path, "changes what it has made")


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def state_dict_pickle(size, shape, strides, offset):
    """The pickle of {"w": a tensor of float32} with these numbers, by hand."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += number(size) + b"tQ"
    arguments = storage + number(offset) + numbers(shape) + numbers(strides) + b"\x89}"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
    return b"\x80\x02}" + text("w") + call + b"s."


def test_archives_that_pytorch_does_not_write_are_refused(tmp_path):
    good = state_dict_pickle(6, (6,), (1,), 0)
    refused(archive(tmp_path / "missing.pth", good), "archive/data/0 is missing")
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", good)
    refused(tmp_path / "bomb.pth", "is compressed")
    data = {"data/0": np.zeros(6, "<f4").tobytes()}
    refused(archive(tmp_path / "big.pth", good, byteorder=b"big", **data), "big-endian")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as file:
        file.writestr("readme.txt", "hello")
    refused(tmp_path / "other.pth", "torch.save did not write")


@pytest.mark.parametrize("file", ["archive.pth", "legacy.pth", "library.safetensors"])
def test_files_that_are_cut_off_are_refused(tmp_path, file):
    content = (GOLDEN / file).read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999):
        path = tmp_path / f"{share}-{file}"
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match=r"damaged|refused"):
            read_weights(path)


def test_other_files_are_told_what_is_taken(tmp_path):
    refused(tmp_path / "missing.pth", "can't be read: No such file")
    refused(tmp_path, "can't be read")
    (tmp_path / "text").write_text("hello, world")
    refused(tmp_path / "text", "takes a .safetensors file, or a state dict")
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "a file of another kind")


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"a": FLOATS | {"dtype": "F31"}}, "unknown type 'F31'"),
        ({"a": FLOATS | {"shape": [3]}}, "has 8 bytes"),
        ({"a": FLOATS | {"shape": [-1, -2]}}, "is at 0 to 8"),
        ({"a": FLOATS | {"data_offsets": [0, 80]}}, "is at 0 to 80"),
        ({"a": FLOATS, "b": FLOATS}, "is at 0 to 8"),
        ({}, "8 bytes belong to no array"),
        ({"a": {"dtype": "F32"}}, "not one of safetensors"),
        ({"a": 3}, "not one of safetensors"),
        ('{"a": 1, "a": 2}', "a name comes twice"),
        ("{" * 50, "no JSON"),
    ],
)
def test_damaged_headers_are_refused(tmp_path, header, says):
    told = header if isinstance(header, str) else json.dumps(header)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(struct.pack("<Q", len(told)) + told.encode() + b"\0" * 8)
    refused(path, says)


def test_reading_needs_no_jax():
    code = "import sys, aimodels.weights; assert not {'jax', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
