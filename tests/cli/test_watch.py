"""`watch`: what arrives is indexed once it is complete, and somebody who is seen is told once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rtsp_server import RtspServer
from search_fakes import DIM, FakeModel, box_at, picture, save_pictures, save_video
from typer.testing import CliRunner, Result

from personsearch.cli.app import app
from personsearch.cli.watch import _Keeper
from personsearch.geometry.detections import Detections
from personsearch.search import indexing, searchers
from personsearch.search.alerts import Alert
from personsearch.search.appearances import Appearance
from personsearch.search.audit import read_audit
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.question import Question
from personsearch.search.searchers import SceneSearcher
from personsearch.search.sources import Source
from personsearch.search.watching import Arrivals

BOX_OF_3 = ["--box", "10", "26", "30", "86"]


@pytest.fixture(autouse=True)
def fake_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(
        weights: str, _device: str | None = None, least: float = 0.5, read: str | None = None, **_: object
    ) -> SceneSearcher:
        return SceneSearcher(FakeModel(), "fake-1", weights, least, 12, read or "readings")

    monkeypatch.setattr(searchers, "load_searcher", load)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def watch_while(what: Callable[[], None], *arguments: object) -> Result:
    """Runs `watch`, does something beside it, and ends it as a system does."""

    def beside() -> None:
        try:
            what()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    thread = threading.Timer(0.5, beside)
    thread.start()
    result = run("watch", *arguments, "--settle", 1.2)
    thread.join()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    return result


def wait_for(what: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def scenes_in(folder: Path) -> int:
    return len(Gallery.open(folder)) if Gallery.exists(folder) else 0


def told(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_renamed_picture_is_no_news(tmp_path: Path) -> None:
    folder, g = tmp_path / "in", tmp_path / "g"
    save_pictures(folder, 1)
    picture([(3, 10)]).save(tmp_path / "query.png")
    saved = tmp_path / "results.json"
    saved.write_text(json.dumps({"query": {"source": "query.png", "time": None, "box": box_at(10)}}))

    def arrive() -> None:
        wait_for(lambda: scenes_in(g) == 1)
        picture([(9, 10), (3, 60)]).save(folder / "seen.png")
        wait_for(lambda: any(entry["answers"] for entry in read_audit(g).entries))
        (folder / "seen.png").rename(folder / "renamed.png")
        wait_for(lambda: str(folder / "renamed.png") in Gallery.open(g).sources)
        picture([(9, 10), (3, 50)]).save(folder / "too.png")
        (folder / "renamed.png").rename(folder / "again.png")  # together with one that is new
        wait_for(lambda: sum(entry["answers"] or 0 for entry in read_audit(g).entries) == 2)

    result = watch_while(arrive, folder, "--gallery", g, "--alert", saved, "--sure", 3)
    assert result.exit_code == 0, (result.output, result.exception)
    assert [Path(one["source"]).name for one in told(result)] == ["seen.png", "too.png"]


def test_a_picture_that_is_replaced_is_news(tmp_path: Path) -> None:
    folder, g = tmp_path / "in", tmp_path / "g"
    folder.mkdir()
    picture([(3, 10)]).save(tmp_path / "query.png")
    saved = tmp_path / "results.json"
    saved.write_text(json.dumps({"query": {"source": "query.png", "time": None, "box": box_at(10)}}))

    def arrive() -> None:
        for people in ([(3, 60)], [(9, 10)], [(3, 20)]):
            picture(people).save(tmp_path / "next.png")
            before = {one.digest for one in Gallery.open(g).indexed()} if Gallery.exists(g) else set()
            (tmp_path / "next.png").replace(folder / "camera.png")
            wait_for(lambda before=before: scenes_in(g) and {s.digest for s in Gallery.open(g).indexed()} != before)
        wait_for(lambda: sum(entry["answers"] or 0 for entry in read_audit(g).entries) == 2)

    result = watch_while(arrive, folder, "--gallery", g, "--alert", saved, "--sure", 3)
    assert result.exit_code == 0, (result.output, result.exception)
    assert [one["best"]["box"][0] for one in told(result)] == [60, 20]


def test_the_rest_of_a_film_that_was_stopped_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "BATCH", 2)
    film, model, asked = save_video(tmp_path / "walk.avi", seconds=8), FakeModel(), []

    class Told:
        question = Question([], torch.zeros(0, 0), "")

        def news(self, held: Gallery, sources: set[str]) -> list[dict[str, Any]]:
            asked.append((len(held), sorted(sources)))
            return []

    def keeper() -> _Keeper:
        return _Keeper(
            tmp_path / "g", SceneSearcher(model, "fake-1", "fake", 0.5, DIM, "readings"), 1.0, [Told()], None
        )

    def stop() -> None:
        if model.seen == 5:
            raise KeyboardInterrupt

    Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=DIM, read="readings").close()
    model.before = stop
    with pytest.raises(KeyboardInterrupt):
        keeper().take([film])
    keeper().take([film])
    assert asked == [(4, [str(film)]), (8, [str(film)])]


def test_a_film_that_has_grown_is_told_from_where_it_was_and_another_one_anew(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    before, other = random.Random(0).randbytes(100_000), random.Random(1).randbytes(100_000)

    def seen(content: bytes, first: float, last: float) -> bool:
        path.write_bytes(content)
        source = Source.of(path, 1.0).with_digest()
        hits = [GalleryHit("s", box_at(10), 1.0, 1.0, path, int(time), time, 160, 96, source) for time in (first, last)]
        return alert._note(Appearance(tuple(hits), hits[0]))

    alert = Alert("a", Question([], torch.zeros(0, 0), ""))
    assert seen(before, 2.0, 4.0)
    assert not seen(before, 2.0, 4.0)
    assert not seen(b"a header" + before[8:] + other, 2.0, 6.0)  # it has grown, and she goes on
    assert seen(before + other + other, 9.0, 9.0)
    assert seen(other, 2.0, 4.0)
    assert not seen(other, 3.0, 4.0)
    assert seen(b"short", 2.0, 4.0)
    assert not seen(b"short", 2.0, 4.0)


def test_what_arrives_is_indexed_and_somebody_is_told_once(tmp_path: Path) -> None:
    folder, g = tmp_path / "in", tmp_path / "g"
    save_pictures(folder, 2)
    picture([(3, 10)]).save(tmp_path / "query.png")
    saved = tmp_path / "results.json"
    saved.write_text(json.dumps({"query": {"source": "query.png", "time": None, "box": box_at(10)}}))

    def arrive() -> None:
        wait_for(lambda: scenes_in(g) == 2)
        picture([(9, 10), (3, 60)]).save(folder / "seen.png")
        film = save_video(tmp_path / "walk.avi", seconds=3).read_bytes()
        with (folder / "walk.avi").open("wb") as file:  # comes in pieces
            for start in range(0, len(film), len(film) // 4 + 1):
                file.write(film[start : start + len(film) // 4 + 1])
                file.flush()
                time.sleep(0.2)
        wait_for(lambda: scenes_in(g) == 6)
        wait_for(lambda: sum(entry["answers"] or 0 for entry in read_audit(g).entries) == 2)  # both were told by name
        (folder / "seen.png").rename(folder / "renamed.png")
        wait_for(lambda: str(folder / "renamed.png") in Gallery.open(g).sources)

    result = watch_while(arrive, folder, "--gallery", g, "--alert", saved, "--sure", 3)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "stopped" in result.stderr
    assert "cannot" not in result.stderr, "an unfinished film was read"
    seen = [(Path(one["source"]).name, one["first"]) for one in told(result)]
    assert sorted(seen) == [("seen.png", None), ("walk.avi", 0.0)]
    assert told(result)[0]["alert"] == str(saved)
    assert scenes_in(g) == 6
    assert [entry["answers"] for entry in read_audit(g).entries] in ([None, 1, 1], [None, 2])
    again = watch_while(lambda: time.sleep(0.5), folder, "--gallery", g, "--alert", saved)
    assert (again.exit_code, again.stdout) == (0, "")


def test_a_camera_is_recorded_indexed_and_told_to_a_command(tmp_path: Path) -> None:
    server = RtspServer(lambda number: picture([(3, 5 + number)]), frames=20, speed=10)
    picture([(3, 10)]).save(tmp_path / "query.png")
    saved = tmp_path / "results.json"
    saved.write_text(json.dumps({"query": {"source": "query.png", "time": None, "box": box_at(10)}}))
    script = tmp_path / "note.py"
    script.write_text(f"import sys; open({str(tmp_path / 'told')!r}, 'a').write(sys.stdin.read())")
    try:
        result = watch_while(
            lambda: wait_for(lambda: (tmp_path / "told").exists() and server.played >= 2),
            server.address, "--record", tmp_path / "films", "--length", 2, "--gallery", tmp_path / "g",
            "--alert", saved, "--run", f"{sys.executable} {script}",
        )  # fmt: skip
    finally:
        server.close()
    assert result.exit_code == 0, (result.output, result.exception)
    first = json.loads((tmp_path / "told").read_text().splitlines()[0])
    assert Path(first["source"]).parent == tmp_path / "films"
    assert "secret" not in result.output
    assert result.stdout == ""


def test_a_file_is_given_out_once_for_each_state_in_which_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (path,) = save_pictures(folder, 1)
    found, now = Arrivals([folder, tmp_path / "nowhere"], settle=3.0), time.time()
    assert (found.look(now), found.waiting) == ([], True)
    assert found.look(now + 2) == []
    path.write_bytes(path.read_bytes() + b"more")
    assert found.look(now + 4) == [], "it has changed in between"
    assert (found.look(now + 8), found.waiting) == ([path], False)
    assert found.look(now + 90) == []
    found.again([path])
    assert found.look(now + 91) == [path]
    shutil.rmtree(folder)
    assert found.look(now + 92) == []
    save_pictures(folder, 2)
    assert found.look(now + 99) == [folder / "p000.png", folder / "p001.png"], "long before the first look"


def test_what_cannot_be_watched_is_one_line(tmp_path: Path) -> None:
    save_pictures(tmp_path / "in", 1)
    broken = tmp_path / "results.json"
    broken.write_text("{}")
    gone = tmp_path / "gone.json"
    gone.write_text(json.dumps({"query": {"source": "nowhere.png", "time": None, "box": [1, 2, 3, 4]}}))
    folder, to = tmp_path / "in", ("--gallery", tmp_path / "g")
    for arguments, words in [
        ((tmp_path / "nowhere", *to), "no such folder"),
        ((folder, "rtsp://h/1", *to), "--record"),
        ((folder, *to, "--record", tmp_path / "r"), "--record"),
        (("rtsp:", *to, "--record", tmp_path / "r"), "no address"),
        ((folder, *to, "--alert", broken), "holds no question"),
        ((folder, *to, "--alert", tmp_path / "none.json"), "cannot be read"),
        ((folder, *to, "--alert", gone), "nowhere.png"),
        ((folder, *to, "--run", "cat"), "--alert"),
        ((folder, *to, "--alert", gone, "--run", "'oops"), "close its quotes"),
        ((folder, *to, "--settle", "nan"), "--settle"),
        ((folder, *to, "--length", 0), "--length"),
    ]:
        result = run("watch", *arguments)
        assert result.exit_code in (1, 2), (arguments, result.output)
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert words in line


def test_the_seconds_end_a_long_index_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "in", 100)

    def slow(self: FakeModel, image: Image.Image, least: float = 0.5) -> Detections:
        time.sleep(0.2)
        return detect(self, image, least)

    detect = FakeModel.detect
    monkeypatch.setattr(FakeModel, "detect", slow)
    result = run("watch", tmp_path / "in", "--gallery", tmp_path / "g", "--stop-after", 1.5)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "stopped" in result.stderr
    assert scenes_in(tmp_path / "g") < 100


def test_a_gallery_that_is_written_to_is_waited_for(tmp_path: Path) -> None:
    folder, g = tmp_path / "in", tmp_path / "g"
    save_pictures(folder, 1)
    assert run("index", folder, "--gallery", g).exit_code == 0

    def hold() -> None:
        with Gallery.open(g, write=True):
            picture([(4, 10)]).save(folder / "late.png")
            time.sleep(2)
        wait_for(lambda: scenes_in(g) == 2)

    result = watch_while(hold, folder, "--gallery", g)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("trying again") == 1
