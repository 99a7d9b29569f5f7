"""Renders a benchmark into a folder: pictures, boxes, identities, cameras. Parallel, resumable, the same on every run.

OUT/settings.json        what the folder is made from; another run must agree
OUT/images/000000.jpg    one picture a scene
OUT/shards/000000.json   its annotations, until all scenes are there
OUT/annotations.json     all of them, COCO style with person_id
"""

from __future__ import annotations

import dataclasses
import errno
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personsearch.errors import DataError, PersonSearchError, SettingError
from personsearch.files import alone_in, check_folder, written_whole

if TYPE_CHECKING:
    from personsearch.synthesis.scenes import Settings

Closet = tuple[Path, bool]
"""The folder of a wardrobe, and whether what cannot be used of it is left out."""

_OF_IMAGE = {"width", "height", "camera", "place", "split"}
_OF_PERSON = {"bbox", "area", "person_id", "visible"}
_END_OF_JPEG = b"\xff\xd9"
WORKER_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def synthesize(
    out: Path,
    *,
    identities: int,
    scenes: int,
    seed: int = 0,
    test_identities: int | None = None,
    test_scenes: int | None = None,
    width: int = 1000,
    height: int = 600,
    home: float = 0.0,
    workers: int | None = None,
    wardrobe: Path | None = None,
    lenient: bool = False,
    device: str = "cpu",
) -> Path:
    """Renders `scenes` pictures of `identities` people into the folder `out` and returns its annotation file.

    `identities` and `scenes` count train and test together; of both, one in five is test by default: the last
    `test_identities` people appear only in the last `test_scenes` pictures, at places of their own. Each identity of
    a split appears equally often, at any place; with `home`, this part of the named people of a training picture are
    there because it is their home, so that the background hints at identities in training and not in test.

    A picture depends on the settings and its index alone, so a stopped run continues where it was, with any number
    of `workers` (processes; all cores by default). Progress goes to stderr.

    `wardrobe` is a folder of MakeHuman's garments, hair, shoes and skins, searched with its subfolders, which people
    then wear; `lenient` leaves out what of it cannot be used, and says so. `device` casts the rays: cpu, or cuda.

    Raises SettingError for impossible numbers, a wardrobe without garments, or when the folder holds scenes of other
    settings, DataError for a damaged file of an earlier run or of the wardrobe, OSError where it cannot write.
    """
    quiet()
    device = _present(device)
    settings = checked(identities, scenes, seed, test_identities, test_scenes, width, height, home)
    closet = None if wardrobe is None else (Path(wardrobe), lenient)
    settings = dressed_from(closet, settings)
    out = Path(out)
    check_folder(out)
    refuse_other(out, settings.as_dict())
    with alone_in(out):
        finished = finish(out, settings, workers or os.cpu_count() or 1, closet, device)
    report(finished)
    return finished


def finish(out: Path, settings: Settings, workers: int, closet: Closet | None, device: str) -> Path:
    """Renders what is missing in a folder, where nobody else works, and returns its annotation file."""
    claim(out, settings.as_dict())
    missing = [i for i in range(settings.scenes) if not done(out, i)]
    if missing:
        scenes = render_all(out, settings, missing, min(workers, len(missing)), closet, device)
        track(scenes, len(missing), settings.scenes)
    finished = out / "annotations.json"
    if not finished.exists():
        write_atomic(finished, merged(out, settings))
    shutil.rmtree(out / "shards")
    return finished


def _present(device: str) -> str:
    """The device, if it is here. Raises SettingError."""
    from personsearch.runtime import checked_device  # loads torch

    return checked_device(device)


