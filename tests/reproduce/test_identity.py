"""The identity scale: which claims it can tell, and a table of it from training to the page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from typer.testing import CliRunner, Result

from personsearch.cli.app import app
from personsearch.data.layouts.coco import save_coco
from personsearch.errors import DataError, SettingError
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.models.readers import read_with
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import save_weights
from personsearch.progress import quiet
from personsearch.reproduce.annotated import JUDGED, AnnotatedJudge, figure_name
from personsearch.reproduce.benchmarks import Ground
from personsearch.reproduce.catalogue import TABLES, get_table
from personsearch.reproduce.plan import Planner, runs_of
from personsearch.reproduce.scales import get_scale
from personsearch.reproduce.tables import Table
from personsearch.reproduce.without_detection import told_without_detection
from personsearch.runtime import exact_arithmetic
from personsearch.training.recipes import IdentityRecipe

GROUND = Ground("coco:R", "coco", 280, 1100, 120)
CHANGES = ("optimizer.steps=2", "views.views=2", "views.scenes=2", "network.test_size.short=64")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    benchmark = make_benchmark(folder / "pictures")
    for scene in (*benchmark.train, *benchmark.test):
        Image.effect_noise((scene.width, scene.height), 80).convert("RGB").save(scene.picture.path)  # type: ignore[attr-defined]
    (folder / "coco").mkdir()
    save_coco(benchmark, folder / "coco")
    return folder / "coco"


@pytest.fixture(scope="module")
def warm(_network: SearchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warm")
    save_weights(folder, _network, {})
    return folder


def run(*arguments: object) -> Result:
    changes = [word for change in CHANGES for word in ("--set", change)]
    given = [*map(str, arguments), "--scale", "identity", "--seeds", "0,1", *changes]
    with exact_arithmetic():
        return CliRunner().invoke(app, ["reproduce", *given])


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


# --------------------------------------------------------------------------------------------- what can be told


def test_tables_of_identities_are_told_at_annotated_boxes() -> None:
    told = {
        name: told_without_detection(table)
        for name, table in TABLES.items()
        if name.startswith("binet") and name != "binet-table-8"
    }
    for table in told.values():
        assert {row.boxes for row in table.rows if row.weights} == {"labeled"}
        names = {row.name for row in table.rows}
        assert all(term.row in names for claim in table.claims for term in claim.terms)
        runs_of(table, Planner(get_scale("identity"), GROUND), (0,))  # each row has a recipe
    assert [row.name for row in told["binet-table-1"].rows] == [
        "Baseline, labeled", "+ Instance-aware, labeled", "+ Interaction (BINet), labeled",
    ]  # fmt: skip
    assert len(told["binet-table-1"].claims) == 2
    assert any(
        "Not told at this scale, which detects nobody: + Instance-aware above Baseline;" in note
        for note in told["binet-table-1"].notes
    )
    second = get_table("binet-table-2")
    assert isinstance(second, Table)
    assert told["binet-table-2"].claims == second.claims
    assert told["binet-table-2"].notes == ("People are read at annotated boxes, where the paper's are detected.",)
    assert told["binet-figure-2"] == get_table("binet-figure-2")
    assert [row.paper for row in told["binet-table-2"].rows] == [row.paper for row in second.rows]
    assert any(
        "Not told at this scale, which detects nobody: BINet above QEEPS" in note
        for note in told["binet-table-4"].notes
    )


def test_tables_of_detection_and_seconds_are_refused() -> None:
    for name in TABLES:
        if name.startswith("igpn") or name == "binet-table-8":
            with pytest.raises(SettingError, match="which --scale identity leaves out: give --scale small"):
                told_without_detection(get_table(name))


def test_runs_of_this_scale_are_those_of_its_recipes() -> None:
    planner = Planner(get_scale("identity"), GROUND, ("loss.oim.momentum=0.6",))
    made = {run.name: run.made for run in runs_of(told_without_detection(get_table("binet-table-3")), planner, (0,))}
    assert list(made) == ["binet-t0.3-seed0", "binet-t0.5-seed0", "binet-seed0", "binet-t3-seed0"]
    temperatures = [one.loss.temperature for one in made.values() if isinstance(one, IdentityRecipe)]
    assert temperatures == pytest.approx([0.6, 1.0, 2.0, 6.0])
    assert all(one.loss.oim.momentum == 0.6 for one in made.values() if isinstance(one, IdentityRecipe))
    baseline = planner.runs(told_without_detection(get_table("binet-table-1")).rows[0].weights, 3)  # type: ignore[arg-type]
    assert [(run.name, run.recipe, run.start) for run in baseline] == [("oim-seed3", "oim_identity", None)]
    assert baseline[0].made.method == "oim_on_maps"


# ------------------------------------------------------------------------------------------------------- judging


def judge_of(data: Path, network: SearchNetwork, folder: Path) -> tuple[AnnotatedJudge, Ground]:
    ground = Ground(f"coco:{data}", "coco", 4, 5, 5)
    return AnnotatedJudge(folder, ground, network, quiet), ground


def test_figures_are_those_of_the_evaluator(data: Path, small_network: SearchNetwork, tmp_path: Path) -> None:
    with exact_arithmetic():
        judge, ground = judge_of(data, small_network, tmp_path)
        assert not judge.is_kept()
        judge.keep_all()
        for seed in (0, 1):  # what learns does not make the maps, which are kept
            torch.nn.init.normal_(small_network.head.embedding.weight, generator=torch.Generator().manual_seed(seed))
            judge, _ = judge_of(data, small_network, tmp_path)
            assert judge.is_kept()
            figures = judge.figures(small_network)
            for branch in ("search", "instance"):
                for size in ground.galleries():
                    alone = evaluate_model(read_with(small_network, branch), ground.load(size), boxes="labeled").result
                    expected = {"mAP": alone.mAP, "top1": alone.top1}
                    assert figures[figure_name(branch, size)] == pytest.approx(expected)


def test_maps_of_other_weights_and_odd_queries_are_refused(
    data: Path, small_network: SearchNetwork, tmp_path: Path
) -> None:
    judge, ground = judge_of(data, small_network, tmp_path)
    judge.keep_all()
    odd = replace(ground.load().queries[0], box=(0.0, 0.0, 5.0, 5.0))
    with pytest.raises(DataError, match="is at no annotated box"):
        judge._rows([odd])
    torch.nn.init.normal_(small_network.stem.conv1.weight)
    with pytest.raises(DataError, match=r"test-scene\.npy: maps of other weights .* delete"):
        judge_of(data, small_network, tmp_path)[0].is_kept()


# ------------------------------------------------------------------------------------------------ the whole way


@pytest.fixture(scope="module")
def finished(data: Path, warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A figure of this scale; tests only read it."""
    out = tmp_path_factory.mktemp("out") / "R"
    result = run("binet-figure-2", "--data", f"coco:{data}", "--backbone", warm, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def copied(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "R")


def document(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "binet-figure-2.json").read_text())
    return found


