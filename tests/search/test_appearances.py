"""Appearances against a slow rule that joins whatever is near, and what sureness and refining promise."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from personsearch.errors import SettingError
from personsearch.search.appearances import Appearance, appearances, usual_gap
from personsearch.search.hits import GalleryHit
from personsearch.search.refining import refined
from personsearch.search.sources import Source
from personsearch.search.strangers import Strangers
from personsearch.search.sureness import ANYBODY, VERY, sureness_of


def hit(source: str, frame: int | None = None, time: float | None = None, every: float | None = None) -> GalleryHit:
    indexed = None if every is None else Source(f"/there/{source}", 10, 20, every)
    box = (0.0, 0.0, 10.0, 30.0)
    return GalleryHit(f"{source}@{frame}", box, 0.5, 0.9, Path("/there", source), frame, time, 100, 50, indexed)


def slowly(hits: list[GalleryHit], gap: float) -> set[frozenset[int]]:
    """Groups of ranks: two of one film that are near are one group, until nothing changes."""
    once = [r for r, h in enumerate(hits) if not any(h.scene == other.scene for other in hits[:r])]
    groups = [{rank} for rank in once]
    changed = True
    while changed:
        changed = False
        for one in groups:
            for other in groups:
                near = one is not other and any(
                    hits[a].source == hits[b].source and hits[a].time is not None and hits[b].time is not None
                    and abs(hits[a].time - hits[b].time) <= gap
                    for a in one for b in other
                )  # fmt: skip
                if near:
                    groups = [g for g in groups if g is not one and g is not other] + [one | other]
                    changed = True
                    break
            if changed:
                break
    return {frozenset(group) for group in groups}


def ranks(found: Appearance, hits: list[GalleryHit]) -> frozenset[int]:
    return frozenset(next(r for r, h in enumerate(hits) if h is own) for own in found.hits)


@pytest.mark.parametrize("seed", range(20))
def test_appearances_are_what_the_slow_rule_joins(seed: int) -> None:
    chance = random.Random(seed)
    hits = []
    for _ in range(chance.randrange(30)):
        film, frame = chance.choice(["a.avi", "b.avi"]), chance.randrange(40)
        hits.append(hit(film, frame, frame / 2))
    hits += [hit(f"{n}.jpg") for n in range(3)] + [hit("old.avi", 4), hit("old.avi", 5)]
    chance.shuffle(hits)
    gap = chance.choice([0.0, 0.5, 1.0, 3.0])
    found = appearances(hits, gap)
    assert {ranks(one, hits) for one in found} == slowly(hits, gap)
    assert [hits.index(one.best) for one in found] == sorted(min(ranks(one, hits)) for one in found)
    for one in found:
        times = [own.time for own in one.hits if own.time is not None]
        assert times == sorted(times)
        assert (one.first, one.last) == ((times[0], times[-1]) if times else (None, None))


def test_no_hits_are_no_appearances_and_odd_gaps_are_refused() -> None:
    assert appearances([]) == []
    for gap in (-1.0, float("inf"), float("nan")):
        with pytest.raises(SettingError, match="0 or more"):
            appearances([], gap)


def test_many_frames_a_second_are_one_answer_and_rare_ones_are_joined_across_one_miss() -> None:
    often = [hit("a.avi", n, n / 5, every=0.2) for n in range(200)]
    (one,) = appearances(often[::-1])
    assert (one.first, one.last, len(one.hits), one.best) == (0.0, 39.8, 200, often[-1])
    rare = [hit("a.avi", n, 10.0 * n, every=10.0) for n in (0, 2, 5)]
    assert [(found.first, found.last) for found in appearances(rare)] == [(0.0, 20.0), (50.0, 50.0)]
    assert usual_gap(None) == usual_gap(0.2) == 3.0


def test_of_one_frame_the_better_ranked_counts() -> None:
    first, second = hit("a.avi", 3, 1.0), hit("a.avi", 3, 1.0)
    (one,) = appearances([first, second])
    assert one.hits == (first,)
    assert one.hits[0] is first


def test_sureness_is_the_rate_of_strangers_and_never_less_than_was_counted() -> None:
    strangers = Strangers(np.linspace(0, 1, 2000, dtype=np.float32))
    levels = []
    for likeness in (-0.5, 0.0, 0.3, 0.95, 0.9999, 1.1):
        told = sureness_of(likeness, strangers)
        above = sum(float(value) >= likeness for value in strangers.likenesses)
        assert told.rate == (above + 1) / 2001
        levels.append(told.level)
    assert levels == sorted(levels)
    assert levels[-1] == VERY
    few = Strangers(np.zeros(5, dtype=np.float32))
    assert sureness_of(0.9, few).rate is None
    assert sureness_of(-1.0, few).level == ANYBODY
    assert "too few people" in sureness_of(0.9, few).words


def test_several_sights_are_averaged_and_others_taken_off() -> None:
    people = F.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    sights, others = people[:3], people[3:]
    asked = refined(sights, others, 0.5)
    expected = sum(sights) / 3 - 0.5 * sum(others) / 3
    assert torch.allclose(asked, expected / expected.square().sum().sqrt(), atol=1e-6)
    assert torch.allclose(refined(sights.flip(0), others.flip(0), 0.5), asked, atol=1e-6)
    assert (others.mean(0) @ asked) < (others.mean(0) @ refined(sights, others[:0]))
    assert torch.allclose(refined(sights[:1], others[:0]), sights[0], atol=1e-6)


def test_a_query_never_becomes_nothing() -> None:
    one = F.normalize(torch.ones(1, 4), dim=1)
    assert torch.allclose(refined(one, one, 1.0), one[0])
    assert torch.allclose(refined(torch.cat([one, -one]), one[:0]), one[0])
    with pytest.raises(ValueError, match="one sight"):
        refined(one[:0], one)
