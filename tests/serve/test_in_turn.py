"""Whoever asks, one thread does the big work: memory that is freed stays with the thread that used it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from search_fakes import FakeModel, picture, save_pictures, searcher
from torch import Tensor

from personsearch.geometry.detections import Detections
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.searchers import SceneEncoder
from personsearch.serve import images
from personsearch.serve.images import Images
from personsearch.serve.in_turn import InTurn
from personsearch.serve.library import Library
from personsearch.serve.uploads import Uploads

VISITORS = 6


def from_threads(work: Callable[[int], object]) -> set[int]:
    """Calls it in as many threads as there are visitors, all at once, and says which threads they were."""
    together = threading.Barrier(VISITORS)

    def visit(number: int) -> int:
        together.wait()
        work(number)
        return threading.get_ident()

    with ThreadPoolExecutor(VISITORS) as pool:
        return set(pool.map(visit, range(VISITORS)))


def test_one_thread_works_in_turn() -> None:
    turn, busy, workers = InTurn("test"), threading.Lock(), set()

    def work() -> int:
        assert busy.acquire(blocking=False)  # nobody else is at it
        workers.add(threading.get_ident())
        busy.release()
        return 7

    visitors = from_threads(lambda _: turn.do(work))
    assert len(workers) == 1
    assert not workers & visitors
    with pytest.raises(ZeroDivisionError):
        turn.do(lambda: 1 // 0)
    assert turn.do(work) == 7


def test_the_model_reads_in_one_thread() -> None:
    readers = set()

    class Noted(FakeModel):
        def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
            readers.add(threading.get_ident())
            return super().detect(image, score_threshold)

        def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
            readers.add(threading.get_ident())
            return super().embed(image, boxes)

    fake = searcher()
    uploads = Uploads(lambda: SceneEncoder(Noted(), fake.fingerprint, "fake", dim=fake.dim))
    image, file = picture([(1, 10), (2, 60)]), io.BytesIO()
    image.save(file, "PNG")

    def bring(_: int) -> None:
        name = uploads.add(file.getvalue())
        uploads.draw(name, (10, 10, 40, 80))
        uploads.draw_in(image, (10, 10, 40, 80), "a scene")

    from_threads(bring)
    assert len(readers) == 1


def test_pictures_are_read_in_one_thread_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "photos", 2)
    one = searcher()
    with Gallery.create(tmp_path / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim) as gallery:
        index_sources(gallery, one, [tmp_path / "photos"])
    hit = Library(tmp_path / "g").now().scene_hit(0)
    readers: list[int] = []
    read = images.read_scene
    monkeypatch.setattr(images, "read_scene", lambda hit: (readers.append(threading.get_ident()), read(hit))[1])
    shown = Images()
    from_threads(lambda number: shown.person(f"person {number % 2}", hit))
    assert len(readers) == 2
    assert len(set(readers)) == 1
