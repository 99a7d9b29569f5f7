"""Where few may be answers, nobody else is compared, and the answer is that of the whole gallery."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_shards import MEMORY, fill, queries
from torch import Tensor

from personsearch.search import asking, centring, ranking, stored
from personsearch.search.gallery import Gallery
from personsearch.search.part import part_with
from personsearch.search.picking import Limits
from personsearch.search.ranking import Resident
from personsearch.search.stored import InShards

SOME: dict[str, Callable[[Tensor], Tensor]] = {
    "one film": lambda scene_of: (scene_of > 100) & (scene_of < 130),
    "one of a scene": lambda scene_of: torch.arange(len(scene_of)) % 60 == 0,
    "one person": lambda scene_of: torch.arange(len(scene_of)) == 77,
    "nobody": lambda scene_of: torch.zeros(len(scene_of), dtype=torch.bool),
}


@pytest.fixture(scope="module", params=["readings", "search"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("part") / "g", request.param)


@pytest.mark.parametrize("memory", [None, MEMORY])
@pytest.mark.parametrize("some", SOME)
def test_a_part_answers_as_the_whole(
    folder: Path, some: str, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "people_at_a_time", lambda *_: 600)
    monkeypatch.setattr(centring, "EXACT", 10_000)  # of the whole: a part has fewer than are exact anyway
    gallery = Gallery.open(folder, memory=memory)
    among = SOME[some](gallery.crowd().scene_of)
    assert part_with(gallery.crowd(), among) is not None
    asked = [Limits(10, among=among), Limits(500, None, 0.6, among=among), Limits(10, 2, 0, 3.0, among=among)]
    hows: list[dict[str, bool | int]] = [{}, {"once": True, "widen": 3}, {"once": False, "widen": 0}]
    for query in queries():
        told = [gallery.ask(query, limits, **how) for limits in asked for how in hows]  # type: ignore[arg-type]
        with monkeypatch.context() as never:
            never.setattr(asking, "part_with", lambda *_: None)
            whole = [gallery.ask(query, limits, **how) for limits in asked for how in hows]  # type: ignore[arg-type]
        assert told == whole
    if some == "one film":
        assert all(answer.hits for answer in told)


def test_nobody_else_is_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = Gallery.open(folder)
    among = SOME["one film"](gallery.crowd().scene_of)

    def refuse(*_: object) -> Tensor:
        raise AssertionError("everybody is compared")

    gallery.strangers()  # of everybody
    monkeypatch.setattr(Resident, "cosines", refuse)
    assert gallery.ask(queries()[0], Limits(10, among=among)).hits


def test_a_part_is_whole_scenes(folder: Path) -> None:
    crowd = Gallery.open(folder).crowd()
    some = torch.zeros(len(crowd.scores), dtype=torch.bool)
    some[[77, 78, 300]] = True
    found = part_with(crowd, some)
    assert found is not None
    theirs = torch.isin(crowd.scene_of, crowd.scene_of[some])
    assert torch.equal(found.people, torch.nonzero(theirs).flatten())
    assert part_with(crowd, torch.ones(len(some), dtype=torch.bool)) is None


def test_a_part_of_shards_is_read_in_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_AT_A_TIME", 7)
    crowd = Gallery.open(folder, memory=MEMORY).crowd()
    found = part_with(crowd, SOME["one film"](crowd.scene_of))
    assert found is not None
    everybody = crowd.cosines(queries()[0])
    taken: list[int] = []
    take = InShards.take

    def watched(self: InShards, people: Tensor) -> Tensor:
        taken.append(len(people))
        return take(self, people)

    monkeypatch.setattr(InShards, "take", watched)
    torch.testing.assert_close(found.cosines(queries()[0]), everybody[found.people], rtol=0, atol=3e-3)
    assert taken[:-1] == [min(7, len(found.people) - start) for start in range(0, len(found.people), 7)]
