"""Who tells people apart behind a detector: our own re-id networks by name or folder, or any by its graph file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from personsearch.errors import WeightsError
from personsearch.models.graphs import PATCH_PARTS, chosen_graphs, fingerprint_with, graph_path
from personsearch.models.outside import Complain, load_outside, outside_fingerprint
from personsearch.models.readers import ReidEmbedder
from personsearch.models.reid import ReidNet
from personsearch.models.sessions import is_graph_file
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import find_weights, load_reid, read_config


@dataclass(frozen=True)
class LoadedEmbedder:
    """A re-id network ready to embed people, and what is known of it."""

    model: ReidEmbedder
    fingerprint: str
    """Of what decides an embedding."""
    name: str
    """What loads it again, from anywhere: a shipped name, or a whole path."""


def load_embedder(
    name: str,
    device: str | torch.device = "cpu",
    *,
    runtime: str | None = None,
    complain: Complain = warnings.warn,
) -> LoadedEmbedder:
    """A re-id network from a graph file (.onnx, .xml), from a folder of weights, or shipped weights by name.

    `complain` hears what had to be guessed of a file. `runtime` says what runs them, as in `load_weights`. Raises
    WeightsError, SettingError, and PersonSearchError when what runs a file is not installed.
    """
    if is_graph_file(name):
        network = load_outside(Path(name), complain, runtime)
        # a link stays one: what it leads to may have a name without a suffix
        return LoadedEmbedder(network, outside_fingerprint(Path(name), network.pictures), str(Path(name).absolute()))
    if Path(name).is_file():
        raise WeightsError(f"{name}: is no graph; give a file that ends in .onnx or .xml, or a folder of weights")
    folder, _ = read_config(name, ReidNet)
    whole_name = str(folder.resolve()) if Path(name).is_dir() else name
    about = chosen_graphs(find_weights(name), name, runtime)
    if about is None:
        loaded = load_reid(name, device)
        return LoadedEmbedder(loaded.model, loaded.fingerprint, whole_name)
    (part,) = PATCH_PARTS
    network = load_outside(graph_path(folder, part, about.runtime), complain, about.runtime)
    return LoadedEmbedder(network, fingerprint_with(fingerprint(folder / MODEL_FILE), about), whole_name)
