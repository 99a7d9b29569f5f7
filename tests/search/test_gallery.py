"""A gallery against a plain list of everything that was put into it."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from personsearch.errors import BusyError, GalleryError, SettingError
from personsearch.geometry.detections import Detections
from personsearch.search import claiming, replacing, table
from personsearch.search import gallery as gallery_module
from personsearch.search.contents import galleries_in
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.likenesses import descending
from personsearch.search.place import move
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source


def new(folder: Path, dim: int = 8) -> Gallery:
    return Gallery.create(folder, model="fake", fingerprint="f1", dim=dim)


def people(count: int, dim: int = 8, seed: int = 0) -> Detections:
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)
    boxes = torch.rand(count, 4, generator=generator).sort(dim=1).values * 50
    return Detections(boxes, torch.rand(count, generator=generator), embeddings)


def scene(name: str, found: Detections, frame: int | None = None, time: float | None = None) -> IndexedScene:
    source = Source(f"/there/{name}", 10, 20, None if frame is None else 1.0)
    return IndexedScene(source, 100, 50, found, frame, time)


@pytest.fixture
def scenes() -> list[IndexedScene]:
    stills = [scene(f"{i:02}.jpg", people(i % 4, seed=i)) for i in range(12)]
    frames = [scene("walk.avi", people(3, seed=50 + i), frame=5 * i, time=0.5 * i) for i in range(8)]
    return stills + frames


def oracle(scenes: list[IndexedScene], query: torch.Tensor) -> list[tuple[float, str, int | None]]:
    """Everybody, best first, by a slow loop over float16 copies."""
    answers = []
    for one in scenes:
        for embedding in one.people.embeddings:
            stored = torch.nn.functional.normalize(embedding.half().float(), dim=0)
            answers.append((float(stored @ query), one.source.path, one.frame))
    return sorted(answers, key=lambda a: -a[0])


def ranks(hits: list[GalleryHit]) -> list[tuple[str, int | None]]:
    return [(str(hit.source), hit.frame) for hit in hits]


def test_search_ranks_like_a_slow_loop(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    query = torch.nn.functional.normalize(torch.randn(8, generator=torch.Generator().manual_seed(9)), dim=0)
    with new(tmp_path / "g") as gallery:
        gallery.add(scenes[:5])
        gallery.add(scenes[5:])
    gallery = Gallery.open(tmp_path / "g")
    expected = oracle(scenes, query)
    hits = gallery.search(query, top=1000, per_scene=None)
    assert ranks(hits) == [answer[1:] for answer in expected]
    assert [hit.similarity for hit in hits] == pytest.approx([a[0] for a in expected], abs=1e-6)
    assert len(gallery) == len(scenes)
    assert gallery.people == len(expected)

    once = list(dict.fromkeys(answer[1:] for answer in expected))
    assert ranks(gallery.search(query, top=7)) == once[:7]


def test_hits_carry_box_score_size_and_time(tmp_path: Path) -> None:
    found = people(3)
    with new(tmp_path / "g") as gallery:
        gallery.add([scene("walk.avi", found, frame=40, time=1.6)])
        (hit,) = gallery.search(found.embeddings[1], top=5)
    assert hit.box == pytest.approx(tuple(found.boxes[1].tolist()))
    assert hit.score == pytest.approx(float(found.scores[1]))
    assert (hit.frame, hit.time, hit.width, hit.height) == (40, 1.6, 100, 50)
    assert hit.similarity == pytest.approx(1, abs=1e-5)
    assert hit.scene == "/there/walk.avi@40"


def test_search_can_leave_out(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    query = people(1, seed=3).embeddings[0]
    with new(tmp_path / "g") as gallery:
        gallery.add(scenes)
        everybody = gallery.search(query, 1000, per_scene=None)
        sure = gallery.search(query, 1000, per_scene=None, min_score=0.5)
        assert sure == [hit for hit in everybody if hit.score >= 0.5]
        stills = gallery.search(query, 1000, per_scene=None, allow=lambda hit: hit.time is None)
        assert stills == [hit for hit in everybody if hit.time is None]
        spread = gallery.search(query, 1000, min_gap=1.0, allow=lambda hit: hit.time is not None)
        times = sorted(hit.time for hit in spread if hit.time is not None)
        assert len(times) >= 3
        assert all(b - a >= 1.0 for a, b in itertools.pairwise(times))


def test_empty_gallery_and_scenes_without_people(tmp_path: Path) -> None:
    query = people(1).embeddings[0]
    with new(tmp_path / "g") as gallery:
        assert gallery.search(query) == []
        assert len(gallery) == 0
        gallery.add([])
        gallery.add([scene("empty.jpg", Detections.empty(8))])
        assert gallery.search(query) == []
        assert len(gallery) == 1
        assert gallery.holds(scene("empty.jpg", Detections.empty(8)).source)


def test_search_leaves_the_query_as_it_was(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    query = 3 * people(1).embeddings[0]
    before = query.clone()
    with new(tmp_path / "g") as gallery:
        gallery.add(scenes)
        long = gallery.search(query, 4)
        assert torch.equal(query, before)
        assert [hit.similarity for hit in long] == pytest.approx(
            [hit.similarity for hit in gallery.search(query / 3, 4)], abs=1e-6
        )
        with pytest.raises(GalleryError, match="8-d"):
            gallery.search(torch.ones(9))


def test_an_embedding_that_is_no_number_comes_last(tmp_path: Path) -> None:
    found = people(4)
    found.embeddings[2] = float("nan")
    with new(tmp_path / "g") as gallery:
        gallery.add([scene("a.jpg", found)])
        hits = gallery.search(found.embeddings[1], per_scene=None)
    assert len(hits) == 4
    assert hits[0].similarity == pytest.approx(1, abs=1e-5)
    assert hits[-1].box == pytest.approx(tuple(found.boxes[2].tolist()))


def test_descending_equals_a_stable_sort() -> None:
    values = (torch.rand(5000, generator=torch.Generator().manual_seed(1)) * 40).floor() / 40
    assert list(descending(values)) == values.argsort(descending=True, stable=True).tolist()
    assert list(descending(torch.zeros(0))) == []


def test_holds_and_forgets(tmp_path: Path) -> None:
    still, walk = scene("it's.jpg", people(1)), [scene("w.avi", people(1), i, i / 2) for i in range(3)]
    with new(tmp_path / "g") as gallery:
        gallery.add([still, *walk[:2]])
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        assert gallery.holds(still.source)
        assert not gallery.holds(walk[0].source)
        assert gallery.frames(walk[0].source) == {0, 1}
        gallery.add(walk[2:])
        gallery.finish(walk[0].source)
        assert gallery.holds(walk[0].source)
        assert len(gallery) == 4

        newer = Source(still.source.path, 11, 20)
        assert not gallery.holds(newer)
        assert gallery.outdated(newer)
        gallery.forget(still.source.path)
        assert not gallery.holds(still.source)
        assert not gallery.outdated(newer)
        assert gallery.people == 3


def test_writers_wait_for_each_other_and_readers_do_not(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    with new(tmp_path / "g") as first:
        first.add(scenes[:4])
        with pytest.raises(GalleryError, match="another index"):
            Gallery.open(tmp_path / "g", write=True)
        reader = Gallery.open(tmp_path / "g")
        assert len(reader) == 4
        with pytest.raises(GalleryError, match="reading"):
            reader.add(scenes[4:])
    Gallery.open(tmp_path / "g", write=True).close()


def test_many_appends_are_merged_at_the_end(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    with new(tmp_path / "g") as gallery:
        for one in scenes:
            gallery.add([one])
    assert len(Gallery.open(tmp_path / "g")) == len(scenes)


def files_of(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_a_gallery_does_not_grow_by_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One scene a run, each by another writer: files are merged by how many there are, not by who wrote them."""
    monkeypatch.setattr(table, "_KEPT", timedelta(milliseconds=1))
    new(tmp_path / "g").close()
    most = fragments = 0
    for number in range(3 * table.MOST_FRAGMENTS):
        with Gallery.open(tmp_path / "g", write=True) as gallery:
            gallery.add([scene(f"{number}.jpg", people(2, seed=number))])
        most = max(most, files_of(tmp_path / "g"))
        fragments = max(fragments, Gallery.open(tmp_path / "g")._table.fragments())
    assert fragments == table.MOST_FRAGMENTS
    assert most < 5 * table.MOST_FRAGMENTS
    assert len(Gallery.open(tmp_path / "g")) == 3 * table.MOST_FRAGMENTS


