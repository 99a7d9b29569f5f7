"""A folder of films of which some are damaged: each is read as far as it can be, and the run goes on."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from search_fakes import DIM, picture, save_video, searcher

from personsearch.data.video import VideoFrame
from personsearch.errors import SettingError, VideoError
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.reading_scenes import SceneReader
from personsearch.search.searchers import read_scene
from personsearch.search.sources import Source

av = pytest.importorskip("av")


def index(gallery: Path, *sources: Path, every: float = 1.0) -> IndexReport:
    about: dict[str, Any] = {"model": "fake", "fingerprint": "fake-1", "dim": DIM}
    with Gallery.open(gallery, write=True) if gallery.exists() else Gallery.create(gallery, **about) as held:
        return index_sources(held, searcher(), sources, every=every)


def damaged(path: Path) -> Path:
    """A film of 30 frames, one key frame a second, of which the second key frame is lost."""
    content = bytearray(save_video(path, seconds=6).read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.is_keyframe][1]
        at = content.index(bytes(packet))
    content[at : at + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    return path


def test_films_behind_a_broken_one_go_in(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    damaged(folder / "a.avi")
    unknown = save_video(folder / "b.avi", seconds=1)
    unknown.write_bytes(unknown.read_bytes().replace(b"FMP4", b"zzzz"))
    (folder / "c.ts").write_bytes(b"\x47" * 188)
    save_video(folder / "d.3gp", seconds=2)
    report = index(tmp_path / "g", folder)
    assert report.scenes == 6 + 2
    assert len(report.failures) == 3
    assert "(1 frame left out): the rest can be used" in report.failures[0]
    assert "the codec 'zzzz'" in report.failures[1]
    assert "c.ts" in report.failures[2]
    again = index(tmp_path / "g", folder)
    assert (again.scenes, again.skipped, len(again.failures)) == (0, 1, 3)


def test_what_is_held_of_a_film_stays_until_there_is_something_new(tmp_path: Path) -> None:
    film = save_video(tmp_path / "walk.avi", seconds=3)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        index_sources(gallery, searcher(), [film])
        held = gallery.scenes()
        film.write_bytes(film.read_bytes()[:100])  # a copy that has just begun
        assert index_sources(gallery, searcher(), [film]).failures
        assert [scene.name for scene in gallery.scenes()] == [scene.name for scene in held]
        save_video(film, seconds=2)
        index_sources(gallery, searcher(), [film])
        assert len(gallery) == 2


def test_a_film_keeps_its_interval_unless_another_one_is_given(tmp_path: Path) -> None:
    films = [save_video(tmp_path / name, seconds=4) for name in ("one.avi", "two.avi")]
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        assert index_sources(gallery, searcher(), films[:1], every=2.0).scenes == 2
        again = index_sources(gallery, searcher(), films)
        assert (again.scenes, again.skipped) == (4, 1)  # the new one once a second
        films[0].rename(tmp_path / "moved.avi")
        moved = index_sources(gallery, searcher(), [tmp_path / "moved.avi"])
        assert (moved.scenes, moved.moved, moved.skipped) == (0, 1, 1)
        save_video(tmp_path / "moved.avi", seconds=6)  # it has changed
        assert index_sources(gallery, searcher(), [tmp_path / "moved.avi"]).scenes == 3
        assert index_sources(gallery, searcher(), [tmp_path / "moved.avi"], every=1.0).scenes == 6


def test_a_moment_behind_damage_is_the_frame_that_is_read_again(tmp_path: Path) -> None:
    path = damaged(tmp_path / "a.avi")
    image, time = read_scene(path, 3.0)
    assert time == pytest.approx(3.0)
    assert VideoFrame(path, 14).read().tobytes() == image.tobytes()  # 15 by the clock, and one is lost


def test_moments_and_steps_of_any_size(tmp_path: Path) -> None:
    path = save_video(tmp_path / "a.avi", seconds=1)
    assert index(tmp_path / "g", path, every=1e-7).scenes == 5
    assert read_scene(path, 1e-300)[1] == pytest.approx(0.2)
    assert read_scene(path, 0.0)[1] == 0
    with pytest.raises(VideoError, match="earlier moment"):
        read_scene(path, 1e308)
    for moment in (-1e-300, float("inf"), float("nan")):
        with pytest.raises(SettingError):
            read_scene(path, moment)


def test_frames_that_equal_the_last_are_read_once(tmp_path: Path) -> None:
    reader, source = SceneReader(encoder := searcher()), Source.of(save_video(tmp_path / "a.avi", seconds=1), 1.0)
    still, other = picture([(1, 10), (2, 60)]), picture([(3, 10)])
    scenes = [reader.read(source, image, number) for number, image in enumerate([still, still.copy(), other, still])]
    assert encoder.model.seen == 3  # type: ignore[attr-defined]
    assert [scene.frame for scene in scenes] == [0, 1, 2, 3]
    assert [len(scene.people) for scene in scenes] == [2, 2, 1, 2]
    # the same bytes as a picture of another shape
    lying, standing = Image.new("RGB", (40, 20)), Image.new("RGB", (20, 40))
    assert [reader.read(source, image).width for image in (lying, standing)] == [40, 20]
    assert encoder.model.seen == 5  # type: ignore[attr-defined]
