"""Checks of numbers that are given for a search or an index."""

from __future__ import annotations

import math

from personsearch.errors import SettingError


def check_score(value: float) -> None:
    """Raises SettingError for a least score that is not in [0, 1]; 80 for 0.8 would find nobody."""
    if not 0 <= value <= 1:
        raise SettingError(f"min_score {value:g} is impossible: scores are from 0 to 1")


def check_every(seconds: float) -> None:
    """Raises SettingError unless a film can be sampled once in so many seconds."""
    if not (math.isfinite(seconds) and seconds > 0):
        raise SettingError(f"a frame every {seconds:g} seconds is impossible: give a number above 0")


def check_days(days: float | None) -> None:
    """Raises SettingError for a time to keep something that is not above 0."""
    if days is not None and not (math.isfinite(days) and days > 0):
        raise SettingError(f"{days:g} days are impossible: give a number above 0")
