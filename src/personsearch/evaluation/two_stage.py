"""Evaluation in two stages (IGPN, section 3.4): a proposer that knows the query, then a re-id network for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import torch
from torch import Tensor

from personsearch.data.queries import queries_by_scene
from personsearch.data.records import Benchmark, Query
from personsearch.evaluation.protocols import PROFILES, Rules, SearchResult, evaluate_guided
from personsearch.models.guided import GuidedNetwork, QueryCode
from personsearch.models.readers import Embedder
from personsearch.progress import Progress, quiet
from personsearch.search.proposals import Answers, ProposalSearch
from personsearch.search.two_stage import check_candidates, embed_again

_AT_ONCE = 2**20
"""Most answers, of one scene to one query each, that are in memory at once: about 1.5 GB."""


def evaluate_two_stages(
    proposer: GuidedNetwork,
    benchmark: Benchmark,
    *,
    embedder: Embedder | None = None,
    keep: int | None = None,
    candidates: int | None = None,
    rules: Rules = PROFILES["strict"],
    progress: Progress = quiet,
) -> SearchResult:
    """Judges a proposer by its own similarities, or by those of an embedder for the proposals that it keeps.

    `keep` is how many proposals of a query's whole gallery, the most similar ones, are judged or embedded; all when
    None. `candidates` is how many that the first stage finds there are related to the query; all when None.
    """
    check_candidates(candidates)
    codes, embeddings = read_queries(proposer, embedder, benchmark, progress)

    def answers(start: int, end: int) -> list[Answers]:
        asking = asked_scenes(benchmark.queries[start:end], rules)
        search = ProposalSearch(proposer, codes[start:end], benchmark.test, progress=progress)
        found = search.propose(asking, keep=keep, candidates=candidates)
        if embedder is None:
            return found
        return embed_again(embedder, benchmark.test, found, embeddings[start:end], progress=progress)

    shares = _shares(benchmark, _AT_ONCE)
    found = chain.from_iterable(answers(*share) for share in shares)
    plain = ({name: (each.boxes, each.similarities) for name, each in by_scene.items()} for by_scene in found)
    return evaluate_guided(benchmark, plain, rules=rules)


def asked_scenes(queries: Sequence[Query], rules: Rules) -> dict[str, list[int]]:
    """From the names of scenes to the indices of the queries whose gallery they are in."""
    asking: dict[str, list[int]] = {}
    for index, query in enumerate(queries):
        for name in dict.fromkeys(query.gallery):
            if name != query.scene or rules.own_scene:
                asking.setdefault(name, []).append(index)
    return asking


def _shares(benchmark: Benchmark, most: int) -> list[tuple[int, int]]:
    """Ranges [start, end) of queries whose galleries list at most `most` scenes together, or of one larger gallery.

    Scenes are encoded once for each range.
    """
    starts, count = [0], 0
    for index, query in enumerate(benchmark.queries):
        count += len(query.gallery)
        if count > most and index > starts[-1]:
            starts.append(index)
            count = len(query.gallery)
    return list(pairwise([*starts, len(benchmark.queries)]))


def read_queries(
    proposer: GuidedNetwork, embedder: Embedder | None, benchmark: Benchmark, progress: Progress = quiet
) -> tuple[list[QueryCode], list[Tensor]]:
    """Codes and, with an embedder, embeddings [D] of all queries, in their order. Each scene is read once."""
    scenes = {scene.name: scene for scene in benchmark.test}
    by_scene = queries_by_scene(benchmark.queries)
    codes: dict[int, QueryCode] = {}
    embeddings: dict[int, Tensor] = {}
    for name, indices in progress(by_scene.items(), "reading queries", len(by_scene)):
        image = scenes[name].read()
        boxes = [benchmark.queries[index].box for index in indices]
        codes |= {index: proposer.encode_query(image, [box]) for index, box in zip(indices, boxes, strict=True)}
        if embedder is not None:
            embeddings |= zip(indices, embedder.embed(image, torch.tensor(boxes)), strict=True)
    return [codes[index] for index in sorted(codes)], [embeddings[index] for index in sorted(embeddings)]
