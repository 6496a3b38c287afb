"""Makes augmentations.npz: torchvision's operations on seeded images.

python tests/golden/make_augmentations.py        # needs torch and torchvision

Each image is a smooth one with noise and a flat corner, so that histograms and ranges are neither
flat nor full. Results are of RandAugment's operations at two of its magnitudes in both directions,
of the colour operations at stated factors, and of resized crops. Equalizing needs an image of more
than 255 pixels, else it changes nothing: it has a larger one.

A group of cases is `<group>/<kind>/names`, text, and `<group>/<kind>/images`, stacked.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

SMALL, LARGE, FILL = (9, 13), (26, 36), 128
FACTORS = (0.0, 0.37, 1.0, 1.63)
BOXES = ((0, 0, 9, 13), (2, 3, 5, 4), (3, 1, 6, 11), (8, 12, 1, 1))  # top, left, height, width
SIZES = ((5, 4), (8, 15))


def images(size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A picture of one channel and one of three, uint8 [C, H, W]."""
    rng = np.random.default_rng(0)
    height, width = size
    made = {}
    for name, channels in (("grey", 1), ("colour", 3)):
        y, x = np.mgrid[:height, :width] / 7
        waves = [
            70 + 50 * np.sin(x * (c + 1) + y) + 30 * np.cos(2 * y - c) for c in range(channels)
        ]
        noisy = np.stack(waves) + rng.normal(0, 12, (channels, height, width))
        noisy[:, 2 * height // 3 :, 2 * width // 3 :] = 20
        made[name] = np.clip(noisy, 3, 240).astype(np.uint8)
    return made


def affine(image: torch.Tensor, **given: float | list) -> torch.Tensor:
    """Torchvision's affine map with all that RandAugment leaves alone."""
    fields = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | given
    return F.affine(image, interpolation=InterpolationMode.NEAREST, fill=[FILL], **fields)


def rand_augment(magnitude: int, sign: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Torchvision's RandAugment at a magnitude of 0 to 30, by our names of its operations."""
    share = magnitude / 30
    shear = sign * math.degrees(math.atan(0.3 * share))
    across, down = (sign * int(150 / 331 * side * share) for side in SMALL[::-1])
    factor = 1 + sign * 0.9 * share
    return {
        "identity": lambda image: image,
        "shear_x": lambda image: affine(image, shear=[shear, 0.0], center=[0, 0]),
        "shear_y": lambda image: affine(image, shear=[0.0, shear], center=[0, 0]),
        "translate_x": lambda image: affine(image, translate=[across, 0]),
        "translate_y": lambda image: affine(image, translate=[0, down]),
        "rotate": lambda image: F.rotate(image, sign * 30 * share, fill=[FILL]),
        "brightness": lambda image: F.adjust_brightness(image, factor),
        "color": lambda image: F.adjust_saturation(image, factor),
        "contrast": lambda image: F.adjust_contrast(image, factor),
        "sharpness": lambda image: F.adjust_sharpness(image, factor),
        "posterize": lambda image: F.posterize(image, 8 - round(4 * share)),
        "solarize": lambda image: F.solarize(image, 255 * (1 - share)),
        "autocontrast": F.autocontrast,
        "equalize": F.equalize,
    }


def main() -> None:
    """Writes the cases beside this file, images as [H, W, C]."""
    groups: dict[str, dict[str, np.ndarray]] = {}

    def keep(group: str, name: str, image: torch.Tensor) -> None:
        groups.setdefault(group, {})[name] = np.moveaxis(image.numpy(), -3, -1)

    for kind, array in images(LARGE).items():
        image = torch.tensor(array)
        keep(f"equalize/{kind}", "before", image)
        keep(f"equalize/{kind}", "after", F.equalize(image))
    for kind, array in images(SMALL).items():
        image = torch.tensor(array)
        floats = image.to(torch.float32) / 255
        keep(f"image/{kind}", "before", image)
        for magnitude in (9, 23):
            for sign in (1, -1):
                for name, function in rand_augment(magnitude, sign).items():
                    keep(f"rand_augment/{kind}", f"{name}/{magnitude}/{sign}", function(image))
        for name in ("brightness", "contrast", "saturation", "sharpness"):
            for factor in FACTORS:
                function = getattr(F, f"adjust_{name}")
                keep(f"colour/{kind}", f"{name}/{factor}", function(floats, factor))
        for shift in (-0.4, 0.0, 0.15):
            keep(f"colour/{kind}", f"hue/{shift}", F.adjust_hue(floats, shift))
        keep(f"colour/{kind}", "autocontrast/", F.autocontrast(floats))
        keep(f"colour/{kind}", "solarize/0.4", F.solarize(floats, 0.4))
        for size in SIZES:
            for box in BOXES:
                for antialias in (True, False):
                    result = F.resized_crop(floats, *box, list(size), antialias=antialias)
                    words = "/".join(map(str, (*box, *size, int(antialias))))
                    keep(f"crop_{'x'.join(map(str, size))}/{kind}", words, result)
    arrays = {}
    for group, cases in groups.items():
        arrays[f"{group}/names"] = np.array(list(cases))
        arrays[f"{group}/images"] = np.stack(list(cases.values()))
    np.savez_compressed(Path(__file__).with_name("augmentations.npz"), **arrays)


if __name__ == "__main__":
    main()
