"""What may be asked of a search: each limit is checked where it comes in."""

from __future__ import annotations

import math

from personsearch.errors import SettingError


def check_score(value: float) -> None:
    """Raises SettingError for a least score that is no share of 1; 80 for 0.8 would find nobody."""
    if not 0 <= value <= 1:
        raise SettingError(f"min_score {value:g} is impossible: scores are from 0 to 1")


def check_every(seconds: float) -> None:
    """Raises SettingError unless a film can be sampled once in so many seconds."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise SettingError(f"a frame every {seconds:g} seconds is impossible: give a number above 0")


def check_limits(top: int, per_scene: int | None, min_score: float, min_gap: float) -> None:
    """Raises SettingError for limits with which nothing, or not what is meant, could be answered."""
    check_score(min_score)
    if top < 1:
        raise SettingError(f"top {top} is impossible: ask for 1 answer or more")
    if per_scene is not None and per_scene < 1:
        raise SettingError(f"per_scene {per_scene} is impossible: give 1 or more, or None for any number")
    if not 0 <= min_gap < math.inf:
        raise SettingError(f"min_gap {min_gap:g} is impossible: give 0 seconds or more")
