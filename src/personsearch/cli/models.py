"""Commands that make and judge models: `train`, `evaluate`, `describe`."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.console import bar, complain, line_of, print_json, refuse_overwriting, say
from personsearch.cli.options import Device, Force, Json, Runtime, within
from personsearch.errors import ImageError, PersonSearchError, SettingError
from personsearch.files import check_folder, refuse_one_place, write_whole
from personsearch.settings import flat

if TYPE_CHECKING:
    from personsearch.data.records import Benchmark
    from personsearch.evaluation.protocols import SearchResult

WORST = 10
"""How many queries `evaluate --worst` draws."""

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Shipped weights by name, a folder with weights, or .onnx or .xml.")
]
Data = Annotated[str, typer.Option(help="LAYOUT:DIR, with layout coco, cuhk-sysu, prw, mot or crops.")]


Boxes = Annotated[str | None, typer.Option(help="What is searched: detected, or labeled (of crops).")]
QueryAt = Annotated[str, typer.Option(help="Where a query is read: at its box, or at the best detection.")]
BranchName = Annotated[str | None, typer.Option(help="What of BINet reads: search, or instance (of crops).")]
Profile = Annotated[str, typer.Option(help="Rules in dispute: strict, or seqnet.")]
LeastScore = Annotated[
    float | None, typer.Option(callback=within(0, 1), help="Least confidence of what is searched (0.5).")
]
Company = Annotated[
    tuple[int, int] | None,
    typer.Option(callback=within(1), help="Re-rank by the people around: ANSWERS PEOPLE, such as 10 3."),
]
Size = Annotated[
    tuple[int, int] | None,
    typer.Option(callback=within(32, 20_000), help="SHORT LONG sides that scenes are resized to."),
]
Reid = Annotated[str | None, typer.Option(help="Re-id weights, or .onnx or .xml, that embed whom MODEL finds.")]
Keep = Annotated[
    int | None, typer.Option(callback=within(1), help="Of IGPN: how many proposals of a gallery count (all).")
]
Proposed = Annotated[int | None, typer.Option(callback=within(1), help="Of IGPN: how many proposals of a scene.")]
Compared = Annotated[
    int | None, typer.Option(callback=within(1), help="Of IGPN: how many proposals of a gallery are compared (all).")
]
LookAgain = Annotated[
    int | None, typer.Option(callback=within(1), help="Of IGPN: ask its trunk, then look again in so many scenes.")
]
GallerySize = Annotated[int | None, typer.Option(callback=within(1), help="Scenes in the gallery of a query.")]


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="For example binet_rendered.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="a.b=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")] = False,
    backbone: Annotated[str | None, typer.Option(help="ImageNet weights, a run, shipped weights, or 'random'.")] = None,
    start: Annotated[str | None, typer.Option(help="Weights to train further, by name or folder.")] = None,
    evaluate_on: Annotated[str | None, typer.Option(help="LAYOUT:DIR to evaluate each checkpoint on.")] = None,
    detector: Annotated[str | None, typer.Option(help="For a re-id recipe: weights whose boxes train it, too.")] = None,
    codes: Annotated[
        Path | None, typer.Option(help="Folder for what a frozen trunk says of scenes, for several runs.")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(callback=within(1), help="Steps between checkpoints.")] = 200,
    device: Device = None,
) -> None:
    """Train a recipe; the run's folder is then a model for `index` and `evaluate`. Ctrl-C keeps what was done.

    Example: personsearch train binet_rendered --data coco:rendered --out runs/a --set optimizer.steps=500
    """
    from personsearch.experiment import train as run
    from personsearch.training.methods import Whole, finds_people
    from personsearch.training.recipes import get_recipe

    if start is not None and backbone is not None:
        raise SettingError("--start brings a backbone with it: leave --backbone out")
    weights = backbone if start is None else Whole(start)
    with _told_once(), _way_on_when_stopped(out), bar("training") as progress:
        run(
            recipe,
            data,
            out,
            settings=settings or [],
            resume=resume,
            backbone=weights,
            evaluate_on=evaluate_on,
            detector=detector,
            codes=codes,
            progress=progress,
            checkpoint_every=checkpoint_every,
            device=device,
            on_step=lambda step, total: progress.tell(step, total, f"step {step}"),
            complain=complain,
        )
    boxes = "" if finds_people(get_recipe(recipe), weights) else " --boxes labeled"
    if _is_first():
        say(f"{out}: trained; evaluate it: personsearch evaluate {out} --data LAYOUT:DIR{boxes}, see --help")


def _is_first() -> bool:
    """Whether torchrun calls this process the first one, or did not start it."""
    return int(os.environ.get("WORLD_SIZE", "1")) == 1 or os.environ.get("RANK") == "0"


@contextmanager
def _told_once() -> Iterator[None]:
    """Lets the first of the processes of torchrun alone say what all of them refuse. Pictures are read by one each."""
    try:
        yield
    except ImageError:
        raise
    except (PersonSearchError, KeyboardInterrupt) as error:
        if _is_first():
            raise
        raise typer.Exit(error.exit_code if isinstance(error, PersonSearchError) else 130) from None


@contextmanager
def _way_on_when_stopped(out: Path) -> Iterator[None]:
    """Adds how to go on to the last line of a run that Ctrl-C or a full disk ends."""
    from personsearch.training.loop import way_on

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {way_on(out)}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise PersonSearchError(f"{line_of(error)}; {way_on(out)}") from None


def evaluate(
    model: Model,
    data: Data,
    boxes: Boxes = None,
    query: QueryAt = "box",
    branch: BranchName = None,
    profile: Profile = "strict",
    min_score: LeastScore = None,
    cbgm: Company = None,
    size: Size = None,
    reid: Reid = None,
    keep: Keep = None,
    proposals: Proposed = None,
    candidates: Compared = None,
    look_again: LookAgain = None,
    gallery_size: GallerySize = None,
    subset: Annotated[str | None, typer.Option(help="Of CUHK-SYSU: occlusion, or resolution.")] = None,
    answers: Annotated[bool, typer.Option("--answers", help="Read and rank as `search` does.")] = False,
    cross_camera: Annotated[bool, typer.Option("--cross-camera", help="Of PRW: other cameras only.")] = False,
    save: Annotated[Path | None, typer.Option(help="Write each query's result to this JSON file.")] = None,
    worst: Annotated[Path | None, typer.Option(help="Draw the ten worst queries into this folder.")] = None,
    device: Device = None,
    runtime: Runtime = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """mAP, top-1/5/10 and the detector's AP and recall on a benchmark, each in [0, 1].

    IGPN has no detector to judge: it finds other boxes for each query.

    Example: personsearch evaluate binet-rendered --data coco:rendered --gallery-size 100 --json
    """
    from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights
    from personsearch.evaluation.protocols import rules_of
    from personsearch.evaluation.report import draw_worst

    _check_outputs(model, save, worst, force, answers)
    rules = rules_of(profile, min_score, cbgm)
    benchmark = _load(data, gallery_size=gallery_size, subset=subset, cross_camera=cross_camera or None)
    _tell_of_crops(model, data, answers or None not in (boxes, branch))
    how = JudgeSettings(boxes, query, branch, size, reid, keep, proposals, candidates, look_again, answers, runtime)
    with bar("evaluating") as progress:
        result, evaluation = evaluate_weights(
            model, benchmark, how, rules=rules, device=device, progress=progress, complain=complain
        )
    _print_figures(result.as_dict(), as_json)
    if save is not None:
        _save(save, benchmark, result)
    if worst is not None and evaluation is not None:
        draw_worst(evaluation, WORST, worst)


def _tell_of_crops(model: str, data: str, said: bool) -> None:
    from personsearch.evaluation.evaluate import is_reid

    if data.startswith("crops:") and not said and not is_reid(model):
        complain("cropped people fill their pictures: --boxes labeled and --branch instance, where not given")


def _load(data: str, **wanted: Any) -> Benchmark:
    """The benchmark, with those options that are given; what of it was left out is told."""
    from personsearch.data.sources import load_benchmark

    benchmark = load_benchmark(data, **{name: value for name, value in wanted.items() if value is not None})
    for note in benchmark.notes:
        complain(note)
    return benchmark


def _check_outputs(model: str, save: Path | None, worst: Path | None, force: bool, answers: bool) -> None:
    """Raises SettingError, before any work, for what cannot be written afterwards."""
    from personsearch.evaluation.evaluate import is_proposer

    refuse_overwriting([] if save is None else [save], force)
    if save is not None and save.is_file() and not _holds_figures(save):
        raise SettingError(f"{save}: holds something else than figures: give another name")
    if worst is None:
        return
    refuse_one_place(save, worst, "--save and --worst")
    check_folder(worst)
    if worst.exists() and any(worst.iterdir()) and not force:
        raise SettingError(f"{worst}: is there already; give another folder, or draw into it with --force")
    if answers:
        raise SettingError("--worst draws answers in the papers' order: leave --answers out")
    if is_proposer(model):
        raise SettingError(f"{model} is a proposer, of whose answers nothing is drawn: leave --worst out")


def _holds_figures(path: Path) -> bool:
    """Whether a file is one that `evaluate` wrote, or empty."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.strip() else {"figures": {}, "queries": []}
        return isinstance(found, dict) and found.keys() == {"figures", "queries"}
    except (OSError, ValueError, RecursionError):
        return False


def _save(path: Path, benchmark: Benchmark, result: SearchResult) -> None:
    """Writes the figures, and what became of each query."""
    from personsearch.evaluation.report import per_query

    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"figures": result.as_dict(), "queries": per_query(benchmark, result)}
    write_whole(path, json.dumps(told, indent=1) + "\n")


def _print_figures(figures: dict[str, float | None], as_json: bool) -> None:
    if as_json:
        print_json(figures)
        return
    for name, value in figures.items():
        say(f"{name:18} {'-' if value is None else format(value, '.4f')}")


def describe(
    name: Annotated[str, typer.Argument(metavar="MODEL|RECIPE", help="Weights or a recipe.")], as_json: Json = False
) -> None:
    """What a model consists of and comes from, or all settings of a recipe.

    Example: personsearch describe binet-rendered
    """
    from personsearch.training.describe import describe_recipe, describe_weights
    from personsearch.training.recipes import RECIPES

    facts = describe_recipe(name) if name in RECIPES else describe_weights(name)
    if as_json:
        print_json(facts)
    else:
        for key, value in flat(facts).items():
            say(f"{key:40} {value}")
