"""An instance-aware branch with weights of its own, in a file beside those of a search network.

Both branches share every weight while BINet is trained. Weights that ship may bring a branch that was trained further
on cropped people: readings (readings.py) and `--branch instance` then look at patches through it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from personsearch.errors import WeightsError
from personsearch.files import write_whole
from personsearch.models.inference import prepare_for_inference
from personsearch.models.search_network import InstanceNetwork, SearchNetwork, build_search_network
from personsearch.models.tensor_files import (
    CONFIG_FILE,
    MODEL_FILE,
    check_shapes,
    fill,
    fingerprint,
    halved,
    read_tensors,
    save_tensors,
)

INSTANCE_FILE = "instance.safetensors"
_BESIDE = "beside"
"""In what config.json says of the branch: the fingerprint of the weights that it belongs to."""


def load_instance(folder: Path, network: SearchNetwork, config: Mapping[str, Any]) -> InstanceNetwork | None:
    """The instance-aware branch of a network, if its folder has weights for it, of which its `config` tells.

    Raises WeightsError, also for a branch that was laid beside other weights.
    """
    path = folder / INSTANCE_FILE
    if not path.is_file():
        return None
    about = config.get("instance")
    beside = about.get(_BESIDE) if isinstance(about, dict) else None
    if beside != (here := fingerprint(folder / MODEL_FILE)):
        raise WeightsError(
            f"{path}: made for weights {beside or 'that are not told'}, not for {here} beside it; make it anew: "
            "python tools/own_instance.py, or delete it to read patches by the weights beside it"
        )
    tensors = read_tensors(path)
    whole = build_search_network(network.settings)
    instance = InstanceNetwork(whole.stem, whole.head)
    fill(instance, tensors, path)
    return prepare_for_inference(instance.to(network.stem.mean.device))


def save_instance(folder: Path, network: SearchNetwork, trained: SearchNetwork) -> Path:
    """Lays the instance-aware branch of a `trained` network beside the weights of another `network`, and says so in
    config.json. Returns the file.

    Raises WeightsError where the two are of other shapes, and OSError.
    """
    branch, path = InstanceNetwork(trained.stem, trained.head).state_dict(), folder / INSTANCE_FILE
    check_shapes(InstanceNetwork(network.stem, network.head), branch, path)
    save_tensors(path, {k: halved(t.detach()).contiguous().cpu() for k, t in branch.items()}, {"format": "pt"})
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config["instance"] = {_BESIDE: fingerprint(folder / MODEL_FILE)}
    write_whole(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    return path


def fingerprint_of_readings(folder: Path) -> str:
    """Of what makes readings: weights, and an instance-aware branch of its own where they have one."""
    own = folder / INSTANCE_FILE
    of_search = fingerprint(folder / MODEL_FILE)
    return f"{of_search}-{fingerprint(own)[:8]}" if own.is_file() else of_search
