"""IGPN: a detector that is asked for one person (Figure 2). Its proposals come with their similarity to the query.

Reading a pair has three steps: `encode_scenes` and `encode_queries`, which know nothing of each other, and `relate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms, roi_pool

from personsearch.data.patches import query_patch
from personsearch.data.records import Box
from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import SettingError
from personsearch.geometry.assignment import Matcher
from personsearch.geometry.deltas import decode_boxes
from personsearch.models.correlation import CORRELATIONS, CorrelatedScene, CrossCorrelation, cat_kernels
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.region_features import RegionFeatures, distinct_regions
from personsearch.models.relation import (
    EmbeddedFeatures,
    LocalRelationBlock,
    NoLocalRelation,
    QueryRelation,
    UnitFeatures,
    mean_relation,
)
from personsearch.models.resnet import HEAD_CHANNELS, LAYOUTS, STEM_CHANNELS, Head, Stem
from personsearch.models.rpn import STRIDE, AnchorSettings, ProposalSettings, RPNOutput, make_anchors
from personsearch.models.search_network import EMBEDDING_DIM, ROI_STD, Targets
from personsearch.runtime import mixed_precision
from personsearch.settings import Count, Part

KERNEL = (7, 3)
"""Height and width of the correlation kernel: a query's 14x6 stem map, pooled 2x2."""
_ROI = (7, 7)


@dataclass(frozen=True)
class IGPNSettings:
    """Numbers of IGPN; the defaults are those of sections 3.5 and 4.3."""

    layout: str = "torchvision"
    """Layout of the ImageNet weights that the backbone starts from: see `resnet.LAYOUTS`."""
    correlation: str = "improved"
    """"improved" (Eq. 2), "unshared" (without B), or "vanilla" (Eq. 1 as in SiamRPN)."""
    channels: Count = 512
    """c' of section 3.2.2."""
    features: str = "plain"
    """How f^p and f^q are compared: "plain" as in the paper, scaled to "unit" length first, or "embedded" first as by
    the search network that the backbone comes from."""
    local_relation: str = "block"
    """"block", or "none" ("w/o L" of Table 2)."""
    anchors: AnchorSettings = AnchorSettings((64.0, 128.0, 256.0), (1.0, 2.0, 3.0))
    proposals: ProposalSettings = ProposalSettings(6000, 32)
    nms_iou: Part = 0.5
    test_size: SizeSettings = SizeSettings(600, 1000)


@dataclass(frozen=True)
class SceneCode:
    """All that is known of B scenes before anybody is asked for."""

    maps: Tensor
    """[B, 1024, H, W] of the stem"""
    similarity: CorrelatedScene
    regression: CorrelatedScene
    size: tuple[int, int]
    """Height and width of the network's input"""
    scale: Tensor
    """[4] that takes boxes of the original picture to it; ones in training"""

    def repeated(self, times: int) -> SceneCode:
        """Each scene so many times, one after the other."""
        return SceneCode(
            self.maps.repeat_interleave(times, dim=0),
            self.similarity.repeated(times),
            self.regression.repeated(times),
            self.size,
            self.scale,
        )


@dataclass(frozen=True)
class QueryCode:
    """All that is known of P queries before a scene is looked at."""

    similarity: Any
    """Kernel of the first similarity, as its correlation layer makes it"""
    regression: Any
    """Kernel of the first box"""
    features: Tensor
    """[P, 2048], f^q"""


@dataclass(frozen=True)
class Found:
    """Boxes that a stage finds in a scene for one query."""

    boxes: Tensor
    """[N, 4] float32 xyxy"""
    similarities: Tensor
    """[N]"""

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Selects by mask, by indices or by slice."""
        return replace(self, boxes=self.boxes[index], similarities=self.similarities[index])


class Candidates(Found):
    """What the first stage finds, most alike first, with similarities in [0, 1].

    Boxes are in pixels of the network's input, on its device.
    """


class Proposals(Found):
    """What a scene answers, most alike first, with similarities in [0, 1].

    Boxes are in pixels of the original picture, on the CPU.
    """


@dataclass(frozen=True)
class Related:
    """The second reading of N proposals for each of P pairs; rows that are not present are padding."""

    boxes: Tensor
    """[P, N, 4] the proposals, in pixels of the network's input"""
    present: Tensor
    """[P, N] bool"""
    logits: Tensor
    """[P, N, 2]: another person or background, the query person"""
    deltas: Tensor
    """[P, N, 4]"""
    search: Tensor
    """[P, 2]: the query person is not in the scene, is in it"""


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