def test_a_table_tells_what_was_judged_and_how_it_was_on_the_way(finished: Path) -> None:
    made = document(finished)
    (row,) = made["rows"]
    for number, seed in enumerate((0, 1)):
        (line,) = [json.loads(text) for text in (finished / f"runs/oim-seed{seed}" / JUDGED).read_text().splitlines()]
        assert line["step"] == 2
        for name, branch in (("CUHK-SYSU-S", "search"), ("CUHK-SYSU-R", "instance")):
            ours = row["figures"][name]["mAP"]["ours"]
            assert ours[number] == pytest.approx(100 * line[f"{branch}.g2"]["mAP"])
    (part,) = made["over_the_runs"]
    assert part["step"] == 2
    assert part["rows"][0]["mAP"]["CUHK-SYSU-S"] == row["figures"]["CUHK-SYSU-S"]["mAP"]["ours"]
    assert part["claims"] == made["claims"]["mAP"]
    page = (finished / "binet-figure-2.md").read_text()
    assert "nobody is detected" in page
    assert "| Baseline | 2 |" in page
    assert (finished / "binet-figure-2.svg").exists()


def test_tables_share_runs_and_maps(data: Path, warm: Path, finished: Path, tmp_path: Path) -> None:
    out, given = copied(finished, tmp_path), ("--data", f"coco:{data}", "--backbone", warm)
    result = run("binet-table-1", *given, "--out", out, "--only-plan")
    assert "4 of 6 runs to train" in result.stderr, result.stderr
    shutil.rmtree(out / "maps")  # nothing is left to train
    (out / "binet-figure-2.json").unlink()
    assert run("binet-figure-2", *given, "--out", out).exit_code == 0
    assert document(out) == document(finished)
    assert not (out / "maps").exists()


