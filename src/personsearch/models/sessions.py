"""Graph files, ONNX or OpenVINO's, opened by the runtime that reads them: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from personsearch.errors import PersonSearchError, SettingError, WeightsError

ONNX, OPENVINO = "onnx", "openvino"
RUNTIMES = (ONNX, OPENVINO)
"""Beside torch, which needs no files of graphs."""
SUFFIXES = {".onnx": ONNX, ".xml": OPENVINO}
"""Of graph files, and whose format they are in. OpenVINO reads both."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph."""

    name: str
    shape: tuple[int | None, ...] | None
    """None for a length that is not fixed; None in all for a shape of which nothing is known."""
    type: np.dtype[Any]


@dataclass(frozen=True)
class Graph:
    """An opened graph."""

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    facts: Mapping[str, str]
    """What the file says of itself beside its graph."""
    run: Callable[[Sequence[np.ndarray[Any, Any]]], list[np.ndarray[Any, Any]]]
    """From one array an input to one array an output. Raises whatever the runtime raises."""


def is_graph_file(name: str | Path) -> bool:
    """Whether a name is that of a graph file, there or not, and no folder's."""
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def open_graph(path: Path, runtime: str | None = None) -> Graph:
    """A graph for the CPU, with as many threads as torch has.

    ONNX files are run by ONNX Runtime where it is installed, else by OpenVINO, unless `runtime` says which. Raises
    WeightsError for a file that is missing, damaged or of another kind, SettingError for a runtime that does not read
    it, and PersonSearchError, with the command that installs it, for one that is not there.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise WeightsError(f"{path}: is no graph; give a file that ends in .onnx or .xml")
    for file in (path, path.with_suffix(".bin")) if suffix == ".xml" else (path,):
        if not file.is_file():
            raise WeightsError(f"{file}: is not there; copy it again, or give another file")
    runtime = runtime or _runtime_for(suffix)
    if runtime not in (SUFFIXES[suffix], OPENVINO):
        raise SettingError(f"{path}: is not read by --runtime {runtime}: give {SUFFIXES[suffix]}, or leave it out")
    opener = _OPENERS[runtime]
    try:
        return opener(path)
    except ImportError as error:
        raise lacking(str(path), runtime) from error
    except Exception as error:  # the runtimes raise kinds of their own
        raise WeightsError(
            f"{path}: cannot be read as {_FORMATS[suffix]} ({reason(error)}); copy it again, or give another file"
        ) from None


def lacking(what: str, extra: str) -> PersonSearchError:
    """The error for an extra that is not installed."""
    return PersonSearchError(f"{what} needs {_NAMES[extra]}: pip install 'personsearch[{extra}]'")


def reason(error: Exception) -> str:
    """The first line of what a runtime says, short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[-1] if lines and len(lines[-1]) > 10 else ' '.join(lines) or type(error).__name__}"[:200]


def check_runtime(name: str) -> str:
    """The name of a runtime, torch among them. Raises SettingError for another."""
    if name not in ("torch", *RUNTIMES):
        raise SettingError(f"--runtime {name}: choose one of torch, {', '.join(RUNTIMES)}")
    return name


_NAMES = {ONNX: "ONNX Runtime", OPENVINO: "OpenVINO"}
_FORMATS = {".onnx": "an ONNX graph", ".xml": "an OpenVINO graph"}


def _runtime_for(suffix: str) -> str:
    from importlib.util import find_spec

    if suffix == ".onnx" and find_spec("onnxruntime") is None and find_spec("openvino") is not None:
        return OPENVINO
    return SUFFIXES[suffix]


def _open_onnx(path: Path) -> Graph:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # its warnings are about optimisations that it did not find
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def port(node: Any) -> Port:
        shape = tuple(length if isinstance(length, int) else None for length in node.shape)
        return Port(node.name, shape, np.dtype(_ONNX_TYPES.get(node.type, "O")))

    inputs = tuple(port(node) for node in session.get_inputs())

    def run(arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        return list(session.run(None, {port.name: array for port, array in zip(inputs, arrays, strict=True)}))

    outputs = tuple(port(node) for node in session.get_outputs())
    return Graph(path, inputs, outputs, dict(session.get_modelmeta().custom_metadata_map), run)


_ONNX_TYPES = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(double)": "f8", "tensor(uint8)": "u1"}
"""NumPy's names for what a picture can be."""


def _open_openvino(path: Path) -> Graph:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def port(node: Any) -> Port:
        shape = node.get_partial_shape()
        lengths = None
        if shape.rank.is_static:
            lengths = tuple(length.get_length() if length.is_static else None for length in shape)
        name = node.any_name if node.names else ""
        return Port(name, lengths, np.dtype(node.element_type.to_dtype()))

    def run(arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        request.infer(dict(enumerate(arrays)))
        # copied: the request writes its next answer into the same memory
        return [request.get_output_tensor(number).data.copy() for number in range(len(compiled.outputs))]

    inputs, outputs = (tuple(port(node) for node in ports) for ports in (model.inputs, model.outputs))
    return Graph(path, inputs, outputs, _conversion(model), run)


def _conversion(model: Any) -> dict[str, str]:
    """What OpenVINO's converter was told, as text by name; nothing where the file does not say."""
    if "conversion_parameters" not in model.get_rt_info():
        return {}
    told = model.get_rt_info("conversion_parameters").value
    return {str(name): str(value) for name, value in told.items()}


_OPENERS: dict[str, Callable[[Path], Graph]] = {ONNX: _open_onnx, OPENVINO: _open_openvino}
