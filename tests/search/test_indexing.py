"""Indexing: what goes in, what is skipped, and what is left when it goes wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from search_fakes import DIM, FakeModel, box_at, picture, save_pictures, save_video, searcher

from personsearch.errors import BoxError, GalleryError, InputError, VideoError
from personsearch.search.files import find_files
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.searchers import SceneEncoder


def new(folder: Path) -> Gallery:
    return Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM)


def index(folder: Path, *sources: Path, every: float = 1.0, strict: bool = False) -> IndexReport:
    """Into the gallery at `folder`, made if it is not there."""
    gallery = Gallery.open(folder, write=True) if folder.exists() else new(folder)
    with gallery:
        return index_sources(gallery, searcher(), sources, every=every, strict=strict)


def contents(folder: Path) -> list[tuple[object, ...]]:
    """Everything in a gallery, sorted."""
    hits = Gallery.open(folder).search(searcher().encode_query(picture([(3, 10)]), box_at(10)), 10**6, per_scene=None)
    return sorted((hit.scene, hit.box, round(hit.similarity, 4), hit.time) for hit in hits)


def test_finds_the_person_in_pictures_and_video(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos" / "deep", 6)
    video = save_video(tmp_path / "walk.avi")
    report = index(tmp_path / "g", tmp_path / "photos", video, every=2)
    assert (report.scenes, report.skipped, report.failures) == (6 + 4, 0, [])
    assert report.people == (6 * 2 + 3) + 4 * 2
    query = searcher().encode_query(picture([(3, 40)]), box_at(40))
    hits = Gallery.open(tmp_path / "g").search(query, top=6)
    assert {hit.source.name for hit in hits} == {"p002.png", "p003.png", "walk.avi"}
    assert sorted(hit.time for hit in hits if hit.time is not None) == pytest.approx([0, 2, 4, 6])
    for hit in hits:
        left = hit.box[0]
        image = hit.picture.read()
        assert image.size == (hit.width, hit.height)
        again = searcher().encode_query(image, hit.box)
        assert float(again @ query) == pytest.approx(hit.similarity, abs=0.01), left


def test_second_index_skips_and_changed_files_are_read_again(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 5)
    video = save_video(tmp_path / "photos" / "walk.avi", seconds=3)
    index(tmp_path / "g", tmp_path / "photos")
    before = contents(tmp_path / "g")
    again = index(tmp_path / "g", tmp_path / "photos", paths[0])
    assert (again.scenes, again.skipped) == (0, 6)
    assert contents(tmp_path / "g") == before

    picture([(7, 90)]).save(paths[1])
    os.utime(paths[1], (1, 1))
    report = index(tmp_path / "g", tmp_path / "photos")
    assert (report.scenes, report.people, report.skipped) == (1, 1, 5)
    assert len(contents(tmp_path / "g")) == len(before) - 2 + 1

    finer = index(tmp_path / "g", video, every=0.5)
    assert finer.scenes == 6
    assert len(Gallery.open(tmp_path / "g")) == 5 + 6


def test_files_are_found_sorted_once_and_never_hidden(tmp_path: Path) -> None:
    for name in ["b.JPG", "a/z.png", "a/y.mp4", ".hidden/x.png", "a/.x.png", "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path / "a" / "z.png", tmp_path]).files
    assert [str(path.relative_to(tmp_path.resolve())) for path in found] == ["a/z.png", "b.JPG", "a/y.mp4"]
    with pytest.raises(InputError, match="no such file"):
        find_files([tmp_path / "nothing.png"])
    with pytest.raises(InputError, match="neither"):
        find_files([tmp_path / "notes.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        find_files([tmp_path / "empty"])


def save_header_of_400_megapixels(path: Path) -> None:
    """A PNG whose header promises 20000 x 20000 pixels, and no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_broken_pictures_are_told_and_passed_over(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save_pictures(photos, 3)
    whole = photos / "p000.png"
    (photos / "cut.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (photos / "text.jpg").write_text("no picture")
    save_header_of_400_megapixels(photos / "huge.png")
    lines: list[str] = []
    with new(tmp_path / "g") as gallery:
        report = index_sources(gallery, searcher(), [photos], complain=lines.append)
    assert report.scenes == 3
    assert report.failures == lines
    assert [Path(line.split(" ")[0]).name for line in lines] == ["cut.png", "huge.png", "text.jpg"]
    assert all("\n" not in line for line in lines)
    with pytest.raises(InputError, match=r"cut\.png"):
        index(tmp_path / "g2", photos, strict=True)
    assert len(Gallery.open(tmp_path / "g2")) == 0
    assert index(tmp_path / "g2", whole, photos / "p001.png").scenes == 2


def test_a_video_that_stops_keeps_what_was_read(tmp_path: Path) -> None:
    whole = save_video(tmp_path / "whole.avi", seconds=10)
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    report = index(tmp_path / "g", cut)
    assert 3 <= report.scenes <= 6
    assert len(report.failures) == 1
    assert "cut.avi" in report.failures[0]
    kept = contents(tmp_path / "g")
    assert len(kept) == report.people
    again = index(tmp_path / "g", cut)
    assert (again.scenes, len(again.failures)) == (0, 1)
    assert contents(tmp_path / "g") == kept


def test_a_stopped_video_goes_on_where_it_was(tmp_path: Path) -> None:
    video = save_video(tmp_path / "walk.avi", seconds=40)
    model = FakeModel()

    def stop_at_the_25th() -> None:
        if model.seen == 25:
            raise KeyboardInterrupt

    model.before = stop_at_the_25th
    with pytest.raises(KeyboardInterrupt), new(tmp_path / "g") as gallery:
        index_sources(gallery, SceneEncoder(model, "fake-1"), [video])
    assert len(Gallery.open(tmp_path / "g")) == 24
    assert index(tmp_path / "g", video).scenes == 16
    index(tmp_path / "straight", video)
    assert contents(tmp_path / "g") == contents(tmp_path / "straight")
    assert index(tmp_path / "g", video).skipped == 1


def test_another_model_adds_nothing(tmp_path: Path) -> None:
    photos = save_pictures(tmp_path / "photos", 2)
    index(tmp_path / "g", *photos[:1])
    before = contents(tmp_path / "g")
    with Gallery.open(tmp_path / "g", write=True) as gallery, pytest.raises(GalleryError, match="fake-2"):
        index_sources(gallery, searcher("fake-2"), photos)
    assert contents(tmp_path / "g") == before


class FullDisk:
    """Stands before a gallery's table and refuses its appends, as a full disk does."""

    def __init__(self, table: object) -> None:
        self.table = table

    def __getattr__(self, name: str) -> object:
        return getattr(self.table, name)

    def add(self, rows: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    photos = save_pictures(tmp_path / "photos", 4)
    index(tmp_path / "g", *photos[:2])
    before = contents(tmp_path / "g")
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        gallery._table._table = FullDisk(gallery._table._table)
        with pytest.raises(GalleryError, match="disk is full; free some space") as caught:
            index_sources(gallery, searcher(), photos)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path / "g") == before
    assert index(tmp_path / "g", *photos).scenes == 2


KILLS = int(os.environ.get("PERSONSEARCH_TEST_KILLS", "2"))

# A process that loads the libraries once and forks one indexing child for each line it reads.
_INDEXER = """
import os, sys, time
from pathlib import Path
fakes, folder, photos = map(Path, sys.argv[1:])
sys.path.insert(0, str(fakes))
from search_fakes import DIM, searcher
from personsearch.search import indexing
from personsearch.search.gallery import Gallery

def index():
    if Gallery.exists(folder):
        gallery = Gallery.open(folder, write=True)
    else:
        gallery = Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM)
    indexing.BATCH = 4
    one = searcher()
    one.model.before = lambda: time.sleep(0.03)
    print(os.getpid(), flush=True)
    with gallery:
        indexing.index_sources(gallery, one, [photos])

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        index()
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def test_a_real_write_error_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    photos = save_pictures(tmp_path / "photos", 20)
    index(tmp_path / "g", photos[0])
    before = contents(tmp_path / "g")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file beyond 1000 bytes
        try:
            with pytest.raises(GalleryError, match="everything indexed before is kept") as caught:
                index_sources(gallery, searcher(), photos)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert contents(tmp_path / "g") == before
    assert index(tmp_path / "g", *photos).scenes == 19


def test_killed_again_and_again_ends_as_if_it_never_was(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    save_pictures(photos, 40)
    held, patience = 0, 0.3
    command = [sys.executable, "-c", _INDEXER, str(Path(__file__).parent), str(tmp_path / "g"), str(photos)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as indexer:
        assert indexer.stdin is not None
        assert indexer.stdout is not None
        cycle = 0
        while cycle < KILLS or (not held and patience < 60):  # until something was written before a kill
            indexer.stdin.write("index\n")
            indexer.stdin.flush()
            child = int(indexer.stdout.readline())
            time.sleep(patience + 0.1 * (cycle % 5))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            assert indexer.stdout.readline() == "ended\n"
            now = len(Gallery.open(tmp_path / "g"))
            assert held <= now <= 40
            patience *= 1 if now else 2  # a busy machine comes to nothing in that time
            held, cycle = now, cycle + 1
    assert held > 0
    index(tmp_path / "g", photos)
    index(tmp_path / "straight", photos)
    assert contents(tmp_path / "g") == contents(tmp_path / "straight")


def test_a_query_box_is_checked(tmp_path: Path) -> None:
    image = picture([(1, 10)])
    for box in [(5, 5, 5, 20), (500, 5, 520, 20), (float("nan"), 0, 5, 5)]:
        with pytest.raises(BoxError):
            searcher().encode_query(image, box)
    whole = searcher().encode_query(image, (-30, 26, 30, 86))
    assert whole.shape == (DIM,)
    assert float(whole.norm()) == pytest.approx(1)


def test_a_video_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "walk.avi").write_bytes(b"RIFF nothing")
    with pytest.raises(VideoError):
        index(tmp_path / "g", tmp_path / "walk.avi", strict=True)
