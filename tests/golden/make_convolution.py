"""Makes convolution.npz: PyTorch's convolutions and pooling.

python tests/golden/make_convolution.py        # needs torch (pip install 'aimodels[goldens]')

Inputs and outputs are channels-first here, as PyTorch has them.
"""

import numpy as np
import torch
from recorder import Recorder
from torch import nn
from torch.nn import functional

# case -> (C, F, spatial, PyTorch's arguments)
CASES = {
    "mnist1d": (1, 5, (40,), {"kernel_size": 5, "stride": 2, "padding": 1}),
    "dilated": (3, 4, (11,), {"kernel_size": 3, "padding": 2, "dilation": 2}),
    "image": (3, 4, (7, 6), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    "same": (2, 3, (6, 5), {"kernel_size": 3, "padding": "same", "dilation": (1, 2)}),
    "grouped": (4, 6, (5, 6), {"kernel_size": 3, "padding": 1, "groups": 2}),
    "depthwise": (3, 6, (5, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 3}),
    "circular": (2, 3, (6, 5), {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}),
    "reflect": (2, 3, (6, 5), {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}),
    "pointwise": (3, 4, (4, 5), {"kernel_size": 1, "bias": False}),
    "volume": (2, 3, (4, 5, 3), {"kernel_size": (2, 3, 1), "padding": (0, 1, 0)}),
}


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    for case, (channels, features, spatial, arguments) in CASES.items():
        kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(spatial) - 1]
        module = recorder.randomize(kind(channels, features, **arguments))
        inputs = recorder.draw(2, channels, *spatial)
        recorder.record(case, {"outputs": module(inputs)}, {"inputs": inputs}, module)

    # Whole numbers from a few values: most windows have ties.
    ties = torch.tensor(recorder.rng.integers(0, 3, (2, 3, 6, 6)).astype(np.float64))
    for case, options in {
        "max_pool": {"kernel_size": 2},
        "max_pool_overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    }.items():
        inputs = ties.clone().requires_grad_()
        recorder.record(
            case, {"outputs": functional.max_pool2d(inputs, **options)}, {"inputs": inputs}
        )
    for case, options in {
        "avg_pool": {"kernel_size": 2},
        "avg_pool_padded": {"kernel_size": 3, "stride": 2, "padding": 1},
        "avg_pool_valid_only": {
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "count_include_pad": False,
        },
    }.items():
        inputs = recorder.draw(2, 3, 6, 6)
        recorder.record(
            case, {"outputs": functional.avg_pool2d(inputs, **options)}, {"inputs": inputs}
        )
    recorder.save(__file__)


if __name__ == "__main__":
    main()
