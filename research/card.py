"""Where weights hold and where they fail: figures by height, occlusion, camera, place, skin, body and clothing.

Run: python research/card.py MODEL DIR --wardrobe ASSETS [--keep FOLDER] [--gallery-size 100]

DIR is what `synthesize DIR --wardrobe ASSETS` wrote: the renderer knows of everybody what nobody may guess of real
people. Every clear sight of everybody is asked for in a gallery of scenes drawn by chance, by the cosine of the
embedding and as `search` answers.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from answers import boxes_of_queries, judge, rows, shown
from kept_features import read_scenes
from PIL import Image

from personsearch.data.queries import draw_gallery, scenes_holding
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.data.sources import load_benchmark
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import load_projections
from personsearch.models.weights import find_weights, load_weights
from personsearch.runtime import best_device
from personsearch.synthesis.attire import HAIR, Dressed, attire_of, is_woman
from personsearch.synthesis.figures import SKIN
from personsearch.synthesis.outfits import identity_of
from personsearch.synthesis.sensors import sensor_of
from personsearch.synthesis.wardrobe import load_wardrobe

LEAST = 30
"""Least height, in pixels, and `VISIBLE` the least visible part, of a sight that is asked for."""
VISIBLE = 0.35
FEWEST = 20
"""Groups of fewer queries are left out: their figures are chance."""


@dataclass(frozen=True)
class Asked:
    """A query, and all that the renderer knows of it."""

    person: Person
    pixels: Image.Image
    """Of the box"""
    place: str
    camera: int
    dressed: Dressed
    double: bool
    """Somebody else of the benchmark wears clothes of the same cut"""
    seed: int


Group = Callable[[Asked], str]


def bounds(value: float, *steps: float, unit: str = "") -> str:
    """The interval of `steps` that holds the value, in words that sort."""
    below = [step for step in steps if value < step]
    return f"below {below[0]:g}{unit}" if below else f"{steps[-1]:g}{unit} and more"


def height(asked: Asked) -> str:
    return bounds(asked.person.box[3] - asked.person.box[1], 60, 100, 160, 240, unit=" pixels")


def visible(asked: Asked) -> str:
    return bounds(100 * asked.person.visible, 60, 80, 95, unit="%")


def sensor(asked: Asked) -> str:
    camera = sensor_of(asked.seed, asked.camera)
    if camera.saturation < 0.2:
        return "grey"
    return "coarse" if camera.shrink > 1.5 else "noisy" if camera.noise > 0.015 else "good"


def place(asked: Asked) -> str:
    return asked.place.rsplit("-", 1)[0].replace("_", " ")


def skin(asked: Asked) -> str:
    tone = identity_of(asked.seed, asked.person.identity).outfit.row[SKIN : SKIN + 3]  # before it was dressed
    bright = float(tone @ [0.3, 0.59, 0.11])
    return "dark" if bright < 0.13 else "middle" if bright < 0.35 else "light"


def sex(asked: Asked) -> str:
    return "woman" if is_woman(asked.dressed) else "man"


def build(asked: Asked) -> str:
    weight = float(asked.dressed.phenotype[3])
    return "slight" if weight < 0.35 else "heavy" if weight > 0.6 else "middling"


def colour(asked: Asked) -> str:
    """Of the pixels between shoulders and hips, as the camera saw them."""
    wide, high = asked.pixels.size
    torso = asked.pixels.crop((wide // 4, high // 5, max(wide // 4 + 1, 3 * wide // 4), max(high // 5 + 1, high // 2)))
    value = np.asarray(torso.convert("HSV"), np.float64).reshape(-1, 3).mean(0)
    return "dark" if value[2] < 70 else "coloured" if value[1] > 90 else "pale or grey"


def alike(asked: Asked) -> str:
    return "somebody dresses alike" if asked.double else "nobody does"


GROUPS: dict[str, Group] = {
    "height": height,
    "visible": visible,
    "camera": sensor,
    "place and light": place,
    "skin": skin,
    "sex": sex,
    "build": build,
    "upper clothes": colour,
    "others' clothes": alike,
}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data", type=Path)
    options.add_argument("--wardrobe", type=Path, required=True)
    options.add_argument("--keep", type=Path, default=Path("cache/card-readings"))
    options.add_argument("--gallery-size", type=int, default=100)
    given = options.parse_args()
    document = json.loads((given.data / "annotations.json").read_text())
    whole = load_benchmark(f"coco:{given.data}")
    benchmark = replace(whole, queries=clear_sights(whole.test, given.gallery_size))
    loaded = load_weights(given.model, best_device())
    of = fingerprint_of_readings(find_weights(given.model))
    projections = load_projections(find_weights(given.model), of)
    if projections is None:
        raise SystemExit(f"{given.model}: no projections; fit them: python tools/fit_projections.py")
    place = given.keep / f"{given.data.name}-{of}"
    kept = read_scenes(loaded.model, benchmark.test, boxes_of_queries(benchmark), place, progress=shown)
    loaded.model.to("cpu")
    asked = describe(benchmark, document, given.wardrobe)
    ways = rows(loaded.model, projections, cropped=False)
    results = [judge(benchmark, kept, way) for way in (ways[0], ways[-1])]
    figures = [list(zip(r.average_precisions, r.first_hits, strict=True)) for r in results]
    print(table(asked, figures))


def clear_sights(scenes: Sequence[Scene], size: int) -> tuple[Query, ...]:
    """Every clear sight of everybody who is seen elsewhere, too, with a gallery of other scenes by chance."""
    holding = scenes_holding(scenes)
    queries = []
    for number, scene in enumerate(scenes):
        for person in scene.persons:
            tall, elsewhere = person.box[3] - person.box[1], holding[person.identity] - {scene.name}
            if person.identity == UNLABELED or tall < LEAST or person.visible < VISIBLE or not elsewhere:
                continue
            others = [other.name for other in scenes if other.name not in holding[person.identity]]
            gallery = draw_gallery(elsewhere, (others,), size, number)
            names = tuple(other.name for other in scenes if other.name in gallery)
            queries.append(Query(scene.name, person.box, person.identity, names))
    return tuple(queries)


def describe(benchmark: Benchmark, document: dict[str, Any], assets: Path) -> list[Asked]:
    """What the renderer knows of each query. `document` is the folder's annotations.json."""
    seed, wardrobe = int(document["info"]["settings"]["seed"]), load_wardrobe(assets)
    images = {Path(image["file_name"]).stem: image for image in document["images"]}
    people = {query.identity: attire_of(wardrobe, seed, query.identity) for query in benchmark.queries}
    cuts = {number: cut(dressed) for number, dressed in people.items()}
    scenes = {scene.name: scene for scene in benchmark.test}
    described = []
    for query in benchmark.queries:
        scene = scenes[query.scene]
        person = next(p for p in scene.persons if p.box == query.box and p.identity == query.identity)
        image = images[Path(query.scene).stem]
        pixels = scene.read().crop(tuple(round(value) for value in query.box))
        number = query.identity
        double = bool(cuts[number]) and cuts[number] in (cuts.get(number - 1), cuts.get(number + 1))
        described.append(Asked(person, pixels, image["place"], image["camera"], people[number], double, seed))
    return described


