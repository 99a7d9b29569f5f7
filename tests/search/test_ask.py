"""Asking a gallery of readings: without means of cameras, one person once a scene, the query widened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import GalleryError, SettingError
from personsearch.geometry.detections import Detections
from personsearch.search.centring import Centres
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.picking import Limits
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source
from personsearch.search.strangers import find_strangers
from personsearch.search.widening import LOOKED_AT, agreeing, first_answers, widened

DIM = 12
CAMERAS = ("/one", "/two", "/three")
EVERYBODY = Limits(10_000, None)


def unit(count: int, seed: int, shift: Tensor | float = 0.0) -> Tensor:
    return F.normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)) + shift, dim=1)


def make(folder: Path, read: str = "readings", scenes: int = 60) -> Gallery:
    """Scenes of three cameras with one to four people each; the third camera has few people."""
    gallery = Gallery.create(folder, model="fake", fingerprint="f1", dim=DIM, read=read)
    with gallery:
        for number in range(scenes):
            camera = 2 if number % 20 == 0 else number % 2
            count = 1 + number % 4
            people = unit(count, number, shift=torch.full((DIM,), 0.3 * camera)).half().float()
            boxes = torch.tensor([[0.0, 0, 10, 30]]).repeat(count, 1) + 12 * torch.arange(count)[:, None]
            scores = torch.linspace(0.5, 1, count)
            source = Source(f"{CAMERAS[camera]}/{number:03}.jpg", 10, 20)
            gallery.add([IndexedScene(source, 100, 100, Detections(boxes, scores, people))])
    return Gallery.open(folder)


def slowly(gallery: Gallery, query: Tensor, camera: int, widen: int) -> list[tuple[str, float]]:
    """Scene and cosine of everybody, in the order of the rule: each step by itself, over a plain copy."""
    resident = gallery.crowd()
    stored = resident.people.stored.values.double()
    numbers = [CAMERAS.index(str(Path(resident.scenes[int(s)]["source"]).parent)) for s in resident.scene_of]
    everybody = stored.mean(dim=0)
    means = []
    for number in range(3):
        own = stored[[n == number for n in numbers]]
        means.append(own.mean(dim=0) if len(own) >= 50 else everybody)
    people = torch.stack([F.normalize(row - means[n], dim=0) for row, n in zip(stored, numbers, strict=True)])
    asked = F.normalize(F.normalize(query, dim=0) - means[camera], dim=0).double()
    cosines = people @ asked
    likenesses = once_a_scene(cosines, resident.scene_of, resident.scores)
    best = first_answers(likenesses, LOOKED_AT * widen, resident.scene_of)
    strangers = find_strangers(people, resident.scene_of, resident.scores)
    best = best[agreeing(asked, people[best], strangers, len(people), widen)]
    if len(best):
        again = widened(asked, people[best], cosines[best])
        likenesses = once_a_scene(people @ again, resident.scene_of, resident.scores)
    order = likenesses.argsort(descending=True, stable=True)
    names = [resident.scenes[int(s)]["source"] for s in resident.scene_of]
    return [(names[row], float(cosines[row])) for row in order]


def told(hits: list[GalleryHit]) -> list[tuple[str, float]]:
    return [(str(hit.source), hit.similarity) for hit in hits]


@pytest.mark.parametrize("widen", [0, 1, 2, 5])
@pytest.mark.parametrize("camera", [0, 2])
def test_an_answer_is_what_the_rules_say_step_by_step(tmp_path: Path, camera: int, widen: int) -> None:
    gallery = make(tmp_path / "g")
    for seed in (9, 8, 1001):  # two who are there, and one who is not
        query = unit(4, seed)[0]
        answer = gallery.ask(query, EVERYBODY, camera=Path(CAMERAS[camera]), widen=widen)
        expected = slowly(gallery, query, camera, widen)
        assert [name for name, _ in told(answer.hits)] == [name for name, _ in expected]
        assert [value for _, value in told(answer.hits)] == pytest.approx([v for _, v in expected], abs=2e-3)
        assert len(answer.added) <= widen


def test_a_gallery_of_embeddings_is_asked_by_the_cosine_unless_told(tmp_path: Path) -> None:
    gallery = make(tmp_path / "g", read="search")
    query = unit(1, 5)[0]
    plain = told(gallery.search(query, 100))
    assert plain == told(gallery.ask(query, Limits(100), once=False, widen=0).hits)
    assert [value for _, value in plain] == sorted((value for _, value in plain), reverse=True)
    assert told(gallery.ask(query, Limits(100), once=True).hits) != plain


def test_a_query_is_widened_by_who_may_be_an_answer(tmp_path: Path) -> None:
    gallery = make(tmp_path / "g")
    query = unit(4, 7)[0]
    added = gallery.ask(query, EVERYBODY, widen=2).added
    assert added
    best = added[0].source

    def allow(hit: GalleryHit) -> bool:
        return hit.source != best

    refused = gallery.ask(query, Limits(10_000, None, allow=allow), widen=2)
    assert best not in {hit.source for hit in (*refused.added, *refused.hits)}


def test_a_query_whose_first_answer_is_not_clear_of_strangers_stays_as_it_is(tmp_path: Path) -> None:
    """A query by chance is like nobody in particular; one who is there is clear of all strangers."""
    gallery = make(tmp_path / "g")
    absent = [len(gallery.ask(unit(1, seed)[0], widen=1).added) for seed in range(2000, 2020)]
    present = [len(gallery.ask(unit(4, seed)[0], camera=Path(CAMERAS[1]), widen=1).added) for seed in (3, 7, 11)]
    assert 0 in absent
    assert all(present)
    assert sum(count > 0 for count in absent) / len(absent) < 0.75


@pytest.mark.parametrize("scenes", [0, 1, 2])
def test_small_galleries_answer(tmp_path: Path, scenes: int) -> None:
    answer = make(tmp_path / "g", scenes=scenes).ask(unit(1, 0)[0])
    assert len(answer.hits) == scenes
    assert not answer.added


def test_means_follow_what_is_added_and_dropped(tmp_path: Path) -> None:
    make(tmp_path / "g")
    query = unit(4, 7)[0]
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        before = told(gallery.ask(query, EVERYBODY, widen=0).hits)
        far = Detections(torch.tensor([[0.0, 0, 10, 30]]), torch.ones(1), unit(1, 99, shift=-3.0))
        gallery.add([IndexedScene(Source("/one/new.jpg", 10, 20), 100, 100, far)])
        changed = told(gallery.ask(query, EVERYBODY, widen=0).hits)
        gallery.forget("/one/new.jpg")
        again = told(gallery.ask(query, EVERYBODY, widen=0).hits)
    assert changed != before
    assert again == before


def test_what_cannot_be_asked_is_one_line(tmp_path: Path) -> None:
    gallery = make(tmp_path / "g", scenes=3)
    with pytest.raises(SettingError, match="widen -1"):
        gallery.ask(unit(1, 0)[0], widen=-1)
    with pytest.raises(GalleryError, match="12-d"):
        gallery.ask(torch.ones(5))
    with pytest.raises(GalleryError, match=r"--read readings"):
        gallery.require_model("f1", "search")
    gallery.require_model("f1", "readings")


def test_equal_people_come_in_the_order_of_their_scenes(tmp_path: Path) -> None:
    same = unit(1, 1)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="f1", dim=DIM, read="readings") as gallery:
        for name in ("b", "a", "c"):
            people = Detections(torch.tensor([[0.0, 0, 10, 30]]), torch.ones(1), same)
            gallery.add([IndexedScene(Source(f"/x/{name}.jpg", 1, 2), 100, 100, people)])
        hits = gallery.ask(same[0], widen=0).hits
    assert [hit.source.name for hit in hits] == ["a.jpg", "b.jpg", "c.jpg"]


def test_the_mean_of_few_is_that_of_everybody() -> None:
    people = unit(60, 3, shift=0.5)
    sources = torch.tensor([0] * 55 + [1] * 5)
    centres = Centres.of(people, sources, 2)
    assert torch.allclose(centres.means[1], people.mean(dim=0), atol=1e-6)
