"""Draws what rendered people look like, without a wardrobe (above) and in one (below).

Run: python tools/draw_people.py OUT --wardrobe DIR

OUT/people.jpg    twelve people of one place
OUT/cameras.jpg   one person under eight cameras
"""

from __future__ import annotations

import argparse
import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from personsearch.synthesis.scenes import RenderedScene, Settings, casting, place_of, render_scene
from personsearch.synthesis.synthesize import checked, quiet
from personsearch.synthesis.wardrobe import Wardrobe, load_wardrobe

_SIZE = (130, 300)
_CLEAR, _TALL = 0.9, 110
"""Least visible part and height in pixels of a person who is drawn."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    options.add_argument("--wardrobe", type=Path, required=True)
    options.add_argument("--seed", type=int, default=5)
    given = options.parse_args()
    quiet()
    plain = checked(120, 900, given.seed, 20, 40, 1200, 720)
    wardrobe = load_wardrobe(given.wardrobe)
    dressed = dataclasses.replace(plain, wardrobe=wardrobe.fingerprint)
    both: list[tuple[Settings, Wardrobe | None]] = [(plain, None), (dressed, wardrobe)]
    given.out.mkdir(parents=True, exist_ok=True)
    save(given.out / "people.jpg", [twelve(settings, worn) for settings, worn in both])
    save(given.out / "cameras.jpg", [eight(settings, worn) for settings, worn in both])


def twelve(settings: Settings, wardrobe: Wardrobe | None) -> list[Image.Image]:
    """Twelve people of the first place, each once."""
    place = place_of(settings, 0)[0]
    scenes = (i for i in range(settings.scenes - settings.test_scenes) if place_of(settings, i)[0] == place)
    found: dict[int, Image.Image] = {}
    for person, crop in crops(settings, wardrobe, scenes):
        found.setdefault(person, crop)
        if len(found) == 12:
            break
    return list(found.values())


def eight(settings: Settings, wardrobe: Wardrobe | None) -> list[Image.Image]:
    """The person with number 0 in eight pictures of different cameras."""
    found: dict[int, Image.Image] = {}
    for scene in (i for i, cast in casting(settings, "train").items() if 0 in cast):
        camera = place_of(settings, scene)[1]
        for person, crop in crops(settings, wardrobe, [scene]):
            if person == 0:
                found.setdefault(camera, crop)
        if len(found) == 8:
            break
    return list(found.values())


def crops(settings: Settings, wardrobe: Wardrobe | None, scenes: Iterable[int]) -> Iterator[tuple[int, Image.Image]]:
    """The numbers and crops of the named people of some scenes who are clearly seen."""
    for index in scenes:
        scene = render_scene(settings, index, wardrobe=wardrobe)
        yield from crops_of(scene)


def crops_of(scene: RenderedScene) -> Iterator[tuple[int, Image.Image]]:
    picture = Image.open(io.BytesIO(scene.jpeg))
    for person in scene.annotations:
        x, y, width, height = person.bbox
        if person.person_id >= 0 and person.visible >= _CLEAR and height >= _TALL:
            half = height * _SIZE[0] / _SIZE[1] * 1.1 / 2
            middle = x + width / 2
            box = (round(middle - half), round(y - 0.05 * height), round(middle + half), round(y + 1.05 * height))
            if min(box) >= 0 and box[2] <= picture.width and box[3] <= picture.height:
                yield person.person_id, picture.crop(box).resize(_SIZE, Image.Resampling.LANCZOS)


def save(path: Path, rows: list[list[Image.Image]]) -> None:
    sheet = Image.new("RGB", (max(map(len, rows)) * _SIZE[0], len(rows) * _SIZE[1]), "white")
    for y, row in enumerate(rows):
        for x, crop in enumerate(row):
            sheet.paste(crop, (x * _SIZE[0], y * _SIZE[1]))
    sheet.save(path, quality=88)
    print(path)


if __name__ == "__main__":
    main()
