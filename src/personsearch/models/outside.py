"""Re-id networks from elsewhere: one graph file, ONNX or OpenVINO's, that turns patches of people into embeddings.

How a network takes its pictures (size, order of colours, normalisation) stands in a JSON file beside the graph, or in
what the graph's file says of itself. What neither says is guessed, and told.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.patches import crop_patches
from personsearch.data.transforms import to_tensor
from personsearch.errors import SettingError, WeightsError
from personsearch.models.resnet import TORCHVISION
from personsearch.models.sessions import Graph, Port, open_graph, reason
from personsearch.settings import Positive, Range, Side, settings_from_dict, settings_to_dict

Complain = Callable[[str], object]
METADATA = "personsearch"
"""The entry of an ONNX file's metadata that holds what the JSON file beside it would."""
_TOGETHER = 32
"""Patches that are embedded in one go, where the graph leaves it open."""
_USUAL_SIZE = (256, 128)
_Shade = Annotated[float, Range(0, 255)]


@dataclass(frozen=True)
class PictureSettings:
    """How a network takes its pictures: (pixels / 255 * white - mean) / std."""

    size: tuple[Side, Side] = _USUAL_SIZE
    """Height and width in pixels."""
    colours: str = "rgb"
    """Order of the channels: rgb, or bgr."""
    white: _Shade = 255.0
    """What a white pixel is before `mean` is taken off: 255, or 1."""
    mean: tuple[_Shade, _Shade, _Shade] = (0.0, 0.0, 0.0)
    """One a channel, in the order of `colours`."""
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    output: str = ""
    """Which output of the graph is the embedding, where it has several: the first that can be, when empty."""


_IMAGENET = {"colours": "rgb", "white": 1.0, "mean": TORCHVISION.mean, "std": TORCHVISION.std}
_UNCHANGED = {"white": 255.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_GUESSES: dict[str, dict[str, Any]] = {".onnx": _IMAGENET, ".xml": {"colours": "bgr"} | _UNCHANGED}
"""What most published networks take: PyTorch's as ONNX, and those of OpenVINO's model zoo."""


@dataclass(frozen=True)
class OutsideReid:
    """A re-id network of a graph file. It embeds whom it is shown."""

    graph: Graph
    pictures: PictureSettings
    output: int
    """Which output holds the embeddings."""
    dim: int
    """Length of an embedding."""
    together: int
    """How many patches the graph takes at once."""
    fixed: bool
    """Whether it takes exactly so many."""

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, D] unit embeddings of the people in boxes [N, 4] xyxy, in the picture's own pixels."""
        pixels = to_tensor(image)
        embeddings = [torch.zeros(0, self.dim)]
        for block in torch.split(boxes.cpu().float(), self.together):
            if len(block):
                embeddings.append(F.normalize(self.read(crop_patches(pixels, block, self.pictures.size))))
        return torch.cat(embeddings)

    def read(self, patches: Tensor) -> Tensor:
        """Patches [P, 3, *size], RGB in [0, 255], at most `together` of them, to what the network says: [P, D]."""
        array = prepared(patches, self.pictures, self.graph.inputs[0])
        if self.fixed:
            array = np.concatenate([array, np.repeat(array[:1], self.together - len(array), axis=0)])
        found = self.graph.run([array])[self.output]
        return torch.from_numpy(found.astype(np.float32)).reshape(len(array), -1)[: len(patches)]


def prepared(patches: Tensor, pictures: PictureSettings, port: Port) -> np.ndarray[Any, Any]:
    """Patches [P, 3, H, W], RGB in [0, 255], as an input takes them: [P, 3, H, W], or [P, H, W, 3]."""
    if pictures.colours == "bgr":
        patches = patches.flip(1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (pictures.mean, pictures.std))
    array = ((patches.float() / 255 * pictures.white - mean) / std).numpy()
    if port.type.kind == "u":
        array = array.round().clip(0, 255)
    if _is_channels_last(port):
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array, dtype=port.type)


