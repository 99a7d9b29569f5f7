"""One rule picks hits from what is ranked, for a search by embeddings and for one in two stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from personsearch.errors import SettingError
from personsearch.models.igpn import IGPNSettings, build_igpn
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.picking import Limits, pick
from personsearch.search.two_stage import TwoStageSearcher


def people(seed: int) -> tuple[torch.Tensor, torch.Tensor, list[GalleryHit]]:
    """Similarities with ties, numbers of scenes, and hits: frames of a video, half a second apart, and pictures."""
    made = torch.Generator().manual_seed(seed)
    similarities = torch.randint(0, 20, (60,), generator=made).float() / 20
    scene_of = torch.randint(0, 15, (60,), generator=made)
    scores = torch.rand(60, generator=made).tolist()
    hits = []
    for row, scene in enumerate(scene_of.tolist()):
        frame = scene if scene < 10 else None
        source = Path("walk.mp4" if frame is not None else f"{scene}.jpg")
        time = None if frame is None else frame / 2
        box = (float(row), 0.0, row + 1.0, 1.0)
        hits.append(
            GalleryHit(f"{source}@{frame}", box, float(similarities[row]), scores[row], source, frame, time, 9, 9)
        )
    return similarities, scene_of, hits


def slow(
    similarities: torch.Tensor, scene_of: torch.Tensor, hits: list[GalleryHit], limits: Limits
) -> list[GalleryHit]:
    """Each rule in its own words, on everybody."""
    picked: list[int] = []
    for row in sorted(range(len(hits)), key=lambda row: (-float(similarities[row]), row)):
        same_scene = [other for other in picked if scene_of[other] == scene_of[row]]
        close = [
            other
            for other in picked
            if hits[other].source == hits[row].source
            and hits[other].frame != hits[row].frame
            and abs((hits[other].time or 0) - (hits[row].time or 0)) < limits.min_gap
        ]
        full = limits.per_scene is not None and len(same_scene) >= limits.per_scene
        refused = limits.allow is not None and not limits.allow(hits[row])
        if not (full or close or refused or hits[row].score < limits.min_score):
            picked.append(row)
    return [hits[row] for row in picked[: limits.top]]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(1000, per_scene=None),
        Limits(7, per_scene=2),
        Limits(50, per_scene=None, min_score=0.5),
        Limits(50, min_gap=1.5),
        Limits(50, per_scene=3, min_gap=0.75, min_score=0.3, allow=lambda hit: hit.box[0] % 2 == 0),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_of_the_slow_rule(limits: Limits, seed: int) -> None:
    similarities, scene_of, hits = people(seed)
    expected = slow(similarities, scene_of, hits, limits)
    assert pick(similarities, scene_of, hits.__getitem__, limits) == expected
    assert expected


def test_hits_are_made_only_where_they_are_needed() -> None:
    similarities, scene_of, hits = people(0)
    made: list[int] = []
    pick(similarities, scene_of, lambda row: (made.append(row), hits[row])[1], Limits(3))
    assert len(made) == 3


def test_of_nobody_nobody_is_picked() -> None:
    nobody = torch.zeros(0)
    assert pick(nobody, nobody.long(), lambda row: pytest.fail("nobody is there"), Limits()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"top": 0}, "top 0 is impossible: ask for 1 answer or more"),
        ({"per_scene": 0}, "per_scene 0 is impossible: give 1 or more"),
        ({"min_score": 80}, "min_score 80 is impossible: scores are from 0 to 1"),
        ({"min_score": float("nan")}, "min_score nan is impossible"),
        ({"min_gap": -0.5}, "min_gap -0.5 is impossible: give 0 seconds or more"),
        ({"min_gap": float("nan")}, "min_gap nan is impossible"),
    ],
)
def test_limits_that_cannot_be_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        Limits(**wrong)


def test_both_searches_refuse_them(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=12)
    with gallery, pytest.raises(SettingError, match="top 0"):
        gallery.search(torch.ones(12), 0)
    with pytest.raises(SettingError, match="top 0"):
        TwoStageSearcher(build_igpn(IGPNSettings(channels=4))).search([], [], 0)
