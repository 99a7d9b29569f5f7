"""The floor for any trained model: a person as the colours of six stripes, on annotated boxes.

    python research/colour_histogram.py mot:DIR

prints one JSON document. Detection figures are left out, since the boxes are those of the annotation.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.errors import PersonSearchError
from personsearch.evaluation.protocols import evaluate_search, labeled_boxes
from personsearch.geometry.detections import Detections

STRIPES = 6
HUES, SATURATIONS, VALUES = 8, 4, 8
"""Bins. Hue and saturation are counted together, value by itself, for it tells grey clothes apart."""


def embed(image: Image.Image, boxes: Tensor) -> Tensor:
    """[N, D] unit-length colour histograms of the boxes [N, 4] of an RGB picture."""
    pixels = np.asarray(image.convert("HSV")).astype(np.int64)
    rows = [stripes_histogram(_cut(pixels, box)) for box in boxes.tolist()]
    size = STRIPES * (HUES * SATURATIONS + VALUES)
    return torch.from_numpy(np.stack(rows) if rows else np.zeros((0, size))).float()


def stripes_histogram(person: NDArray[np.int64]) -> NDArray[np.float64]:
    """[D] of the HSV pixels [H, W, 3]: square roots of the parts that each colour has of each stripe.

    The square root makes the cosine of two histograms their Bhattacharyya coefficient.
    """
    parts = []
    for stripe in np.array_split(person, STRIPES):
        hue, saturation, value = stripe.reshape(-1, 3).T
        colour = hue * HUES // 256 * SATURATIONS + saturation * SATURATIONS // 256
        parts.append(np.bincount(colour, minlength=HUES * SATURATIONS) / max(len(hue), 1))
        parts.append(np.bincount(value * VALUES // 256, minlength=VALUES) / max(len(hue), 1))
    histogram = np.sqrt(np.concatenate(parts))
    unit: NDArray[np.float64] = histogram / max(np.linalg.norm(histogram), 1e-12)
    return unit


def describe(benchmark: Benchmark) -> tuple[dict[str, Detections], Tensor]:
    """Annotated boxes of all test scenes as detections, and the queries' embeddings [Q, D]."""
    found: dict[str, Detections] = {}
    queries: dict[int, Tensor] = {}
    wanted: dict[str, list[int]] = {}
    for index, query in enumerate(benchmark.queries):
        wanted.setdefault(query.scene, []).append(index)
    for scene in benchmark.test:
        image, boxes = scene.read(), labeled_boxes(scene)
        found[scene.name] = Detections(boxes, torch.ones(len(boxes)), embed(image, boxes))
        indices = wanted.get(scene.name, [])
        asked = torch.tensor([benchmark.queries[index].box for index in indices]).reshape(-1, 4)
        queries.update(zip(indices, embed(image, asked), strict=True))
    return found, torch.stack([queries[index] for index in range(len(queries))])


def _cut(pixels: NDArray[np.int64], box: list[float]) -> NDArray[np.int64]:
    """The pixels of a box, one at least."""
    x1, y1, x2, y2 = (round(value) for value in box)
    x1, y1 = min(x1, pixels.shape[1] - 1), min(y1, pixels.shape[0] - 1)
    return pixels[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="such as mot:DIR or coco:DIR")
    spec = parser.parse_args().data
    try:
        benchmark = load_benchmark(spec)
        found, queries = describe(benchmark)
        result = evaluate_search(benchmark, found, queries)
    except PersonSearchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    figures = {key: value for key, value in result.as_dict().items() if not key.startswith("detection")}
    counts = {"scenes": len(benchmark.test), "queries": len(benchmark.queries)}
    print(json.dumps({"data": benchmark.name, "boxes": "labeled"} | counts | figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
