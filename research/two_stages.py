"""Tables and figures of the IGPN paper: proposers alone and before re-id networks at several N, detectors and labelled
boxes before the same networks, over several sizes of gallery.

Run: python research/two_stages.py OUT.json DATA --reid R [P …] [--proposers A B …] [--detectors D …]
     [--keep 5 10 …] [--gallery-sizes 30 60 …]

Several proposers, or detectors, are seeds of one recipe: the table has means and standard deviations over them. Each
proposer is asked once with every query in each scene of its galleries of all sizes. What is finished stands in
OUT.json: a stopped comparison goes on, and several processes may add to it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from compare_variants import spread
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.evaluation.protocols import SearchResult, evaluate_guided, evaluate_search
from personsearch.evaluation.two_stage import read_queries
from personsearch.models.guided import Proposals
from personsearch.models.readers import DetectThenEmbed
from personsearch.models.reid import ReidNet
from personsearch.models.weights import load_proposer, load_reid, load_weights
from personsearch.runtime import best_device
from personsearch.search.proposals import Answers, ProposalSearch, keep_best
from personsearch.search.two_stage import embed_again

SURE = 0.5
"""Least confidence of a detector's people."""


@dataclass(frozen=True)
class Row:
    """One figure of a table."""

    what: str
    gallery: int
    keep: int | None
    mAP: float  # noqa: N815
    top1: float
    boxes: float
    """Mean number of people of a query's gallery that the last stage ranks"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    options.add_argument("data")
    for name in ("proposers", "reid", "detectors"):
        options.add_argument(f"--{name}", nargs="+", default=[])
    options.add_argument("--keep", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    options.add_argument("--gallery-sizes", type=int, nargs="+", default=[15, 30, 60])
    given = options.parse_args()
    everywhere = load_benchmark(given.data, gallery_size=len(load_benchmark(given.data).test))
    sized = {size: load_benchmark(given.data, gallery_size=size) for size in given.gallery_sizes}
    networks = {name: load_reid(name, best_device()).model for name in given.reid}
    runs: list[tuple[str, Callable[[], Iterator[Row]]]] = [
        *((name, lambda n=name: of_proposer(n, everywhere, sized, networks, given.keep)) for name in given.proposers),
        *((name, lambda n=name: of_detector(n, everywhere, sized, networks)) for name in given.detectors),
        ("labeled", lambda: of_labeled(everywhere, sized, networks)),
    ]
    for name, work in runs:
        if name not in finished(given.out):
            rows = [vars(row) for row in work()]
            part = given.out.with_suffix(f".part{os.getpid()}")
            part.write_text(json.dumps({**finished(given.out), name: rows}, indent=1) + "\n")
            part.replace(given.out)
            print(f"{name} done", flush=True)
    print_table(finished(given.out))


def finished(out: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows so far, by the name of the weights."""
    rows: dict[str, list[dict[str, Any]]] = json.loads(out.read_text()) if out.exists() else {}
    return rows


def of_proposer(
    name: str,
    everywhere: Benchmark,
    sized: dict[int, Benchmark],
    networks: dict[str, ReidNet],
    keep: list[int],
) -> Iterator[Row]:
    """Its own similarities, and each network on the N most alike proposals of each gallery."""
    proposer = load_proposer(name, best_device()).model
    codes, _ = read_queries(proposer, None, everywhere)
    asking: dict[str, list[int]] = defaultdict(list)
    for place in range(len(everywhere.queries)):
        for scene in {scene for benchmark in sized.values() for scene in benchmark.queries[place].gallery}:
            asking[scene].append(place)
    found = ProposalSearch(proposer, codes, everywhere.test).propose(asking)
    kept: dict[tuple[int, int], list[Answers]] = {}
    for size, benchmark in sized.items():
        here = [within(answers, q.gallery) for answers, q in zip(found, benchmark.queries, strict=True)]
        yield row("IGPN alone", size, None, judge(benchmark, here), here)
        for count in keep:
            kept[size, count] = [keep_best(answers, count) for answers in here]
    wanted = [union([lists[place] for lists in kept.values()]) for place in range(len(found))]
    for network_name, network in networks.items():
        again = embed_again(network, everywhere.test, wanted, read_queries(proposer, network, everywhere)[1])
        for (size, count), lists in kept.items():
            judged = [picked(some, answers) for some, answers in zip(lists, again, strict=True)]
            result = judge(sized[size], judged)
            yield row(f"IGPN + {Path(network_name).name}", size, count, result, judged)


