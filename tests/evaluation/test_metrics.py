import numpy as np
import pytest
from slow_rule import slow_average_precision, slow_iou

from personsearch.evaluation.metrics import (
    average_precision,
    box_ious,
    first_hit_rank,
    match_in_scenes,
    match_one_to_one,
)


@pytest.mark.parametrize("seed", range(30))
def test_average_precision_is_the_slow_walk_with_ties(seed):
    random = np.random.default_rng(seed)
    n = random.integers(1, 40)
    scores = random.integers(0, 10, n) / 10  # many ties
    right = random.random(n) < 0.3
    relevant = int(right.sum() + random.integers(0, 3)) or 1
    expected = slow_average_precision(scores.tolist(), right.tolist(), relevant)
    assert average_precision(scores, scores[right], relevant) == pytest.approx(expected, abs=1e-12)


def test_nothing_to_find_and_nothing_found():
    nothing = np.zeros(0)
    assert average_precision(nothing, nothing, 3) == 0
    assert average_precision(np.array([0.4]), nothing, 0) == 0
    assert first_hit_rank(nothing, nothing) is None


def test_the_rank_counts_wrong_answers_of_the_same_score_first():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    assert first_hit_rank(scores, np.array([0.5])) == 4
    assert first_hit_rank(scores, np.array([0.5, 0.5])) == 3
    assert first_hit_rank(scores, np.array([0.1, 0.9])) == 1


def random_boxes(random, n):
    low = random.integers(0, 20, (n, 2)).astype(float)
    return np.concatenate([low, low + random.integers(1, 20, (n, 2))], axis=1)


def test_ious_are_the_slow_ones():
    random = np.random.default_rng(0)
    first, second = random_boxes(random, 12), random_boxes(random, 9)
    expected = [[slow_iou(a, b) for b in second] for a in first]
    assert np.allclose(box_ious(first, second), expected, atol=1e-12)
    assert box_ious(first[:0], second).shape == (0, 9)


def test_boxes_without_area_or_number_overlap_nothing():
    box = np.array([[0.0, 0.0, 5.0, 5.0]])
    strange = np.array([[1.0, 1.0, 1.0, 4.0], [4.0, 4.0, 1.0, 1.0], [np.nan, 0.0, 5.0, 5.0]])
    assert box_ious(box, strange).tolist() == [[0, 0, 0]]
    assert match_one_to_one(box, strange, np.ones(3), 0.0).tolist() == [False] * 3


@pytest.mark.parametrize("seed", range(30))
def test_matching_does_not_depend_on_any_order(seed):
    random = np.random.default_rng(seed)
    truth, boxes = random_boxes(random, 6), random_boxes(random, 10)
    boxes[:4], boxes[4] = truth[:4], truth[0]  # some perfect, one twice
    scores = random.integers(0, 4, 10) / 4
    found = match_one_to_one(truth, boxes, scores, 0.5)
    assert found.sum() <= len(truth)
    shuffled = random.permutation(10)
    again = match_one_to_one(truth[::-1], boxes[shuffled], scores[shuffled], 0.5)
    assert sorted(scores[shuffled][again]) == sorted(scores[found])


def test_of_two_equal_boxes_the_surer_one_finds_the_person():
    truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    found = match_one_to_one(truth, truth[[0, 0]], np.array([0.3, 0.8]), 0.5)
    assert found.tolist() == [False, True]


def test_one_box_over_two_people_finds_one():
    truth = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0]])
    assert match_one_to_one(truth, truth[:1], np.ones(1), 0.5).sum() == 1


@pytest.mark.parametrize("seed", range(4))
def test_many_scenes_are_matched_as_one_after_the_other(seed):
    """Some without people, some without detections, and more of them than are matched at a time."""
    random = np.random.default_rng(seed)
    people, detected = random.integers(0, 5, 150), random.integers(0, 7, 150) * (random.random(150) < 0.8)
    truth_of, scene_of = np.repeat(np.arange(150), people), np.repeat(np.arange(150), detected)

    def boxes(count):
        corners = random.integers(0, 8, (count, 2)).astype(float)
        return np.concatenate([corners, corners + random.integers(0, 9, (count, 2))], axis=1)

    truth, found = boxes(len(truth_of)), boxes(len(scene_of))
    scores = random.integers(0, 4, len(found)) / 4
    each = [
        match_one_to_one(truth[truth_of == one], found[scene_of == one], scores[scene_of == one], 0.3)
        for one in range(150)
    ]
    assert match_in_scenes(truth, truth_of, found, scores, scene_of, 0.3).tolist() == np.concatenate(each).tolist()
    assert np.concatenate(each).sum() > 15
    nobody = match_in_scenes(truth[:0], truth_of[:0], found, scores, scene_of, 0.3)
    assert not nobody.any()
    assert match_in_scenes(truth, truth_of, found[:0], scores[:0], scene_of[:0], 0.3).shape == (0,)
    assert match_in_scenes(truth[:0], truth_of[:0], found[:0], scores[:0], scene_of[:0], 0.3).shape == (0,)
