"""Evaluates weights of any kind: a search network, a proposer that is asked with each query, or a re-id network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from personsearch.data.records import Benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.errors import SettingError, WeightsError
from personsearch.evaluation.answers import are_crops, evaluate_answers
from personsearch.evaluation.one_stage import Evaluation, evaluate_model
from personsearch.evaluation.protocols import PROFILES, Rules, SearchResult, check_queries
from personsearch.evaluation.second_look import look
from personsearch.evaluation.two_stage import evaluate_two_stages
from personsearch.models.embedders import LoadedEmbedder, load_embedder
from personsearch.models.guided import GuidedNetwork
from personsearch.models.igpn import IGPN
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.outside import Complain
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import PROJECTIONS_FILE, Projections, load_projections
from personsearch.models.readers import DetectThenEmbed, ReidReader, read_with
from personsearch.models.reid import ReidNet
from personsearch.models.search_network import SearchNetwork
from personsearch.models.sessions import is_graph_file
from personsearch.models.weights import (
    find_weights,
    load_proposer,
    load_trunk_of,
    load_weights,
    read_config,
    trunk_folder,
)
from personsearch.progress import Progress, quiet
from personsearch.runtime import checked_device

S = TypeVar("S", bound=Any)
LoadEmbedder = Callable[..., LoadedEmbedder]
"""From the name of re-id weights, or a graph file, to the network, as `load_embedder` does."""


@dataclass(frozen=True)
class JudgeSettings:
    """How weights are evaluated. What a kind of weights cannot do is refused unless it is the default."""

    boxes: str | None = None
    """What is searched: "detected" people, or the "labeled" boxes. None is detected, and labeled for cropped people."""
    query: str = "box"
    """What a query is read from: its annotated "box", or the best "detection"."""
    branch: str | None = None
    """Of BINet: "search", or "instance". None is search, and instance for cropped people, who have no scene."""
    size: tuple[int, int] | None = None
    """Short and long side that scenes are resized to; the weights' own when None."""
    reid: str | None = None
    """Weights of a re-id network, or its graph file, that embeds the people found by the first ones."""
    keep: int | None = None
    """How many proposals of a query's gallery are judged, or go on to the re-id network; all when None. Of IGPN."""
    proposals: int | None = None
    """How many proposals of a scene are related to the query; the weights' own when None. Of IGPN."""
    candidates: int | None = None
    """How many proposals of a query's gallery are related to it; all when None. Of IGPN."""
    look_again: int | None = None
    """In how many of each query's most promising scenes IGPN looks again after its trunk; in none when None."""
    answers: bool = False
    """Whether people are read and ranked as `search` does it, and not as in the papers. Of a search network."""
    runtime: str | None = None
    """What runs exported weights: torch, or what they were exported for, which is chosen when None."""


def is_proposer(model: str) -> bool:
    """Whether these are weights of IGPN, whose detections depend on the query and cannot be shown without one."""
    return _class_of(model) in (IGPN.__name__, TrunkIGPN.__name__)


def is_reid(model: str) -> bool:
    """Whether these are weights of a re-id network, or its graph file, which has one way of reading."""
    return _class_of(model) == ReidNet.__name__


def _class_of(model: str) -> str:
    return ReidNet.__name__ if is_graph_file(model) else str(read_config(model)[1]["class"])


def evaluate_weights(
    model: str,
    benchmark: Benchmark,
    settings: JudgeSettings = JudgeSettings(),
    *,
    rules: Rules = PROFILES["strict"],
    device: str | None = None,
    progress: Progress = quiet,
    complain: Complain = warnings.warn,
) -> tuple[SearchResult, Evaluation | None]:
    """The figures of weights by name or folder, and all that was judged where scenes do not depend on the query.

    `complain` hears what had to be guessed of a re-id network's graph file. Raises WeightsError, DataError, and
    SettingError for a setting that these weights do not have.
    """
    name = _class_of(model)
    if name not in _JUDGES:
        raise WeightsError(f"{model}: holds weights of {name}, which this version does not know")
    check_queries(benchmark, rules)
    if name in (SearchNetwork.__name__, ReidNet.__name__) and boxes_for(benchmark, settings) == "labeled":
        _refuse(settings, "an evaluation of annotated people", ("query",))
        if rules.score_threshold != Rules().score_threshold:
            raise SettingError("annotated people have no scores: leave --min-score out, or give --boxes detected")
    embedder = partial(load_embedder, device=checked_device(device), complain=complain)
    return _JUDGES[name](model, benchmark, settings, rules, checked_device(device), progress, embedder)


def _search(
    model: str,
    benchmark: Benchmark,
    settings: JudgeSettings,
    rules: Rules,
    device: str,
    progress: Progress,
    embedder: LoadEmbedder,
) -> tuple[SearchResult, Evaluation | None]:
    _refuse(settings, "a search network", ("keep", "proposals", "candidates", "look_again"))
    boxes = boxes_for(benchmark, settings)
    if settings.answers:
        return _answers(model, benchmark, settings, rules, device, progress), None
    network = load_weights(model, device, partial(resized, size=settings.size), settings.runtime).model
    reader = read_with(network, settings.branch or ("instance" if are_crops(benchmark) else "search"))
    if settings.reid is not None:
        _refuse(settings, "a detector before a re-id network", ("branch",))
        reader = DetectThenEmbed(network, embedder(settings.reid).model, rules.score_threshold)
    judged = evaluate_model(reader, benchmark, boxes=boxes, query=settings.query, rules=rules, progress=progress)
    return judged.result, judged


