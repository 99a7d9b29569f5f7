"""From when to when somebody is said to be in a film, after one click, against annotation frame by frame.

Run: python research/appearances.py GALLERY FILM TRACKS [--same 1,19 2,13 ...] [--clicks 5]

GALLERY holds FILM alone, indexed with --every; TRACKS is its annotation as MOTChallenge has it (gt.txt). A person who
leaves and comes back has several tracks there: --same names those of one person. Of each person some clicks are made,
spread over the frames in which she was found; each is a question of its own.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.ops import box_iou

from personsearch.data.video import read_header
from personsearch.search.appearances import MOST_HITS, appearances, usual_gap
from personsearch.search.gallery import Gallery
from personsearch.search.picking import Limits
from personsearch.search.refining import refined
from personsearch.search.rows import END
from personsearch.search.sureness import NAMES, sureness_of

PETS = ("1,19", "2,13", "3,11", "4,12", "5,9", "6,10")
_FOUND = 0.5
"""The overlap of a box with the annotated one, from which on it is this person."""
Frames = set[int]


@dataclass(frozen=True)
class Truth:
    """A person by annotation."""

    name: str
    boxes: dict[int, tuple[float, float, float, float]]
    """By frame from 0"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("gallery", type=Path)
    options.add_argument("film", type=Path)
    options.add_argument("tracks", type=Path)
    options.add_argument("--same", nargs="*", default=PETS)
    options.add_argument("--clicks", type=int, default=5)
    given = options.parse_args()
    gallery, rate = Gallery.open(given.gallery), read_header(given.film).rate
    if not rate:
        raise SystemExit(f"{given.film}: says no frames a second")
    people = read_truth(given.tracks, given.same)
    print("| person | how sure | precision | recall | appearances | in truth |\n|---|---|---|---|---|---|")
    every: dict[int, list[tuple[float, float]]] = {}
    for person in people:
        for level in (1, 2, 3):
            told = [judge(gallery, row, person, level, rate) for row in clicks(gallery, person, given.clicks)]
            every.setdefault(level, []).extend((one[0], one[1]) for one in told)
            if told:
                precision, recall, count = (statistics.mean(one[place] for one in told) for place in range(3))
                seen = len(list(runs(person.boxes, round(usual_gap(0.0) * rate))))
                print(f"| {person.name} | {NAMES[level]} | {precision:.2f} | {recall:.2f} | {count:.1f} | {seen} |")
    for level, told in every.items():
        precision, recall = (statistics.mean(one[place] for one in told) for place in range(2))
        print(f"| all {len(told)} clicks | {NAMES[level]} | {precision:.2f} | {recall:.2f} | | |")


def read_truth(path: Path, same: Iterable[str]) -> list[Truth]:
    person_of = {track: group for group in same for track in group.split(",")}
    boxes: dict[str, dict[int, tuple[float, float, float, float]]] = {}
    for line in path.read_text().splitlines():
        frame, track, x, y, width, height = line.split(",")[:6]
        left, top = float(x) - 1, float(y) - 1  # they count from 1
        box = (left, top, left + float(width), top + float(height))
        boxes.setdefault(person_of.get(track, track), {})[int(frame) - 1] = box
    return [Truth(name, boxes[name]) for name in sorted(boxes, key=lambda name: int(name.split(",")[0]))]


def clicks(gallery: Gallery, person: Truth, count: int) -> list[int]:
    """Rows of the person, evenly spread over those that were found."""
    crowd, found = gallery.crowd(), []
    frames = {row["frame"]: number for number, row in enumerate(crowd.scenes) if row["frame"] not in (None, END)}
    for frame, number in sorted(frames.items()):
        if frame in person.boxes:
            rows = torch.nonzero(crowd.scene_of == number).flatten()
            overlaps = box_iou(crowd.boxes[rows], torch.tensor([person.boxes[frame]])).flatten()
            if len(rows) and overlaps.max() >= _FOUND:
                found.append(int(rows[overlaps.argmax()]))
    step = max(1, len(found) // count)
    return found[step // 2 :: step][:count]


def judge(gallery: Gallery, row: int, person: Truth, level: int, rate: float) -> tuple[float, float, int]:
    """Precision and recall of the frames that are said to show the person, and in how many appearances."""
    crowd = gallery.crowd()
    reading = crowd.readings(torch.tensor([row])).float()
    query = refined(reading, reading[:0])
    hits = gallery.answer(query, Limits(MOST_HITS, 1, among=torch.ones(len(crowd.scores), dtype=torch.bool))).hits
    strangers = gallery.strangers()
    seen = appearances([hit for hit in hits if sureness_of(hit.similarity, strangers).level >= level])
    said: Frames = set()
    for one in seen:
        indexed = one.best.indexed
        half = (0.0 if indexed is None else indexed.every or 0.0) / 2  # a frame speaks for the time around it
        first, last = (one.first or 0.0) - half, (one.last or 0.0) + half
        said |= {frame for frame in range(round(first * rate), round(last * rate) + 1) if frame >= 0}
    gap = round(usual_gap(0.0) * rate)
    true = {frame for first, last in runs(person.boxes, gap) for frame in range(first, last + 1)}
    right = len(said & true)
    return right / max(len(said), 1), right / len(true), len(seen)


def runs(frames: Iterable[int], gap: int) -> list[tuple[int, int]]:
    """First and last of each stretch without a longer gap: whoever is hidden for a moment is there."""
    stretches: list[list[int]] = []
    for frame in sorted(frames):
        if not stretches or frame - stretches[-1][-1] > gap:
            stretches.append([frame])
        stretches[-1].append(frame)
    return [(one[0], one[-1]) for one in stretches]


if __name__ == "__main__":
    main()