def load_outside(path: Path, complain: Complain = warnings.warn, runtime: str | None = None) -> OutsideReid:
    """A re-id network from a graph file. `complain` is called with one line for what had to be guessed.

    Raises WeightsError for a file that is missing, damaged or of a network of another kind, SettingError for a JSON
    file that does not fit, and PersonSearchError when what runs the file is not installed.
    """
    graph = open_graph(path, runtime)
    port = _picture_port(graph)
    pictures = _pictures(graph, port, complain)
    fixed = port.shape is not None and port.shape[0] is not None
    count = port.shape[0] if fixed and port.shape is not None and port.shape[0] else 2
    made = OutsideReid(graph, pictures, 0, 0, count, fixed)
    try:
        outputs = _probe(made, count)
        shapes = _embedding_shapes(outputs, count)
        if not shapes and not fixed:  # some graphs say that they take any number, and reshape for one all the same
            made, count = replace(made, together=1, fixed=True), 1
            outputs = _probe(made, count)
            shapes = _embedding_shapes(outputs, count)
    except Exception as error:  # the runtimes raise kinds of their own
        raise WeightsError(
            f"{path}: fails on pictures of {pictures.size[0]}x{pictures.size[1]} ({reason(error)}); give the size "
            f"that it takes in {_beside(path).name}, or another file"
        ) from None
    output = _choose_output(graph, outputs, shapes, pictures, count, complain)
    if not np.isfinite(outputs[output]).all():
        raise WeightsError(f"{path}: gives numbers that are not finite; give another file")
    together = count if made.fixed else _TOGETHER
    return replace(made, output=output, dim=shapes[output], together=together)


def outside_fingerprint(path: Path, pictures: PictureSettings) -> str:
    """16 hex digits of what decides an embedding: the contents of a graph's files, and how pictures are given to it."""
    digest = hashlib.sha256(json.dumps(settings_to_dict(pictures), sort_keys=True).encode())
    for part in (path, path.with_suffix(".bin"), path.with_name(f"{path.name}.data")):
        if part == path or (part.is_file() and (part.suffix == ".data" or path.suffix.lower() == ".xml")):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def save_pictures(path: Path, pictures: PictureSettings) -> None:
    """Writes the JSON file beside a graph."""
    _beside(path).write_text(json.dumps(settings_to_dict(pictures), indent=2) + "\n", encoding="utf-8")


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _picture_port(graph: Graph) -> Port:
    """The one input, for colour pictures. Raises WeightsError for a graph that takes anything else."""
    if len(graph.inputs) != 1:
        names = ", ".join(port.name for port in graph.inputs[:4]) or "none"
        raise WeightsError(
            f"{graph.path}: takes {len(graph.inputs)} inputs ({names}), and a re-id network takes one, pictures; "
            "give another file"
        )
    port = graph.inputs[0]
    if port.type.kind not in "fu":
        raise WeightsError(f"{graph.path}: its input is not of numbers that a picture can be; give another file")
    shape = port.shape
    if shape is not None and (len(shape) != 4 or not {shape[1], shape[3]} & {3, None}):
        written = "x".join("?" if length is None else str(length) for length in shape)
        raise WeightsError(
            f"{graph.path}: takes an input of {written}, and a re-id network takes colour pictures, ?x3x256x128 or "
            "the like; give another file"
        )
    return port


def _is_channels_last(port: Port) -> bool:
    return port.shape is not None and port.shape[1] != 3 and port.shape[3] == 3


def _pictures(graph: Graph, port: Port, complain: Complain) -> PictureSettings:
    """How the graph takes pictures: what is told of it, and the rest guessed aloud."""
    told = _told_by_file(graph, port) | _told_by_json(_beside(graph.path))
    guessed = {"size": _USUAL_SIZE} | _GUESSES[graph.path.suffix.lower()]
    if _UNCHANGED.keys() & told.keys():  # whoever tells a part of it, leaves the rest as it is
        told = _UNCHANGED | told
    where = _beside(graph.path)
    pictures = settings_from_dict(PictureSettings, guessed | told)
    _check_pictures(pictures, port, where)
    missing = [name for name in guessed if name not in told]
    if missing:
        values = settings_to_dict(pictures)
        aloud = ", ".join(f"{name} {json.dumps(values[name])}" for name in missing)
        whole = json.dumps({name: values[name] for name in guessed})
        complain(f"{graph.path.name} does not say all of how it takes pictures; guessed: {aloud}; where that is wrong, "
                 f"correct it in {where}: {whole}")  # fmt: skip
    return pictures


