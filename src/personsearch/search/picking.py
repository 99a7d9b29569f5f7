"""From ranked people to hits, within the limits of a search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

from personsearch.errors import SettingError
from personsearch.search.hits import GalleryHit
from personsearch.search.likenesses import descending
from personsearch.search.ranking import too_close

Allow = Callable[[GalleryHit], bool]
"""Whether a person may be an answer."""
OWN_MOMENT = 1.0
"""Seconds around a moment of a film that show the same sight of somebody."""


@dataclass(frozen=True)
class Limits:
    """Which people may be answers, and how many. Raises SettingError for limits that cannot be."""

    top: int = 10
    """Most hits of a search."""
    per_scene: int | None = 1
    """Most hits of a scene; None: any number."""
    min_score: float = 0.0
    """Least score of a hit, in [0, 1]."""
    min_gap: float = 0.0
    """Least seconds between two hits of one video."""
    allow: Allow | None = None
    """Refuses hits; None: refuses nobody."""
    among: Tensor | None = field(default=None, compare=False)
    """[N] bool, who of a crowd may be a hit; None: everybody. Sooner done than `allow`, which looks at one by one. It
    is for `Gallery.answer`."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise SettingError(f"top {self.top} is impossible: ask for 1 answer or more")
        if self.per_scene is not None and self.per_scene < 1:
            raise SettingError(f"per_scene {self.per_scene} is impossible: give 1 or more, or None for any number")
        if not 0 <= self.min_score <= 1:
            raise SettingError(f"min_score {self.min_score:g} is impossible: scores are from 0 to 1")
        if not 0 <= self.min_gap < math.inf:
            raise SettingError(f"min_gap {self.min_gap:g} is impossible: give 0 seconds or more")

    def admits(self, hit: GalleryHit) -> bool:
        """Whether a hit has the least score and `allow` does not refuse it, whatever other hits there are."""
        return hit.score >= self.min_score and (self.allow is None or self.allow(hit))


def pick(
    similarities: Tensor, scene_of: Tensor, hit_of: Callable[[int], GalleryHit], limits: Limits
) -> list[GalleryHit]:
    """The hits of `pick_rows`, by falling similarity [N], equal ones by row."""
    return [hit for _, hit in pick_rows(descending(similarities), scene_of, hit_of, limits)]


def pick_rows(
    rows: Iterable[int], scene_of: Tensor, hit_of: Callable[[int], GalleryHit], limits: Limits
) -> list[tuple[int, GalleryHit]]:
    """The rows, best first, that are within the limits, and their hits.

    `scene_of` [N] is the number of each row's scene. `hit_of` makes the hit of a row, for the few rows that need it.
    """
    picked: list[tuple[int, GalleryHit]] = []
    taken: Counter[int] = Counter()
    scenes = scene_of.numpy()  # brackets of which are far faster
    for row in rows:
        if len(picked) >= limits.top:
            break
        scene = int(scenes[row])
        if limits.per_scene is not None and taken[scene] >= limits.per_scene:
            continue
        hit = hit_of(row)
        if not limits.admits(hit) or too_close(hit, (other for _, other in picked), limits.min_gap):
            continue
        taken[scene] += 1
        picked.append((row, hit))
    return picked
