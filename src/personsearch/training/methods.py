"""How each recipe's method is made ready for training: its network, what wraps it, its criterion and its batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from personsearch.data.records import Benchmark
from personsearch.errors import SettingError
from personsearch.losses.criteria import (
    BINetCriterion,
    Criterion,
    DetectorCriterion,
    IGPNCriterion,
    OIMCriterion,
    PatchCriterion,
    ReidCriterion,
    no_detection,
)
from personsearch.losses.oim import OIMMemory
from personsearch.models import networks
from personsearch.models.binet import BINet, InstanceBranch, encode_patches, original_patches
from personsearch.models.igpn import IGPN
from personsearch.models.igpn_trunk import TrunkIGPN, igpn_on
from personsearch.models.networks import Network
from personsearch.models.on_maps import BINetOnMaps, SearchOnMaps
from personsearch.models.reid import ReidNet, stripe_dim
from personsearch.models.resnet import CONV4_BLOCKS
from personsearch.models.search_network import EMBEDDING_DIM, SearchNetwork
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import SHIPPED, load_trunk, read_imagenet, warm_network, whole_network
from personsearch.models.whitening import whiten
from personsearch.runtime import mixed_precision
from personsearch.training.batches.codes import NOTHING_KEPT, CodedPairs, Keeping
from personsearch.training.batches.maps import MapBatches
from personsearch.training.batches.pairs import TrainingPairs
from personsearch.training.batches.patches import PatchBatches
from personsearch.training.batches.scenes import Batch, TrainingBatches
from personsearch.training.batches.sights import ReidBatches
from personsearch.training.recipes import AnyRecipe, IdentityRecipe, IGPNRecipe, Recipe, ReidRecipe, TrunkRecipe


@dataclass(frozen=True)
class Whole:
    """Weights that are trained further as a whole, instead of giving their backbone alone."""

    name_or_folder: str | Path


Backbone = Path | str | Whole | None
"""A file of ImageNet weights, None for torchvision's, the folder of a run, "random", or whole weights."""
Share = tuple[int, int]
"""Rank of this process, and how many there are."""


@dataclass(frozen=True)
class Prepared:
    """All that the training loop needs of a method."""

    recipe: AnyRecipe
    """With the layout of the weights that the network starts from"""
    network: Network
    """What is saved"""
    model: nn.Module
    """What is trained: the network, or what wraps it"""
    criterion: Criterion
    batches: Dataset[Batch]
    start: Callable[[], None]
    """What is done once before the first step"""

    @property
    def alone(self) -> bool:
        """Whether batches are made by the network itself, so that no other process can make them."""
        return isinstance(self.batches, CodedPairs | MapBatches)


@dataclass(frozen=True)
class Seen:
    """What a run learns from, and which part of it this process sees."""

    benchmark: Benchmark
    share: Share
    find: Callable[[], Mapping[str, Tensor]]
    """Boxes [N, 4] found in the training scenes, by name. It may take hours."""
    network: Network
    """What is trained"""
    keeping: Keeping
    """Where what a frozen trunk says is kept"""


def check_method(recipe: AnyRecipe) -> None:
    """Raises SettingError for a method that the recipe's kind does not have."""
    known = [name for name, method in METHODS.items() if method.recipe is type(recipe)]
    if recipe.method not in known:
        raise SettingError(f"unknown method {recipe.method}: choose one of {', '.join(known)}")


def prepare(
    recipe: AnyRecipe,
    benchmark: Benchmark,
    backbone: Backbone,
    share: Share,
    device: str,
    find: Callable[[], Mapping[str, Tensor]] = dict,
    keeping: Keeping = NOTHING_KEPT,
) -> Prepared:
    """Builds everything on a device. Raises SettingError, DataError or WeightsError, and GalleryError where `keeping`
    holds codes of another trunk.

    `find` gives boxes [N, 4] found in the training scenes, by name, for a re-id network; it may take hours, so it is
    called when all else is well.
    """
    method = METHODS[recipe.method]
    method.check(recipe, backbone, share)
    network = build_network(recipe, backbone)
    recipe = replace(recipe, network=network.settings)  # type: ignore[arg-type]  # of the recipe's own kind
    model, criterion = method.build(network, recipe, benchmark.identities)
    batches = method.batches(recipe, Seen(benchmark, share, find, network, keeping))
    model.to(device)
    criterion.to(device)
    start = _as_built if isinstance(backbone, Whole) else method.start
    return Prepared(recipe, network, model, criterion, batches, lambda: start(network, batches))


