"""Makes dense.npz: PyTorch's activations and an MLP.

python tests/golden/make_dense.py        # needs torch (pip install 'aimodels[goldens]')
"""

import torch
from recorder import Recorder
from torch import nn
from torch.nn import functional

ACTIVATIONS = {
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hard_swish": functional.hardswish,
    "leaky_relu": functional.leaky_relu,
    "mish": functional.mish,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "selu": functional.selu,
    "sigmoid": functional.sigmoid,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "tanh": functional.tanh,
    # By autograd's derivative of its own SiLU.
    "dsilu": lambda x: torch.autograd.grad(functional.silu(x).sum(), x, create_graph=True)[0],
}


def main() -> None:
    """Writes the cases beside this file."""
    recorder = Recorder()
    for name, function in ACTIVATIONS.items():
        inputs = recorder.draw(40, scale=3.0)
        recorder.record(name, {"outputs": function(inputs)}, {"inputs": inputs})
    layers = [nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)]
    module = recorder.randomize(nn.Sequential(*layers))
    inputs = recorder.draw(4, 5)
    recorder.record("mlp", {"outputs": module(inputs)}, {"inputs": inputs}, module)
    recorder.save(__file__)


if __name__ == "__main__":
    main()
