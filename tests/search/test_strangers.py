"""Who the strangers of a gallery are, and what a likeness is worth among them."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search import strangers
from personsearch.search.strangers import Strangers, find_strangers


def _people(scenes: int, each: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Readings, scenes, and scores, all of them sure."""
    chance = torch.Generator().manual_seed(seed)
    readings = F.normalize(torch.randn(scenes * each, 8, generator=chance))
    return readings, torch.arange(scenes).repeat_interleave(each), torch.ones(scenes * each)


def _slow(readings: Tensor, scene_of: Tensor, part: float) -> list[float]:
    """Every matching of every two scenes, by trying all of them, and then every pair by itself."""
    matched, left = [], []
    for first, second in itertools.combinations(range(int(scene_of.max()) + 1), 2):
        cosines = (readings[scene_of == first] @ readings[scene_of == second].T).numpy()
        rows = range(len(cosines))
        best = max(itertools.permutations(range(cosines.shape[1]), len(cosines)), key=lambda p: cosines[rows, p].sum())
        joined = {row: cosines[row, column] for row, column in zip(rows, best, strict=True)}
        matched += joined.values()
        for (row, column), likeness in np.ndenumerate(cosines):
            if best[row] != column:
                of_column = [joined[other] for other in rows if best[other] == column]
                left.append((likeness, max(joined[row], *of_column)))
    least = sorted(matched)[int((1 - part) * len(matched))] if part < 1 else -1
    return sorted(likeness for likeness, beside in left if beside >= least)


def test_strangers_are_those_beside_whom_the_best_matching_is_sure_of() -> None:
    readings, scene_of, scores = _people(scenes=5, each=4)
    expected = _slow(readings, scene_of, 0.25)
    assert 20 < len(expected) < 10 * 12
    found = find_strangers(readings, scene_of, scores)
    np.testing.assert_allclose(found.likenesses, expected, atol=1e-6)
    # in any order, and whatever scenes are called
    order = torch.randperm(len(readings), generator=torch.Generator().manual_seed(1))
    again = find_strangers(readings[order], 10 * scene_of[order], scores)
    np.testing.assert_allclose(again.likenesses, found.likenesses, atol=1e-6)


def test_who_is_seen_again_is_no_stranger() -> None:
    people = torch.eye(4)
    scene_of = torch.arange(3).repeat_interleave(4)
    found = find_strangers(torch.cat([people, people.flip(0), people]), scene_of, torch.ones(12))
    assert len(found) == 3 * 12
    assert found.likenesses.max() == 0


def test_rates_are_true_though_many_are_seen_once() -> None:
    """Each scene has one whom others have, too, and five whom nobody has: the most alike of those get matched."""
    chance = torch.Generator().manual_seed(3)
    regulars = F.normalize(torch.randn(20, 8, generator=chance))
    once = F.normalize(torch.randn(120, 5, 8, generator=chance), dim=2)
    again = regulars[torch.arange(120) % 20] + 0.05 * torch.randn(120, 8, generator=chance)
    people = torch.cat([once, F.normalize(again)[:, None]], dim=1).flatten(0, 1)
    found = find_strangers(people, torch.arange(120).repeat_interleave(6), torch.ones(720))
    strangers = (once.flatten(0, 1) @ once.flatten(0, 1).T)[torch.ones(600, 600).tril(-1) > 0].numpy()
    for rate in (0.1, 0.01):
        assert rate / 2.4 < float((strangers >= found.threshold(rate)).mean()) < rate * 2.4


def test_things_that_pass_for_people_have_no_say() -> None:
    readings, scene_of, scores = _people(scenes=6, each=4)
    things, doubtful = _people(scenes=6, each=4, seed=9)[0], torch.full((24,), 0.5)
    alone = find_strangers(readings, scene_of, scores)
    together = find_strangers(torch.cat([readings, things]), scene_of.repeat(2), torch.cat([scores, doubtful]))
    assert np.array_equal(together.likenesses, alone.likenesses)


@pytest.mark.parametrize(("scenes", "each"), [(0, 0), (1, 5), (3, 1)])
def test_without_strangers_nothing_is_told(scenes: int, each: int) -> None:
    found = find_strangers(*_people(scenes, each))
    assert len(found) == 0
    assert found.threshold(0.5) is None
    assert found.reach(people=10) is None


def test_who_has_no_reading_is_no_stranger() -> None:
    generator = torch.Generator().manual_seed(0)
    readings = F.normalize(torch.randn(60, 8, generator=generator))
    scene_of, scores = torch.arange(60) // 3, torch.ones(60)
    readings[[5, 30]] = torch.nan
    whole = readings.isfinite().all(dim=1)
    expected = find_strangers(readings[whole], scene_of[whole], scores[whole])
    assert np.array_equal(find_strangers(readings, scene_of, scores).likenesses, expected.likenesses)


def test_likenesses_are_told_from_ten_strangers_on() -> None:
    known = Strangers(np.arange(1000, dtype=np.float32) / 1024)
    assert known.threshold(0.1) == 900 / 1024
    assert known.threshold(0.001) is None
    assert known.threshold(1.0) == 0
    assert known.reach(people=1, chance=0.1) == 900 / 1024
    assert known.reach(people=10**9) == 999 / 1024


def test_many_scenes_are_sampled_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    people = _people(scenes=40, each=3)
    monkeypatch.setattr(strangers, "_SEEN_AGAIN", 1.0)
    every = find_strangers(*people)
    assert len(every) == 40 * 39 // 2 * 6
    monkeypatch.setattr(strangers, "_PAIRS_OF_FRAMES", 50)
    some = find_strangers(*people)
    assert len(some) == 50 * 6
    assert np.array_equal(some.likenesses, find_strangers(*people).likenesses)
    assert np.isin(some.likenesses, every.likenesses).all()
    monkeypatch.setattr(strangers, "_PAIRS_OF_PEOPLE", 100)
    assert len(find_strangers(*people)) == 102


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
