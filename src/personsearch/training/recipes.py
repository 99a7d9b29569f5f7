"""The papers' settings by name. A recipe is data: print it, change it with `--set`, store it with the weights."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from personsearch.data.transforms import SizeSettings
from personsearch.errors import SettingError
from personsearch.losses.criteria import IGPNLossSettings, LossSettings
from personsearch.losses.detection import AnchorRule
from personsearch.losses.oim import OIMSettings
from personsearch.models.igpn import IGPNSettings
from personsearch.models.igpn_trunk import TrunkIGPNSettings
from personsearch.models.reid import ReidSettings
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.models.search_network import NetworkSettings
from personsearch.settings import Seed
from personsearch.training.batches.codes import CodePairSettings
from personsearch.training.batches.maps import ViewSettings
from personsearch.training.batches.pairs import PairSettings
from personsearch.training.batches.patches import PatchSettings
from personsearch.training.batches.scenes import BatchSettings
from personsearch.training.batches.sights import ReidBatchSettings
from personsearch.training.optimizers import OptimizerSettings


@dataclass(frozen=True)
class _Head:
    """What each recipe begins with."""

    name: str
    method: str
    """What is trained (`methods.py`)"""
    seed: Seed = 0


@dataclass(frozen=True)
class Recipe(_Head):
    """All that a training run depends on, beside its data and the ImageNet weights. Methods: binet,
    binet_original_patches, oim, detector, or patches, the warm-up."""

    network: NetworkSettings = NetworkSettings()
    loss: LossSettings = LossSettings()
    batches: BatchSettings = BatchSettings()
    patches: PatchSettings = PatchSettings()
    optimizer: OptimizerSettings = OptimizerSettings()


@dataclass(frozen=True)
class IGPNRecipe(_Head):
    """All that a training run of IGPN depends on, beside its data and the ImageNet weights."""

    method: str = "igpn"
    network: IGPNSettings = IGPNSettings()
    loss: IGPNLossSettings = IGPNLossSettings()
    pairs: PairSettings = PairSettings()
    optimizer: OptimizerSettings = OptimizerSettings()


@dataclass(frozen=True)
class TrunkRecipe(_Head):
    """All that a training run of an IGPN on a trunk depends on, beside its data and the trunk."""

    method: str = "igpn_on_trunk"
    network: TrunkIGPNSettings = TrunkIGPNSettings()
    loss: IGPNLossSettings = IGPNLossSettings()
    pairs: CodePairSettings = CodePairSettings()
    optimizer: OptimizerSettings = OptimizerSettings()


@dataclass(frozen=True)
class ReidRecipe(_Head):
    """All that a training run of a re-id network depends on, beside its data and the ImageNet weights."""

    method: str = "reid"
    network: ReidSettings = ReidSettings()
    batches: ReidBatchSettings = ReidBatchSettings()
    optimizer: OptimizerSettings = OptimizerSettings()


@dataclass(frozen=True)
class IdentityRecipe(_Head):
    """All that a training of conv5 and embedding alone depends on, beside its data and the ImageNet weights."""

    method: str = "binet_on_maps"
    """binet_on_maps, binet_original_on_maps, or oim_on_maps."""
    network: NetworkSettings = NetworkSettings()
    """Scenes are read at its `test_size`; what it says of detection is not used."""
    loss: LossSettings = LossSettings()
    views: ViewSettings = ViewSettings()
    optimizer: OptimizerSettings = OptimizerSettings()


AnyRecipe = Recipe | IGPNRecipe | TrunkRecipe | ReidRecipe | IdentityRecipe


def keeps_codes(recipe: AnyRecipe) -> bool:
    """Whether what its frozen layers say of the training scenes is kept on disk."""
    return isinstance(recipe, TrunkRecipe | IdentityRecipe)


def binet_cuhk_sysu() -> Recipe:
    """BINet, section 4.3, for CUHK-SYSU."""
    return Recipe("binet_cuhk_sysu", "binet")


def binet_prw() -> Recipe:
    """BINet, section 4.3, for PRW: larger scenes, a shorter run, a smaller queue, T = 1."""
    return Recipe(
        "binet_prw",
        "binet",
        network=NetworkSettings(test_size=SizeSettings(900, 1500)),
        loss=LossSettings(oim=OIMSettings(queue=500), temperature=1.0),
        batches=BatchSettings(short_sides=(900,), long_side=1500),
        optimizer=OptimizerSettings(steps=30_000, drops=(20_000,)),
    )


def binet_rendered() -> Recipe:
    """BINet on rendered people, sized for two CPU cores; the weights `binet-rendered` come from it.

    Anchors fit walking people. Everything up to conv3 stays as ImageNet made it: that saves its backward pass, and
    keeps it from learning what is special to a renderer's pixels. AdamW, because SGD is slow at the papers' rate and
    collapsed at a rate large enough for so few steps (docs/results).
    """
    return Recipe(
        "binet_rendered",
        "binet",
        network=NetworkSettings(
            anchors=AnchorSettings((24.0, 40.0, 68.0, 112.0, 188.0, 312.0), (2.0, 3.0)),
            rois=32,
            positive_fraction=0.5,
            train_proposals=ProposalSettings(4000, 1000),
            test_proposals=ProposalSettings(2000, 100),
            box_fit=True,
            test_size=SizeSettings(900, 1500),
        ),
        loss=LossSettings(oim=OIMSettings(queue=500, scalar=20.0), temperature=2.0, rpn_positive_iou=0.5),
        batches=BatchSettings(short_sides=(560, 680, 800), long_side=1400, light=0.25),
        optimizer=OptimizerSettings(
            "adamw", rate=0.00003, fresh_factor=16.0, steps=2000, schedule="cosine", warmup=40, frozen_stages=3
        ),
    )


def patches_rendered() -> Recipe:
    """A warm-up for `binet_rendered` and its baseline: backbone and embedding learn to tell cropped people apart.

    Both then start from it (`--backbone RUN`), so that they differ in what the paper compares and in nothing else.
    """
    return replace(
        binet_rendered(),
        name="patches_rendered",
        method="patches",
        optimizer=OptimizerSettings("adamw", rate=0.00007, steps=2600, schedule="cosine", warmup=30, frozen_stages=3),
    )


_Search = TypeVar("_Search", Recipe, IdentityRecipe)


def _oim(recipe: _Search) -> _Search:
    """The same run without the instance-aware branch: OIM*, the baseline."""
    return replace(recipe, method="oim")


def _oim_original(recipe: Recipe) -> Recipe:
    """OIM as first published: conv4 is cut after its third block, and regions are pooled to 14x14."""
    return replace(_oim(recipe), network=replace(recipe.network, conv4_blocks=3, roi_size=(14, 14)))


def _detector(recipe: Recipe) -> Recipe:
    """The detection losses alone: "Faster R-CNN" of IGPN's Figure 6, to put a re-id network behind."""
    return replace(recipe, method="detector")


