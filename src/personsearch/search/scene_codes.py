"""A proposer's codes of scenes, kept on disk in float16, so that a further query, or a step of training, costs less."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from personsearch.data.records import Scene
from personsearch.errors import GalleryError, ImageError, SettingError
from personsearch.files import refusal, written_whole
from personsearch.models.correlation import CorrelatedScene
from personsearch.models.guided import GuidedNetwork, SceneCode
from personsearch.models.igpn_trunk import TrunkCode, TrunkIGPN
from personsearch.models.tensor_files import write_tensors
from personsearch.models.weights import LoadedModel
from personsearch.search.faults import is_fault
from personsearch.search.hits import file_and_frame
from personsearch.search.place import Place

_ABOUT = "codes.json"


C = TypeVar("C")


class CodeForm(Protocol[C]):
    """How codes of one kind are made of tensors. A code has a `size`, height and width of the network's input."""

    def tensors(self, code: C) -> dict[str, Tensor]:
        """What a code consists of beside its size; "scale" and whatever is no float keeps its precision."""
        ...

    def code(self, tensors: Mapping[str, Tensor], size: tuple[int, int]) -> C:
        """The code of such tensors, in float32. Raises KeyError."""
        ...

    def state(self, scene: Scene) -> str:
        """What a code depends on beside the picture."""
        ...


class SceneForm:
    """Codes of an IGPN with a backbone of its own."""

    def tensors(self, code: SceneCode) -> dict[str, Tensor]:
        return {
            "maps": code.maps,
            "similarity.adjusted": code.similarity.adjusted,
            "similarity.shared": code.similarity.shared,
            "regression.adjusted": code.regression.adjusted,
            "regression.shared": code.regression.shared,
            "scale": code.scale,
        }

    def code(self, tensors: Mapping[str, Tensor], size: tuple[int, int]) -> SceneCode:
        similarity = CorrelatedScene(tensors["similarity.adjusted"], tensors["similarity.shared"])
        regression = CorrelatedScene(tensors["regression.adjusted"], tensors["regression.shared"])
        return SceneCode(tensors["maps"], similarity, regression, size, tensors["scale"])

    def state(self, scene: Scene) -> str:
        return ""


SCENE_FORM = SceneForm()


class TrunkForm:
    """Codes of a trunk, whichever IGPN stands on it."""

    def tensors(self, code: TrunkCode) -> dict[str, Tensor]:
        return {"maps": code.maps, "hidden": code.hidden, "scale": code.scale}

    def code(self, tensors: Mapping[str, Tensor], size: tuple[int, int]) -> TrunkCode:
        return TrunkCode(tensors["maps"], tensors["hidden"], size, tensors["scale"])

    def state(self, scene: Scene) -> str:
        return ""


def form_of(proposer: GuidedNetwork, fingerprint: str) -> tuple[CodeForm[Any], str]:
    """How the codes of a proposer with this fingerprint are kept, and the fingerprint that they have."""
    if not isinstance(proposer, TrunkIGPN):
        return SceneForm(), fingerprint
    size = proposer.settings.test_size
    return TrunkForm(), f"{proposer.trunk.fingerprint}-{size.short}x{size.long}"


def codes_of(
    loaded: LoadedModel[GuidedNetwork],
    folder: Path,
    limit: int,
    *,
    complain: Callable[[str], None] = lambda line: None,
) -> Callable[[Scene], Any]:
    """What is kept of a scene for a proposer's `ready`, in at most `limit` bytes. Raises as `SceneCodes` does."""
    form, made_by = form_of(loaded.model, loaded.fingerprint)
    device = str(loaded.model.stem.mean.device)
    codes = SceneCodes(folder, made_by, limit, form, device=device, complain=complain)
    return lambda scene: codes.get(scene, lambda missing: loaded.model.read_scene(missing.read()))


