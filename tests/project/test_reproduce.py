"""`reproduce` as a user runs it: rendered people, two steps a run, a kill in the middle, tables of seconds."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from personsearch.settings import change_settings
from personsearch.training.recipes import get_recipe


def start(*arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "personsearch", "reproduce", *map(str, arguments)]
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(*arguments: object) -> str:
    run = start(*arguments, "--scale", "tiny")
    out, told = run.communicate()
    assert run.returncode == 0, told[-2000:]
    return out


def table(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.slow
def test_a_killed_table_goes_on_to_the_same_table(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    run = start("binet-table-1", "--data", "rendered", "--scale", "tiny", "--out", killed)
    deadline = time.monotonic() + 600
    while not list(killed.glob("runs/binet0-seed0/*")) and time.monotonic() < deadline:
        assert run.poll() is None, run.stderr and run.stderr.read()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    ended = (killed / "runs" / "oim-seed0" / "finished.json").stat().st_mtime_ns
    assert not (killed / "binet-table-1.json").exists()
    files = finish("binet-table-1", "--data", "rendered", "--out", killed)
    assert files.split() == [str(killed / f"binet-table-1.{suffix}") for suffix in ("json", "md")]
    assert (killed / "runs" / "oim-seed0" / "finished.json").stat().st_mtime_ns == ended
    finish("binet-table-1", "--data", f"coco:{killed / 'data'}", "--out", whole)
    one, other = table(killed, "binet-table-1"), table(whole, "binet-table-1")
    assert one["rows"] == other["rows"]
    assert one["claims"] == other["claims"]


@pytest.mark.slow
def test_tables_of_igpn_and_of_seconds_run(tmp_path: Path) -> None:
    finish("igpn-table-3", "--data", "rendered", "--out", tmp_path)
    made = table(tmp_path, "igpn-table-3")["rows"][-1]["figures"]["CUHK-SYSU, 100"]["mAP"]
    assert (made["paper"], len(made["ours"])) == (90.3, 1)
    for name, rows in (("binet-table-8", 3), ("igpn-table-5", 3)):
        finish(name, "--data", "rendered", "--out", tmp_path)
        assert sum(len(row["ours"]) == 3 for row in table(tmp_path, name)["rows"]) == rows


# ------------------------------------------------------------------------------------------- the page of open points

PAGE = Path(__file__).parents[2] / "docs" / "open-points.md"
RECIPES_OF = {"BINet": "binet_cuhk_sysu", "IGPN": "igpn_cuhk_sysu", "Re-id networks and evaluation": "pcb_cuhk_sysu"}


def test_each_open_point_is_a_setting_that_changes_something() -> None:
    sections = dict(
        re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
    assert sections.keys() == RECIPES_OF.keys()
    count = 0
    for name, text in sections.items():
        recipe = get_recipe(RECIPES_OF[name])
        for change in re.findall(r"`([a-z_.]+=[^`]+)`", text):
            assert change_settings(recipe, [change]) != recipe, f"{change} is what the recipe has anyway"
            count += 1
    assert count > 30
