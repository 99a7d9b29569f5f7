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
from personsearch.models.graphs import graph_path
from personsearch.models.reid import ReidNet
from personsearch.models.resnet import STEM_CHANNELS
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


class _PlainRPN(nn.Module):
    """An RPN without its anchors, which depend on the size of the map alone."""

    def __init__(self, rpn: RPN) -> None:
        super().__init__()
        self._rpn = rpn

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        found = self._rpn(maps)
        return found.logits, found.deltas


class _Embedding(nn.Module):
    """A re-id network from patches to embeddings of unit length."""

    def __init__(self, network: ReidNet) -> None:
        super().__init__()
        self._network = network

    def forward(self, patches: Tensor) -> Tensor:
        return F.normalize(self._network.read(patches).flatten(1))


def parts_of(network: SearchNetwork | ReidNet) -> dict[str, Part]:
    """The parts of a network that is ready for inference, in float32."""
    lengths = torch.export.Dim
    count = {0: lengths("n")}
    if isinstance(network, ReidNet):
        patches = torch.rand(2, 3, *network.settings.size) * 255
        return {"embed": Part(_Embedding(network), patches, count, ("embedding",))}
    sides = {2: lengths("h", min=32, max=8192), 3: lengths("w", min=64, max=8192)}
    cells = {2: lengths("h"), 3: lengths("w")}
    regions = torch.rand(3, STEM_CHANNELS, *network.settings.roi_size)
    return {
        "stem": Part(network.stem, torch.rand(2, 3, 96, 160) * 255, count | sides, ("maps",)),
        "rpn": Part(_PlainRPN(network.rpn), torch.rand(2, STEM_CHANNELS, 6, 10), count | cells, ("logits", "deltas")),
        "head": Part(network.head.backbone, regions, count, ("features",)),
    }


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
