"""Do rendered people cover what real cameras show? Statistics of people's patches, data beside data.

    python research/patch_statistics.py coco:DIR mot:DIR crops:DIR

prints one table: for each statistic the 5th, 50th and 95th percentile over the people of each data set.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from personsearch.data.records import Benchmark, Box, Scene
from personsearch.data.sources import load_benchmark
from personsearch.errors import PersonSearchError

SIZE = (60, 160)
"""Pixels, width and height, to which patches are brought before their pixels are compared."""
LUMA = np.array([0.299, 0.587, 0.114])
PIXEL_STATISTICS = (
    "red", "green", "blue", "spread of red", "spread of green", "spread of blue", "saturation", "contrast",
    "darkest", "brightest", "sharpness",
)  # fmt: skip
STATISTICS = ("height", "width / height", *PIXEL_STATISTICS)


def describe_pixels(patch: Image.Image) -> list[float]:
    """PIXEL_STATISTICS of an RGB patch: means and standard deviations in [0, 255], saturation (HSV) in [0, 1],
    contrast as the deviation of brightness, its 2nd and 98th percentile, and the decimal logarithm of the variance of
    its Laplacian."""
    pixels = np.asarray(patch.resize(SIZE, Image.Resampling.BICUBIC, reducing_gap=3.0), np.float64)
    luma = pixels @ LUMA
    high = pixels.max(2)
    saturation = ((high - pixels.min(2)) / np.maximum(high, 1)).mean()
    flat = pixels.reshape(-1, 3)
    edges = np.log10(ndimage.laplace(luma).var() + 1e-3)
    low, top = np.percentile(luma, (2, 98))
    return [*flat.mean(0), *flat.std(0), float(saturation), float(luma.std()), float(low), float(top), float(edges)]


def patches(scene: Scene, image: Image.Image, least: int) -> list[tuple[Box, Image.Image]]:
    """The people of a scene whose box, cut at the border, is at least `least` pixels high."""
    found = []
    for person in scene.persons:
        x1, y1, x2, y2 = person.box
        box = (max(0, round(x1)), max(0, round(y1)), min(scene.width, round(x2)), min(scene.height, round(y2)))
        if box[2] - box[0] >= 4 and box[3] - box[1] >= least:
            found.append(((x1, y1, x2, y2), image.crop(box)))
    return found


def describe(benchmark: Benchmark, scenes: int, least: int) -> NDArray[np.float64]:
    """[N, STATISTICS] of the people of up to `scenes` scenes, spread evenly over the data."""
    every = list({scene.name: scene for scene in (*benchmark.train, *benchmark.test)}.values())
    chosen = np.unique(np.linspace(0, len(every) - 1, min(scenes, len(every))).round().astype(int))
    rows = []
    for index in chosen:
        scene = every[index]
        for (x1, y1, x2, y2), patch in patches(scene, scene.read(), least):
            rows.append([y2 - y1, (x2 - x1) / (y2 - y1), *describe_pixels(patch)])
    return np.asarray(rows, np.float64).reshape(-1, len(STATISTICS))


def table(names: list[str], columns: list[NDArray[np.float64]]) -> str:
    """Statistics as rows of Markdown, data sets as columns."""
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines.append("| people | " + " | ".join(f"{len(column):,}" for column in columns) + " |")
    for k, statistic in enumerate(STATISTICS):
        digits = 2 if statistic in ("width / height", "saturation", "sharpness") else 0
        cells = ["–" if not len(c) else _three(np.percentile(c[:, k], (5, 50, 95)), digits) for c in columns]
        lines.append(f"| {statistic} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _three(values: NDArray[np.float64], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("specs", nargs="+", metavar="SPEC", help="data, such as coco:DIR or crops:DIR")
    parser.add_argument("--scenes", type=int, default=1000, help="at most so many pictures of each")
    parser.add_argument("--least", type=int, default=40, help="pixels; lower people are left out")
    options = parser.parse_args()
    try:
        columns = [describe(load_benchmark(spec), options.scenes, options.least) for spec in options.specs]
    except PersonSearchError as error:
        sys.exit(f"error: {error}")
    print(table([f"`{spec}`" for spec in options.specs], columns))


if __name__ == "__main__":
    main()