def _with_loss(**changes: Any) -> Callable[[_Search], _Search]:
    return lambda recipe: replace(recipe, loss=replace(recipe.loss, **changes))


def _original_patches(recipe: _Search) -> _Search:
    """Patches keep their size: "-O" of Table 6."""
    return replace(recipe, method="binet_original_patches")


_no_interaction = _with_loss(feature_weight=0.0, prediction_weight=0.0)

_patches_first = _with_loss(first_remembered="instance")

VARIANTS: dict[str, Callable[[Any], Any]] = {
    "binet": lambda recipe: recipe,
    "oim": _oim,
    "oim_original": _oim_original,
    "detector": _detector,
    "binet0": _no_interaction,
    "binet1": _with_loss(direction="search"),
    "binet2": _with_loss(direction="instance"),
    "binet3": _with_loss(prediction_weight=0.0),
    "binet4": _with_loss(feature_weight=0.0),
    "binet_literal": _with_loss(softening="probabilities"),
    "binet_patches_first": _patches_first,
    "binet0_patches_first": lambda recipe: _patches_first(_no_interaction(recipe)),
    "binet_o": _original_patches,
    "binet0_o": lambda recipe: _original_patches(_no_interaction(recipe)),
}
"""Rows of the paper's tables, made from BINet's recipe for some data. Table 1's "+ Instance-aware" and Table 6's
Re-id-R are `binet0`, its Re-id-O is `binet0_o`. Table 3's temperatures are `--set loss.temperature=`. In those with
`_patches_first` the instance-aware branch moves the memory first."""


