"""What goes wrong around the program: options, devices, disks, terminals, memory, Ctrl-C. One line, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from search_fakes import FakeModel, save_pictures
from typer.testing import CliRunner, Result

from personsearch import experiment, files, synthesis
from personsearch.cli import app as cli
from personsearch.cli import find, search
from personsearch.cli import models as cli_models
from personsearch.cli.app import app
from personsearch.cli.console import line_of, print_hits, printable, shortened
from personsearch.data import sources
from personsearch.errors import SettingError
from personsearch.evaluation import evaluate as judge
from personsearch.evaluation import report
from personsearch.files import ADVICE
from personsearch.search import searchers
from personsearch.search.hits import GalleryHit
from personsearch.search.searchers import SceneSearcher
from personsearch.settings import change_settings, flat, has_setting, settings_to_dict
from personsearch.training import loop
from personsearch.training.recipes import RECIPES, get_recipe

BOX_OF_3 = ["--box", "10", "26", "30", "86"]


@pytest.fixture(autouse=True)
def fake_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(
        weights: str, _device: str | None = None, least: float = 0.5, read: str | None = None, **_: object
    ) -> SceneSearcher:
        return SceneSearcher(FakeModel(), "fake-1", weights, least, 12, read or "readings")

    monkeypatch.setattr(searchers, "load_searcher", load)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_pictures(tmp_path / "photos", 4)
    return tmp_path / "photos"


@pytest.fixture
def gallery(tmp_path: Path, photos: Path) -> Path:
    assert run("index", photos, "--gallery", tmp_path / "g").exit_code == 0
    return tmp_path / "g"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def one_line(result: Result, code: int) -> str:
    assert result.exit_code == code, (result.output, result.exception)
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


# -------------------------------------------------------------------- what options may be

SEARCH, INDEX = ["search", "g", "--image", "a.jpg", *BOX_OF_3], ["index", "photos", "--gallery", "g"]
DETECT, EVALUATE = ["detect", "a.jpg"], ["evaluate", "m", "--data", "coco:x"]
TRAIN, RENDER = ["train", "binet_prw", "--data", "coco:x", "--out", "r"], ["synthesize", "r"]


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        (SEARCH, "--min-score", "80 -1 nan inf"),
        (SEARCH, "--min-gap", "-1 nan inf"),
        (SEARCH, "--at", "-1 nan inf"),
        (SEARCH, "--top", "0 -5 99999999999999999999"),
        (SEARCH, "--keep", "0"),
        (SEARCH, "--candidates", "0"),
        (SEARCH, "--codes-gb", "-1 nan inf 1e300"),
        (INDEX, "--min-score", "80 -0.1 nan"),
        (INDEX, "--every", "0 -1 nan inf"),
        (DETECT, "--min-score", "1.01 nan"),
        (DETECT, "--at", "nan"),
        (EVALUATE, "--min-score", "80 nan"),
        (EVALUATE, "--keep", "0"),
        (EVALUATE, "--gallery-size", "0"),
        (EVALUATE, "--proposals", "0"),
        (TRAIN, "--checkpoint-every", "0 -3"),
        ([*RENDER, "--scenes", "4"], "--identities", "1 10000000"),
        ([*RENDER, "--identities", "4"], "--scenes", "0"),
        ([*RENDER, "--identities", "4", "--scenes", "4"], "--home", "2 nan"),
        ([*RENDER, "--identities", "4", "--scenes", "4"], "--workers", "0"),
        ([*RENDER, "--identities", "4", "--scenes", "4"], "--seed", "-1"),
        *[(command, "--device", "foo mps cuda:999") for command in (SEARCH, INDEX, DETECT, EVALUATE, TRAIN)],
    ],
)
def test_an_impossible_option_is_one_line_before_any_work(command: list[str], option: str, values: str) -> None:
    """None of the files exists, so that any work would complain of something else."""
    for value in values.split():
        line = one_line(run(*command, option, value), 2)
        assert option.strip("-") in line or value in line
        assert "give" in line


def test_sizes_and_company_are_checked_number_by_number() -> None:
    assert "--size 5" in one_line(run(*EVALUATE, "--size", 5, 900), 2)
    assert "--cbgm 0" in one_line(run(*EVALUATE, "--cbgm", 10, 0), 2)


@pytest.mark.parametrize(
    "change",
    [
        *("optimizer.steps=-5", "optimizer.steps=0", "optimizer.rate=0", "optimizer.rate=NaN", "optimizer.rate=-1"),
        *("optimizer.rate=Infinity", "optimizer.momentum=1.5", "optimizer.clip=0", "optimizer.warmup=-1"),
        *("optimizer.accumulate=0", "optimizer.frozen_stages=-1", "optimizer.drops=[-1]", "batches.scenes=0"),
        *("batches.short_sides=[]", "batches.short_sides=[0]", "batches.long_side=-1", "network.rois=0"),
        *("network.roi_size=[0, 6]", "network.anchors.sizes=[0]", "network.anchors.ratios=[]", "seed=-1"),
        *("network.test_size.short=0", "network.nms_iou=2", "loss.temperature=0", "loss.oim.queue=-1"),
        *("patches.sights=1", "loss.feature_weight=NaN", "network.train_proposals.after_nms=0"),
    ],
)
def test_an_impossible_setting_is_refused(change: str) -> None:
    with pytest.raises(SettingError, match=r"give|is not a number") as caught:
        change_settings(get_recipe("binet_prw"), [change])
    assert change.partition("=")[0] in str(caught.value)


def _grouped(setting: str, text: str) -> str:
    """The same change, of the whole group that the setting is in."""
    first, *rest = setting.split(".")
    for name in reversed(rest):
        text = f'{{"{name}": {text}}}'
    return f"{first}={text}"


@pytest.mark.parametrize("name", ["binet_prw", "igpn_prw", "pcb_prw", "igpn_rendered", "binet_identity"])
def test_a_refused_setting_is_called_by_its_whole_name_and_told_its_limit(name: str) -> None:
    """Alone as in a group; of a number that is too large the line says how large it may be."""
    recipe = get_recipe(name)
    for setting, value in flat(settings_to_dict(recipe)).items():
        texts = ["Infinity", "1e39", "1" + 40 * "0"] if type(value) in (int, float) else []
        for text in (*texts, '{"x": 1}', "[[]]"):
            said = []
            for change in (f"{setting}={text}", _grouped(setting, text)):
                with pytest.raises(SettingError) as caught:
                    change_settings(recipe, [change])
                said.append(str(caught.value))
            assert said[0] == said[1]
            assert said[0].startswith(f"{setting}") or f"setting {setting}" in said[0]
            if "impossible: give" in said[0]:
                highest = re.search(r"([\d.e+]+)(?: or less)?$", said[0])
                assert highest, said[0]
                longest = [f"{setting.rpartition('.')[0]}.long{end}=20000" for end in ("", "_side")]
                known = [change for change in longest if has_setting(recipe, change.partition("=")[0])]
                change_settings(recipe, [f"{setting}={highest[1]}", *known])


@pytest.mark.parametrize(
    ("name", "changes", "group"),
    [
        ("binet_prw", ['network.test_size={"short": 96, "long": 10}'], "network.test_size"),
        ("igpn_rendered", ["network.trunk.test_size.short=1200"], "network.trunk.test_size"),
        ("binet_prw", ["batches.long_side=899"], "batches"),
        ("binet_rendered", ["batches.short_sides=[96, 2000]", "batches.long_side=1000"], "batches"),
        ("igpn_prw", ["pairs.long_side=96"], "pairs"),
    ],
)
def test_sides_that_do_not_go_together_are_refused(name: str, changes: list[str], group: str) -> None:
    """In whatever order they are given."""
    for given in (changes, changes[::-1]):
        with pytest.raises(SettingError, match=rf"^{group}: a short side of \d+ is above the longest long one, \d+"):
            change_settings(get_recipe(name), given)
    change_settings(get_recipe("binet_prw"), ["network.test_size.short=2000", "network.test_size.long=3000"])


def test_no_number_of_any_recipe_may_be_infinite_or_negative() -> None:
    """A new setting is in this, too."""

    def numbers(facts: dict[str, Any], prefix: str = "") -> list[str]:
        inner = [name for k, v in facts.items() if isinstance(v, dict) for name in numbers(v, f"{prefix}{k}.")]
        return inner + [prefix + k for k, v in facts.items() if type(v) in (int, float)]

    for name in ("binet_prw", "igpn_prw", "pcb_prw"):
        for setting in numbers(settings_to_dict(RECIPES[name]())):
            for value in ("-1", "NaN", "Infinity", "-Infinity", "1e300"):
                with pytest.raises(SettingError):
                    change_settings(get_recipe(name), [f"{setting}={value}"])


# -------------------------------------------------------------------- print first, write afterwards


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "disk")


def test_figures_are_printed_though_they_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = SimpleNamespace(as_dict=lambda: {"mAP": 0.5})
    monkeypatch.setattr(sources, "load_benchmark", lambda *_, **__: SimpleNamespace(notes=()))
    monkeypatch.setattr(judge, "evaluate_weights", lambda *_, **__: (figures, object()))
    monkeypatch.setattr(judge, "is_proposer", lambda _: False)
    monkeypatch.setattr(report, "per_query", lambda *_: [])
    monkeypatch.setattr(cli_models, "write_whole", full)
    result = run(*EVALUATE, "--save", tmp_path / "figures.json", "--json")
    assert "make room" in one_line(result, 1)
    assert json.loads(result.stdout) == {"mAP": 0.5}
    monkeypatch.setattr(report, "draw_worst", full)
    assert "0.5000" in run(*EVALUATE, "--worst", tmp_path / "worst").stdout


def test_a_folder_of_drawings_is_kept_unless_it_may_be_drawn_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "load_benchmark", lambda *_, **__: SimpleNamespace(notes=()))
    monkeypatch.setattr(judge, "evaluate_weights", lambda *_, **__: (SimpleNamespace(as_dict=dict), object()))
    monkeypatch.setattr(judge, "is_proposer", lambda _: False)
    monkeypatch.setattr(report, "draw_worst", lambda *_: None)
    worst = tmp_path / "worst"
    worst.mkdir()
    assert run(*EVALUATE, "--worst", worst).exit_code == 0  # an empty one holds nothing to keep
    (worst / "worst01.jpg").write_text("before")
    line = one_line(run(*EVALUATE, "--worst", worst), 2)
    assert line.endswith("is there already; give another folder, or draw into it with --force")
    assert run(*EVALUATE, "--worst", worst, "--force").exit_code == 0


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_a_run_is_evaluated_by_suits_its_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who learns to find nobody is evaluated at annotated boxes, unless the weights that are trained further could."""
    monkeypatch.setattr(experiment, "train", lambda *_, **__: tmp_path)
    command = ["train", name, "--data", "coco:x", "--out", tmp_path / "run"]
    finds_nobody = name.startswith(("reid", "pcb", "patches")) or name.endswith("_identity")
    assert ("--boxes labeled" in run(*command).stdout) == finds_nobody
    assert "--boxes labeled" not in run(*command, "--start", "binet-rendered").stdout


