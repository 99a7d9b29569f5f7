import math

import pytest
import torch

from personsearch.errors import BoxError
from personsearch.geometry.boxes import check_box, clip_boxes, scale_boxes, xywh_to_xyxy, xyxy_to_xywh


def test_conversions_undo_each_other_and_leave_the_input():
    boxes = torch.rand(20, 4) * 100
    before = boxes.clone()
    assert torch.allclose(xyxy_to_xywh(xywh_to_xyxy(boxes)), boxes, atol=1e-4)
    assert torch.equal(boxes, before)


def test_clipping_is_the_slow_rule_of_each_number():
    boxes = torch.randn(50, 4) * 200
    clipped = clip_boxes(boxes, 100, 60)
    for box, found in zip(boxes.tolist(), clipped.tolist(), strict=True):
        limits = (100, 60, 100, 60)
        assert found == pytest.approx([min(max(value, 0), limit) for value, limit in zip(box, limits, strict=True)])


def test_scaling_there_and_back():
    boxes = torch.rand(5, 4)
    assert torch.allclose(scale_boxes(scale_boxes(boxes, 2.0, 5.0), 0.5, 0.2), boxes)


@pytest.mark.parametrize("function", [xywh_to_xyxy, xyxy_to_xywh, lambda b: clip_boxes(b, 5, 5)])
def test_no_boxes_stay_no_boxes(function):
    assert function(torch.zeros(0, 4)).shape == (0, 4)


def test_a_box_within_stays_and_one_across_the_border_is_cut():
    assert check_box([1, 2, 3, 4], 10, 10) == (1, 2, 3, 4)
    assert check_box([-5, -5, 30, 5], 10, 20) == (0, 0, 10, 5)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((1, 2, 3), "3 numbers"),
        ((1, 2, math.nan, 4), "not finite"),
        ((1, 2, math.inf, 4), "not finite"),
        ((5, 2, 5, 9), "no area"),
        ((5, 9, 8, 2), "no area"),
        ((10, 0, 20, 5), "outside the picture: x goes from 0 to 10 and y from 0 to 8"),
        ((0, -9, 5, 0), "outside"),
    ],
)
def test_an_impossible_box_is_one_clear_line(box, reason):
    with pytest.raises(BoxError, match=reason) as caught:
        check_box(box, 10, 8)
    assert "\n" not in str(caught.value)
