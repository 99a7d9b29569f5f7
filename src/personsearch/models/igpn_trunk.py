"""IGPN on the trunk of a search network: where people are, and who looks like whom, is known before the first step.

Stem, region reading, embedding and the convolution before the proposals are the trunk's, and stay as they are. What
is IGPN's own starts so that it proposes what the trunk proposes and ranks as the trunk ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.data.records import Box
from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import SettingError
from personsearch.geometry.assignment import Matcher
from personsearch.models.correlation import ImprovedCrossCorrelation
from personsearch.models.guided import Candidates, GuidedNetwork, IGPNOutput, QueryCode, SceneCode
from personsearch.models.igpn import KERNEL
from personsearch.models.likeness import DELTAS, LIKENESS, SCORE, CalmCompetition, LikenessRelation, TrunkHead
from personsearch.models.region_features import RoIAligning, at_places, first_of_each, on_grid
from personsearch.models.relation import LocalRelation, NoLocalRelation
from personsearch.models.resnet import STEM_CHANNELS
from personsearch.models.rpn import RPN, AnchorSettings, ProposalSettings, RPNOutput
from personsearch.models.search_network import NetworkSettings, SearchNetwork, Targets, build_search_network
from personsearch.runtime import mixed_precision
from personsearch.settings import Part, Width

PLACES = ProposalSettings(2000, 1000, nms_iou=0.7)
"""Of the trunk's proposals, at which people are read whoever is asked for: all, but one of many at a place."""
_SLOPE, _MIDDLE = 12.0, 0.55
"""At the start the logit of a proposal is _SLOPE * (cosine - _MIDDLE)."""


@dataclass(frozen=True)
class TrunkIGPNSettings:
    """Numbers of an IGPN on a trunk."""

    trunk: NetworkSettings = NetworkSettings()
    """Of the search network that it stands on; training takes them from there."""
    local_relation: str = "calm"
    """"calm", or "none" ("w/o L" of Table 2)."""
    relations: Width = 64
    """Numbers of a relation."""
    proposals: ProposalSettings = ProposalSettings(2000, 64)
    nms_iou: Part = 0.5
    test_size: SizeSettings = SizeSettings(900, 1500)

    @property
    def anchors(self) -> AnchorSettings:
        return self.trunk.anchors


@dataclass(frozen=True)
class TrunkName:
    """Which weights an IGPN stands on."""

    name: str
    """Of weights that ship, or the absolute path of a folder"""
    fingerprint: str


@dataclass(frozen=True)
class TrunkCode:
    """What a trunk sees of one scene. It depends on no training of IGPN, so it is worth keeping."""

    maps: Tensor
    """[1, 1024, H, W] of the stem"""
    hidden: Tensor
    """[1, 512, H, W]: phi of them, which is the trunk's convolution before its proposals"""
    size: tuple[int, int]
    """Height and width of the network's input"""
    scale: Tensor
    """[4] that takes boxes of the original picture to it"""


