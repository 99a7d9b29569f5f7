"""Where an IGPN loses people, stage by stage.

Of the gallery scenes that show the person asked for: in how many does a proposal of the first stage fit, in how many
one of the second stage, and in how many is the second stage's best one right. Of all gallery scenes: how surely does
the global relation branch tell those that show the person from the others.

Run: python research/proposer_misses.py IGPN DATA [--gallery-size 15] [--queries 60] [--proposals 16]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from statistics import mean

import torch
from misses import needed
from torch import Tensor
from torchvision.ops import box_iou

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.protocols import Rules
from personsearch.evaluation.two_stage import read_queries
from personsearch.models.igpn import IGPN
from personsearch.models.region_features import RegionFeatures
from personsearch.models.weights import load_proposer
from personsearch.runtime import best_device, mixed_precision


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("igpn")
    options.add_argument("data")
    options.add_argument("--gallery-size", type=int)
    options.add_argument("--queries", type=int, help="only the first so many")
    options.add_argument("--proposals", type=int, help="of a scene; the weights' own number by default")
    given = options.parse_args()
    size = {} if given.gallery_size is None else {"gallery_size": given.gallery_size}
    benchmark = load_benchmark(given.data, **size)
    benchmark = replace(benchmark, queries=benchmark.queries[: given.queries])
    proposer = load_proposer(given.igpn, best_device()).model
    if given.proposals is not None:
        proposals = replace(proposer.settings.proposals, after_nms=given.proposals)
        proposer.settings = replace(proposer.settings, proposals=proposals)
    print(json.dumps(misses(proposer, benchmark), indent=1))


@torch.inference_mode()
def misses(proposer: IGPN, benchmark: Benchmark) -> dict[str, float | int | None]:
    """Shares of the gallery scenes that show the person, and the branch's area under the ROC curve over all scenes."""
    codes, _ = read_queries(proposer, None, benchmark)
    asking: dict[str, list[int]] = defaultdict(list)
    for place, query in enumerate(benchmark.queries):
        for name in set(query.gallery) - {query.scene}:
            asking[name].append(place)
    first, second, best = [], [], []
    shown: dict[bool, list[float]] = {True: [], False: []}
    for scene in benchmark.test:
        code = proposer.encode_scene(scene.read()) if scene.name in asking else None
        regions = RegionFeatures()
        for place in asking.get(scene.name, ()):
            assert code is not None
            query = codes[place]
            (found,) = proposer.candidates(code, query)
            with mixed_precision(found.boxes.device):
                related = proposer.relate(query, [found.boxes], proposer.read_regions(code, found.boxes, regions))
            (answer,) = proposer.compare(code, query, [found.boxes], regions)
            identity = benchmark.queries[place].identity
            truth = torch.tensor([person.box for person in scene.persons if person.identity == identity])
            shown[len(truth) > 0].append(float(related.search.softmax(dim=1)[0, 1]))
            if len(truth):
                first.append(fits((found.boxes / code.scale).cpu(), truth))
                second.append(fits(answer.boxes, truth))
                best.append(fits(answer.boxes[:1], truth))
    return {
        "scenes that show the person": len(first),
        "in the first stage": rounded(first),
        "in the second stage": rounded(second),
        "best of the second stage is right": rounded(best),
        "area under the curve of the global branch": separation(torch.tensor(shown[True]), torch.tensor(shown[False])),
    }


def fits(boxes: Tensor, truth: Tensor) -> bool:
    """Whether one of boxes [N, 4] is where one of truth [M, 4] is, by the rule of evaluation."""
    return len(boxes) > 0 and bool((box_iou(truth, boxes) >= needed(truth, Rules())[:, None]).any())


def rounded(hits: list[bool]) -> float | None:
    return round(mean(hits), 3) if hits else None


def separation(present: Tensor, absent: Tensor) -> float | None:
    """How often a scene that shows the person is surer than one that does not; equal ones count half."""
    if not len(present) or not len(absent):
        return None
    above = (present[:, None] > absent[None]).float() + 0.5 * (present[:, None] == absent[None]).float()
    return round(float(above.mean()), 3)


if __name__ == "__main__":
    main()
