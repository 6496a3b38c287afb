"""Makes huggingface.npz: logits of transformers' classifiers on weights made from their names.

python tests/golden/make_huggingface.py     # needs transformers (pip install 'aimodels[goldens]')

Weights and images are those of `seeded_weights`; PyTorch computes in float64, in evaluation.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
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
        with tempfile.TemporaryDirectory() as folder:
            # Through a file: within the library, names change with its versions.
            fresh = make()
            fresh.save_pretrained(folder)
            file = Path(folder, "model.safetensors")
            state = load_file(file)
            for name, array in state.items():
                if array.is_floating_point():
                    state[name] = torch.tensor(seeded(name, tuple(array.shape)))
            save_file(state, file, metadata={"format": "pt"})
            model = type(fresh).from_pretrained(folder).double().eval()
        inputs = torch.tensor(images(2, *size, 3)).double().permute(0, 3, 1, 2)
        with torch.no_grad():
            arrays[f"{case}/evaluated"] = model(inputs).logits.numpy().astype(np.float32)
        arrays[f"{case}/names"] = np.array(sorted(n for n in state if "num_batches" not in n))
    np.savez_compressed(Path(__file__).with_name("huggingface.npz"), **arrays)


if __name__ == "__main__":
    main()