def test_what_is_wrong_is_one_line(data: Path, warm: Path, finished: Path, tmp_path: Path) -> None:
    out = copied(finished, tmp_path)
    given = ("--data", f"coco:{data}", "--backbone", warm, "--out", out)
    assert "give --scale small" in refused("igpn-table-2", *given)
    assert "is for rendered people" in refused("binet-table-1", "--data", "prw:x", "--out", tmp_path / "other")
    assert "begun with --set" in refused("binet-figure-2", *given, "--set", "views.views=4")
    random = ("--data", f"coco:{data}", "--backbone", "random", "--out", tmp_path / "other")
    assert "give ImageNet weights or a run, not random" in refused("binet-figure-2", *random)
    assert not (tmp_path / "other").exists()
    (out / "readings" / "oim-seed1.labeled.search.g2.json").unlink()
    (out / "runs" / "oim-seed1" / JUDGED).unlink()
    assert "has no figures of step 2: delete the folder" in refused("binet-figure-2", *given)
    for figures in ({}, {"mAP": "high", "top1": 0.5}, [0.5]):
        line = {"step": 2, "search.g2": figures}
        (out / "runs" / "oim-seed1" / JUDGED).write_text(json.dumps(line) + "\n")
        assert "its figures of step 2 are damaged; delete the folder" in refused("binet-figure-2", *given)
    shutil.rmtree(out / "runs" / "oim-seed1")  # as the line says
    (out / "maps" / "test-scene.json").write_text("{")
    assert "test-scene.json: damaged; delete" in refused("binet-figure-2", *given)


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["maps/*.part", "runs/oim-seed0/checkpoint.safetensors"])
def test_a_killed_table_goes_on_to_the_same_table(data: Path, warm: Path, tmp_path: Path, sign: str) -> None:
    """Killed while maps are written, and in the middle of a run."""

    def start(out: Path) -> subprocess.Popen[str]:
        changes = [word for change in (*CHANGES[1:], "optimizer.steps=130") for word in ("--set", change)]
        given = ["binet-figure-2", "--data", f"coco:{data}", "--backbone", warm, "--out", out, "--seeds", "0", *changes]
        command = [sys.executable, "-m", "personsearch", "reproduce", "--scale", "identity", *map(str, given)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    run = start(tmp_path / "killed")
    deadline = time.monotonic() + 300
    while not list((tmp_path / "killed").glob(sign)) and time.monotonic() < deadline:
        assert run.poll() is None, run.stderr and run.stderr.read()
        time.sleep(0.001)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    for out in (tmp_path / "killed", tmp_path / "whole"):
        run = start(out)
        _, told = run.communicate()
        assert run.returncode == 0, told[-2000:]
    assert document(tmp_path / "killed") == document(tmp_path / "whole")
    assert not list((tmp_path / "killed" / "maps").glob(".*")) or "maps" in sign
