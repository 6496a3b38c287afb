"""The rows' models in PyTorch, as its users write them."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class Mlp(nn.Module):
    """MNIST-1D's: 40-100-100-10, the second layer residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(40, 100), nn.Linear(100, 100)
        self.head = nn.Linear(100, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Signals [B, 40] -> [B, 10]."""
        hidden = F.relu(self.first(inputs))
        return self.head(hidden + F.relu(self.second(hidden)))


def signal_cnn() -> nn.Module:
    """MNIST-1D's: three strided convolutions of 25 channels."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 40)),
        *(nn.Conv1d(1, 25, 5, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv1d(25, 25, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(125, 10)),
    )


class Gru(nn.Module):
    """MNIST-1D's: bidirectional, 6 wide, all outputs side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(1, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40 * 12, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Signals [B, 40] -> [B, 10]."""
        return self.head(self.recurrent(inputs.unsqueeze(-1))[0].flatten(1))


def image_cnn() -> nn.Module:
    """Fashion-MNIST's: two convolutions 5x5 with pooling, a Dense layer of 1024."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 49, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    )


class Block(nn.Module):
    """nanoGPT's block."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, bias=bias)
        self.norm_2 = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.up = nn.Linear(width, 4 * width, bias=bias)
        self.down = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        batch, time_, width = x.shape
        qkv = self.qkv(self.norm_1(x)).split(width, dim=2)
        q, k, v = (part.view(batch, time_, self.heads, -1).transpose(1, 2) for part in qkv)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, time_, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Gpt(nn.Module):
    """nanoGPT of 65 characters, tied logits."""

    def __init__(self, width: int, layers: int, heads: int, length: int, bias: bool) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(65, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads, bias) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=bias)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02 / (1 if len(weight) == 65 else math.sqrt(layers)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Ids [B, T] -> [B, T, V]."""
        x = self.tokens(inputs) + self.places(torch.arange(inputs.shape[1]))
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


def resnet18() -> nn.Module:
    """The ResNet-18 of torchvision with the beginning for images of 32x32."""
    from torchvision.models import resnet18

    model = resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model.to(memory_format=torch.channels_last)


def vit_ti() -> nn.Module:
    """The VisionTransformer of torchvision, in the size of DeiT-Ti."""
    from torchvision.models import VisionTransformer

    return VisionTransformer(224, 16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768)


class UNet(nn.Module):
    """31.0 M parameters, one channel, convolutions with padding."""

    def __init__(self) -> None:
        super().__init__()

        def two(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(
                *(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)),
                *(nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU(inplace=True)),
            )

        sizes = [64, 128, 256, 512, 1024]
        self.down = nn.ModuleList(two(a, b) for a, b in zip([1, *sizes], sizes, strict=False))
        up = list(zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in up)
        self.up = nn.ModuleList(two(a, b) for a, b in up)
        self.head = nn.Conv2d(64, 2, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, 2, H, W]."""
        x, kept = inputs, []
        for number, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if number else x)
            kept.append(x)
        for grow, up, other in zip(self.grow, self.up, kept[-2::-1], strict=True):
            x = up(torch.cat([other, grow(x)], 1))
        return self.head(x)


class LstmClassifier(nn.Module):
    """Vectors of 10,000 words, an LSTM, a Dense layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10_000, 256)
        self.recurrent = nn.LSTM(256, 256, batch_first=True)
        self.head = nn.Linear(256, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Ids [B, T] -> [B, 2]."""
        return self.head(self.recurrent(self.words(inputs))[0][:, -1])
