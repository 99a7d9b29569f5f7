"""The field's common rule of evaluation, as one function. Its numbers and choices are in `Rules`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from personsearch.data.queries import NO_QUERIES, scenes_holding
from personsearch.data.records import UNLABELED, Benchmark, Box, Query, Scene
from personsearch.errors import DataError, SettingError
from personsearch.evaluation.cbgm import CBGM, rerank
from personsearch.evaluation.metrics import Floats, average_precision, box_ious, first_hit_rank, match_in_scenes
from personsearch.geometry.detections import Detections

Counts = NDArray[np.int64]

_BLOCK = 128
"""Queries compared with all detections at a time."""
_DECIMALS = 10
"""Of a similarity. Equal embeddings then tie however their products were summed up."""


@dataclass(frozen=True)
class Rules:
    """The numbers of the common rule (OIM, NAE, SeqNet and those after them)."""

    score_threshold: float = 0.5
    """Detections below are not searched."""
    iou: float = 0.5
    """Least overlap (IoU) of a hit with the true box, unless that box is small:"""
    iou_margin: float = 10.0
    """a true box of w x h pixels never asks for more than w h / ((w + margin) (h + margin))."""
    detection_threshold: float = 0.01
    """Detections below do not count for detection AP and recall."""
    detection_iou: float = 0.5
    """Least overlap (IoU) of a detection with the true box."""
    own_scene: bool = False
    """Whether the query's own scene is searched where its gallery lists it, as two of CUHK-SYSU's do."""
    count_repeats: bool = False
    """Whether a scene that a gallery lists twice has twice as much to find, though it is searched once."""
    cbgm: CBGM | None = None
    """Re-ranking by the people around; None for none."""


PROFILES = {"strict": Rules(), "seqnet": Rules(own_scene=True, count_repeats=True)}
"""Named rules. "strict" never rewards a query for finding itself, and can reach 1; "seqnet" are SeqNet's, also GFN's:
perfect answers to CUHK-SYSU's galleries of 100 are then worth 0.999555."""


@dataclass(frozen=True)
class DetectionResult:
    """How well the people of the test scenes were detected, whoever they are."""

    ap: float
    """Average precision over all annotated people, in [0, 1]; 0 when nobody is annotated."""
    recall: float
    """Part of the annotated people that were found, in [0, 1]; 0 when nobody is annotated."""


@dataclass(frozen=True)
class SearchResult:
    """Answers to all queries of a benchmark, judged. All figures are in [0, 1]."""

    average_precisions: tuple[float | None, ...]
    """One for each query, in the benchmark's order; None, and left out of all means, where the rules left nothing to
    find but the query itself."""
    first_hits: tuple[int | None, ...]
    """Rank of the first right answer to each query, counted from 1; None when there was none."""
    detection_ap: float | None
    """See `DetectionResult`. None where every query has detections of its own."""
    detection_recall: float | None

    @property
    def mAP(self) -> float:  # noqa: N802  the name in every table
        return float(np.mean([ap for ap in self.average_precisions if ap is not None]))

    def top(self, k: int) -> float:
        """Part of the queries with a right answer among the first k."""
        judged = zip(self.average_precisions, self.first_hits, strict=True)
        return float(np.mean([rank is not None and rank <= k for ap, rank in judged if ap is not None]))

    @property
    def top1(self) -> float:
        return self.top(1)

    @property
    def top5(self) -> float:
        return self.top(5)

    @property
    def top10(self) -> float:
        return self.top(10)

    def as_dict(self) -> dict[str, float | None]:
        """The figures of a table: mAP, top1, top5, top10, detection_ap, detection_recall."""
        names = ("mAP", "top1", "top5", "top10", "detection_ap", "detection_recall")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Searched:
    """All M people of a query's gallery, for what ranks them otherwise than by the cosine."""

    cosines: Tensor
    """[M] float64 to the query; -inf where one of the embeddings is not finite"""
    embeddings: Tensor
    """[M, D] float64"""
    scores: Tensor
    """[M] float64, of the detections"""
    scene_of: Tensor
    """[M] int64, numbers of their scenes"""