def test_two_outputs_of_one_place_are_refused_before_the_work(tmp_path: Path) -> None:
    """The names may be spelled differently."""
    (tmp_path / "x").mkdir()
    name, same = tmp_path / "results", tmp_path / "x" / ".." / "results"
    for worst in (name, same, name / "worst"):
        line = one_line(run(*EVALUATE, "--save", name, "--worst", worst), 2)
        assert line == f"error: {name}: --save and --worst need places of their own; give another"
    command = ["train", "igpn_rendered", "--data", "coco:missing", "--out", same, "--codes", name]
    assert "--codes and --out need places of their own" in one_line(run(*command), 2)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_a_command_reads_is_never_written_over(tmp_path: Path, photos: Path, gallery: Path) -> None:
    """Nor with --force, nor under another name of the same file."""
    picture, linked, sheet = photos / "p003.png", tmp_path / "linked.png", tmp_path / "out" / "sheet.jpg"
    linked.hardlink_to(picture)
    sheet.parent.mkdir()
    Image.open(picture).save(sheet)
    before = {file: file.read_bytes() for folder in (photos, gallery, tmp_path) for file in _files(folder)}
    for out in (picture, linked):
        line = one_line(run("detect", picture, "--out", out, "--force"), 2)
        assert line == f"error: {out}: would change what this command reads; give another place"
    asked = ("search", gallery, *BOX_OF_3)
    for command in (
        (*asked, "--image", picture, "--out", gallery),
        (*asked, "--image", picture, "--out", gallery / "new"),
        (*asked, "--image", sheet, "--out", sheet.parent),
        (*asked, "--image", picture, "--also", f"{sheet}:10,26,30,86", "--out", sheet.parent),
    ):
        assert "would change what this command reads" in one_line(run(*command, "--force"), 2), command
    assert {file: file.read_bytes() for file in before} == before


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()]


