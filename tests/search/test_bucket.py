"""A gallery in a bucket is a gallery: the same answers as from a folder, whoever else writes, and whatever fails."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moto import settings
from search_fakes import DIM, box_at, picture, save_pictures, save_video, searcher
from store import BUCKET, Store

from personsearch.errors import BusyError, GalleryError, SettingError
from personsearch.geometry.detections import Detections
from personsearch.search import audit, flags, gallery, merging, table
from personsearch.search.audit import read_audit, record
from personsearch.search.bucket import BucketPath
from personsearch.search.contents import contents_of, galleries_in, summary
from personsearch.search.erasing import ERASING, begin_erasing
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.merging import merge
from personsearch.search.place import Place, as_place, remove_all, write
from personsearch.search.pruning import Rule, prune
from personsearch.search.rows import IndexedScene
from personsearch.search.sources import Source
from personsearch.search.stranger_file import STRANGERS
from personsearch.search.verifying import verify
from personsearch.serve.library import Library

BATCH, CROWD = 10, 3


@pytest.fixture(scope="module")
def _store() -> Iterator[Store]:
    store = Store()
    yield store
    store.close()


@pytest.fixture
def store(_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    for name, value in _store.environment().items():
        monkeypatch.setenv(name, value)
    _store.client().create_bucket(Bucket=BUCKET)  # harmless where it is there
    yield _store
    with suppress(FileNotFoundError):  # a test has deleted the bucket
        BucketPath(BUCKET).rmtree()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_pictures(tmp_path / "photos", 6)
    save_video(tmp_path / "photos" / "walk.avi", seconds=2)
    return tmp_path / "photos"


def index(place: Place, *paths: Path) -> None:
    if not Gallery.exists(place):
        Gallery.create(place, model="fake", fingerprint="fake-1", dim=DIM, read="readings").close()
    with Gallery.open(place, write=True) as held:
        index_sources(held, searcher(), paths)


def rows_of(place: Place) -> list[str]:
    rows = Gallery.open(place).table.read().to_pylist()
    return sorted(json.dumps(row, default=lambda value: np.asarray(value).tolist()) for row in rows)


def new(place: Place) -> Gallery:
    return Gallery.create(place, model="fake", fingerprint="fake-1", dim=8)


def some_scenes(who: str, first: int, count: int = BATCH) -> list[IndexedScene]:
    found = Detections(torch.tensor([[1.0, 2, 3, 4]] * CROWD), torch.ones(CROWD), torch.ones(CROWD, 8))
    return [
        IndexedScene(Source(f"/{who}/{number:05}.png", 1, 1), 9, 9, found) for number in range(first, first + count)
    ]


# -------------------------------------------------------------------- a place in a bucket


def test_a_place_in_a_bucket_does_what_a_folder_does(store: Store, tmp_path: Path) -> None:
    """The folder is the oracle."""

    def done(top: Place) -> list[object]:
        place = top / "a"
        said: list[object] = [place.exists(), place.is_dir(), place.is_file()]
        place.mkdir(parents=True, exist_ok=True)
        (place / "d").mkdir()
        write(place / "one.json", b"1" * 10)
        write(place / "one.json", b"22")
        write(place / "d" / "two.txt", "zwei ü".encode())
        (place / "d" / "three").touch()
        said += [place.exists(), place.is_dir(), (place / "one.json").is_file(), (place / "one.json").stat().st_size]
        said += [sorted(path.name for path in place.iterdir()), sorted(path.name for path in place.rglob("*"))]
        said += [[path.name for path in (place / "d").glob("*.txt")], (place / "d" / "two.txt").read_text("utf-8")]
        said += [(place / "d").name, (place / "d" / "two.txt").suffix, str(place / "d")[len(str(top)) :]]
        (place / "d").rename(top / "e")
        said += [sorted(path.name for path in top.rglob("*")), (top / "e" / "three").read_bytes()]
        with pytest.raises(FileNotFoundError):
            (place / "one").read_bytes()
        with pytest.raises(FileNotFoundError):
            (place / "one").unlink()
        (place / "one").unlink(missing_ok=True)
        remove_all(top / "nowhere")
        remove_all(top / "e")
        said += [(top / "e").exists(), (place / "one.json").exists(), (place.with_name("b")).exists()]
        remove_all(place)
        return [*said, place.exists()]

    assert done(store.place("top")) == done(tmp_path)


@pytest.mark.parametrize("address", ["s3://", "s3://UPPER/x", "s3://people/../x", "s3://people/a b", "s3://people/a#b"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingError, match="write s3://BUCKET/PATH"):
        as_place(address)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(as_place("s3://people/a/b/")) == str(as_place(Path("s3://people/a/b"))) == "s3://people/a/b"
    assert as_place("C:/there") == as_place(Path("C:/there")), "a drive is no scheme"
    with pytest.raises(SettingError, match="folders or in buckets"):
        as_place("gs://people/a")
    for address, line in [("http://store.test:9000", "not encrypted"), ("store.test", "is no address")]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(SettingError, match=line):
            Gallery.open("s3://people/g")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://[::1]:9")
    with pytest.raises(GalleryError, match="cannot be reached"):
        Gallery.open("s3://people/g")


# -------------------------------------------------------------------- the same as in a folder


def test_index_and_search_are_those_of_a_folder(store: Store, photos: Path, tmp_path: Path) -> None:
    places: list[Place] = [tmp_path / "g", store.place("deep/er/g")]
    for place in places:
        index(place, photos / "p000.png")
        index(place, photos)
    here, there = map(Gallery.open, places)
    assert rows_of(places[0]) == rows_of(places[1])
    assert contents_of(here) == contents_of(there)
    for identity in range(6):
        query = searcher().encode_query(picture([(identity, 30)]), box_at(30))
        camera = photos if identity % 2 else None
        assert here.ask(query, camera=camera) == there.ask(query, camera=camera)
    assert np.array_equal(here.strangers().likenesses, there.strangers().likenesses)
    assert verify(places[1]) == verify(places[0])
    told = [summary(place) for place in places]
    assert all(one.pop("bytes") > 1000 and one.pop("created") for one in told)
    assert [one.pop("gallery") for one in told] == [str(place) for place in places]
    assert told[0] == told[1]
    assert galleries_in(store.place("deep")) == [places[1]]


def test_looking_after_it(store: Store, photos: Path, tmp_path: Path) -> None:
    """Removing leaves no byte in the bucket; merging, replacing and removing all do what they do in a folder."""
    from test_care import places, traces

    place, other = store.place("g"), store.place("other")
    index(place, photos)
    gone = str(photos / "p002.png")
    known = traces(place, gone)  # type: ignore[arg-type]
    assert all(places(place, trace) for trace in known)  # type: ignore[arg-type]
    with Gallery.open(place, write=True) as held:
        held.erase([gone])
    assert not [trace for trace in known if places(place, trace)]  # type: ignore[arg-type]
    (photos / "p001.png").unlink()
    with Gallery.open(place, write=True) as held:
        assert [source.path for source, _ in prune(held, Rule(missing=True))] == [str(photos / "p001.png")]
        held.keep_for(9.0)
    index(other, photos / "p002.png")
    assert merge([place, other], store.place("both")).sources == 6
    assert merge([store.place("both")], tmp_path / "here").sources == 6
    assert rows_of(tmp_path / "here") == rows_of(store.place("both"))
    assert Gallery.open(tmp_path / "here").about.keep_days == 9.0
    again = Gallery.create(place, model="fake", fingerprint="fake-2", dim=DIM, force=True)
    assert Gallery.open(place).about.fingerprint == "fake-1", "the old one answers until the new one is whole"
    with again:
        index_sources(again, searcher("fake-2"), [photos / "p000.png"])
    assert Gallery.open(place).sources == [str(photos / "p000.png")]
    assert {path.name for path in place.iterdir()} <= gallery.OURS
    with Gallery.open(other, write=True) as held:
        held.erase(held.sources)
        held.remove()
    assert not Gallery.exists(other)


def test_erasing_that_was_killed_is_finished(store: Store, photos: Path) -> None:
    place = store.place("g")
    index(place, photos)
    begin_erasing(place)
    assert any("erasing was stopped" in found.line for found in verify(place))
    Gallery.open(place, write=True).close()
    assert not (place / ERASING).exists()


def test_the_audit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of several objects, by several threads, each after the one before; a changed one is seen."""
    monkeypatch.setattr(audit._BucketLog, "lines", 4)
    place = store.place("g")
    threads = [threading.Thread(target=lambda: [record(place, "search") for _ in range(3)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = read_audit(place)
    assert log.fault is None
    assert [entry["n"] for entry in log.entries] == list(range(1, 10))
    assert len(list((place / audit.AUDIT).iterdir())) == 3
    (place / audit.HEAD).write_bytes(json.dumps({"n": 8, "hash": log.entries[7]["hash"]}).encode())  # killed between
    record(place, "search")
    assert read_audit(place).fault is None
    second = place / audit.AUDIT / "000000001.jsonl"
    second.write_bytes(second.read_bytes().replace(b"search", b"forget", 1))
    assert "line 5 was changed" in (read_audit(place).fault or "")


def test_the_page_sees_what_others_add(store: Store, photos: Path) -> None:
    place = store.place("g")
    index(place, photos / "p000.png")
    library = Library(place, fresh_for=0.0)
    first = library.now()
    assert library.now() is first
    index(place, photos / "p001.png")
    assert len(library.now().scenes) == 2


# -------------------------------------------------------------------- several at work


def _write(place: BucketPath, who: str, batches: int, size: int = BATCH) -> None:
    with Gallery.open(place, write=True) as held:
        for number in range(batches):
            held.add(some_scenes(who, number * size, size))


def two_writers_and_a_reader(place: BucketPath, batches: int, size: int, kind: Any) -> int:
    """Checks what the reader sees, and gives how often it looked."""
    new(place).close()
    writers = [kind(target=_write, args=(place, who, batches, size)) for who in ("one", "two")]
    for writer in writers:
        writer.start()
    looks, seen = 0, 0
    while any(writer.is_alive() for writer in writers):
        rows = Gallery.open(place).table.rows(["source", "scores"])
        assert len(rows) % size == 0, "a torn batch"
        assert len(rows) >= seen, "rows were lost"
        assert all(len(row["scores"]) == CROWD for row in rows)
        looks, seen = looks + 1, len(rows)
        time.sleep(0.05)
    expected = {scene.source.path for who in ("one", "two") for scene in some_scenes(who, 0, batches * size)}
    rows = Gallery.open(place).table.rows(["source"])
    assert len(rows) == len(expected)
    assert {row["source"] for row in rows} == expected
    assert verify(place) == [] or not any(found.damage for found in verify(place))
    return looks


def test_two_writers_and_a_reader(store: Store) -> None:
    assert two_writers_and_a_reader(store.place("g"), 8, BATCH, threading.Thread) > 1


@pytest.mark.slow
def test_two_writers_and_a_reader_of_20_000_rows(store: Store) -> None:
    process = multiprocessing.get_context("spawn").Process
    assert two_writers_and_a_reader(store.place("g"), 100, 100, process) > 10


def test_a_maintainer_and_a_writer_lose_nothing(store: Store) -> None:
    """Removing, again and again, while another adds: what was removed is gone, and all else is there."""
    place = store.place("g")
    new(place).close()
    failed: list[BaseException] = []

    def add() -> None:
        try:
            _write(place, "one", 6)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=add)
    thread.start()
    removed: set[str] = set()
    while thread.is_alive():
        with Gallery.open(place, write=True) as held:
            doomed = held.sources[:3]
            held.erase(doomed)
            removed.update(doomed)
        time.sleep(0.2)
    thread.join()
    assert not failed
    assert len(removed) >= 3
    assert set(Gallery.open(place).sources) == {s.source.path for s in some_scenes("one", 0, 6 * BATCH)} - removed


def test_two_maintainers_take_turns_or_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "PATIENCE", 1.0)
    monkeypatch.setattr(flags, "WRITERS_PATIENCE", 1.0)
    place = store.place("g")
    with new(place) as held:
        held.add(some_scenes("one", 0))
    with flags.maintainer(place):
        for what in (Gallery.erase, Gallery.fill):
            with Gallery.open(place, write=True) as held, pytest.raises(BusyError, match=r"process \d+\) is at work"):
                what(held, [])
        with Gallery.open(place, write=True) as held, pytest.raises(BusyError, match="wait until that has ended"):
            held.add(some_scenes("two", 0))
    with flags.writer(place), flags.writer(place), Gallery.open(place, write=True) as held, pytest.raises(BusyError):
        held.erase([])
    with Gallery.open(place, write=True) as held:
        held.add(some_scenes("two", 0))
        held.erase([])
    assert len(Gallery.open(place)) == 2 * BATCH
    assert not list((place / flags.FLAGS).glob("*-*")), "no flag is left"


def test_a_maintainer_that_was_killed_is_waited_for_no_longer_than_its_term(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flags, "TERM", 2.0)
    monkeypatch.setattr(flags, "PATIENCE", 10.0)
    place = store.place("g")
    new(place).close()
    flags._Flag(place, flags.MAINTAINER).up()  # and nobody renews it
    with Gallery.open(place, write=True) as held:
        held.add(some_scenes("one", 0))
    assert not list((place / flags.FLAGS).glob("*-*"))
    with flags.maintainer(place):
        time.sleep(4)  # longer than the term: it is renewed
        with pytest.raises(BusyError), flags.maintainer(place, patience=0):
            pass


def test_what_two_indexes_add_at_once_is_in_once(store: Store) -> None:
    place = store.place("g")
    new(place).close()
    first, second = Gallery.open(place, write=True), Gallery.open(place, write=True)
    for held in (first, second):
        held.add(some_scenes("one", 0))
    assert len(Gallery.open(place).table.rows(["source"])) == 2 * BATCH
    first.close()
    second.close()
    assert len(Gallery.open(place).table.rows(["source"])) == BATCH


def test_what_two_indexes_find_changed_stays_whole_whoever_ends_first(store: Store) -> None:
    place, people = store.place("g"), some_scenes("x", 0, 1)[0].people

    def frames(source: Source, *numbers: int) -> list[IndexedScene]:
        return [IndexedScene(source, 100, 50, people, number, float(number)) for number in numbers]

    old, now = Source("/x/film.mp4", 1, 1, 1.0), Source("/x/film.mp4", 2, 2, 1.0)
    with new(place) as gallery:
        gallery.add(frames(old, 0, 1, 2))
    one, other = Gallery.open(place, write=True), Gallery.open(place, write=True)
    assert one.outdated(now)
    assert other.outdated(now)
    one.forget(now.path, but=now)
    one.add(frames(now, 0, 1))
    other.forget(now.path, but=now)  # and ends here
    one.add(frames(now, 2, 3))
    one.finish(now)
    for held in (one, other):
        held.close()
    assert Gallery.open(place).frames(now) == {0, 1, 2, 3}
    assert Gallery.open(place).holds(now)


@pytest.mark.parametrize("every", [None, 1.0, 0.1])
def test_only_other_states_of_a_file_are_forgotten(store: Store, every: float | None) -> None:
    place, people = store.place("g"), some_scenes("x", 0, 1)[0].people
    states = [Source("/x/a", size, time, pace) for size in (1, 2) for time in (1, 2) for pace in (None, 0.1, 1.0)]
    with new(place) as gallery:
        for state in states:
            gallery.add([IndexedScene(state, 100, 50, people, None if state.every is None else 0, None)])
        gallery.forget("/x/a", but=Source("/x/a", 1, 2, every))
    rows = Gallery.open(place).table.rows(["size", "mtime_ns", "every"])
    assert [(row["size"], row["mtime_ns"], row["every"]) for row in rows] == [(1, 2, every)]


def test_what_is_added_while_galleries_are_merged_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flags, "WRITERS_PATIENCE", 0.5)
    for name in ("into", "other"):
        with new(store.place(name)) as gallery:
            gallery.add(some_scenes(name, 0))
    refused = []

    def winners(contents: Any) -> Any:
        try:
            with Gallery.open(store.place("into"), write=True) as late:
                late.add(some_scenes("late", 0))
        except BusyError as error:  # whoever adds is told, and tries again
            refused.append(error)
        return chosen(contents)

    chosen = merging._winners
    monkeypatch.setattr(merging, "_winners", winners)
    merging.merge([store.place("other")], store.place("into"))
    assert len(refused) == 1
    assert len(Gallery.open(store.place("into"))) == 2 * BATCH