@dataclass(frozen=True)
class IGPNOutput:
    """All that a training pass predicts, and what it should have."""

    rpn: RPNOutput
    related: Related
    matches: Tensor
    """[P, N]: index of the matched person of the pair, negative for none"""
    targets: list[Targets] = field(repr=False)


def cat_queries(codes: Sequence[QueryCode]) -> QueryCode:
    """Several queries as one batch; at least one."""
    return QueryCode(
        cat_kernels([code.similarity for code in codes]),
        cat_kernels([code.regression for code in codes]),
        torch.cat([code.features for code in codes]),
    )


class IGPN(PacedModule):
    """Instance guided proposal network."""

    def __init__(
        self,
        stem: Stem,
        similarity: CrossCorrelation[Any],
        regression: CrossCorrelation[Any],
        head: Head,
        relation: QueryRelation,
        local: nn.Module,
        settings: IGPNSettings,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.similarity = similarity
        self.regression = regression
        self.head = head
        self.relation = relation
        self.local = local
        self.score = nn.Linear(HEAD_CHANNELS, 2)
        self.delta = nn.Linear(HEAD_CHANNELS, 4)
        self.search = nn.Linear(HEAD_CHANNELS, 2)
        self.settings = settings
        for layer, std in ((self.score, 0.01), (self.delta, 0.001), (self.search, 0.01)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        self._matcher = Matcher(positive=0.5, negative=0.5)

    def paces(self) -> Paces:
        """The relation's embedding, if it has one, counts as fresh, too: it was trained for another purpose."""
        return {
            "correlation": [self.similarity, self.regression],
            "fresh": [self.relation, self.local, self.score, self.delta, self.search],
        }

    def forward(self, images: Tensor, patches: Tensor, targets: Sequence[Targets]) -> IGPNOutput:
        """One training pass over P pairs: pictures [B, 3, H, W] and query patches [P, 3, 224, 96], RGB in [0, 255].

        Each picture is asked for the same number P/B of queries, one after the other. The boxes of a pair's targets
        are the query person's alone: one, or none in a negative pair.
        """
        reading = self.read_pairs(images, patches, targets)
        related = self.relate(reading.query, reading.boxes, reading.features)
        return IGPNOutput(reading.rpn, related, reading.matches, list(targets))

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
        distinct = [distinct_regions(torch.cat(list(boxes[at : at + each]))) for at in range(0, len(boxes), each)]
        features = self.head(_pool(scene.maps, [regions for regions, _ in distinct]))
        by_scene = torch.split(features, [len(regions) for regions, _ in distinct])
        return torch.cat([rows[indices] for rows, (_, indices) in zip(by_scene, distinct, strict=True)])

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

    def propose(self, scene: SceneCode, query: QueryCode) -> RPNOutput:
        """The Siamese proposal network: similarity and box of each anchor, for P pairs or P queries of one scene."""
        height, width = scene.maps.shape[2:]
        scores = self.similarity.correlate(scene.similarity, query.similarity).float()
        deltas = self.regression.correlate(scene.regression, query.regression).float()
        pairs = len(scores)
        # two numbers an anchor, whose difference is the logit of a softmax over them
        both = scores.permute(0, 2, 3, 1).reshape(pairs, -1, 2)
        anchors = make_anchors(height, width, self.settings.anchors).to(scores.device)
        return RPNOutput(anchors, both[..., 1] - both[..., 0], deltas.permute(0, 2, 3, 1).reshape(pairs, -1, 4))

    def read_regions(self, scene: SceneCode, boxes: Tensor, regions: RegionFeatures | None = None) -> Tensor:
        """f^p of boxes [N, 4] of one scene, [N, 2048]. Those that RoIPool cannot tell apart are read once.

        `regions` is a cache of this scene's features, to which new ones are added: conv5 on proposals is nearly all
        that a further query costs, and queries of a scene propose much the same.
        """
        known = RegionFeatures() if regions is None else regions

        def read(missing: Tensor) -> Tensor:
            features: Tensor = self.head(_pool(scene.maps, [missing]))
            return features

        return known.read(boxes, read)

    def relate(self, query: QueryCode, boxes: Sequence[Tensor], features: Tensor) -> Related:
        """The second reading, of P lists of proposals [N_i, 4] with features [sum of N_i, 2048], list after list."""
        lists, counts = list(boxes), [len(proposals) for proposals in boxes]
        features = nn.utils.rnn.pad_sequence(list(torch.split(features, counts)), batch_first=True)
        padded = nn.utils.rnn.pad_sequence(lists, batch_first=True)
        longest = torch.arange(padded.shape[1], device=padded.device)
        present = longest[None] < torch.tensor(counts, device=padded.device)[:, None]
        relations = self.local(self.relation(features, query.features), features, present).float()
        # everything is ranked by these, and bfloat16 would tie thousands
        with torch.autocast(relations.device.type, enabled=False):
            search = self.search(mean_relation(relations, present))
            return Related(padded, present, self.score(relations), self.delta(relations), search)

    @torch.inference_mode()
    def encode_scene(self, image: Image.Image) -> SceneCode:
        """All that an RGB picture says before anybody is asked for."""
        pixels, scale = resize(image, self.settings.test_size)
        device = self.stem.mean.device
        with mixed_precision(device):
            code = self.encode_scenes(pixels[None].to(device))
        # as RoIPool reads them: every query would convert them again
        return replace(code, maps=code.maps.float().contiguous(), scale=scale.to(device))

    @torch.inference_mode()
    def encode_query(self, image: Image.Image, boxes: Sequence[Box]) -> QueryCode:
        """The people in `boxes` of an RGB picture, each padded to 3:7."""
        device = self.stem.mean.device
        patches = torch.stack([query_patch(image, box) for box in boxes])
        with mixed_precision(device):
            return self.encode_queries(patches.to(device))

    def answer(self, scene: SceneCode, query: QueryCode, regions: RegionFeatures | None = None) -> list[Proposals]:
        """The proposals of one scene for each of P queries. With the scene's `regions` further queries are cheaper."""
        return self.compare(scene, query, [found.boxes for found in self.candidates(scene, query)], regions)

    @torch.inference_mode()
    def candidates(self, scene: SceneCode, query: QueryCode) -> list[Candidates]:
        """The first stage alone: what the Siamese proposal network finds in one scene for each of P queries."""
        with mixed_precision(scene.maps.device):
            rpn = self.propose(scene, query)
        found = [rpn.scored_proposals(i, scene.size, self.settings.proposals) for i in range(len(query.features))]
        return [Candidates(boxes, logits.sigmoid()) for boxes, logits in found]

    @torch.inference_mode()
    def compare(
        self, scene: SceneCode, query: QueryCode, lists: Sequence[Tensor], regions: RegionFeatures | None = None
    ) -> list[Proposals]:
        """The second stage alone: candidates [N_i, 4] of one scene for each of P queries, looked at again."""
        with mixed_precision(scene.maps.device):
            related = self.relate(query, lists, self.read_regions(scene, torch.cat(list(lists)), regions))
        answers = []
        for index, proposals in enumerate(lists):
            count = len(proposals)
            boxes = clip_boxes_to_image(decode_boxes(related.deltas[index, :count], proposals, ROI_STD), scene.size)
            similarities = related.logits[index, :count].softmax(dim=1)[:, 1]
            sides = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values
            large = torch.nonzero(sides > 1).flatten()
            kept = large[nms(boxes[large], similarities[large], self.settings.nms_iou)]
            answers.append(Proposals((boxes[kept] / scene.scale).cpu(), similarities[kept].cpu()))
        return answers


def _pool(maps: Tensor, regions: list[Tensor]) -> Tensor:
    """Regions [R, 1024, 7, 7] of maps [B, 1024, H, W], from a list of boxes for each."""
    pooled: Tensor = roi_pool(maps.float(), regions, _ROI, 1 / STRIDE)
    return pooled.contiguous(memory_format=torch.channels_last)


def _block() -> nn.Module:
    return LocalRelationBlock(HEAD_CHANNELS)


def _embedded() -> nn.Module:
    return EmbeddedFeatures(HEAD_CHANNELS, EMBEDDING_DIM)


_FEATURES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "plain": (nn.Identity, HEAD_CHANNELS),
    "unit": (UnitFeatures, HEAD_CHANNELS),
    "embedded": (_embedded, EMBEDDING_DIM),
}
"""How features are prepared for their comparison, and how long they then are."""
_LOCAL: dict[str, Callable[[], nn.Module]] = {"block": _block, "none": NoLocalRelation}


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
