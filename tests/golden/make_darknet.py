"""Makes darknet.npz: Darknet-53 and YOLOv3 by packages of PyTorch's that have them.

python tests/golden/make_darknet.py      # needs timm, lightnet (pip install 'aimodels[goldens]')

timm's Darknet-53 has PyTorch's slope of leaky ReLUs, 0.01, and lightnet's YOLOv3 running averages
that keep 0.99, as Darknet's own code; both get ours here: 0.1, as in Darknet, and 0.9. What is kept
is as in make_torchvision, but every fifth box of YOLOv3.
"""

import lightnet
import timm
import torch
from make_torchvision import CLASSES, write
from torch import nn

YOLO_CLASSES = 3


def darknet53() -> nn.Module:
    """timm's, with leaky ReLUs of slope 0.1."""
    model = timm.create_model("darknet53", num_classes=CLASSES)
    for module in model.modules():
        if isinstance(module, nn.LeakyReLU):
            module.negative_slope = 0.1
    return model


class YOLOv3(lightnet.models.YoloV3):
    """lightnet's, with its outputs as ours: boxes of the finest map first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> every fifth of [B, N, 5 + V]."""
        boxes = [
            # [B, A (5 + V), h, w], the coarsest map first
            scores.movedim(1, -1).reshape(len(x), -1, 5 + YOLO_CLASSES)
            for scores in reversed(super().forward(x))
        ]
        return torch.cat(boxes, 1)[:, ::5]


def yolov3() -> nn.Module:
    """lightnet's, with running averages that keep 0.9."""
    model = YOLOv3(YOLO_CLASSES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model


CASES = {"darknet53": darknet53, "yolov3": yolov3}


if __name__ == "__main__":
    write("darknet", {case: (make, (32, 160)) for case, make in CASES.items()})
