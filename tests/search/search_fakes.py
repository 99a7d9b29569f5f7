"""People as two-coloured rectangles on grey, and a model that finds and tells them apart by colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from personsearch.data.records import Box
from personsearch.geometry.detections import Detections
from personsearch.search.searchers import SceneEncoder

COLORS = ["red", "lime", "blue", "yellow", "magenta", "cyan", "orange", "purple"]
DIM = 12


def looks(identity: int) -> tuple[str, str]:
    """Upper and lower colour of a person: 56 people that differ."""
    upper = identity % len(COLORS)
    lower = (upper + 1 + identity // len(COLORS)) % len(COLORS)
    return COLORS[upper], COLORS[lower]


def picture(people: Sequence[tuple[int, int]], size: tuple[int, int] = (160, 96)) -> Image.Image:
    """People given as (identity, left); each is 20 x 60 with its feet at 86."""
    image = Image.new("RGB", size, (128, 128, 128))
    pen = ImageDraw.Draw(image)
    for identity, left in people:
        upper, lower = looks(identity)
        pen.rectangle((left, 26, left + 19, 55), fill=upper)
        pen.rectangle((left, 56, left + 19, 85), fill=lower)
    return image


def box_at(left: int) -> Box:
    return (float(left), 26.0, float(left + 20), 86.0)


class FakeModel:
    """Finds columns of strong colour; the embedding is the mean colour of four stripes."""

    def __init__(self) -> None:
        self.seen = 0
        self.before: Callable[[], None] = lambda: None

    def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
        self.seen += 1
        self.before()
        pixels = np.asarray(image).astype(int)
        strong = (pixels.max(2) - pixels.min(2)) > 90
        columns = np.flatnonzero(np.diff(np.concatenate([[0], strong.sum(0) > 20, [0]])))
        boxes = []
        for left, right in columns.reshape(-1, 2):
            rows = np.flatnonzero(strong[:, left:right].any(1))
            boxes.append([left, rows[0], right, rows[-1] + 1])
        if not boxes:
            return Detections.empty(DIM)
        found = torch.tensor(boxes, dtype=torch.float32)
        return Detections(found, torch.full((len(found),), 0.9), self.embed(image, found))

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        pixels = torch.from_numpy(np.asarray(image).copy()).float() - 127
        stripes = []
        for x1, y1, x2, y2 in boxes.round().int().tolist():
            parts = pixels[y1:y2, x1:x2].tensor_split(4)
            stripes.append(torch.cat([part.mean((0, 1)) for part in parts]))
        return torch.nn.functional.normalize(torch.stack(stripes), dim=1)


def searcher(fingerprint: str = "fake-1") -> SceneEncoder:
    return SceneEncoder(FakeModel(), fingerprint, "fake", dim=DIM)


def save_pictures(folder: Path, count: int) -> list[Path]:
    """Picture i shows the people i, i + 1 and, in even pictures, 20."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        people = [(i, 10), (i + 1, 60)] + ([(20, 110)] if i % 2 == 0 else [])
        paths.append(folder / f"p{i:03}.png")
        picture(people).save(paths[-1])
    return paths


def save_video(path: Path, seconds: int = 8, rate: int = 5, codec: str = "mpeg4") -> Path:
    """Person 3 walks to the right, person 9 stands; one key frame a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 96, "yuv420p", 4_000_000
        stream.gop_size = rate
        for i in range(seconds * rate):
            image = picture([(3, 5 + i), (9, 120)])
            for packet in stream.encode(av.VideoFrame.from_image(image)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path
