"""Graphs in eight bits: ranges of activations are learnt from pictures of people, weights are rounded per channel."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from personsearch.data.patches import crop_patches
from personsearch.data.records import Benchmark, Box, Scene
from personsearch.data.transforms import resize, to_tensor
from personsearch.errors import DataError
from personsearch.export.tracing import INPUT
from personsearch.models.graphs import channels_last
from personsearch.models.guided import GuidedNetwork
from personsearch.models.networks import Network
from personsearch.models.reid import ReidNet
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress

SCENES = 8
"""More do not change ranges much, and each takes seconds."""
PATCHES = 64
"""For a re-id network, which sees nothing else."""
_REGIONS = 32
"""Of one scene: its most person-like proposals."""

Samples = dict[str, list[Tensor]]
"""Inputs of each part of a network."""


def calibration_scenes(benchmark: Benchmark, spec: str, count: int) -> list[Scene]:
    """Scenes with people, taken by chance and always the same: of the training set, or of the test set where there is
    none. Raises DataError where there are none with people.
    """
    scenes = [scene for scene in benchmark.train or benchmark.test if scene.persons]
    if not scenes:
        raise DataError(f"{spec}: has nobody in it to learn the ranges of eight bits from; give scenes with people")
    return random.Random(0).sample(scenes, min(count, len(scenes)))


@torch.inference_mode()
def sample_inputs(network: Network, scenes: Sequence[Scene], progress: Progress) -> Samples:
    """What the parts of a network get to see on scenes: whole pictures, and patches of the people in them."""
    samples: Samples = {}

    def keep(**inputs: Tensor) -> None:
        for part, x in inputs.items():
            samples.setdefault(part, []).append(x.float().contiguous())

    for scene in progress(scenes, "calibrating", len(scenes)):
        image = scene.read()
        boxes = torch.tensor([person.box for person in scene.persons])
        if isinstance(network, ReidNet):
            keep(embed=crop_patches(to_tensor(image), boxes[:1], network.settings.size))
            continue
        pixels = resize(image, network.settings.test_size)[0][None]
        if isinstance(network, SearchNetwork):
            maps, regions = _searched(network, pixels)
            keep(rpn=channels_last(maps))
        else:
            regions = _proposed(network, image, scene.persons[0].box)
        patches = crop_patches(to_tensor(image), boxes[:_REGIONS])
        keep(stem=pixels, head=channels_last(regions))
        if isinstance(network, SearchNetwork) and network.own_instance is not None:
            keep(instance_stem=patches, instance_head=channels_last(network.own_instance.stem(patches)))
        else:
            keep(stem=patches, head=channels_last(network.stem(patches)))
    return samples


def _searched(network: SearchNetwork, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The map of a picture, and the regions of it that are looked at."""
    maps = network.stem(pixels)
    proposals = network.rpn(maps).proposals(0, (pixels.shape[2], pixels.shape[3]), network.settings.test_proposals)
    return maps, network.pool(maps, [proposals[:_REGIONS]])


def _proposed(network: GuidedNetwork, image: Image.Image, box: Box) -> Tensor:
    """The regions of a picture that are looked at when the person in a box of it is asked for."""
    scene, query = network.encode_scene(image), network.encode_query(image, [box])
    (found,) = network.candidates(scene, query)
    return network.reading.pool(scene.maps, [network.reading.regions(found.boxes[:_REGIONS])])


class _Reader:
    """Inputs one after the other, as ONNX Runtime asks for them."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._inputs: Iterator[Tensor] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        x = next(self._inputs, None)
        return None if x is None else {INPUT: x.numpy()}


def quantize(path: Path, inputs: Sequence[Tensor]) -> None:
    """Rewrites an ONNX file: convolutions and what is between them in eight bits, as ranges on `inputs` allow."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(_Reader, CalibrationDataReader):  # type: ignore[misc]
        pass

    whole = path.with_suffix(".whole.onnx")
    path.rename(whole)
    with _quiet_logs():
        quantize_static(
            whole,
            path,
            Reader(inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QInt8,
        )
    whole.unlink()


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """The quantizer logs advice on steps that are done, or that make no difference here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def has_fast_int8() -> bool:
    """Whether the CPU multiplies eight bits faster than more: VNNI, or its like."""
    probes = ("_is_vnni_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
