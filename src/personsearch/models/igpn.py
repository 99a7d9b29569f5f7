"""IGPN as the paper has it, with a backbone of its own: a detector that is asked for one person (Figure 2).

Its proposals come with their similarity to the query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.data.patches import query_patch
from personsearch.data.records import Box
from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import SettingError
from personsearch.geometry.assignment import Matcher
from personsearch.models.correlation import CORRELATIONS, CrossCorrelation
from personsearch.models.guided import GuidedNetwork, IGPNOutput, QueryCode, SceneCode
from personsearch.models.region_features import RoIPooling, distinct
from personsearch.models.relation import (
    CalmRelationBlock,
    EmbeddedFeatures,
    LocalRelation,
    LocalRelationBlock,
    NoLocalRelation,
    QueryRelation,
    UnitFeatures,
)
from personsearch.models.resnet import HEAD_CHANNELS, LAYOUTS, STEM_CHANNELS, Head, Stem
from personsearch.models.rpn import AnchorSettings, ProposalSettings, RPNOutput
from personsearch.models.search_network import EMBEDDING_DIM, Targets
from personsearch.runtime import mixed_precision
from personsearch.settings import Part, Width

KERNEL = (7, 3)
"""Height and width of the correlation kernel: a query's 14x6 stem map, pooled 2x2."""


@dataclass(frozen=True)
class IGPNSettings:
    """Numbers of IGPN; the defaults are those of sections 3.5 and 4.3."""

    layout: str = "torchvision"
    """Layout of the ImageNet weights that the backbone starts from: see `resnet.LAYOUTS`."""
    correlation: str = "improved"
    """"improved" (Eq. 2), "unshared" (without B), "vanilla" (Eq. 1 as in SiamRPN), or QEEPS's "excitation"."""
    channels: Width = 512
    """c' of section 3.2.2."""
    features: str = "plain"
    """How f^p and f^q are compared: "plain" as in the paper, scaled to "unit" length first, or "embedded" first as by
    the search network that the backbone comes from."""
    local_relation: str = "block"
    """"block", which is Eq. 3 by the letter, "calm", or "none" ("w/o L" of Table 2).

    By the letter the exponent is taken over raw features, whose norm is about 54 here: its softmax saturates, every
    proposal attends to the same one, and the block adds one vector to all of them."""
    anchors: AnchorSettings = AnchorSettings((64.0, 128.0, 256.0), (1.0, 2.0, 3.0))
    proposals: ProposalSettings = ProposalSettings(6000, 32)
    nms_iou: Part = 0.5
    test_size: SizeSettings = SizeSettings(600, 1000)


@dataclass(frozen=True)
class PairReading:
    """What the second stage of a training pass is given of P pairs."""

    rpn: RPNOutput
    query: QueryCode
    boxes: list[Tensor]
    """One [N_i, 4] a pair, its proposals"""
    features: Tensor
    """[sum of N_i, 2048], f^p of them all, pair after pair"""
    matches: Tensor
    """[P, N]: index of the matched person of the pair, negative for none"""