@pytest.mark.parametrize("text", ["annotations", "{}", '{"images": []}', "[1]", "\x00", "[" * 9999])
def test_figures_replace_nothing_but_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sources, "load_benchmark", lambda *_, **__: SimpleNamespace(notes=()))
    monkeypatch.setattr(judge, "evaluate_weights", lambda *_, **__: (SimpleNamespace(as_dict=dict), object()))
    monkeypatch.setattr(report, "per_query", lambda *_: [])
    file = tmp_path / "file.json"
    file.write_text(text)
    line = one_line(run(*EVALUATE, "--save", file, "--force"), 2)
    assert line == f"error: {file}: holds something else than figures: give another name"
    assert file.read_text() == text
    for old in ("", '{"figures": {"mAP": 0.5}, "queries": []}'):
        file.write_text(old)
        assert run(*EVALUATE, "--save", file, "--force").exit_code == 0
        assert json.loads(file.read_text()) == {"figures": {}, "queries": []}


def test_a_copy_that_finds_no_room_blames_what_is_written() -> None:
    for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        assert line_of(OSError(number, "full", "read", None, "written")).startswith("written: full; ")
    assert line_of(OSError(errno.EACCES, "no", "read", None, "written")).startswith("read: no; ")


@pytest.mark.parametrize("recipe", ["binet_prw", "igpn_prw", "pcb_prw"])
def test_codes_of_a_run_that_keeps_none_are_to_be_left_out(recipe: str, tmp_path: Path) -> None:
    command = ["train", recipe, "--data", "coco:missing", "--out", tmp_path / "run", "--codes", tmp_path / "codes"]
    assert one_line(run(*command), 2).endswith("keeps nothing of what frozen layers say: leave --codes out")


