"""Makes segmentation.npz: segmenters and networks of video in PyTorch, on weights made from names.

pip install 'aimodels[goldens]' scipy scikit-image pytz
pip install --no-deps torchfcn==1.9.7         # it asks for Chainer, which is no more
python tests/golden/make_segmentation.py

torchvision's where it has one, torchfcn's FCN on VGG-16, and timm's Xception. The others are
written after the papers, and name their layers as ours do. Weights and images are those of
`seeded_weights`; PyTorch computes in float64, without dropout.
"""

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import timm
import torch
from seeded_weights import images, seeded
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models import segmentation, video

# torchfcn imports it to download weights, and it imports Chainer.
sys.modules["fcn"] = ModuleType("fcn")
import torchfcn  # noqa: E402

CLASSES = 5


def block(inputs: int, outputs: int, size: int = 3, **fields: object) -> nn.Module:
    """A convolution with the name "conv", its norm with the name "norm", and a ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, size, bias=False, **fields))
    layers.add_module("norm", nn.BatchNorm2d(outputs))
    layers.add_module("relu", nn.ReLU())
    return layers


def plain(inputs: int, outputs: int, size: int = 3, padding: int = 0) -> nn.Module:
    """A convolution with a bias and the name "conv", and a ReLU."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, size, padding=padding))
    layers.add_module("relu", nn.ReLU())
    return layers


