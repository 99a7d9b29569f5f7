"""A model together with the fingerprint of its weights: what turns pictures into something to search."""

from __future__ import annotations

import math
import warnings
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
from personsearch.models.embedders import load_embedder
from personsearch.models.outside import Complain
from personsearch.models.own_instance import INSTANCE_FILE, fingerprint_of_readings
from personsearch.models.projections import PROJECTIONS_FILE, SHARED_FILE, load_projections
from personsearch.models.readers import DetectThenEmbed, Reader, read_with
from personsearch.models.readings import PeopleReader
from personsearch.models.search_network import SearchNetwork
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import LoadedModel, find_weights, load_weights
from personsearch.runtime import best_device
from personsearch.search.files import check_file
from personsearch.search.limits import check_score

READINGS, SEARCH, INSTANCE, REID = "readings", "search", "instance", "reid"
READS = (READINGS, SEARCH, INSTANCE, REID)
"""How people are read: both branches before their embeddings (models/readings.py), or the papers' embeddings: that of
the search branch, of the instance-aware branch, or of a re-id network behind the detector."""


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
    reid: str = ""
    """What a person calls the re-id network that embeds, if one does."""

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
    weights: str,
    device: str | None = None,
    score_threshold: float = 0.5,
    read: str | None = None,
    *,
    reid: str | None = None,
    runtime: str | None = None,
    complain: Complain = warnings.warn,
    like: str | None = None,
) -> SceneEncoder:
    """An encoder from shipped weights by name, or from a folder. Its name is the shipped one, or the absolute folder,
    so that a gallery can say how to load it again.

    `read` is one of `READS`; when None, that of `reid` where it is given, else readings where the weights have
    projections, else the search branch. `reid` is a re-id network as `load_embedder` takes it, which embeds the
    people whom the weights find; `complain` hears what had to be guessed of it. `runtime` runs exported weights, as in
    `load_weights`. `like` is the fingerprint of a gallery: where its people were read before the instance-aware branch
    got weights of its own, they still are. Raises WeightsError, also for readings without projections, and
    SettingError for another `read`, or for a threshold that is not from 0 to 1.
    """
    check_score(score_threshold)
    read = _checked_read(read, reid)
    device = device or best_device()
    loaded = load_weights(weights, device, runtime=runtime)
    name = str(Path(weights).resolve()) if Path(weights).is_dir() else weights
    if reid:
        who = load_embedder(reid, device, complain=complain)
        people = DetectThenEmbed(loaded.model, who.model)
        made_by = f"{loaded.fingerprint}-{REID}-{who.fingerprint}"
        return SceneEncoder(people, made_by, name, score_threshold, who.model.dim, REID, who.name)
    folder = find_weights(weights)
    before = _read_before(like, read, loaded, folder)
    if before:
        loaded.model.own_instance = None
    readings = _readings(loaded, folder, before) if read in (None, READINGS) else None
    if readings is not None:
        return SceneEncoder(readings[0], readings[1], name, score_threshold, readings[0].dim, READINGS)
    if read == READINGS:
        raise WeightsError(
            f"{weights}: readings need {PROJECTIONS_FILE} beside the weights: give --read search, or fit it with "
            "tools/fit_projections.py"
        )
    read, length = read or SEARCH, int(loaded.config["embedding"])
    made_by = loaded.fingerprint
    if read == INSTANCE and loaded.model.own_instance is not None:
        made_by = f"{made_by}-{fingerprint(folder / INSTANCE_FILE)[:8]}"
    return SceneEncoder(read_with(loaded.model, read), made_by, name, score_threshold, length, read)


def _readings(loaded: LoadedModel[SearchNetwork], folder: Path, before: bool) -> tuple[PeopleReader, str] | None:
    """Who makes readings by some weights, and the fingerprint of what they make; None without projections."""
    file = SHARED_FILE if before else PROJECTIONS_FILE
    of = fingerprint(folder / MODEL_FILE) if before else fingerprint_of_readings(folder)
    projections = load_projections(folder, of, file)
    if projections is None:
        return None
    return PeopleReader(loaded.model, projections), f"{loaded.fingerprint}-{fingerprint(folder / file)[:8]}"


def _read_before(like: str | None, read: str | None, loaded: LoadedModel[SearchNetwork], folder: Path) -> bool:
    """Whether the people of a gallery were read when both branches shared their weights, which they do no more."""
    if like is None or loaded.model.own_instance is None:
        return False
    if read == INSTANCE:
        return like == loaded.fingerprint
    shared = folder / SHARED_FILE
    return shared.is_file() and like == f"{loaded.fingerprint}-{fingerprint(shared)[:8]}"


def _checked_read(read: str | None, reid: str | None) -> str | None:
    """How people are read, as far as it is said. Raises SettingError for what does not go together."""
    if read is not None and read not in READS:
        raise SettingError(f"read {read}: choose one of {', '.join(READS)}")
    if read == REID and not reid:
        raise SettingError(f"--read {REID} is that of a re-id network: name it by --reid")
    if reid and read not in (None, REID):
        raise SettingError(f"--reid embeds people in the place of --read {read}: give one of them")
    return read
