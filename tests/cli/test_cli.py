"""The commands from outside, with a fake model: what they print, write, refuse, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from search_fakes import FakeModel, picture, save_pictures, save_video, searcher
from typer.testing import CliRunner, Result

from personsearch.cli import console
from personsearch.cli.app import app
from personsearch.data.transforms import SizeSettings
from personsearch.models.igpn import IGPNSettings, build_igpn
from personsearch.models.reid import ReidSettings, build_reid
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.models.weights import save_weights
from personsearch.search import searchers
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.searchers import SceneEncoder

BOX_OF_3 = ["--box", "10", "26", "30", "86"]


@pytest.fixture(autouse=True)
def fake_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model name loads the fake; a name ending in a number gives it that fingerprint."""

    def load(
        weights: str, _device: str | None = None, least: float = 0.5, read: str | None = None, **_: object
    ) -> SceneEncoder:
        number = weights[-1] if weights[-1].isdigit() else "1"
        return SceneEncoder(FakeModel(), f"fake-{number}", weights, least, 12, read or "readings")

    monkeypatch.setattr(searchers, "load_searcher", load)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> dict[str, object]:
    """The one JSON document on stdout of a command that succeeds."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def refused(code: int, *arguments: object) -> str:
    """The one line that a failing command leaves on stderr; stdout stays empty."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("error: ")
    return line


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_pictures(tmp_path / "photos", 6)
    return tmp_path / "photos"


def test_index_then_search(tmp_path: Path, photos: Path) -> None:
    gallery, query = tmp_path / "g", photos / "p003.png"
    added = run_json("index", photos, "--gallery", gallery)
    assert added["total"] == {"scenes": 6, "people": 15}
    again = run_json("index", photos, "--gallery", gallery)
    assert again["added"] == {
        **{"scenes": 0, "people": 0, "skipped": 6, "moved": 0, "files": 6},
        **{"failures": [], "passed_over": {}, "expired": [], "gone": []},
    }

    found = run_json("search", gallery, "--image", query, *BOX_OF_3, "--top", 3, "--out", tmp_path / "answer")
    assert json.loads((tmp_path / "answer" / "results.json").read_text()) == found
    hits = found["hits"]
    assert isinstance(hits, list)
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert Path(hits[0]["source"]).name == "p002.png"
    assert hits[0]["box"] == [60, 26, 80, 86]
    assert hits[0]["similarity"] > 0.99
    with Image.open(tmp_path / "answer" / "sheet.jpg") as sheet:
        assert sheet.width > 1000

    own = run_json("search", gallery, "--image", query, *BOX_OF_3, "--include-own")["hits"]
    assert isinstance(own, list)
    assert "p003.png" in {Path(hit["source"]).name for hit in own}
    assert "p003.png" not in {Path(hit["source"]).name for hit in hits}
    table = run("search", gallery, "--image", query, *BOX_OF_3)
    assert "similarity" in table.stdout
    assert "0.99" in table.stdout or "1.00" in table.stdout


def test_search_from_a_moment_of_a_video(tmp_path: Path) -> None:
    video, gallery = save_video(tmp_path / "walk.avi"), tmp_path / "g"
    run_json("index", video, "--gallery", gallery, "--every", 2)
    people = run_json("detect", video, "--at", 2)["people"]
    assert isinstance(people, list)
    assert [person["box"][0] for person in people] == pytest.approx([15, 120], abs=2)
    ask = ("search", gallery, "--image", video, "--at", 2, "--box", *people[0]["box"])

    def times(*more: object) -> list[int]:
        hits = run_json(*ask, *more)["hits"]
        assert isinstance(hits, list)
        return sorted(round(hit["time"]) for hit in hits)

    assert times() == [0, 4, 6]
    assert times("--min-gap", 4) == [6]
    assert times("--include-own") == [0, 2, 4, 6]
    assert "--at" in refused(2, "search", gallery, "--image", video, *BOX_OF_3)
    assert "earlier moment" in refused(1, "detect", video, "--at", 500)