@pytest.mark.parametrize("option", ["--gallery-size", "--subset", "--cross-camera"])
def test_an_option_of_other_data_is_to_be_left_out(option: str, tmp_path: Path) -> None:
    values = {"--gallery-size": ["50"], "--subset": ["occlusion"], "--cross-camera": []}
    command = ["evaluate", "binet-rendered", "--data", f"mot:{tmp_path}", option, *values[option]]
    assert one_line(run(*command), 2).endswith("data: leave it out")


def test_hits_and_people_are_printed_though_they_cannot_be_drawn(
    tmp_path: Path, photos: Path, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (find, search):
        monkeypatch.setattr(command, "save_picture", full)
    query = photos / "p003.png"
    result = run("search", gallery, "--image", query, *BOX_OF_3, "--out", tmp_path / "answer", "--json")
    assert "No space left" in one_line(result, 1)
    assert len(json.loads(result.stdout)["hits"]) == 3
    result = run("detect", query, "--out", tmp_path / "people.jpg")
    assert "No space left" in one_line(result, 1)
    assert "--box 10 26 30 86" in result.stdout


@pytest.mark.parametrize("target", ["file/under", "folder", "n" * 300 + ".jpg", "locked/people.jpg", "people", "p.xyz"])
def test_where_nothing_can_be_written_is_told_before_the_work(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "locked").mkdir()
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    name = tmp_path / target
    one_line(run("detect", tmp_path / "missing.png", "--out", name, "--force"), 2)
    if target not in ("people", "p.xyz"):
        one_line(run(*EVALUATE, "--save", name, "--force"), 2)
    if target not in ("folder", "people", "p.xyz"):
        one_line(run("search", "missing", "--image", "a.png", *BOX_OF_3, "--out", name), 2)
        one_line(run(*EVALUATE, "--worst", name), 2)
        one_line(run("train", "binet_prw", "--data", "coco:missing", "--out", name), 2)
        one_line(run("demo", "--out", name), 2)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder", "locked"]


def _write_half(path: Path, error: BaseException) -> None:
    with files.written_whole(path) as part:
        part.write_text("half")
        raise error


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / ("name" * 60 + ".txt")
    files.write_whole(path, "first")
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            _write_half(path, error)
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("first", [path.name])
    link = tmp_path / "link"
    link.symlink_to(path)
    files.write_whole(link, "through")
    assert (link.is_symlink(), path.read_text()) == (True, "through")
    with pytest.raises(OSError, match="No space left") as caught:
        files.write_whole(Path("/dev/full"), "x" * 100_000)
    assert caught.value.filename == "/dev/full"
    assert Path("/dev/full").is_char_device()


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from personsearch.files import append_json_line\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "append_json_line(Path(sys.argv[1]), 'x' * 500)\n"
        "try:\n"
        "    append_json_line(Path(sys.argv[1]), 'y' * 600)\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    path = tmp_path / "lines.jsonl"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(path)
    assert files.read_json_lines(path) == ["x" * 500]
    assert path.read_text().endswith("\n")


# -------------------------------------------------------------------- Ctrl-C says what is true of the command


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_stopped_training_names_the_command_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "train", interrupted)
    train = ("train", "binet_prw", "--data", "coco:x", "--out", tmp_path)
    assert one_line(run(*train), 130).endswith("no checkpoint was written yet: the same command starts again")
    (tmp_path / "checkpoint.safetensors").touch()
    monkeypatch.setattr(loop, "read_facts", lambda _: {"step": 7})
    assert one_line(run(*train), 130).endswith("the same command with --resume goes on from step 7")
    monkeypatch.setattr(experiment, "train", full)
    line = one_line(run(*train), 1)
    assert "disk: No space left" in line
    assert line.endswith("the same command with --resume goes on from step 7")


