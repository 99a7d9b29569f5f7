"""An index cut into pieces gives the rows of one process, whatever comes back first, and whoever is lost."""

from __future__ import annotations

import builtins
import json
import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_fakes import DIM, FakeModel, save_pictures, save_video, searcher

from personsearch.errors import GalleryError, SettingError
from personsearch.progress import Progress
from personsearch.search import pieces, ray_workers
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.pieces import Encoded, Piece, read_piece
from personsearch.search.sources import Source


class Shuffled:
    """Workers in this process, which finish in an order by chance."""

    def __init__(self, fingerprint: str = "fake-1") -> None:
        self.encoder = searcher(fingerprint)
        self.read: list[Piece] = []

    def encode(self, asked: Iterable[Piece]) -> Iterator[Encoded]:
        self.read = list(asked)
        random.Random(3).shuffle(self.read)
        yield from (read_piece(self.encoder, piece) for piece in self.read)


def index(folder: Path, *paths: Path, workers: Any = None, **more: Any) -> IndexReport:
    if not Gallery.exists(folder):
        Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM).close()
    with Gallery.open(folder, write=True) as gallery:
        return index_sources(gallery, searcher(), paths, every=0.2, workers=workers, **more)


def rows_of(folder: Path) -> list[str]:
    rows = Gallery.open(folder).table.read().to_pylist()
    return sorted(json.dumps(row, default=lambda value: np.asarray(value).tolist()) for row in rows)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_pictures(tmp_path / "photos", 7)
    for number in range(2):
        save_video(tmp_path / "photos" / f"walk{number}.avi", seconds=4)
    return tmp_path / "photos"


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MINUTES", 1 / 60)


def test_pieces_give_the_rows_of_one_process(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    whole = (photos / "walk0.avi").read_bytes()
    (photos / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    workers = Shuffled()
    alone, shared = index(tmp_path / "a", photos), index(tmp_path / "b", photos, workers=workers)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert sorted(alone.failures) == sorted(shared.failures)
    assert (alone.scenes, alone.people, alone.files) == (shared.scenes, shared.people, shared.files)
    assert len([piece for piece in workers.read if piece.source.path.endswith("walk1.avi")]) == 4
    again = Shuffled()
    report = index(tmp_path / "b", photos, workers=again)
    assert report.skipped == 9
    assert {Path(piece.source.path).name for piece in again.read} == {"broken.png", "cut.avi"}
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


def test_what_was_stopped_goes_on(photos: Path, tmp_path: Path) -> None:
    class Stopped(Shuffled):
        def encode(self, asked: Iterable[Piece]) -> Iterator[Encoded]:
            for number, done in enumerate(super().encode(asked)):
                if number == 6:
                    raise GalleryError("the cluster is gone")
                yield done

    with pytest.raises(GalleryError, match="is gone"):
        index(tmp_path / "b", photos, workers=Stopped())
    before = len(rows_of(tmp_path / "b"))
    assert before > 0
    workers = Shuffled()
    index(tmp_path / "b", photos, workers=workers)
    index(tmp_path / "a", photos)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    assert isinstance(workers.encoder.model, FakeModel)
    assert workers.encoder.model.seen < len(rows_of(tmp_path / "a")), "some were not read again"


def test_a_model_that_fails_on_a_frame_leaves_the_film_open(photos: Path, tmp_path: Path) -> None:
    workers = Shuffled()
    assert isinstance(workers.encoder.model, FakeModel)
    seen = iter([None] * 3 + [ValueError("too many people")] + [None] * 1000)

    def before() -> None:
        if (error := next(seen)) is not None:
            raise error

    workers.encoder.model.before = before
    report = index(tmp_path / "b", photos, workers=workers)
    (line,) = report.failures
    assert "the model fails on it (ValueError: too many people)" in line
    index(tmp_path / "b", photos, workers=Shuffled())
    index(tmp_path / "a", photos)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


def test_other_weights_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match=r"a worker has other weights \(fake-2\); bring those"):
        index(tmp_path / "b", photos, workers=Shuffled("fake-2"))


def test_a_film_is_cut_into_few_pieces(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source.of(photos / "walk0.avi", 0.2)
    monkeypatch.setattr(pieces, "MINUTES", 1e-6)
    cut = pieces.pieces_of(source, {3})
    assert len(cut) == pieces.MOST
    assert [piece.before for piece in cut] == [*(piece.after for piece in cut[1:]), math.inf]
    monkeypatch.setattr(pieces, "MINUTES", 2.0)
    assert pieces.pieces_of(source, {3}) == [Piece(source, held=frozenset({3}))]


def test_ray_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacks(name: str, *more: Any) -> Any:
        if name == "ray":
            raise ImportError("no ray")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", lacks)
    with pytest.raises(SettingError, match=r"install it: pip install 'personsearch\[ray\]'"):
        ray_workers.RayWorkers("local", searcher)


# -------------------------------------------------------------------- with Ray: make slow


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two machines, each an address of this one. Ray is in requirements/slow.txt: without it this is an error."""
    from ray.cluster_utils import Cluster

    here = str(Path(__file__).parent)
    source = str(Path(pieces.__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{source}:{here}")
    both = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.2"},
    )
    both.second = both.add_node(num_cpus=1, node_ip_address="127.0.0.3")
    yield both
    both.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_machine_is_lost_half_way(cluster: Any, photos: Path, tmp_path: Path) -> None:
    import ray_fakes

    killed = []

    def tell(_done: float, _total: int, _what: str) -> None:
        if not killed and len(Gallery.open(tmp_path / "b")):
            killed.append(cluster.second)
            cluster.remove_node(cluster.second, allow_graceful=False)

    workers = ray_workers.RayWorkers(cluster.address, ray_fakes.slow)
    try:
        report = index(tmp_path / "b", photos, workers=workers, progress=Progress(tell))
    finally:
        workers.close()
    assert killed
    assert report.failures == []
    index(tmp_path / "a", photos)
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_workers_that_cannot_are_one_line(
    cluster: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray_fakes

    for load, line in [(ray_fakes.other, "other weights"), (ray_fakes.broken, "cannot load the model")]:
        workers = ray_workers.RayWorkers(cluster.address, load)
        with pytest.raises(GalleryError, match=line) as error:
            index(tmp_path / "b", photos, workers=workers)
        workers.close()
        assert "\n" not in str(error.value)
    with pytest.raises(SettingError, match=r"no Ray cluster at 127\.0\.0\.1:9 .*; start one with ray start --head"):
        ray_workers.RayWorkers("127.0.0.1:9", searcher)
