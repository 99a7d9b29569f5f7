"""Weights as a folder: `model.safetensors`, and `config.json`, which says what network they are of.

They hold no identity count. Whatever is wrong with either file is one line of WeightsError.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from personsearch.errors import SettingError, WeightsError
from personsearch.files import refusal, written_whole
from personsearch.models.graphs import GraphsAbout, chosen_graphs, fingerprint_with, run_by_graphs
from personsearch.models.guided import GuidedNetwork
from personsearch.models.igpn_trunk import TrunkIGPN, TrunkName, igpn_on
from personsearch.models.inference import prepare_for_inference
from personsearch.models.networks import KIND_OF_CLASS, Network, build_network, kind_of
from personsearch.models.own_instance import load_instance
from personsearch.models.reid import ReidNet
from personsearch.models.resnet import HE2015, TORCHVISION, Layout
from personsearch.models.search_network import NetworkSettings, SearchNetwork
from personsearch.models.tensor_files import (
    CONFIG_FILE,
    MODEL_FILE,
    check_shapes,
    fill,
    fingerprint,
    first_not_finite,
    halved,
    kept_state,
    read_tensors,
    save_tensors,
)
from personsearch.runtime import checked_device, keep_memory
from personsearch.settings import settings_from_dict, settings_to_dict

SHIPPED = Path(__file__).parent.parent / "weights"

N = TypeVar("N", SearchNetwork, GuidedNetwork, ReidNet)
S = TypeVar("S")


def _unchanged(settings: S) -> S:
    return settings


@dataclass(frozen=True)
class LoadedModel(Generic[N]):
    """A network ready for inference, and what is known of it."""

    model: N
    config: dict[str, Any]
    fingerprint: str
    """Of the weights themselves: galleries remember it."""


def save_weights(folder: Path, network: Network, facts: Mapping[str, Any]) -> None:
    """Writes float16 weights and a config.json that holds the network's settings and `facts`.

    Raises OSError, and WeightsError for weights that are not finite in float16; the folder then stays as it was.
    """
    tensors = {k: halved(t.detach()).contiguous().cpu() for k, t in kept_state(network).items()}
    odd = first_not_finite(tensors)
    if odd is not None:
        raise WeightsError(f"{folder}: not written, as {odd} has numbers that are not finite; train with a lower rate")
    config = {
        "class": type(network).__name__,
        "network": settings_to_dict(network.settings),
        **_trunk(network),
        **facts,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(folder / CONFIG_FILE) as part:
        part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_tensors(folder / MODEL_FILE, tensors, {"format": "pt"})


def _trunk(network: Network) -> dict[str, Any]:
    return {"trunk": vars(network.trunk)} if isinstance(network, TrunkIGPN) else {}


def find_weights(name_or_folder: str | Path) -> Path:
    """The folder of shipped weights by name, or a folder of one's own. Raises WeightsError."""
    for folder in (Path(name_or_folder), SHIPPED / str(name_or_folder)):
        if all(os.path.isfile(folder / name) for name in (CONFIG_FILE, MODEL_FILE)):  # noqa: PTH113  raises nothing
            return folder
    shipped = sorted(p.parent.name for p in SHIPPED.glob(f"*/{CONFIG_FILE}"))
    known = f"shipped: {', '.join(shipped)}" if shipped else "none are shipped"
    raise WeightsError(f"no weights {name_or_folder}: give a folder with {MODEL_FILE} and {CONFIG_FILE}; {known}")


def load_weights(
    name_or_folder: str | Path,
    device: str | torch.device = "cpu",
    change: Callable[[NetworkSettings], NetworkSettings] = _unchanged,
    runtime: str | None = None,
) -> LoadedModel[SearchNetwork]:
    """A search network for inference, with its settings changed, such as the size of scenes.

    Exported weights are run by their graphs, on the CPU, unless `runtime` is "torch"; another one must be theirs.
    Raises WeightsError when files are missing, damaged, or of something else, and SettingError for another runtime.
    """
    folder = find_weights(name_or_folder)
    about = chosen_graphs(folder, name_or_folder, runtime)
    loaded = _load(SearchNetwork, name_or_folder, device if about is None else "cpu", change)
    loaded.model.own_instance = load_instance(folder, loaded.model, loaded.config)
    return loaded if about is None else _by_graphs(loaded, folder, about)


def _by_graphs(loaded: LoadedModel[N], folder: Path, about: GraphsAbout) -> LoadedModel[N]:
    network: Any = loaded.model
    run_by_graphs(network, kind_of(network.settings).conv5, folder, about)
    return replace(loaded, fingerprint=fingerprint_with(loaded.fingerprint, about))


