"""How each recipe's method is made ready for training: its network, what wraps and judges it, and what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

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
)
from personsearch.losses.oim import OIMMemory
from personsearch.models.binet import BINet, InstanceBranch, encode_patches, original_patches
from personsearch.models.igpn import IGPN, build_igpn
from personsearch.models.reid import ReidNet, build_reid, stripe_dim
from personsearch.models.resnet import load_imagenet
from personsearch.models.search_network import EMBEDDING_DIM, SearchNetwork, build_search_network
from personsearch.models.weights import (
    SHIPPED,
    Trainable,
    read_imagenet,
    warm_igpn,
    warm_network,
    warm_reid,
    whole_network,
)
from personsearch.models.whitening import whiten
from personsearch.runtime import mixed_precision
from personsearch.training.batches.pairs import TrainingPairs
from personsearch.training.batches.patches import PatchBatches
from personsearch.training.batches.scenes import Batch, TrainingBatches
from personsearch.training.batches.sights import ReidBatches
from personsearch.training.recipes import AnyRecipe, IGPNRecipe, Recipe, ReidRecipe


@dataclass(frozen=True)
class Whole:
    """Some weights that are trained further, all of them, and not the backbone alone."""

    name_or_folder: str | Path


Backbone = Path | str | Whole | None
"""A file of ImageNet weights, None for torchvision's, the folder of a run, "random", or whole weights."""
N = TypeVar("N", IGPN, ReidNet)
Share = tuple[int, int]
"""Rank of this process, and how many there are."""


@dataclass(frozen=True)
class Prepared:
    """All that the training loop needs of a method."""

    recipe: AnyRecipe
    """With the layout of the weights that the network starts from"""
    network: Trainable
    """What is saved"""
    model: nn.Module
    """What is trained: the network, or what wraps it"""
    criterion: Criterion
    batches: Dataset[Batch]
    start: Callable[[], None]
    """What is done once before the first step"""


def check_method(recipe: AnyRecipe) -> None:
    """Raises SettingError for a method that the recipe's kind does not have."""
    known = list(_METHODS) if isinstance(recipe, Recipe) else [_OTHERS[type(recipe)]]
    if recipe.method not in known:
        raise SettingError(f"unknown method {recipe.method}: choose one of {', '.join(known)}")


_OTHERS = {IGPNRecipe: "igpn", ReidRecipe: "reid"}


def prepare(
    recipe: AnyRecipe,
    benchmark: Benchmark,
    backbone: Backbone,
    share: Share,
    device: str,
    find: Callable[[], Mapping[str, Tensor]] = dict,
) -> Prepared:
    """Builds everything on a device. Raises SettingError, DataError or WeightsError.

    `find` gives boxes [N, 4] found in the training scenes, by name, for a re-id network; it may take hours, so it is
    called when all else is well.
    """
    if isinstance(recipe, IGPNRecipe):
        return _prepare_igpn(recipe, benchmark, backbone, share, device)
    if isinstance(recipe, ReidRecipe):
        return _prepare_reid(recipe, benchmark, backbone, share, device, find)
    network = build_network(recipe, backbone)
    recipe = replace(recipe, network=network.settings)
    method = _METHODS[recipe.method]
    model, criterion = method.build(network, recipe, benchmark.identities)
    batches = method.batches(benchmark, recipe, share)
    model.to(device)
    criterion.to(device)
    start = _as_built if isinstance(backbone, Whole) else method.start
    return Prepared(recipe, network, model, criterion, batches, lambda: start(network, batches))


def build_network(recipe: Recipe, backbone: Backbone) -> SearchNetwork:
    """The recipe's search network on ImageNet weights, or on others, its first stages frozen."""
    if isinstance(backbone, Whole):
        network = whole_network(backbone.name_or_folder, recipe.network)
    elif backbone == "random":
        network = build_search_network(recipe.network)
    elif is_run(backbone):
        network = warm_network(Path(str(backbone)), recipe.network)
    else:
        weights, layout = read_imagenet(None if backbone is None else Path(backbone))
        network = build_search_network(replace(recipe.network, layout=layout.name))
        load_imagenet(network.stem, network.head.backbone, weights)
    network.stem.freeze(recipe.optimizer.frozen_stages)
    return network.to(memory_format=torch.channels_last)


def is_run(backbone: Path | str | None) -> bool:
    """Whether a backbone is the folder of a run, or the name of weights that ship, and not a file."""
    return backbone is not None and (Path(backbone).is_dir() or (SHIPPED / str(backbone)).is_dir())