Rank = Callable[[Tensor, Searched], Tensor]
"""From a query's embedding [D] and the people of its gallery to what they are ranked by [M]."""


def labeled_boxes(*scenes: Scene) -> Tensor:
    """[N, 4] float32, the annotated boxes of scenes in their order, as if a detector had found them."""
    boxes = [person.box for scene in scenes for person in scene.persons]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def evaluate_search(
    benchmark: Benchmark,
    detections: Mapping[str, Detections],
    query_embeddings: Tensor,
    *,
    rules: Rules = Rules(),
    rank: Rank | None = None,
) -> SearchResult:
    """Ranks all detections of each query's gallery by similarity and judges the ranking.

    `detections` holds each test scene by its name; `query_embeddings` [Q, D], unit length, are in the order of
    `benchmark.queries`. Each scene of a gallery that holds the identity is something to find. Of its detections
    the most similar one among those that overlap the person enough is right; all others of the gallery are
    wrong. A scene listed twice in a gallery is searched once. A similarity that is not a number ranks last and is
    never right. With `rank` people are ranked by what it makes of the cosines, and the same rule judges that.

    Raises DataError when there are no queries, when a query's gallery does not hold its identity or names an
    unknown scene, and when the detections of a test scene are missing; ValueError when there is not one
    embedding a query.
    """
    check_queries(benchmark, rules)
    queries = benchmark.queries
    if len(query_embeddings) != len(queries):
        raise ValueError(f"{len(query_embeddings)} embeddings for {len(queries)} queries")
    detection = evaluate_detection(benchmark, detections, rules=rules)
    table = _Table(benchmark, detections, rules, rank)
    judged = [
        _judge(table, query, embedding, similarities, listed, benchmark.name)
        for query, embedding, similarities, listed in zip(
            queries,
            query_embeddings.detach().cpu(),
            table.similarities(query_embeddings),
            table.listed(queries, benchmark.name),
            strict=True,
        )
    ]
    precisions, ranks = zip(*judged, strict=True)
    return SearchResult(tuple(precisions), tuple(ranks), detection.ap, detection.recall)


def check_queries(benchmark: Benchmark, rules: Rules) -> None:
    """Raises DataError, before anything is read, where there is nobody to search for, or nothing to find."""
    if not benchmark.queries:
        raise DataError(f"{benchmark.name} {NO_QUERIES}; give other data")
    holding = {} if rules.own_scene else scenes_holding(benchmark.test)
    if holding and all(
        holding[query.identity].intersection(query.gallery) == {query.scene} for query in benchmark.queries
    ):
        raise DataError(f"{benchmark.name} has no query with anything to find but itself: give larger galleries")


@dataclass(frozen=True)
class Answer:
    """One detection as an answer to a query."""

    scene: str
    box: Box
    score: float
    similarity: float
    right: bool


def best_answers(
    benchmark: Benchmark,
    detections: Mapping[str, Detections],
    query_embeddings: Tensor,
    chosen: Sequence[int],
    *,
    rules: Rules = Rules(),
    top: int = 10,
) -> list[list[Answer]]:
    """The `top` answers to each chosen query, best first, ranked and judged as by `evaluate_search`.

    `chosen` are indices into `benchmark.queries`. A query that the rules leave out has no answers.
    """
    table = _Table(benchmark, detections, rules)
    names = [scene.name for scene in benchmark.test]
    answers = []
    asked = [benchmark.queries[index] for index in chosen]
    found = zip(table.similarities(query_embeddings[list(chosen)]), table.listed(asked, benchmark.name), strict=True)
    for index, query, (similarities, listed) in zip(chosen, asked, found, strict=True):
        ranking = _ranked(table, query, query_embeddings[index].detach().cpu(), similarities, listed, benchmark.name)
        answers.append([] if ranking is None else _best(table, names, ranking, top))
    return answers


def _best(table: _Table, names: Sequence[str], ranking: _Ranking, top: int) -> list[Answer]:
    rows = np.flatnonzero(ranking.searched & np.isfinite(ranking.similarities))
    best = rows[np.argsort(-ranking.similarities[rows], kind="stable")][:top].tolist()
    right = set(ranking.right.tolist())
    answers = []
    for row in best:
        x1, y1, x2, y2 = table.boxes[row].tolist()
        score, similarity = float(table.scores[row]), float(ranking.similarities[row])
        answers.append(Answer(names[table.scene_of[row]], (x1, y1, x2, y2), score, similarity, row in right))
    return answers


