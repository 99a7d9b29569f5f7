"""The network that searches: a Faster R-CNN whose regions also get an identity embedding (BINet, section 3.1).

Trained alone it is the paper's baseline OIM*; trained with the instance-aware branch (binet.py) it is BINet. At
inference both are this class and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import clip_boxes_to_image, nms

from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import SettingError
from personsearch.geometry.assignment import Matcher, Sampler
from personsearch.geometry.deltas import decode_boxes
from personsearch.geometry.detections import Detections
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.resnet import CONV4_BLOCKS, HEAD_CHANNELS, LAYOUTS, STEM_CHANNELS, Head, Stem
from personsearch.models.roi_align import roi_align
from personsearch.models.rpn import RPN, STRIDE, AnchorSettings, ProposalSettings, RPNOutput
from personsearch.runtime import mixed_precision
from personsearch.settings import Part, PeopleAStep, Range

ROI_STD = (0.1, 0.1, 0.2, 0.2)
EMBEDDING_DIM = 256
_Cells = Annotated[int, Range(1, 64)]


@dataclass(frozen=True)
class NetworkSettings:
    """Numbers of the search network; the defaults are those of BINet on CUHK-SYSU."""

    layout: str = "torchvision"
    """Layout of the ImageNet weights that the backbone starts from: see `resnet.LAYOUTS`."""
    conv4_blocks: int = CONV4_BLOCKS
    """How many of conv4's six blocks read the whole picture, before RoIAlign: all in OIM*, three in OIM's own split."""
    anchors: AnchorSettings = AnchorSettings()
    roi_size: tuple[_Cells, _Cells] = (14, 6)
    rois: PeopleAStep = 128
    """Regions per picture while training."""
    positive_fraction: Part = 0.25
    train_proposals: ProposalSettings = ProposalSettings(12000, 2000)
    test_proposals: ProposalSettings = ProposalSettings(6000, 300)
    box_fit: bool = False
    """Whether the head also predicts how well a box fits, so that suppression keeps the better one of two."""
    nms_iou: Part = 0.4
    test_size: SizeSettings = SizeSettings(600, 1000)


@dataclass(frozen=True)
class Targets:
    """The people of one training picture, in the picture's own (resized) pixels."""

    boxes: Tensor
    """[P, 4] float32 xyxy"""
    identities: Tensor
    """[P] int64, UNLABELED where unknown"""
    random: torch.Generator | None = None
    """Draws which of this picture's regions and anchors train; torch's own when None."""


@dataclass(frozen=True)
class Regions:
    """The sampled regions of a batch, and what each of them should be."""

    boxes: list[Tensor]
    """One [R_i, 4] a picture, positives first."""
    positive: Tensor
    """[R] bool over all pictures"""
    matched_boxes: Tensor
    """[P, 4]: the annotated box of each positive region"""
    identities: Tensor
    """[P] int64: the identity of each positive region"""

    def positive_boxes(self) -> list[Tensor]:
        """The positive regions [P_i, 4] of each picture."""
        flags = torch.split(self.positive, [len(b) for b in self.boxes])
        return [boxes[flag] for boxes, flag in zip(self.boxes, flags, strict=True)]


@dataclass(frozen=True)
class Branch:
    """What one branch says about the P positive regions."""

    features: Tensor
    """[P, 2048], before the embedding"""
    embeddings: Tensor
    """[P, 256], unit length"""


@dataclass(frozen=True)
class SearchOutput:
    """All that the search branch predicts in training."""

    rpn: RPNOutput
    regions: Regions
    logits: Tensor
    """[R] person or not"""
    fits: Tensor
    """[R, 1] logit of the overlap that the region's final box will have, or [R, 0] if the head does not predict it"""
    deltas: Tensor
    """[R, 4]"""
    search: Branch
    targets: list[Targets] = field(repr=False)

    @property
    def identities(self) -> Tensor:
        """[P] int64: who the positive regions show"""
        return self.regions.identities


@dataclass(frozen=True)
class BoxOutput:
    """What the search branch says of people in given boxes, where nobody is detected."""

    search: Branch
    identities: Tensor
    """[P] int64"""


@dataclass(frozen=True)
class SceneMap:
    """A picture after the stem, to be asked several times."""

    maps: Tensor
    """[1, 1024, h, w]"""
    scale: Tensor
    """Four numbers that multiply a box of the original picture"""
    size: tuple[int, int]
    """Height and width of the resized picture in pixels"""


