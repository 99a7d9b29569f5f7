"""The main flow: load the data, build the model, train it, evaluate it, save it. Start reading here."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import personsearch
from personsearch.data.marks import mark_of_annotations
from personsearch.data.queries import NO_QUERIES
from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.errors import DataError, SettingError, WeightsError
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.files import refuse_one_place, write_json_lines
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.inference import prepare_for_inference
from personsearch.models.networks import Network, kind_of
from personsearch.models.projections import save_projections
from personsearch.models.readings import fit_projections
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_weights, save_weights
from personsearch.progress import Progress, quiet
from personsearch.runtime import checked_device, is_first, joined, reading_processes
from personsearch.settings import change_settings, flat, settings_from_dict, settings_to_dict
from personsearch.training.batches.codes import Keeping
from personsearch.training.checkpoints import read_facts
from personsearch.training.curves import check_drawing, draw_losses
from personsearch.training.detected_boxes import find_people
from personsearch.training.logs import lines_up_to
from personsearch.training.loop import CHECKPOINT, LOG, Training, has_begun
from personsearch.training.methods import Backbone, Prepared, check_method, finds_people, mark_of_backbone, prepare
from personsearch.training.recipes import AnyRecipe, get_recipe, keeps_codes
from personsearch.training.run_folders import EVALUATIONS, LOSSES, check_run_folder

DETECTED = "detected.jsonl"
CODES = "codes"
CODES_GB = 50.0
"""Of what a frozen trunk says of the training scenes: 10 MB a scene of 900x1500."""
FEWEST_PEOPLE = 1000
"""Annotated in the training scenes, from which on projections are fitted after training."""


def train(
    recipe: str,
    data: str,
    out: Path,
    *,
    settings: Sequence[str] = (),
    backbone: Backbone = None,
    resume: bool = False,
    device: str | None = None,
    checkpoint_every: int = 200,
    workers: int | None = None,
    evaluate_on: str | None = None,
    detector: str | None = None,
    fit: bool = True,
    codes: Path | None = None,
    codes_gb: float = CODES_GB,
    progress: Progress = quiet,
    on_step: Callable[[int, int], None] = lambda _step, _total: None,
    judge: Callable[[int, Network], None] = lambda _step, _network: None,
    complain: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Trains a recipe on a benchmark, in the run's folder, which it returns. Raises PersonSearchError before it writes.

    The folder holds loadable weights from the first checkpoint on, log.jsonl, at last losses.png, with `evaluate_on`
    also each checkpoint's figures, with `detector` the boxes that a re-id network sees, too. Processes of torchrun
    divide the scenes of each step. What frozen layers say is kept in `codes`, in at most `codes_gb` gigabytes.
    `backbone` is a file of ImageNet weights, None for torchvision's, a run to take backbone and embedding from,
    "random", or `Whole` weights to train further. `fit` adds projections. `judge` is called at each checkpoint.
    """
    chosen = change_settings(get_recipe(recipe), settings)
    _refuse_early(chosen, out, resume, checkpoint_every, detector, codes)
    benchmark, judged = load_training(data), load_judged(chosen, evaluate_on, backbone)
    with joined(device := checked_device(device)) as share:
        _begin([*benchmark.notes, *_anew(out, resume)], complain, share, chosen.seed)
        find, found_by = _finder(detector, benchmark, device, out / DETECTED, progress)
        keeping = Keeping(codes or out / CODES, int(codes_gb * 1e9), complain, progress)
        made = prepare(chosen, benchmark, backbone, share, device, find, keeping)
        stored = _facts(out, made, benchmark, found_by, mark_of_backbone(backbone), settings)
        made.start()
        Training(made.model, made.criterion, made.batches, chosen.optimizer, stored).run(
            out,
            resume=resume,
            every=checkpoint_every,
            workers=0 if made.alone else reading_processes(device) if workers is None else workers,
            on_step=lambda step: on_step(step, chosen.optimizer.steps),
            on_checkpoint=lambda step: save_weights(out, made.network, {**stored, "steps_done": step}),
            judge=lambda step: note_evaluation(out / EVALUATIONS, step, made.network, judged, judge),
        )
        finish(out, made.network, benchmark if fit and finds_people(chosen, backbone) else None, device, progress)
    return out