def binet_identity() -> IdentityRecipe:
    """BINet without detection, in minutes on one CPU core: conv5 and a whitened embedding learn annotated people.

    The rate falls at the last eighth alone, so that what a run is at an earlier step, a shorter run would be, too.
    """
    rendered = binet_rendered()
    return IdentityRecipe(
        "binet_identity",
        network=NetworkSettings(test_size=SizeSettings(300, 500)),
        loss=rendered.loss,
        optimizer=OptimizerSettings("adamw", rate=0.0001, steps=256, drops=(224,), warmup=40, frozen_stages=4),
    )


_ON_MAPS = {"binet": "binet_on_maps", "binet_original_patches": "binet_original_on_maps", "oim": "oim_on_maps"}


def _on_maps(change: Callable[[Any], Any]) -> Callable[[IdentityRecipe], IdentityRecipe]:
    """What a row changes in BINet, of boxes that are given."""

    def changed(recipe: IdentityRecipe) -> IdentityRecipe:
        made: IdentityRecipe = change(recipe)
        return replace(made, method=_ON_MAPS.get(made.method, made.method))

    return changed


IDENTITY_VARIANTS = {
    name: _on_maps(change) for name, change in VARIANTS.items() if name not in ("detector", "oim_original")
}
"""Rows of BINet's tables that do not need a detector, nor another split of the network."""


def igpn_cuhk_sysu() -> IGPNRecipe:
    """IGPN, section 4.3, for CUHK-SYSU: 25 epochs of 16 pairs, an epoch being as many pairs as training scenes.

    Momentum and weight decay are not given; 0.9 and 5e-4 are usual.
    """
    optimizer = OptimizerSettings(rate=0.001, weight_decay=0.0005, steps=17_500, drops=(11_200,))
    return IGPNRecipe("igpn_cuhk_sysu", optimizer=optimizer)


def igpn_prw() -> IGPNRecipe:
    """IGPN, section 4.3, for PRW: the same sizes and epochs."""
    optimizer = OptimizerSettings(rate=0.001, weight_decay=0.0005, steps=8_900, drops=(5_700,))
    return IGPNRecipe("igpn_prw", optimizer=optimizer)


def igpn_rendered() -> TrunkRecipe:
    """IGPN on the trunk of a search network, on rendered people: minutes once the scenes are read.

    Proposals are right from the start, so that rates are low: what is learned is who is asked for.
    """
    optimizer = OptimizerSettings(
        "adamw", rate=0.0005, correlation_factor=0.1, steps=2000, schedule="cosine", warmup=100, frozen_stages=4
    )
    anchors = AnchorRule(0.5, 0.3, best_is_positive=True, count=64, positive_fraction=0.25)
    return TrunkRecipe("igpn_rendered", loss=IGPNLossSettings(anchors=anchors), optimizer=optimizer)


def igpn_rendered_alone() -> IGPNRecipe:
    """IGPN with a backbone of its own on rendered people, sized for two CPU cores: pairs of small scenes, half the
    proposals.

    Anchors fit walking people; the best one of a person is positive, since small people have none over 0.6.
    """
    network = IGPNSettings(
        anchors=AnchorSettings((28.0, 50.0, 90.0, 160.0, 280.0), (2.0, 3.0)),
        proposals=ProposalSettings(2000, 16),
        features="embedded",
    )
    optimizer = OptimizerSettings(
        "adamw",
        rate=0.00001,
        fresh_factor=64.0,
        correlation_factor=4.0,
        steps=1000,
        schedule="cosine",
        warmup=40,
        frozen_stages=3,
    )
    return IGPNRecipe(
        "igpn_rendered_alone",
        network=network,
        loss=IGPNLossSettings(anchors=AnchorRule(0.5, 0.3, best_is_positive=True, count=64, positive_fraction=0.25)),
        pairs=PairSettings(scenes=2, per_scene=6, short_sides=(400, 480, 600)),
        optimizer=optimizer,
    )


_Guided = TypeVar("_Guided", IGPNRecipe, TrunkRecipe)


def _with_network(**changes: Any) -> Callable[[_Guided], _Guided]:
    return lambda recipe: replace(recipe, network=replace(recipe.network, **changes))


def _no_search(recipe: _Guided) -> _Guided:
    return replace(recipe, loss=replace(recipe.loss, search_weight=0.0))


