"""People by falling likeness, of whom only the first are worked out: as if all had been."""

import pytest
import torch

from personsearch.search import likenesses
from personsearch.search.likenesses import Likenesses, among_whom_the_largest_are
from personsearch.search.once_a_scene import once_a_scene


@pytest.mark.parametrize("looks", [(1,), (7, 60), (60, 1000), (1000,), ()])
@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("some", [None, 0.0, 0.1, 0.9])
def test_the_first_come_first(
    looks: tuple[int, ...], once: bool, some: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likenesses, "LOOKS", looks)
    for seed in range(5):
        chance = torch.Generator().manual_seed(seed)
        cosines = (torch.rand(300, generator=chance) * 2 - 1).round(decimals=2)  # with ties
        cosines[torch.rand(300, generator=chance) < 0.1] = -torch.inf
        scene_of = torch.randint(80, (300,), generator=chance)
        scores = torch.rand(300, generator=chance)
        among = None if some is None else torch.rand(300, generator=chance) < some
        told = Likenesses(cosines, scene_of, scores, once)
        everybody = once_a_scene(cosines, scene_of, scores) if once else cosines
        rows = [row for row in range(300) if cosines[row] > -torch.inf and (among is None or among[row])]
        expected = sorted(rows, key=lambda row: (-float(everybody[row]), row))
        assert list(told.falling(among)) == expected


def test_the_first_answers_do_not_need_everybody() -> None:
    cosines = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    told = Likenesses(cosines, torch.arange(20_000) // 2, torch.ones(20_000))
    falling = told.falling()
    assert [next(falling) for _ in range(20)] == told.everybody.argsort(descending=True, stable=True)[:20].tolist()
    told = Likenesses(cosines, told.scene_of, told.scores)
    next(told.falling())
    assert "everybody" not in vars(told)


def test_of_nobody_nobody_comes_first() -> None:
    nobody = torch.zeros(0)
    assert list(Likenesses(nobody, nobody.long(), nobody).falling()) == []


@pytest.mark.parametrize("count", [1, 5, 256, 1024])
@pytest.mark.parametrize("people", [1, 31, 1024, 40_000, 100_003])
@pytest.mark.parametrize("kind", ["spread", "few values", "all equal", "rising", "nobody"])
def test_the_largest_are_among_a_few(people: int, count: int, kind: str) -> None:
    count = min(count, people)
    values = torch.randn(people, generator=torch.Generator().manual_seed(people))
    if kind == "few values":
        values = values.round()
    elif kind == "rising":
        values = values.sort().values
    elif kind != "spread":
        values = torch.full((people,), 0.5 if kind == "all equal" else -torch.inf)
    few = among_whom_the_largest_are(values, count)
    least = values.sort(descending=True).values[count - 1]
    assert torch.equal(few, few.unique())  # rising, each once
    assert torch.isin(torch.nonzero(values >= least).flatten(), few).all()
    if kind in ("spread", "rising") and people > 100_000:
        assert len(few) < (2 * count + 10 if kind == "spread" else people)
