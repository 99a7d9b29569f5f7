"""The named sums of losses that training minimises, and the memory that only training needs.

A criterion maps a network's output to a dictionary of weighted losses; the loop adds them up. After the backward
pass `remember` updates the memory, once a step, with the outputs of all parts of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.errors import SettingError
from personsearch.losses.detection import AnchorRule, fit_loss, related_losses, roi_losses, rpn_losses
from personsearch.losses.interaction import feature_interaction, prediction_interaction
from personsearch.losses.metric import supervised_contrastive
from personsearch.losses.oim import OIMMemory, OIMSettings, oim_loss
from personsearch.models.binet import BINetOutput, PatchOutput
from personsearch.models.guided import IGPNOutput
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.reid import ReidOutput
from personsearch.models.search_network import BoxOutput, SearchOutput
from personsearch.settings import Part, Positive


@dataclass(frozen=True)
class LossSettings:
    """Weights of BINet's Eq. 5 and the numbers of its parts."""

    oim: OIMSettings = OIMSettings()
    temperature: Positive = 0.3
    """T of Eq. 4: 0.3 for CUHK-SYSU, 1.0 for PRW."""
    softening: str = "similarities"
    """What Eq. 4 softens: "similarities", or "probabilities", which is the equation to the letter."""
    direction: str = "both"
    """Which branch the interaction teaches: "both", "search" (BINet-1) or "instance" (BINet-2)."""
    first_remembered: str = "search"
    """Which branch moves the memory first in a step: "search" or "instance". What comes second weighs more."""
    feature_weight: float = 1.0
    prediction_weight: float = 1.0
    oim_weight: float = 0.5
    """Of each branch."""
    rpn_positive_iou: Part = 0.7
    """Overlap (IoU) with a person from which on an anchor is positive."""
    patch_temperature: Positive = 0.1
    """Of the contrastive loss on embeddings in the training on patches."""
    feature_temperature: Positive = 0.03
    """Of the same loss on what lies below the embedding: rooted features are all alike, strangers' too."""
    patch_feature_weight: float = 0.0
    """Of the contrastive loss on the patch's pooled feature."""
    patch_row_weight: float = 0.0
    """Of the mean contrastive loss on the rows of its conv4 map."""


class Criterion(PacedModule):
    """A named sum of losses: `forward` maps a network's output to weighted losses by name."""

    def remember(self, outputs: Sequence[Any]) -> None:
        """Updates the memory with the outputs of all parts of a step, after its backward pass; most have no memory."""

    def watched(self, _output: Any) -> dict[str, Tensor]:
        """Numbers that are no losses, for the log."""
        return {}


def detection_losses(output: SearchOutput, settings: LossSettings) -> dict[str, Tensor]:
    """L_det: the four losses of Faster R-CNN, and that of a head that predicts how well boxes fit."""
    rpn_score, rpn_box = rpn_losses(output.rpn, output.targets, AnchorRule(settings.rpn_positive_iou))
    roi_score, roi_box = roi_losses(output)
    detection = {"rpn_score": rpn_score, "rpn_box": rpn_box, "roi_score": roi_score, "roi_box": roi_box}
    return detection | ({"roi_fit": fit_loss(output)} if output.fits.shape[1] else {})


def no_detection(_output: BoxOutput, _settings: LossSettings) -> dict[str, Tensor]:
    """L_det of boxes that are given: nothing."""
    return {}


Detection = Callable[[Any, LossSettings], dict[str, Tensor]]
"""L_det of what a search branch predicts: one of the two above."""


class DetectorCriterion(Criterion):
    """L = L_det: a plain Faster R-CNN, whose embeddings nobody teaches."""

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, output: SearchOutput) -> dict[str, Tensor]:
        return detection_losses(output, self.settings)


class OIMCriterion(Criterion):
    """L = L_det + L_oim: the baseline OIM*."""

    def __init__(self, memory: OIMMemory, settings: LossSettings, detection: Detection = detection_losses) -> None:
        super().__init__()
        self.memory = memory
        self.settings = settings
        self._detection = detection

    def forward(self, output: SearchOutput | BoxOutput) -> dict[str, Tensor]:
        logits = self.memory.logits(output.search.embeddings)
        return {
            **self._detection(output, self.settings),
            "oim_search": oim_loss(logits, self.memory.targets(output.identities)),
        }

    def remember(self, outputs: Sequence[SearchOutput | BoxOutput]) -> None:
        self.memory.update(
            torch.cat([output.search.embeddings for output in outputs]),
            torch.cat([output.identities for output in outputs]),
        )


class PatchCriterion(Criterion):
    """The training on patches: people are told apart within the batch, by the embedding and by what readings read.

    Below the embedding, likeness is that of readings (models/projections.py): the cosine of square roots.
    """

    def __init__(self, settings: LossSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, output: PatchOutput) -> dict[str, Tensor]:
        weights, who = self.settings, output.identities
        feature = self._below(output.instance.features, who)
        rows = torch.stack([self._below(row, who) for row in output.rows.unbind(dim=1)])
        return {
            "contrastive": supervised_contrastive(output.instance.embeddings, who, weights.patch_temperature),
            "feature": weights.patch_feature_weight * feature,
            "rows": weights.patch_row_weight * rows.mean(),
        }

    def _below(self, features: Tensor, identities: Tensor) -> Tensor:
        """The loss on features [P, D] below the embedding."""
        roots = (features.float().clamp(min=0) + _LEAST_FEATURE).sqrt()
        return supervised_contrastive(F.normalize(roots), identities, self.settings.feature_temperature)


