"""Who the strangers of a gallery are, and what a likeness is worth among them."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search import strangers
from personsearch.search.strangers import Strangers, find_strangers


def _people(scenes: int, each: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    readings = F.normalize(torch.randn(scenes * each, 8, generator=chance))
    return readings, torch.arange(scenes).repeat_interleave(each)


def _slow(readings: Tensor, scene_of: Tensor) -> list[float]:
    """Every matching of every two scenes, by trying all of them."""
    left = []
    for first, second in itertools.combinations(range(int(scene_of.max()) + 1), 2):
        cosines = (readings[scene_of == first] @ readings[scene_of == second].T).numpy()
        rows = range(len(cosines))
        best = max(itertools.permutations(range(cosines.shape[1]), len(cosines)), key=lambda p: cosines[rows, p].sum())
        left += [c for (r, k), c in np.ndenumerate(cosines) if best[r] != k]
    return sorted(left)


def test_strangers_are_whom_the_best_matching_leaves() -> None:
    readings, scene_of = _people(scenes=5, each=4)
    found = find_strangers(readings, scene_of)
    np.testing.assert_allclose(found.likenesses, _slow(readings, scene_of), atol=1e-6)
    # in any order, and whatever scenes are called
    order = torch.randperm(len(readings), generator=torch.Generator().manual_seed(1))
    again = find_strangers(readings[order], 10 * scene_of[order])
    np.testing.assert_allclose(again.likenesses, found.likenesses, atol=1e-6)


def test_who_is_seen_again_is_no_stranger() -> None:
    people = torch.eye(4)
    found = find_strangers(torch.cat([people, people.flip(0), people]), torch.arange(3).repeat_interleave(4))
    assert len(found) == 3 * 12
    assert found.likenesses.max() == 0


@pytest.mark.parametrize(("scenes", "each"), [(0, 0), (1, 5), (3, 1)])
def test_without_strangers_nothing_is_told(scenes: int, each: int) -> None:
    found = find_strangers(*_people(scenes, each))
    assert len(found) == 0
    assert found.rate_above(0.5) is None
    assert found.threshold(0.5) is None
    assert found.chance_above(0.5, people=10) is None
    assert found.reach(people=10) is None


def test_rates_are_told_from_ten_strangers_on() -> None:
    known = Strangers(np.arange(1000, dtype=np.float32) / 1024)
    assert known.rate_above(900 / 1024) == pytest.approx(0.1)
    assert known.rate_above(-1.0) == 1
    assert known.rate_above(990 / 1024) == pytest.approx(0.01)
    assert known.rate_above(991 / 1024) is None
    assert known.threshold(0.1) == 900 / 1024
    assert known.threshold(0.001) is None
    assert known.threshold(1.0) == 0
    assert known.chance_above(900 / 1024, people=3) == pytest.approx(1 - 0.9**3)
    assert known.chance_above(-1.0, people=3) == 1
    assert known.reach(people=1) == 900 / 1024
    assert known.reach(people=10**9) == 999 / 1024


def test_many_scenes_are_sampled_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    readings, scene_of = _people(scenes=40, each=3)
    every = find_strangers(readings, scene_of)
    assert len(every) == 40 * 39 // 2 * 6
    monkeypatch.setattr(strangers, "_PAIRS_OF_FRAMES", 50)
    some = find_strangers(readings, scene_of)
    assert len(some) == 50 * 6
    assert np.array_equal(some.likenesses, find_strangers(readings, scene_of).likenesses)
    assert np.isin(some.likenesses, every.likenesses).all()
    monkeypatch.setattr(strangers, "_PAIRS_OF_PEOPLE", 100)
    assert len(find_strangers(readings, scene_of)) == 102


@pytest.mark.parametrize("scenes", [2, 3, 7, 50])
def test_numbers_name_every_pair_once(scenes: int) -> None:
    pairs = [strangers._pair(number) for number in range(scenes * (scenes - 1) // 2)]
    assert sorted(pairs) == sorted(itertools.combinations(range(scenes), 2))


def test_pairs_of_a_million_scenes_are_in_range() -> None:
    scenes = 1_000_000
    last = scenes * (scenes - 1) // 2 - 1
    assert strangers._pair(last) == (scenes - 2, scenes - 1)
    assert strangers._pair(last - scenes + 2) == (0, scenes - 1)
    assert strangers._pair(last - scenes + 1) == (scenes - 3, scenes - 2)