def evaluate_guided(
    benchmark: Benchmark,
    answers: Iterable[Mapping[str, tuple[Tensor, Tensor]]],
    *,
    rules: Rules = Rules(),
) -> SearchResult:
    """Judges, by the same rule, a model whose detections depend on the query.

    `answers` gives for each query the boxes [N, 4] and similarities [N] of each scene of its gallery; a scene that
    is missing has none. They are judged one after the other, and not kept. There is no detection to judge, so its
    figures are None. Raises DataError like `evaluate_search`, and ValueError when there is not one mapping a query.
    """
    check_queries(benchmark, rules)
    one = torch.ones(1, 1)
    scenes = {scene.name: scene for scene in benchmark.test}
    judged = []
    for query, found in zip(benchmark.queries, answers, strict=True):
        # a similarity is the product with a query of one number, so that one rule serves both kinds of model
        as_found = {name: Detections(boxes, torch.ones(len(boxes)), s[:, None]) for name, (boxes, s) in found.items()}
        names = [name for name in dict.fromkeys((*query.gallery, query.scene)) if name in scenes]
        own = replace(benchmark, test=tuple(scenes[name] for name in names))
        table = _Table(own, {name: as_found.get(name, Detections.empty(1)) for name in names}, rules)
        similarities, listed = next(table.similarities(one)), next(table.listed([query], benchmark.name))
        judged.append(_judge(table, query, one[0], similarities, listed, benchmark.name))
    precisions, ranks = zip(*judged, strict=True)
    return SearchResult(tuple(precisions), tuple(ranks), None, None)


def evaluate_detection(
    benchmark: Benchmark,
    detections: Mapping[str, Detections],
    *,
    rules: Rules = Rules(),
) -> DetectionResult:
    """AP and recall over all annotated people of the test scenes, with and without identity.

    Detection and person are paired where each is the other's best overlap. Raises DataError when there are no
    test scenes, or the detections of one are missing.
    """
    if not benchmark.test:
        raise DataError(f"{benchmark.name} has no test scenes: there is nothing to evaluate on")
    boxes, scores, scene_of, _ = _kept(detections, [scene.name for scene in benchmark.test], rules.detection_threshold)
    truth = labeled_boxes(*benchmark.test).double().numpy()
    truth_of = np.repeat(np.arange(len(benchmark.test)), [len(scene.persons) for scene in benchmark.test])
    right = match_in_scenes(truth, truth_of, boxes, scores, scene_of, rules.detection_iou)
    people = len(truth)
    ap = average_precision(scores, scores[right], people)
    return DetectionResult(ap, float(right.sum() / people) if people else 0.0)


