"""Answers to take along: tables that agree, pictures that show one person, a folder that is whole or not there."""

from __future__ import annotations

import csv
import json
import resource
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from search_fakes import DIM, box_at, picture, save_pictures, save_video, searcher

from personsearch.data.video import sample_video
from personsearch.errors import InputError, SettingError
from personsearch.export.exporting import ExportSettings, export_model
from personsearch.search import exporting
from personsearch.search.appearances import Appearance
from personsearch.search.audit import picture_hash
from personsearch.search.blurring import blurred
from personsearch.search.clips import Clip
from personsearch.search.exporting import as_csv, export, still_of, whole_folder
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.indexing import index_sources
from personsearch.search.merging import merge
from personsearch.search.question import Seen, Sight, ask, pose, read_others, read_sights


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A gallery of pictures and a film, and the picture of a query."""
    save_pictures(tmp_path / "photos", 6)
    save_video(tmp_path / "photos" / "walk.avi", seconds=4)
    picture([(3, 10), (5, 60)]).save(tmp_path / "query.png")
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        index_sources(gallery, searcher(), [tmp_path / "photos"])
    return tmp_path


def found(place: Path, sure: int = 0) -> list[Seen]:
    question = pose(searcher(), [Sight(place / "query.png", None, box_at(10))])
    return ask(Gallery.open(place / "g"), question, sure=sure)[:6]


def test_tables_pictures_and_clips_agree(place: Path) -> None:
    seen = found(place)
    report = export(place / "out", seen)
    assert {path.name for path in (place / "out").iterdir()} == exporting._OURS
    appearances = json.loads((place / "out" / "appearances.json").read_text())
    hits = json.loads((place / "out" / "hits.json").read_text())
    for name, rows in (("appearances", appearances), ("hits", hits)):
        with (place / "out" / f"{name}.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == table
    assert (report.appearances, report.stills, report.clips) == (6, 6, sum("walk" in a["source"] for a in appearances))
    assert report.clips >= 1
    assert len(hits) == sum(len(one.hits) for one, _ in seen)
    for row, (one, _) in zip(appearances, seen, strict=True):
        assert (row["source"], row["first"], row["last"]) == (str(one.source), one.first, one.last)
        with Image.open(place / "out" / row["still"]) as still:
            assert still.size > (20, 60)
        assert (row["clip"] is None) == (one.first is None)
        if one.first is not None:
            with av.open(str(place / "out" / row["clip"])) as clip:
                times = [frame.time for frame in clip.decode(video=0)]
            assert times[-1] == pytest.approx(min(one.last + 0.5, 3.8) - max(0, one.first - 0.5), abs=0.21)
            assert times == sorted(times)
    assert not list(place.glob(".*"))
    nothing = export(place / "none", [])
    assert (nothing.appearances, nothing.stills, nothing.clips) == (0, 0, 0)
    assert (place / "none" / "hits.csv").read_text().startswith("appearance,source")


def test_only_one_person_is_sharp(place: Path) -> None:
    """Person 3 walks and person 9 stands, whose edges are soft with blur, and sharp without."""
    seen = [one for one in found(place) if one[0].first is not None and one[0].best.box[0] < 110][:1]
    edges = {}
    for blur in (True, False):
        export(place / f"out{blur}", seen, blur=blur)
        (clip,) = (place / f"out{blur}" / "clips").iterdir()
        with av.open(str(clip)) as film:
            frame = next(frame for frame in film.decode(video=0) if frame.time >= 2).to_ndarray(format="rgb24")
        edges[blur] = [np.abs(np.diff(frame[30:84, a:b].astype(int), axis=1)).max() for a, b in ((5, 45), (110, 150))]
    assert min(edges[False]) > 100
    assert edges[True][0] > 100, "the person asked for is hidden"
    assert edges[True][1] < 0.8 * edges[False][1]


def test_blurring_hides_detail_everywhere_else() -> None:
    noise = Image.effect_noise((400, 300), 100).convert("RGB")
    hidden = np.asarray(blurred(noise, (100, 100, 200, 250))).astype(float)
    sharp = np.asarray(noise).astype(float)
    inside = (slice(100, 250), slice(100, 200))
    assert (hidden[inside] == sharp[inside]).all()
    assert hidden[:, 210:].std() < 0.2 * sharp[:, 210:].std()
    assert hidden[:95].std() < 0.2 * sharp[:95].std()
    for nowhere in (None, (500.0, 0.0, 600.0, 50.0), (50.0, 50.0, 50.0, 80.0)):
        assert np.asarray(blurred(noise, nowhere)).std() < 0.2 * sharp.std()
    assert blurred(noise, (-50, -50, 900, 900)).tobytes() == noise.tobytes()
    assert blurred(Image.new("L", (1, 1)), None).size == (1, 1)


def test_where_nothing_is_known_everything_is_blurred() -> None:
    def hit(time: float, left: float) -> GalleryHit:
        return GalleryHit("s", (left, 0.0, left + 10, 20.0), 0.9, 0.9, Path("/film.avi"), int(time), time, 100, 50)

    hits = (hit(1.0, 0.0), hit(2.0, 10.0), hit(9.0, 20.0))
    clip = Clip(Appearance(hits, hits[0]), Path("c.mp4"))
    assert clip.box_at(1.5) == (5.0, 0.0, 15.0, 20.0)
    assert clip.box_at(2.0) == hits[1].box
    assert clip.box_at(0.6) == hits[0].box
    assert clip.box_at(0.4) is None
    assert clip.box_at(5.0) is None
    assert clip.box_at(9.4) == hits[2].box
    assert [clip.holds(time) for time in (0.4, 0.5, 9.5, 9.6)] == [False, True, True, False]


def test_a_file_that_is_gone_has_no_picture_and_is_told(place: Path) -> None:
    seen, lines = found(place), list[str]()
    (place / "photos" / "walk.avi").unlink()
    gone = next(one.best.source for one, _ in seen if one.first is None)
    gone.write_bytes(b"another picture")
    report = export(place / "out", seen, complain=lines.append)
    assert report.clips == 0
    assert report.stills < 6
    assert len(lines) == len(seen) - report.stills + 1
    rows = json.loads((place / "out" / "appearances.json").read_text())
    assert [row["still"] is None for row in rows] == [row["state"] != "current" for row in rows]
    with pytest.raises(InputError, match="changed"):
        still_of(next(one.best for one, _ in seen if one.best.source == gone))


def test_a_full_disk_leaves_nothing_half_written(place: Path) -> None:
    seen = found(place)
    export(place / "older", seen[:1])
    before = {path: path.read_bytes() for path in (place / "older").rglob("*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 600, 1800):  # stills, clips and tables fail in turn
        for out, force in (("new", False), ("older", True)):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
            try:
                with pytest.raises(OSError, match="File too large") as caught:
                    export(place / out, seen, force=force)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert caught.value.filename == str(place / out)
            assert not (place / "new").exists()
            assert not list(place.glob(".*"))
    assert before == {path: path.read_bytes() for path in (place / "older").rglob("*") if path.is_file()}
    export(place / "older", seen, force=True)
    assert len(json.loads((place / "older" / "appearances.json").read_text())) == 6


def test_the_folder_that_one_is_in_is_not_replaced(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "empty").mkdir()
    monkeypatch.chdir(place / "empty")
    with pytest.raises(SettingError, match="that you are in"):
        export(Path(), [])
    with pytest.raises(SettingError, match="that you are in"):
        merge([place / "g"], Path())
    with pytest.raises(SettingError, match="that you are in"):
        export_model("binet-rendered", Path(), ExportSettings(to="onnx"))
    assert Path.cwd() == place / "empty"
    assert not list(Path().iterdir())


def test_only_an_export_is_replaced(place: Path) -> None:
    export(place / "out", [])
    with pytest.raises(SettingError, match="--force"):
        export(place / "out", [])
    with pytest.raises(SettingError, match="other files"):
        export(place / "photos", [], force=True)
    (place / "file").touch()
    with pytest.raises(SettingError, match="a file is there"):
        export(place / "file", [], force=True)
    (place / "out").rename(place / ".out.old")  # killed between two renames
    with pytest.raises(SettingError, match="--force"), whole_folder(place / "out", False):
        pass
    assert (place / "out" / "hits.csv").exists()


def test_a_table_runs_no_formula() -> None:
    text = as_csv([{"a": "=1+1", "b": -1.5}, {"a": "@x", "b": None}], ["a", "b"])
    assert text.splitlines() == ["a,b", "'=1+1,-1.5", "'@x,"]


# -------------------------------------------------------------------- questions


def test_the_moment_of_a_sight_is_the_frame_that_was_seen(tmp_path: Path) -> None:
    film = save_video(tmp_path / "walk.avi", seconds=3, rate=7)
    for frame in sample_video(film, 0.01):
        assert pose(searcher(), [Sight(film, frame.time, box_at(10))]).picture == picture_hash(frame.image)


def test_a_saved_question_is_read_back(place: Path) -> None:
    saved = place / "results.json"
    one = {"source": "query.png", "time": None, "box": [10, 26, 30, 86]}
    saved.write_text(json.dumps({"query": one, "hits": []}))
    assert read_sights(saved) == [Sight(place / "query.png", None, (10.0, 26.0, 30.0, 86.0))]
    saved.write_text(json.dumps({"query": [one, one]}))
    assert len(read_sights(saved)) == 2
    assert read_others(saved) == []
    saved.write_text(json.dumps({"query": one, "also": [one, one], "not": [{**one, "box": [60, 26, 80, 86]}]}))
    assert len(read_sights(saved)) == 3
    assert read_others(saved) == [Sight(place / "query.png", None, (60.0, 26.0, 80.0, 86.0))]
    for broken in ("", "{}", "[]", '{"query": 3}', '{"query": []}', '{"query": {"box": [1, 2]}}', "\x00",
                   '{"query": {"source": "a", "box": [1, 2, 3, 4], "time": -1}}'):  # fmt: skip
        saved.write_text(broken)
        with pytest.raises(InputError, match="holds no question"):
            read_sights(saved)
    with pytest.raises(InputError, match="cannot be read"):
        read_sights(place / "nowhere.json")


def test_a_question_leaves_its_own_picture_out(place: Path) -> None:
    own = place / "photos" / "p003.png"
    seen = ask(Gallery.open(place / "g"), pose(searcher(), [Sight(own, None, box_at(10))]), sure=0)
    assert own not in {one.source for one, _ in seen}
    two = pose(searcher(), [Sight(own, None, box_at(10)), Sight(place / "photos" / "walk.avi", 1.0, box_at(10))])
    seen = ask(Gallery.open(place / "g"), two, sure=0, within={str(place / "photos" / "walk.avi")}, join=0.1)
    assert seen
    assert {one.source.name for one, _ in seen} == {"walk.avi"}
    assert 1.0 not in {hit.time for one, _ in seen for hit in one.hits}
