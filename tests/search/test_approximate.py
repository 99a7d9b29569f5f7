"""Asked by its index, a gallery answers as it does exactly wherever the index finds the people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_shards import DIM, MEMORY, fill, queries

from personsearch.errors import GalleryError
from personsearch.geometry.detections import Detections
from personsearch.search import asking
from personsearch.search.approximating import measured
from personsearch.search.asking import Asking
from personsearch.search.gallery import Gallery
from personsearch.search.hits import Answer
from personsearch.search.neighbours import NEIGHBOURS, Neighbours, load_neighbours
from personsearch.search.picking import Limits
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source
from personsearch.search.table import INDEXES
from personsearch.search.verifying import verify

LIMITS = [
    Limits(10),
    Limits(30, None),
    Limits(10, 2, 0.7, 3.0),
    Limits(10, allow=lambda hit: hit.time is None),
    Limits(10_000),
]


@pytest.fixture(params=["readings", "search"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = fill(tmp_path / "g", request.param)
    with Gallery.open(folder, write=True) as gallery:
        assert gallery.approximate().recall > 0.95
    return folder


def same(folder: Path) -> None:
    """Asked exactly and by the index, which finds more scenes than there are: to the last digit."""
    exact, near = Gallery.open(folder), Gallery.open(folder, approximate=True)
    assert near.people == exact.people
    for query in queries():
        for camera in (None, Path("/there/1.avi"), Path("/nowhere.avi")):
            assert torch.equal(near.comparable(query, camera), exact.comparable(query, camera))
            for limits in LIMITS:
                assert near.ask(query, limits, camera=camera) == exact.ask(query, limits, camera=camera)
            widened = near.ask(query, camera=camera, once=True, widen=3)
            assert widened == exact.ask(query, camera=camera, once=True, widen=3)


def looking_at(scenes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = asking.load_neighbours

    def few(folder: Path) -> Neighbours | None:
        known = real(folder)
        return None if known is None else replace(known, scenes=scenes)

    monkeypatch.setattr(asking, "load_neighbours", few)


@pytest.mark.parametrize(("enough", "recall", "scenes"), [(500, 1.0, 500), (2000, 1.0, 2000), (10**9, 0.5, 8000)])
def test_recall_is_what_is_found_and_more_is_looked_at_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, enough: int, recall: float, scenes: int
) -> None:
    """An index that finds every second answer, and all where it looks at enough scenes."""
    real = Asking.answer

    def answer(self: Asking, *asked: Any) -> Answer:
        if not self._approximate:
            return real(self, *asked)
        exact = real(exactly, *asked)
        return exact if self.neighbours().scenes >= enough else replace(exact, hits=exact.hits[::2])

    with Gallery.open(folder) as gallery:
        exactly = gallery._asking
        monkeypatch.setattr(Asking, "answer", answer)
        known = measured(exactly, 32)
    assert (known.recall, known.scenes) == (pytest.approx(recall), scenes)
    assert known.probes == {500: 8, 2000: 32, 8000: 32}[scenes]


def test_answers_are_the_exact_ones(folder: Path) -> None:
    same(folder)


def test_what_comes_and_goes_after_the_index_counts(folder: Path) -> None:
    """Whatever changes the table, and whether a writer has counted everybody since or not."""
    asked = queries()[0]
    with Gallery.open(folder, write=True) as gallery:
        found = Detections(torch.tensor([[1.0, 2, 3, 4]]), torch.ones(1), asked[None])
        gallery.add([IndexedScene(Source("/new.png", 1, 1), 9, 9, found)])
        gallery.forget("/there/1.avi")
        same(folder)
    same(folder)
    assert Gallery.open(folder, approximate=True).table.unindexed() == 1
    assert str(Gallery.open(folder, approximate=True).search(asked)[0].source) == "/new.png"
    with Gallery.open(folder, write=True) as gallery:
        gallery.relink([(Source("/there/0.avi", 1, 1, 1.0), Source("/moved.avi", 1, 1, 1.0))])
        gallery.add([IndexedScene(Source(f"/{n}.png", 1, 1), 9, 9, found) for n in range(20)])
    same(folder)


def test_of_few_scenes_the_exact_answers_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 400 scenes, 60 are looked at, and twice as many where the query is widened. Cameras shift these readings so
    much that what is stored says little."""
    looking_at(60, monkeypatch)
    exact, near = Gallery.open(folder), Gallery.open(folder, approximate=True)
    found = total = 0
    for query in queries():
        for widen in (0, 3):
            answers = [one.ask(query, once=True, widen=widen).hits for one in (exact, near)]
            told = [{(hit.scene, hit.box): hit.similarity for hit in hits} for hits in answers]
            found, total = found + len(told[0].keys() & told[1].keys()), total + len(told[0])
            for key in told[0].keys() & told[1].keys():
                assert told[1][key] == told[0][key]
    assert found / total > (0.8 if near.about.read == "search" else 0.4)
    assert near._asking._resident is None


