"""What is found in folders: nothing stops the search, and what is left out is said."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from search_fakes import DIM, FakeModel, picture, save_pictures, save_video, searcher

from personsearch.errors import ImageError, InputError, SettingError
from personsearch.geometry.detections import Detections
from personsearch.search import indexing
from personsearch.search.files import describe_passed_over, find_files, one_line
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.searchers import SceneEncoder, read_scene


def new(folder: Path) -> Gallery:
    return Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM)


def index(folder: Path, *sources: Path, one: SceneEncoder | None = None) -> tuple[IndexReport, list[str]]:
    lines: list[str] = []
    with Gallery.open(folder, write=True) if Gallery.exists(folder) else new(folder) as gallery:
        report = index_sources(gallery, one or searcher(), sources, complain=lines.append)
    assert all(line == one_line(line) for line in lines)
    assert report.failures == lines
    return report, lines


def bad_entries(folder: Path) -> list[str]:
    """One of each kind that a folder of pictures may hold; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dangling.jpg").symlink_to(folder / "nothing.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            server.bind("socket.png")
        finally:
            os.chdir(here)
    return ["circle.jpg", "dangling.jpg", "pipe.jpg", "pipe.mp4", "socket.png"]


def test_a_dangling_link_costs_only_itself(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 3)
    (tmp_path / "photos" / "a.jpg").symlink_to(tmp_path / "nothing.jpg")
    report, lines = index(tmp_path / "g", tmp_path / "photos")
    assert (report.scenes, report.files) == (3, 4)
    assert "a link to a file that is not there" in lines[0]


def test_no_entry_stops_the_others_and_each_is_told(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2)
    names = bad_entries(tmp_path / "photos" / "bad")
    (tmp_path / "photos" / "empty.jpg").touch()
    (tmp_path / "photos" / os.fsdecode(b"b\xff.png")).write_bytes((tmp_path / "photos" / "p000.png").read_bytes())
    picture([(4, 10)]).save(tmp_path / "photos" / "line\nbreak.png")
    report, lines = index(tmp_path / "g", tmp_path / "photos")
    assert report.scenes == 3
    for name in [*names, "empty.jpg", r"b\udcff.png"]:
        assert sum(f"/{name}" in line for line in lines) == 1, name
    assert len(lines) == len(names) + 2
    assert report.files == 3 + len(lines)


def test_a_link_to_a_folder_is_counted_and_not_followed(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 1)
    (tmp_path / "photos" / "up").symlink_to(tmp_path)
    found = find_files([tmp_path / "photos"])
    assert len(found.files) == 1
    assert found.passed_over == {"linked folders": 1}


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "photos", 2)
    save_pictures(tmp_path / "photos" / "locked", 2)
    scandir = os.scandir

    def refuse(path: object) -> object:
        if Path(str(path)).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    def refuse_below(path: object, **how: Any) -> object:
        if Path(str(path)).parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **how)  # type: ignore[arg-type]

    look = os.stat
    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "stat", refuse_below)
    found = find_files([tmp_path / "photos"])
    assert len(found.files) == 2
    assert len(found.unusable) == 1
    assert "locked: the folder cannot be read (Permission denied)" in found.unusable[0]
    with pytest.raises(InputError, match="check its permissions"):
        find_files([tmp_path / "photos" / "locked"])


def test_a_bad_source_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (good,) = save_pictures(tmp_path / "photos", 1)
    bad_entries(tmp_path / "bad")
    for source in [tmp_path / "nothing", *sorted((tmp_path / "bad").iterdir()), tmp_path / "bad", tmp_path / "a\nb"]:
        with pytest.raises(InputError) as caught:
            find_files([good, source] if source != tmp_path / "bad" else [source])
        assert str(caught.value) == one_line(str(caught.value))


