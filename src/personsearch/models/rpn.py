"""Region proposal network of OIM and BINet: where in a scene may a person be?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms

from personsearch.geometry.deltas import decode_boxes
from personsearch.models.resnet import Conv
from personsearch.settings import Count, Part, Positive

STRIDE = 16
RPN_STD = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class AnchorSettings:
    """Sizes are square roots of areas in pixels of the resized picture; ratios are height / width."""

    sizes: tuple[Positive, ...] = (128.0, 256.0, 512.0)
    ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)


def make_anchors(height: int, width: int, settings: AnchorSettings) -> Tensor:
    """Anchors [height * width * A, 4] of a stem map, position by position in reading order, float32 xyxy."""
    size = torch.tensor(settings.sizes)[:, None]
    ratio = torch.tensor(settings.ratios)[None, :].sqrt()
    w, h = (size / ratio).flatten() / 2, (size * ratio).flatten() / 2
    shapes = torch.stack([-w, -h, w, h], dim=1)  # [A, 4] around the origin
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = (torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4) + 0.5) * STRIDE
    return (centres + shapes).reshape(-1, 4)


@dataclass(frozen=True)
class ProposalSettings:
    """How many anchors become proposals."""

    before_nms: Count
    after_nms: Count
    nms_iou: Part = 0.7
    min_side: float = 4.0


@dataclass(frozen=True)
class RPNOutput:
    """Predictions for every anchor of B pictures."""

    anchors: Tensor
    """[N, 4]"""
    logits: Tensor
    """[B, N] person or not"""
    deltas: Tensor
    """[B, N, 4]"""

    def proposals(self, image: int, size: tuple[int, int], settings: ProposalSettings) -> Tensor:
        """The most person-like boxes [n, 4] of one picture of `size` (height, width), best first, no gradient."""
        return self.scored_proposals(image, size, settings)[0]

    def scored_proposals(self, image: int, size: tuple[int, int], settings: ProposalSettings) -> tuple[Tensor, Tensor]:
        """The same with their logits [n]."""
        logits, deltas = self.logits[image].detach(), self.deltas[image].detach()
        top = logits.topk(min(settings.before_nms, len(logits))).indices
        boxes = clip_boxes_to_image(decode_boxes(deltas[top], self.anchors[top], RPN_STD), size)
        sides = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values
        large = sides >= settings.min_side
        boxes, scores = boxes[large], logits[top][large]
        kept = first_survivors(boxes, scores, settings.nms_iou, settings.after_nms)
        return boxes[kept], scores[kept]


def first_survivors(boxes: Tensor, scores: Tensor, iou: float, count: int) -> Tensor:
    """Indices of the first `count` boxes that survive suppression, among boxes [N, 4] with falling scores [N].

    What survives among the best boxes does not depend on those after them, so a prefix is nearly always enough.
    """
    seen = 4 * count
    while True:
        survivors: Tensor = nms(boxes[:seen], scores[:seen], iou)
        if len(survivors) >= count or seen >= len(boxes):
            return survivors[:count]
        seen *= 4


class RPN(nn.Module):
    """3x3 convolution, then a score and four offsets for each of A anchors at each position."""

    def __init__(self, channels: int, hidden: int, anchors: AnchorSettings) -> None:
        super().__init__()
        self.anchors = anchors
        count = len(anchors.sizes) * len(anchors.ratios)
        self.conv = Conv(channels, hidden, 3)
        self.score = nn.Conv2d(hidden, count, 1)
        self.delta = nn.Conv2d(hidden, 4 * count, 1)
        for layer in (self.conv, self.score, self.delta):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> RPNOutput:
        """Stem maps [B, C, H, W] to predictions for H * W * A anchors."""
        return self.answer(self.hidden(maps))

    def hidden(self, maps: Tensor) -> Tensor:
        """The 3x3 convolution of stem maps [B, C, H, W]."""
        return F.relu(self.conv(maps), inplace=True)

    def answer(self, hidden: Tensor) -> RPNOutput:
        """Predictions from it."""
        batch, _, height, width = hidden.shape
        logits = self.score(hidden).float().permute(0, 2, 3, 1).reshape(batch, -1)
        deltas = self.delta(hidden).float().permute(0, 2, 3, 1).reshape(batch, -1, 4)
        return RPNOutput(make_anchors(height, width, self.anchors).to(hidden.device), logits, deltas)
