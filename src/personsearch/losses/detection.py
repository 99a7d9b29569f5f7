"""Faster R-CNN's losses: is there a person, and where exactly (L_det of BINet's Eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.geometry.assignment import Matcher, Sampler
from personsearch.geometry.deltas import encode_boxes
from personsearch.models.rpn import RPN_STD, RPNOutput
from personsearch.models.search_network import ROI_STD, SearchOutput, Targets

_RPN_SAMPLER = Sampler(count=256, positive_fraction=0.5)


def rpn_losses(rpn: RPNOutput, targets: Sequence[Targets], positive_iou: float = 0.7) -> tuple[Tensor, Tensor]:
    """Score and box loss of the proposal network, means over pictures, of which each has its targets.

    Anchors that overlap a person by `positive_iou` are positive, those under 0.3 negative.
    A picture without people trains the score alone.
    """
    matcher = Matcher(positive=positive_iou, negative=0.3, best_is_positive=True)
    score_losses, box_losses = [], []
    for logits, deltas, target in zip(rpn.logits, rpn.deltas, targets, strict=True):
        persons = target.boxes
        match = matcher(rpn.anchors, persons)
        positive, negative = _RPN_SAMPLER(match, target.random)
        kept = torch.cat([positive, negative])
        truth = (match[kept] >= 0).float()
        score_losses.append(F.binary_cross_entropy_with_logits(logits[kept], truth))
        aims = encode_boxes(persons[match[positive]], rpn.anchors[positive], RPN_STD)
        box_losses.append(_box_loss(deltas[positive], aims, beta=1 / 9, count=len(kept)))
    return torch.stack(score_losses).mean(), torch.stack(box_losses).mean()


def roi_losses(output: SearchOutput) -> tuple[Tensor, Tensor]:
    """Score and box loss of the sampled regions."""
    positive = output.regions.positive
    score_loss = F.binary_cross_entropy_with_logits(output.logits, positive.float())
    references = torch.cat(output.regions.positive_boxes())
    aims = encode_boxes(output.regions.matched_boxes, references, ROI_STD)
    return score_loss, _box_loss(output.deltas[positive], aims, beta=1.0, count=len(positive))


def _box_loss(predicted: Tensor, aims: Tensor, beta: float, count: int) -> Tensor:
    """Smooth L1, summed, over `count` samples, negatives included: so a box weighs like a score."""
    return F.smooth_l1_loss(predicted, aims, beta=beta, reduction="sum") / max(count, 1)
