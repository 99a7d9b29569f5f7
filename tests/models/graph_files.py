"""Small graphs of re-id networks, made by the tests themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="pip install 'personsearch[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'personsearch[onnx]'")
from onnx import TensorProto, helper  # noqa: E402

SHAPE = ("n", 3, 32, 16)
GRID = (4, 2)
"""Rows and columns of a patch whose means are its embedding."""
DIM = 3 * GRID[0] * GRID[1]


def save(path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], type_: int = 1) -> Path:
    """A graph with these nodes; shapes may have names for lengths that are left open."""
    infos = [
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in values.items()]
        for values, kind in ((inputs, type_), (outputs, TensorProto.FLOAT))
    ]
    graph = helper.make_graph(nodes, "small", *infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def means(source: str, target: str, shape: tuple[Any, ...] = SHAPE) -> list[Any]:
    """Nodes from pictures [N, 3, H, W] to the means of `GRID`: [N, 24]."""
    sides = [length // cells for length, cells in zip(shape[2:], GRID, strict=True)]
    return [
        helper.make_node("AveragePool", [source], [f"{target}_map"], kernel_shape=sides, strides=sides),
        helper.make_node("Flatten", [f"{target}_map"], [target]),
    ]


def save_reid(path: Path, shape: tuple[Any, ...] = SHAPE) -> Path:
    """A network whose embedding is the means of a grid of its picture."""
    return save(path, means("pictures", "who", shape), {"pictures": shape}, {"who": (shape[0], DIM)})