class TrunkIGPN(GuidedNetwork):
    """Instance guided proposal network on the trunk of a search network."""

    similarity: ImprovedCrossCorrelation
    regression: ImprovedCrossCorrelation

    def __init__(
        self,
        trunk: SearchNetwork,
        name: TrunkName,
        similarity: ImprovedCrossCorrelation,
        regression: ImprovedCrossCorrelation,
        relation: LikenessRelation,
        local: LocalRelation,
        settings: TrunkIGPNSettings,
    ) -> None:
        """The trunk's parts are taken as they are, and frozen."""
        head, reading = TrunkHead(trunk.head), RoIAligning(trunk.settings.roi_size)
        super().__init__(
            trunk.stem, similarity, regression, head, reading, relation, local, settings.relations, settings
        )
        self.rpn = trunk.rpn
        self.trunk = name
        self._matcher = Matcher(positive=0.5, negative=0.5)
        for part in (self.stem, self.head, self.rpn):
            part.requires_grad_(False)

    def own_state(self) -> dict[str, Tensor]:
        """All tensors that the trunk lacks."""
        borrowed = ("stem.", "head.", "rpn.")
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(borrowed)}

    def forward(
        self,
        hidden: Tensor,
        kernels: Tensor,
        queries: Tensor,
        regions: Tensor,
        readings: Tensor,
        targets: Sequence[Targets],
    ) -> IGPNOutput:
        """One training pass over P pairs, of what `TrunkCode`s say and what was read of them once.

        Scenes as phi sees them, [B, 512, H, W], are asked for P/B queries each, one after the other. A query is a map
        [P, 1024, 7, 3] and what was read of the person, [P, D]. The second stage looks at regions [B, N, 4] of each
        scene with readings [B, N, D]; rows of zeros fill up. Targets are as in `IGPN.forward`.
        """
        each = len(queries) // len(hidden)
        by_scene = [slice(start, start + each) for start in range(0, len(queries), each)]
        rpn = _together([
            self.propose(self._code(seen[None], seen[None], _NO_SIZE), self._query(kernels[asked], queries[asked]))
            for seen, asked in zip(hidden.float(), by_scene, strict=True)
        ])  # fmt: skip
        lists = [boxes[boxes[:, 2] > boxes[:, 0]] for boxes in regions]
        features = [read[: len(boxes)].float() for read, boxes in zip(readings, lists, strict=True)]
        lists, features = ([one for one in some for _ in range(each)] for some in (lists, features))
        query = QueryCode(None, None, queries.float())
        related = self.relate(query, lists, torch.cat(features))
        matches = [self._matcher(boxes, target.boxes) for boxes, target in zip(lists, targets, strict=True)]
        padded = nn.utils.rnn.pad_sequence(matches, batch_first=True, padding_value=-1)
        watched = self.local.watched(related.present, torch.cat(features))
        return IGPNOutput(rpn, related, padded, list(targets), watched)

    def precedence(self, similarities: Tensor, features: Tensor) -> Tensor:
        """Boxes of one person are about equally alike, so that the one of which the trunk is surer stays; of two people
        who overlap, the one asked for."""
        return similarities * features[:, SCORE].exp()

    def _code(self, maps: Tensor, hidden: Tensor, size: tuple[int, int]) -> SceneCode:
        similarity, regression = self.similarity.read_scene(hidden), self.regression.read_scene(hidden)
        return SceneCode(maps, similarity, regression, size, torch.ones(4, device=hidden.device))

    def _query(self, kernels: Tensor, readings: Tensor) -> QueryCode:
        kernels = kernels.float()
        return QueryCode(self.similarity.read_query(kernels), self.regression.read_query(kernels), readings)

    @torch.inference_mode()
    def read_scene(self, image: Image.Image) -> TrunkCode:
        """What the trunk sees of an RGB picture."""
        pixels, scale = resize(image, self.settings.test_size)
        device = self.stem.mean.device
        with mixed_precision(device):
            maps = self.stem(pixels[None].to(device))
            hidden = self.rpn.hidden(maps)
        return TrunkCode(maps.float(), hidden.float(), (pixels.shape[1], pixels.shape[2]), scale.to(device))

    @torch.inference_mode()
    def ready(self, kept: TrunkCode) -> SceneCode:
        """With the responses to what all queries share, which training changes, and the trunk's proposals as places."""
        with mixed_precision(kept.maps.device):
            code = self._code(kept.maps, kept.hidden, kept.size)
            places = on_grid(self.rpn.answer(kept.hidden).proposals(0, kept.size, PLACES))
        return replace(code, scale=kept.scale, places=places)

    @torch.inference_mode()
    def read_people(self, code: TrunkCode, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """The people in boxes [P, 4] of a scene, in pixels of the network's input, as queries: maps [P, 1024, 7, 3] and
        readings [P, D]. It is what the trunk reads at these boxes."""
        with mixed_precision(code.maps.device):
            pooled = self.reading.pool(code.maps, [boxes])
            return F.max_pool2d(pooled, 2), self.head(pooled)

    @torch.inference_mode()
    def read_regions_of(self, code: TrunkCode, boxes: Tensor) -> Tensor:
        """Readings [N, D] of boxes [N, 4] of a scene, in pixels of the network's input."""
        with mixed_precision(code.maps.device):
            readings: Tensor = self.head(self.reading.pool(code.maps, [boxes]))
        return readings

    @torch.inference_mode()
    def trunk_proposals(self, code: TrunkCode) -> Tensor:
        """The boxes [N, 4] that the trunk proposes in a scene, whoever is asked for; in pixels of the input."""
        with mixed_precision(code.maps.device):
            found = self.rpn.answer(code.hidden).proposals(0, code.size, self.settings.proposals)
        return on_grid(found)

    def settled(self, scene: SceneCode, found: Candidates) -> Candidates:
        """Boxes near one of the scene's places are proposed there, so that queries share what is read of people; of
        several at one place the most alike stays."""
        assert scene.places is not None
        boxes = at_places(found.boxes, scene.places)
        first = first_of_each(boxes)
        return Candidates(boxes[first], found.similarities[first])

    @torch.inference_mode()
    def encode_query(self, image: Image.Image, boxes: Sequence[Box]) -> QueryCode:
        """The people in `boxes` of an RGB picture, as the trunk reads them in it."""
        return self.query_in(self.read_scene(image), boxes)

    @torch.inference_mode()
    def query_in(self, code: TrunkCode, boxes: Sequence[Box]) -> QueryCode:
        """The same in a picture that was read before; boxes are in pixels of the picture."""
        kernels, readings = self.read_people(code, torch.tensor(boxes, device=code.scale.device) * code.scale)
        with mixed_precision(code.maps.device):
            return self._query(kernels, readings)


_NO_SIZE = (0, 0)
"""Of a scene whose proposals nobody asks for."""


def _together(outputs: Sequence[RPNOutput]) -> RPNOutput:
    """What several scenes of one size propose."""
    logits, deltas = torch.cat([one.logits for one in outputs]), torch.cat([one.deltas for one in outputs])
    return RPNOutput(outputs[0].anchors, logits, deltas)


def _calm(settings: TrunkIGPNSettings) -> LocalRelation:
    return CalmCompetition(settings.relations)


def _none(_settings: TrunkIGPNSettings) -> LocalRelation:
    return NoLocalRelation()


_LOCAL: dict[str, Callable[[TrunkIGPNSettings], LocalRelation]] = {"calm": _calm, "none": _none}


def igpn_on(trunk: SearchNetwork, name: TrunkName, settings: TrunkIGPNSettings) -> TrunkIGPN:
    """IGPN on a search network, as it starts. Raises SettingError for an unknown local relation."""
    if settings.local_relation not in _LOCAL:
        raise SettingError(f"network.local_relation {settings.local_relation}: choose one of {', '.join(_LOCAL)}")
    anchors = len(settings.anchors.sizes) * len(settings.anchors.ratios)
    channels = trunk.rpn.conv.out_channels
    similarity, regression = (
        ImprovedCrossCorrelation(STEM_CHANNELS, channels, count * anchors, KERNEL, adjust=nn.Identity())
        for count in (2, 4)
    )
    relation, local = LikenessRelation(settings.relations), _LOCAL[settings.local_relation](settings)
    network = TrunkIGPN(trunk, name, similarity, regression, relation, local, settings)
    _start_as(network, trunk.rpn)
    return network


@torch.no_grad()
def _start_as(network: TrunkIGPN, rpn: RPN) -> None:
    """Proposes as the trunk; similarities rise with the cosine alone, and boxes move as the trunk's head moves them."""
    weight, bias = (tensor.float().flatten(1) if tensor.ndim > 1 else tensor for tensor in rpn.score.parameters())
    # of two numbers an anchor, whose difference is its logit, the second one
    pairs = [torch.stack([torch.zeros_like(one), one], dim=1).flatten(0, 1) for one in (weight, bias)]
    network.similarity.start_as(*pairs)
    network.regression.start_as(rpn.delta.weight.flatten(1), rpn.delta.get_parameter("bias"))
    for layer in (network.score, network.delta):
        nn.init.zeros_(layer.weight)
    network.score.weight[1, LIKENESS] = _SLOPE
    network.score.bias[1] = -_SLOPE * _MIDDLE
    network.delta.weight[:, DELTAS] = torch.eye(4)


def build_trunk_igpn(settings: TrunkIGPNSettings) -> TrunkIGPN:
    """IGPN on a search network with random weights."""
    return igpn_on(build_search_network(settings.trunk), TrunkName("", ""), settings)
