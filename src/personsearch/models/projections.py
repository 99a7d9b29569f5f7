"""Features before the embedding as short vectors: what many people have in common is left out, the rest is kept.

The embedding is the one layer that is fitted to training identities alone, so it carries over least to people who look
otherwise. A principal component analysis of some training people keeps what lies under it in a few numbers instead.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import DataError, WeightsError
from personsearch.files import written_whole
from personsearch.models.tensor_files import write_tensors

PROJECTIONS_FILE = "projections.safetensors"
SHARED_FILE = "projections-shared.safetensors"
"""Of readings from before the instance-aware branch got weights of its own, where it has some."""
DIM = 256
"""Numbers that are kept of each kind of feature."""
_POWER = 0.25
"""An axis is divided by this power of its standard deviation: a little whitening helps, more of it hurts."""


@dataclass(frozen=True)
class Projection:
    """One kind of feature, shortened: v = A (r - m) / |A (r - m)| with r = sqrt(f) / |sqrt(f)|."""

    mean: Tensor
    """m, [D]: of the training people's r"""
    axes: Tensor
    """A, [d, D]: their principal axes, by falling variance, each divided by the fourth root of its deviation"""

    def __call__(self, features: Tensor) -> Tensor:
        """Features f [N, D] >= 0 to vectors v [N, d] of unit length; all zeros where f says nothing."""
        return F.normalize((rooted(features) - self.mean) @ self.axes.T)

    def to(self, device: torch.device | str) -> Projection:
        return Projection(self.mean.to(device), self.axes.to(device))


def rooted(features: Tensor) -> Tensor:
    """Square roots of features [N, D], of unit length: a strong channel is not all that counts."""
    return F.normalize(features.float().clamp(min=0).sqrt())


def fit_projection(features: Tensor, dim: int = DIM) -> Projection:
    """The projection that keeps most of the features [N, D] of N > `dim` people. The same features give the same.

    Raises DataError where there are too few people.
    """
    if len(features) <= dim:
        raise DataError(f"{len(features)} people are too few to fit {dim} axes to: give more than {dim}")
    vectors = rooted(features)
    mean = vectors.mean(dim=0)
    centred = (vectors - mean).double()
    # through the smaller of the two matrices of products: N may be far below D
    if len(centred) < centred.shape[1]:
        variances, sides = torch.linalg.eigh(centred @ centred.T)
        axes = F.normalize(sides[:, -dim:].T @ centred)
    else:
        variances, sides = torch.linalg.eigh(centred.T @ centred)
        axes = sides[:, -dim:].T
    deviations = (variances[-dim:].clamp(min=1e-12) / len(centred)).sqrt()
    # an axis and its opposite are one: the sign is that of its largest part
    largest = axes.abs().argmax(dim=1, keepdim=True)
    axes = axes * axes.gather(1, largest).sign() / deviations[:, None] ** _POWER
    return Projection(mean, axes.flip(0).float())


@dataclass(frozen=True)
class Projections:
    """What makes a reading out of the three kinds of features of a person (readings.py)."""

    scene: Projection
    """Of the pooled 2,048 features of the scene's map"""
    patch: Projection
    """Of the pooled 2,048 features of the patch"""
    rows: Projection
    """Of the seven rows, 1,024 numbers each, of the patch's conv4 map"""

    def to(self, device: torch.device | str) -> Projections:
        return Projections(self.scene.to(device), self.patch.to(device), self.rows.to(device))


def save_projections(folder: Path, projections: Projections, fingerprint: str) -> Path:
    """Writes them beside the weights of that fingerprint, in float16. Returns the file."""
    tensors = {
        f"{block.name}.{part.name}": getattr(getattr(projections, block.name), part.name).half().cpu().contiguous()
        for block in fields(Projections)
        for part in fields(Projection)
    }
    path = folder / PROJECTIONS_FILE
    with written_whole(path) as part:
        write_tensors(tensors, part, metadata={"format": "pt", "weights": fingerprint})
    return path


def load_projections(folder: Path, fingerprint: str, name: str = PROJECTIONS_FILE) -> Projections | None:
    """The projections beside some weights, in the file of that name; None where there are none.

    Raises WeightsError when the file is damaged, or belongs to weights of another fingerprint.
    """
    path = folder / name
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            made_for = (file.metadata() or {}).get("weights", "unknown weights")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  not a mapping
        blocks = {
            block.name: Projection(*(tensors[f"{block.name}.{part.name}"] for part in fields(Projection)))
            for block in fields(Projections)
        }
    except (OSError, SafetensorError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path}: damaged ({reason}); copy it again, or delete it to search by embeddings") from None
    if made_for != fingerprint:
        raise WeightsError(
            f"{path}: made for weights {made_for}, not for {fingerprint} beside it; "
            "fit it anew: python tools/fit_projections.py, or delete it to search by embeddings"
        )
    for name, block in blocks.items():
        if block.axes.ndim != 2 or block.mean.shape != block.axes.shape[1:]:
            raise WeightsError(f"{path}: {name} has another shape than a projection; copy the file again")
    return Projections(**blocks)