def _facts(
    out: Path,
    made: Prepared,
    benchmark: Benchmark,
    found_by: str | None,
    start: str | None,
    settings: Sequence[str],
) -> dict[str, Any]:
    """What is stored with the weights. Raises SettingError where the run was begun otherwise."""
    stored = describe_run(made.recipe, benchmark, found_by, made.network) | ({_START: start} if start else {})
    return stored | compare_with_begun(out, stored, made.recipe, settings)


def finish(out: Path, network: Network, benchmark: Benchmark | None, device: str, progress: Progress) -> None:
    """Draws the losses, and lays projections beside the weights of a search network, by people whom it finds in its
    training scenes. Of several processes the first one does so.

    Without them, where there is no benchmark or the network finds too few people in it to fit them to, people are read
    by their embeddings.
    """
    if not is_first():
        return
    draw_losses(out / LOG, out / LOSSES)
    if benchmark is None:
        return
    annotated = sum(len(scene.persons) for scene in benchmark.train)
    if not isinstance(network, SearchNetwork) or annotated < FEWEST_PEOPLE:
        return
    loaded = load_weights(out, device)
    with suppress(DataError):
        made = fit_projections(loaded.model, benchmark.train, progress=progress)
        save_projections(out, made, loaded.fingerprint)


def _anew(out: Path, resume: bool) -> list[str]:
    return [f"{out}: no checkpoint to go on from; this begins at step 0"] if resume and not has_begun(out) else []


def _begin(notes: Sequence[str], complain: Callable[[str], None], share: tuple[int, int], seed: int) -> None:
    """Tells the notes once, and makes what is random a function of the seed."""
    torch.manual_seed(seed)
    for note in notes if share[0] == 0 else ():
        complain(note)


def _refuse_early(
    recipe: AnyRecipe, out: Path, resume: bool, every: int, detector: str | None, codes: Path | None
) -> None:
    """Raises SettingError or PersonSearchError for what is wrong before any data is read."""
    check_method(recipe)
    check_drawing()
    if detector is not None and recipe.method != "reid":
        raise SettingError(f"{recipe.name} finds people itself: leave the detector out")
    if codes is not None and not keeps_codes(recipe):
        raise SettingError(f"{recipe.name} keeps nothing of what frozen layers say: leave --codes out")
    check_run_folder(out, recipe, resume=resume, every=every)
    refuse_one_place(codes, out, "--codes and --out")


def _finder(
    detector: str | None, benchmark: Benchmark, device: str, cache: Path, progress: Progress
) -> tuple[Callable[[], dict[str, Tensor]], str | None]:
    """A function that finds people in the training scenes, and the fingerprint of the detector."""
    if detector is None:
        return dict, None
    loaded = load_weights(detector, device)
    return partial(find_people, benchmark, loaded, cache, progress), loaded.fingerprint


def load_training(spec: str) -> Benchmark:
    """A benchmark to train on. Raises DataError."""
    benchmark = load_benchmark(spec)
    if not benchmark.train or not benchmark.identities:
        raise DataError(f"{spec}: no training scenes with identities in it; give a benchmark with a train split")
    return benchmark


def load_judged(recipe: AnyRecipe, spec: str | None, backbone: Backbone = None) -> Benchmark | None:
    """The benchmark that checkpoints are evaluated on, if any.

    Raises SettingError for a network that cannot be evaluated alone, DataError for a benchmark without queries.
    """
    if spec is None:
        return None
    if kind_of(recipe.network).network is not SearchNetwork:
        raise SettingError(f"{recipe.name} needs other weights beside it to be evaluated: leave evaluate_on out")
    if not finds_people(recipe, backbone):
        raise SettingError(
            f"{recipe.name} learns no detection: leave evaluate_on out, and evaluate the run with --boxes labeled"
        )
    benchmark = load_benchmark(spec)
    if not benchmark.queries:
        raise DataError(f"{spec} {NO_QUERIES}: leave evaluate_on out, or give other data")
    return benchmark


def note_evaluation(
    path: Path,
    step: int,
    network: Network,
    benchmark: Benchmark | None,
    judge: Callable[[int, Network], None] = lambda _step, _network: None,
) -> None:
    """Evaluates a copy of a search network in training, and adds a line with its figures; nothing without a benchmark.

    Calls `judge` before. Raises OSError when it cannot be written; the lines before stay.
    """
    judge(step, network)
    if benchmark is None or not isinstance(network, SearchNetwork):
        return
    figures = evaluate_model(prepare_for_inference(copy.deepcopy(network)), benchmark).result.as_dict()
    kept = lines_up_to(path, step - 1)  # a resumed run may evaluate this step again
    write_json_lines(path, [*kept, {"step": step, **figures}])


