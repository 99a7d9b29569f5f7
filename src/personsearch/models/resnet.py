"""ResNet-50 cut in two: a stem (conv1 to conv4, stride 16) and a head (conv5).

Batch norm is frozen throughout: person search trains on two pictures at a time, too few for statistics.
Two published layouts exist and look alike from outside; a `Layout` says which one weights were trained in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.errors import WeightsError

STEM_CHANNELS = 1024
HEAD_CHANNELS = 2048


@dataclass(frozen=True)
class Layout:
    """Where a ResNet-50 strides and what input it was trained on."""

    name: str
    stride_in_first: bool
    """True: stride 2 sits in a block's first 1x1 convolution (He et al. 2015); False: in its 3x3 (torchvision)."""
    norm_epsilon: float
    mean: tuple[float, float, float]
    """RGB, of inputs in [0, 1]."""
    std: tuple[float, float, float]
    reversed_channels: bool
    """The weights of conv1 expect BGR; `load_imagenet` reverses them, so that the network itself takes RGB."""


TORCHVISION = Layout("torchvision", False, 1e-5, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), False)
HE2015 = Layout("he2015", True, 1e-3, (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255), True)
LAYOUTS = {layout.name: layout for layout in (TORCHVISION, HE2015)}


class Conv(nn.Conv2d):
    """A convolution, also of maps that are one or two cells wide.

    With a stride, oneDNN's bfloat16 kernel for AMX answers those with garbage (pytorch/pytorch#169688). Zeros at their
    right, such as the padding is made of, make the output two cells wide, of which the first is the answer.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(x, self.weight, self.bias)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Maps [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        missing = 3 - x.shape[3]
        if self.stride[1] == 1 or missing <= 0:
            return F.conv2d(x, weight, bias, self.stride, self.padding)
        return F.conv2d(F.pad(x, (0, missing)), weight, bias, self.stride, self.padding)[..., :1]


class ConvFrozenNorm(Conv):
    """A convolution and the frozen batch norm behind it, as one operation.

    The norm is a constant scale and shift per channel. Multiplying the scale into the weight at each call
    gives the same function and the same gradient as a layer of its own, and saves a pass over the activations.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("shift", torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        return self.convolve(x, weight, self.shift)

    def folded(self) -> Conv:
        """The same function as an ordinary convolution with a bias, for inference."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        with torch.device("meta"):  # no weights are made that would be replaced
            plain = Conv(self.in_channels, self.out_channels, kernel, stride)
        plain.weight = nn.Parameter(self.weight * self.scale[:, None, None, None])
        plain.bias = nn.Parameter(self.shift.clone())
        return plain

    def set_norm(self, norm: Mapping[str, Tensor], epsilon: float) -> None:
        """Takes over a batch norm: `norm` holds weight, bias, running_mean and running_var, each [outputs]."""
        scale = norm["weight"] * torch.rsqrt(norm["running_var"] + epsilon)
        self.scale.copy_(scale)
        self.shift.copy_(norm["bias"] - norm["running_mean"] * scale)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut; widths `mid`, `mid`, 4 `mid`."""

    def __init__(self, inputs: int, mid: int, stride: int, layout: Layout) -> None:
        super().__init__()
        outputs = 4 * mid
        first, second = (stride, 1) if layout.stride_in_first else (1, stride)
        self.conv1 = ConvFrozenNorm(inputs, mid, 1, first)
        self.conv2 = ConvFrozenNorm(mid, mid, 3, second)
        self.conv3 = ConvFrozenNorm(mid, outputs, 1)
        changes = stride != 1 or inputs != outputs
        self.downsample = ConvFrozenNorm(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.conv1(x), inplace=True)
        out = F.relu(self.conv2(out), inplace=True)
        return F.relu(self.conv3(out) + self.downsample(x), inplace=True)


def _stage(inputs: int, mid: int, blocks: int, stride: int, layout: Layout) -> nn.Sequential:
    first = Bottleneck(inputs, mid, stride, layout)
    return nn.Sequential(first, *(Bottleneck(4 * mid, mid, 1, layout) for _ in range(blocks - 1)))


CONV4_BLOCKS = 6


def _conv4_tail(first: int, layout: Layout) -> nn.Sequential:
    """The blocks of conv4 from `first` on, under the names that they have in a whole ResNet; perhaps none."""
    mid = STEM_CHANNELS // 4
    blocks = {str(n): Bottleneck(STEM_CHANNELS, mid, 1, layout) for n in range(first, CONV4_BLOCKS)}
    return nn.Sequential(OrderedDict(blocks))


class Stem(nn.Module):
    """conv1 to conv4: pictures [B, 3, H, W] to maps [B, 1024, ceil(H / 16), ceil(W / 16)].

    Of conv4 the first `blocks` of six. Pictures are RGB in [0, 255], uint8 or float; the stem normalises them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layout: Layout = TORCHVISION, blocks: int = CONV4_BLOCKS) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("mean", 255 * torch.tensor(layout.mean)[:, None, None])
        self.register_buffer("std", 255 * torch.tensor(layout.std)[:, None, None])
        self.conv1 = ConvFrozenNorm(3, 64, 7, 2)
        self.layer1 = _stage(64, 64, 3, 1, layout)
        self.layer2 = _stage(256, 128, 4, 2, layout)
        self.layer3 = _stage(512, 256, blocks, 2, layout)

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        x = F.relu(F.max_pool2d(self.conv1(x), 3, 2, 1), inplace=True)  # the same as the other way round, in a quarter
        maps: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return maps

    def freeze(self, stages: int) -> None:
        """Fixes the first `stages` of conv1, layer1, layer2, layer3: what pictures have in common stays."""
        for part in (self.conv1, self.layer1, self.layer2, self.layer3)[:stages]:
            part.requires_grad_(False)


class Head(nn.Module):
    """The rest of conv4, conv5 and global average pooling: pooled regions [R, 1024, h, w] to features [R, 2048]."""

    def __init__(self, layout: Layout = TORCHVISION, stride: int = 2, blocks: int = CONV4_BLOCKS) -> None:
        super().__init__()
        self.layer3 = _conv4_tail(blocks, layout)
        self.layer4 = _stage(STEM_CHANNELS, 512, 3, stride, layout)

    def maps(self, regions: Tensor) -> Tensor:
        """Before pooling: [R, 2048, h', w']."""
        # float32 from here on: means, distances and losses want more than bfloat16's 8 bits
        maps: Tensor = self.layer4(self.layer3(regions)).float()
        return maps

    def forward(self, regions: Tensor) -> Tensor:
        return self.maps(regions).mean(dim=(2, 3))


def load_imagenet(stem: Stem, head: Head, weights: Mapping[str, Tensor]) -> None:
    """Fills both parts from an ImageNet ResNet-50 under torchvision's names.

    The weights must be of the stem's own layout. Their classifier is ignored.
    Raises WeightsError when a tensor is missing or has another shape.
    """
    try:
        with torch.no_grad():
            for part in (stem, head):
                for name, module in part.named_modules():
                    if isinstance(module, ConvFrozenNorm):
                        _fill(module, name, weights, stem.layout)
            if stem.layout.reversed_channels:
                stem.conv1.weight.copy_(stem.conv1.weight.flip(1))
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"these are not the weights of an ImageNet ResNet-50: {reason}") from None


def _fill(conv: ConvFrozenNorm, name: str, weights: Mapping[str, Tensor], layout: Layout) -> None:
    if name.endswith("downsample"):
        conv_name, norm_name = f"{name}.0", f"{name}.1"
    else:
        conv_name, norm_name = name, name.replace("conv", "bn")
    weight = weights[f"{conv_name}.weight"]
    if weight.shape != conv.weight.shape:
        raise KeyError(f"{conv_name}.weight is {tuple(weight.shape)}, not {tuple(conv.weight.shape)}")
    conv.weight.copy_(weight)
    fields = ("weight", "bias", "running_mean", "running_var")
    conv.set_norm({f: weights[f"{norm_name}.{f}"].float() for f in fields}, layout.norm_epsilon)