def test_every_other_stop_is_true_of_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "synthesize", interrupted)
    assert "what was rendered is kept" in one_line(run(*RENDER, "--identities", 4, "--scenes", 4), 130)
    monkeypatch.setattr(sources, "load_benchmark", interrupted)
    assert one_line(run(*EVALUATE), 130) == "error: stopped"
    monkeypatch.setattr(searchers, "read_scene", interrupted)
    assert one_line(run(*DETECT), 130) == "error: stopped"


def test_a_stopped_indexing_from_scratch_goes_on_without_force(
    photos: Path, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from personsearch.search import indexing

    whole = indexing.index_sources

    def stopped_after_some(*arguments: Any, **options: Any) -> None:
        whole(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(indexing, "index_sources", stopped_after_some)
    index = ("index", photos, "--gallery")
    assert "the same command without --force goes on" in one_line(run(*index, gallery.parent / "other", "--force"), 130)
    index = (*index, gallery)
    assert "and the same command goes on" in one_line(run(*index), 130)


# -------------------------------------------------------------------- memory, and faults of the program


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore"), "--device cpu"),
        (MemoryError(), "too little memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "too little memory"),
    ],
)
def test_too_little_memory_is_one_line(error: Exception, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(searchers, "read_scene", fail)
    assert words in one_line(run(*DETECT), 1)


def test_a_fault_of_the_program_is_seen_by_tests_and_one_line_for_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("of mine\nand more")

    monkeypatch.setattr(searchers, "read_scene", fail)
    assert isinstance(run(*DETECT).exception, RuntimeError)
    monkeypatch.setattr(sys, "argv", ["personsearch", *DETECT])
    with pytest.raises(SystemExit) as left:
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 70
    assert "RuntimeError: of mine" in line
    assert "test_faults.py" in line
    assert "PERSONSEARCH_TRACEBACK=1" in line
    monkeypatch.setenv("PERSONSEARCH_TRACEBACK", "1")
    with pytest.raises(RuntimeError):
        cli.main()


# -------------------------------------------------------------------- terminals


def test_names_cannot_drive_a_terminal() -> None:
    assert printable("a\nb\x1b[2J\u202e\udcff\x7f é…") == "a\\nb\\x1b[2J\\u202e\\udcff\\x7f é…"
    for length in (5, 10, 11, 250):
        for most in (5, 10, 11):
            short = shortened("x" * length + ".jpg", most)
            assert len(short) == min(most, length + 4)
            assert short.endswith("g")


def hit(name: str) -> GalleryHit:
    return GalleryHit(
        scene=name,
        box=(1, 2, 3, 4),
        similarity=0.5,
        score=0.5,
        source=Path(name),
        frame=None,
        time=None,
        width=9,
        height=9,
    )


@pytest.mark.parametrize("width", ["60", "80", "120"])
def test_long_and_hostile_names_leave_the_table_a_table(
    width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    names = ["/p/" + "n" * 250 + ".jpg", "/p/[red]a\x1b[2J\n.jpg", "/p/plain.jpg"]
    print_hits([hit(name) for name in names])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 1 + 4 + 2 + 1
    assert all(len(line) <= int(width) for line in lines)
    for row in (line for line in lines if line[:4].strip().isdigit()):
        assert row.split()[1:7] == ["0.500", "0.50", "1", "2", "3", "4"]
    assert "\x1b" not in "".join(lines)
    assert "[red]a" in "".join(lines)


def test_a_terminal_without_the_letters_shows_escapes(tmp_path: Path) -> None:
    path = tmp_path / "größe\udcff.jpg"
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = subprocess.run(
            [sys.executable, "-m", "personsearch", "detect", path],
            env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False,
        )  # fmt: skip
        (line,) = done.stderr.decode(encoding if encoding == "latin-1" else "utf-8").splitlines()
        assert done.returncode == 1
        assert line.startswith("error: ")
        assert "\\udcff" in line


def test_a_full_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as nowhere:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "personsearch", "describe", "binet_prw"],
            stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"error: input or output: No space left on device; {ADVICE[28]}"]


def test_signals_are_left_as_they_were() -> None:
    from personsearch.synthesis.synthesize import ignoring_stops

    before = signal.getsignal(signal.SIGINT)
    with ignoring_stops():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


def test_indexing_anew_loses_nothing_before_it_is_through(
    tmp_path: Path, photos: Path, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from personsearch.search import indexing

    whole = indexing.index_sources

    def stopped_after_some(held: Any, searcher: Any, found: Any, **options: Any) -> None:
        found.files[2:] = []
        whole(held, searcher, found, **options)
        raise KeyboardInterrupt

    (tmp_path / "no.png").write_text("no picture")
    anew = run("index", tmp_path / "no.png", "--gallery", gallery, "--force")
    assert "the gallery stays as it was" in one_line(anew, 1)
    assert anew.stdout == ""
    monkeypatch.setattr(indexing, "index_sources", stopped_after_some)
    stopped = one_line(run("index", photos, "--gallery", gallery, "--force"), 130)
    assert stopped.endswith("the gallery stays as it was, and the same command starts again")
    monkeypatch.undo()
    fake_weights.__wrapped__(monkeypatch)
    assert "in 4 scenes now" in run("index", photos, "--gallery", gallery).stdout
    (photos / "p003.png").unlink()
    assert "in 3 scenes now" in run("index", photos, "--gallery", gallery, "--force").stdout


def test_a_gallery_where_nothing_may_be_written_is_refused_before_the_work(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "g"):
        assert "a file is there" in one_line(run("index", photos, "--gallery", place), 2)
