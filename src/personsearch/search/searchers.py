"""A model together with the fingerprint of its weights: what turns pictures into something to search."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Box
from personsearch.data.video import VIDEO_SUFFIXES, frame_at
from personsearch.errors import SettingError, WeightsError
from personsearch.geometry.boxes import check_box
from personsearch.geometry.detections import Detections
from personsearch.models.projections import PROJECTIONS_FILE, load_projections
from personsearch.models.readers import Reader, read_with
from personsearch.models.readings import PeopleReader
from personsearch.models.weights import find_weights, fingerprint, load_weights
from personsearch.runtime import best_device
from personsearch.search.files import check_file
from personsearch.search.limits import check_score

READINGS, SEARCH, INSTANCE = "readings", "search", "instance"
READS = (READINGS, SEARCH, INSTANCE)
"""How people are read: both branches before their embeddings (models/readings.py), or the papers' embeddings: that of
the search branch, or of the instance-aware branch."""


@dataclass(frozen=True)
class SceneEncoder:
    """Turns scenes and queries into what a gallery holds and is asked with, by one model."""

    model: Reader
    fingerprint: str
    """Names the weights; embeddings of two fingerprints are never compared."""
    name: str = "unnamed"
    """What a person calls the weights: a shipped name, or a folder."""
    score_threshold: float = 0.5
    dim: int = 256
    """Length of an embedding."""
    read: str = SEARCH
    """What embeddings are: see `READS`."""

    def __post_init__(self) -> None:
        check_score(self.score_threshold)

    def encode_scene(self, image: Image.Image) -> Detections:
        """Everybody in a picture; no people give empty Detections."""
        with torch.inference_mode():
            return self.model.detect(image, score_threshold=self.score_threshold)

    def encode_query(self, image: Image.Image, box: Box) -> Tensor:
        """[D] unit embedding of the person in `box`.

        Raises BoxError for a box with no area or outside the picture; one partly outside is clipped.
        """
        inside = check_box(box, image.width, image.height)
        with torch.inference_mode():
            return self.model.embed(image, torch.tensor([inside], dtype=torch.float32))[0].float().cpu()


SceneSearcher = SceneEncoder
"""Another name for it, which older programs import."""


def read_scene(path: Path, at: float | None = None) -> tuple[Image.Image, float | None]:
    """A picture, or the first frame at or after `at` seconds of a video, and that frame's time (None: a picture).

    Raises ImageError, VideoError, InputError for a pipe or a device, which would be waited for without end, or
    SettingError when `at` is missing, negative, or given with a picture.
    """
    check_file(path)
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        if at is not None:
            raise SettingError(f"{path}: a picture has no moment {at:g} s; leave --at out")
        return ImageFile(path).read(), None
    if at is None or not 0 <= at < math.inf:
        raise SettingError(f"{path}: which moment of the video? give --at SECONDS, 0 or more")
    sample = frame_at(path, at)
    return sample.image, sample.time


def load_searcher(
    weights: str, device: str | None = None, score_threshold: float = 0.5, read: str | None = None
) -> SceneEncoder:
    """An encoder from shipped weights by name, or from a folder. Its name is the shipped one, or the absolute folder,
    so that a gallery can say how to load it again.

    `read` is one of `READS`; when None, readings where the weights have projections, else the search branch. Raises
    WeightsError, also for readings without projections, and SettingError for another `read`, or for a threshold that
    is not from 0 to 1.
    """
    check_score(score_threshold)
    if read is not None and read not in READS:
        raise SettingError(f"read {read}: choose one of {', '.join(READS)}")
    loaded = load_weights(weights, device or best_device())
    name = str(Path(weights).resolve()) if Path(weights).is_dir() else weights
    folder = find_weights(weights)
    projections = load_projections(folder, loaded.fingerprint) if read in (None, READINGS) else None
    if projections is not None:
        people = PeopleReader(loaded.model, projections)
        made_by = f"{loaded.fingerprint}-{fingerprint(folder / PROJECTIONS_FILE)[:8]}"
        return SceneEncoder(people, made_by, name, score_threshold, people.dim, READINGS)
    if read == READINGS:
        raise WeightsError(
            f"{weights}: readings need {PROJECTIONS_FILE} beside the weights: give --read search, or fit it with "
            "tools/fit_projections.py"
        )
    read, length = read or SEARCH, int(loaded.config["embedding"])
    return SceneEncoder(read_with(loaded.model, read), loaded.fingerprint, name, score_threshold, length, read)