def enlarged(x: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Bilinear, as all of these networks have it."""
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """Ronneberger et al. 2015, figure 1, with three levels of 4, 8 and 16 channels."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        for level, (inputs, features) in enumerate(((3, 4), (4, 8), (8, 16)), start=1):
            self.add_module(f"down_{level}_conv_1", plain(inputs, features, 3, padding))
            self.add_module(f"down_{level}_conv_2", plain(features, features, 3, padding))
        for level, features in ((2, 8), (1, 4)):
            self.add_module(f"up_{level}", nn.ConvTranspose2d(2 * features, features, 2, stride=2))
            self.add_module(f"up_{level}_conv_1", plain(2 * features, features, 3, padding))
            self.add_module(f"up_{level}_conv_2", plain(features, features, 3, padding))
        self.head = nn.Conv2d(4, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, V, H', W']."""
        kept = []
        for level in (1, 2, 3):
            if level > 1:
                x = functional.max_pool2d(x, 2)
            x = getattr(self, f"down_{level}_conv_1")(x)
            x = getattr(self, f"down_{level}_conv_2")(x)
            kept.append(x)
        for level in (2, 1):
            x = getattr(self, f"up_{level}")(x)
            beside = kept[level - 1]
            top, left = (
                (have - want) // 2 for have, want in zip(beside.shape[2:], x.shape[2:], strict=True)
            )
            beside = beside[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            x = torch.cat([beside, x], 1)
            x = getattr(self, f"up_{level}_conv_1")(x)
            x = getattr(self, f"up_{level}_conv_2")(x)
        return self.head(x)


class FCN8s(nn.Module):
    """Long et al. 2015, figure 3, on VGG-11 and with 16 channels for the paper's 4,096."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        stages = ((3, 64), (64, 128), (128, 256, 256), (256, 512, 512), (512, 512, 512))
        self.counts = [len(stage) - 1 for stage in stages]
        for number, stage in enumerate(stages, start=1):
            for layer, (inputs, outputs) in enumerate(itertools.pairwise(stage), start=1):
                self.backbone.add_module(f"conv_{number}_{layer}", plain(inputs, outputs, 3, 1))
        self.dense_0 = plain(512, 16, 7, 3)
        self.dense_1 = plain(16, 16, 1)
        self.score = nn.Conv2d(16, CLASSES, 1)
        self.score_pool4 = nn.Conv2d(512, CLASSES, 1)
        self.score_pool3 = nn.Conv2d(256, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, V, H, W]."""
        size, pooled = x.shape[2:], {}
        for stage, count in enumerate(self.counts, start=1):
            for layer in range(1, count + 1):
                x = getattr(self.backbone, f"conv_{stage}_{layer}")(x)
            x = functional.max_pool2d(x, 2)
            pooled[stage] = x
        scores = self.score(self.dense_1(self.dense_0(x)))
        scores = enlarged(scores, pooled[4].shape[2:]) + self.score_pool4(pooled[4])
        scores = enlarged(scores, pooled[3].shape[2:]) + self.score_pool3(pooled[3])
        return enlarged(scores, size)


class Separable(nn.Module):
    """Depthwise 3x3 with norm and ReLU, 1x1 with norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = block(
            inputs, inputs, 3, groups=inputs, dilation=dilation, padding=dilation
        )
        self.pointwise = block(inputs, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, F, H, W]."""
        return self.pointwise(self.depthwise(x))


class ASPP(nn.Module):
    """Chen et al. 2017, section 3.3, separable as in v3+."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.one = block(inputs, features, 1)
        for number, rate in enumerate((1, 2, 3), start=1):
            self.add_module(f"atrous_{number}", Separable(inputs, features, rate))
        self.pooled = block(inputs, features, 1)
        self.project = block(5 * features, features, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, F, H, W]."""
        views = [self.one(x), *(getattr(self, f"atrous_{n}")(x) for n in (1, 2, 3))]
        pooled = self.pooled(x.mean((2, 3), keepdim=True))
        views.append(pooled.expand_as(views[0]))
        return self.project(torch.cat(views, 1))


class DeepLabV3Plus(nn.Module):
    """Chen et al. 2018, figure 2, on torchvision's ResNet-50 with output stride 16."""

    def __init__(self, features: int = 12, low: int = 6) -> None:
        super().__init__()
        self.backbone = self.make_backbone()
        self.aspp = ASPP(2048, features)
        self.low = block(256, low, 1)
        self.conv_1 = Separable(features + low, features)
        self.conv_2 = Separable(features, features)
        self.score = nn.Conv2d(features, CLASSES, 1)

    def make_backbone(self) -> nn.Module:
        """The network whose maps these are."""
        backbone = models.resnet50(replace_stride_with_dilation=[False, False, True])
        del backbone.fc
        return backbone

    def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, 3, H, W] -> [B, 256, H / 4, W / 4] and [B, 2048, H / 16, W / 16]."""
        net = self.backbone
        fine = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        return fine, net.layer4(net.layer3(net.layer2(fine)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, V, H, W]."""
        size = x.shape[2:]
        fine, deep = self.maps(x)
        x = torch.cat([enlarged(self.aspp(deep), fine.shape[2:]), self.low(fine)], 1)
        return enlarged(self.score(self.conv_2(self.conv_1(x))), size)


