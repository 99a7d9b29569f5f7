"""What a proposer says of each scene of a gallery, kept on disk in float16, so that a further query costs less."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from personsearch.data.records import Scene
from personsearch.errors import GalleryError, SettingError
from personsearch.models.correlation import CorrelatedScene
from personsearch.models.igpn import SceneCode
from personsearch.search.rows import file_and_frame

_ABOUT = "codes.json"


class SceneCodes:
    """A folder with one file a scene, of at most `limit` bytes together: what comes after that is computed each time.

    A file is named by the scene's picture as it is now, so a changed picture is read anew.
    """

    def __init__(self, folder: Path, fingerprint: str, limit: int, device: str = "cpu") -> None:
        """Raises GalleryError for a folder with codes of other weights, SettingError for a limit below 0."""
        if limit < 0:
            raise SettingError(f"{limit} bytes of scene codes are impossible: give 0 or more")
        self.folder, self._limit, self._device = folder, limit, device
        about = folder / _ABOUT
        if about.exists():
            try:
                made_by = str(json.loads(about.read_text())["fingerprint"])
            except (ValueError, KeyError, TypeError) as error:
                raise GalleryError(f"{about}: damaged; delete the folder {folder}, it is made anew") from error
            if made_by != fingerprint:
                raise GalleryError(
                    f"{folder}: scene codes made by the weights {made_by}, not by {fingerprint}; "
                    "delete the folder, it is made anew, or give the weights it was made by"
                )
        elif limit:
            folder.mkdir(parents=True, exist_ok=True)
            about.write_text(json.dumps({"fingerprint": fingerprint}) + "\n")
        self._size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) if about.exists() else 0

    def get(self, scene: Scene, compute: Callable[[Scene], SceneCode]) -> SceneCode:
        """The scene's code, from disk if it is there; else computed, and kept while there is room."""
        path = self.folder / f"{_key(scene)}.safetensors"
        if path.exists():
            try:
                return _load(path, self._device)
            except (OSError, SafetensorError, KeyError, ValueError):
                path.unlink(missing_ok=True)  # half a file of a killed process
        code = compute(scene)
        tensors = _tensors(code)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if self._size + size <= self._limit:
            part = path.with_suffix(".part")
            try:
                save_file(tensors, part, metadata={"size": json.dumps(code.size)})
                part.replace(path)
                self._size += size
            except OSError as error:
                part.unlink(missing_ok=True)
                raise GalleryError(f"{self.folder}: cannot be written ({error.strerror}); free some space") from error
        return code


def _key(scene: Scene) -> str:
    path, frame = file_and_frame(scene.picture)
    stat = path.stat()
    said = (str(path.resolve()), stat.st_size, stat.st_mtime_ns, frame)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def _tensors(code: SceneCode) -> dict[str, torch.Tensor]:
    parts = {
        "maps": code.maps,
        "similarity.adjusted": code.similarity.adjusted,
        "similarity.shared": code.similarity.shared,
        "regression.adjusted": code.regression.adjusted,
        "regression.shared": code.regression.shared,
    }
    half = {name: tensor.half().contiguous().cpu() for name, tensor in parts.items()}
    return {**half, "scale": code.scale.float().cpu()}


def _load(path: Path, device: str) -> SceneCode:
    with safe_open(path, "pt", device=device) as file:
        held = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  not a mapping
        height, width = json.loads(file.metadata()["size"])
    similarity = CorrelatedScene(held["similarity.adjusted"], held["similarity.shared"])
    regression = CorrelatedScene(held["regression.adjusted"], held["regression.shared"])
    return SceneCode(held["maps"], similarity, regression, (height, width), held["scale"])