def build_network(recipe: AnyRecipe, backbone: Backbone) -> Network:
    """The recipe's network on ImageNet weights, or on others, its first stages frozen."""
    network: Network
    if isinstance(recipe, TrunkRecipe):
        return _on_trunk(recipe, str(backbone))
    if isinstance(backbone, Whole):
        network = whole_network(backbone.name_or_folder, recipe.network)
    elif backbone == "random":
        network = networks.build_network(recipe.network)
    elif is_run(backbone):
        network = warm_network(Path(str(backbone)), recipe.network)
    else:
        weights, layout = read_imagenet(None if backbone is None else Path(backbone))
        network = networks.build_network(replace(recipe.network, layout=layout.name))
        networks.load_backbone(network, weights)
    network.stem.freeze(recipe.optimizer.frozen_stages)
    return network.to(memory_format=torch.channels_last)


def _on_trunk(recipe: TrunkRecipe, backbone: str) -> TrunkIGPN:
    """IGPN on weights of a search network, which say what the trunk's settings are."""
    trunk, name = load_trunk(backbone)
    return igpn_on(trunk, name, replace(recipe.network, trunk=trunk.settings))


def finds_people(recipe: AnyRecipe, backbone: Backbone) -> bool:
    """Whether a run's network finds people at last, as it learns to or could before; otherwise it is evaluated at
    annotated boxes alone."""
    return METHODS[recipe.method].finds or isinstance(backbone, Whole)


def mark_of_backbone(backbone: Backbone) -> str | None:
    """The fingerprint of the weights that a run begins with; None where no file is named, or none is there."""
    if isinstance(backbone, Whole):
        backbone = backbone.name_or_folder
    if backbone is None or backbone == "random":
        return None
    path = Path(backbone)
    if not path.is_file():
        path = next((place / MODEL_FILE for place in (path, SHIPPED / str(backbone)) if place.is_dir()), path)
    return fingerprint(path) if path.is_file() else None


def is_run(backbone: Path | str | None) -> bool:
    """Whether a backbone is the folder of a run, or the name of weights that ship, and not a file."""
    return backbone is not None and (Path(backbone).is_dir() or (SHIPPED / str(backbone)).is_dir())


# ------------------------------------------------------------------------------------- what is trained and judged