class DeepLabV3PlusXception(DeepLabV3Plus):
    """The same on timm's Xception-65, with three of its sixteen middle blocks: they are alike."""

    def make_backbone(self) -> nn.Module:
        """timm's, without its classifier."""
        backbone = timm.create_model("xception65", output_stride=16)
        del backbone.head
        del backbone.blocks[6:19]
        return backbone

    def maps(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The finer one is what the second block's second convolution gives, as in DeepLab's code.

        timm's own feature of that size is that behind the next ReLU.
        """
        x = self.backbone.blocks[0](self.backbone.stem(x))
        fine = self.backbone.blocks[1].stack[:4](x)
        return fine, self.backbone.blocks[1:](x)


class C3D(nn.Module):
    """Tran et al. 2015, figure 3, with few channels and two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1_1 = nn.Conv3d(3, 4, 3, padding=1)
        self.conv_2_1 = nn.Conv3d(4, 6, 3, padding=1)
        self.conv_2_2 = nn.Conv3d(6, 6, 3, padding=1)
        self.dense_0 = nn.Linear(6 * 3 * 3 * 4, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, 5, 10, 14] -> [B, V]; odd sizes are rounded up, as in Caffe."""
        x = functional.max_pool3d(self.conv_1_1(x).relu(), (1, 2, 2), ceil_mode=True)
        x = functional.max_pool3d(self.conv_2_2(self.conv_2_1(x).relu()).relu(), 2, ceil_mode=True)
        # Ours flattens [T, H, W, C].
        return self.head(self.dense_0(x.permute(0, 2, 3, 4, 1).flatten(1)).relu())


def torchfcn_model(name: str) -> nn.Module:
    """FCN on VGG-16 by torchfcn, with 16 channels for the paper's 4,096 and without dropout."""
    model = getattr(torchfcn.models, name)(n_class=CLASSES)
    model.fc6, model.fc7 = nn.Conv2d(512, 16, 7), nn.Conv2d(16, 16, 1)
    model.score_fr = nn.Conv2d(16, CLASSES, 1)
    model.drop6, model.drop7 = nn.Identity(), nn.Identity()
    return model


# The case -> the model and the size of its images or clips, without channels.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "unet_valid": (lambda: UNet(0), (48, 52)),
    "unet_same": (lambda: UNet(1), (20, 12)),
    "fcn8s": (FCN8s, (64, 96)),
    "fcn32s_vgg16": (lambda: torchfcn_model("FCN32s"), (90, 122)),
    "fcn16s_vgg16": (lambda: torchfcn_model("FCN16s"), (90, 122)),
    "fcn8s_vgg16": (lambda: torchfcn_model("FCN8s"), (90, 122)),
    "fcn_resnet50": (
        lambda: segmentation.fcn_resnet50(
            weights_backbone=None, num_classes=CLASSES, aux_loss=True
        ),
        (33, 47),
    ),
    "deeplabv3": (
        lambda: segmentation.deeplabv3_resnet50(
            weights_backbone=None, num_classes=CLASSES, aux_loss=True
        ),
        (33, 47),
    ),
    "deeplabv3plus": (DeepLabV3Plus, (33, 47)),
    "deeplabv3plus_xception": (DeepLabV3PlusXception, (33, 47)),
    "r3d": (lambda: video.r3d_18(num_classes=CLASSES), (4, 20, 28)),
    "mc3": (lambda: video.mc3_18(num_classes=CLASSES), (4, 20, 28)),
    "r2plus1d": (lambda: video.r2plus1d_18(num_classes=CLASSES), (4, 20, 28)),
    "c3d": (C3D, (5, 10, 14)),
}


def run(make: Callable[[], nn.Module], size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The arrays of a case: every sixth pixel of scores, channels last."""
    model = make().double()
    with torch.no_grad():
        for name, array in model.state_dict().items():
            is_fixed = "upscore" in name  # torchfcn's bilinear enlarging
            if array.is_floating_point() and not is_fixed:
                array.copy_(torch.tensor(seeded(name, tuple(array.shape))))
        inputs = torch.tensor(images(2, *size, 3)).double().movedim(-1, 1)
        found = {"evaluated": model.eval()(inputs)}
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        found["trained"] = model(inputs)
    arrays = {}
    for mode, outputs in found.items():
        by_name = outputs if isinstance(outputs, dict) else {"out": outputs}
        for name, scores in by_name.items():
            scores = scores.movedim(1, -1).numpy().astype(np.float32)
            arrays[f"{mode}/{name}"] = scores[:, ::6, ::6] if scores.ndim == 4 else scores
    return arrays


def main() -> None:
    """Writes the cases beside this file."""
    arrays = {}
    for case, (make, size) in CASES.items():
        found = run(make, size)
        if case.endswith("vgg16"):  # without norms and dropout training is as evaluation
            del found["trained/out"]
        arrays |= {f"{case}/{name}": array for name, array in found.items()}
    np.savez_compressed(Path(__file__).with_name("segmentation.npz"), **arrays)


if __name__ == "__main__":
    main()
