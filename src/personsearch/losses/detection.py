"""Faster R-CNN's losses: is there a person, and where exactly (L_det of BINet's Eq. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from personsearch.geometry.assignment import Matcher, Sampler
from personsearch.geometry.deltas import decode_boxes, encode_boxes
from personsearch.models.guided import IGPNOutput
from personsearch.models.rpn import RPN_STD, RPNOutput
from personsearch.models.search_network import ROI_STD, SearchOutput, Targets
from personsearch.settings import Count, Part


@dataclass(frozen=True)
class AnchorRule:
    """Which anchors of a picture train a proposal network, and how. The defaults are Faster R-CNN's."""

    positive_iou: Part = 0.7
    """Overlap (IoU) with a person from which on an anchor is positive."""
    negative_iou: Part = 0.3
    """Below it an anchor is background; between the two it does not train."""
    best_is_positive: bool = True
    """Whether the anchors that overlap a person most are positive, however little that is."""
    count: Count = 256
    """Anchors of each picture that train."""
    positive_fraction: Part = 0.5
    """Largest part of them that is positive."""


def rpn_losses(rpn: RPNOutput, targets: Sequence[Targets], rule: AnchorRule = AnchorRule()) -> tuple[Tensor, Tensor]:
    """Score and box loss of a proposal network: means over pictures, with one `Targets` a picture.

    A picture without people trains the score alone.
    """
    matcher = Matcher(rule.positive_iou, rule.negative_iou, rule.best_is_positive)
    sampler = Sampler(rule.count, rule.positive_fraction)
    score_losses, box_losses = [], []
    for logits, deltas, target in zip(rpn.logits, rpn.deltas, targets, strict=True):
        persons = target.boxes
        match = matcher(rpn.anchors, persons)
        positive, negative = sampler(match, target.random)
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


def fit_loss(output: SearchOutput) -> Tensor:
    """Cross-entropy of each positive region's predicted fit against its final box's overlap with the person.

    Zero for a head that predicts no fit.
    """
    positive = output.regions.positive
    fits = output.fits[positive]
    boxes = decode_boxes(output.deltas[positive].detach(), torch.cat(output.regions.positive_boxes()), ROI_STD)
    overlap = box_iou(boxes, output.regions.matched_boxes).diagonal()[:, None].expand_as(fits)
    return F.binary_cross_entropy_with_logits(fits, overlap, reduction="sum") / max(len(fits), 1)


def _box_loss(predicted: Tensor, aims: Tensor, beta: float, count: int) -> Tensor:
    """Smooth L1, summed, over `count` samples, negatives included: so a box weighs like a score."""
    return F.smooth_l1_loss(predicted, aims, beta=beta, reduction="sum") / max(count, 1)


def related_losses(output: IGPNOutput) -> tuple[Tensor, Tensor]:
    """IGPN's second similarity and box loss, over the proposals of all pairs. Zero where there are none."""
    related, matches = output.related, output.matches
    truth = (matches >= 0)[related.present]
    logits = related.logits[related.present]
    if not len(logits):
        return related.logits.sum() * 0, related.deltas.sum() * 0
    pairs, indices = torch.nonzero(related.present & (matches >= 0), as_tuple=True)
    persons = [output.targets[pair].boxes[matches[pair, index]] for pair, index in zip(pairs, indices, strict=True)]
    aimed = torch.stack(persons) if persons else related.boxes.new_zeros((0, 4))
    aims = encode_boxes(aimed, related.boxes[pairs, indices], ROI_STD)
    box_loss = _box_loss(related.deltas[pairs, indices], aims, beta=1.0, count=len(logits))
    return F.cross_entropy(logits, truth.long()), box_loss
