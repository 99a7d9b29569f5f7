"""Stamps in, seconds out: never back, exact where the stamps run on, and no film passed over."""

import math
import random
from fractions import Fraction
from itertools import pairwise

import pytest

from personsearch.data.video_clock import VideoClock

FRAME = Fraction(1, 10)


def told(stamps, longest=10, period=FRAME):
    clock = VideoClock(period, Fraction(longest))
    times = [clock.tell(None if stamp is None else Fraction(stamp)) for stamp in stamps]
    assert times == sorted(times)
    return times


def frames(count, start=0):
    return [start + FRAME * i for i in range(count)]


def test_stamps_that_run_on_are_taken_as_they_are():
    stamps = [Fraction(-7, 3), Fraction(-2), Fraction(-2), Fraction(1, 7), Fraction(9)]
    assert told(stamps) == [stamp - stamps[0] for stamp in stamps]
    assert told([]) == []


def test_without_stamps_the_rate_counts():
    assert told([None] * 30) == frames(30)
    assert told([5, None, None, Fraction(53, 10)]) == frames(4)


@pytest.mark.parametrize("start", [0, -3, 1000, Fraction(-(10**12))])
def test_a_clock_that_steps_back_or_leaps_begins_a_segment_one_frame_later(start):
    assert told(frames(100) + frames(100, start)) == frames(200)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 7, 20])
def test_short_recordings_joined_are_counted_to_half_a_second(length):
    times = told(frames(length) * 40)
    for time, truth in zip(times, frames(length * 40), strict=True):
        assert truth - Fraction(6, 10) <= time <= truth


def test_stamps_that_are_all_equal_do_not_stop_the_clock():
    times = told([7] * 300)
    assert all(truth - Fraction(6, 10) <= time <= truth for time, truth in zip(times, frames(300), strict=True))


def test_jitter_shifts_nothing_behind_it():
    stamps = [FRAME * i for i in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12)]  # told in the order of decoding
    times = told(stamps)
    assert times == [max(stamps[: i + 1]) for i in range(len(stamps))]


def test_one_wild_stamp_costs_two_frames_at_most():
    stamps = frames(100)
    stamps[50] = Fraction(10**15)
    times = told(stamps)
    assert all(abs(time - truth) <= 2 * FRAME for time, truth in zip(times, frames(100), strict=True))


def test_gaps_of_a_slow_camera_are_no_leaps():
    stamps = [60 * i for i in range(50)]
    times = told(stamps)
    assert times[1] == FRAME  # only the first gap is a surprise
    assert [b - a for a, b in pairwise(times[1:])] == [60] * 48
    assert told(stamps, longest=86_400) == stamps


def test_any_stamps_give_seconds_that_never_go_back_and_never_stand_for_long():
    for seed in range(40):
        draw = random.Random(seed)
        stamp, stamps = Fraction(0), []
        for _ in range(300):
            stamp += draw.choice([FRAME, FRAME, FRAME, 0, -FRAME, 3 * FRAME, draw.randint(-(10**6), 10**6)])
            stamps.append(draw.choice([stamp, stamp, stamp, None]))
        times = told(stamps)
        assert all(math.isfinite(float(time)) for time in times)
        for i in range(len(times) - 40):
            assert times[i + 40] > times[i]