def checked(
    identities: int,
    scenes: int,
    seed: int,
    test_identities: int | None,
    test_scenes: int | None,
    width: int,
    height: int,
    home: float = 0.0,
) -> Settings:
    """The settings with their defaults filled in. Raises SettingError."""
    held_out = max(1, identities // 5) if test_identities is None else test_identities
    held_scenes = max(1, scenes // 5) if test_scenes is None else test_scenes
    for name, value, low, high in (
        ("identities", identities, 2, 10**6),
        ("scenes", scenes, 1, 10**6),
        ("seed", seed, 0, 2**31),
        ("test_identities", held_out, 0, identities),
        ("test_scenes", held_scenes, 0, scenes),
        ("width", width, 96, 4096),
        ("height", height, 64, 4096),
        ("home", home, 0, 1),
    ):
        if not low <= value <= high:
            raise SettingError(f"{_option(name)} is {value}: give a number from {low} to {high}")
    if held_scenes < scenes and held_out >= identities:
        raise SettingError(
            f"--test-identities is {held_out} of {identities}: leave some people to train on, or give "
            f"--test-scenes {scenes}"
        )
    if held_scenes and not held_out:
        raise SettingError(
            f"--test-scenes is {held_scenes}, and nobody is left to test: give --test-scenes 0, or --test-identities"
        )
    from personsearch.synthesis.scenes import Settings

    return Settings(identities, scenes, seed, held_out, held_scenes, width, height, home)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def dressed_from(closet: Closet | None, settings: Settings) -> Settings:
    """The settings with the mark of the wardrobe, which this loads. Raises SettingError and DataError."""
    if closet is None:
        return settings
    from personsearch.synthesis.wardrobe import load_wardrobe

    return dataclasses.replace(settings, wardrobe=load_wardrobe(*closet).fingerprint)


def write_atomic(path: Path, content: bytes) -> None:
    """The file appears whole or not at all. Raises OSError, which names it."""
    with written_whole(path) as part:
        part.write_bytes(content)


def claim(out: Path, settings: dict[str, float | str]) -> None:
    """Marks the folder with its settings, or checks that they are the same. Raises SettingError.

    No other process may work there: what one left half written is removed.
    """
    refuse_other(out, settings)
    mark = out / "settings.json"
    if not mark.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(mark, json.dumps(settings, indent=1).encode())
    for folder in (out / "images", out / "shards"):
        folder.mkdir(exist_ok=True)
        for part in folder.glob(".*.part"):
            part.unlink()


def refuse_other(out: Path, settings: dict[str, float | str]) -> None:
    """Raises SettingError for a folder of other settings, or of something else; DataError. Writes nothing."""
    mark = out / "settings.json"
    if mark.exists():
        unsaid: dict[str, Any] = {"home": 0.0, "wardrobe": ""}  # older folders lack "home"
        stored = unsaid | read_object(mark, f"delete the folder {out}")
        asked = unsaid | settings
        differ = [k for k in sorted({*stored, *asked}) if stored.get(k) != asked.get(k)]
        if differ:
            name = differ[0]
            raise SettingError(
                f"{out}: holds scenes made with {name}={told(stored.get(name))}, not {told(asked.get(name))}: "
                "give another folder or delete it"
            )
    elif out.exists() and any(not found.match(".*.part") for found in out.iterdir()):
        raise SettingError(f"{out}: is not empty and holds no rendered scenes: give another folder")


def told(value: Any) -> Any:
    """A setting as a message says it."""
    return "none" if value == "" else value


def picture_path(out: Path, index: int) -> Path:
    return out / "images" / f"{index:06d}.jpg"


def shard_path(out: Path, index: int) -> Path:
    return out / "shards" / f"{index:06d}.json"


def done(out: Path, index: int) -> bool:
    """Whether this scene's picture and annotations are there; a finished folder has one file for all annotations."""
    told = read_shard(out, index) is not None or (out / "annotations.json").exists()
    return told and _is_whole(picture_path(out, index))


def _is_whole(picture: Path) -> bool:
    """Whether a JPEG is there up to its last mark. What is garbled in between `data check` finds."""
    try:
        with picture.open("rb") as file:
            file.seek(-len(_END_OF_JPEG), os.SEEK_END)
            return file.read() == _END_OF_JPEG
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno == errno.EINVAL:  # shorter than its last mark
            return False
        raise


def read_shard(out: Path, index: int) -> dict[str, Any] | None:
    """A scene's annotations, None when they are missing or damaged."""
    try:
        shard = json.loads(shard_path(out, index).read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    if not (isinstance(shard, dict) and isinstance(shard.get("image"), dict) and isinstance(shard.get("people"), list)):
        return None
    whole = shard["image"].keys() >= _OF_IMAGE and all(
        isinstance(person, dict) and person.keys() >= _OF_PERSON for person in shard["people"]
    )
    return shard if whole else None


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON object of an earlier run. Raises DataError, which says what to do."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({' '.join(str(error).split())[:100]}); {remedy}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged (no object); {remedy}")
    return value


def render_one(out: Path, settings: Settings, index: int, closet: Closet | None = None, device: str = "cpu") -> int:
    """Renders one scene and writes its picture, then its annotations."""
    from personsearch.synthesis.scenes import render_scene
    from personsearch.synthesis.wardrobe import load_wardrobe

    wardrobe = load_wardrobe(*closet) if closet else None  # kept by each process after the first time
    scene = render_scene(settings, index, device, wardrobe)
    write_atomic(picture_path(out, index), scene.jpeg)
    image: dict[str, Any] = {"width": settings.width, "height": settings.height}
    image |= {"camera": scene.camera, "place": scene.place, "split": scene.split}
    people = [
        {"bbox": list(a.bbox), "area": a.area, "person_id": a.person_id, "visible": a.visible}
        for a in scene.annotations
    ]
    write_atomic(shard_path(out, index), json.dumps({"image": image, "people": people}).encode())
    return index


def prepare_worker() -> None:
    """One thread a process, no messages of the libraries, and Ctrl-C left to the first process."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    quiet()


def quiet() -> None:
    """Starts warp without its messages, of which the one about a missing GPU comes from native code."""
    try:
        import warp
    except ImportError as error:
        raise PersonSearchError(f"{error.name} is missing: pip install 'personsearch[synthesis]'") from error
    warp.config.log_level = warp.LOG_ERROR
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
        try:
            warp.init()
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def render_task(task: tuple[Path, Settings, int, Closet | None, str]) -> int:
    return render_one(*task)


def render_all(
    out: Path,
    settings: Settings,
    missing: list[int],
    workers: int,
    closet: Closet | None = None,
    device: str = "cpu",
) -> Iterator[int]:
    """Renders the missing scenes, here or in `workers` processes; yields each index as it is written."""
    if not missing:
        return
    first, rest = missing[0], missing[1:]
    yield render_one(
        out, settings, first, closet, device
    )  # builds the caches and compiles the kernels once, before there are processes
    tasks = [(out, settings, index, closet, device) for index in rest]
    if workers == 1 or not tasks:
        yield from map(render_task, tasks)
        return
    before = {name: os.environ.get(name) for name in WORKER_THREADS}
    os.environ.update(dict.fromkeys(WORKER_THREADS, "1"))
    try:
        with ignoring_stops():
            pool = multiprocessing.get_context("spawn").Pool(min(workers, len(tasks)), prepare_worker)
        with pool as processes:
            yield from processes.imap_unordered(render_task, tasks, chunksize=1)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def ignoring_stops() -> Iterator[None]:
    """Processes started inside the block ignore Ctrl-C from the first moment; this one ignores it during the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def track(finished: Iterator[int], missing: int, scenes: int) -> None:
    """Shows progress on stderr while the scenes are rendered."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("rendering scenes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=scenes, completed=scenes - missing)
        for _ in finished:
            progress.advance(task)


def merged(out: Path, settings: Settings) -> bytes:
    """The content of annotations.json: all shards in the order of the scenes."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(settings.scenes):
        shard = read_shard(out, index)
        if shard is None:
            raise DataError(f"{shard_path(out, index)}: damaged; the same command makes it again")
        images.append({"id": index, "file_name": picture_path(out, index).name, **shard["image"]})
        for person in shard["people"]:
            entry = {"id": len(annotations), "image_id": index, "category_id": 1, "iscrowd": 0, "segmentation": []}
            annotations.append(entry | person)
    info = {"description": "people rendered by personsearch synthesize", "settings": settings.as_dict()}
    document = {"info": info, "images": images, "categories": [{"id": 1, "name": "person"}], "annotations": annotations}
    return json.dumps(document).encode()


def report(annotation_file: Path) -> None:
    """One line on stderr: what the folder holds."""
    counts = summarize(annotation_file)
    words = "{scenes} scenes of {places} places, {people} people, {named} of them named ({identities} identities)"
    print(f"{annotation_file.parent}: {words.format(**counts)}", file=sys.stderr)


def summarize(annotation_file: Path) -> dict[str, float]:
    """Counts of a finished folder: scenes, people, named people, identities, places, cameras, median box height
    (pixels). Raises DataError for a damaged file."""
    remedy = "delete it, and the same command makes it again"
    document = read_object(annotation_file, remedy)
    try:
        return _counts(document)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f"{annotation_file}: damaged ({type(error).__name__}: {error}); {remedy}") from None


def _counts(document: dict[str, Any]) -> dict[str, float]:
    people = document["annotations"]
    named = [p["person_id"] for p in people if p["person_id"] >= 0]
    heights = sorted(p["bbox"][3] for p in people)
    return {
        "scenes": len(document["images"]),
        "people": len(people),
        "named": len(named),
        "identities": len(set(named)),
        "places": len({image["place"] for image in document["images"]}),
        "cameras": len({image["camera"] for image in document["images"]}),
        "median_height": heights[len(heights) // 2] if heights else 0,
    }
