"""Asked in shards, a gallery answers as it does in memory, to the last digit, and holds no more than it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from personsearch.cli.options import bytes_of
from personsearch.errors import GalleryError, SettingError
from personsearch.geometry.detections import Detections
from personsearch.search import ranking, table
from personsearch.search.centring import EXACT
from personsearch.search.gallery import Gallery
from personsearch.search.picking import Limits
from personsearch.search.ranking import Resident, SceneRows
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source
from personsearch.search.stored import InMemory, InShards, exact
from personsearch.search.table import Snapshot

DIM = 32
MEMORY = 2_000_000


def fill(folder: Path, read: str, scenes: int = 400) -> Path:
    """Films and folders of people who come again, in an order that is not the sorted one, by several commits; some
    rows are dropped, and some scenes are empty."""
    generator = torch.Generator().manual_seed(7)
    looks = torch.randn(40, DIM, generator=generator)
    order = torch.randperm(scenes, generator=generator).tolist()
    with Gallery.create(folder, model="m", fingerprint="f", dim=DIM, read=read) as gallery:
        for start in range(0, scenes, 50):
            batch = []
            for number in order[start : start + 50]:
                count = number % 7
                who = torch.randint(40, (count,), generator=generator)
                shift = 2.0 * torch.sin(torch.arange(DIM) + number % 5)
                seen = F.normalize(looks[who] + torch.randn(count, DIM, generator=generator) * 0.6 + shift, dim=1)
                boxes = torch.rand(count, 4, generator=generator).sort(dim=1).values * 50
                found = Detections(boxes, torch.rand(count, generator=generator) * 0.5 + 0.5, seen)
                film = number % 5 < 3
                name = f"/there/{number % 5}.avi" if film else f"/there/{number % 5}/{number:04}.png"
                source = Source(name, 1, 1, 1.0 if film else None)
                batch.append(
                    IndexedScene(source, 60, 60, found, number if film else None, number / 2 if film else None)
                )
            gallery.add(batch)
        gallery.forget("/there/3/0003.png")
    return folder


@pytest.fixture(scope="module", params=["readings", "search"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("shards") / "g", request.param)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "people_at_a_time", lambda *_: 250)
    for module in (ranking, table):
        monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 7)


def queries() -> list[torch.Tensor]:
    """Somebody who is there, as camera 1 sees her, and two who are not."""
    looks = torch.randn(40, DIM, generator=torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(8)
    there = looks[3] + 2.0 * torch.sin(torch.arange(DIM) + 1)
    return [there, *(torch.randn(DIM, generator=generator) for _ in range(2))]


def test_answers_are_the_same_to_the_last_digit(folder: Path) -> None:
    whole, parted = Gallery.open(folder), Gallery.open(folder, memory=MEMORY)
    assert isinstance(parted.crowd().scenes, SceneRows)
    asked: list[tuple[Limits, dict[str, Any]]] = [
        (Limits(10), {}),
        (Limits(500, None), {}),
        (Limits(10), {"once": True, "widen": 3}),
        (Limits(10), {"once": False, "widen": 0}),
        (Limits(10, 2, 0.7, 3.0), {}),
        (Limits(10, allow=lambda hit: hit.time is None), {}),
        (Limits(10, among=whole.crowd().scene_of % 3 == 0), {}),
    ]
    widened = 0
    for query in queries():
        for camera in (None, Path("/there/1.avi")):
            for limits, how in asked:
                answer = parted.ask(query, limits, camera=camera, **how)
                assert answer == whole.ask(query, limits, camera=camera, **how)
                widened += bool(answer.added)
    assert widened or whole.about.read == "search"
    assert torch.equal(torch.tensor(whole.strangers().likenesses), torch.tensor(parted.strangers().likenesses))


def test_crowds_are_the_same(folder: Path) -> None:
    whole, parted = Gallery.open(folder).crowd(), Gallery.open(folder, memory=MEMORY).crowd()
    assert list(parted.scenes) == list(whole.scenes)
    assert parted.sources == whole.sources
    for name in ("scene_of", "boxes", "scores"):
        assert torch.equal(getattr(parted, name), getattr(whole, name))
    some = torch.tensor([5, 900, 3, 3, 17])
    assert torch.equal(parted.readings(some), whole.readings(some))
    assert parted.readings(torch.zeros(0, dtype=torch.int64)).shape == (0, DIM)
    for query in queries():
        mine, theirs = parted.cosines(query), whole.cosines(query)
        best = theirs.topk(EXACT).indices
        assert torch.equal(mine[best], theirs[best])
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_parts_are_everybody_once_and_no_more_than_asked_at_a_time(folder: Path) -> None:
    people = Gallery.open(folder, memory=MEMORY).crowd().people
    shards = people.stored  # type: ignore[union-attr]
    assert isinstance(shards, InShards)
    seen = torch.zeros(len(shards), dtype=torch.int64)
    sizes = []
    for who, part in shards.parts():
        seen[who] += 1
        sizes.append(len(part))
        assert torch.equal(part, shards.take(who)), "parts and takes agree"  # type: ignore[arg-type]
    assert torch.equal(seen, torch.ones_like(seen))
    assert max(sizes) < 250 + 7
    assert len(sizes) > 3


def test_an_empty_gallery_and_one_of_empty_scenes(tmp_path: Path) -> None:
    with Gallery.create(tmp_path / "g", model="m", fingerprint="f", dim=DIM, read="readings") as gallery:
        assert Gallery.open(tmp_path / "g", memory=MEMORY).ask(queries()[0]).hits == []
        gallery.add([IndexedScene(Source("/a.png", 1, 1), 9, 9, Detections.empty(DIM))])
    assert Gallery.open(tmp_path / "g", memory=MEMORY).ask(queries()[0]).hits == []


def test_exact_products_do_not_depend_on_the_company() -> None:
    for dim in (1, 7, 256, 768):
        readings, query = torch.randn(1000, dim).half(), torch.randn(dim)
        whole = exact(readings, query)
        torch.testing.assert_close(whole, (readings.double() * query.double()).sum(dim=1).float())
        for start, end in ((0, 0), (0, 1), (7, 19), (500, 1000)):
            assert torch.equal(exact(readings[start:end], query), whole[start:end])
        order = torch.randperm(1000)
        assert torch.equal(exact(readings[order], query), whole[order])
    assert next(InMemory(readings).parts())[1] is readings


@pytest.mark.parametrize("what", ["truncate", "delete"])
def test_a_damaged_shard_is_one_line(tmp_path: Path, what: str) -> None:
    folder = fill(tmp_path / "g", "readings", scenes=100)
    asked = Gallery.open(folder, memory=MEMORY)
    asked.crowd()
    for file in (folder / "scenes.lance" / "data").iterdir():
        if what == "delete":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:200])
    for gallery in (asked, Gallery.open(folder, memory=MEMORY)):
        with pytest.raises(GalleryError) as error:
            gallery.ask(queries()[0])
        assert "a part of the gallery's table is damaged; run personsearch gallery verify" in str(error.value)
        assert "\n" not in str(error.value)


def test_erased_meanwhile_is_one_line(tmp_path: Path) -> None:
    folder = fill(tmp_path / "g", "readings", scenes=100)
    asked = Gallery.open(folder, memory=MEMORY)
    asked.crowd()
    with Gallery.open(folder, write=True) as gallery:
        gallery.erase(["/there/0.avi"])
    with pytest.raises(GalleryError, match="was changed while it was asked; ask again"):
        asked.ask(queries()[0])


def test_too_little_memory_says_how_much_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = fill(tmp_path / "g", "readings", scenes=100)
    with pytest.raises(GalleryError, match=r"more memory than that: give --memory \dMB or more") as error:
        Gallery.open(folder, memory=1000).crowd()
    named = bytes_of(str(error.value).partition("--memory ")[2].split()[0])
    assert Gallery.open(folder, memory=named).ask(queries()[0]).hits


def test_a_shard_is_no_larger_than_the_memory_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = fill(tmp_path / "g", "readings", scenes=100)
    read: list[int] = []
    real = Snapshot.readings

    def counted(self: Snapshot, rows: list[int], people: int) -> torch.Tensor:
        read.append(people)
        return real(self, rows, people)

    monkeypatch.setattr(Snapshot, "readings", counted)
    monkeypatch.setattr(ranking, "_FEWEST_AT_A_TIME", 10)
    Resident.in_shards(Gallery.open(folder).table.snapshot(), 150_000, centred=True)
    assert len(read) > 2
    assert max(read) * DIM * 16 < 150_000


@pytest.mark.parametrize(("text", "size"), [("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1.5 g", 15 * 10**8), ("7", 7)])
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["much", "-2GB", "0MB", "2PB", ""])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(SettingError, match="such as 2GB"):
        bytes_of(text)
