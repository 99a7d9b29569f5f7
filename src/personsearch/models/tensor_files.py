"""Tensors in safetensors files: written whole, read with whatever is wrong as one line, and filled into networks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from personsearch.errors import WeightsError
from personsearch.files import written_whole
from personsearch.models.igpn_trunk import TrunkIGPN

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def kept_state(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that its weights hold: all of them, but of one on a trunk those that the trunk lacks."""
    return network.own_state() if isinstance(network, TrunkIGPN) else network.state_dict()


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file, whole or not at all. Raises OSError."""
    with written_whole(path) as part:
        try:
            write_tensors(dict(tensors), part, metadata=metadata)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            code = int(number[1])
            raise OSError(code, os.strerror(code), str(part)) from None


def write_tensors(tensors: dict[str, Tensor], part: Path, metadata: dict[str, str]) -> None:
    """Writes a safetensors file, who may read it being as of any other new file: safetensors alone would let its owner
    read it and nobody else. Raises OSError and SafetensorError."""
    part.touch()
    mode = part.stat().st_mode
    save_file(tensors, part, metadata=metadata)
    with suppress(OSError):  # some file systems have no such rights
        part.chmod(mode)


def halved(tensor: Tensor) -> Tensor:
    """As weights are stored: in float16, counts as they are."""
    return tensor.half() if tensor.is_floating_point() else tensor


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds NaN or an infinity."""
    return next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file. Raises WeightsError where it is damaged, or holds numbers that are not finite."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
        odd = first_not_finite(tensors)
        if odd is not None:
            raise ValueError(f"{odd} has numbers that are not finite")
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"{path}: damaged ({error}); copy or train the weights again") from None
    return tensors


def fingerprint(path: Path) -> str:
    """The first 16 hex digits of the SHA-256 of a weights file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fills a network. Raises WeightsError, which names the file, for other shapes."""
    check_shapes(network, tensors, path)
    network.load_state_dict({**network.state_dict(), **{k: t.float() for k, t in tensors.items()}})


def check_shapes(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raises WeightsError where a file's tensors are not those of a network."""
    own = {name: list(tensor.shape) for name, tensor in kept_state(network).items()}
    stored = {name: list(tensor.shape) for name, tensor in tensors.items()}
    odd = [name for name in sorted(own.keys() | stored.keys()) if own.get(name) != stored.get(name)]
    if odd:
        words = [str(shapes.get(odd[0], "missing")) for shapes in (stored, own)]
        raise WeightsError(
            f"{path}: weights of another shape than its {CONFIG_FILE} says ({odd[0]} is {words[0]}, not {words[1]}): "
            "copy both again, or give other weights"
        )
