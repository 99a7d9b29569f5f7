"""Which annotated people a detector misses, and why. Run: python research/misses.py MODEL DATA

Of the people with an identity in the test scenes: how many are found, and for the others whether any box before
the final suppression would have done, and whose box it lost to. What counts as found is the rule of evaluation.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

from torch import Tensor
from torchvision.ops import box_iou, nms

from personsearch.data.records import UNLABELED
from personsearch.data.sources import load_benchmark
from personsearch.evaluation.protocols import Rules, labeled_boxes
from personsearch.models.weights import load_weights

KEPT = 1.0
"""A suppression that keeps everything."""


def needed(truth: Tensor, rules: Rules) -> Tensor:
    """[P] the overlap that each true box [P, 4] asks for."""
    width, height = (truth[:, 2:] - truth[:, :2]).unbind(1)
    return (width * height / ((width + rules.iou_margin) * (height + rules.iou_margin))).clamp(max=rules.iou)


def main() -> None:
    name, data = sys.argv[1:]
    model, rules = load_weights(name).model, Rules()
    iou = model.settings.nms_iou
    model.settings = replace(model.settings, nms_iou=KEPT)
    counts: Counter[str] = Counter()
    for scene in load_benchmark(data).test:
        truth = labeled_boxes(scene)
        found = model.detect(scene.read(), rules.score_threshold)
        overlap = box_iou(truth, found.boxes)  # [P, N]
        kept = nms(found.boxes, found.scores, iou)
        for index, (person, least) in enumerate(zip(scene.persons, needed(truth, rules), strict=True)):
            if person.identity == UNLABELED:
                continue
            mine = overlap[index]
            if (mine[kept] >= least).any():
                counts["found"] += 1
            elif not (mine >= least).any():
                counts["no box fits"] += 1
            else:
                winner = kept[box_iou(found.boxes[mine.argmax()][None], found.boxes[kept])[0].argmax()]
                own = overlap[:, winner].argmax() == index
                counts["lost to a worse box of the same person" if own else "lost to a neighbour's box"] += 1
    total = sum(counts.values())
    for why, count in counts.most_common():
        print(f"{why:40} {count:6} {count / max(1, total):7.1%}")
    print(f"{'people':40} {total:6}")


if __name__ == "__main__":
    main()
