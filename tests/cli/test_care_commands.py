"""`gallery ...`: what the commands print, and one line for each thing that cannot be."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest
from search_fakes import FakeModel, save_pictures, save_video, searcher
from typer.testing import CliRunner, Result

from personsearch.cli.app import app
from personsearch.search import searchers
from personsearch.search.audit import AUDIT
from personsearch.search.erasing import ERASING
from personsearch.search.gallery import Gallery
from personsearch.search.question import ask, pose, read_others, read_sights
from personsearch.search.searchers import SceneSearcher

BOX_OF_3 = ["--box", "10", "26", "30", "86"]


@pytest.fixture(autouse=True)
def fake_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(
        weights: str, _device: str | None = None, least: float = 0.5, read: str | None = None, **_: object
    ) -> SceneSearcher:
        return SceneSearcher(FakeModel(), f"{weights}-1", weights, least, 12, read or "readings")

    monkeypatch.setattr(searchers, "load_searcher", load)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    save_pictures(tmp_path / "photos", 4)
    save_video(tmp_path / "photos" / "walk.avi", seconds=3)
    assert run("index", tmp_path / "photos", "--gallery", tmp_path / "g").exit_code == 0
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def one_line(result: Result) -> str:
    assert result.exit_code in (1, 2), (result.output, result.exception)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_list_and_show_say_what_is_there(place: Path) -> None:
    (listed,) = run_json("gallery", "list", place)
    assert (listed["sources"], listed["scenes"], listed["keep_days"], listed["fault"]) == (5, 7, None, None)
    shown = run_json("gallery", "show", place / "g")
    assert sum(source["people"] for source in shown["sources"]) == listed["people"]
    assert {source["state"] for source in shown["sources"]} == {"current"}
    text = run("gallery", "show", place / "g").stdout
    assert text.count("p00") == 4
    assert "00:00:02.0" in text
    assert "7 scenes of 5 files" in text
    (place / "broken").mkdir()
    (place / "broken" / "gallery.json").write_text("{")
    table = run("gallery", "list", place).stdout
    assert "damaged" in table
    assert len(table.splitlines()) == 3
    (place / "none").mkdir()
    assert "no gallery in" in run("gallery", "list", place / "none").stdout


def test_removing_and_pruning_say_first_what_would_go(place: Path) -> None:
    g, one = place / "g", place / "photos" / "p001.png"
    would = run_json("gallery", "remove", g, one, "--dry-run")
    assert ([Path(r["source"]).name for r in would["removed"]], would["scenes_left"]) == (["p001.png"], 7)
    assert len(Gallery.open(g)) == 7
    assert run_json("gallery", "remove", g, one)["scenes_left"] == 6
    assert "holds nothing of it" in one_line(run("gallery", "remove", g, one))
    old = place / "photos" / "p002.png"
    os.utime(old, (0, time.time() - 40 * 86_400))
    run("index", place / "photos", "--gallery", g)  # touched, and the removed one is in again
    assert "0 files removed" in run("gallery", "prune", g).stdout  # but what was dropped before goes
    assert "keeps everything" in one_line(run("gallery", "prune", g))
    assert run("gallery", "retain", g, "--days", 30).exit_code == 0
    assert "older than 30 days" in run("gallery", "prune", g, "--dry-run").stdout
    assert [r["why"] for r in run_json("gallery", "prune", g)["removed"]] == ["older than 30 days"]
    (place / "photos" / "p003.png").unlink()
    assert [r["why"] for r in run_json("gallery", "prune", g, "--missing")["removed"]] == ["gone"]
    indexed = run("index", place / "photos", "--gallery", g)
    assert "older than the gallery keeps" in indexed.stderr
    assert run_json("gallery", "retain", g, "--forever")["keep_days"] is None
    assert len(Gallery.open(g)) == 5


def test_what_goes_by_itself_goes_at_once_and_is_in_the_audit(place: Path) -> None:
    g, old = place / "g", place / "photos" / "p001.png"
    assert run("gallery", "retain", g, "--days", 30).exit_code == 0
    os.utime(old, (0, time.time() - 40 * 86_400))  # as a copy from elsewhere
    indexed = run_json("index", old, "--gallery", g)
    assert indexed["total"]["scenes"] == len(Gallery.open(g)) == 6
    assert (indexed["added"]["expired"], indexed["added"]["gone"]) == ([str(old)], [])
    assert run("index", place / "photos", "--gallery", g, "--force").exit_code == 0
    done = [(entry["what"], entry["answers"]) for entry in run_json("gallery", "audit", g)["entries"]]
    assert done == [("retain", None), ("prune", 1), ("replace", 4)]


def test_what_verify_advises_of_a_stopped_removal_works(place: Path) -> None:
    (place / "g" / ERASING).touch()  # killed before its commit
    assert "gallery prune" in one_line(run("gallery", "verify", place / "g"))
    assert run("gallery", "prune", place / "g").exit_code == 0
    assert "is whole" in run("gallery", "verify", place / "g").stdout


def test_verify_names_the_damage_and_ends_with_1(place: Path) -> None:
    assert "is whole" in run("gallery", "verify", place / "g").stdout
    path = next((place / "g" / "scenes.lance" / "data").iterdir())
    path.write_bytes(path.read_bytes()[:-3])
    assert "index again with --force" in one_line(run("gallery", "verify", place / "g"))


def test_every_question_is_in_the_audit(place: Path) -> None:
    g, query = place / "g", place / "photos" / "p003.png"
    found = run_json("search", g, "--image", query, *BOX_OF_3)["hits"]
    run_json("gallery", "export", g, "--image", query, *BOX_OF_3, "--out", place / "out", "--sure", 0)
    run_json("gallery", "remove", g, place / "photos" / "p000.png")
    log = run_json("gallery", "audit", g)
    done = [(entry["what"], entry["answers"]) for entry in log["entries"]]
    assert done[::2] == [("search", len(found)), ("remove", 1)]
    assert log["entries"][0]["picture"] == log["entries"][1]["picture"] is not None
    assert "p000" not in (g / AUDIT).read_text()
    about = run_json("gallery", "audit", g, "--image", query)["entries"]
    assert [entry["what"] for entry in about] == ["search", "export"]
    assert "none changed" in run("gallery", "audit", g, "--verify").stdout
    lines = (g / AUDIT).read_text().splitlines(keepends=True)
    (g / AUDIT).write_text("".join([lines[0], lines[2]]))
    assert "line 2 was changed" in one_line(run("gallery", "audit", g, "--verify"))
    assert "line 2 was changed" in run("gallery", "audit", g).stderr
    assert "line 2 was changed" in one_line(run("gallery", "verify", g))


def test_a_saved_question_is_asked_with_all_its_sights(place: Path) -> None:
    query, other = place / "photos" / "p003.png", place / "photos" / "p001.png"
    more = ["--also", f"{other}:60,26,80,86", "--not", f"{other}:10,26,30,86"]
    found = run_json("search", place / "g", "--image", query, *BOX_OF_3, *more, "--out", place / "out")["hits"]
    saved = place / "out" / "results.json"
    question = pose(searcher(), read_sights(saved), read_others(saved))
    seen = ask(Gallery.open(place / "g"), question, sure=0, join=0)
    best = {one.source: round(one.best.similarity, 4) for one, _ in seen}
    assert found
    assert all(best[Path(hit["source"])] >= round(hit["similarity"], 4) for hit in found)
    alone = ask(Gallery.open(place / "g"), pose(searcher(), read_sights(saved)[:1]), sure=0, join=0)
    assert {one.source: round(one.best.similarity, 4) for one, _ in alone} != best


def test_a_question_is_answered_where_nothing_can_be_noted(place: Path) -> None:
    (place / "g" / AUDIT).mkdir()
    result = run("search", place / "g", "--image", place / "photos" / "p003.png", *BOX_OF_3)
    assert result.exit_code == 0
    assert "not noted" in result.stderr
    assert "cannot be read" in one_line(run("gallery", "audit", place / "g"))


def test_a_full_disk_ends_an_export_in_one_line(place: Path) -> None:
    command = ["gallery", "export", place / "g", "--image", place / "photos" / "p003.png", *BOX_OF_3, "--sure", 0]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        line = one_line(run(*command, "--out", place / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "ulimit -f" in line
    assert not (place / "out").exists()
    assert "appearances" in run(*command, "--out", place / "out").stdout
    assert "--force" in one_line(run(*command, "--out", place / "out"))
    assert run(*command, "--out", place / "out", "--force", "--no-blur").exit_code == 0


def test_what_cannot_be_is_one_line(place: Path) -> None:
    g, query = place / "g", ["--image", place / "photos" / "p003.png", *BOX_OF_3]
    run("index", place / "photos", "--gallery", place / "other", "--model", "another")
    out = ["--out", place / "out"]
    for command, words in [
        (["list", place / "nowhere"], "no such folder"),
        (["show", place / "nowhere"], "no gallery there"),
        (["remove", g, place / "nowhere"], "holds nothing of it"),
        (["prune", g, "--older-than", "0"], "--older-than"),
        (["prune", g, "--older-than", "nan"], "--older-than"),
        (["retain", g], "--days"),
        (["retain", g, "--days", 3, "--forever"], "--days"),
        (["verify", place], "no gallery there"),
        (["merge", g, "--into", g], "named twice"),
        (["merge", g, place / "other", "--into", place / "both"], "made by the model"),
        (["merge", g, "--into", place / "photos"], "other files"),
        (["audit", place], "no gallery there"),
        (["audit", g, "--image", place / "nowhere.png"], "nowhere.png"),
        (["export", place, *query, *out], "no gallery there"),
        (["export", g, "--image", place / "nowhere.png", *BOX_OF_3, *out], "nowhere.png"),
        (["export", g, "--image", place / "photos" / "p003.png", "--box", 900, 900, 950, 950, *out], "outside"),
        (["export", g, *query, "--out", place / "photos"], "other files"),
        (["export", g, *query, *out, "--sure", 7], "--sure"),
        (["export", g, *query, "--out", "/"], "has no name"),
    ]:
        line = one_line(run("gallery", *command))
        assert words in line, (command, line)
    assert not (place / "both").exists()
    assert not (place / "out").exists()
    merged = run_json("gallery", "merge", g, "--into", place / "both")
    assert (merged["scenes"], merged["left_out"]) == (7, 0)
    with Gallery.open(g, write=True):
        assert "wait until it has ended" in one_line(run("gallery", "remove", g, place / "photos"))
