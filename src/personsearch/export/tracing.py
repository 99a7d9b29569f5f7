"""The parts of a network as ONNX graphs, with open sizes, and as OpenVINO's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.errors import PersonSearchError
from personsearch.models.graphs import channels_first, channels_last, graph_path
from personsearch.models.networks import Network, conv5_of
from personsearch.models.reid import ReidNet
from personsearch.models.resnet import STEM_CHANNELS, Head, Stem
from personsearch.models.rpn import RPN
from personsearch.models.search_network import SearchNetwork
from personsearch.models.sessions import ONNX, OPENVINO, lacking

INPUT = "x"
"""The name of every graph's input."""


@dataclass(frozen=True)
class Part:
    """What becomes one graph."""

    module: nn.Module
    example: Tensor
    """An input, of any size that is allowed."""
    open: dict[int, Any]
    """Which of its lengths may be others."""
    outputs: tuple[str, ...]


class _Stem(nn.Module):
    """Pictures [B, 3, H, W] to maps [B, h, w, 1024]."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self._stem = stem

    def forward(self, pictures: Tensor) -> Tensor:
        return channels_last(self._stem(pictures))


class _PlainRPN(nn.Module):
    """An RPN without its anchors, which depend on the size of the map [B, h, w, 1024] alone."""

    def __init__(self, rpn: RPN) -> None:
        super().__init__()
        self._rpn = rpn

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        found = self._rpn(channels_first(maps))
        return found.logits, found.deltas


class _Head(nn.Module):
    """Pooled regions [R, h, w, 1024] to features [R, 2048]."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self._head = head

    def forward(self, regions: Tensor) -> Tensor:
        features: Tensor = self._head(channels_first(regions))
        return features


class _Embedding(nn.Module):
    """A re-id network from patches to embeddings of unit length."""

    def __init__(self, network: ReidNet) -> None:
        super().__init__()
        self._network = network

    def forward(self, patches: Tensor) -> Tensor:
        return F.normalize(self._network.read(patches).flatten(1))


def parts_of(network: Network) -> dict[str, Part]:
    """The parts of a network that is ready for inference, in float32."""
    lengths = torch.export.Dim
    count = {0: lengths("n")}
    if isinstance(network, ReidNet):
        patches = torch.rand(2, 3, *network.settings.size) * 255
        return {"embed": Part(_Embedding(network), patches, count, ("embedding",))}
    sides = {2: lengths("h", min=32, max=8192), 3: lengths("w", min=64, max=8192)}
    cells = {1: lengths("h"), 2: lengths("w")}
    maps = torch.rand(2, 6, 10, STEM_CHANNELS)
    pictures, regions = torch.rand(2, 3, 96, 160) * 255, torch.rand(3, 14, 6, STEM_CHANNELS)

    def stem_of(stem: Stem) -> Part:
        return Part(_Stem(stem), pictures, count | sides, ("maps",))

    def head_of(head: Head) -> Part:
        return Part(_Head(head), regions, count | cells, ("features",))

    parts = {"stem": stem_of(network.stem)}
    if isinstance(network, SearchNetwork):
        parts["rpn"] = Part(_PlainRPN(network.rpn), maps, count | cells, ("logits", "deltas"))
    parts["head"] = head_of(conv5_of(network))
    if isinstance(network, SearchNetwork) and network.own_instance is not None:
        own = network.own_instance
        parts |= {"instance_stem": stem_of(own.stem), "instance_head": head_of(own.head.backbone)}
    return parts


def write_onnx(part: Part, path: Path) -> None:
    """Writes an ONNX file of one part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter, about itself
        torch.onnx.export(
            part.module,
            (part.example,),
            path,
            dynamic_shapes=(part.open,),
            input_names=[INPUT],
            output_names=list(part.outputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def write_openvino(onnx: Path, folder: Path) -> None:
    """Writes the same graph in OpenVINO's format."""
    import openvino

    # read, not converted: OpenVINO's converter tells its makers that it is used
    model = openvino.Core().read_model(onnx)
    openvino.save_model(model, graph_path(folder, onnx.stem, OPENVINO), compress_to_fp16=False)


def check_tools(runtime: str) -> None:
    """Raises PersonSearchError, with the command that installs it, where a tool that an export needs is missing."""
    for extra, modules in ((ONNX, ("onnx", "onnxscript", "onnxruntime")), (OPENVINO, ("openvino",))):
        if extra == OPENVINO and runtime != OPENVINO:
            continue
        for module in modules:
            try:
                __import__(module)
            except ImportError as error:
                raise _lacking(runtime, extra) from error


def _lacking(runtime: str, extra: str) -> PersonSearchError:
    return lacking(f"export --to {runtime}", extra)