class IGPN(GuidedNetwork):
    """Instance guided proposal network."""

    def __init__(
        self,
        stem: Stem,
        similarity: CrossCorrelation[Any],
        regression: CrossCorrelation[Any],
        head: Head,
        relation: QueryRelation,
        local: LocalRelation,
        settings: IGPNSettings,
    ) -> None:
        super().__init__(stem, similarity, regression, head, RoIPooling(), relation, local, HEAD_CHANNELS, settings)
        self._matcher = Matcher(positive=0.5, negative=0.5)

    def forward(self, images: Tensor, patches: Tensor, targets: Sequence[Targets]) -> IGPNOutput:
        """One training pass over P pairs: pictures [B, 3, H, W] and query patches [P, 3, 224, 96], RGB in [0, 255].

        Each picture is asked for the same number P/B of queries, one after the other. The boxes of a pair's targets
        are the query person's alone: one, or none in a negative pair.
        """
        reading = self.read_pairs(images, patches, targets)
        related = self.relate(reading.query, reading.boxes, reading.features)
        watched = self.local.watched(related.present, reading.features)
        return IGPNOutput(reading.rpn, related, reading.matches, list(targets), watched)

    def read_pairs(self, images: Tensor, patches: Tensor, targets: Sequence[Targets]) -> PairReading:
        """The first stage of a training pass, and what the second one looks at."""
        scene, query = self.encode_scenes(images), self.encode_queries(patches)
        each = len(patches) // len(images)
        rpn = self.propose(scene.repeated(each), query)
        boxes = []
        for index, target in enumerate(targets):
            found = rpn.proposals(index, scene.size, self.settings.proposals)
            # the query person's box is a candidate, too, so that a young first stage cannot starve the second
            boxes.append(torch.cat([target.boxes, found])[: self.settings.proposals.after_nms])
        matches = [self._matcher(proposals, target.boxes) for proposals, target in zip(boxes, targets, strict=True)]
        padded = nn.utils.rnn.pad_sequence(matches, batch_first=True, padding_value=-1)
        return PairReading(rpn, query, boxes, self._read_each(scene, boxes, each), padded)

    def _read_each(self, scene: SceneCode, boxes: Sequence[Tensor], each: int) -> Tensor:
        """f^p of all boxes, `each` lists for each scene; what several queries of a scene propose is read once."""
        together = [torch.cat(list(boxes[at : at + each])) for at in range(0, len(boxes), each)]
        once = [distinct(self.reading.regions(some)) for some in together]
        features = self.head(self.reading.pool(scene.maps, [regions for regions, _ in once]))
        by_scene = torch.split(features, [len(regions) for regions, _ in once])
        return torch.cat([rows[indices] for rows, (_, indices) in zip(by_scene, once, strict=True)])

    def encode_scenes(self, images: Tensor) -> SceneCode:
        """Pictures [B, 3, H, W], RGB in [0, 255]."""
        maps = self.stem(images)
        size = (images.shape[2], images.shape[3])
        similarity, regression = self.similarity.read_scene(maps), self.regression.read_scene(maps)
        return SceneCode(maps, similarity, regression, size, torch.ones(4, device=maps.device))

    def encode_queries(self, patches: Tensor) -> QueryCode:
        """Patches [P, 3, 224, 96], RGB in [0, 255]."""
        maps = self.stem(patches)  # [P, 1024, 14, 6]
        pooled = F.max_pool2d(maps, 2)
        return QueryCode(self.similarity.read_query(pooled), self.regression.read_query(pooled), self.head(maps))

    @torch.inference_mode()
    def read_scene(self, image: Image.Image) -> SceneCode:
        """All that an RGB picture says before anybody is asked for."""
        pixels, scale = resize(image, self.settings.test_size)
        device = self.stem.mean.device
        with mixed_precision(device):
            code = self.encode_scenes(pixels[None].to(device))
        # as RoIPool reads them: every query would convert them again
        return replace(code, maps=code.maps.float().contiguous(), scale=scale.to(device))

    def ready(self, kept: SceneCode) -> SceneCode:
        return kept

    @torch.inference_mode()
    def encode_query(self, image: Image.Image, boxes: Sequence[Box]) -> QueryCode:
        """The people in `boxes` of an RGB picture, each padded to 3:7."""
        device = self.stem.mean.device
        patches = torch.stack([query_patch(image, box) for box in boxes])
        with mixed_precision(device):
            return self.encode_queries(patches.to(device))


def _block() -> LocalRelation:
    return LocalRelationBlock(HEAD_CHANNELS)


def _calm() -> LocalRelation:
    return CalmRelationBlock(HEAD_CHANNELS, UnitFeatures(), HEAD_CHANNELS)


def _embedded() -> nn.Module:
    return EmbeddedFeatures(HEAD_CHANNELS, EMBEDDING_DIM)


_FEATURES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (nn.Identity, HEAD_CHANNELS),
    "unit": (UnitFeatures, HEAD_CHANNELS),
    "embedded": (_embedded, EMBEDDING_DIM),
}
"""How features are prepared for their comparison, and how long they then are."""
_LOCAL: dict[str, Callable[[], LocalRelation]] = {"block": _block, "calm": _calm, "none": NoLocalRelation}


def build_igpn(settings: IGPNSettings) -> IGPN:
    """IGPN with random weights. Raises SettingError for an unknown layout, correlation, features or local relation."""
    for name, value, known in (
        ("layout", settings.layout, LAYOUTS),
        ("correlation", settings.correlation, CORRELATIONS),
        ("features", settings.features, _FEATURES),
        ("local_relation", settings.local_relation, _LOCAL),
    ):
        if value not in known:
            raise SettingError(f"network.{name} {value}: choose one of {', '.join(known)}")
    layout = LAYOUTS[settings.layout]
    prepare, width = _FEATURES[settings.features]
    anchors = len(settings.anchors.sizes) * len(settings.anchors.ratios)
    correlate, channels = CORRELATIONS[settings.correlation], settings.channels
    return IGPN(
        Stem(layout),
        correlate(STEM_CHANNELS, channels, 2 * anchors, KERNEL),
        correlate(STEM_CHANNELS, channels, 4 * anchors, KERNEL),
        Head(layout, stride=1),
        QueryRelation(HEAD_CHANNELS, prepare(), width),
        _LOCAL[settings.local_relation](),
        settings,
    )
