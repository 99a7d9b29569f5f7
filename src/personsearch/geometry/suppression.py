"""Which of several boxes of one person stays."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou


def suppress(
    boxes: Tensor, scores: Tensor, embeddings: Tensor, iou: float, twin_iou: float = 1.0, twin_cosine: float = 1.0
) -> Tensor:
    """Places of the boxes [N, 4] that stay, by falling score; equal scores in their order.

    From the best one on, a box removes those that overlap it by more than `iou`, as non-maximum suppression does, and
    those that overlap it by more than `twin_iou` and look the same: whose embeddings [N, D] have a cosine of more than
    `twin_cosine`. So `iou` may be high enough for neighbours in a crowd, and a person still gets one box.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    overlap, likeness = box_iou(boxes, boxes), embeddings @ embeddings.T
    removes = ((overlap > iou) | ((overlap > twin_iou) & (likeness > twin_cosine))).cpu()
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    kept = []
    for place in order.tolist():
        if not gone[place]:
            kept.append(place)
            gone |= removes[place]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)