def _told_by_file(graph: Graph, port: Port) -> dict[str, Any]:
    """What shape and metadata of a graph's file say."""
    told: dict[str, Any] = {}
    if port.shape is not None:
        sides = port.shape[1:3] if _is_channels_last(port) else port.shape[2:4]
        if None not in sides:
            told["size"] = sides
    if METADATA in graph.facts:
        told |= _known(graph.facts[METADATA], f"{graph.path}, entry {METADATA}")
    if graph.facts.get("reverse_input_channels", "").lower() == "true":
        told["colours"] = "bgr"  # the converter put the way from BGR to RGB into the graph
    if re.search(r"\d", graph.facts.get("mean_values", "") + graph.facts.get("scale_values", "")):
        told |= _UNCHANGED  # and put mean and deviation there
    return told


def _told_by_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return _known(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: cannot be read ({reason(error)}); write it anew, or delete it") from None


def _known(text: str, where: str) -> dict[str, Any]:
    """The settings in a JSON text, checked. Raises SettingError."""
    names = [field.name for field in fields(PictureSettings)]
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError):
        raise SettingError(f'{where}: is no JSON object such as {{"size": [256, 128], "colours": "rgb"}}') from None
    try:
        settings_from_dict(PictureSettings, values)
    except SettingError as error:
        raise SettingError(f"{where}: {error}; known there: {', '.join(names)}") from None
    return values


def _check_pictures(pictures: PictureSettings, port: Port, where: Path) -> None:
    if pictures.colours not in ("rgb", "bgr"):
        raise SettingError(f"{where}: colours {pictures.colours}: choose rgb or bgr")
    if pictures.white not in (1, 255):
        raise SettingError(f"{where}: white {pictures.white:g}: give 1 or 255")
    if pictures.white == 255 and any(deviation < 1 for deviation in pictures.std):
        raise SettingError(f'{where}: std {list(pictures.std)} is of pixels from 0 to 1: add "white": 1')
    if pictures.white == 1 and any(shade > 1 for shade in pictures.mean):
        raise SettingError(f'{where}: mean {list(pictures.mean)} is of pixels from 0 to 255: give "white": 255')
    if port.shape is not None:
        sides = port.shape[1:3] if _is_channels_last(port) else port.shape[2:4]
        if any(own not in (None, given) for own, given in zip(sides, pictures.size, strict=True)):
            raise SettingError(f"{where}: size {list(pictures.size)}, but the graph takes {list(sides)}; correct it")


def _probe(network: OutsideReid, count: int) -> list[np.ndarray[Any, Any]]:
    """What a graph answers to noise."""
    noise = 255 * torch.rand((count, 3, *network.pictures.size), generator=torch.Generator().manual_seed(0))
    return network.graph.run([prepared(noise, network.pictures, network.graph.inputs[0])])


def _embedding_shapes(outputs: Sequence[np.ndarray[Any, Any]], count: int) -> dict[int, int]:
    """The outputs that can be embeddings, one a picture, and their lengths: [P, D], or [P, D, 1, 1] and the like."""
    lengths = {}
    for number, found in enumerate(outputs):
        long = [length for length in found.shape[1:] if length != 1]
        if found.ndim >= 2 and len(found) == count and len(long) == 1 and found.dtype.kind == "f":
            lengths[number] = math.prod(long)
    return lengths


def _choose_output(
    graph: Graph,
    outputs: Sequence[np.ndarray[Any, Any]],
    lengths: dict[int, int],
    pictures: PictureSettings,
    count: int,
    complain: Complain,
) -> int:
    named = {port.name: number for number, port in enumerate(graph.outputs)}
    if not lengths:
        shapes = ", ".join("x".join(map(str, found.shape)) or "one number" for found in outputs[:4])
        raise WeightsError(
            f"{graph.path}: gives {shapes} for {count} pictures, and not one embedding each; give a re-id network"
        )
    if pictures.output:
        number = named.get(pictures.output)
        if number not in lengths:
            fitting = ", ".join(graph.outputs[fit].name for fit in lengths)
            raise SettingError(f"{_beside(graph.path)}: output {pictures.output}: choose one of {fitting}")
        return number
    first = next(iter(lengths))
    if len(lengths) > 1:
        others = ", ".join(f"{graph.outputs[fit].name} ({length})" for fit, length in lengths.items())
        complain(f"{graph.path.name} has several outputs that can be embeddings: {others}; guessed: the first; where "
                 f'that is wrong, name another in {_beside(graph.path)}: {{"output": NAME}}')  # fmt: skip
    return first
