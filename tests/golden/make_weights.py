"""Makes weights/: small files of weights as PyTorch and the library safetensors write them.

python tests/golden/make_weights.py     # needs safetensors (pip install 'aimodels[goldens]')

The arrays are told by hand in tests/weights/test_files.py.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).with_name("weights")


def tensors() -> OrderedDict[str, torch.Tensor]:
    """Contiguous, turned, cut out, shared, empty and single ones, of several types."""
    numbers = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    images = torch.arange(48, dtype=torch.float32).reshape(2, 3, 4, 2)
    whole = torch.arange(-3, 3)
    return OrderedDict(
        {
            "numbers": numbers,
            "turned": numbers.t(),
            "cut": numbers[1:3, 2:5],
            "channels_last": images.contiguous(memory_format=torch.channels_last),
            "parameter": torch.nn.Parameter(torch.tensor([0.5, -1.5])),
            "half": torch.tensor([1.5, 65504.0], dtype=torch.float16),
            "bfloat16": torch.tensor([1.0, -3.140625, 2.0**100], dtype=torch.bfloat16),
            "double": torch.tensor([0.1], dtype=torch.float64),
            "whole": whole,
            "small": whole.to(torch.int8),
            "flags": torch.tensor([True, False, True]),
            "count.num_batches_tracked": torch.tensor(7),
            "empty": torch.zeros(0, 5),
        }
    )


def main() -> None:
    """Writes the files beside this one."""
    FOLDER.mkdir(exist_ok=True)
    found = tensors()
    torch.save(found, FOLDER / "archive.pth")
    torch.save(found, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    parallel = {"epoch": 3, "state_dict": {f"module.{name}": found[name] for name in ("half",)}}
    parallel["optimizer"] = {"state": {0: {"step": torch.tensor(1.0), "lr": 0.1}}}
    torch.save(parallel, FOLDER / "training.pth")
    torch.save(parallel, FOLDER / "training_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.nn.Linear(2, 1), FOLDER / "module.pth")
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}
    save_file(plain, FOLDER / "library.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
