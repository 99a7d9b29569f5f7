"""How far an exported network is from the one that it was made of, on a benchmark: boxes, scores, embeddings, mAP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from personsearch.data.records import Benchmark
from personsearch.evaluation.one_stage import Evaluation
from personsearch.evaluation.protocols import PROFILES, evaluate_guided
from personsearch.evaluation.two_stage import asked_scenes, read_queries
from personsearch.geometry.detections import Detections
from personsearch.models.guided import GuidedNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.proposals import ProposalSearch

GATE, GATE_INT8 = 0.1, 0.5
"""By how many points mAP may fall."""
LEAST_COSINE = 0.99
"""Of the embeddings of one person by both, for runtimes that agree: bfloat16 in torch stays above it, eight bits do
not."""
_SURE = 0.5
_SAME = 0.5
"""Least overlap of two boxes of one person."""


@dataclass(frozen=True)
class Parity:
    """What `parity.json` says."""

    data: str
    scenes: int
    queries: int
    people: int
    """Whom torch finds with a score of 0.5 and more; of IGPN, for each query."""
    found_by_both: int
    least_overlap: float
    """Of the boxes of those found by both; 1 without any."""
    largest_score_difference: float
    least_cosine: float
    """Of what is read of queries: embeddings, by both branches if each has its weights, or IGPN's features."""
    mean_cosine: float
    map_torch: float
    map_exported: float
    gate: float
    map_patches_torch: float | None = None
    """By an instance-aware branch that has weights of its own, on labelled boxes"""
    map_patches_exported: float | None = None

    @property
    def worse(self) -> tuple[float, float]:
        """mAP by torch and exported, of the branch that loses more."""
        branches = [(self.map_torch, self.map_exported)]
        if self.map_patches_torch is not None and self.map_patches_exported is not None:
            branches.append((self.map_patches_torch, self.map_patches_exported))
        return max(branches, key=lambda branch: branch[0] - branch[1])

    @property
    def fall(self) -> float:
        """By how many points mAP falls."""
        before, after = self.worse
        return 100 * (before - after)

    @property
    def passes(self) -> bool:
        return self.fall <= self.gate

    @property
    def agrees(self) -> bool:
        """Whether embeddings of both may be compared with each other."""
        return self.least_cosine >= LEAST_COSINE

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"fall": self.fall, "passes": self.passes, "agrees": self.agrees}


@dataclass(frozen=True)
class Judged:
    """What a network answers on a benchmark, and how good that is."""

    found: Mapping[str, Detections]
    """By scene, or by query and scene where what is found depends on the query"""
    queries: Tensor
    """[Q, D]: what is read of each query"""
    mean_ap: float
    patches_ap: float | None = None
    """mAP by an instance-aware branch that has weights of its own"""

    @classmethod
    def of(cls, evaluation: Evaluation) -> Judged:
        """Of a network whose scenes do not depend on the query."""
        mean_ap = evaluation.result.as_dict()["mAP"] or 0.0
        return cls(evaluation.detections, evaluation.query_embeddings, mean_ap)

    def beside(self, patches: Judged) -> Judged:
        """With what the instance-aware branch reads of the same queries."""
        queries = torch.cat([self.queries, patches.queries])
        return replace(self, queries=queries, patches_ap=patches.mean_ap)


def judge_proposer(proposer: GuidedNetwork, benchmark: Benchmark, progress: Progress = quiet) -> Judged:
    """Of an IGPN, by its own similarities."""
    codes, _ = read_queries(proposer, None, benchmark, progress)
    search = ProposalSearch(proposer, codes, benchmark.test, progress=progress)
    answers = search.propose(asked_scenes(benchmark.queries, PROFILES["strict"]))
    plain = ({name: (each.boxes, each.similarities) for name, each in by_scene.items()} for by_scene in answers)
    found = {
        f"{number}: {name}": Detections(each.boxes, each.similarities, torch.zeros(len(each), 0))
        for number, by_scene in enumerate(answers)
        for name, each in by_scene.items()
    }
    features = torch.cat([code.features for code in codes]).float().cpu()
    return Judged(found, features, evaluate_guided(benchmark, plain).as_dict()["mAP"] or 0.0)


def compare(torchs: Judged, exported: Judged, data: str, benchmark: Benchmark, gate: float) -> Parity:
    """Both judged on one benchmark, in the same way."""
    people, overlaps, differences = 0, [1.0], [0.0]
    for name, found in torchs.found.items():
        sure = found[found.scores >= _SURE]
        people += len(sure)
        for overlap, difference in _pairs(sure, exported.found[name]):
            overlaps.append(overlap)
            differences.append(difference)
    cosines = F.cosine_similarity(torchs.queries, exported.queries)
    return Parity(
        data=data,
        scenes=len(benchmark.test),
        queries=len(benchmark.queries),
        people=people,
        found_by_both=len(overlaps) - 1,
        least_overlap=min(overlaps),
        largest_score_difference=max(differences),
        least_cosine=float(cosines.min()) if len(cosines) else 1.0,
        mean_cosine=float(cosines.mean()) if len(cosines) else 1.0,
        map_torch=torchs.mean_ap,
        map_exported=exported.mean_ap,
        gate=gate,
        map_patches_torch=torchs.patches_ap,
        map_patches_exported=exported.patches_ap,
    )


def _pairs(sure: Detections, others: Detections) -> list[tuple[float, float]]:
    """Overlap and difference of scores of each sure person and whom the other finds there, if it finds somebody."""
    if not len(sure) or not len(others):
        return []
    overlap, best = box_iou(sure.boxes, others.boxes).max(dim=1)
    differences = (sure.scores - others.scores[best]).abs()
    there = torch.nonzero(overlap >= _SAME).flatten().tolist()
    return [(float(overlap[row]), float(differences[row])) for row in there]