def boxes_for(benchmark: Benchmark, settings: JudgeSettings) -> str:
    """What is searched where the settings leave it open: cropped people fill their pictures, and need no finding."""
    return settings.boxes or ("labeled" if are_crops(benchmark) else "detected")


def _answers(
    model: str, benchmark: Benchmark, settings: JudgeSettings, rules: Rules, device: str, progress: Progress
) -> SearchResult:
    _refuse(settings, "an evaluation of answers", ("branch", "reid"))
    if rules.cbgm is not None:
        raise SettingError("--answers re-ranks in its own way: leave --cbgm out")
    loaded = load_weights(model, device, partial(resized, size=settings.size), settings.runtime)
    projections = projections_of(find_weights(model))
    return evaluate_answers(
        loaded.model,
        projections,
        benchmark,
        boxes=boxes_for(benchmark, settings),
        query=settings.query,
        rules=rules,
        progress=progress,
    )


def projections_of(folder: Path) -> Projections:
    """Those beside a search network's weights. Raises SettingError where there are none, WeightsError."""
    projections = load_projections(folder, fingerprint_of_readings(folder))
    if projections is None:
        raise SettingError(f"{folder}: has no {PROJECTIONS_FILE} to read people by: leave --answers out")
    return projections


def _guided(
    model: str,
    benchmark: Benchmark,
    settings: JudgeSettings,
    rules: Rules,
    device: str,
    progress: Progress,
    embedder: LoadEmbedder,
) -> tuple[SearchResult, None]:
    _refuse(settings, "a proposer that is asked with each query", ("boxes", "query", "branch"))
    if settings.answers and settings.look_again is None:
        raise SettingError("a proposer alone does not rank as `search` does: give --look-again, or leave --answers out")
    if rules.cbgm is not None:
        raise SettingError("cbgm needs scenes that do not depend on the query: leave it out")
    if rules.score_threshold != Rules().score_threshold:
        raise SettingError("a proposer's boxes have no score beside their similarity: leave --min-score out")
    if settings.keep is not None and settings.keep < 1:
        raise SettingError(f"keep {settings.keep}: give 1 proposal or more")

    def changed(own: Any) -> Any:
        own = resized(own, settings.size)
        if settings.proposals is None:
            return own
        return replace(own, proposals=replace(own.proposals, after_nms=settings.proposals))

    proposer = load_proposer(model, device, changed, settings.runtime).model
    if settings.look_again is not None:
        return _second_look(model, proposer, benchmark, settings, rules, device, progress), None
    result = evaluate_two_stages(
        proposer,
        benchmark,
        embedder=None if settings.reid is None else embedder(settings.reid).model,
        keep=settings.keep,
        candidates=settings.candidates,
        rules=rules,
        progress=progress,
    )
    return result, None


def _second_look(
    model: str,
    proposer: GuidedNetwork,
    benchmark: Benchmark,
    settings: JudgeSettings,
    rules: Rules,
    device: str,
    progress: Progress,
) -> SearchResult:
    _refuse(settings, "a second look", ("keep", "candidates", "reid"))
    if not isinstance(proposer, TrunkIGPN) or settings.look_again is None:
        raise SettingError(f"{model} has no trunk whose people could be asked first: leave --look-again out")
    trunk = load_trunk_of(model, device, partial(resized, size=settings.size)).model
    projections = projections_of(trunk_folder(model)) if settings.answers else None
    looked = look(
        proposer, trunk, benchmark, settings.look_again, rules=rules, projections=projections, progress=progress
    )
    return looked.result()


def _reid(
    model: str,
    benchmark: Benchmark,
    settings: JudgeSettings,
    rules: Rules,
    device: str,
    progress: Progress,
    embedder: LoadEmbedder,
) -> tuple[SearchResult, Evaluation | None]:
    if boxes_for(benchmark, settings) != "labeled":
        raise SettingError(f"{model} is a re-id network and finds nobody: --boxes labeled, or evaluate a detector "
                           f"with --reid {model}")  # fmt: skip
    _refuse(
        settings,
        "a re-id network alone",
        ("query", "branch", "size", "reid", "keep", "proposals", "candidates", "look_again", "answers"),
    )
    judged = evaluate_model(
        ReidReader(embedder(model, runtime=settings.runtime).model),
        benchmark,
        boxes="labeled",
        rules=rules,
        progress=progress,
    )
    return judged.result, judged


_JUDGES: Mapping[str, Callable[..., tuple[SearchResult, Evaluation | None]]] = {
    SearchNetwork.__name__: _search,
    IGPN.__name__: _guided,
    TrunkIGPN.__name__: _guided,
    ReidNet.__name__: _reid,
}
"""By the class of the weights."""


def _refuse(settings: JudgeSettings, what: str, names: tuple[str, ...]) -> None:
    """Raises SettingError for a setting that is not the default, and that `what` does not have."""
    for name in names:
        if getattr(settings, name) != getattr(JudgeSettings(), name):
            option = name.replace("_", "-")
            raise SettingError(f"{what} has no choice of {option}: leave --{option} out")


def resized(settings: S, size: tuple[int, int] | None) -> S:
    """A network's settings with another short side, and longest long side, of resized scenes; unchanged when None.

    Raises SettingError for an impossible size.
    """
    if size is None:
        return settings
    short, long = size
    if not 32 <= short <= long:
        raise SettingError(f"scenes of {short}x{long} pixels are impossible: give 32 or more, the short side first")
    return replace(settings, test_size=SizeSettings(short, long))
