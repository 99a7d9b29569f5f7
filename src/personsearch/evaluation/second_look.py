"""What a second look is worth: the trunk's people are asked first, then IGPN looks at the most promising scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from personsearch.data.records import Benchmark, Query
from personsearch.errors import SettingError
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.evaluation.protocols import Rules, SearchResult, evaluate_guided
from personsearch.evaluation.two_stage import read_queries
from personsearch.geometry.detections import Detections
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.looking_again import EACH, Found, together
from personsearch.search.proposals import Answers, ProposalSearch
from personsearch.search.two_stage import embed_again


def evaluate_second_look(
    proposer: TrunkIGPN,
    trunk: SearchNetwork,
    benchmark: Benchmark,
    count: int,
    *,
    rules: Rules,
    progress: Progress = quiet,
) -> SearchResult:
    """Judges the gallery's people, those of each query's `count` most promising scenes found and ranked anew.

    People are ranked by cosines, as the papers rank them. Raises SettingError for less than one scene.
    """
    if count < 1:
        raise SettingError(f"look again {count}: give 1 scene or more")
    judged = evaluate_model(trunk, benchmark, rules=rules, progress=progress)
    held = {name: found[found.scores >= rules.score_threshold] for name, found in judged.detections.items()}
    chosen = [
        promising(query, held, embedding, count, rules)
        for query, embedding in zip(benchmark.queries, judged.query_embeddings, strict=True)
    ]
    asking: dict[str, list[int]] = {}
    for number, names in enumerate(chosen):
        for name in names:
            asking.setdefault(name, []).append(number)
    codes, _ = read_queries(proposer, None, benchmark, progress)
    found = ProposalSearch(proposer, codes, benchmark.test, progress=progress).propose(asking)
    best = [{name: proposals[:EACH] for name, proposals in answers.items()} for answers in found]
    again = embed_again(trunk, benchmark.test, best, list(judged.query_embeddings), progress=progress)
    return evaluate_guided(benchmark, _answers(benchmark, held, judged.query_embeddings, best, again), rules=rules)


def promising(query: Query, held: Mapping[str, Detections], embedding: Tensor, count: int, rules: Rules) -> list[str]:
    """The scenes of a query's gallery with somebody most like the person, best first; those without anybody last."""
    names = [name for name in dict.fromkeys(query.gallery) if name != query.scene or rules.own_scene]
    most = {name: float((held[name].embeddings @ embedding).max()) if len(held[name]) else -1.0 for name in names}
    return sorted(names, key=lambda name: -most[name])[:count]


def _answers(
    benchmark: Benchmark, held: Mapping[str, Detections], embeddings: Tensor, best: list[Answers], again: list[Answers]
) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Boxes and similarities of each scene of each query's gallery."""
    for number, query in enumerate(benchmark.queries):
        answers = {}
        for name in dict.fromkeys((*query.gallery, query.scene)):
            people = held[name]
            stored = Found(people.boxes, people.embeddings @ embeddings[number], people.scores)
            if name in again[number]:
                read = again[number][name]
                stored = together(stored, Found(read.boxes, read.similarities, best[number][name].similarities))
            answers[name] = (stored.boxes, stored.similarities)
        yield answers
