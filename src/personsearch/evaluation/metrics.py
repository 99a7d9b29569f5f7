"""How good a ranking is. Pure functions of numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]

_FEW = 64
_SCENES = 64
"""Matched at a time."""


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
    """[..., N, M] intersection over union of xyxy boxes [..., N, 4] and [..., M, 4], without the "+1" of old codes.

    0 where a box has no area or is not a number.

    >>> box_ious(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[0.0, 0.0, 2.0, 1.0], [5.0, 5.0, 6.0, 6.0]]))
    array([[0.5, 0. ]])
    """
    corner_low = np.maximum(first[..., :, None, :2], second[..., None, :, :2])
    corner_high = np.minimum(first[..., :, None, 2:], second[..., None, :, 2:])
    shared = (corner_high - corner_low).clip(min=0).prod(axis=-1)
    total = _areas(first)[..., :, None] + _areas(second)[..., None, :] - shared
    ious: Floats = np.divide(shared, total, out=np.zeros_like(shared), where=(shared > 0) & (total > 0))
    return ious


def match_one_to_one(truth: Floats, boxes: Floats, scores: Floats, iou: float) -> Flags:
    """[..., M] which of the detected xyxy boxes [..., M, 4] find one of the true boxes [..., N, 4].

    A detection does when it and the true box are each other's best overlap, of at least `iou`. Among equal
    overlaps the higher score wins, so the order of neither list matters. Boxes that are not numbers change nothing:
    scenes with fewer of them than others can be filled up.

    >>> truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    >>> boxes = np.array([[0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 10.0, 9.0]])
    >>> match_one_to_one(truth, boxes, np.array([0.9, 0.6]), iou=0.5)
    array([False,  True])
    """
    found = np.zeros(scores.shape, dtype=bool)
    if not truth.size or not boxes.size:
        return found
    # Sorted, so that argmax, which takes the first of equals, does not depend on the order that was given.
    truth = np.take_along_axis(truth, np.lexsort(np.moveaxis(truth, -1, 0))[..., None], axis=-2)
    order = np.lexsort((*np.moveaxis(boxes, -1, 0), -scores))
    ious = box_ious(truth, np.take_along_axis(boxes, order[..., None], axis=-2))
    best_truth, best_box = ious.argmax(axis=-2), ious.argmax(axis=-1)
    best = ious.max(axis=-2)
    mutual = np.take_along_axis(best_box, best_truth, axis=-1) == np.arange(scores.shape[-1])
    np.put_along_axis(found, order, mutual & (best >= iou) & (best > 0), axis=-1)
    return found


def match_in_scenes(
    truth: Floats, truth_of: Places, boxes: Floats, scores: Floats, scene_of: Places, iou: float
) -> Flags:
    """[M] which of the detected boxes [M, 4] find a true box [N, 4] of their scene, as by `match_one_to_one`.

    `truth_of` [N] and `scene_of` [M] are the scenes' numbers, in ascending order.
    """
    found = np.zeros(len(boxes), dtype=bool)
    last = max((*truth_of[-1:].tolist(), *scene_of[-1:].tolist()), default=-1)
    for start in range(0, last + 1, _SCENES):
        edges = start, min(start + _SCENES, last + 1)
        true, some = slice(*np.searchsorted(truth_of, edges)), slice(*np.searchsorted(scene_of, edges))
        annotated = _filled(truth[true], truth_of[true], edges)
        right = match_one_to_one(
            annotated, _filled(boxes[some], scene_of[some], edges), _filled(scores[some], scene_of[some], edges), iou
        )
        found[some] = right[_places(scene_of[some], edges)]
    return found


def _places(scene_of: Places, edges: tuple[int, int]) -> Flags:
    """[S, most] a row for each scene between the edges, with as many True as it has numbers in `scene_of`."""
    counts = np.bincount(scene_of - edges[0], minlength=edges[1] - edges[0])
    places: Flags = np.arange(counts.max()) < counts[:, None]
    return places


def _filled(values: Floats, scene_of: Places, edges: tuple[int, int]) -> Floats:
    """[S, most, ...] the values of each scene, filled up with NaN."""
    places = _places(scene_of, edges)
    filled = np.full((*places.shape, *values.shape[1:]), np.nan)
    filled[places] = values
    return filled


def _at_least(scores: Floats, limits: Floats) -> NDArray[np.int64]:
    """[L] how many of the scores reach each limit."""
    if len(limits) < _FEW:  # to sort all scores would cost more
        return np.array([np.count_nonzero(scores >= limit) for limit in limits])
    return len(scores) - np.searchsorted(np.sort(scores), limits, side="left")


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1)
    return areas