def test_what_was_counted_before_others_added_is_not_kept(store: Store) -> None:
    place = store.place("g")
    new(place).close()
    held = Gallery.open(place, write=True)
    held.add(some_scenes("one", 0))
    held.strangers()
    with Gallery.open(place, write=True) as other:
        other.add(some_scenes("other", 0))
    (place / STRANGERS).unlink()
    held.close()
    kept = len(Gallery.open(place).strangers())
    (place / STRANGERS).unlink()
    assert kept == len(Gallery.open(place).strangers())


def test_a_line_of_the_audit_that_was_refused_is_not_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    place = store.place("a")
    for number in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(audit, "_note", refuse)
            with pytest.raises(GalleryError, match="cannot be written"):
                audit.record(place, "refused")
        assert [entry["what"] for entry in audit.read_audit(place).entries] == ["search"] * number
        audit.record(place, "search")


def test_a_new_gallery_that_another_one_fills_is_not_removed(store: Store) -> None:
    """An index that found nothing removes the gallery that it made, unless somebody else has put scenes in."""
    place = store.place("g")
    made = new(place)
    with Gallery.open(place, write=True) as other:
        other.add(some_scenes("one", 0))
    made.remove()
    assert len(Gallery.open(place)) == BATCH


def test_conflicts_are_tried_again_and_end_in_a_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    place = store.place("g")
    with new(place) as held:
        held.add(some_scenes("one", 0))
        Gallery.open(place).table.overwrite(held.table.stream())  # behind its back: appends do not go with that
        held.add(some_scenes("two", 0))
        assert len(Gallery.open(place)) == 2 * BATCH
        monkeypatch.setattr(table, "_COMMIT_TRIES", 1)
        Gallery.open(place).table.overwrite(held.table.stream())
        with pytest.raises(BusyError, match="too many programs write to it"):
            held.add(some_scenes("three", 0))


