"""A network whose heavy parts are graphs that another runtime reads: what `export` writes, and `--runtime` runs.

The parts are cut where arrays are plain: the stem, the RPN's convolutions, and conv5 on pooled regions. What lies
between them (anchors, suppression, RoIAlign) and the small layers behind stay in torch, and work as they always do.
Between the parts maps are [B, h, w, C], as convolutions and RoIAlign keep them in memory: nobody turns them around.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from personsearch.errors import SettingError, WeightsError
from personsearch.files import refusal
from personsearch.models.guided import GuidedNetwork
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.rpn import RPNOutput, make_anchors
from personsearch.models.search_network import SearchNetwork
from personsearch.models.sessions import RUNTIMES, SUFFIXES, Graph, check_runtime, open_graph, reason

GRAPHS_FILE = "graphs.json"
SUFFIX_OF = {runtime: suffix for suffix, runtime in SUFFIXES.items()}
SCENE_PARTS = ("stem", "rpn", "head")
"""Of a search network."""
INSTANCE_PARTS = ("instance_stem", "instance_head")
"""Beside them where the instance-aware branch has weights of its own."""
GUIDED_PARTS = ("stem", "head")
"""Of an IGPN, whose correlation stays in torch."""
PATCH_PARTS = ("embed",)
"""Of a re-id network: all of it, from patches to embeddings."""
_PARTS = (SCENE_PARTS, SCENE_PARTS + INSTANCE_PARTS, GUIDED_PARTS, PATCH_PARTS)
_FORMAT = 3
"""Of what is written; in the first one maps were [B, C, h, w], and in the second nothing told of the weights."""


@dataclass(frozen=True)
class GraphsAbout:
    """What `graphs.json` says of the graphs beside it."""

    runtime: str
    parts: tuple[str, ...]
    int8: bool
    agrees: bool
    """Whether embeddings are those of torch, so that both may fill one gallery."""
    digest: str
    """16 hex digits of the contents of all graphs."""
    weights: str
    """The fingerprint of what they were made from, which lies beside them."""


def graph_path(folder: Path, part: str, runtime: str) -> Path:
    """Where the graph of a part lies."""
    return folder / f"{part}{SUFFIX_OF[runtime]}"


def digest_of(folder: Path, parts: tuple[str, ...], runtime: str) -> str:
    """16 hex digits of the contents of graphs."""
    digest = hashlib.sha256()
    for part in parts:
        path = graph_path(folder, part, runtime)
        for file in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def write_graphs_about(folder: Path, about: GraphsAbout) -> None:
    text = json.dumps({"format": _FORMAT, **asdict(about)}, indent=2)
    (folder / GRAPHS_FILE).write_text(text + "\n", encoding="utf-8")


def read_graphs_about(folder: Path) -> GraphsAbout | None:
    """What a folder of weights says of its graphs; None where it has none. Raises WeightsError for a damaged file."""
    path = folder / GRAPHS_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("format") != _FORMAT:
            raise ValueError("made by another version")
        about = GraphsAbout(
            runtime=str(values["runtime"]),
            parts=tuple(values["parts"]),
            int8=bool(values["int8"]),
            agrees=bool(values["agrees"]),
            digest=str(values["digest"]),
            weights=str(values["weights"]),
        )
        if about.runtime not in RUNTIMES or about.parts not in _PARTS:
            raise ValueError("unknown runtime or parts")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged ({reason(error)}); export again, or delete it to run by torch") from None
    return about


def chosen_graphs(folder: Path, name: str | Path, runtime: str | None) -> GraphsAbout | None:
    """The graphs that run a folder's weights: its own when `runtime` is None, none for torch.

    Raises SettingError when the folder has none for that runtime, and WeightsError when their files are not those
    that were exported, or the weights beside them not those that they were made from.
    """
    if runtime is not None:
        check_runtime(runtime)
    about = None if runtime == "torch" else read_graphs_about(folder)
    if runtime is not None and runtime != "torch" and (about is None or about.runtime != runtime):
        what = "no graphs" if about is None else f"graphs for {about.runtime}, none"
        raise SettingError(
            f"{name} has {what} for {runtime}: make them by personsearch export {name} --to {runtime} --out FOLDER, "
            "and give that folder as the model"
        )
    if about is not None:
        try:
            digest = digest_of(folder, about.parts, about.runtime)
        except OSError as error:
            raise WeightsError(f"{error.filename}: cannot be read {refusal(error, 'export again')}") from None
        if digest != about.digest:
            raise WeightsError(f"{folder}: its graphs are not those that {GRAPHS_FILE} tells of; export again")
        if about.weights != (here := fingerprint_of_readings(folder)):
            raise WeightsError(
                f"{folder}: its graphs were made from weights {about.weights}, and {here} lie beside them; export "
                f"again, or delete {GRAPHS_FILE} to run by torch"
            )
    return about


def fingerprint_with(fingerprint: str, about: GraphsAbout | None) -> str:
    """The fingerprint of embeddings: that of the weights, marked by the graphs if they do not agree with torch."""
    return fingerprint if about is None or about.agrees else f"{fingerprint}-{about.runtime}-{about.digest[:8]}"


def channels_last(maps: Tensor) -> Tensor:
    """Maps [B, C, h, w] as [B, h, w, C], without a copy."""
    return maps.permute(0, 2, 3, 1)


def channels_first(maps: Tensor) -> Tensor:
    """Maps [B, h, w, C] as [B, C, h, w], without a copy."""
    return maps.permute(0, 3, 1, 2)


class GraphModule(nn.Module):
    """A part of a network, run by its graph. Takes and gives float32 tensors on the CPU."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph

    def run(self, x: Tensor) -> list[Tensor]:
        """All outputs."""
        array = np.ascontiguousarray(x.detach().cpu().float().numpy())
        return [torch.from_numpy(found) for found in self._graph.run([array])]