def cut(dressed: Dressed) -> tuple[int, ...]:
    """The garments of body and legs; none where clothes are painted on."""
    return tuple(sorted(layer.garment for layer in dressed.attire.layers if layer.place < HAIR))


def table(asked: Sequence[Asked], ways: Sequence[Sequence[tuple[float | None, int | None]]]) -> str:
    """One row a group of queries: how many, and mAP / top-1 of each way of ranking."""
    lines = ["| | | queries | embedding | `search` |", "|---|---|---|---|---|"]
    lines.append(f"| everybody | | {len(asked)} | {' | '.join(figures(way) for way in ways)} |")
    for name, group in GROUPS.items():
        members = defaultdict(list)
        for index, one in enumerate(asked):
            members[group(one)].append(index)
        for value in sorted(members, key=lambda words: (not words.startswith("below"), natural(words))):
            if len(members[value]) >= FEWEST:
                cells = " | ".join(figures([way[index] for index in members[value]]) for way in ways)
                lines.append(f"| {name} | {value} | {len(members[value])} | {cells} |")
    return "\n".join(lines)


def natural(words: str) -> tuple[float, str]:
    """Sorts groups by the first number that they name."""
    numbers = [word.strip("%") for word in words.split() if word.strip("%").isdigit()]
    return (float(numbers[0]) if numbers else 0.0, words)


def figures(judged: Sequence[tuple[float | None, int | None]]) -> str:
    """mAP / top-1 of queries that could be judged."""
    seen = [(ap, first) for ap, first in judged if ap is not None]
    return f"{np.mean([ap for ap, _ in seen]):.3f} / {np.mean([first == 1 for _, first in seen]):.3f}"


if __name__ == "__main__":
    main()