def _binet(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return BINet(network), BINetCriterion(memory, recipe.loss)


def _binet_original(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return BINet(network, original_patches), BINetCriterion(memory, recipe.loss)


def _oim(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    return network, OIMCriterion(OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim), recipe.loss)


def _oim_on_maps(network: SearchNetwork, recipe: IdentityRecipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return SearchOnMaps(_fixed_but_identities(network)), OIMCriterion(memory, recipe.loss, no_detection)


def _binet_on_maps(network: SearchNetwork, recipe: IdentityRecipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return BINetOnMaps(_fixed_but_identities(network)), BINetCriterion(memory, recipe.loss, no_detection)


def _fixed_but_identities(network: SearchNetwork) -> SearchNetwork:
    """Leaves conv5 and the embedding to train."""
    network.requires_grad_(False)
    network.head.backbone.requires_grad_(True)
    network.head.embedding.requires_grad_(True)
    return network


def _detector(network: SearchNetwork, recipe: Recipe, _identities: int) -> tuple[nn.Module, Criterion]:
    return network, DetectorCriterion(recipe.loss)


def _patches(network: SearchNetwork, recipe: Recipe, _identities: int) -> tuple[nn.Module, Criterion]:
    return InstanceBranch(network), PatchCriterion(recipe.loss)


def _igpn(network: IGPN | TrunkIGPN, recipe: IGPNRecipe | TrunkRecipe, _identities: int) -> tuple[nn.Module, Criterion]:
    return network, IGPNCriterion(recipe.loss)


def _reid(network: ReidNet, recipe: ReidRecipe, identities: int) -> tuple[nn.Module, Criterion]:
    return network, ReidCriterion(identities, recipe.network.stripes, stripe_dim(recipe.network))


# ------------------------------------------------------------------------------------------- what a step sees


def _scenes(recipe: Recipe, seen: Seen) -> Dataset[Batch]:
    return TrainingBatches(seen.benchmark.train, recipe.batches, recipe.seed, seen.share)


def _patches_alone(recipe: Recipe, seen: Seen) -> Dataset[Batch]:
    return PatchBatches(seen.benchmark.train, recipe.patches, recipe.seed)


def _pairs(recipe: IGPNRecipe, seen: Seen) -> Dataset[Batch]:
    return TrainingPairs(seen.benchmark.train, recipe.pairs, recipe.seed)


def _coded_pairs(recipe: TrunkRecipe, seen: Seen) -> Dataset[Batch]:
    assert isinstance(seen.network, TrunkIGPN)
    return CodedPairs(seen.benchmark.train, recipe.pairs, recipe.seed, seen.network, seen.keeping)


MAPS_OF = {
    "oim_on_maps": ("scene",),
    "binet_on_maps": ("scene", "resized"),
    "binet_original_on_maps": ("scene", "original"),
}
"""Kinds of maps (`models/on_maps.py`) that a method sees; the first is the search branch's."""


def _people_on_maps(recipe: IdentityRecipe, seen: Seen) -> MapBatches:
    assert isinstance(seen.network, SearchNetwork)
    kinds = MAPS_OF[recipe.method]
    return MapBatches(seen.benchmark.train, recipe.views, recipe.seed, seen.network, kinds, seen.keeping)


def _sights(recipe: ReidRecipe, seen: Seen) -> Dataset[Batch]:
    return ReidBatches(seen.benchmark.train, seen.find(), recipe.batches, recipe.network.size, recipe.seed)


# ------------------------------------------------------------------------ impossible runs, and before the first step


def _anything(_recipe: Recipe, _backbone: Backbone, _share: Share) -> None:
    """Any start, and any number of processes."""


def _check_patches(recipe: Recipe, _backbone: Backbone, share: Share) -> None:
    if share[1] > 1 or recipe.optimizer.accumulate > 1:
        raise SettingError(
            f"{recipe.name} compares people within a batch: train it in one process, with optimizer.accumulate 1"
        )


def _check_igpn(recipe: IGPNRecipe, backbone: Backbone, share: Share) -> None:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} draws its pairs in one process: start it without torchrun")
    has_embedding = isinstance(backbone, Whole) or backbone == "random" or is_run(backbone)
    if recipe.network.features == "embedded" and not has_embedding:
        raise SettingError(
            "network.features embedded takes the embedding of a search network: give its run or name as the backbone "
            "(binet-rendered ships), or --set network.features=unit"
        )
    _check_backbone_alone(recipe, backbone)


_ALL_STAGES = 4


def _check_trunk(recipe: TrunkRecipe, backbone: Backbone, share: Share) -> None:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} draws its pairs in one process: start it without torchrun")
    if recipe.optimizer.frozen_stages != _ALL_STAGES:
        raise SettingError(f"optimizer.frozen_stages {recipe.optimizer.frozen_stages}: a trunk is frozen: give 4")
    if isinstance(backbone, Whole) or not is_run(backbone):
        raise SettingError(
            f"{recipe.name} stands on a search network: give its run, or its name, by --backbone (binet-rendered ships)"
        )


def _check_maps(recipe: IdentityRecipe, _backbone: Backbone, share: Share) -> None:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} reads its maps in one process: start it without torchrun")
    if recipe.optimizer.frozen_stages != _ALL_STAGES:
        raise SettingError(
            f"optimizer.frozen_stages {recipe.optimizer.frozen_stages}: maps are of frozen layers: give 4"
        )
    if recipe.network.conv4_blocks != CONV4_BLOCKS:
        raise SettingError(f"network.conv4_blocks {recipe.network.conv4_blocks}: maps are those of whole conv4: give 6")


def _check_reid(recipe: ReidRecipe, backbone: Backbone, share: Share) -> None:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} draws its patches in one process: start it without torchrun")
    if recipe.batches.patches < _TO_TELL_APART:
        raise SettingError(f"batches.patches {recipe.batches.patches}: give 2 or more, to tell apart")
    if recipe.optimizer.accumulate > recipe.batches.patches // _TO_TELL_APART:
        raise SettingError(
            f"optimizer.accumulate {recipe.optimizer.accumulate}: leave two patches or more to each part"
        )
    _check_backbone_alone(recipe, backbone)


