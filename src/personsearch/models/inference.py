"""Networks that learn no more, made fast: norms folded, and on a CPU with bfloat16 weights laid out once.

Torch lays a convolution's weights out anew at each call, as oneDNN wants them, and goes over its output once more for
each sum and each ReLU. The operators here are those that torch's compiler writes, without its wait at the start.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.models.resnet import Bottleneck, Conv, ConvFrozenNorm
from personsearch.runtime import has_fast_bfloat16

M = TypeVar("M", bound=nn.Module)


def prepare_for_inference(model: M) -> M:
    """The same function, faster, in place: frozen norms folded into their convolutions, channels last, eval mode.

    In bfloat16 where mixed precision would be used anyway, so that weights are not converted at each call.
    """
    device = next(model.parameters()).device
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvFrozenNorm):
                setattr(module, name, child.folded())
    if has_fast_bfloat16(device):
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.to(torch.bfloat16)
        if device.type == "cpu" and _can_pack():
            _pack(model)
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _can_pack() -> bool:
    """Whether this torch has the operators."""
    wanted = ("_reorder_convolution_weight", "_convolution_pointwise")
    here: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return here and all(hasattr(torch.ops.mkldnn, name) for name in wanted)


class PackedConv(Conv):
    """A convolution whose weights are laid out at its first call, for maps of any size after it."""

    def __init__(self, conv: nn.Conv2d) -> None:
        with torch.device("meta"):  # no weights are made that would be replaced
            super().__init__(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0])
        self.weight, self.bias = conv.weight, conv.bias
        self._packed: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # what oneDNN holds can't be copied

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, inputs, H, W] to [B, outputs, H / stride, W / stride], bfloat16."""
        return self._run(x, "none")

    def rectified(self, x: Tensor) -> Tensor:
        """The same, and a ReLU."""
        return self._run(x, "relu")

    def added(self, x: Tensor, other: Tensor) -> Tensor:
        """The same with stride 1, and a ReLU of its sum with `other`."""
        x, other = _as_packed(x), _as_packed(other)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self._weight(x), *self._how(), "add", 1.0, "relu", [], ""
        )
        return out

    def _run(self, x: Tensor, after: str) -> Tensor:
        missing = 3 - x.shape[3]
        if self.stride[1] > 1 and missing > 0:  # as Conv does
            return self._run(F.pad(x, (0, missing)), after)[..., :1]
        x = _as_packed(x)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self._weight(x), *self._how(), after, [], "")
        return out

    def _how(self) -> tuple[Any, ...]:
        return self.bias, self.padding, self.stride, (1, 1), 1

    def _weight(self, x: Tensor) -> Tensor:
        if self._packed is None:
            how = self.padding, self.stride, (1, 1), 1, list(x.shape)
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *how)
        return self._packed


class PackedBottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut, as Bottleneck."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (PackedConv(conv) for conv in (block.conv1, block.conv2, block.conv3))
        self.downsample = PackedConv(block.downsample) if isinstance(block.downsample, Conv) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2.rectified(self.conv1.rectified(x))
        return self.conv3.added(out, self.downsample(x))


def _pack(model: nn.Module) -> None:
    """Replaces a model's convolutions and blocks, in place, once their norms are folded."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Bottleneck):
                setattr(module, name, PackedBottleneck(child))
            elif isinstance(child, Conv) and not isinstance(child, PackedConv):
                setattr(module, name, PackedConv(child))


def _as_packed(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16, memory_format=torch.channels_last)
