"""Weights as a folder: `model.safetensors` and `config.json`. They know what they are, and hold no identity count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from personsearch.errors import SettingError, WeightsError
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.reid import ReidNet, ReidSettings, build_reid
from personsearch.models.resnet import HE2015, TORCHVISION, Layout
from personsearch.models.runtime import keep_memory, prepare_for_inference
from personsearch.models.search_network import NetworkSettings, SearchNetwork, build_search_network
from personsearch.settings import settings_from_dict, settings_to_dict

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SHIPPED = Path(__file__).parent.parent / "weights"


Trainable = SearchNetwork | IGPN | ReidNet
"""What has weights of its own in a folder; config.json names the class."""


N = TypeVar("N", SearchNetwork, IGPN, ReidNet)
S = TypeVar("S")


@dataclass(frozen=True)
class LoadedModel(Generic[N]):
    """A network ready for inference, and what is known of it."""

    model: N
    config: dict[str, Any]
    fingerprint: str
    """Of the weights themselves: galleries remember it."""


def save_weights(folder: Path, network: Trainable, facts: Mapping[str, Any]) -> None:
    """Writes float16 weights and a config.json that holds the network's settings and `facts`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: t.detach().half().contiguous().cpu() for k, t in network.state_dict().items()}
    part = folder / (MODEL_FILE + ".part")
    save_file(tensors, part, metadata={"format": "pt"})
    part.replace(folder / MODEL_FILE)
    config = {"class": type(network).__name__, "network": settings_to_dict(network.settings), **facts}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


def find_weights(name_or_folder: str | Path) -> Path:
    """The folder of shipped weights by name, or a folder of one's own. Raises WeightsError."""
    for folder in (Path(name_or_folder), SHIPPED / str(name_or_folder)):
        if (folder / CONFIG_FILE).is_file() and (folder / MODEL_FILE).is_file():
            return folder
    shipped = sorted(p.parent.name for p in SHIPPED.glob(f"*/{CONFIG_FILE}"))
    known = f"shipped: {', '.join(shipped)}" if shipped else "none are shipped"
    raise WeightsError(f"no weights {name_or_folder}: give a folder with {MODEL_FILE} and {CONFIG_FILE}; {known}")


def load_weights(name_or_folder: str | Path, device: str | torch.device = "cpu") -> LoadedModel[SearchNetwork]:
    """A search network for inference. Raises WeightsError when files are missing, damaged, or of something else."""
    folder, config = read_config(name_or_folder, SearchNetwork)
    return _loaded(build_search_network(read_settings(NetworkSettings, config, folder)), config, folder, device)


def load_proposer(name_or_folder: str | Path, device: str | torch.device = "cpu") -> LoadedModel[IGPN]:
    """An IGPN for inference. Raises WeightsError when files are missing, damaged, or of something else."""
    folder, config = read_config(name_or_folder, IGPN)
    return _loaded(build_igpn(read_settings(IGPNSettings, config, folder)), config, folder, device)


def load_reid(name_or_folder: str | Path, device: str | torch.device = "cpu") -> LoadedModel[ReidNet]:
    """A re-id network for inference. Raises WeightsError when files are missing, damaged, or of something else."""
    folder, config = read_config(name_or_folder, ReidNet)
    return _loaded(build_reid(read_settings(ReidSettings, config, folder)), config, folder, device)


def _loaded(network: N, config: dict[str, Any], folder: Path, device: str | torch.device) -> LoadedModel[N]:
    _fill(network, _tensors(folder), folder / MODEL_FILE)
    keep_memory()
    return LoadedModel(prepare_for_inference(network.to(device)), config, fingerprint(folder / MODEL_FILE))


