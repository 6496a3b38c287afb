"""Makes huggingface.npz: logits of transformers' classifiers on weights made from their names.

python tests/golden/make_huggingface.py     # needs transformers (pip install 'aimodels[goldens]')

Weights and images are those of `seeded_weights`; PyTorch computes in float64, in evaluation.
"""

from pathlib import Path

import numpy as np
import torch
from seeded_weights import images, seeded
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

CLASSES = 10


def resnet(layer: str, depths: list[int], widths: list[int]) -> torch.nn.Module:
    """One of their ResNets."""
    config = ResNetConfig(
        embedding_size=64,
        hidden_sizes=widths,
        depths=depths,
        layer_type=layer,
        num_labels=CLASSES,
    )
    return ResNetForImageClassification(config)


def vit() -> torch.nn.Module:
    """A small ViT of theirs, with the epsilon of the paper's code."""
    config = ViTConfig(
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        image_size=16,
        patch_size=4,
        layer_norm_eps=1e-6,
        num_labels=CLASSES,
    )
    return ViTForImageClassification(config)


CASES = {
    "resnet18": (lambda: resnet("basic", [2, 2, 2, 2], [64, 128, 256, 512]), (33, 47)),
    "resnet50": (lambda: resnet("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]), (33, 47)),
    "vit": (vit, (16, 16)),
}


def main() -> None:
    """Writes the cases beside this file."""
    arrays = {}
    for case, (make, size) in CASES.items():
        model = make().double().eval()
        with torch.no_grad():
            for name, array in model.state_dict().items():
                if array.is_floating_point():
                    array.copy_(torch.tensor(seeded(name, tuple(array.shape))))
            inputs = torch.tensor(images(2, *size, 3)).double().permute(0, 3, 1, 2)
            arrays[f"{case}/evaluated"] = model(inputs).logits.numpy().astype(np.float32)
        names = sorted(name for name in model.state_dict() if "num_batches" not in name)
        arrays[f"{case}/names"] = np.array(names)
    np.savez_compressed(Path(__file__).with_name("huggingface.npz"), **arrays)


if __name__ == "__main__":
    main()