# -------------------------------------------------------------------- what fails


def _no_bucket(store: Store, patch: pytest.MonkeyPatch) -> None:
    client = store.client()
    BucketPath(BUCKET).rmtree()
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)


def _revoked(store: Store, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0.0)  # from here on, keys count


def _missing(store: Store, patch: pytest.MonkeyPatch) -> None:
    _revoked(store, patch)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)


def _unreachable(store: Store, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("fails", "line"),
    [
        (_no_bucket, "check its name and AWS_ENDPOINT_URL"),
        (_revoked, "refuses the credentials; check AWS_ACCESS_KEY_ID"),
        (_missing, "refuses the credentials; check AWS_ACCESS_KEY_ID"),
        (_unreachable, "cannot be reached; check the network"),
    ],
)
def test_a_store_that_fails_in_the_middle_is_one_line(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[[Store, pytest.MonkeyPatch], None],
    line: str,
) -> None:
    """For whoever writes, reads, or opens it then; and what was in before is there afterwards."""
    place = store.place("g")
    writer = new(place)
    writer.add(some_scenes("one", 0))
    reader = Gallery.open(place)
    with monkeypatch.context() as patch:
        fails(store, patch)
        steps: list[Callable[[], object]] = [
            lambda: Gallery.open(place),
            lambda: new(store.place("other")),
            lambda: writer.add(some_scenes("two", 0)),
            lambda: writer.erase([]),
            lambda: record(place, "search"),
        ]
        if fails is not _unreachable:  # whoever is connected stays so
            steps += [lambda: reader.people, lambda: verify(place)[0].line]
        for step in steps:
            try:
                said = step()
            except GalleryError as error:
                said = str(error)
            assert isinstance(said, str)
            assert line in said
            assert "\n" not in said
        writer.close()
    if fails is not _no_bucket:
        assert len(Gallery.open(place)) == BATCH


def test_a_folder_and_a_bucket_are_told_apart_everywhere(photos: Path, tmp_path: Path) -> None:
    """What needs a disk says so, and makes no folder called s3:."""
    from personsearch.files import check_file, check_folder
    from personsearch.search.files import find_files
    from personsearch.search.place import folder_on_disk

    os.chdir(tmp_path)
    for check in (check_file, check_folder, lambda path: find_files([path])):
        with pytest.raises(SettingError, match="only galleries may be in a bucket"):
            check(Path("s3://people/photos"))
    with pytest.raises(SettingError, match="--codes-gb needs a disk"):
        folder_on_disk(BucketPath.parse("s3://people/g"), "--codes-gb")
    assert not (tmp_path / "s3:").exists()
