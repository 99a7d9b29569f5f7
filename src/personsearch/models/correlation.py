"""Cross-correlation layers: a query's features become the kernel that reads a scene (IGPN, section 3.2.2).

Both layers split their work in three, so that what depends on one side alone is computed once: `read_scene`,
`read_query`, and `correlate`, which is all that a pair costs.

Each response is an inner product of h w c' numbers, 10,752 in IGPN. The part of a kernel that depends on the query is
divided by the root of that count, as in attention, and kernels start at zero: the same functions can be learned, but a
network at the start of training leaves its anchors where they are instead of scattering them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.errors import SettingError


@dataclass(frozen=True)
class CorrelatedScene:
    """The scene's side of a correlation."""

    adjusted: Tensor
    """[B, c', H, W]: phi(x) of Eq. 1"""
    shared: Tensor
    """[B, outputs, H, W]: the response to the kernel that all queries share, if there is one, and the bias"""

    def repeated(self, times: int) -> CorrelatedScene:
        """Each scene so many times, one after the other."""
        return CorrelatedScene(
            self.adjusted.repeat_interleave(times, dim=0), self.shared.repeat_interleave(times, dim=0)
        )


@dataclass(frozen=True)
class CorrelationKernel:
    """The query's side: its kernel is the outer product of the two, cell by cell."""

    first: Tensor
    """[P, c', h, w]"""
    second: Tensor
    """[P, outputs, h, w]"""


