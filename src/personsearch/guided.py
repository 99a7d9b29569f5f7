"""Search in two stages (IGPN, section 3.4): a proposer that knows the query, then a re-id network for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.galleries import queries_by_scene
from personsearch.data.records import Benchmark, Box
from personsearch.evaluation.protocols import Rules, SearchResult, evaluate_guided
from personsearch.models.igpn import IGPN, Proposals, QueryCode, cat_queries

Answers = dict[str, tuple[Tensor, Tensor]]
"""Boxes [N, 4] and similarities [N] of each scene, to one query."""
_TOGETHER = 8
"""Queries of one scene that are answered in one go."""


class Embedder(Protocol):
    """The re-id network of the second stage."""

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, D] unit embeddings of the people in boxes [N, 4]."""
        ...


def evaluate_two_stages(
    proposer: IGPN,
    benchmark: Benchmark,
    *,
    embedder: Embedder | None = None,
    keep: int | None = None,
    rules: Rules,
    progress: Callable[[Iterable[Any], str, int], Iterable[Any]],
) -> SearchResult:
    """Judges a proposer by its own similarities, or those of an embedder on what it leaves.

    `keep` proposals of a query's whole gallery, the most alike ones, go on; all when None. Every scene is encoded
    once, and all queries that search in it share that.
    """
    answers = propose_all(proposer, benchmark, progress)
    if keep is not None:
        answers = [keep_best(found, keep) for found in answers]
    if embedder is not None:
        answers = embed_again(embedder, benchmark, answers, progress)
    return evaluate_guided(benchmark, answers, rules=rules)


def propose_all(proposer: IGPN, benchmark: Benchmark, progress: Callable[..., Iterable[Any]]) -> list[Answers]:
    """What each scene answers to every query that searches in it."""
    codes = _query_codes(proposer, benchmark, progress)
    asking: dict[str, list[int]] = {}
    for index, query in enumerate(benchmark.queries):
        for name in dict.fromkeys(query.gallery):
            asking.setdefault(name, []).append(index)
    answers: list[Answers] = [{} for _ in benchmark.queries]
    for scene in progress(benchmark.test, "asking scenes", len(benchmark.test)):
        indices = asking.get(scene.name, [])
        if not indices:
            continue
        code = proposer.encode_scene(scene.read())
        for start in range(0, len(indices), _TOGETHER):
            some = indices[start : start + _TOGETHER]
            found: list[Proposals] = proposer.answer(code, cat_queries([codes[index] for index in some]))
            for index, proposals in zip(some, found, strict=True):
                answers[index][scene.name] = (proposals.boxes, proposals.similarities)
    return answers


def _query_codes(proposer: IGPN, benchmark: Benchmark, progress: Callable[..., Iterable[Any]]) -> list[QueryCode]:
    scenes = {scene.name: scene for scene in benchmark.test}
    asked = queries_by_scene(benchmark.queries)
    codes: dict[int, QueryCode] = {}
    for name, indices in progress(asked.items(), "reading queries", len(asked)):
        image = scenes[name].read()
        for index in indices:
            box: Box = benchmark.queries[index].box
            codes[index] = proposer.encode_query(image, [box])
    return [codes[index] for index in range(len(benchmark.queries))]


def keep_best(answers: Mapping[str, tuple[Tensor, Tensor]], count: int) -> Answers:
    """The `count` most alike proposals of a whole gallery; of several with the last similarity the first ones."""
    names = list(answers)
    similarities = torch.cat([answers[name][1] for name in names] or [torch.zeros(0)])
    kept = torch.zeros(len(similarities), dtype=torch.bool)
    kept[similarities.sort(descending=True, stable=True).indices[:count]] = True
    best: Answers = {}
    for name, chosen in zip(names, torch.split(kept, [len(answers[name][1]) for name in names]), strict=True):
        boxes, values = answers[name]
        best[name] = (boxes[chosen], values[chosen])
    return best


def embed_again(
    embedder: Embedder, benchmark: Benchmark, answers: Sequence[Answers], progress: Callable[..., Iterable[Any]]
) -> list[Answers]:
    """The same boxes with the cosines of an embedder; each scene is read once."""
    again: list[Answers] = [{} for _ in answers]
    asked = queries_by_scene(benchmark.queries)
    queries: dict[int, Tensor] = {}
    read: dict[str, list[Tensor]] = {}
    for scene in progress(benchmark.test, "embedding proposals", len(benchmark.test)):
        image = scene.read()
        own = asked.get(scene.name, [])
        if own:
            boxes = torch.tensor([benchmark.queries[index].box for index in own])
            queries |= zip(own, embedder.embed(image, boxes), strict=True)
        lists = [found[scene.name][0] if scene.name in found else torch.zeros(0, 4) for found in answers]
        everything = torch.cat(lists)
        embeddings = embedder.embed(image, everything) if len(everything) else torch.zeros(0, 1)
        read[scene.name] = list(torch.split(embeddings, [len(boxes) for boxes in lists]))
    for index, found in enumerate(answers):
        for name, (boxes, _) in found.items():
            embeddings = read[name][index]
            values = embeddings @ queries[index] if len(boxes) else torch.zeros(0)
            again[index][name] = (boxes, values)
    return again
