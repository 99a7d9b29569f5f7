"""Looking after a gallery: what was removed is nowhere on the disk, and what was merged is in once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from search_fakes import DIM, save_pictures, save_video, searcher

from personsearch.errors import GalleryError, InputError, SettingError
from personsearch.search import sums
from personsearch.search.contents import contents_of, galleries_in, matching, summary
from personsearch.search.erasing import ERASING, begin_erasing
from personsearch.search.gallery import CODES, Gallery
from personsearch.search.indexing import IndexReport, index_sources
from personsearch.search.merging import merge
from personsearch.search.pruning import Rule, doomed, prune
from personsearch.search.scene_codes import code_name
from personsearch.search.sums import SUMS, read_sums
from personsearch.search.verifying import verify

DAY = 86_400


def index(folder: Path, *paths: Path, every: float = 1.0, fingerprint: str = "fake-1") -> IndexReport:
    if not Gallery.exists(folder):
        Gallery.create(folder, model="fake", fingerprint=fingerprint, dim=DIM).close()
    with Gallery.open(folder, write=True) as gallery:
        return index_sources(gallery, searcher(fingerprint), paths, every=every)


def rows_of(folder: Path) -> list[str]:
    """Everything in a gallery, to be compared."""
    rows = Gallery.open(folder).table.read().to_pylist()
    return sorted(json.dumps(row, default=lambda value: np.asarray(value).tolist()) for row in rows)


def traces(folder: Path, *sources: str) -> list[bytes]:
    """Byte strings by which rows are known on the disk: path, digest, and readings of people whom no other file has."""
    found, others = [*map(str.encode, sources), *(Path(source).name.encode() for source in sources)], set()
    for row in Gallery.open(folder).table.read().to_pylist():
        readings = [np.asarray(reading, dtype=np.float16).tobytes() for reading in row["embeddings"]]
        if row["source"] in sources:
            found += [row["digest"].encode(), *readings]
        else:
            others |= set(readings)
    return [trace for trace in found if trace not in others]


def places(folder: Path, trace: bytes) -> list[Path]:
    """Files of a gallery in which, or in whose names, a byte string is."""
    return [p for p in folder.rglob("*") if trace in str(p).encode() or (p.is_file() and trace in p.read_bytes())]


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then))


# -------------------------------------------------------------------- removing


def test_nothing_of_a_removed_file_is_left_on_the_disk(tmp_path: Path) -> None:
    folder, photos = tmp_path / "g", tmp_path / "photos"
    paths = save_pictures(photos, 6)
    film = save_video(photos / "walk.avi", seconds=3)
    index(folder, paths[0], paths[2])
    index(folder, photos)  # several files of the table, and several states
    paths[4].write_bytes(paths[5].read_bytes())
    index(folder, photos)  # what the changed picture showed is dropped, and still on the disk
    codes = folder / CODES
    codes.mkdir()
    names = {path: code_name(path, None) for path in paths}
    for path in paths:
        (codes / names[path]).write_bytes(b"code")
    for left in (code_name(film, 5), f"{names[paths[1]]}.123.part"):
        (codes / left).write_bytes(b"left")
    (folder / "new").mkdir()
    (folder / "new" / "unfinished").write_text(str(paths[2]))
    (folder / "strangers.npz").write_bytes(b"counted over everybody")
    gone, kept = traces(folder, str(paths[2]), str(film)), traces(folder, str(paths[0]))
    assert (len(gone), len(kept)) >= (8, 3)
    assert all(places(folder, trace) for trace in gone), "the test looks for what is not there"
    before = rows_of(folder)

    with Gallery.open(folder, write=True) as gallery:
        gallery.erase([str(paths[2]), str(film)])
        assert {Path(source).name for source in gallery.sources} == {"p000.png", "p001.png", "p003.png", "p004.png",
                                                                     "p005.png"}  # fmt: skip
    assert not [trace for trace in gone if places(folder, trace)]
    assert all(places(folder, trace) for trace in kept)
    assert rows_of(folder) == [row for row in before if "p002.png" not in row and "walk.avi" not in row]
    assert {path.name for path in codes.iterdir()} == {names[p] for p in paths if p != paths[2]}
    assert not places(folder, b"counted over everybody")
    assert not {"new", ERASING} & {path.name for path in folder.iterdir()}
    assert not [finding for finding in verify(folder) if finding.damage]
    assert index(folder, photos).scenes == 4, "removed files can be indexed again"


def test_all_of_a_gallery_can_be_removed(tmp_path: Path) -> None:
    photos, folder = tmp_path / "photos", tmp_path / "g"
    paths = [str(path) for path in save_pictures(photos, 3)]
    index(folder, photos)
    known = traces(folder, *paths)
    with Gallery.open(folder, write=True) as gallery:
        gallery.erase(paths)
        assert len(gallery) == 0
    assert [place for trace in known for place in places(folder, trace)] == []
    assert not (folder / ERASING).exists()
    assert verify(folder) == []
    merge([folder], tmp_path / "copy")
    assert index(folder, photos).scenes == index(tmp_path / "copy", photos).scenes == 3


def test_a_reader_goes_on_while_something_is_removed(tmp_path: Path) -> None:
    paths = save_pictures(tmp_path / "photos", 4)
    index(tmp_path / "g", tmp_path / "photos")
    reader = Gallery.open(tmp_path / "g")
    real, erased = reader.table._read, []

    def erased_meanwhile(*arguments: object) -> object:
        if not erased:
            with Gallery.open(tmp_path / "g", write=True) as gallery:
                gallery.erase([str(paths[0])])
            erased.append(True)
            raise FileNotFoundError("a file of an older state")
        return real(*arguments)

    reader.table._read = erased_meanwhile  # type: ignore[method-assign]
    assert len(reader) == 3


def test_what_was_begun_is_finished_by_the_next_writer(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    paths = save_pictures(tmp_path / "photos", 3)
    index(folder, tmp_path / "photos")
    lost = traces(folder, str(paths[1]))
    with Gallery.open(folder, write=True) as gallery:  # killed after its commit
        begin_erasing(folder)
        gallery.forget(str(paths[1]))
        gallery._claim.close()
        gallery._claim = None
    assert [finding.damage for finding in verify(folder)] == [True]
    assert any(places(folder, trace) for trace in lost)
    with Gallery.open(folder, write=True) as gallery:
        assert prune(gallery, Rule(missing=True)) == []
    assert not (folder / ERASING).exists()
    assert not [trace for trace in lost if places(folder, trace)]
    assert not verify(folder)


def test_files_and_folders_are_named_as_people_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "photos" / "a", 2)
    save_pictures(tmp_path / "photos" / "ab", 1)
    index(tmp_path / "g", tmp_path / "photos")
    gallery = Gallery.open(tmp_path / "g")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for wanted in ("photos/a", "./photos/a/", str(tmp_path / "photos" / "a"), "link/a"):
        assert [Path(source.path).parent.name for source in matching(gallery, [Path(wanted)])] == ["a", "a"]
    (tmp_path / "photos" / "a" / "p000.png").unlink()
    assert len(matching(gallery, [Path("photos/a/p000.png"), Path("photos")])) == 3
    for unknown in ("photos/b", "photos/a/p0", "/nowhere"):
        with pytest.raises(InputError, match="holds nothing of it"):
            matching(gallery, [Path("photos"), Path(unknown)])


# -------------------------------------------------------------------- pruning and keeping


def test_old_missing_and_changed_files_are_found_and_go(tmp_path: Path) -> None:
    folder, paths = tmp_path / "g", save_pictures(tmp_path / "photos", 5)
    age(paths[0], 40)
    age(paths[1], 20)
    index(folder, tmp_path / "photos")
    paths[2].unlink()
    save_pictures(tmp_path / "other", 4)[3].replace(paths[3])
    age(paths[3], 1)
    paths[3].write_bytes(paths[3].read_bytes() + b"more")
    gallery = Gallery.open(folder)
    rules = (Rule(30), Rule(10), Rule(missing=True), Rule(changed=True), Rule(30, True, True))
    assert [[Path(source.path).name for source, _ in doomed(gallery.indexed(), rule)] for rule in rules] == [
        ["p000.png"],
        ["p000.png", "p001.png"],
        ["p002.png"],
        ["p003.png"],
        ["p000.png", "p002.png", "p003.png"],
    ]
    assert not doomed([], Rule(30, True, True))
    with Gallery.open(folder, write=True) as writer:
        assert len(prune(writer, Rule(30, True, True))) == 3
    assert [Path(source).name for source in Gallery.open(folder).sources] == ["p001.png", "p004.png"]
    for days in (0, -1, float("nan"), float("inf")):
        with pytest.raises(SettingError, match="above 0"):
            Rule(days)


def test_what_is_older_than_a_gallery_keeps_goes_when_something_is_indexed(tmp_path: Path) -> None:
    folder, paths = tmp_path / "g", save_pictures(tmp_path / "photos", 4)
    age(paths[0], 40)
    index(folder, tmp_path / "photos")
    with Gallery.open(folder, write=True) as gallery:
        gallery.keep_for(30)
        with pytest.raises(SettingError):
            gallery.keep_for(0)
    old = traces(folder, str(paths[0]))
    age(paths[1], 31)  # touched, so that it counts as older than it was
    for _ in range(2):  # and is not read again the next time
        report = index(folder, tmp_path / "photos")
        assert {Path(path).name for path in report.expired} == {"p000.png", "p001.png"}
        assert report.scenes == 0
    assert not [trace for trace in old if places(folder, trace)]
    with Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM, force=True) as anew:
        assert index_sources(anew, searcher(), [tmp_path / "photos"]).scenes == 2
    assert Gallery.open(folder).about.keep_days == 30
    with Gallery.open(folder, write=True) as gallery:
        gallery.keep_for(None)
    assert index(folder, tmp_path / "photos").scenes == 2


# -------------------------------------------------------------------- what is there


def test_contents_count_as_a_slow_loop(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "g"
    save_pictures(tmp_path / "photos", 3)
    save_video(tmp_path / "photos" / "walk.avi", seconds=4)
    index(folder, tmp_path / "photos")
    gallery = Gallery.open(folder)
    hits = gallery.search(searcher().model.embed(*_somebody())[0], 10**6, per_scene=None)
    contents = {Path(content.source.path).name: content for content in contents_of(gallery)}
    assert sorted(contents) == ["p000.png", "p001.png", "p002.png", "walk.avi"]
    for name, content in contents.items():
        own = [hit for hit in hits if hit.source.name == name]
        times = [hit.time for hit in own if hit.time is not None]
        assert content.people == len(own)
        assert content.scenes == len({hit.frame for hit in own})
        assert (content.first, content.last) == (min(times, default=None), max(times, default=None))
        assert content.complete
    assert galleries_in(tmp_path) == galleries_in(folder) == [folder]
    told = summary(folder)
    assert (told["people"], told["scenes"], told["sources"], told["fault"]) == (len(hits), 7, 4, None)
    (folder / "gallery.json").write_text("{")
    assert "damaged" in summary(folder)["fault"]
    with pytest.raises(InputError, match="no such folder"):
        galleries_in(tmp_path / "nowhere")


def _somebody() -> tuple[object, object]:
    import torch
    from search_fakes import box_at, picture

    return picture([(3, 10)]), torch.tensor([box_at(10)])


def test_every_file_of_a_gallery_is_read_and_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    paths = save_pictures(tmp_path / "photos", 6)
    index(folder, tmp_path / "photos")
    assert verify(folder) == []
    paths[0].unlink()
    (finding,) = verify(folder)
    assert not finding.damage
    assert "--missing" in finding.line
    damaged = 0
    for path in sorted((folder / "scenes.lance").rglob("*")):
        if not path.is_file() or path.suffix == ".json":
            continue
        content = path.read_bytes()
        for place in (0, len(content) // 3, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            found = [finding for finding in verify(folder) if finding.damage]
            assert found, f"{path.name}: a wrong byte at {place} of {len(content)} is not seen"
            assert all("\n" not in finding.line for finding in found)
            damaged += 1
        path.write_bytes(content)
    assert damaged >= 12
    assert len(verify(folder)) == 1
    (folder / CODES).mkdir()
    (folder / CODES / "a.safetensors").write_bytes(b"no code")
    assert any("computed anew" in finding.line for finding in verify(folder))
    with pytest.raises(GalleryError, match="no gallery there"):
        verify(tmp_path / "nowhere")


def test_what_a_writer_takes_away_meanwhile_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "g"
    index(folder, *save_pictures(tmp_path / "photos", 2))
    there = sums._files(folder)
    gone = {"data/gone.lance": folder / "scenes.lance" / "data" / "gone.lance"}
    monkeypatch.setattr(sums, "_files", lambda _folder: there | gone)
    (folder / SUMS).write_text(json.dumps((read_sums(folder) or {}) | dict.fromkeys(gone, "0" * 32)))
    assert sums.damaged_files(folder) == []


def test_a_gallery_made_anew_is_whole_and_counts_its_own_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    paths = save_pictures(tmp_path / "photos", 6)
    index(folder, *paths[:4])
    for anew in ("by force", "where gallery.json was lost"):
        if anew != "by force":
            (folder / "gallery.json").unlink()
        with Gallery.create(folder, model="fake", fingerprint="fake-1", dim=DIM, force=True) as gallery:
            index_sources(gallery, searcher(), paths[2:])
            assert not (gallery.table.folder / "strangers.npz").exists()
        assert verify(folder) == [], anew


# -------------------------------------------------------------------- merging


def test_two_galleries_become_one_as_if_indexed_together(tmp_path: Path) -> None:
    a, b = save_pictures(tmp_path / "a", 3), save_pictures(tmp_path / "b", 4)
    film = save_video(tmp_path / "walk.avi", seconds=3)
    index(tmp_path / "ga", tmp_path / "a", film)
    index(tmp_path / "gb", tmp_path / "b", film)
    before = rows_of(tmp_path / "ga"), rows_of(tmp_path / "gb")
    report = merge([tmp_path / "ga", tmp_path / "gb"], tmp_path / "both")
    index(tmp_path / "straight", tmp_path / "a", tmp_path / "b", film)
    assert rows_of(tmp_path / "both") == rows_of(tmp_path / "straight")
    assert (report.scenes, report.sources, report.left_out) == (10, 8, 1)
    assert before == (rows_of(tmp_path / "ga"), rows_of(tmp_path / "gb"))
    again = merge([tmp_path / "gb"], tmp_path / "both")
    assert (again.scenes, again.left_out) == (10, 5)
    assert rows_of(tmp_path / "both") == rows_of(tmp_path / "straight")
    assert verify(tmp_path / "both") == []
    assert index(tmp_path / "both", tmp_path / "a", tmp_path / "b", film).scenes == 0
    assert (len(a), len(b)) == (3, 4)


def test_the_truest_of_two_counts(tmp_path: Path) -> None:
    """A changed file, one that moved, and one that was read to its end in the second gallery only."""
    paths = save_pictures(tmp_path / "photos", 3)
    film = save_video(tmp_path / "photos" / "walk.avi", seconds=4)
    index(tmp_path / "old", tmp_path / "photos")
    with Gallery.open(tmp_path / "old", write=True) as gallery:
        gallery.table._table.delete("frame > 8 OR frame = -1")  # as if stopped
        gallery.keep_for(30)
    paths[0].write_bytes(paths[1].read_bytes() + b"x")
    paths[2].rename(tmp_path / "photos" / "moved.png")
    index(tmp_path / "straight", tmp_path / "photos")
    merge([tmp_path / "old", tmp_path / "straight"], tmp_path / "both")
    assert rows_of(tmp_path / "both") == rows_of(tmp_path / "straight")
    assert Gallery.open(tmp_path / "both").about.keep_days == 30
    assert film.exists()


def test_a_kill_while_galleries_are_merged_lets_nobody_stay_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(tmp_path / "into", *save_pictures(tmp_path / "a", 2))
    index(tmp_path / "other", *save_pictures(tmp_path / "b", 2))
    with Gallery.open(tmp_path / "other", write=True) as other:
        other.keep_for(30)
    before = rows_of(tmp_path / "into")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("keep_for", "fill"):
        with monkeypatch.context() as patch:
            patch.setattr(Gallery, name, stop)
            with pytest.raises(KeyboardInterrupt):
                merge([tmp_path / "other"], tmp_path / "into")
        held = Gallery.open(tmp_path / "into")
        assert rows_of(tmp_path / "into") == before or held.about.keep_days == 30


def test_what_a_failed_index_has_left_is_merged_into(tmp_path: Path) -> None:
    index(tmp_path / "ga", *save_pictures(tmp_path / "a", 2))
    (tmp_path / "both" / "scenes.lance").mkdir(parents=True)
    for name in ("lock", "audit.jsonl", "scenes.lance/part"):
        (tmp_path / "both" / name).write_text("")
    merge([tmp_path / "ga"], tmp_path / "both")
    assert rows_of(tmp_path / "both") == rows_of(tmp_path / "ga")
    assert (tmp_path / "both" / "audit.jsonl").exists()
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_merged_is_one_line_and_makes_nothing(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2)
    index(tmp_path / "a", tmp_path / "photos")
    index(tmp_path / "other", tmp_path / "photos", fingerprint="fake-2")
    Gallery.create(tmp_path / "surer", model="fake", fingerprint="fake-1", dim=DIM, min_score=0.8).close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for folders, into, error in [
        (["a", "other"], "new", "made by the model"),
        (["a", "surer"], "new", "score 0.8 and more"),
        (["a", "a"], "new", "named twice"),
        (["a"], "a", "named twice"),
        (["a", "nowhere"], "new", "no gallery there"),
        (["a"], "full", "other files"),
        ([], "new", "nothing to merge"),
    ]:
        with pytest.raises((GalleryError, SettingError), match=error) as caught:
            merge([tmp_path / folder for folder in folders], tmp_path / into)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_gallery_made_anew_ends_an_erasing_that_was_stopped(tmp_path: Path) -> None:
    """The note goes with the gallery that it speaks of."""
    index(tmp_path / "g", *save_pictures(tmp_path / "photos", 2))
    begin_erasing(tmp_path / "g")
    again = Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM, force=True)
    assert (tmp_path / "g" / ERASING).exists(), "the old one still answers"
    with again:
        index_sources(again, searcher(), [tmp_path / "photos"])
    assert not (tmp_path / "g" / ERASING).exists()
    assert len(Gallery.open(tmp_path / "g")) == 2
