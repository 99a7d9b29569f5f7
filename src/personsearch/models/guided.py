"""A detector that is asked for one person: what the paper's IGPN (igpn.py) and the one on a trunk have in common.

Reading a pair has three steps: a scene's code and a query's code, which know nothing of each other, and what relates
them: `propose`, the first stage, and `relate`, the second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image, nms

from personsearch.data.records import Box
from personsearch.geometry.deltas import decode_boxes
from personsearch.models.correlation import CorrelatedScene, CrossCorrelation, cat_kernels
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.region_features import RegionFeatures, RegionReading
from personsearch.models.relation import LocalRelation, mean_relation
from personsearch.models.resnet import Stem
from personsearch.models.rpn import RPNOutput, make_anchors
from personsearch.models.search_network import ROI_STD, Targets
from personsearch.runtime import mixed_precision


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
    places: Tensor | None = None
    """[K, 4] where people may be whoever is asked for, in pixels of the network's input, if the network says so"""

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
    """[P, D], f^q"""


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
class IGPNOutput:
    """All that a training pass predicts, and what it should have."""

    rpn: RPNOutput
    related: Related
    matches: Tensor
    """[P, N]: index of the matched person of the pair, negative for none"""
    targets: list[Targets] = field(repr=False)
    watched: dict[str, Tensor] = field(default_factory=dict, repr=False)
    """Numbers that are no losses, for the log"""


def cat_queries(codes: Sequence[QueryCode]) -> QueryCode:
    """Several queries as one batch; at least one."""
    return QueryCode(
        cat_kernels([code.similarity for code in codes]),
        cat_kernels([code.regression for code in codes]),
        torch.cat([code.features for code in codes]),
    )


class GuidedNetwork(PacedModule):
    """The two stages, of parts that are given finished. What a scene and a query are read by is another's to say."""

    def __init__(
        self,
        stem: Stem,
        similarity: CrossCorrelation[Any],
        regression: CrossCorrelation[Any],
        head: nn.Module,
        reading: RegionReading,
        relation: nn.Module,
        local: LocalRelation,
        dim: int,
        settings: Any,
    ) -> None:
        """`head` turns pooled regions into features, `relation` and `local` turn these into relations of `dim` numbers.

        The settings say what `anchors`, `proposals`, `nms_iou` and `test_size` are.
        """
        super().__init__()
        self.stem = stem
        self.similarity = similarity
        self.regression = regression
        self.head = head
        self.relation = relation
        self.local = local
        self.score = nn.Linear(dim, 2)
        self.delta = nn.Linear(dim, 4)
        self.search = nn.Linear(dim, 2)
        self.settings = settings
        self.reading = reading
        for layer, std in ((self.score, 0.01), (self.delta, 0.001), (self.search, 0.01)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def paces(self) -> Paces:
        """The relation's embedding, if it has one, counts as fresh, too: it was trained for another purpose."""
        return {
            "correlation": [self.similarity, self.regression],
            "fresh": [self.relation, self.local, self.score, self.delta, self.search],
        }

    def read_scene(self, image: Image.Image) -> Any:
        """What is worth keeping of an RGB picture: see `ready`."""
        raise NotImplementedError

    def ready(self, kept: Any) -> SceneCode:
        """What was kept of a scene as the code that queries are asked of."""
        raise NotImplementedError

    def encode_scene(self, image: Image.Image) -> SceneCode:
        """All that an RGB picture says before anybody is asked for."""
        return self.ready(self.read_scene(image))

    def encode_query(self, image: Image.Image, boxes: Sequence[Box]) -> QueryCode:
        """The people in `boxes` of an RGB picture."""
        raise NotImplementedError

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
        """f^p of boxes [N, 4] of one scene, [N, D]. Those that the reading cannot tell apart are read once.

        `regions` is a cache of this scene's features, to which new ones are added: conv5 on proposals is nearly all
        that a further query costs, and queries of a scene propose much the same.
        """
        known = RegionFeatures() if regions is None else regions

        def read(missing: Tensor) -> Tensor:
            features: Tensor = self.head(self.reading.pool(scene.maps, [missing]))
            return features

        return known.read(self.reading.regions(boxes), read)

    def relate(self, query: QueryCode, boxes: Sequence[Tensor], features: Tensor) -> Related:
        """The second reading, of P lists of proposals [N_i, 4] with features [sum of N_i, D], list after list."""
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

    def answer(self, scene: SceneCode, query: QueryCode, regions: RegionFeatures | None = None) -> list[Proposals]:
        """The proposals of one scene for each of P queries. With the scene's `regions` further queries are cheaper."""
        return self.compare(scene, query, [found.boxes for found in self.candidates(scene, query)], regions)

    @torch.inference_mode()
    def candidates(self, scene: SceneCode, query: QueryCode) -> list[Candidates]:
        """The first stage alone: what the Siamese proposal network finds in one scene for each of P queries."""
        with mixed_precision(scene.maps.device):
            rpn = self.propose(scene, query)
        found = [rpn.scored_proposals(i, scene.size, self.settings.proposals) for i in range(len(query.features))]
        return [self.settled(scene, Candidates(boxes, logits.sigmoid())) for boxes, logits in found]

    def settled(self, _scene: SceneCode, found: Candidates) -> Candidates:
        """What the first stage finds as it is proposed."""
        return found

    def precedence(self, similarities: Tensor, _features: Tensor) -> Tensor:
        """Which of several overlapping proposals stays: that with the largest number, [N]."""
        return similarities

    @torch.inference_mode()
    def compare(
        self, scene: SceneCode, query: QueryCode, lists: Sequence[Tensor], regions: RegionFeatures | None = None
    ) -> list[Proposals]:
        """The second stage alone: candidates [N_i, 4] of one scene for each of P queries, looked at again."""
        with mixed_precision(scene.maps.device):
            features = self.read_regions(scene, torch.cat(list(lists)), regions)
        stay = self.judge(query, lists, features, scene.size)
        return [Proposals((boxes / scene.scale).cpu(), alike.cpu()) for boxes, alike, _ in stay]

    @torch.inference_mode()
    def judge(
        self, query: QueryCode, lists: Sequence[Tensor], features: Tensor, size: tuple[int, int]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The second stage on candidates that were read: lists and features as `relate` takes them, of one scene whose
        input had this size. For each query what stays, most alike first: boxes [n, 4] in pixels of the input,
        similarities [n], and which candidates [n] they were."""
        with mixed_precision(features.device):
            related = self.relate(query, lists, features)
        answers = []
        by_list = torch.split(features, [len(proposals) for proposals in lists])
        for index, (proposals, seen) in enumerate(zip(lists, by_list, strict=True)):
            count = len(proposals)
            boxes = clip_boxes_to_image(decode_boxes(related.deltas[index, :count], proposals, ROI_STD), size)
            similarities = related.logits[index, :count].softmax(dim=1)[:, 1]
            sides = (boxes[:, 2:] - boxes[:, :2]).min(dim=1).values
            large = torch.nonzero(sides > 1).flatten()
            kept = large[nms(boxes[large], self.precedence(similarities, seen)[large], self.settings.nms_iou)]
            kept = kept[similarities[kept].argsort(descending=True, stable=True)]
            answers.append((boxes[kept], similarities[kept], kept))
        return answers