def test_where_the_index_finds_too_few_everybody_is_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking_at(2, monkeypatch)
    same_limits = Limits(20)
    for query in queries():
        assert Gallery.open(folder, approximate=True).ask(query, same_limits) == Gallery.open(folder).ask(
            query, same_limits
        )


def test_erasing_takes_the_index_along(folder: Path) -> None:
    with Gallery.open(folder, write=True) as gallery:
        gallery.erase(["/there/0.avi"])
    assert not (folder / NEIGHBOURS).exists()
    assert not [path for path in (folder / "scenes.lance").rglob("*") if INDEXES in str(path) and path.is_file()]
    with pytest.raises(GalleryError, match="has no approximate index; make one: personsearch gallery approximate"):
        Gallery.open(folder, approximate=True)
    with Gallery.open(folder, write=True) as gallery:
        gallery.approximate()
    same(folder)


def test_it_can_be_dropped_and_made_anew(folder: Path) -> None:
    for _ in range(2):
        with Gallery.open(folder, write=True) as gallery:
            gallery.forget_neighbours()
        with pytest.raises(GalleryError, match="has no approximate index"):
            Gallery.open(folder, approximate=True)
    with Gallery.open(folder, write=True, memory=MEMORY) as gallery:
        gallery.approximate()
    same(folder)


def test_a_replaced_gallery_has_none(folder: Path) -> None:
    fill_again = Gallery.create(folder, model="m", fingerprint="f", dim=DIM, force=True)
    with fill_again:
        found = Detections(torch.tensor([[1.0, 2, 3, 4]]), torch.ones(1), torch.ones(1, DIM))
        fill_again.add([IndexedScene(Source("/new.png", 1, 1), 9, 9, found)])
    with pytest.raises(GalleryError, match="has no approximate index"):
        Gallery.open(folder, approximate=True)
    with Gallery.open(folder, write=True) as gallery:
        with pytest.raises(GalleryError, match="holds 1 people, too few for an approximate index, which needs 20"):
            gallery.approximate()
        assert gallery.table.unindexed() is None


@pytest.mark.parametrize("what", ["note", "truncate", "delete", "rows"])
def test_what_is_damaged_is_one_line(tmp_path: Path, what: str) -> None:
    folder = fill(tmp_path / "g", "readings")
    with Gallery.open(folder, write=True) as gallery:
        gallery.approximate()
    assert verify(folder) == [one for one in verify(folder) if not one.damage]
    if what == "note":
        (folder / NEIGHBOURS).write_bytes(b"PK\x03\x04 damaged")
        assert load_neighbours(folder) is None
    elif what == "rows":  # of another gallery, with fewer cameras
        other = fill(tmp_path / "other", "readings", scenes=100)
        with Gallery.open(other, write=True) as gallery:
            gallery.approximate()
        (folder / NEIGHBOURS).write_bytes((other / NEIGHBOURS).read_bytes())
        same(folder)
        return
    else:
        for file in (folder / "scenes.lance" / INDEXES).rglob("*"):
            if file.is_file() and what == "delete":
                file.unlink()
            elif file.is_file():
                file.write_bytes(file.read_bytes()[:100])
        assert any("make the approximate index anew" in one.line for one in verify(folder)) or what == "delete"
    with pytest.raises(GalleryError, match="personsearch gallery approximate") as error:
        Gallery.open(folder, approximate=True).ask(queries()[0])
    assert "\n" not in str(error.value)
    assert Gallery.open(folder).ask(queries()[0]).hits
    with Gallery.open(folder, write=True) as gallery:
        gallery.approximate()
    same(folder)
