"""Files that change, go, or move after they were indexed: what a gallery says of them, and how it finds them again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from search_fakes import DIM, box_at, picture, save_pictures, save_video, searcher

from personsearch.errors import GalleryError
from personsearch.search import sources
from personsearch.search.gallery import FORMAT, Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.sources import Source, State, digest_of, recognise

OLD = Path(__file__).parent / "data" / "gallery-format-1"


def index(folder: Path, *paths: Path, every: float = 1.0) -> IndexReport:
    if not Gallery.exists(folder):
        Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM).close()
    with Gallery.open(folder, write=True) as gallery:
        return index_sources(gallery, searcher(), paths, every=every)


def hits(folder: Path, identity: int = 3) -> list[GalleryHit]:
    query = searcher().encode_query(picture([(identity, 10)]), box_at(10))
    return Gallery.open(folder).search(query, 10**6, per_scene=None)


def contents(folder: Path) -> list[tuple[object, ...]]:
    return sorted((hit.scene, hit.box, hit.similarity, hit.score, hit.time) for hit in hits(folder))


def later(path: Path) -> None:
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + 5 * 10**9))


# -------------------------------------------------------------------- what became of a file


def test_results_say_what_became_of_each_file(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 5)
    index(tmp_path / "g", tmp_path / "photos")
    picture([(7, 90)], (200, 120)).save(paths[1])  # another picture under the same name
    paths[2].unlink()
    later(paths[3])  # only touched, or copied back without its time
    turned = bytearray(paths[4].read_bytes())
    turned[-20] ^= 1  # as long as before
    paths[4].write_bytes(turned)
    later(paths[4])
    states = {hit.source.name: hit.state for hit in hits(tmp_path / "g")}
    assert states == {
        "p000.png": State.CURRENT,
        "p001.png": State.CHANGED,
        "p002.png": State.GONE,
        "p003.png": State.CURRENT,
        "p004.png": State.CHANGED,
    }
    assert {hit.source.name: hit.as_dict()["state"] for hit in hits(tmp_path / "g")} == states


def test_a_digest_tells_contents_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_BLOCK", 16)
    one, other = tmp_path / "a", tmp_path / "b"
    for size in (0, 1, 1000, 1024, 1025, 5000):
        one.write_bytes(bytes(range(250)) * 20 + b"x")
        one.write_bytes(one.read_bytes()[:size])
        for whole in (True, False):
            known = digest_of(one, whole=whole)
            other.write_bytes(one.read_bytes())
            assert digest_of(other, whole=whole) == known
            for place in {0, size - 1} if size else {}:
                turned = bytearray(one.read_bytes())
                turned[place] ^= 1
                other.write_bytes(turned)
                assert digest_of(other, whole=whole) != known
            other.write_bytes(one.read_bytes() + b"\0")
            assert digest_of(other, whole=whole) != known


# -------------------------------------------------------------------- moved, renamed, touched


def test_a_moved_folder_is_known_again(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 6)
    save_video(tmp_path / "photos" / "walk.avi", seconds=3)
    index(tmp_path / "g", tmp_path / "photos")
    before = contents(tmp_path / "g")
    (tmp_path / "photos").rename(tmp_path / "it's moved")
    report = index(tmp_path / "g", tmp_path / "it's moved")
    assert (report.scenes, report.skipped, report.moved, report.gone) == (0, 7, 7, [])
    after = contents(tmp_path / "g")
    assert after == [(str(row[0]).replace("/photos/", "/it's moved/"), *row[1:]) for row in before]
    assert all(hit.state is State.CURRENT for hit in hits(tmp_path / "g"))
    assert index(tmp_path / "g", tmp_path / "it's moved").moved == 0


def test_renamed_copied_and_touched_files_are_known_by_content(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 4)
    index(tmp_path / "g", tmp_path / "photos")
    people = len(hits(tmp_path / "g"))
    paths[0].rename(tmp_path / "photos" / "renamed.png")
    shutil.copyfile(paths[1], tmp_path / "photos" / "copy.png")  # without its time, and then the first is deleted
    paths[1].unlink()
    later(paths[2])
    report = index(tmp_path / "g", tmp_path / "photos")
    assert (report.scenes, report.moved, report.skipped) == (0, 3, 4)
    assert len(hits(tmp_path / "g")) == people
    assert {hit.source.name for hit in hits(tmp_path / "g")} == {"renamed.png", "copy.png", "p002.png", "p003.png"}
    again = index(tmp_path / "g", tmp_path / "photos")
    assert (again.moved, again.skipped) == (0, 4)


def test_a_moved_file_over_another_one_takes_its_place(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 3)
    index(tmp_path / "g", tmp_path / "photos")
    shutil.move(paths[0], paths[1])
    report = index(tmp_path / "g", tmp_path / "photos")
    assert (report.scenes, report.moved, report.gone) == (0, 1, [])
    index(tmp_path / "straight", tmp_path / "photos")
    assert contents(tmp_path / "g") == contents(tmp_path / "straight")


def test_two_that_changed_places_end_as_if_indexed_anew(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 3)
    index(tmp_path / "g", tmp_path / "photos")
    between = tmp_path / "between"
    for old, now in [(paths[0], between), (paths[1], paths[0]), (between, paths[1])]:
        shutil.move(old, now)
    index(tmp_path / "g", tmp_path / "photos")
    index(tmp_path / "straight", tmp_path / "photos")
    assert contents(tmp_path / "g") == contents(tmp_path / "straight")


def test_a_stopped_film_that_moved_goes_on(tmp_path: Path) -> None:
    video = save_video(tmp_path / "walk.avi", seconds=6)
    index(tmp_path / "g", video)
    with Gallery.open(tmp_path / "g", write=True) as gallery:
        gallery._table._table.delete("frame > 12 OR frame = -1")  # as if stopped after three of six
    video.rename(tmp_path / "other.avi")
    report = index(tmp_path / "g", tmp_path / "other.avi")
    assert (report.moved, report.scenes, report.skipped) == (1, 3, 0)
    index(tmp_path / "straight", tmp_path / "other.avi")
    assert contents(tmp_path / "g") == contents(tmp_path / "straight")


def test_what_is_gone_is_told_and_kept(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 3)
    index(tmp_path / "g", tmp_path / "photos")
    before = contents(tmp_path / "g")
    paths[1].unlink()
    report = index(tmp_path / "g", tmp_path / "photos")
    assert report.gone == [str(paths[1])]
    assert report.failures == []
    assert contents(tmp_path / "g") == before


def test_many_files_move_in_few_steps(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 40)
    index(tmp_path / "g", tmp_path / "photos")
    (tmp_path / "photos").rename(tmp_path / "moved")
    before = Gallery.open(tmp_path / "g")._table._table.version
    assert index(tmp_path / "g", tmp_path / "moved").moved == 40
    assert Gallery.open(tmp_path / "g")._table._table.version - before <= 2


def test_without_digests_name_size_and_time_tell() -> None:
    old = [Source("/a/x.jpg", 10, 1), Source("/a/y.jpg", 10, 2), Source("/a/walk.avi", 10, 1, 1.0)]
    now = [
        Source("/b/x.jpg", 10, 1),
        Source("/b/y.jpg", 10, 3),
        Source("/b/z.jpg", 10, 2),
        Source("/b/x.avi", 10, 1, 1.0),
    ]
    assert recognise(old, old, now) == [(old[0], now[0])]
    assert recognise(old, [], now) == []


# -------------------------------------------------------------------- galleries made before contents were noted


def test_a_gallery_of_format_1_answers_as_before_and_is_not_written(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "g")
    before = {path: path.read_bytes() for path in (tmp_path / "g").rglob("*") if path.is_file()}
    gallery = Gallery.open(tmp_path / "g")
    query = torch.nn.functional.normalize(torch.arange(1.0, 9.0), dim=0)
    found = gallery.search(query, 100, per_scene=None)
    expected = json.loads((OLD.parent / "gallery-format-1.json").read_text())
    assert [[str(h.source), h.frame, h.time, list(h.box), h.score] for h in found] == [
        [*places, score] for *places, _, score in expected
    ]
    assert [h.similarity for h in found] == pytest.approx([similarity for *_, similarity, _ in expected], abs=1e-6)
    assert (len(gallery), gallery.people, len(gallery.scenes())) == (8, 10, 8)
    assert {path: path.read_bytes() for path in (tmp_path / "g").rglob("*") if path.is_file()} == before


def test_old_and_new_rows_live_together(tmp_path: Path) -> None:
    folder, photos = tmp_path / "g", tmp_path / "photos"
    paths = save_pictures(photos, 4)
    with Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM) as gallery:
        index_sources(gallery, searcher(), paths[:2])
        gallery._table._table.drop_columns(["digest"])  # as it was before
    about = json.loads((folder / "gallery.json").read_text())
    (folder / "gallery.json").write_text(json.dumps({**about, "format": 1}))
    before = contents(folder)
    assert index(folder, *paths[:2]).skipped == 2
    assert Gallery.open(folder).about.format == 1, "nothing to add changes nothing"
    later(paths[0])
    assert {hit.source.name: hit.state for hit in hits(folder)} == {"p000.png": State.UNSURE, "p001.png": State.CURRENT}
    os.utime(paths[0], ns=(0, Gallery.open(folder).indexed()[0].mtime_ns))

    report = index(folder, photos)
    assert (report.scenes, report.skipped) == (2, 2)
    assert Gallery.open(folder).about.format == FORMAT
    assert [row for row in contents(folder) if row in before] == before
    photos.rename(tmp_path / "moved")
    report = index(folder, tmp_path / "moved")
    assert (report.scenes, report.moved, report.gone) == (0, 4, [])


def test_a_kill_between_the_steps_of_an_upgrade_leaves_a_gallery(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    shutil.copytree(OLD, folder)
    about = json.loads((folder / "gallery.json").read_text())
    (folder / "gallery.json").write_text(json.dumps({**about, "format": FORMAT}))
    with Gallery.open(folder, write=True) as gallery:
        assert gallery.people == 10
        gallery.relink([(source, Source("/new" + source.path, source.size, source.mtime_ns, source.every, "d"))
                        for source in gallery.indexed()])  # fmt: skip
    gallery = Gallery.open(folder)
    assert gallery.people == 10
    assert all(source.path.startswith("/new/") and source.digest == "d" for source in gallery.indexed())
    with pytest.raises(GalleryError, match="reading"):
        gallery.relink([])