def pad_same(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Zeros around maps [..., H, W], so that a kernel of `size` keeps H and W; an even one gets more at the end."""
    (height, width) = size
    top, left = (height - 1) // 2, (width - 1) // 2
    return F.pad(maps, (left, width - 1 - left, top, height - 1 - top))


def cat_kernels(kernels: Sequence[Any]) -> Any:
    """Kernels of one layer as one batch; at least one."""
    if isinstance(kernels[0], CorrelationKernel):
        return CorrelationKernel(torch.cat([k.first for k in kernels]), torch.cat([k.second for k in kernels]))
    return torch.cat(list(kernels))


Kernel = TypeVar("Kernel")


class CrossCorrelation(nn.Module, ABC, Generic[Kernel]):
    """What IGPN asks of a correlation layer. Each layer has its own type of kernel, made from the query."""

    def __init__(self, channels: int, kernel: tuple[int, int], adjust: nn.Module) -> None:
        super().__init__()
        self.damping = float((channels * kernel[0] * kernel[1]) ** -0.5)
        self.adjust = adjust

    @abstractmethod
    def read_scene(self, maps: Tensor) -> CorrelatedScene:
        """Stem maps [B, inputs, H, W] to all that does not depend on a query."""

    @abstractmethod
    def read_query(self, maps: Tensor) -> Kernel:
        """Stem maps [P, inputs, h, w] of queries to their kernels."""

    @abstractmethod
    def correlate(self, scene: CorrelatedScene, kernel: Kernel) -> Tensor:
        """Eq. 1: [P, outputs, H, W] for P pairs. One scene (B = 1) is shared by all queries."""

    @abstractmethod
    def paper_count(self) -> int:
        """Parameters as the paper counts them."""


def _start(layer: nn.Conv2d, std: float) -> None:
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.get_parameter("bias"))


def _fresh_phi(inputs: int, channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, channels, 3, padding=1)
    _start(layer, 0.01)
    return layer


class ImprovedCrossCorrelation(CrossCorrelation[CorrelationKernel]):
    """Eq. 2: the kernel is phi1(z) x phi2(z) + B, with B shared by all queries. Never built, only applied."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        outputs: int,
        kernel: tuple[int, int],
        shared: bool = True,
        adjust: nn.Module | None = None,
    ) -> None:
        """`adjust` is phi, from what scenes are read as to `channels`; without one, a convolution of its own."""
        super().__init__(channels, kernel, _fresh_phi(inputs, channels) if adjust is None else adjust)
        self.first = nn.Conv2d(inputs, channels, 3, padding=1)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.shared: nn.Module = _SharedKernel(channels, outputs, kernel) if shared else _NoKernel(outputs)
        for layer, std in ((self.first, 0.01), (self.second, 0.0)):
            _start(layer, std)

    def start_as(self, weight: Tensor, bias: Tensor) -> None:
        """Answers from now on as a 1x1 convolution of phi does, by weight [outputs, c'] and bias [outputs], and as the
        query's part, which is zero at first, learns to add."""
        if not isinstance(self.shared, _SharedKernel):
            raise SettingError("a correlation without B has nothing to start as a proposal network does")
        height, width = self.shared.size
        with torch.no_grad():
            self.shared.weight.zero_()
            self.shared.weight[:, :, (height - 1) // 2, (width - 1) // 2] = weight.float()
            self.shared.bias.copy_(bias.float())

    def read_scene(self, maps: Tensor) -> CorrelatedScene:
        """Stem maps [B, inputs, H, W] to all that does not depend on a query."""
        adjusted = self.adjust(maps)
        return CorrelatedScene(adjusted, self.shared(adjusted))

    def read_query(self, maps: Tensor) -> CorrelationKernel:
        """Stem maps [P, inputs, h, w] of queries to the two factors of their kernels."""
        return CorrelationKernel(self.first(maps) * self.damping, self.second(maps))

    def correlate(self, scene: CorrelatedScene, kernel: CorrelationKernel) -> Tensor:
        """Eq. 1: [P, outputs, H, W] for P pairs. One scene (B = 1) is shared by all queries.

        Each cell of the kernel is an inner product with `first`, shifted by the cell's offset and weighted by `second`:
        for a 7x3 kernel 21 numbers a position instead of 21 x c', so a pair costs a 26th of the dense form.
        """
        cells = kernel.first.flatten(2).transpose(1, 2)  # [P, h w, c']
        height, width = scene.adjusted.shape[2:]
        products = _inner_products(cells, scene.adjusted.flatten(2))  # [P, h w, H W]
        h, w = kernel.first.shape[2:]
        padded = pad_same(products.view(len(products), h * w, height, width), (h, w))
        shifted = [
            padded[:, row * w + column, row : row + height, column : column + width]
            for row in range(h)
            for column in range(w)
        ]
        read = torch.stack(shifted, dim=1).flatten(2)  # [P, h w, H W]
        own = kernel.second.flatten(2) @ read
        return own.view(len(own), -1, height, width) + scene.shared

    def paper_count(self) -> int:
        """Parameters as the paper counts them: both convolutions of the query's side and B, without biases."""
        parts = [self.first.weight, self.second.weight]
        return sum(part.numel() for part in parts) + sum(
            p.numel() for n, p in self.shared.named_parameters() if "bias" not in n
        )


def _inner_products(cells: Tensor, maps: Tensor) -> Tensor:
    """Cells [P, n, c'] with maps [B, c', m], B = P or 1, to [P, n, m]."""
    if len(maps) > 1:
        return cells @ maps
    # one product of two matrices: a batched one would copy the scene for each query
    return (cells.flatten(0, 1) @ maps[0]).view(*cells.shape[:2], -1)


class _SharedKernel(nn.Module):
    """B of Eq. 2, and the bias of the outputs."""

    def __init__(self, channels: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.size = kernel
        self.weight = nn.Parameter(torch.zeros(outputs, channels, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, adjusted: Tensor) -> Tensor:
        return F.conv2d(pad_same(adjusted, self.size), self.weight, self.bias)


class _NoKernel(nn.Module):
    """Without B there is still the bias of the outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, adjusted: Tensor) -> Tensor:
        batch, _, height, width = adjusted.shape
        return self.bias[None, :, None, None].expand(batch, -1, height, width)


class VanillaCrossCorrelation(CrossCorrelation[Tensor]):
    """Eq. 1 as SiamRPN has it: one convolution makes the whole kernel. 254.80 M parameters for both of IGPN's."""

    def __init__(self, inputs: int, channels: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__(channels, kernel, _fresh_phi(inputs, channels))
        self.channels = channels
        self.up = nn.Conv2d(inputs, channels * outputs, 3, padding=1)
        self.bias = nn.Parameter(torch.zeros(outputs))
        _start(self.up, 0.0)

    def read_scene(self, maps: Tensor) -> CorrelatedScene:
        """Stem maps [B, inputs, H, W] to all that does not depend on a query."""
        adjusted = self.adjust(maps)
        batch, _, height, width = adjusted.shape
        return CorrelatedScene(adjusted, self.bias[None, :, None, None].expand(batch, -1, height, width))

    def read_query(self, maps: Tensor) -> Tensor:
        """Stem maps [P, inputs, h, w] of queries to their kernels [P, outputs, c', h, w]."""
        own = F.conv2d(maps, self.up.weight, padding=1) * self.damping
        kernels = own + self.up.get_parameter("bias")[None, :, None, None]
        return kernels.view(len(maps), -1, self.channels, *maps.shape[2:])

    def correlate(self, scene: CorrelatedScene, kernel: Tensor) -> Tensor:
        """[P, outputs, H, W] for P pairs. One scene (B = 1) is shared by all queries."""
        return dense_correlation(scene.adjusted, kernel) + scene.shared

    def paper_count(self) -> int:
        """Parameters as the paper counts them: those of the convolution that makes the kernel, without its bias."""
        return self.up.weight.numel()


class Excitation(CrossCorrelation[Tensor]):
    """Not a correlation: what guided proposals before IGPN, as a reading of QEEPS (Munjal et al., CVPR 2019), which has
    no public code. Scene and query, each squeezed into its mean, tell together how much each channel of the scene
    counts: for query means z and means m of phi(x),

        gates = sigmoid(W2 relu(W1 [m, z]))

    A 1x1 convolution reads the scene whose channels are weighed so.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__(channels, kernel, nn.Sequential(_fresh_phi(inputs, channels), nn.ReLU(inplace=True)))
        hidden = max(1, channels // _SQUEEZED)
        self.squeeze = nn.Linear(channels + inputs, hidden)
        self.excite = nn.Linear(hidden, channels)
        self.read = nn.Conv2d(channels, outputs, 1)
        _start(self.read, 0.01)

    def read_scene(self, maps: Tensor) -> CorrelatedScene:
        """Stem maps [B, inputs, H, W] to all that does not depend on a query."""
        adjusted = self.adjust(maps)
        bias = self.read.get_parameter("bias")[None, :, None, None]
        return CorrelatedScene(adjusted, bias.expand(len(adjusted), -1, *adjusted.shape[2:]))

    def read_query(self, maps: Tensor) -> Tensor:
        """Stem maps [P, inputs, h, w] of queries to their means [P, inputs]."""
        means: Tensor = maps.mean(dim=(2, 3))
        return means

    def correlate(self, scene: CorrelatedScene, kernel: Tensor) -> Tensor:
        """[P, outputs, H, W] for P pairs. One scene (B = 1) is shared by all queries."""
        means = scene.adjusted.mean(dim=(2, 3)).expand(len(kernel), -1)
        gates = self.excite(F.relu(self.squeeze(torch.cat([means, kernel], dim=1)))).sigmoid()
        weights: Tensor = self.read.weight.flatten(1) * gates[:, None]  # [P, outputs, c']
        read = weights @ scene.adjusted.flatten(2)
        return read.view(len(kernel), -1, *scene.adjusted.shape[2:]) + scene.shared

    def paper_count(self) -> int:
        """Parameters as IGPN's paper counts those of its own layers: all but phi's and the biases."""
        return sum(layer.weight.numel() for layer in (self.squeeze, self.excite, self.read))


_SQUEEZED = 16
"""How many times fewer numbers decide on the channels, as in squeeze-and-excitation (Hu et al., CVPR 2018)."""

CORRELATIONS: dict[str, Callable[..., CrossCorrelation[Any]]] = {
    "improved": ImprovedCrossCorrelation,
    "unshared": partial(ImprovedCrossCorrelation, shared=False),
    "vanilla": VanillaCrossCorrelation,
    "excitation": Excitation,
}
"""Makes the layers, from inputs, channels, outputs and the kernel's size."""


def dense_correlation(adjusted: Tensor, kernels: Tensor) -> Tensor:
    """Correlates maps [B, c', H, W] with kernels [P, outputs, c', h, w], B = P or 1, to [P, outputs, H, W]."""
    pairs, outputs = kernels.shape[:2]
    padded = pad_same(adjusted.expand(pairs, -1, -1, -1), (kernels.shape[3], kernels.shape[4]))
    read = F.conv2d(padded.flatten(0, 1)[None], kernels.flatten(0, 1), groups=pairs)
    return read[0].view(pairs, outputs, *read.shape[2:])
