"""Evaluation in two stages (IGPN, section 3.4): a proposer that knows the query, then a re-id network for the rest."""

from __future__ import annotations

from itertools import chain, pairwise

import torch
from torch import Tensor

from personsearch.data.queries import queries_by_scene
from personsearch.data.records import Benchmark
from personsearch.evaluation.protocols import PROFILES, Rules, SearchResult, evaluate_guided
from personsearch.models.igpn import IGPN, QueryCode
from personsearch.models.readers import Embedder
from personsearch.progress import Progress, quiet
from personsearch.search.proposals import Answers, ProposalSearch
from personsearch.search.two_stage import check_candidates, embed_again

_AT_ONCE = 2**20
"""Most scenes' answers, of all queries, that are held at once: about 1.5 GB."""


def evaluate_two_stages(
    proposer: IGPN,
    benchmark: Benchmark,
    *,
    embedder: Embedder | None = None,
    keep: int | None = None,
    candidates: int | None = None,
    rules: Rules = PROFILES["strict"],
    progress: Progress = quiet,
) -> SearchResult:
    """Judges a proposer by its own similarities, or those of an embedder on what it leaves.

    `keep` proposals of a query's whole gallery, the most alike ones, are judged or go on; all when None. Of what the
    proposer's first stage finds there, the second one looks at the best `candidates`; at all when None.
    """
    check_candidates(candidates)
    codes, embeddings = read_queries(proposer, embedder, benchmark, progress)

    def answers(start: int, end: int) -> list[Answers]:
        asking: dict[str, list[int]] = {}
        for index, query in enumerate(benchmark.queries[start:end]):
            for name in dict.fromkeys(query.gallery):
                if name != query.scene or rules.own_scene:
                    asking.setdefault(name, []).append(index)
        search = ProposalSearch(proposer, codes[start:end], benchmark.test, progress=progress)
        found = search.propose(asking, keep=keep, candidates=candidates)
        if embedder is None:
            return found
        return embed_again(embedder, benchmark.test, found, embeddings[start:end], progress=progress)

    shares = _shares(benchmark, _AT_ONCE)
    found = chain.from_iterable(answers(*share) for share in shares)
    plain = ({name: (some.boxes, some.similarities) for name, some in one.items()} for one in found)
    return evaluate_guided(benchmark, plain, rules=rules)


def _shares(benchmark: Benchmark, most: int) -> list[tuple[int, int]]:
    """Ranges of queries whose galleries have together at most `most` scenes, or which are a single query's.

    Scenes are encoded once for each.
    """
    starts, held = [0], 0
    for place, query in enumerate(benchmark.queries):
        held += len(query.gallery)
        if held > most and place > starts[-1]:
            starts.append(place)
            held = len(query.gallery)
    return list(pairwise([*starts, len(benchmark.queries)]))


def read_queries(
    proposer: IGPN, embedder: Embedder | None, benchmark: Benchmark, progress: Progress = quiet
) -> tuple[list[QueryCode], list[Tensor]]:
    """Codes and, with an embedder, embeddings [D] of all queries, in their order. Each scene is read once."""
    scenes = {scene.name: scene for scene in benchmark.test}
    asked = queries_by_scene(benchmark.queries)
    codes: dict[int, QueryCode] = {}
    embeddings: dict[int, Tensor] = {}
    for name, places in progress(asked.items(), "reading queries", len(asked)):
        image = scenes[name].read()
        boxes = [benchmark.queries[place].box for place in places]
        codes |= {place: proposer.encode_query(image, [box]) for place, box in zip(places, boxes, strict=True)}
        if embedder is not None:
            embeddings |= zip(places, embedder.embed(image, torch.tensor(boxes)), strict=True)
    return [codes[place] for place in sorted(codes)], [embeddings[place] for place in sorted(embeddings)]