class SceneCodes(Generic[C]):
    """A folder with one file a scene, of at most `limit` bytes together: codes beyond that are computed each time.

    A code notes the state of its picture, so that of a changed picture it is computed anew.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        limit: int,
        form: CodeForm[C] = SCENE_FORM,  # type: ignore[assignment]
        *,
        device: str = "cpu",
        complain: Callable[[str], None] = lambda line: None,
    ) -> None:
        """With a limit of 0 the folder is neither read nor made. `complain` is told why no more codes are kept.

        Raises GalleryError for a folder with codes of other weights, SettingError for a limit below 0.
        """
        if limit < 0:
            raise SettingError(f"{limit} bytes of scene codes are impossible: give 0 or more")
        self.folder, self._limit, self._device, self._complain = folder, limit, device, complain
        self._form = form
        self._size = 0
        if limit:
            self._claim(fingerprint)

    def _claim(self, fingerprint: str) -> None:
        about = self.folder / _ABOUT
        try:
            if not about.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                with written_whole(about, shared=True) as part:
                    part.write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
            made_by = str(json.loads(about.read_text())["fingerprint"])
            self._size = sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))
        except OSError as error:  # a full disk, or a folder that is not ours: the answer matters more than its code
            self._complain(f"{self.folder}: no scene codes are kept {refusal(error)}")
            self._limit = 0
            return
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise GalleryError(f"{about}: damaged; delete the folder {self.folder}, it is made anew") from error
        if made_by != fingerprint:
            raise GalleryError(
                f"{self.folder}: holds scene codes of other weights or another size ({made_by}, not {fingerprint}); "
                "give another folder, or delete this one: it is made anew"
            )

    def get(self, scene: Scene, compute: Callable[[Scene], C]) -> C:
        """The scene's code, from disk if it is there; else computed, and kept while there is room.

        Raises ImageError when the scene's file is gone, and what `compute` raises.
        """
        if not self._limit:
            return compute(scene)
        path, state = self._path(scene), f"{_state(scene)} {self._form.state(scene)}".rstrip()
        if path.exists():
            stored = self._load(path, state)
            if stored is not None:
                return stored
            with suppress(OSError):  # another process may have been faster
                self._size -= path.stat().st_size
                path.unlink()
        code = compute(scene)
        self._keep(code, path, state)
        return code

    def _keep(self, code: C, path: Path, state: str) -> None:
        tensors = {name: _as_kept(name, tensor) for name, tensor in self._form.tensors(code).items()}
        if self._size + sum(t.numel() * t.element_size() for t in tensors.values()) > self._limit:
            return
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            size = json.dumps(code.size)  # type: ignore[attr-defined]
            about = {"size": size, "state": state, "checksum": _checksum(tensors, size)}
            write_tensors(tensors, part, metadata=about)
            self._size += part.stat().st_size
            part.replace(path)
        except (OSError, SafetensorError) as error:  # a full disk: the answer matters more than its code
            with suppress(OSError):
                part.unlink(missing_ok=True)
            self._complain(f"{self.folder}: no more scene codes are kept ({error})")
            self._limit = self._size

    def _load(self, path: Path, state: str) -> C | None:
        """None for a damaged file, and for one of another state of the picture."""
        read = _read(path, state)
        if read is None:
            return None
        stored, size = read
        tensors = {
            name: tensor.to(self._device).float() if tensor.is_floating_point() else tensor.to(self._device)
            for name, tensor in stored.items()
        }
        try:
            return self._form.code(tensors, size)
        except KeyError:  # tensors of another form
            return None

    def _path(self, scene: Scene) -> Path:
        return self.folder / code_name(*file_and_frame(scene.picture))


def code_name(path: Path, frame: int | None) -> str:
    """What the file with the code of a scene is called."""
    name = hashlib.sha256(f"{path.resolve()}@{frame}".encode(errors="surrogateescape")).hexdigest()[:32]
    return f"{name}.safetensors"


def drop_codes(folder: Place, kept: set[str]) -> None:
    """Deletes all codes but those with these names, and what killed writers left. Raises OSError."""
    for path in folder.glob("*"):
        if path.name not in kept and (path.suffix in (".part", ".safetensors")):
            path.unlink(missing_ok=True)


def damaged_codes(folder: Place) -> list[Place]:
    """Codes that cannot be read, or whose checksum is wrong. They are computed anew when they are needed."""
    codes: list[Place] = [*folder.glob("*.safetensors")]
    return [path for path in sorted(codes, key=str) if _read(path, None) is None]


def _state(scene: Scene) -> str:
    """Size and time of the scene's file, by which a change is seen."""
    path, _ = file_and_frame(scene.picture)
    try:
        stat = path.stat()
    except OSError as error:
        raise ImageError(f"{path} cannot be read {refusal(error, 'index the gallery again')}") from None
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _as_kept(name: str, tensor: Tensor) -> Tensor:
    kept = tensor.half() if tensor.is_floating_point() and name not in _EXACT else tensor
    return kept.contiguous().cpu()


_EXACT = ("scale", "regions", "people")
"""Boxes and what multiplies them."""


def _checksum(tensors: dict[str, torch.Tensor], size: str) -> str:
    """Of all that a code consists of: a damaged byte on the disk must not change an answer."""
    total = zlib.crc32(size.encode())
    for name in sorted(tensors):
        values = tensors[name].numpy()
        total = zlib.crc32(f"{name} {values.dtype} {values.shape}".encode(), total)
        total = zlib.crc32(values.data, total)
    return str(total)


def _read(path: Place, state: str | None) -> tuple[dict[str, torch.Tensor], tuple[int, int]] | None:
    """The tensors of a code and its scene's size; None for a damaged file, and for one of another state of the picture,
    where one is given."""
    try:
        with safe_open(str(path), "pt") as file:
            about = file.metadata()
            if state is not None and about["state"] != state:
                return None
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        if about["checksum"] != _checksum(stored, about["size"]):
            return None
        height, width = json.loads(about["size"])
    except BaseException as error:
        if not is_fault(error):
            raise
        return None
    return stored, (height, width)
