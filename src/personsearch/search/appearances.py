"""From hits in single frames to appearances: from when to when somebody is seen in a film.

The rule: hits of one film belong together while no gap between neighbours is longer than some seconds. A person is at
one place at a time, so of several hits of one frame the best ranked one counts. A picture, or a frame whose time is
not known, is an appearance of one moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.errors import SettingError
from personsearch.search.hits import GalleryHit

SHORTEST_GAP = 3.0
"""Seconds for which somebody may be hidden or overlooked, in a film of which more frames were read than needed."""
MOST_HITS = 5000
"""Of which appearances are made: in a large gallery nobody looks through more."""
INTERVALS = 2.5
"""Or so many intervals between the frames that were read: one frame without a hit parts nothing, two in a row do."""


@dataclass(frozen=True)
class Appearance:
    """Somebody in one source, for a while."""

    hits: tuple[GalleryHit, ...]
    """Of this one person, one a frame, in the order of time"""
    best: GalleryHit
    """The best ranked one of them"""

    @property
    def source(self) -> Path:
        return self.best.source

    @property
    def first(self) -> float | None:
        """Seconds into the film; None for a picture."""
        return self.hits[0].time

    @property
    def last(self) -> float | None:
        """Seconds into the film; None for a picture."""
        return self.hits[-1].time

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": str(self.source),
            "first": self.first,
            "last": self.last,
            "frames": len(self.hits),
            "best": self.best.as_dict(),
        }


def usual_gap(every: float | None) -> float:
    """Seconds without a hit that an appearance bridges, in a film of which a frame every so many seconds was read.

    >>> usual_gap(0.2), usual_gap(2.0)
    (3.0, 5.0)
    """
    return max(SHORTEST_GAP, INTERVALS * (every or 0.0))


def appearances(hits: Sequence[GalleryHit], gap: float | None = None) -> list[Appearance]:
    """Hits, best first, as appearances in the order of their best hits; no hits give none.

    `gap` is the most seconds between neighbours, the same for all films; when None, `usual_gap` of each film. Raises
    SettingError for a negative or infinite one.
    """
    if gap is not None and not 0 <= gap < math.inf:
        raise SettingError(f"a gap of {gap:g} seconds is impossible: give 0 or more")
    ranks: dict[tuple[Path, int | None, float | None], int] = {}
    for rank, hit in enumerate(hits):
        ranks.setdefault((hit.source, hit.frame, hit.time), rank)
    films: dict[Path, list[int]] = {}
    found: list[list[int]] = []
    for (source, frame, time), rank in ranks.items():
        if frame is None or time is None:
            found.append([rank])
        else:
            films.setdefault(source, []).append(rank)
    for own in films.values():
        own.sort(key=lambda rank: (_when(hits[rank]), rank))
        found += _joined(own, [_when(hits[rank]) for rank in own], _gap_of(hits[own[0]], gap))
    ordered = sorted(found, key=min)
    return [Appearance(tuple(hits[rank] for rank in group), hits[min(group)]) for group in ordered]


def _joined(ranks: Sequence[int], times: Sequence[float], gap: float) -> list[list[int]]:
    """Ranks with their rising times, parted where more than `gap` seconds lie between neighbours."""
    groups: list[list[int]] = []
    before = -math.inf
    for rank, time in zip(ranks, times, strict=True):
        if time - before > gap:
            groups.append([])
        groups[-1].append(rank)
        before = time
    return groups


def _when(hit: GalleryHit) -> float:
    assert hit.time is not None  # hits without a time are no part of a film
    return hit.time


def _gap_of(hit: GalleryHit, gap: float | None) -> float:
    return usual_gap(None if hit.indexed is None else hit.indexed.every) if gap is None else gap