def compare_with_begun(
    out: Path, wanted: dict[str, Any], recipe: AnyRecipe, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Raises SettingError if a run would go on with other settings or data than those that it was begun with.

    Returns what its weights and checkpoints should say besides: its earlier rates, each with its last step. The rate
    may be lowered if `changes`, those of the caller, name it: so a run that diverged goes on.
    """
    if not has_begun(out):
        return {}
    begun = read_facts(out / CHECKPOINT)
    named = any(change.partition("=")[0].strip() == _RATE for change in changes)
    refuse_other_settings(begun, wanted, recipe, out, may_lower_rate=named)
    rates = list(begun.get(_EARLIER, []))
    before, now = (flat(facts.get("recipe", {})).get(_RATE) for facts in (begun, wanted))
    if before not in (None, now):
        rates.append({"rate": before, "until_step": begun["step"]})
    return {_EARLIER: rates} if rates else {}


_RATE = "optimizer.rate"
_EARLIER = "earlier_rates"
_ANNOTATIONS = "annotations"
_START = "start"


def refuse_other_settings(
    stored: dict[str, Any], wanted: dict[str, Any], recipe: AnyRecipe, out: Path, *, may_lower_rate: bool = False
) -> None:
    """Raises SettingError if a run would go on with other settings or data than the `stored` ones.

    A run with drops of the rate may become longer; one along a cosine may not, as its length is part of every rate.
    A setting that the checkpoint does not know counts as its default, annotations that it does not know as the same.
    Raises WeightsError for settings that cannot be read.
    """
    try:
        begun = settings_to_dict(settings_from_dict(type(recipe), stored.get("recipe", {"name": recipe.name})))
    except (SettingError, TypeError, AttributeError) as error:
        raise WeightsError(f"{out / CHECKPOINT}: its settings cannot be read ({error}); give another --out") from None
    data = {_ANNOTATIONS: wanted["training_data"].get(_ANNOTATIONS), **stored.get("training_data", {})}
    stored = {**stored, "recipe": begun, "training_data": data}
    free = {"optimizer.steps", "optimizer.drops"} if wanted["recipe"]["optimizer"]["schedule"] == "drops" else set()
    if may_lower_rate and wanted["recipe"]["optimizer"]["rate"] < begun["optimizer"]["rate"]:
        free |= {_RATE}
    for part in ("recipe", "training_data"):
        old, new = flat(stored.get(part, {})), flat(wanted[part])
        changed = [k for k in old.keys() | new.keys() if old.get(k) != new.get(k)]
        for key in sorted(set(changed) - free, key=lambda key: (key == _ANNOTATIONS, key)):
            if key == _ANNOTATIONS:
                raise SettingError(
                    f"{out} was begun with other scenes or other people in them: give the same data, or another --out"
                )
            began = f"{out} was begun with {key}={old.get(key)}, not {new.get(key)}"
            raise SettingError(f"{began}: give the same, or another --out")
    if stored.get(_START) != wanted.get(_START) and None not in (stored.get(_START), wanted.get(_START)):
        raise SettingError(f"{out} was begun from other weights (--backbone, --start): give the same, or another --out")


def describe_run(
    recipe: AnyRecipe, benchmark: Benchmark, detector: str | None = None, network: Network | None = None
) -> dict[str, Any]:
    """The facts stored with weights. `detector` is the fingerprint of the detector whose boxes trained them, too, and
    the network may stand on a trunk."""
    length = kind_of(recipe.network).dim(recipe.network)
    trunk = network.trunk.fingerprint if isinstance(network, TrunkIGPN) else None
    return {
        "recipe": settings_to_dict(recipe),
        "training_data": {
            "name": benchmark.name,
            "scenes": len(benchmark.train),
            "identities": benchmark.identities,
            _ANNOTATIONS: mark_of_annotations(benchmark.train),
            **({"detector": detector} if detector else {}),
            **({"trunk": trunk} if trunk else {}),
        },
        **({} if length is None else {"embedding": length}),
        "personsearch": personsearch.__version__,
    }