def of_detector(
    name: str, everywhere: Benchmark, sized: dict[int, Benchmark], networks: dict[str, ReidNet]
) -> Iterator[Row]:
    """Everybody that a detector finds, told apart by each network: "Faster R-CNN + ResNet50" of Figure 6."""
    detector = load_weights(name, best_device()).model
    for network_name, network in networks.items():
        judged = evaluate_model(DetectThenEmbed(detector, network, SURE), everywhere)
        found = {scene: int((people.scores >= SURE).sum()) for scene, people in judged.detections.items()}
        for size, benchmark in sized.items():
            result = evaluate_search(benchmark, judged.detections, judged.query_embeddings)
            boxes = mean(sum(found[scene] for scene in query.gallery) for query in benchmark.queries)
            what = f"detector + {Path(network_name).name}"
            yield Row(what, size, None, result.mAP, result.top1, boxes)


def of_labeled(everywhere: Benchmark, sized: dict[int, Benchmark], networks: dict[str, ReidNet]) -> Iterator[Row]:
    """The perfect detector: "GT + ResNet50" of Figure 5."""
    for network_name, network in networks.items():
        judged = evaluate_model(network, everywhere, boxes="labeled")
        for size, benchmark in sized.items():
            result = evaluate_search(benchmark, judged.detections, judged.query_embeddings)
            boxes = mean(sum(len(judged.detections[scene]) for scene in query.gallery) for query in benchmark.queries)
            what = f"labelled boxes + {Path(network_name).name}"
            yield Row(what, size, None, result.mAP, result.top1, boxes)


def row(what: str, size: int, keep: int | None, result: SearchResult, answers: list[Answers]) -> Row:
    boxes = mean(sum(len(some) for some in found.values()) for found in answers)
    return Row(what, size, keep, result.mAP, result.top1, boxes)


def judge(benchmark: Benchmark, answers: list[Answers]) -> SearchResult:
    plain = [{name: (some.boxes, some.similarities) for name, some in found.items()} for found in answers]
    return evaluate_guided(benchmark, plain)


def within(answers: Answers, gallery: tuple[str, ...]) -> Answers:
    return {name: answers[name] for name in gallery if name in answers}


def rows_in(boxes: Tensor, others: Tensor) -> Tensor:
    """Which of boxes [N, 4] are among others [M, 4], to the bit."""
    return (boxes[:, None] == others[None]).all(dim=2).any(dim=1)


def union(lists: list[Answers]) -> Answers:
    """All boxes that are in one of several parts of the same answers."""
    together: Answers = {}
    for answers in lists:
        for name, found in answers.items():
            held = together.get(name, found[:0])
            new = found[~rows_in(found.boxes, held.boxes)]
            boxes, similarities = [held.boxes, new.boxes], [held.similarities, new.similarities]
            together[name] = Proposals(torch.cat(boxes), torch.cat(similarities))
    return together


def picked(kept: Answers, again: Answers) -> Answers:
    """The second stage's answers of those boxes alone that the first one kept."""
    return {name: again[name][rows_in(again[name].boxes, found.boxes)] for name, found in kept.items()}


def print_table(results: dict[str, list[dict[str, Any]]]) -> None:
    """Mean ± standard deviation over models of one kind."""
    groups: dict[tuple[str, int, int | None], list[dict[str, Any]]] = defaultdict(list)
    for rows in results.values():
        for one in rows:
            groups[one["what"], one["gallery"], one["keep"]].append(one)
    print("| what | gallery | N | people ranked | mAP | top-1 | models |")
    print("|---|---|---|---|---|---|---|")
    for (what, gallery, keep), rows in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        cells = [spread([one[column] for one in rows]) for column in ("mAP", "top1")]
        boxes = mean(one["boxes"] for one in rows)
        print(f"| {what} | {gallery} | {keep or ''} | {boxes:.0f} | {cells[0]} | {cells[1]} | {len(rows)} |")


if __name__ == "__main__":
    main()