_LEAST_FEATURE = 1e-4
"""Added before a square root, whose slope at zero has no end."""


def _both(instance: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
    return instance, search


def _search_alone(instance: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
    return instance.detach(), search


def _instance_alone(instance: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
    return instance, search.detach()


_DIRECTIONS = {"both": _both, "search": _search_alone, "instance": _instance_alone}


def _similarities(logits: Tensor) -> Tensor:
    return logits


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)


_SOFTENINGS = {"similarities": _similarities, "probabilities": _probabilities}


def _search_first(search: Tensor, instance: Tensor) -> tuple[Tensor, Tensor]:
    return search, instance


def _instance_first(search: Tensor, instance: Tensor) -> tuple[Tensor, Tensor]:
    return instance, search


_ORDERS = {"search": _search_first, "instance": _instance_first}


class BINetCriterion(Criterion):
    """L = L_det + L_fi + L_pi + 0.5 (L_oim^s + L_oim^r), Eq. 5, and its variants of Table 2.

    A branch that the interaction does not teach is detached in both interaction losses; its own OIM loss always
    trains it. Raises SettingError for an unknown direction, softening or order of the memory.
    """

    def __init__(self, memory: OIMMemory, settings: LossSettings, detection: Detection = detection_losses) -> None:
        super().__init__()
        for name, value, known in (
            ("direction", settings.direction, _DIRECTIONS),
            ("softening", settings.softening, _SOFTENINGS),
            ("first_remembered", settings.first_remembered, _ORDERS),
        ):
            if value not in known:
                raise SettingError(f"loss.{name} {value}: choose one of {', '.join(known)}")
        self.memory = memory
        self.settings = settings
        self._detection = detection
        self._taught = _DIRECTIONS[settings.direction]
        self._soften = _SOFTENINGS[settings.softening]
        self._in_order = _ORDERS[settings.first_remembered]

    def forward(self, output: BINetOutput) -> dict[str, Tensor]:
        search, instance = output.scene.search, output.instance
        identities = self.memory.targets(output.scene.identities)
        search_logits = self.memory.logits(search.embeddings)
        instance_logits = self.memory.logits(instance.embeddings)
        weights = self.settings
        feature = feature_interaction(*self._taught(instance.features, search.features))
        prediction = prediction_interaction(
            *self._taught(self._known(instance_logits), self._known(search_logits)), weights.temperature
        )
        return {
            **self._detection(output.scene, self.settings),
            "oim_search": weights.oim_weight * oim_loss(search_logits, identities),
            "oim_instance": weights.oim_weight * oim_loss(instance_logits, identities),
            "feature": weights.feature_weight * feature,
            "prediction": weights.prediction_weight * prediction,
        }

    def remember(self, outputs: Sequence[BINetOutput]) -> None:
        """The embeddings of one branch, then those of the other, in the order of the settings."""
        identities = torch.cat([output.scene.identities for output in outputs])
        search = torch.cat([output.scene.search.embeddings for output in outputs])
        instance = torch.cat([output.instance.embeddings for output in outputs])
        for embeddings in self._in_order(search, instance):
            self.memory.update(embeddings, identities)

    def _known(self, logits: Tensor) -> Tensor:
        """The p of Eq. 4 for the look-up table alone: C of Eq. 3 leaves the queue out."""
        return self._soften(logits)[:, : len(self.memory.lookup_table)]


@dataclass(frozen=True)
class IGPNLossSettings:
    """Numbers of IGPN's Eq. 7; anchors as in section 3.5, at most 16 positive ones of 64 in a picture."""

    anchors: AnchorRule = AnchorRule(0.6, 0.3, best_is_positive=False, count=64, positive_fraction=0.25)
    search_weight: float = 1.0
    """Of L_search: zero is "w/o G" of Table 2."""


class IGPNCriterion(Criterion):
    """L = L_sim^1 + L_reg^1 + L_sim^2 + L_reg^2 + L_search, Eq. 7."""

    def __init__(self, settings: IGPNLossSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, output: IGPNOutput) -> dict[str, Tensor]:
        first_similarity, first_box = rpn_losses(output.rpn, output.targets, self.settings.anchors)
        second_similarity, second_box = related_losses(output)
        present = [int(len(target.boxes) > 0) for target in output.targets]
        truth = torch.tensor(present, device=output.related.search.device)
        return {
            "similarity1": first_similarity,
            "box1": first_box,
            "similarity2": second_similarity,
            "box2": second_box,
            "search": self.settings.search_weight * F.cross_entropy(output.related.search, truth),
        }

    def watched(self, output: IGPNOutput) -> dict[str, Tensor]:
        """The entropy of the local relation block's softmax, if there is one."""
        return output.watched


class ReidCriterion(Criterion):
    """Identities as classes: the cross-entropy of each stripe's own classifier, summed over stripes (PCB)."""

    def __init__(self, identities: int, stripes: int, dim: int) -> None:
        super().__init__()
        layers = [nn.Linear(dim, identities) for _ in range(stripes)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)
        self.classifiers = nn.ModuleList(layers)

    def paces(self) -> Paces:
        return {"fresh": [self.classifiers]}

    def forward(self, output: ReidOutput) -> dict[str, Tensor]:
        losses = [
            F.cross_entropy(classifier(output.stripes[:, stripe]), output.identities)
            for stripe, classifier in enumerate(self.classifiers)
        ]
        return {"identity": torch.stack(losses).sum()}
