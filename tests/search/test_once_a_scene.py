"""One person, once a scene, against the equation written out in loops."""

import math

import pytest
import torch

from personsearch.search.once_a_scene import once_a_scene


def _slow(cosines: list[float], scenes: list[int], scores: list[float]) -> list[float]:
    likenesses = []
    for cosine, scene, score in zip(cosines, scenes, scores, strict=True):
        most = max(c for c, s in zip(cosines, scenes, strict=True) if s == scene)
        likenesses.append(cosine - 2 * (most - cosine) + 0.05 * math.log(max(score, 1e-6)))
    return likenesses


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_equation_in_any_order_of_scenes(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    cosines = torch.rand(40, generator=chance, dtype=torch.float64) * 2 - 1
    scenes = torch.randint(0, 12, (40,), generator=chance) * 3  # some scenes hold nobody
    scores = torch.rand(40, generator=chance, dtype=torch.float64).round(decimals=1)  # some are 0
    kept = cosines.clone()
    expected = _slow(cosines.tolist(), scenes.tolist(), scores.tolist())
    torch.testing.assert_close(once_a_scene(cosines, scenes, scores), torch.tensor(expected, dtype=torch.float64))
    assert torch.equal(cosines, kept)


def test_one_person_a_scene_is_ranked_by_cosine_and_score_alone() -> None:
    cosines, scores = torch.tensor([0.9, 0.5, -0.2]), torch.tensor([1.0, 1.0, 0.5])
    likenesses = once_a_scene(cosines, torch.tensor([0, 1, 2]), scores)
    torch.testing.assert_close(likenesses, torch.tensor([0.9, 0.5, -0.2 + 0.05 * math.log(0.5)]))


def test_equals_in_a_scene_share_the_lead() -> None:
    likenesses = once_a_scene(torch.tensor([0.7, 0.7, 0.6]), torch.tensor([4, 4, 4]), torch.ones(3))
    torch.testing.assert_close(likenesses, torch.tensor([0.7, 0.7, 0.4]))


def test_what_is_no_answer_stays_none_and_nobody_gives_nobody() -> None:
    minus = -torch.inf
    likenesses = once_a_scene(torch.tensor([minus, 0.3, minus]), torch.tensor([0, 0, 1]), torch.zeros(3))
    assert likenesses[[0, 2]].tolist() == [minus, minus]
    assert likenesses[1].isfinite()
    assert once_a_scene(torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0)).shape == (0,)