def read_config(name_or_folder: str | Path, wanted: type[Trainable] | None = None) -> tuple[Path, dict[str, Any]]:
    """The folder of some weights and their config.json. Raises WeightsError, also when they are not of `wanted`."""
    folder = find_weights(name_or_folder)
    path = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        held = str(config["class"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: damaged ({error}); copy it again") from None
    if wanted is not None and held != wanted.__name__:
        raise WeightsError(f"{folder}: holds weights of {held}, not of {wanted.__name__}; give other weights")
    return folder, config


def read_settings(kind: type[S], config: dict[str, Any], folder: Path) -> S:
    """The network's settings of a config.json. Raises WeightsError."""
    try:
        return settings_from_dict(kind, config["network"])
    except (KeyError, TypeError, AttributeError, SettingError) as error:
        raise WeightsError(f"{folder / CONFIG_FILE}: damaged ({error}); copy it again") from None


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / MODEL_FILE
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: damaged ({error}); copy or train the weights again") from None


def warm_network(folder: Path, settings: NetworkSettings) -> SearchNetwork:
    """A network to train whose backbone and embedding come from a run's folder; the rest is random."""
    folder, config = read_config(folder, SearchNetwork)
    network = build_search_network(replace(settings, layout=config["network"]["layout"]))
    _take(network, folder)
    return network


def whole_network(name_or_folder: str | Path, settings: NetworkSettings) -> SearchNetwork:
    """A network to train further, all of it; a part that the weights lack starts at random.

    Raises WeightsError when they hold another network, or one of other shapes.
    """
    folder, config = read_config(name_or_folder, SearchNetwork)
    network = build_search_network(replace(settings, layout=config["network"]["layout"]))
    _fill(network, {**network.state_dict(), **_tensors(folder)}, folder / MODEL_FILE)
    return network


def warm_igpn(folder: Path, settings: IGPNSettings) -> IGPN:
    """An IGPN to train whose backbone, and embedding if it has one, come from the run's folder of a search network."""
    folder, config = read_config(folder, SearchNetwork)
    network = build_igpn(replace(settings, layout=config["network"]["layout"]))
    _take(network, folder)
    return network


def warm_reid(folder: Path, settings: ReidSettings) -> ReidNet:
    """A re-id network to train whose backbone comes from the run's folder of a search network; the rest is random."""
    folder, config = read_config(folder, SearchNetwork)
    network = build_reid(replace(settings, layout=config["network"]["layout"]))
    _take(network, folder)
    return network


def _take(network: Trainable, folder: Path) -> None:
    """Fills the backbone, and the embedding if there is one, wherever conv4 is cut in either network."""
    stored = {_whole_name(key): tensor for key, tensor in _tensors(folder).items()}
    own = network.state_dict()
    taken = {key: stored[_whole_name(key)] for key in own if _whole_name(key).startswith(_TAKEN)}
    _fill(network, {**own, **taken}, folder / MODEL_FILE)


_TAKEN = ("conv1.", "layer", "mean", "std", "embedding.")


def _whole_name(key: str) -> str:
    """The name of a tensor in a network that is not cut: without the part that it lies in."""
    for part in ("stem.", "head.", "backbone.", "relation.prepared."):
        key = key.removeprefix(part)
    return key


def fingerprint(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _fill(network: Trainable, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict({k: t.float() for k, t in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path}: weights of another shape than its {CONFIG_FILE} says ({reason})") from None


def read_imagenet(path: Path | None) -> tuple[dict[str, Tensor], Layout]:
    """ImageNet weights of a ResNet-50 and their layout: from a file, or torchvision's own (downloaded once) for None.

    A safetensors file says its layout in its metadata (`layout`: a text with "1x1" for He et al.'s); any other
    file, `.pth` included, is taken as torchvision's. Raises WeightsError.
    """
    if path is None:
        return _torchvision_weights(), TORCHVISION
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                said = (file.metadata() or {}).get("layout", "")
            return load_file(path), HE2015 if "1x1" in said else TORCHVISION
        return torch.load(path, map_location="cpu", weights_only=True), TORCHVISION
    except Exception as error:  # torch.load raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: cannot be read as ResNet-50 weights ({reason})") from None


def _torchvision_weights() -> dict[str, Tensor]:
    from torchvision.models import ResNet50_Weights

    try:
        state: dict[str, Tensor] = ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise WeightsError(f"torchvision's weights could not be downloaded ({error}); give --backbone FILE") from None
    return state
