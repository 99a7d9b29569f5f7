"""What a second look by IGPN is worth: who was missed and is found, and what it does to the ranking.

Run: python research/second_look.py IGPN DATA [--look-again 50] [--size SHORT LONG] [--answers] [--gallery-size 100]

The same detections and queries without a second look, and with one, two and three of the boxes that IGPN likes best in
each scene. Without --size the trunk reads scenes at its own size, and IGPN at its.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import torch
from proposer_misses import fits

from personsearch.data.sources import load_benchmark
from personsearch.evaluation.evaluate import projections_of, resized
from personsearch.evaluation.protocols import PROFILES, SearchResult
from personsearch.evaluation.second_look import Looked, look
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.weights import load_proposer, load_trunk_of, trunk_folder
from personsearch.runtime import best_device, keep_memory
from personsearch.search.looking_again import EACH


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("igpn")
    options.add_argument("data")
    options.add_argument("--look-again", type=int, default=50)
    options.add_argument("--size", type=int, nargs=2)
    options.add_argument("--answers", action="store_true", help="read and rank as search does")
    options.add_argument("--gallery-size", type=int)
    given = options.parse_args()
    keep_memory()
    size = {} if given.gallery_size is None else {"gallery_size": given.gallery_size}
    benchmark = load_benchmark(given.data, **size)
    change = partial(resized, size=None if given.size is None else tuple(given.size))
    proposer = load_proposer(given.igpn, best_device(), change).model
    if not isinstance(proposer, TrunkIGPN):
        raise SystemExit(f"{given.igpn} stands on no trunk, whose people would be asked first: give one that does")
    trunk = load_trunk_of(given.igpn, best_device(), change).model
    projections = projections_of(trunk_folder(given.igpn)) if given.answers else None
    start = time.perf_counter()
    looked = look(proposer, trunk, benchmark, given.look_again, rules=PROFILES["strict"], projections=projections)
    seconds = time.perf_counter() - start
    print(f"{len(benchmark.queries)} queries, {seconds / len(benchmark.queries):.1f} s each, scenes read once included")
    print(f"without a second look: {_figures(looked.result(0))}")
    for each in range(1, EACH + 1):
        print(f"with {each} of a scene: {_figures(looked.result(each))}")
    shown, missed, regained = people(looked)
    print(f"sights of people asked for: {shown}; missed by the detector: {missed}, of these found again: {regained}")


def people(looked: Looked) -> tuple[int, int, int]:
    """Sights, in the scenes that were looked at again, of people who are asked for; those without a detection that
    fits; and of these the ones with a found box that fits."""
    scenes = {scene.name: scene for scene in looked.asked.benchmark.test}
    shown = missed = regained = 0
    for query, found in zip(looked.asked.benchmark.queries, looked.found, strict=True):
        for name, again in found.items():
            for person in scenes[name].persons:
                if person.identity != query.identity:
                    continue
                box = torch.tensor([person.box])
                shown += 1
                lost = not fits(looked.asked.people[name].boxes, box)
                missed += lost
                regained += lost and fits(again.boxes, box)
    return shown, missed, regained


def _figures(result: SearchResult) -> str:
    return f"mAP {result.mAP:.3f}, top-1 {result.top1:.3f}"


if __name__ == "__main__":
    main()
