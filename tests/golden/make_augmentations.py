"""Makes augmentations.npz: torchvision's operations on seeded images.

python tests/golden/make_augmentations.py        # needs torch and torchvision

Each image is a smooth one with noise and a flat corner, so that histograms and ranges are neither
flat nor full. Results are of RandAugment's operations at two of its magnitudes in both directions,
of the colour operations at stated factors, and of resized crops.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

HEIGHT, WIDTH, FILL = 13, 18, 128
FACTORS = (0.0, 0.37, 1.0, 1.63)
BOXES = ((0, 0, 13, 18), (2, 3, 7, 5), (4, 1, 9, 14), (12, 17, 1, 1))  # top, left, height, width
SIZES = ((6, 6), (11, 20))


def images() -> dict[str, np.ndarray]:
    """A picture of one channel and one of three, uint8 [C, H, W]."""
    rng = np.random.default_rng(0)
    made = {}
    for name, channels in (("grey", 1), ("colour", 3)):
        y, x = np.mgrid[:HEIGHT, :WIDTH] / 10
        waves = [
            70 + 50 * np.sin(x * (c + 1) + y) + 30 * np.cos(2 * y - c) for c in range(channels)
        ]
        noisy = np.stack(waves) + rng.normal(0, 12, (channels, HEIGHT, WIDTH))
        noisy[:, 9:, 12:] = 20
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
    across, down = (sign * int(150 / 331 * side * share) for side in (WIDTH, HEIGHT))
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
    arrays = {}

    def keep(name: str, image: torch.Tensor) -> None:
        arrays[name] = np.moveaxis(image.numpy(), -3, -1)

    for kind, array in images().items():
        image = torch.tensor(array)
        floats = image.to(torch.float32) / 255
        keep(f"image/{kind}", image)
        for magnitude in (9, 23):
            for sign in (1, -1):
                for name, function in rand_augment(magnitude, sign).items():
                    keep(f"rand_augment/{kind}/{name}/{magnitude}/{sign}", function(image))
        for name in ("brightness", "contrast", "saturation", "sharpness"):
            for factor in FACTORS:
                function = getattr(F, f"adjust_{name}")
                keep(f"colour/{kind}/{name}/{factor}", function(floats, factor))
        for shift in (-0.4, 0.0, 0.15):
            keep(f"colour/{kind}/hue/{shift}", F.adjust_hue(floats, shift))
        keep(f"colour/{kind}/autocontrast/", F.autocontrast(floats))
        keep(f"colour/{kind}/solarize/0.4", F.solarize(floats, 0.4))
        for box in BOXES:
            for size in SIZES:
                for antialias in (True, False):
                    result = F.resized_crop(floats, *box, list(size), antialias=antialias)
                    words = "-".join(map(str, (*box, *size, int(antialias))))
                    keep(f"crop/{kind}/{words}", result)
    path = Path(__file__)
    np.savez_compressed(path.with_name("augmentations.npz"), **arrays)


if __name__ == "__main__":
    main()
