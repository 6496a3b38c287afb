"""Makes torchvision.npz: the outputs of torchvision's classifiers on weights made from their names.

python tests/golden/make_torchvision.py        # needs torchvision (pip install 'aimodels[goldens]')

Weights and images are those of `seeded_weights`; PyTorch computes in float64, without dropout. What
is kept: the logits in evaluation and in training mode, those of auxiliary heads, and every eighth
of the new running statistics, by their names.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from seeded_weights import images, seeded
from torch import nn
from torchvision import models

CLASSES = 10


def narrower(model: nn.Module, inputs: int) -> nn.Module:
    """AlexNet or VGG with hidden Dense layers of 16 and 12 in place of 4,096."""
    first, second, last = (
        index for index, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear)
    )
    model.classifier[first] = nn.Linear(inputs, 16)
    model.classifier[second] = nn.Linear(16, 12)
    model.classifier[last] = nn.Linear(12, CLASSES)
    return model


# The case -> the model, and the size of its images: odd, unlike, and as small as it takes.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "resnet18": (lambda: models.resnet18(num_classes=CLASSES), (33, 47)),
    "resnet50": (
        lambda: models.resnet50(
            num_classes=CLASSES, replace_stride_with_dilation=[False, False, True]
        ),
        (33, 47),
    ),
    "vgg11_bn": (lambda: narrower(models.vgg11_bn(), 512 * 49), (64, 40)),
    "alexnet": (lambda: narrower(models.alexnet(), 256 * 36), (63, 95)),
    "googlenet": (
        lambda: models.googlenet(num_classes=CLASSES, aux_logits=True, init_weights=False),
        (47, 65),
    ),
    "inception_v3": (
        lambda: models.inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False),
        (107, 139),
    ),
    "vit": (
        lambda: models.VisionTransformer(
            image_size=16,
            patch_size=4,
            num_layers=2,
            num_heads=2,
            hidden_dim=12,
            mlp_dim=20,
            num_classes=CLASSES,
        ),
        (16, 16),
    ),
}


def flattened(outputs: object) -> list[torch.Tensor]:
    """The logits, and those of the auxiliary heads behind them."""
    return [outputs] if isinstance(outputs, torch.Tensor) else [x for x in outputs if x is not None]


def run(make: Callable[[], nn.Module], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """The arrays of a case."""
    model = make().double()
    with torch.no_grad():
        for name, array in model.state_dict().items():
            if array.is_floating_point():
                array.copy_(torch.tensor(seeded(name, tuple(array.shape))))
        inputs = torch.tensor(images(2, *size, 3)).double().permute(0, 3, 1, 2)
        arrays = {"evaluated": model.eval()(inputs)}
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        trained, *auxiliary = flattened(model(inputs))
        arrays |= {"trained": trained}
        arrays |= {f"auxiliary_{n}": logits for n, logits in enumerate(auxiliary)}
        running = {name: array for name, array in model.state_dict().items() if "running" in name}
        if running:
            sampled = [running[name][::8] for name in sorted(running)]
            arrays["statistics"] = torch.cat(sampled)
    return {name: array.numpy().astype(np.float32) for name, array in arrays.items()}


def write(name: str, cases: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]]) -> None:
    """Writes what `run` finds of the cases, each a model and a size, to name.npz beside this."""
    arrays = {}
    for case, (make, size) in cases.items():
        found = run(make, size)
        arrays |= {f"{case}/{part}": array for part, array in found.items()}
    np.savez_compressed(Path(__file__).with_name(f"{name}.npz"), **arrays)


if __name__ == "__main__":
    write("torchvision", CASES)