def _binet(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return BINet(network), BINetCriterion(memory, recipe.loss)


def _binet_original(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    memory = OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim)
    return BINet(network, original_patches), BINetCriterion(memory, recipe.loss)


def _oim(network: SearchNetwork, recipe: Recipe, identities: int) -> tuple[nn.Module, Criterion]:
    return network, OIMCriterion(OIMMemory(identities, EMBEDDING_DIM, recipe.loss.oim), recipe.loss)


def _detector(network: SearchNetwork, recipe: Recipe, _identities: int) -> tuple[nn.Module, Criterion]:
    return network, DetectorCriterion(recipe.loss)


def _patches(network: SearchNetwork, recipe: Recipe, _identities: int) -> tuple[nn.Module, Criterion]:
    return InstanceBranch(network), PatchCriterion(recipe.loss)


def _scene_batches(benchmark: Benchmark, recipe: Recipe, share: Share) -> Dataset[Batch]:
    return TrainingBatches(benchmark.train, recipe.batches, recipe.seed, share)


def _patch_batches(benchmark: Benchmark, recipe: Recipe, share: Share) -> Dataset[Batch]:
    if share[1] > 1 or recipe.optimizer.accumulate > 1:
        raise SettingError(f"{recipe.name} compares people within a batch: train it in one process and one part")
    return PatchBatches(benchmark.train, recipe.patches, recipe.seed)


def _as_built(_network: SearchNetwork, _batches: Dataset[Batch]) -> None:
    """The papers' start, a random embedding layer, or weights that are trained further."""


@torch.no_grad()
def _whitened(network: SearchNetwork, batches: Dataset[Batch]) -> None:
    """Sets the embedding layer by the features of some thousand patches, if there are so many."""
    device = network.stem.mean.device
    images = [batches[step].images.to(device) for step in range(_WHITENING_BATCHES)]
    with mixed_precision(device):
        features = torch.cat([encode_patches(network, patches).features for patches in images])
    if len(features) > EMBEDDING_DIM:
        whiten(network.head.embedding, features)


_WHITENING_BATCHES = 24


@dataclass(frozen=True)
class _Method:
    """How a recipe's `method` trains: what the network is wrapped in and judged by, and what it sees."""

    build: Callable[[SearchNetwork, Recipe, int], tuple[nn.Module, Criterion]]
    batches: Callable[[Benchmark, Recipe, Share], Dataset[Batch]]
    start: Callable[[SearchNetwork, Dataset[Batch]], None]


_METHODS = {
    "binet": _Method(_binet, _scene_batches, _as_built),
    "binet_original_patches": _Method(_binet_original, _scene_batches, _as_built),
    "oim": _Method(_oim, _scene_batches, _as_built),
    "detector": _Method(_detector, _scene_batches, _as_built),
    "patches": _Method(_patches, _patch_batches, _whitened),
}


# ------------------------------------------------------------------------------------------------------- IGPN


def _prepare_igpn(recipe: IGPNRecipe, benchmark: Benchmark, backbone: Backbone, share: Share, device: str) -> Prepared:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} draws its pairs in one process: start it without torchrun")
    network = build_igpn_network(recipe, backbone)
    recipe = replace(recipe, network=network.settings)
    batches = TrainingPairs(benchmark.train, recipe.pairs, recipe.seed)
    network.to(device)
    return Prepared(recipe, network, network, IGPNCriterion(recipe.loss).to(device), batches, _nothing)


def _nothing() -> None:
    """Starts as it is built."""


def build_igpn_network(recipe: IGPNRecipe, backbone: Backbone) -> IGPN:
    """The recipe's IGPN on ImageNet weights, or on the backbone of a search network's run; first stages frozen.

    Raises SettingError for ImageNet weights under features that a search network should embed.
    """
    searched = isinstance(backbone, Whole) or backbone == "random" or is_run(backbone)
    if recipe.network.features == "embedded" and not searched:
        raise SettingError(
            "network.features embedded takes the embedding of a search network: give its run or name as the backbone "
            "(binet-rendered ships), or --set network.features=unit"
        )
    return _built(recipe, backbone, build_igpn, warm_igpn)


# ------------------------------------------------------------------------------------------------------- re-id


def _prepare_reid(
    recipe: ReidRecipe,
    benchmark: Benchmark,
    backbone: Backbone,
    share: Share,
    device: str,
    find: Callable[[], Mapping[str, Tensor]],
) -> Prepared:
    if share[1] > 1:
        raise SettingError(f"{recipe.name} draws its patches in one process: start it without torchrun")
    if recipe.optimizer.accumulate > recipe.batches.patches // 2:
        raise SettingError(
            f"optimizer.accumulate {recipe.optimizer.accumulate}: leave two patches or more to each part"
        )
    network = build_reid_network(recipe, backbone)
    recipe = replace(recipe, network=network.settings)
    batches = ReidBatches(benchmark.train, find(), recipe.batches, recipe.network.size, recipe.seed)
    criterion = ReidCriterion(benchmark.identities, recipe.network.stripes, stripe_dim(recipe.network))
    network.to(device)
    return Prepared(recipe, network, network, criterion.to(device), batches, _nothing)


def build_reid_network(recipe: ReidRecipe, backbone: Backbone) -> ReidNet:
    """The recipe's re-id network on ImageNet weights, or on the backbone of a search network's run."""
    return _built(recipe, backbone, build_reid, warm_reid)


def _built(recipe: Any, backbone: Backbone, build: Callable[[Any], N], warm: Callable[[Path, Any], N]) -> N:
    """A network of the second paper, its backbone from where it should be, its first stages frozen."""
    if isinstance(backbone, Whole):
        raise SettingError(f"{recipe.name} starts from the backbone of other weights alone: give them by --backbone")
    if backbone == "random":
        network = build(recipe.network)
    elif is_run(backbone):
        network = warm(Path(str(backbone)), recipe.network)
    else:
        weights, layout = read_imagenet(None if backbone is None else Path(backbone))
        network = build(replace(recipe.network, layout=layout.name))
        load_imagenet(network.stem, network.head, weights)
    network.stem.freeze(recipe.optimizer.frozen_stages)
    return network.to(memory_format=torch.channels_last)
