"""`data check` and `synthesize --layout` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from layout_fixtures import make_benchmark
from typer.testing import CliRunner, Result

from personsearch import synthesis
from personsearch.cli.app import app
from personsearch.data.layouts.coco import save_coco
from personsearch.data.sources import load_benchmark


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _no_renderer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rendering is tested elsewhere: here the scenes are plain pictures."""

    def render(out: Path, **_settings: Any) -> None:
        if not (out / "annotations.json").exists():
            out.mkdir(parents=True)
            save_coco(make_benchmark(tmp_path / "pictures"), out)

    monkeypatch.setattr(synthesis, "synthesize", render)


@pytest.mark.parametrize("layout", ["coco", "cuhk-sysu", "prw"])
def test_what_is_synthesized_loads_in_its_layout(layout: str, tmp_path: Path) -> None:
    out = tmp_path / "made"
    result = run("synthesize", out, "--identities", 3, "--scenes", 9, "--layout", layout)
    assert result.exit_code == 0, result.output
    assert f"--data {layout}:{out}" in result.stdout
    assert len(load_benchmark(f"{layout}:{out}").test) == 5


def test_an_unknown_layout_is_refused_before_rendering(tmp_path: Path) -> None:
    result = run("synthesize", tmp_path / "made", "--identities", 3, "--scenes", 9, "--layout", "voc")
    assert (result.exit_code, result.stderr) == (2, "error: --layout voc: choose one of coco, cuhk-sysu, prw\n")
    assert not (tmp_path / "made").exists()


def test_a_second_conversion_overwrites_nothing(tmp_path: Path) -> None:
    arguments = ("synthesize", tmp_path / "made", "--identities", 3, "--scenes", 9, "--layout", "prw")
    assert run(*arguments).exit_code == 0
    result = run(*arguments)
    assert result.exit_code == 1
    assert "exists already" in result.stderr


def test_check_prints_counts_beside_the_published_ones(tmp_path: Path) -> None:
    run("synthesize", tmp_path / "made", "--identities", 3, "--scenes", 9, "--layout", "prw")
    result = run("data", "check", f"prw:{tmp_path / 'made'}")
    assert result.exit_code == 0, result.output
    assert "test scenes                5   published: 6,112" in result.stdout
    assert "remark: 1 training scenes hold only people without identity" in result.stdout


def test_check_names_every_problem_and_fails(tmp_path: Path) -> None:
    out = tmp_path / "made"
    run("synthesize", out, "--identities", 3, "--scenes", 9)
    for name in ("a.png", "f.png"):
        (out / "images" / name).unlink()
    result = run("data", "check", f"coco:{out}", "--json")
    assert result.exit_code == 1
    assert [Path(line.split()[0]).name for line in json.loads(result.stdout)["problems"]] == ["a.png", "f.png"]
    assert result.stderr.startswith(f"error: coco:{out} has 2 problems")