@pytest.mark.parametrize(
    ("sight", "said"),
    [
        ("walk.avi:5,26,25,86", "a moment is of a video.*VIDEO@SECONDS"),
        ("p003.png@3:10,26,30,86", "a moment is of a video.*IMAGE:X1"),
        ("walk.avi@99:5,26,25,86", "walk.avi@99.*give an earlier moment"),
        ("p003.png:5,26,5,86", "--also .*p003.png:5,26,5,86: box '5 26 5 86' has no area"),
        ("p003.png:500,26,520,86", "p003.png:500.*lies outside the picture"),
    ],
)
def test_a_fault_of_a_further_sight_names_it(tmp_path: Path, photos: Path, sight: str, said: str) -> None:
    save_video(photos / "walk.avi")
    run_json("index", photos / "p003.png", "--gallery", tmp_path / "g")
    ask = ("search", tmp_path / "g", "--image", photos / "p003.png", *BOX_OF_3)
    for option in ("--also", "--not"):
        line = run(*ask, option, photos / sight).stderr
        assert re.search(said.replace("--also", option), line), line
        assert "--at" not in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["index", "", "--gallery", "g"], "an empty name was given"),
        (["index", "photos", "--gallery="], "an empty name was given"),
        (["index", "photos"], "Missing option '--gallery'; root index --help says how"),
        (["search", "g", "--image", "a.png", "--top", "nan"], "'--top'"),
        (["search", "g", "--image", "a.png", "--box", "1", "2", "3"], "--box"),
        (["gallery", "shw"], "No such command 'shw'"),
        (["find"], "No such command 'find'"),
        (["index", "https://there/a.jpg", "--gallery", "g"], "addresses are not read"),
        (["index", "rtsp://there/a", "--gallery", "g"], "personsearch watch"),
    ],
)
def test_what_is_typed_wrongly_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture([(3, 10)]).save(tmp_path / "a.png")
    assert said in refused(1 if "://" in "".join(words) else 2, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_commands_alone_show_their_help() -> None:
    for words in ([], ["gallery"], ["--help"]):
        assert "Usage" in run(*words).output


def test_detect_lists_and_draws(tmp_path: Path, photos: Path) -> None:
    listed = run("detect", photos / "p002.png", "--out", tmp_path / "people.png")
    assert listed.stdout.splitlines()[0].endswith("--box 10 26 30 86")
    assert len(listed.stdout.splitlines()) == 3
    assert (tmp_path / "people.png").exists()
    assert "--force" in refused(2, "detect", photos / "p002.png", "--out", tmp_path / "people.png")
    picture([]).save(tmp_path / "nobody.png")
    assert "nobody" in run("detect", tmp_path / "nobody.png").stdout


def test_bad_input_is_one_line(tmp_path: Path, photos: Path) -> None:
    gallery, query = tmp_path / "g", photos / "p003.png"
    run_json("index", photos, "--gallery", gallery)

    def search(image: Path, *box: object, more: tuple[object, ...] = ()) -> tuple[object, ...]:
        return ("search", gallery, "--image", image, "--box", *box, *more)

    assert "no area" in refused(2, *search(query, 10, 10, 10, 50))
    assert "outside" in refused(2, *search(query, 1000, 10, 1100, 50))
    assert "outside" in refused(2, *search(query, -100, 10, -50, 50))
    assert "missing.png" in refused(1, *search(photos / "missing.png", 1, 2, 3, 4))
    (tmp_path / "cut.png").write_bytes(query.read_bytes()[:150])
    assert "cut.png" in refused(1, *search(tmp_path / "cut.png", 1, 2, 3, 4))
    assert "fake-2" in refused(1, *search(query, 10, 26, 30, 86, more=("--model", "other-2")))
    assert "no gallery" in refused(1, "search", photos, "--image", query, *BOX_OF_3)
    assert "no such file" in refused(1, "index", tmp_path / "missing", "--gallery", gallery)
    assert "fake-2" in refused(1, "index", photos, "--gallery", gallery, "--model", "other-2")
    assert "--min-score" in refused(2, "index", photos, "--gallery", gallery, "--min-score", 0.9)
    assert "other files" in refused(1, "index", photos, "--gallery", photos)
    assert "above 0" in refused(
        2, "index", save_video(tmp_path / "v.avi", 1), "--gallery", tmp_path / "n", "--every", 0, "--strict"
    )
    (gallery / "gallery.json").write_text("{")
    assert "damaged" in refused(1, *search(query, 10, 26, 30, 86))
    assert run("index", photos, "--gallery", gallery, "--force").exit_code == 0


def test_nothing_is_overwritten_without_force(tmp_path: Path, photos: Path) -> None:
    gallery, out = tmp_path / "g", tmp_path / "answer"
    run_json("index", photos, "--gallery", gallery)
    ask = ("search", gallery, "--image", photos / "p003.png", *BOX_OF_3, "--out", out)
    out.mkdir()
    (out / "sheet.jpg").write_text("mine")
    assert "sheet.jpg" in refused(2, *ask)
    assert (out / "sheet.jpg").read_text() == "mine"
    assert run(*ask, "--force").exit_code == 0
    assert (out / "sheet.jpg").stat().st_size > 1000


def test_broken_files_are_told_and_the_rest_goes_in(tmp_path: Path, photos: Path) -> None:
    (photos / "cut.png").write_bytes((photos / "p000.png").read_bytes()[:150])
    video = save_video(tmp_path / "v.avi", seconds=10)
    (photos / "cut.avi").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    result = run("index", photos, "--gallery", tmp_path / "g", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert len(document["added"]["failures"]) == 2
    assert document["total"]["scenes"] > 6
    told = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert len(told) == 2
    assert "cut.avi" in refused(1, "index", photos, "--gallery", tmp_path / "h", "--strict")


def test_progress_is_told_in_lines_where_there_is_no_terminal(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("index", photos, "--gallery", tmp_path / "g").stderr == ""
    monkeypatch.setattr(console, "_SECONDS_BETWEEN_LINES", 0.0)
    result = run("index", photos, "--gallery", tmp_path / "h", "--json")
    assert result.stderr.splitlines()[-1] == "indexing: 100%, p005.png"
    assert json.loads(result.stdout)["total"]["scenes"] == 6


def test_a_stop_is_one_line(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = replace(searcher(), read="readings")

    def stop() -> None:
        if stopped.model.seen > 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    stopped.model.before = stop  # type: ignore[attr-defined]
    monkeypatch.setattr(searchers, "load_searcher", lambda *_, **__: stopped)
    assert "goes on" in refused(130, "index", photos, "--gallery", tmp_path / "g")
    stopped.model.before = lambda: None  # type: ignore[attr-defined]
    assert run_json("index", photos, "--gallery", tmp_path / "g")["added"]["scenes"] == 3  # type: ignore[index]


def test_training_and_judging_refuse_in_one_line(tmp_path: Path) -> None:
    data = f"coco:{tmp_path}"
    assert "did you mean binet_prw" in refused(2, "train", "binet_prv", "--data", data, "--out", tmp_path / "r")
    assert "unknown setting" in refused(
        2, "train", "binet_prw", "--data", data, "--out", tmp_path / "r", "--set", "optimizer.speed=1"
    )
    assert "annotations.json" in refused(1, "train", "binet_prw", "--data", data, "--out", tmp_path / "r")
    assert "annotations.json" in refused(1, "evaluate", "none", "--data", data)
    assert "not a known layout" in refused(1, "evaluate", "none", "--data", "zip:here")
    assert "no weights" in refused(1, "describe", tmp_path)
    assert not (tmp_path / "r").exists()
    settings = run_json("describe", "binet_prw")
    assert settings["name"] == "binet_prw"
    assert "optimizer.steps" in run("describe", "binet_prw").stdout


def test_commands_hand_their_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from personsearch import experiment, synthesis
    from personsearch.data import sources
    from personsearch.evaluation import evaluate as judge

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def note(*arguments: Any, **options: Any) -> Any:
        calls.append((arguments, options))
        if "progress" in options:
            assert list(options["progress"]("ab", "", 2)) == ["a", "b"]
        return SimpleNamespace(as_dict=lambda: figures), None

    figures = {"mAP": 0.5, "top1": 0.25}
    monkeypatch.setattr(synthesis, "synthesize", note)
    monkeypatch.setattr(experiment, "train", note)
    loaded = SimpleNamespace(notes=("7 boxes left out",))
    monkeypatch.setattr(sources, "load_benchmark", lambda *a, **options: (note(*a, **options), loaded)[1])
    monkeypatch.setattr(judge, "evaluate_weights", note)

    assert run("synthesize", "r", "--identities", 9, "--scenes", 30, "--test-scenes", 7).exit_code == 0
    assert (calls[-1][0], calls[-1][1]["test_scenes"], calls[-1][1]["seed"]) == ((Path("r"),), 7, 0)
    trained = (
        "train",
        "binet_rendered",
        "--data",
        "coco:r",
        "--out",
        "o",
        "--set",
        "seed=3",
        "--set",
        "a=b",
        "--resume",
    )
    assert run(*trained).exit_code == 0
    assert calls[-1][0] == ("binet_rendered", "coco:r", Path("o"))
    assert (calls[-1][1]["settings"], calls[-1][1]["resume"]) == (["seed=3", "a=b"], True)
    assert run_json("evaluate", "m", "--data", "coco:r", "--gallery-size", 50, "--device", "cpu") == figures
    assert calls[-2] == (("coco:r",), {"gallery_size": 50})
    assert (calls[-1][0][0], calls[-1][1]["device"]) == ("m", "cpu")
    refined = ("--reid", "r", "--keep", 9, "--proposals", 8, "--candidates", 7, "--boxes", "labeled", "--size", 60, 90)
    assert run("evaluate", "m", "--data", "coco:r", *refined).exit_code == 0
    how = judge.JudgeSettings(boxes="labeled", size=(60, 90), reid="r", keep=9, proposals=8, candidates=7)
    assert calls[-1][0][2] == how
    judged = run("evaluate", "m", "--data", "coco:r")
    assert "mAP                0.5000" in judged.stdout
    assert judged.stderr == "warning: 7 boxes left out\n"


def test_every_command_helps_with_an_example() -> None:
    commands = [command.callback.__name__ for command in app.registered_commands if command.callback]
    names = "demo index search watch serve detect synthesize train evaluate export describe reproduce"
    assert set(names.split()) == set(commands)
    for command in commands:
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"personsearch {command}" in result.stdout


def test_help_and_version_come_without_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from personsearch.cli.app import app\n"
        "for words in (['--help'], ['search', '--help'], ['--version']):\n"
        "    assert CliRunner().invoke(app, words).exit_code == 0\n"
        "assert not {'torch', 'lancedb', 'av', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_index_says_what_it_left_out_and_makes_no_empty_gallery(tmp_path: Path, photos: Path) -> None:
    (photos / "b.psd").touch()
    (photos / "notes.txt").touch()
    (photos / "dangling.jpg").symlink_to(photos / "nothing.jpg")
    result = run("index", photos, "--gallery", tmp_path / "g", "--json")
    assert result.exit_code == 1
    added = json.loads(result.stdout)["added"]
    assert (added["scenes"], added["files"], added["passed_over"]) == (6, 7, {".psd": 1, ".txt": 1})
    assert len(added["failures"]) == 1
    assert "dangling.jpg: a link to a file that is not there" in result.stderr
    assert "passed over: 1 .psd (a picture that cannot be read), 1 .txt" in result.stderr
    assert "1 of 7 files" in result.stderr

    only = tmp_path / "only"
    only.mkdir()
    (only / "dangling.jpg").symlink_to(only / "nothing.jpg")
    assert "nothing can be read" in refused(1, "index", only, "--gallery", tmp_path / "h")
    (only / "text.png").write_text("no picture")
    assert "no gallery was made" in run("index", only, "--gallery", tmp_path / "h").stderr
    run("index", only / "text.png", "--gallery", tmp_path / "h", "--strict")
    assert not (tmp_path / "h").exists()


def test_search_says_what_became_of_the_files(tmp_path: Path, photos: Path) -> None:
    run_json("index", photos, "--gallery", tmp_path / "g")
    (photos / "p003.png").write_bytes((photos / "p000.png").read_bytes())
    (photos / "p002.png").unlink()
    ask = ("search", tmp_path / "g", "--image", photos / "p001.png", *BOX_OF_3, "--top", 50)
    states = {Path(hit["source"]).name: hit["state"] for hit in run_json(*ask)["hits"]}  # type: ignore[index]
    assert states.pop("p003.png") == "changed"
    assert states.pop("p002.png") == "gone"
    assert set(states.values()) == {"current"}
    table = run(*ask).stdout
    assert "since indexed" in table
    assert table.count("changed") == table.count("gone") == 1
    again = run("index", photos, "--gallery", tmp_path / "g")
    assert "1 files of the gallery are gone, and still answer" in again.stderr
    photos.rename(tmp_path / "moved")
    assert run_json("index", tmp_path / "moved", "--gallery", tmp_path / "g")["added"]["moved"] == 5  # type: ignore[index]


def test_a_gallery_is_asked_in_two_stages(tmp_path: Path) -> None:
    """Any gallery's scenes can be asked by a proposer; the second query reads their codes from disk."""
    torch.manual_seed(0)
    settings = IGPNSettings(
        channels=4, anchors=AnchorSettings((48.0,), (2.0,)), proposals=ProposalSettings(30, 4),
        test_size=SizeSettings(96, 160),
    )  # fmt: skip
    save_weights(tmp_path / "igpn", build_igpn(settings), {})
    save_weights(tmp_path / "reid", build_reid(ReidSettings(size=(64, 32))), {"embedding": 2048})
    files = save_pictures(tmp_path / "pictures", 3)
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="fake-1", dim=12) as gallery:
        index_sources(gallery, searcher(), files)
    ask = ["search", str(tmp_path / "g"), "--image", str(files[0]), "--box", "10", "26", "30", "86", "--json"]
    stages = ["--proposer", str(tmp_path / "igpn"), "--reid", str(tmp_path / "reid"), "--codes-gb", "1"]
    answers = []
    for out in ("one", "two"):
        run = CliRunner().invoke(app, [*ask, *stages, "--out", str(tmp_path / out)])
        assert run.exit_code == 0, run.output
        answers.append(json.loads(run.stdout)["hits"])
        assert (tmp_path / out / "sheet.jpg").exists()
    assert [hit["source"] for hit in answers[0]] == [hit["source"] for hit in answers[1]]
    assert {hit["source"] for hit in answers[0]} == {str(path) for path in files[1:]}, "not from its own picture"
    assert len(list((tmp_path / "g" / "codes").glob("*.safetensors"))) == 3
    one = CliRunner().invoke(app, [*ask, *stages, "--include-own", "--candidates", "1"])
    assert len(json.loads(one.stdout)["hits"]) == 1
    for wrong, advice in (
        (["--codes-gb", "1"], "give --proposer, too"),
        (["--candidates", "1"], "give --proposer, too"),
        (["--keep", "9"], "give --reid, too"),
        (["--proposer", "p", "--model", "m"], "not both"),
    ):
        refused = CliRunner().invoke(app, [*ask, *wrong])
        assert refused.exit_code == 2
        assert advice in refused.output


def test_appearances_do_not_flood_and_say_when(tmp_path: Path) -> None:
    film, gallery = save_video(tmp_path / "walk.avi"), tmp_path / "g"
    run_json("index", film, "--gallery", gallery, "--every", 0.2)
    ask = ["search", gallery, "--image", film, "--at", 0, "--box", 5, 26, 25, 86, "--include-own", "--appearances"]
    (seen,) = run_json(*ask, "--sure", 0)["appearances"]
    assert (seen["first"], seen["frames"]) == (0.0, 40)
    assert seen["last"] == pytest.approx(7.8)
    assert seen["best"]["source"] == str(film)
    assert "00:00:00.0 to 00:00:07.8, 40 frames" in run(*ask, "--sure", 0).stdout
    assert "--appearances" in refused(2, *ask[:-1], "--sure", 1)
    assert "--proposer" in refused(2, *ask, "--proposer", "p")


def test_more_sights_and_somebody_else_make_one_question(tmp_path: Path, photos: Path) -> None:
    gallery = tmp_path / "g"
    run_json("index", photos, "--gallery", gallery)
    ask = ["search", gallery, "--image", photos / "p003.png", *BOX_OF_3]
    other = f"{photos / 'p002.png'}:60,26,80,86"
    alone, both = run_json(*ask)["hits"], run_json(*ask, "--also", other)["hits"]
    assert isinstance(alone, list)
    assert isinstance(both, list)
    assert Path(alone[0]["source"]).name == "p002.png"
    assert "p002.png" not in {Path(hit["source"]).name for hit in both}  # what was asked with is no answer
    less = run_json(*ask, "--not", f"{photos / 'p002.png'}:10,26,30,86")["hits"]
    assert isinstance(less, list)
    assert less[0]["similarity"] < alone[0]["similarity"]


def test_sights_that_cannot_be_are_one_line(tmp_path: Path, photos: Path) -> None:
    gallery = tmp_path / "g"
    run_json("index", photos, "--gallery", gallery)
    picture = photos / "p003.png"
    ask = ["search", gallery, "--image", picture, *BOX_OF_3]
    for end in ("", ":1,2,3", ":a,b,c,d", ":1,2,3,4,5", ":1.2.3,2,3,4", ":"):
        wrong = f"{picture}{end}"
        assert "IMAGE:X1,Y1,X2,Y2" in refused(2, *ask, "--also", wrong)
        assert "IMAGE:X1,Y1,X2,Y2" in refused(2, *ask, "--not", wrong)
    assert "box" in refused(2, *ask, "--also", f"{picture}:500,500,600,600")
    assert "moment" in refused(2, *ask, "--also", f"{picture}@3:1,2,30,40")
    refused(1, *ask, "--also", f"{tmp_path / 'nowhere.png'}:1,2,30,40")
    assert "--proposer" in refused(2, *ask, "--also", f"{picture}:1,2,30,40", "--proposer", "p")


def test_who_is_not_there_is_said(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 14)
    gallery = tmp_path / "g"
    run_json("index", tmp_path / "photos", "--gallery", gallery)
    ask = ["search", gallery, "--image", tmp_path / "photos" / "p003.png"]
    found = run_json(*ask, *BOX_OF_3)
    assert found["absent"] in (True, False)
    assert all(0 < hit["strangers"] <= 1 for hit in found["hits"])  # type: ignore[union-attr]
    assert "1 in " in run(*ask, *BOX_OF_3).stdout
    nothing = ["--box", 120, 0, 150, 20]  # the grey behind them
    told = run_json(*ask, *nothing)
    assert told["absent"] is True
    assert run(*ask, *nothing).stdout.startswith("nobody here looks like this person")