def test_what_killed_writers_left_is_merged_by_the_next(tmp_path: Path) -> None:
    gallery = new(tmp_path / "g")
    for number in range(table.MOST_FRAGMENTS + 4):
        gallery.add([scene(f"{number}.jpg", people(1))])
    assert gallery._claim is not None
    gallery._claim.close()  # as a kill would
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        assert gallery._table.fragments() == table.MOST_FRAGMENTS + 4
    assert Gallery.open(tmp_path / "g")._table.fragments() == 1


def test_limits_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with new(tmp_path / "g") as gallery:
        for limits in (
            {"min_score": 80.0},
            {"min_score": float("nan")},
            {"min_gap": -1.0},
            {"min_gap": float("nan")},
            {"per_scene": 0},
            {"top": 0},
            {"top": -3},
        ):
            with pytest.raises(SettingError, match="impossible"):
                gallery.search(people(1).embeddings[0], **limits)  # type: ignore[arg-type]


def test_a_gallery_can_be_removed(tmp_path: Path) -> None:
    new(tmp_path / "g").close()
    with pytest.raises(GalleryError, match="reading"):
        Gallery.open(tmp_path / "g").remove()
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        gallery.remove()
    assert not (tmp_path / "g").exists()


def test_what_is_not_a_gallery_says_so_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    new(folder).close()

    def refused(match: str, path: Path = folder) -> None:
        with pytest.raises(GalleryError, match=match) as caught:
            Gallery.open(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    refused("no gallery", tmp_path)
    refused("no gallery", tmp_path / "nothing")
    about = (folder / "gallery.json").read_text()
    (folder / "gallery.json").write_text(about[:20])
    refused("damaged")
    (folder / "gallery.json").write_text("[]")
    refused("damaged")
    (folder / "gallery.json").write_text(json.dumps({**json.loads(about), "format": 99}))
    refused("newer")
    (folder / "gallery.json").write_text(about)
    for part in (folder / "scenes.lance").rglob("*.manifest"):
        part.write_bytes(b"nonsense")
    refused("damaged")


def test_create_replaces_only_galleries_and_only_by_force(tmp_path: Path, scenes: list[IndexedScene]) -> None:
    folder = tmp_path / "g"
    with new(folder) as gallery:
        gallery.add(scenes)
    with pytest.raises(GalleryError, match="--force"):
        new(folder)
    assert len(Gallery.open(folder)) == len(scenes)
    (folder / "gallery.json").unlink()  # as a kill would leave it before its last step
    new(folder).close()

    (folder / "letter.txt").write_text("mine")
    with pytest.raises(GalleryError, match=r"letter\.txt"):
        Gallery.create(folder, model="fake", fingerprint="f1", dim=8, force=True)
    assert (folder / "letter.txt").read_text() == "mine"
    with pytest.raises(GalleryError, match="a file"):
        new(folder / "letter.txt")


def test_what_is_replaced_answers_until_the_new_one_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    with new(folder) as gallery:
        gallery.add([scene("a", people(3))])
    other = {"model": "fake", "fingerprint": "f2", "dim": 4, "force": True}
    for end in (Gallery.close, Gallery.remove, lambda gallery: gallery._claim.close()):  # the last as a kill would
        gallery = Gallery.create(folder, **other)
        assert (len(gallery), gallery.replaces) == (0, True)
        assert Gallery.open(folder).sources == ["/there/a"]
        end(gallery)
        assert (Gallery.open(folder).about.fingerprint, Gallery.open(folder).people) == ("f1", 3)
    with Gallery.create(folder, **other) as gallery:
        gallery.add([scene("b", people(2, 4))])
        assert (gallery.sources, gallery.people, gallery.replaces) == (["/there/b"], 2, True)
        gallery.add([scene("c", people(1, 4))])
        assert Gallery.open(folder).sources == ["/there/a"]
    held = Gallery.open(folder)
    assert (held.about.fingerprint, held.sources, held.people) == ("f2", ["/there/b", "/there/c"], 3)
    left = {"gallery.json", "lock", "scenes.lance", "strangers.npz", "sums.json"}
    assert {entry.name for entry in folder.iterdir()} == left
    with suppress(KeyboardInterrupt), Gallery.create(folder, **other) as gallery:
        gallery.add([scene("d", people(1, 4))])
        raise KeyboardInterrupt
    with Gallery.open(folder, write=True) as held:
        assert held.sources == ["/there/b", "/there/c"]
        held.remove()
    assert not folder.exists()


@pytest.mark.parametrize("done", [0, 1])
def test_a_replacing_that_was_killed_is_finished_by_whoever_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    folder = tmp_path / "g"
    with new(folder) as gallery:
        gallery.add([scene("a", people(3))])
    left = [done]

    def stopped(*places: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        move(*places)

    other = {"model": "fake", "fingerprint": "f2", "dim": 4, "force": True}
    monkeypatch.setattr(replacing, "bring", stopped)
    gallery = Gallery.create(folder, **other)
    gallery.add([scene("b", people(2, 4))])
    with pytest.raises(KeyboardInterrupt):
        gallery.close()
    assert not gallery.replaces  # the old one answers no more
    monkeypatch.undo()
    assert Gallery.exists(folder)
    if done:
        Gallery.create(folder, **other).remove()  # which would have replaced what was finished first
    assert galleries_in(folder) == [folder]
    held = Gallery.open(folder)
    assert (held.about.fingerprint, held.sources) == ("f2", ["/there/b"])
    assert not (folder / "new").exists()


@pytest.mark.parametrize("name", ["gal\nlery", "S3:", "b\udcff"])
def test_a_name_that_no_gallery_can_have_is_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    if name == "S3:":
        for address in ("S3://bucket/people", "s3:people", "S3:/bucket/people"):
            with pytest.raises(SettingError, match="s3://BUCKET/PATH"):
                new(address)
    else:
        with pytest.raises(SettingError, match="give another folder"):
            new(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_relative_name_may_look_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with new(Path("ab:cd")) as gallery:
        gallery.add([scene("a", people(3))])
    assert Gallery.open(Path("ab:cd")).people == 3


def test_a_gallery_that_cannot_be_made_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gallery_module, "write_about", refuse)
    with pytest.raises(GalleryError, match="disk is full"):
        new(tmp_path / "g")
    assert not list(tmp_path.iterdir())


def test_a_gallery_that_another_program_makes_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def claimed_later(folder: Path) -> Any:
        if not made:  # the folder was not there when it was looked at
            made.append(True)
            with new(folder) as other:
                other.add([scene("a", people(3))])
        return claim(folder)

    claim = gallery_module.claim
    monkeypatch.setattr(gallery_module, "claim", claimed_later)
    with pytest.raises(GalleryError, match="holds a gallery already"):
        new(tmp_path / "g")
    assert Gallery.open(tmp_path / "g").people == 3


def test_a_lock_of_a_gallery_that_was_deleted_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once, others = claiming._locked_once, []

    def deleted_meanwhile(folder: Path) -> Any:
        lock = once(folder)
        if not others:  # another program deletes the gallery, and makes one anew
            (folder / "lock").unlink()
            others.append(once(folder))
            others[0].close()
        return lock

    monkeypatch.setattr(claiming, "_locked_once", deleted_meanwhile)
    held = claiming.FolderClaim(tmp_path)
    monkeypatch.undo()
    with pytest.raises(BusyError):
        claiming.FolderClaim(tmp_path)
    held.close()


def test_another_model_is_refused(tmp_path: Path) -> None:
    with new(tmp_path / "g") as gallery:
        gallery.require_model("f1")
        with pytest.raises(GalleryError, match=r"--model fake.*--force"):
            gallery.require_model("f2")
