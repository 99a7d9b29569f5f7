"""How good a ranking is. Pure functions of numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FEW = 64


def average_precision(scores: Floats, hits: Floats, relevant: int) -> float:
    """Step-wise average precision over everything that should be found.

    `scores` [N] are those of all answers, in any order; `hits` [H] are the scores of the right ones among them,
    and `relevant` >= H counts what there was to find. Each hit adds the precision of all answers that score as
    much or more, so the order of answers with equal scores does not matter. This is scikit-learn's
    `average_precision_score` times the recall. In [0, 1]; 0 without a hit or without anything to find.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([0.9, 0.7]), relevant=2)
    0.8333333333333333
    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([0.9, 0.7]), relevant=4)
    0.41666666666666663
    >>> average_precision(np.array([0.5, 0.5]), np.array([0.5]), relevant=1)
    0.5
    >>> average_precision(np.array([0.9]), np.array([]), relevant=1)
    0.0
    """
    if not len(hits) or not relevant:
        return 0.0
    hits = np.sort(hits)  # so that not even the last bit of the sum depends on the order given
    return float((_at_least(hits, hits) / _at_least(scores, hits)).sum() / relevant)


def first_hit_rank(scores: Floats, hits: Floats) -> int | None:
    """Rank of the best hit, counted from 1; None without a hit.

    Wrong answers with the same score rank before it: a model that scores everything alike has found nothing.

    >>> first_hit_rank(np.array([0.9, 0.8, 0.7]), np.array([0.8, 0.7]))
    2
    >>> first_hit_rank(np.array([0.9, 0.9, 0.9]), np.array([0.9, 0.9]))
    2
    >>> first_hit_rank(np.array([0.9]), np.array([])) is None
    True
    """
    if not len(hits):
        return None
    best = hits.max()
    return int((scores >= best).sum() - (hits >= best).sum()) + 1


def box_ious(first: Floats, second: Floats) -> Floats:
    """[N, M] intersection over union of xyxy boxes [N, 4] and [M, 4], without the "+1" of old codes.

    0 where a box has no area or is not a number.

    >>> box_ious(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 2.0, 1.0], [5.0, 5.0, 6.0, 6.0]]))
    array([[0.5, 0. ]])
    """
    corner_low = np.maximum(first[:, None, :2], second[None, :, :2])
    corner_high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (corner_high - corner_low).clip(min=0).prod(axis=2)
    total = _areas(first)[:, None] + _areas(second)[None] - shared
    ious: Floats = np.divide(shared, total, out=np.zeros_like(shared), where=(shared > 0) & (total > 0))
    return ious


def match_one_to_one(truth: Floats, boxes: Floats, scores: Floats, iou: float) -> Flags:
    """[M] which of the detected xyxy boxes [M, 4] find one of the true boxes [N, 4].

    A detection does when it and the true box are each other's best overlap, of at least `iou`. Among equal
    overlaps the higher score wins, so the order of neither list matters.

    >>> truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    >>> boxes = np.array([[0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 10.0, 9.0]])
    >>> match_one_to_one(truth, boxes, np.array([0.9, 0.6]), iou=0.5)
    array([False,  True])
    """
    found = np.zeros(len(boxes), dtype=bool)
    if not len(truth) or not len(boxes):
        return found
    # Sorted, so that argmax, which takes the first of equals, does not depend on the order that was given.
    truth = truth[np.lexsort(truth.T)]
    order = np.lexsort((*boxes.T, -scores))
    ious = box_ious(truth, boxes[order])
    best_truth, best_box = ious.argmax(axis=0), ious.argmax(axis=1)
    columns = np.arange(len(boxes))
    found[order] = (best_box[best_truth] == columns) & (ious[best_truth, columns] >= iou) & (ious.max(axis=0) > 0)
    return found


def _at_least(scores: Floats, limits: Floats) -> NDArray[np.int64]:
    """[L] how many of the scores reach each limit."""
    if len(limits) < _FEW:  # to sort all scores would cost more
        return np.array([np.count_nonzero(scores >= limit) for limit in limits])
    return len(scores) - np.searchsorted(np.sort(scores), limits, side="left")


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    return areas