class _Table:
    """The detections of all test scenes in one table, scene after scene, and the scenes of each identity."""

    def __init__(
        self, benchmark: Benchmark, detections: Mapping[str, Detections], rules: Rules, rank: Rank | None = None
    ) -> None:
        self.rules = rules
        self.rank = rank
        self.index = {scene.name: index for index, scene in enumerate(benchmark.test)}
        self.boxes, self.scores, self.scene_of, kept = _kept(detections, list(self.index), rules.score_threshold)
        embeddings = [
            detections[name].embeddings[keep].cpu() for name, keep in zip(self.index, kept, strict=True) if keep.any()
        ]
        self.embeddings, self.valid = _finite(torch.cat(embeddings or [torch.zeros(0)]).detach())
        self.starts = np.searchsorted(self.scene_of, np.arange(len(self.index) + 1))
        self.persons: dict[int, list[tuple[int, Box]]] = defaultdict(list)
        for index, scene in enumerate(benchmark.test):
            for person in scene.persons:
                if person.identity != UNLABELED:
                    self.persons[person.identity].append((index, person.box))

    def similarities(self, queries: Tensor) -> Iterator[Floats]:
        """For each query the cosine [M] to all detections; -inf where either embedding is not finite.

        Each is good until the next is asked for, for all blocks are multiplied in the same memory.
        """
        table, valid = self.embeddings, self.valid
        queries, valid_queries = _finite(queries.detach().cpu())
        memory = torch.empty(min(_BLOCK, len(queries)), len(table), dtype=torch.float64)
        for start in range(0, len(queries), _BLOCK):
            block = slice(start, start + _BLOCK)
            if not len(table):
                yield from np.zeros((len(queries[block]), 0))
                continue
            products = torch.mm(queries[block], table.T, out=memory[: len(queries[block])])
            values: Floats = products.numpy()
            values.round(_DECIMALS, out=values)
            if not valid.all():
                values[:, ~valid] = -np.inf
            values[~valid_queries[block]] = -np.inf
            yield from values

    def listed(self, queries: Sequence[Query], name: str) -> Iterator[Counts]:
        """For each query how often its gallery lists each test scene, [S]."""
        for start in range(0, len(queries), _BLOCK):
            galleries = [query.gallery for query in queries[start : start + _BLOCK]]
            try:  # a block at once: names that were just looked up are looked up faster
                places = [self._places(gallery) for gallery in galleries]
            except KeyError as missing:
                raise DataError(
                    f"{name} searches in {missing}, which is not a test scene: repair its queries"
                ) from None
            yield from (np.bincount(one, minlength=len(self.index)) for one in places)

    def _places(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The index of each name's scene."""
        if len(names) < 2:  # itemgetter, much faster than a loop, gives a tuple of two or more alone
            return np.array([self.index[name] for name in names], dtype=np.int64)
        return np.fromiter(itemgetter(*names)(self.index), np.int64, len(names))

    def rows(self, scene: int) -> slice:
        return slice(self.starts[scene], self.starts[scene + 1])


@dataclass(frozen=True)
class _Ranking:
    """All that the rules make of one query's similarities."""

    similarities: Floats
    """[M] to all detections, re-ranked where the rules say so"""
    searched: NDArray[np.bool_]
    """[M] which of them lie in the gallery"""
    right: NDArray[np.int64]
    """The rows that are right"""
    relevant: int
    """How much there was to find"""


def _judge(
    table: _Table, query: Query, embedding: Tensor, similarities: Floats, listed: Counts, name: str
) -> tuple[float | None, int | None]:
    """Average precision and rank of the first hit of one query; twice None when nothing is left to find."""
    ranking = _ranked(table, query, embedding, similarities, listed, name)
    if ranking is None:
        return None, None
    scores, hits = ranking.similarities[ranking.searched], ranking.similarities[ranking.right]
    return average_precision(scores, hits, ranking.relevant), first_hit_rank(scores, hits)


def _ranked(
    table: _Table, query: Query, embedding: Tensor, similarities: Floats, listed: Counts, name: str
) -> _Ranking | None:
    """None when the rules leave nothing to find but the query itself."""
    present = _present(table, query, listed)
    if not present:
        raise DataError(
            f"{name} asks for person {query.identity} of {query.scene} in a gallery without that person: "
            "repair its queries"
        )
    own = table.index.get(query.scene)
    if own is not None and not table.rules.own_scene:
        listed[own] = 0
        present = [(scene, box) for scene, box in present if scene != own]
        if not present:
            return None
    searched = listed > 0
    if table.rules.cbgm is not None:
        similarities = _reranked(table, query, embedding, similarities, searched, table.rules.cbgm)
    if table.rank is not None:
        similarities = _ranked_by(table.rank, table, embedding, similarities, searched)
    # a set: two boxes of the person may have one detection
    right = {row for scene, box in present if (row := _hit(table, scene, box, similarities)) is not None}
    relevant = sum(listed[scene] for scene, _ in present) if table.rules.count_repeats else len(present)
    return _Ranking(similarities, searched[table.scene_of], np.array(sorted(right), dtype=np.int64), int(relevant))


def _present(table: _Table, query: Query, listed: Counts) -> list[tuple[int, Box]]:
    """What there is to find: scene and box. The query's own box only if its scene has no other box of the person."""
    present = [(scene, box) for scene, box in table.persons.get(query.identity, ()) if listed[scene]]
    own = table.index.get(query.scene)
    others = [(scene, box) for scene, box in present if scene != own or box != query.box]
    again = any(scene == own for scene, _ in others)
    return others if again else present


def _reranked(
    table: _Table, query: Query, embedding: Tensor, similarities: Floats, searched: NDArray[np.bool_], settings: CBGM
) -> Floats:
    """The similarities after context bipartite graph matching."""
    if query.scene not in table.index:
        return similarities
    rows = table.rows(table.index[query.scene])
    near = box_ious(np.array([query.box]), table.boxes[rows])[0] >= table.rules.iou
    order = np.argsort(-table.scores[rows][~near], kind="stable")
    context = table.embeddings[rows][torch.from_numpy(~near)][torch.from_numpy(order)]
    scenes = [table.rows(int(scene)) for scene in np.flatnonzero(searched)]
    return rerank(similarities, embedding.double(), context, table.embeddings, scenes, settings)


def _ranked_by(
    rank: Rank, table: _Table, embedding: Tensor, similarities: Floats, searched: NDArray[np.bool_]
) -> Floats:
    """What `rank` makes of the people of one gallery; -inf for all others."""
    rows = np.flatnonzero(searched[table.scene_of])
    people = Searched(
        torch.from_numpy(similarities[rows]),
        table.embeddings[rows],
        torch.from_numpy(table.scores[rows]),
        torch.from_numpy(table.scene_of[rows]),
    )
    ranked = np.full_like(similarities, -np.inf)
    if len(rows):
        ranked[rows] = rank(embedding.double(), people).numpy().round(_DECIMALS)
    return ranked


def _hit(table: _Table, scene: int, box: Box, similarities: Floats) -> int | None:
    """Row of the scene's most similar detection that overlaps the box enough; None without one."""
    rows = table.rows(scene)
    width, height = box[2] - box[0], box[3] - box[1]
    margin = table.rules.iou_margin
    needed = min(table.rules.iou, width * height / ((width + margin) * (height + margin)))
    ious = box_ious(np.array([box]), table.boxes[rows])[0]
    values = np.where((ious >= needed) & (ious > 0), similarities[rows], -np.inf)
    if not np.isfinite(values).any():
        return None
    return int(rows.start + values.argmax())


def _finite(embeddings: Tensor) -> tuple[Tensor, NDArray[np.bool_]]:
    """The embeddings [N, D] as float64, with zeros for those that are not finite, and which [N] are."""
    valid = embeddings.isfinite().all(dim=-1)
    wide = embeddings.double()
    return wide if valid.all() else wide.where(valid[..., None], 0.0), valid.numpy()


def _kept(
    detections: Mapping[str, Detections], names: Sequence[str], threshold: float
) -> tuple[Floats, Floats, NDArray[np.int64], list[Tensor]]:
    """Boxes [M, 4], scores [M] and scenes' numbers [M] of the detections from the threshold on, scene after scene;
    and for each scene which of its detections these are."""
    for name in names:
        if name not in detections:
            raise DataError(f"the detections of scene {name} are missing: give all test scenes, empty ones too")
    found = [detections[name] for name in names]
    kept = [(one.scores >= threshold).cpu() for one in found]  # not so for NaN
    keep = torch.cat(kept)
    boxes = torch.cat([one.boxes.cpu() for one in found])[keep].detach().double().numpy()
    scores = torch.cat([one.scores.cpu() for one in found])[keep].detach().double().numpy()
    scene_of = np.repeat(np.arange(len(found)), [len(one) for one in found])[keep.numpy()]
    return boxes, scores, scene_of, kept


def rules_of(profile: str, score_threshold: float | None = None, cbgm: tuple[int, int] | None = None) -> Rules:
    """A profile's rules with some of them changed. Raises SettingError for an unknown profile."""
    if profile not in PROFILES:
        raise SettingError(f"profile {profile}: choose one of {', '.join(PROFILES)}")
    rules = PROFILES[profile]
    if score_threshold is not None:
        rules = replace(rules, score_threshold=score_threshold)
    return rules if cbgm is None else replace(rules, cbgm=CBGM(*cbgm))