def load_proposer(
    name_or_folder: str | Path,
    device: str | torch.device = "cpu",
    change: Callable[[Any], Any] = _unchanged,
    runtime: str | None = None,
) -> LoadedModel[GuidedNetwork]:
    """An IGPN for inference, with its settings changed. One on a trunk is put on that trunk, found by the name and the
    fingerprint that it was trained with. Exported weights are run by their graphs as in `load_weights`.

    Raises WeightsError as `load_weights` does, and for a trunk that is missing or another one.
    """
    folder, config = read_config(name_or_folder, GuidedNetwork)
    about = chosen_graphs(folder, name_or_folder, runtime)
    load = _load_on_trunk if config["class"] == TrunkIGPN.__name__ else partial(_load, GuidedNetwork)
    loaded = load(name_or_folder, device if about is None else "cpu", change)
    return loaded if about is None else _by_graphs(loaded, folder, about)


def _load_on_trunk(
    name_or_folder: str | Path, device: str | torch.device, change: Callable[[Any], Any]
) -> LoadedModel[GuidedNetwork]:
    folder, config = read_config(name_or_folder, TrunkIGPN)
    where, name = _own_trunk(config, folder)
    trunk = load_weights(where, runtime="torch").model
    settings = read_settings(config, folder)
    tensors = read_tensors(folder / MODEL_FILE)
    check_shapes(outline(settings, folder), tensors, folder / MODEL_FILE)
    network = igpn_on(trunk, name, change(settings))
    fill(network, tensors, folder / MODEL_FILE)
    network = prepare_for_inference(network.to(checked_device(device)))
    return LoadedModel(network, config, fingerprint(folder / MODEL_FILE))


def load_trunk(name_or_folder: str | Path) -> tuple[SearchNetwork, TrunkName]:
    """A search network for others to stand on, and how they find it again. Raises WeightsError."""
    loaded = load_weights(name_or_folder, runtime="torch")
    shipped = not Path(name_or_folder).is_dir()
    name = str(name_or_folder) if shipped else str(Path(name_or_folder).resolve())
    return loaded.model, TrunkName(name, loaded.fingerprint)


def load_trunk_of(
    name_or_folder: str | Path,
    device: str | torch.device = "cpu",
    change: Callable[[NetworkSettings], NetworkSettings] = _unchanged,
) -> LoadedModel[SearchNetwork]:
    """The search network that an IGPN stands on. Raises WeightsError as `load_proposer` does."""
    return load_weights(trunk_folder(name_or_folder), device, change)


def trunk_folder(name_or_folder: str | Path) -> Path:
    """Where the search network lies that an IGPN stands on. Raises WeightsError as `load_proposer` does."""
    folder, config = read_config(name_or_folder, TrunkIGPN)
    return _own_trunk(config, folder)[0]


def _own_trunk(config: dict[str, Any], folder: Path) -> tuple[Path, TrunkName]:
    """The folder of the trunk that weights stand on: where they say, or shipped under another name."""
    try:
        name = TrunkName(str(config["trunk"]["name"]), str(config["trunk"]["fingerprint"]))
    except (KeyError, TypeError) as error:
        raise _damaged(folder / CONFIG_FILE, error) from None
    there = [path for path in (Path(name.name), SHIPPED / name.name) if (path / MODEL_FILE).is_file()]
    shipped = [path.parent for path in sorted(SHIPPED.glob(f"*/{MODEL_FILE}"))]
    for path in [*there, *shipped]:
        if fingerprint(path / MODEL_FILE) == name.fingerprint:
            return path, name
    found = f"that is {fingerprint(there[0] / MODEL_FILE)} here" if there else "which is not here"
    raise WeightsError(
        f"{folder}: stands on the search network {name.name} with the fingerprint {name.fingerprint}, {found}: copy "
        "that one there, or train IGPN anew on the one that you have"
    )


def load_reid(name_or_folder: str | Path, device: str | torch.device = "cpu") -> LoadedModel[ReidNet]:
    """A re-id network for inference. Raises WeightsError as `load_weights` does."""
    return _load(ReidNet, name_or_folder, device, _unchanged)


def _load(
    wanted: type[N], name_or_folder: str | Path, device: str | torch.device, change: Callable[[Any], Any]
) -> LoadedModel[N]:
    folder, config = read_config(name_or_folder, wanted)
    settings = read_settings(config, folder)
    tensors = read_tensors(folder / MODEL_FILE)
    check_shapes(outline(settings, folder), tensors, folder / MODEL_FILE)  # before memory is taken for them
    network: N = KIND_OF_CLASS[config["class"]].build(change(settings))
    fill(network, tensors, folder / MODEL_FILE)
    config = _with_embedding(config, settings, folder)
    keep_memory()
    network = prepare_for_inference(network.to(checked_device(device)))
    return LoadedModel(network, config, fingerprint(folder / MODEL_FILE))