def test_what_is_passed_over_is_counted_by_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save_pictures(folder, 1)
    for name in ["a.psd", "b.PSD", "c.y4m", "notes.txt", "README", ".DS_Store", "Thumbs.db", "p000.xmp", ".secret.txt"]:
        (folder / name).touch()
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "thumb.psd").touch()
    new(folder / "g").close()
    found = find_files([folder])
    assert found.passed_over == {".psd": 2, ".y4m": 1, ".txt": 1, "without a suffix": 1}
    assert describe_passed_over(found.passed_over) == (
        "2 .psd (pictures that cannot be read), 1 .y4m (a film that cannot be read), 1 .txt, 1 without a suffix"
    )
    (folder / "p000.png").unlink()
    with pytest.raises(InputError, match=r"no picture or video in this folder \(2 \.psd \(pictures"):
        find_files([folder])
    with pytest.raises(InputError, match="a picture that cannot be read"):
        find_files([folder / "a.psd"])


def test_a_file_that_goes_before_its_turn_is_told(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 3)
    found = find_files([tmp_path / "photos"])
    paths[1].unlink()
    with new(tmp_path / "g") as gallery:
        report = index_sources(gallery, searcher(), found)
    assert report.scenes == 2
    assert len(report.failures) == 1
    assert "p001.png" in report.failures[0]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA\nout of memory"), AttributeError("x")])
def test_a_scene_at_which_the_model_fails_costs_only_itself(tmp_path: Path, error: Exception) -> None:
    save_pictures(tmp_path / "photos", 4)
    model = FakeModel()

    def fail_once() -> None:
        if model.seen == 2:
            raise error

    model.before = fail_once
    report, lines = index(tmp_path / "g", tmp_path / "photos", one=SceneEncoder(model, "fake-1"))
    assert report.scenes == 3
    assert len(lines) == 1
    assert type(error).__name__ in lines[0]
    assert index(tmp_path / "g", tmp_path / "photos")[0].scenes == 1


def test_a_frame_at_which_the_model_fails_is_tried_again(tmp_path: Path) -> None:
    video = save_video(tmp_path / "walk.avi", seconds=5)
    model = FakeModel()

    def fail_once() -> None:
        if model.seen == 2:
            raise MemoryError

    model.before = fail_once
    report, lines = index(tmp_path / "g", video, one=SceneEncoder(model, "fake-1"))
    assert (report.scenes, len(lines)) == (4, 1)
    assert "at 00:00:01.0" in lines[0]
    again, _ = index(tmp_path / "g", video)
    assert (again.scenes, again.failures) == (1, [])
    assert index(tmp_path / "g", video)[0].skipped == 1


def test_what_a_library_raises_at_one_picture_costs_that_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pictures(tmp_path / "photos", 3)
    read = indexing.ImageFile.read

    def odd(self: indexing.ImageFile) -> object:
        if self.path.name == "p001.png":
            raise AttributeError("'NoneType' object\nhas no attribute")
        return read(self)

    monkeypatch.setattr(indexing.ImageFile, "read", odd)
    report, lines = index(tmp_path / "g", tmp_path / "photos")
    assert report.scenes == 2
    assert "p001.png: cannot be indexed (AttributeError" in lines[0]


def test_boxes_that_no_model_should_find_are_not_written(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 1)
    model = FakeModel()
    found = model.detect(picture([(1, 10)]))
    model.detect = lambda image, score_threshold=0.5: Detections(  # type: ignore[method-assign]
        found.boxes * float("nan"), found.scores, found.embeddings
    )
    report, lines = index(tmp_path / "g", tmp_path / "photos", one=SceneEncoder(model, "fake-1"))
    assert report.scenes == 0
    assert "impossible boxes" in lines[0]
    assert Gallery.open(tmp_path / "g").people == 0


@pytest.mark.parametrize("every", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_step_is_refused_before_the_work(tmp_path: Path, every: float) -> None:
    paths = save_pictures(tmp_path / "photos", 1)
    with new(tmp_path / "g") as gallery, pytest.raises(SettingError, match="impossible"):
        index_sources(gallery, searcher(), paths, every=every)


@pytest.mark.parametrize("score", [80, -0.1, float("nan")])
def test_an_impossible_least_score_is_refused(tmp_path: Path, score: float) -> None:
    with pytest.raises(SettingError, match="from 0 to 1"):
        Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM, min_score=score)
    assert not (tmp_path / "g").exists()
    with pytest.raises(SettingError, match="from 0 to 1"):
        SceneEncoder(FakeModel(), "fake-1", score_threshold=score)


def test_a_query_from_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="not a file"):
        read_scene(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError):
        read_scene(tmp_path / "nothing.jpg")