TRUNK_VARIANTS: dict[str, Callable[[Any], Any]] = {
    "igpn": lambda recipe: recipe,
    "igpn_no_local": _with_network(local_relation="none"),
    "igpn_no_global": _no_search,
    "igpn_no_relation": lambda recipe: _no_search(_with_network(local_relation="none")(recipe)),
}
"""Rows of IGPN's Table 2: w/o L, w/o G, w/o L&G."""
IGPN_VARIANTS: dict[str, Callable[[Any], Any]] = {
    **TRUNK_VARIANTS,
    "igpn_vccl": _with_network(correlation="vanilla"),
    "igpn_unshared": _with_network(correlation="unshared"),
    "igpn_qeeps": lambda recipe: _no_search(_with_network(correlation="excitation", local_relation="none")(recipe)),
}
"""Rows of Table 1 besides: VCCL, and without B. On a trunk B is where the proposals come from. And of Table 3 QEEPS, as
far as its idea goes: its query's guidance in IGPN's frame, without IGPN's relations."""


def reid_cuhk_sysu() -> ReidRecipe:
    """The re-id network behind IGPN, section 4.3: 60 epochs, 64 patches a step, a tenth of the rate after 40.

    An epoch is taken as 30,000 patches: CUHK-SYSU and PRW have 15,000 labelled training boxes each, and about as many
    detected ones fit them. The rate is that of new layers; the backbone has a tenth of it, as PCB does.
    """
    optimizer = OptimizerSettings(
        rate=0.01, fresh_factor=10.0, weight_decay=0.0005, steps=28_000, drops=(18_700,), frozen_stages=0
    )
    return ReidRecipe("reid_cuhk_sysu", optimizer=optimizer)


def reid_prw() -> ReidRecipe:
    """The same for PRW."""
    return replace(reid_cuhk_sysu(), name="reid_prw")


def reid_rendered() -> ReidRecipe:
    """A re-id network on rendered people, sized for two CPU cores."""
    optimizer = OptimizerSettings(
        "adamw", rate=0.00007, fresh_factor=10.0, steps=1000, schedule="cosine", warmup=30, frozen_stages=3
    )
    return ReidRecipe("reid_rendered", batches=ReidBatchSettings(patches=32, min_visible=0.4), optimizer=optimizer)


def _pcb(recipe: ReidRecipe) -> ReidRecipe:
    """PCB: six stripes of conv5 with stride 1, each reduced to 256 numbers (Sun et al., 2018)."""
    return replace(recipe, network=replace(recipe.network, stride=1, stripes=6, reduced=256))


REID_VARIANTS: dict[str, Callable[[ReidRecipe], ReidRecipe]] = {"reid": lambda recipe: recipe, "pcb": _pcb}
"""Re-id networks of IGPN's Tables 3 and 4: ResNet-50 and PCB."""

_FAMILIES: tuple[tuple[Mapping[str, Callable[[], Any]], Mapping[str, Callable[[Any], Any]]], ...] = (
    ({"cuhk_sysu": binet_cuhk_sysu, "prw": binet_prw, "rendered": binet_rendered}, VARIANTS),
    ({"identity": binet_identity}, IDENTITY_VARIANTS),
    ({"cuhk_sysu": igpn_cuhk_sysu, "prw": igpn_prw, "rendered_alone": igpn_rendered_alone}, IGPN_VARIANTS),
    ({"rendered": igpn_rendered}, TRUNK_VARIANTS),
    ({"cuhk_sysu": reid_cuhk_sysu, "prw": reid_prw, "rendered": reid_rendered}, REID_VARIANTS),
)
"""For each network the recipe of each data set, and what the rows of the papers' tables change in it."""


def _recipe(name: str, base: Callable[[], Any], change: Callable[[Any], Any]) -> AnyRecipe:
    recipe: AnyRecipe = replace(change(base()), name=name)
    return recipe


RECIPES: dict[str, Callable[[], AnyRecipe]] = {
    f"{variant}_{data}": partial(_recipe, f"{variant}_{data}", base, change)
    for bases, variants in _FAMILIES
    for variant, change in variants.items()
    for data, base in bases.items()
} | {"patches_rendered": patches_rendered}


def get_recipe(name: str) -> AnyRecipe:
    """A recipe by name. Raises SettingError with the nearest name."""
    if name in RECIPES:
        return RECIPES[name]()
    near = difflib.get_close_matches(name, RECIPES, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise SettingError(f"unknown recipe {name}: {guess}known: {', '.join(RECIPES)}")