def outline(settings: Any, folder: Path) -> Network:
    """The network of these settings without memory for its weights: the vanilla correlation alone takes a gigabyte.

    Raises WeightsError for settings that no network can have; it names the folder's config.json.
    """
    try:
        with torch.device("meta"):
            return build_network(settings)
    except (SettingError, RuntimeError, ValueError, TypeError, OverflowError, ZeroDivisionError) as error:
        raise _damaged(folder / CONFIG_FILE, error) from None


def _with_embedding(config: dict[str, Any], settings: Any, folder: Path) -> dict[str, Any]:
    """The config with the length of embeddings, if the network makes any. Raises WeightsError if it has another one."""
    length = kind_of(settings).dim(settings)
    if length is None:
        return config
    stated = config.get("embedding", length)
    if type(stated) is not int or stated != length:
        raise WeightsError(f"{folder / CONFIG_FILE}: damaged (embedding is {stated!r}, not {length}); copy it again")
    return {**config, "embedding": length}


def _called(wanted: type[Any]) -> str:
    return "IGPN" if wanted is GuidedNetwork else wanted.__name__


def read_config(name_or_folder: str | Path, wanted: type[Any] | None = None) -> tuple[Path, dict[str, Any]]:
    """The folder of weights and their config.json. Raises WeightsError, also when they are not of class `wanted`."""
    folder = find_weights(name_or_folder)
    path = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        name = config["class"]
        if not isinstance(name, str):
            raise TypeError(f"the class is {name!r}")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read {refusal(error, 'copy it again, or give other weights')}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if wanted is not None and not (name in KIND_OF_CLASS and issubclass(KIND_OF_CLASS[name].network, wanted)):
        raise WeightsError(f"{folder}: holds weights of {name}, not of {_called(wanted)}; give other weights")
    return folder, config


def read_settings(config: dict[str, Any], folder: Path) -> Any:
    """The network's settings in a config.json. Raises WeightsError, also for a network that is not known here."""
    if config["class"] not in KIND_OF_CLASS:
        raise WeightsError(f"{folder}: holds weights of {config['class']}, which this version does not know")
    try:
        return settings_from_dict(KIND_OF_CLASS[config["class"]].settings, config["network"])
    except (KeyError, TypeError, AttributeError, SettingError) as error:
        raise _damaged(folder / CONFIG_FILE, error) from None


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:160]
    return WeightsError(f"{path}: damaged ({reason}); copy it again")


def _layout(config: dict[str, Any], folder: Path) -> str:
    layout: str = read_settings(config, folder).layout
    return layout


def warm_network(folder: Path, settings: Any) -> Network:
    """A network of any kind to train, by its settings, that starts from the folder of a search network's run.

    Backbone and, if it has one, embedding are those of the run; the rest is random. Raises WeightsError.
    """
    folder, config = read_config(folder, SearchNetwork)
    network = build_network(replace(settings, layout=_layout(config, folder)))
    _take(network, folder)
    return network


def whole_network(name_or_folder: str | Path, settings: Any) -> Network:
    """A network to train further, all of it; a part that the weights lack starts at random.

    Raises WeightsError when they hold another network, or one of other shapes.
    """
    folder, config = read_config(name_or_folder, kind_of(settings).network)
    network = build_network(replace(settings, layout=_layout(config, folder)))
    fill(network, {**network.state_dict(), **read_tensors(folder / MODEL_FILE)}, folder / MODEL_FILE)
    return network


def _take(network: Network, folder: Path) -> None:
    """Fills the backbone, and the embedding if there is one, wherever conv4 is cut in either network."""
    stored = {_whole_name(key): tensor for key, tensor in read_tensors(folder / MODEL_FILE).items()}
    own = network.state_dict()
    taken = {key: stored[_whole_name(key)] for key in own if _whole_name(key).startswith(_TAKEN)}
    fill(network, {**own, **taken}, folder / MODEL_FILE)


_TAKEN = ("conv1.", "layer", "mean", "std", "embedding.")


def _whole_name(key: str) -> str:
    """The name of a tensor in a network that is not cut: without the part that it lies in."""
    for part in ("stem.", "head.", "backbone.", "relation.prepared."):
        key = key.removeprefix(part)
    return key


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
                stated = (file.metadata() or {}).get("layout", "")
            return load_file(path), HE2015 if "1x1" in stated else TORCHVISION
        return torch.load(path, map_location="cpu", weights_only=True), TORCHVISION
    except Exception as error:  # torch.load raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path}: cannot be read as ResNet-50 weights ({reason}); give another file, or none for torchvision's"
        ) from None


def _torchvision_weights() -> dict[str, Tensor]:
    from torchvision.models import ResNet50_Weights

    try:
        state: dict[str, Tensor] = ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise WeightsError(f"torchvision's weights could not be downloaded ({error}); give --backbone FILE") from None
    return state