class NoFit(nn.Module):
    """Predicts no fit of boxes: the papers' head, whose boxes are ranked by the person score alone."""

    def forward(self, features: Tensor) -> Tensor:
        return features.new_zeros(len(features), 0)


class BoxFit(nn.Linear):
    """Logit of the overlap of a region's final box with the person (Jiang et al., IoU-Net, 2018)."""

    def __init__(self) -> None:
        super().__init__(HEAD_CHANNELS, 1)
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)


class RoIHead(nn.Module):
    """conv5 and the readings of its feature: is it a person, where exactly, how exactly, and who."""

    def __init__(self, backbone: Head, fit: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.score = nn.Linear(HEAD_CHANNELS, 1)
        self.fit = fit
        self.delta = nn.Linear(HEAD_CHANNELS, 4)
        self.embedding = nn.Linear(HEAD_CHANNELS, EMBEDDING_DIM)
        for layer, std in ((self.score, 0.01), (self.delta, 0.001), (self.embedding, 0.01)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def branch(self, features: Tensor) -> Branch:
        """Features [P, 2048] to features and unit-length embeddings."""
        return Branch(features, F.normalize(self.embedding(features).float()))

    def read(self, maps: Tensor) -> Branch:
        """conv4 maps of people [P, 1024, h, w] to what a branch says of them."""
        return self.branch(self.backbone(maps))

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pooled regions [R, 1024, h, w] to features [R, 2048], logits [R], fits [R, 0 or 1] and deltas [R, 4]."""
        features = self.backbone(regions)
        logits = self.score(features).float()[:, 0]
        return features, logits, self.fit(features).float(), self.delta(features).float()


def box_scores(logits: Tensor, fits: Tensor) -> Tensor:
    """What boxes are ranked by, [R] in [0, 1]: the geometric mean of person score and, where there is one, fit."""
    both = torch.cat([logits[:, None], fits], dim=1)
    return both.sigmoid().log().mean(dim=1).exp()


class InstanceNetwork(nn.Module):
    """An instance-aware branch with weights of its own, trained further on cropped people than the search branch is.

    In training both branches share every weight, and search is all that runs at inference. Readings (readings.py) look
    at patches, too, and what tells patches apart best is not what finds people best.
    """

    def __init__(self, stem: Stem, head: RoIHead) -> None:
        super().__init__()
        self.stem = stem
        self.head = head


class SearchNetwork(PacedModule):
    """Detects people and embeds them, in one pass over a whole picture."""

    def __init__(self, stem: Stem, rpn: RPN, head: RoIHead, settings: NetworkSettings) -> None:
        super().__init__()
        self.stem = stem
        self.rpn = rpn
        self.head = head
        self.settings = settings
        self.own_instance: InstanceNetwork | None = None
        """Weights that ship may bring one; training has none."""
        self._matcher = Matcher(positive=0.5, negative=0.5)
        self._sampler = Sampler(settings.rois, settings.positive_fraction)

    @property
    def instance(self) -> SearchNetwork | InstanceNetwork:
        """Who reads patches, by `stem` and `head`: this network itself, unless the branch has weights of its own."""
        return self if self.own_instance is None else self.own_instance

    def paces(self) -> Paces:
        """The embedding is not fresh: a warm-up, or the weights that are trained further, bring one."""
        return {"fresh": [self.rpn, self.head.score, self.head.fit, self.head.delta]}

    def forward(self, images: Tensor, targets: Sequence[Targets]) -> SearchOutput:
        """One training pass over pictures [B, 3, H, W], RGB in [0, 255], with their people."""
        maps = self.stem(images)
        rpn = self.rpn(maps)
        regions = self._sample_regions(rpn, images, targets)
        features, logits, fits, deltas = self.head(self.pool(maps, regions.boxes))
        branch = self.head.branch(features[regions.positive])
        return SearchOutput(rpn, regions, logits, fits, deltas, branch, list(targets))

    @torch.inference_mode()
    def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
        """People in an RGB picture, by falling score, in the picture's own pixels. None gives an empty list."""
        boxes, scores, features = self.find(self.read(image), score_threshold)
        return Detections(boxes.cpu(), scores.cpu(), self.head.branch(features).embeddings.cpu())

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """Unit-length embeddings [N, 256] of given boxes [N, 4] xyxy in the picture's own pixels."""
        return self.embed_in(self.read(image), image, boxes)

    @property
    def test_size(self) -> SizeSettings:
        """What pictures are resized to."""
        return self.settings.test_size

    @torch.inference_mode()
    def embed_in(self, scene: SceneMap, _image: Image.Image, boxes: Tensor) -> Tensor:
        """The same as `embed`, in a picture that was read already."""
        return self.head.branch(self.features(scene, boxes)).embeddings.cpu()

    @torch.inference_mode()
    def read(self, image: Image.Image) -> SceneMap:
        """The stem's map of an RGB picture, for `find` and `features`."""
        pixels, scale = self.prepare(image)
        with mixed_precision(pixels.device):
            return SceneMap(self.stem(pixels), scale, (pixels.shape[2], pixels.shape[3]))

    @torch.inference_mode()
    def find(self, scene: SceneMap, score_threshold: float) -> tuple[Tensor, Tensor, Tensor]:
        """The people of a scene, by falling score: boxes [N, 4] in the picture's own pixels, scores [N] and pooled
        features [N, 2048]."""
        with mixed_precision(scene.maps.device):
            proposals = self.rpn(scene.maps).proposals(0, scene.size, self.settings.test_proposals)
            features, logits, fits, deltas = self.head(self.pool(scene.maps, [proposals]))
        boxes = clip_boxes_to_image(decode_boxes(deltas, proposals, ROI_STD), scene.size)
        scores = box_scores(logits, fits)
        sides = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values
        kept = torch.nonzero((scores >= score_threshold) & (sides > 1)).flatten()
        kept = kept[nms(boxes[kept], scores[kept], self.settings.nms_iou)]
        return boxes[kept] / scene.scale, scores[kept], features[kept]

    @torch.inference_mode()
    def features(self, scene: SceneMap, boxes: Tensor) -> Tensor:
        """Pooled features [N, 2048] of given boxes [N, 4] xyxy in the picture's own pixels."""
        with mixed_precision(scene.maps.device):
            regions = self.pool(scene.maps, [(boxes.to(scene.maps.device) * scene.scale).float()])
            features: Tensor = self.head.backbone(regions)
        return features

    def prepare(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        """The resized picture [1, 3, H, W] and its scale (4 numbers that multiply a box)."""
        pixels, scale = resize(image, self.settings.test_size)
        device = self.stem.mean.device
        return pixels[None].to(device), scale.to(device)

    def pool(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        """RoIAlign of boxes, one [R_i, 4] a picture, from stem maps [B, 1024, h, w]: [R, 1024, *roi_size]."""
        return roi_align(maps, boxes, self.settings.roi_size, STRIDE)

    @torch.no_grad()
    def _sample_regions(self, rpn: RPNOutput, images: Tensor, targets: Sequence[Targets]) -> Regions:
        size = (images.shape[2], images.shape[3])
        boxes, positive, matched, identities = [], [], [], []
        for index, target in enumerate(targets):
            proposals = rpn.proposals(index, size, self.settings.train_proposals)
            # the annotated boxes are candidates too, so that a young RPN cannot starve the head
            candidates = torch.cat([proposals, target.boxes])
            match = self._matcher(candidates, target.boxes)
            kept_positive, kept_negative = self._sampler(match, target.random)
            boxes.append(candidates[torch.cat([kept_positive, kept_negative])])
            positive += [True] * len(kept_positive) + [False] * len(kept_negative)
            matched.append(target.boxes[match[kept_positive]])
            identities.append(target.identities[match[kept_positive]])
        flags = torch.tensor(positive, dtype=torch.bool, device=images.device)
        return Regions(boxes, flags, torch.cat(matched), torch.cat(identities))


def build_search_network(settings: NetworkSettings) -> SearchNetwork:
    """A search network with random weights: modified Faster R-CNN of BINet's section 3.1.

    Raises SettingError for an unknown layout or an impossible split.
    """
    if settings.layout not in LAYOUTS:
        raise SettingError(f"network.layout {settings.layout}: choose one of {', '.join(LAYOUTS)}")
    layout = LAYOUTS[settings.layout]
    blocks = settings.conv4_blocks
    if not 1 <= blocks <= CONV4_BLOCKS:
        raise SettingError(f"network.conv4_blocks {blocks}: give a number from 1 to {CONV4_BLOCKS}")
    rpn = RPN(STEM_CHANNELS, 512, settings.anchors)
    head = RoIHead(Head(layout, stride=2, blocks=blocks), BoxFit() if settings.box_fit else NoFit())
    return SearchNetwork(Stem(layout, blocks), rpn, head, settings)
