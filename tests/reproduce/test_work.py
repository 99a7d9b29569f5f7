"""The work of a table in a folder: stops, several processes, and what is refused. Training and reading are fakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from layout_fixtures import make_benchmark
from typer.testing import CliRunner, Result

from personsearch.cli.app import app
from personsearch.data.layouts.coco import save_coco
from personsearch.data.layouts.cuhk_sysu import protocol_file
from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.layouts.prw_writer import save_prw
from personsearch.errors import WeightsError
from personsearch.reproduce import folder, work
from personsearch.reproduce.plan import Reading


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    benchmark = make_benchmark(folder / "pictures")
    for name, save in (("coco", save_coco), ("sysu", save_cuhk_sysu), ("prw", save_prw)):
        (folder / name).mkdir()
        save(benchmark, folder / name)
    return folder


class Fakes:
    """Trains and reads nothing, and notes what it was asked for."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.read: list[str] = []
        self.fail_at: str | None = None
        self.damaged: str | None = None

    def train(self, recipe: str, _data: str, out: Path, **options: Any) -> Path:
        if out.name == self.fail_at:
            raise KeyboardInterrupt
        assert (options["resume"], options["fit"]) == (True, False)
        self.trained.append(out.name)
        out.mkdir(parents=True)
        (out / folder.CHECKPOINT).write_text("large")
        lines = [{"step": step, "seconds": 20.0} for step in (10, 20)]
        (out / folder.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return out

    def build_network(self, _recipe: object, backbone: object) -> None:
        if backbone == "damaged.pth":
            raise WeightsError("damaged.pth: cannot be read")

    def measure(self, readings: Sequence[Reading], runs: Path, *_: Any) -> Iterator[tuple[Reading, dict[str, float]]]:
        for reading in readings:
            if reading.name == self.fail_at:
                raise KeyboardInterrupt
            if reading.run == self.damaged:
                raise WeightsError(f"{runs / reading.run}: damaged")
            self.read.append(reading.name)
            good = ["oim", "binet2", "binet0", "binet4", "binet3", "binet1", "binet"].index(reading.run.split("-")[0])
            seed = int(reading.run[-1])
            yield reading, {"mAP": 0.3 + 0.05 * good + 0.01 * seed - 0.0001 * (reading.gallery or 0), "top1": 0.5}


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes()
    monkeypatch.setattr(work, "train", made.train)
    monkeypatch.setattr(work, "measure", made.measure)
    monkeypatch.setattr(work, "build_network", made.build_network)
    return made


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["reproduce", *(str(argument) for argument in arguments)])


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def table(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    return found


def test_a_table_has_both_figures_their_spread_and_the_sign_of_each_claim(
    data: Path, fakes: Fakes, tmp_path: Path
) -> None:
    result = run("binet-table-2", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R", "--seeds", "0,1")
    assert result.exit_code == 0, result.output
    assert "12 of 12 runs to train (360,000 steps, how long is not known" in result.stderr
    made = table(tmp_path / "R", "binet-table-2")
    assert [column["name"] for column in made["columns"]] == ["PRW"]
    assert made["rows"][0]["figures"]["PRW"]["mAP"] == {"paper": 45.3, "ours": pytest.approx([60, 61])}
    assert {claim["sign"] for claim in made["claims"]["mAP"]} == {"as in the paper, in each of 2 seeds"}
    page = (tmp_path / "R" / "binet-table-2.md").read_text()
    assert "| BINet | 45.3 / 81.7 | 60.5 ± 0.7 / 50.0 ± 0.0 |" in page
    assert not list((tmp_path / "R").rglob(folder.CHECKPOINT))


def test_runs_are_shared_and_never_trained_again(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    spec, out = f"cuhk-sysu:{data / 'sysu'}", tmp_path / "R"
    for size in (50, 1000, 2000, 4000):  # five scenes have no such galleries
        if not (path := data / "sysu" / protocol_file(size)).exists():
            shutil.copy(data / "sysu" / protocol_file(100), path)
    for name in ("binet-table-1", "binet-table-2", "binet-table-7", "binet-table-1"):
        assert run(name, "--data", spec, "--out", out).exit_code == 0
    assert len(fakes.trained) == len(set(fakes.trained)) == 7
    assert len(fakes.read) == len(set(fakes.read))
    assert (
        "0 of 3 runs to train, 0 of 12 evaluations"
        in run("binet-table-1", "--data", spec, "--out", out, "--only-plan").stderr
    )


@pytest.mark.parametrize("stop", ["binet3-seed0", "binet3-seed0.detected.search.all"])
def test_the_same_command_after_a_stop_gives_the_same_table(
    stop: str, data: Path, fakes: Fakes, tmp_path: Path
) -> None:
    command = ("binet-table-2", "--data", f"prw:{data / 'prw'}", "--seeds", "0,1")
    fakes.fail_at = stop
    stopped = run(*command, "--out", tmp_path / "R")
    assert (stopped.exit_code, "the same command goes on" in stopped.stderr) == (130, True)
    assert not list((tmp_path / "R").glob("*.md"))
    fakes.fail_at = None
    before = list(fakes.trained)
    assert run(*command, "--out", tmp_path / "R").exit_code == 0
    assert len(fakes.trained) == len(set(fakes.trained)) == 12
    assert fakes.trained[: len(before)] == before
    assert run(*command, "--out", tmp_path / "whole").exit_code == 0
    assert table(tmp_path / "R", "binet-table-2") == table(tmp_path / "whole", "binet-table-2")


def test_a_longer_table_lies_beside_the_other(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    whole = ("binet-table-2", "--data", f"prw:{data / 'prw'}", "--out", tmp_path)
    assert run(*whole).exit_code == 0
    before = {file.name: file.read_bytes() for file in tmp_path.glob("*.*")}
    fakes.trained.clear()
    result = run(*whole, "--longer", 2)
    assert result.exit_code == 0, result.output
    assert fakes.trained
    assert all(name.endswith("-x2-seed0") for name in fakes.trained)
    assert {file.name: file.read_bytes() for file in tmp_path.glob("*.*") if file.name in before} == before
    made = table(tmp_path, f"{whole[0]}-x2")
    assert made["longer"] == 2
    assert "runs 2 times as long" in (tmp_path / f"{whole[0]}-x2.md").read_text()
    assert "leave --longer out" in refused("binet-table-8", *whole[1:], "--longer", 2)
    assert "--longer nan" in refused(*whole, "--longer", "nan")


def test_how_long_it_takes_is_told_by_the_steps_done_here(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run("binet-table-1", *command).exit_code == 0
    result = run("binet-table-2", *command, "--only-plan")
    assert "4 of 6 runs to train (120,000 steps, about 2.8 days by the steps done here)" in result.stderr
    assert not (tmp_path / "R" / "binet-table-2.md").exists()


def test_a_figure_is_drawn_the_same_twice(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    pictures = []
    for out in (tmp_path / "A", tmp_path / "B"):
        command = ("--data", f"coco:{data / 'coco'}", "--out", out, "--scale", "tiny", "--seeds", "0,1")
        for name in ("binet-figure-4", "binet-figure-2"):
            assert run(name, *command).exit_code == 0
        pictures.append([(out / f"{name}.svg").read_bytes() for name in ("binet-figure-4", "binet-figure-2")])
    assert pictures[0] == pictures[1]
    assert b"BINet, paper" in pictures[0][0]
    assert {claim["sign"] for claim in table(tmp_path / "A", "binet-figure-4")["claims"]["mAP"]} == {
        "not judged: a trial"
    }


# ------------------------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_is_refused_before_any_work(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "R")
    prw, sysu, coco = f"prw:{data / 'prw'}", f"cuhk-sysu:{data / 'sysu'}", f"coco:{data / 'coco'}"
    for size in (50, 500, 1000, 2000, 4000):
        (data / "sysu" / protocol_file(size)).unlink(missing_ok=True)
    for arguments, says in (
        (("binet-table-9", "--data", prw), "did you mean binet-table-"),
        (("binet-table-1",), "give --data"),
        (("binet-table-1", "--data", prw, "--scale", "large"), "choose one of paper, small, identity, tiny"),
        (("binet-figure-4", "--data", prw), "binet-figure-4 has galleries of several sizes"),
        (("binet-table-4", "--data", prw), "give --data cuhk-sysu:DIR, or rendered"),
        (("binet-table-5", "--data", sysu), "give --data prw:DIR, or rendered"),
        (("binet-figure-4", "--data", sysu), "TestG50.mat is missing"),
        (("binet-table-1", "--data", prw, "--scale", "small"), "--scale small is for rendered people"),
        (("binet-table-1", "--data", "mot:film"), "mot data has no scenes to train on"),
        (("binet-table-1", "--data", "somewhere"), "does not say where the data is"),
        (("binet-table-1", "--data", prw, "--home", "0.5"), "--home is for people who are rendered"),
        (("binet-table-1", "--data", prw, "--seeds", "one"), "such as 0,1,2"),
        (("binet-table-1", "--data", prw, "--set", "optimizer.speed=1"), "unknown setting optimizer.speed"),
        (("binet-table-1", "--data", f"coco:{data}"), "has no annotations.json"),
    ):
        shutil.rmtree(tmp_path / "R", ignore_errors=True)
        assert says in refused(*arguments, *out), arguments
        assert not list(tmp_path.glob("R/runs")), arguments
        assert not (tmp_path / "R" / folder.MARK).exists(), arguments  # so the same folder may be begun rightly
    assert run("binet-table-1", "--data", coco, "--out", tmp_path / "good", "--scale", "tiny").exit_code == 0
    assert not fakes.trained[3:]


def test_a_folder_of_other_settings_is_refused(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    prw, out = f"prw:{data / 'prw'}", ("--out", tmp_path / "R")
    assert run("binet-table-1", "--data", prw, *out).exit_code == 0
    kept = sorted(path.name for path in (tmp_path / "R").rglob("*"))
    for arguments, says in (
        (("--data", prw, "--scale", "tiny"), "begun with --scale paper, not tiny"),
        (("--data", f"coco:{data / 'coco'}"), "begun with --data prw:prw, not coco:coco"),
        (("--data", prw, "--set", "optimizer.accumulate=2"), "begun with --set left out"),
        (("--data", prw, "--backbone", "w.pth"), "begun with --backbone left out, not w.pth"),
    ):
        assert says in refused("binet-table-1", *arguments, *out)
    assert sorted(path.name for path in (tmp_path / "R").rglob("*")) == kept


def test_a_finished_run_of_other_settings_is_refused(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    """As after an update that changed a recipe."""
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run(*command).exit_code == 0
    file = tmp_path / "R" / "runs" / "oim-seed0" / folder.FINISHED
    ended = json.loads(file.read_text())
    ended["recipe"]["optimizer"]["rate"] = 5.0
    file.write_text(json.dumps(ended))
    assert "was trained with other settings (optimizer.rate=5.0, not 0.001): give another --out" in refused(*command)
    ended["recipe"]["optimizer"]["rate"] = 0.001
    del ended["recipe"]["loss"]["first_remembered"]  # a setting that came later counts as its default
    file.write_text(json.dumps(ended))
    assert run(*command).exit_code == 0
    file.write_text(json.dumps({"recipe": 3}))
    assert "damaged, or of another version" in refused(*command)
    file.write_text("{")
    said = refused(*command)
    assert f"damaged; delete the folder {file.parent}, and the same command trains it again" in said


DAMAGED = (
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"mAP": "high", "top1": 0.5}',
    '{"mAP": NaN, "top1": true}',
    "\x00",
    "[" * 9999,
)


@pytest.mark.parametrize("file", ["readings/binet-seed0.labeled.search.all.json", "runs/binet-seed0/finished.json"])
def test_what_is_damaged_is_made_again_as_the_line_says(file: str, data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run(*command).exit_code == 0
    whole = table(tmp_path / "R", "binet-table-1")
    for text in DAMAGED:
        path = tmp_path / "R" / file
        path.write_text(text)
        said = refused(*command)
        assert said.startswith(f"error: {path}: damaged")
        shutil.rmtree(path.parent) if f"delete the folder {path.parent}" in said else path.unlink()
        assert run(*command).exit_code == 0
        assert table(tmp_path / "R", "binet-table-1") == whole
    assert fakes.trained.count("oim-seed0") == 1
    (tmp_path / "R" / "runs" / "oim-seed0" / folder.FINISHED).write_text("{}")  # of a run that the table does not need
    assert run("binet-table-2", *command[1:], "--only-plan").exit_code == 0


def test_runs_of_a_folder_that_lost_its_mark_are_nobodys(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    """They may be of other data."""
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run(*command).exit_code == 0
    mark = tmp_path / "R" / folder.MARK
    whole = mark.read_text()
    for text in (*DAMAGED, None):
        mark.unlink() if text is None else mark.write_text(text)
        for arguments in (command, (*command, "--only-plan"), (*command, "--only-report")):
            said = refused(*arguments)
            assert "damaged" in said if text is not None else "runs is not empty" in said
            assert "put a copy of it back, or give another --out" in said
    shutil.rmtree(tmp_path / "R" / "runs")
    assert "readings is not empty" in refused(*command)
    mark.write_text(whole)
    assert run(*command).exit_code == 0
    assert len(fakes.trained) == 6


def test_runs_of_other_data_or_weights_of_the_same_name_are_refused(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    """A folder may move, and what an earlier version began counts as of the same."""
    for number, place in enumerate(("one", "other")):
        (tmp_path / place / "coco").mkdir(parents=True)
        save_coco(make_benchmark(tmp_path / place / "pictures"), tmp_path / place / "coco")
        (tmp_path / place / "w.pth").write_text(str(number))
    document = json.loads((tmp_path / "other" / "coco" / "annotations.json").read_text())
    document["annotations"][0]["bbox"][2] -= 1
    (tmp_path / "other" / "coco" / "annotations.json").write_text(json.dumps(document))

    def command(place: str, *more: str) -> tuple[object, ...]:
        return ("binet-table-1", "--data", f"coco:{tmp_path / place / 'coco'}", "--out", tmp_path / "R", *more)

    weights = ("--backbone", str(tmp_path / "w.pth"))
    shutil.copy(tmp_path / "one" / "w.pth", tmp_path / "w.pth")
    assert run(*command("one", *weights)).exit_code == 0
    mark = tmp_path / "R" / folder.MARK
    for _ in range(2):
        for more in ((), ("--only-plan",), ("--only-report",)):
            said = refused(*command("other", *weights, *more))
            assert "was begun with other scenes or other people in them than --data has now" in said
        (tmp_path / "moved").mkdir()
        shutil.copytree(tmp_path / "one", tmp_path / "moved", dirs_exist_ok=True)
        assert run(*command("moved", *weights)).exit_code == 0
        assert run(*command("moved", "--backbone", str(tmp_path / "moved" / "w.pth"))).exit_code == 0
        shutil.rmtree(tmp_path / "moved")
        shutil.copy(tmp_path / "other" / "w.pth", tmp_path / "w.pth")
        assert "was begun with other weights than --backbone holds now" in refused(*command("one", *weights))
        shutil.copy(tmp_path / "one" / "w.pth", tmp_path / "w.pth")
        begun = json.loads(mark.read_text())
        mark.write_text(json.dumps({key: value for key, value in begun.items() if key not in folder.CONTENTS}))
        assert run(*command("one", *weights)).exit_code == 0
        assert json.loads(mark.read_text()) == begun
    assert len(fakes.trained) == 4


def test_damaged_weights_are_trained_again(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    fakes.damaged = "binet0-seed0"
    assert "binet0-seed0: damaged; a run whose folder is deleted is trained again" in refused(*command)
    shutil.rmtree(tmp_path / "R" / "runs" / "binet0-seed0")
    fakes.damaged = None
    assert run(*command).exit_code == 0
    assert sorted(fakes.trained) == ["binet-seed0", "binet0-seed0", "binet0-seed0", "oim-seed0"]


def test_plans_and_reports_write_nothing_else(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    for given in (("--data", f"prw:{data / 'prw'}"), ("--data", "rendered", "--scale", "small")):
        for name in ("binet-table-2", "binet-table-8"):
            command = (name, *given, "--out", tmp_path / "R")
            assert run(*command, "--only-plan").exit_code == 0
            assert "R has no runs yet: leave --only-report out" in refused(*command, "--only-report")
            assert not (tmp_path / "R").exists()
    told = run("binet-table-2", "--data", "rendered", "--scale", "small", "--out", tmp_path, "--only-plan").stderr
    assert "21 of 21 runs to train (23,940 steps, about 7.3 hours on two CPU cores)" in told


def test_a_table_of_seconds_is_not_reported_before_it_is_timed(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("--data", f"coco:{data / 'coco'}", "--scale", "tiny", "--out", tmp_path / "R")
    assert run("binet-table-1", *command).exit_code == 0
    timed = ("binet-table-8", *command, "--only-report")
    assert "lacks the evaluation binet-table-8: leave --only-report out" in refused(*timed)
    file = tmp_path / "R" / "readings" / "binet-table-8.json"
    for text in DAMAGED:
        file.write_text(text)
        assert f"{file}: damaged; delete it" in refused(*timed)
    file.write_text(json.dumps({"OIM": [0.2], "OIM*": [0.1], "BINet": [0.1, 0.1]}))
    assert run(*timed).exit_code == 0


def test_a_folder_is_not_begun_with_a_backbone_that_cannot_be_used(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert "damaged.pth: cannot be read" in refused(*command, "--backbone", "damaged.pth")
    assert "no CUDA" in refused(*command, "--device", "cuda") or not fakes.trained
    assert run(*command).exit_code == 0


def test_seeds_may_be_given_twice(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run(*command, "--seeds", "1,0", "--seeds", "0").exit_code == 0
    assert table(tmp_path / "R", "binet-table-1")["seeds"] == [1, 0]
    for seeds in ("-1", "0,-1", ",", "0,,1", "0;1", "4294967296"):
        assert "such as 0,1,2" in refused(*command, "--seeds", seeds)


def test_a_missing_seed_is_named(data: Path, fakes: Fakes, tmp_path: Path) -> None:
    command = ("binet-table-1", "--data", f"prw:{data / 'prw'}", "--out", tmp_path / "R")
    assert run(*command, "--seeds", "0,1").exit_code == 0
    said = refused(*command, "--seeds", "0,1,2", "--only-report")
    assert "no finished run oim-seed2 of oim_prw" in said
    assert said.endswith("or give --seeds 0,1")
    said = refused("binet-table-2", *command[1:], "--seeds", "0,1", "--only-report")  # other rows, whole in no seed
    assert "no finished run binet1-seed0 of binet1_prw" in said
    assert said.endswith("leave --only-report out to train it")
    assert run(*command, "--seeds", "1", "--only-report").exit_code == 0
    assert table(tmp_path / "R", "binet-table-1")["seeds"] == [1]


def test_the_list_names_every_table() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 19
