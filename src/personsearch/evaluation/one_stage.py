"""Evaluation in one stage: every test scene is read once, and all queries search in the same detections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from personsearch.data.queries import queries_by_scene
from personsearch.data.records import Benchmark
from personsearch.errors import SettingError
from personsearch.evaluation.protocols import PROFILES, Rules, SearchResult, evaluate_search, labeled_boxes
from personsearch.geometry.detections import Detections
from personsearch.models.readers import Reader
from personsearch.models.search_network import EMBEDDING_DIM
from personsearch.progress import Progress, quiet


@dataclass(frozen=True)
class Evaluation:
    """A judged model, and all that was judged."""

    benchmark: Benchmark
    result: SearchResult
    detections: dict[str, Detections]
    """Of each test scene."""
    query_embeddings: Tensor
    """[Q, D] in the order of the benchmark's queries."""
    rules: Rules


def evaluate_model(
    model: Reader,
    benchmark: Benchmark,
    *,
    boxes: str = "detected",
    query: str = "box",
    rules: Rules = PROFILES["strict"],
    progress: Progress = quiet,
) -> Evaluation:
    """Reads every test scene once with a model, searches for every query, and judges the answers by `rules`.

    Takes what `read_people` takes.
    """
    gallery, embeddings = read_people(model, benchmark, boxes=boxes, query=query, rules=rules, progress=progress)
    result = evaluate_search(benchmark, gallery, embeddings, rules=rules)
    return Evaluation(benchmark, result, gallery, embeddings, rules)


def read_people(
    model: Reader, benchmark: Benchmark, *, boxes: str, query: str, rules: Rules, progress: Progress = quiet
) -> tuple[dict[str, Detections], Tensor]:
    """The people of each test scene by its name, and the embeddings [Q, D] of the queries in their order.

    `boxes` says what is searched: "detected" people, or the "labeled" boxes (which leaves detection out of it).
    `query` says what a query's embedding is taken from: its annotated "box", or the "detection" that overlaps it
    best (AlignPS and PSTR; the box where none does).
    """
    encode, ask = {"detected": _detected, "labeled": _labeled}, {"box": _at_box, "detection": _at_detection}
    for name, value, known in (("boxes", boxes, encode), ("query", query, ask)):
        if value not in known:
            raise SettingError(f"{name} {value}: choose one of {', '.join(known)}")
    wanted = queries_by_scene(benchmark.queries)
    # detection AP looks at faint detections, too; below 0.05 there are far too many
    least = min(0.05, rules.score_threshold)
    by_query: dict[int, Tensor] = {}
    gallery: dict[str, Detections] = {}
    for scene in progress(benchmark.test, "embedding scenes", len(benchmark.test)):
        image = scene.read()
        gallery[scene.name] = encode[boxes](model, image, labeled_boxes(scene), least)
        if scene.name in wanted:
            indices = wanted[scene.name]
            query_boxes = torch.tensor([benchmark.queries[i].box for i in indices])
            by_query |= zip(indices, ask[query](model, image, query_boxes, gallery[scene.name]), strict=True)
    embeddings = [by_query[i] for i in range(len(by_query))]
    return gallery, torch.stack(embeddings) if embeddings else torch.zeros(0, EMBEDDING_DIM)


def _detected(model: Reader, image: Image.Image, _boxes: Tensor, least: float) -> Detections:
    return model.detect(image, score_threshold=least)


def _labeled(model: Reader, image: Image.Image, boxes: Tensor, _least: float) -> Detections:
    return Detections(boxes, torch.ones(len(boxes)), model.embed(image, boxes))


def _at_box(model: Reader, image: Image.Image, boxes: Tensor, _found: Detections) -> Tensor:
    return model.embed(image, boxes)


def _at_detection(model: Reader, image: Image.Image, boxes: Tensor, found: Detections) -> Tensor:
    embeddings = model.embed(image, boxes)
    if len(found):
        overlap, best = box_iou(boxes, found.boxes).max(dim=1)
        embeddings = torch.where(overlap[:, None] > 0, found.embeddings[best], embeddings)
    return embeddings
