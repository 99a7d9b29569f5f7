"""A model together with the fingerprint of its weights: what turns pictures into something to search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Box
from personsearch.geometry.boxes import check_box
from personsearch.geometry.detections import Detections


class SearchModel(Protocol):
    """What a searcher asks of a network; `BINet` answers it, and so does a small fake."""

    def detect(self, image: Image.Image, score_threshold: float = ...) -> Detections:
        """The people in a picture; boxes in its pixels, embeddings of unit length."""
        ...

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, D] embeddings of unit length of the people in `boxes` ([N, 4])."""
        ...


@dataclass(frozen=True)
class SceneSearcher:
    """Encodes scenes and queries with one model."""

    model: SearchModel
    fingerprint: str
    """Names the weights; embeddings of two fingerprints are never compared."""
    name: str = "unnamed"
    """What a person calls the weights: a shipped name, or a folder."""
    score_threshold: float = 0.5

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