_TO_TELL_APART = 2


def _check_backbone_alone(recipe: IGPNRecipe | ReidRecipe, backbone: Backbone) -> None:
    if isinstance(backbone, Whole):
        raise SettingError(f"{recipe.name} takes the backbone of other weights alone: give them by --backbone")


def _as_built(_network: Network, _batches: Dataset[Batch]) -> None:
    """Changes nothing: the papers start from a random embedding layer, others from weights trained further."""


@torch.no_grad()
def _whitened(network: SearchNetwork, batches: Dataset[Batch]) -> None:
    """Whitens the embedding layer by the features of about a thousand patches; needs more of them than its outputs."""
    device = network.stem.mean.device
    images = [batches[step].images.to(device) for step in range(_WHITENING_BATCHES)]
    with mixed_precision(device):
        features = torch.cat([encode_patches(network, patches).features for patches in images])
    if len(features) > EMBEDDING_DIM:
        whiten(network.head.embedding, features)


_WHITENING_BATCHES = 24


@torch.no_grad()
def _whitened_on_maps(network: SearchNetwork, batches: Dataset[Batch]) -> None:
    """Makes the maps, and whitens the embedding layer by some of them in scenes, so that all rows start alike."""
    assert isinstance(batches, MapBatches)
    batches.keep_all()
    device = network.stem.mean.device
    with mixed_precision(device):
        parts = torch.split(batches.some(_WHITENING_MAPS), 64)
        features = torch.cat([network.head.backbone(maps.to(device)) for maps in parts])
    if len(features) > EMBEDDING_DIM:
        whiten(network.head.embedding, features)


_WHITENING_MAPS = 1024


def _read_once(_network: Network, batches: Dataset[Batch]) -> None:
    """Reads all training scenes by the trunk."""
    assert isinstance(batches, CodedPairs)
    batches.read_all()


@dataclass(frozen=True)
class _Method:
    """How a recipe's `method` trains. Each function takes the recipe's own kind of recipe and network."""

    recipe: type[AnyRecipe]
    build: Callable[[Any, Any, int], tuple[nn.Module, Criterion]]
    """From network, recipe and the number of identities to what is trained, and what judges it"""
    batches: Callable[[Any, Seen], Dataset[Batch]]
    check: Callable[[Any, Backbone, Share], None] = _anything
    """Raises SettingError for an impossible start or number of processes"""
    start: Callable[[Any, Dataset[Batch]], None] = _as_built
    """What is done once before the first step, unless weights are trained further"""
    finds: bool = True
    """Whether it teaches to find people"""


METHODS = {
    "binet": _Method(Recipe, _binet, _scenes),
    "binet_original_patches": _Method(Recipe, _binet_original, _scenes),
    "oim": _Method(Recipe, _oim, _scenes),
    "detector": _Method(Recipe, _detector, _scenes),
    **{
        name: _Method(IdentityRecipe, build, _people_on_maps, _check_maps, _whitened_on_maps, finds=False)
        for name, build in (
            ("oim_on_maps", _oim_on_maps),
            ("binet_on_maps", _binet_on_maps),
            ("binet_original_on_maps", _binet_on_maps),
        )
    },
    "patches": _Method(Recipe, _patches, _patches_alone, _check_patches, _whitened, finds=False),
    "igpn": _Method(IGPNRecipe, _igpn, _pairs, _check_igpn),
    "igpn_on_trunk": _Method(TrunkRecipe, _igpn, _coded_pairs, _check_trunk, _read_once),
    "reid": _Method(ReidRecipe, _reid, _sights, _check_reid, finds=False),
}
