"""Makes residual.npz: small residual networks that torchvision has not, written after their papers.

python tests/golden/make_residual.py        # needs torchvision (pip install 'aimodels[goldens]')

ResNet for CIFAR (He et al. 2016, section 4.2, option A), pre-activation ResNet with bottlenecks (He
et al. 2016b) and WRN (Zagoruyko & Komodakis 2016). Layers are called as ours, so that both sides
make the same weights from their names; what is kept is as in make_torchvision.
"""

import torch
from make_torchvision import write
from torch import nn
from torch.nn import functional

CLASSES = 10


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """A 3x3 convolution and its norm, named `conv` and `norm`."""
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
    layers.add_module("norm", nn.BatchNorm2d(outputs))
    return layers


class Cifar(nn.Module):
    """ResNet-8: one block a stage."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.stem = conv_norm(3, width)
        before = width
        for stage, after in enumerate((width, 2 * width, 4 * width), start=1):
            name = f"stage_{stage}_block_0"
            self.add_module(f"{name}_conv_1", conv_norm(before, after, 2 if stage > 1 else 1))
            self.add_module(f"{name}_conv_2", conv_norm(after, after))
            before = after
        self.head = nn.Linear(before, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, CLASSES]."""
        layers = dict(self.named_children())
        x = self.stem(x).relu()
        for stage in (1, 2, 3):
            name = f"stage_{stage}_block_0"
            y = layers[f"{name}_conv_2"](layers[f"{name}_conv_1"](x).relu())
            if stage > 1:
                x = x[:, :, ::2, ::2]
                x = torch.cat([x, torch.zeros_like(y[:, x.shape[1] :])], dim=1)
            x = (x + y).relu()
        return self.head(x.mean((2, 3)))


class PreActivation(nn.Module):
    """One block: both paths start from the activated inputs where the shortcut is a convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, inner: int | None, norm: bool):
        super().__init__()
        if norm:
            self.norm_1 = nn.BatchNorm2d(inputs)
        shapes = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        if inner:
            shapes = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
        self.count = len(shapes)
        for n, (before, after, size, step) in enumerate(shapes, start=1):
            conv = nn.Conv2d(before, after, size, step, size // 2, bias=False)
            self.add_module(f"conv_{n}", conv)
            if n > 1:
                self.add_module(f"norm_{n}", nn.BatchNorm2d(before))
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, C', H', W']."""
        layers = dict(self.named_children())
        a = layers["norm_1"](x).relu() if "norm_1" in layers else x
        y = self.conv_1(a)
        for n in range(2, self.count + 1):
            y = layers[f"conv_{n}"](layers[f"norm_{n}"](y).relu())
        return y + (self.shortcut(a) if "shortcut" in layers else x)


class PreActivationNet(nn.Module):
    """Three stages of `count` blocks, with norm and ReLU before and behind them."""

    def __init__(self, widths: tuple[int, int, int], count: int, bottleneck: bool) -> None:
        super().__init__()
        self.stem = conv_norm(3, 16)
        self.stages = nn.Module()
        before = 16
        for stage, width in enumerate(widths, start=1):
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                inner = width // 4 if bottleneck else None
                first = stage == 1 and block == 0
                made = PreActivation(before, width, stride, inner, norm=not first)
                self.stages.add_module(f"stage_{stage}_block_{block}", made)
                before = width
        self.stages.add_module("norm", nn.BatchNorm2d(before))
        self.head = nn.Linear(before, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, CLASSES]."""
        x = self.stem(x).relu()
        for layer in self.stages.children():
            x = layer(x)
        return self.head(functional.adaptive_avg_pool2d(x.relu(), 1).flatten(1))


CASES = {
    "cifar_resnet_8": lambda: Cifar(6),
    "preactivation_resnet_20": lambda: PreActivationNet((64, 128, 256), 2, bottleneck=True),
    "wrn_16_2": lambda: PreActivationNet((32, 64, 128), 2, bottleneck=False),
}


if __name__ == "__main__":
    write("residual", {case: (make, (11, 14)) for case, make in CASES.items()})
