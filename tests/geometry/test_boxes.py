import math

import pytest

from personsearch.errors import BoxError
from personsearch.geometry.boxes import check_box


def test_a_box_within_stays_and_one_across_the_border_is_cut():
    assert check_box([1, 2, 3, 4], 10, 10) == (1, 2, 3, 4)
    assert check_box([-5, -5, 30, 5], 10, 20) == (0, 0, 10, 5)


def test_a_box_of_one_pixel_is_one_however_its_corners_were_rounded():
    for x in (0.1, 3.3, 7.7, 123.45):
        assert check_box([x, 2, x + 1, 3], 1000, 8) == (x, 2, x + 1, 3)


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
        ((5, 2, 5.001, 2.001), "less than a pixel wide or high in its picture of 10 x 8"),
        ((9.5, 2, 30, 8), "less than a pixel"),
        ((0.1, 0.2, 0.4, 0.8), "give x1 y1 x2 y2 in pixels"),
        ((1, 2, "three", 4), "is not numbers"),
        ((1, 2, 10**400, 4), "is not numbers"),
        ((1, 2, None, 4), "is not numbers"),
    ],
)
def test_an_impossible_box_is_one_clear_line(box, reason):
    with pytest.raises(BoxError, match=reason) as caught:
        check_box(box, 10, 8)
    assert "\n" not in str(caught.value)