class GraphStem(GraphModule):
    """Pictures [B, 3, H, W], RGB in [0, 255], to maps [B, 1024, h, w]."""

    mean: Tensor

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.register_buffer("mean", torch.zeros(1))  # whoever asks where a network is looks at this

    def forward(self, x: Tensor) -> Tensor:
        return channels_first(self.run(x)[0])


class GraphRPN(GraphModule):
    """Stem maps to predictions for all anchors."""

    def __init__(self, graph: Graph, like: nn.Module) -> None:
        super().__init__(graph)
        self.anchors = like.anchors

    def forward(self, maps: Tensor) -> RPNOutput:
        logits, deltas = self.run(channels_last(maps))
        return RPNOutput(make_anchors(maps.shape[2], maps.shape[3], self.anchors), logits, deltas)  # type: ignore[arg-type]


class GraphHead(GraphModule):
    """Pooled regions [R, 1024, h, w] to features [R, 2048]."""

    def forward(self, regions: Tensor) -> Tensor:
        if not len(regions):  # runtimes refuse empty arrays
            return torch.zeros(0, _width(self._graph))
        return self.run(channels_last(regions))[0]


def _width(graph: Graph) -> int:
    shape = graph.outputs[0].shape
    return int((shape or (None, None))[-1] or 0)


def run_by_graphs(network: SearchNetwork | GuidedNetwork, conv5: str, folder: Path, about: GraphsAbout) -> None:
    """Replaces the heavy parts of a network, whose conv5 is the submodule of that name, by graphs of a folder.

    Raises WeightsError for graphs of another kind of network, and what `open_graph` raises.
    """
    instance = network.own_instance if isinstance(network, SearchNetwork) else None
    parts = SCENE_PARTS if isinstance(network, SearchNetwork) else GUIDED_PARTS
    if about.parts != (parts if instance is None else parts + INSTANCE_PARTS):
        raise WeightsError(f"{folder}: its graphs are not those of such a network; export again")

    def opened(part: str) -> Graph:
        return open_graph(graph_path(folder, part, about.runtime), about.runtime)

    network.stem = GraphStem(opened("stem"))  # type: ignore[assignment]
    network.set_submodule(conv5, GraphHead(opened("head")))
    if isinstance(network, SearchNetwork):
        network.rpn = GraphRPN(opened("rpn"), network.rpn)  # type: ignore[assignment]
    if instance is not None:
        instance.stem = GraphStem(opened("instance_stem"))  # type: ignore[assignment]
        instance.head.backbone = GraphHead(opened("instance_head"))  # type: ignore[assignment]
