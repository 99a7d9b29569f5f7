"""COCO-style JSON with `person_id`: the layout that `synthesize` writes and the field exchanges.

    folder/images/...          pictures
    folder/annotations.json    {"info", "images", "categories", "annotations", "queries"}

Each picture belongs to the split "train" or "test" (test when it does not say). "queries" may be missing; they
are then derived from the test pictures, always in the same way.
"""

from __future__ import annotations

import json
import math
import reprlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from personsearch.data.layouts.reading import Tally, check_name, fit_box, is_file, read_text, whole
from personsearch.data.pictures import ImageFile, picture_size
from personsearch.data.queries import derive_queries, resize_gallery, scenes_holding
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError, ImageError, SettingError
from personsearch.files import write_whole

ANNOTATIONS = "annotations.json"
IMAGES = "images"
GALLERY_SIZE = 100
"""Scenes in the gallery of a derived query."""

Key = int | str
"""What the file calls a picture or an annotation."""


@dataclass
class _Entry:
    """One picture of the file and the people annotated in it, by the numbers of their annotations."""

    scene: Scene
    trains: bool
    persons: dict[Key, Person] = field(default_factory=dict)
    left_out: dict[Key, str] = field(default_factory=dict)
    """Why which annotations are not among them."""

    def finished(self) -> Scene:
        return replace(self.scene, persons=tuple(self.persons.values()))


def load_coco(folder: Path, *, gallery_size: int | None = None) -> Benchmark:
    """The benchmark in `folder`. Training identities become 0 ... K-1 in the order of their numbers.

    A derived query is the most visible sight of a test identity that is seen well (half visible, 40 pixels high)
    in two test scenes or more. Its gallery is every other test scene that holds the identity, and other scenes
    drawn by a generator seeded with the identity, up to `gallery_size` (100 when None). Queries written in the
    file keep their galleries, or with `gallery_size` are cut or filled up to it; scenes that hold the identity
    always stay.

    Boxes are cut to their picture; those of less than a pixel, crowds and other categories than "person" are left
    out, and counted in the benchmark's notes. Raises DataError when the file is missing or not as described.
    Pictures are looked for, not opened: that they have the stated size is seen when a scene is read.
    """
    if gallery_size is not None and gallery_size < 1:
        raise SettingError(f"a gallery of {gallery_size} scenes is impossible: give 1 or more")
    path = folder / ANNOTATIONS
    document = _read_json(folder, path)
    entries = _read_images(document, path, folder / IMAGES)
    tally = Tally()
    _read_annotations(document, path, entries, tally)
    train, identities = _contiguous([entry.finished() for entry in entries.values() if entry.trains])
    test = {key: entry.finished() for key, entry in entries.items() if not entry.trains}
    if document.get("queries") is None:
        queries = derive_queries(tuple(test.values()), gallery_size or GALLERY_SIZE)
    else:
        queries = _read_queries(document, path, entries, test, gallery_size)
    return Benchmark(folder.resolve().name, train, identities, tuple(test.values()), queries, tally.lines())


def list_files(folder: Path) -> list[Path]:
    """The annotations and the pictures that they name."""
    path = folder / ANNOTATIONS
    records = _records(_read_json(folder, path), "images", path)
    names = [_file_name(record, f"images[{index}] of {path}") for index, record in enumerate(records)]
    return [path, *(folder / IMAGES / name for name in names)]


def list_scenes(folder: Path) -> list[Scene]:
    """The pictures with their stated sizes, without people. Raises DataError."""
    path = folder / ANNOTATIONS
    return [entry.scene for entry in _read_images(_read_json(folder, path), path, folder / IMAGES).values()]


def _contiguous(scenes: Sequence[Scene]) -> tuple[tuple[Scene, ...], int]:
    """The scenes with identities 0 ... K-1 in the order of the old numbers, and K."""
    old = sorted({person.identity for scene in scenes for person in scene.persons} - {UNLABELED})
    new = {UNLABELED: UNLABELED} | {identity: index for index, identity in enumerate(old)}
    return tuple(
        replace(scene, persons=tuple(replace(p, identity=new[p.identity]) for p in scene.persons)) for scene in scenes
    ), len(old)


# ------------------------------------------------------------------------------------------------- reading


def _read_json(folder: Path, path: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give one with {ANNOTATIONS} and {IMAGES}/")
    if not is_file(path):
        raise DataError(f"{folder} has no {ANNOTATIONS}: give a folder with it and {IMAGES}/")
    content = read_text(path)
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON (line {error.lineno}: {error.msg}): write it again") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists without end
        raise DataError(f"{path} holds an absurd number, or is nested too deep: write it again") from None
    if not isinstance(document, dict):
        raise DataError(f"{path} is not one JSON object: give images, categories and annotations")
    return document


def _records(document: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise DataError(f"{path} has no list of objects '{key}': add it")
    return records


def _value(record: dict[str, Any], key: str, kinds: type | tuple[type, ...], where: str) -> Any:
    if key not in record:
        raise DataError(f"{where} has no '{key}': add it")
    if not isinstance(record[key], kinds) or isinstance(record[key], bool):
        raise _impossible(record, key, where)
    return record[key]


def _whole(record: dict[str, Any], key: str, where: str) -> int:
    """A whole number; some programs write it as 7.0."""
    number = whole(_value(record, key, (int, float), where))
    if number is None:
        raise _impossible(record, key, where)
    return number


def _is_key(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _real(record: dict[str, Any], key: str, where: str) -> float:
    """A finite number."""
    number = _value(record, key, (int, float), where)
    if not _is_finite(number):
        raise _impossible(record, key, where)
    return float(number)


def _key(record: dict[str, Any], key: str, where: str) -> Key:
    found: Key = _value(record, key, (int, str), where)
    return found


def _file_name(record: dict[str, Any], where: str) -> str:
    name: str = _value(record, "file_name", str, where)
    check_name(name, where)
    return name


def _impossible(record: dict[str, Any], key: str, where: str) -> DataError:
    return DataError(f"{where} has an impossible '{key}', {_short(record[key])}: repair it")


def _short(value: object) -> str:
    """A value of the file for a message: one line, not too long."""
    return reprlib.repr(value)


def _is_finite(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _read_images(document: dict[str, Any], path: Path, folder: Path) -> dict[Key, _Entry]:
    entries: dict[Key, _Entry] = {}
    names = set()
    records = _records(document, "images", path)
    if not records:
        raise DataError(f"{path} lists no images: there is nothing to train on or to search")
    for index, record in enumerate(records):
        where = f"images[{index}] of {path}"
        key = _key(record, "id", where)
        scene = _read_scene(record, folder, where)
        split = record.get("split", "test")
        if split not in ("train", "test"):
            raise DataError(f"{where} has the split {_short(split)}: give train or test")
        if key in entries:
            raise DataError(f"{where} has the id {_short(key)} of another image: give each its own")
        if scene.name in names:
            raise DataError(f"{where} names the file {scene.name!r} of another image: list each picture once")
        names.add(scene.name)
        entries[key] = _Entry(scene, trains=split == "train")
    _check_files((entry.scene for entry in entries.values()), folder)
    return entries


def _read_scene(record: dict[str, Any], folder: Path, where: str) -> Scene:
    name = _file_name(record, where)
    width, height = (_whole(record, key, where) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise DataError(f"{where} is {width}x{height} pixels: repair its width and height")
    camera = None if record.get("camera") is None else _whole(record, "camera", where)
    time = None if record.get("time") is None else _real(record, "time", where)
    return Scene(name, ImageFile(folder / name), width, height, camera=camera, time=time)


def _check_files(scenes: Iterable[Scene], folder: Path) -> None:
    """One look at each file now, before an hour of training is lost to a missing one."""
    missing = [scene.name for scene in scenes if not is_file(folder / scene.name)]
    if missing:
        foreign = ", or write / for the \\ in their names" if "\\" in missing[0] else ""
        raise DataError(
            f"{folder} lacks {len(missing)} of its pictures, first {missing[0]!r}: copy them again{foreign}"
        )


def _read_annotations(document: dict[str, Any], path: Path, entries: dict[Key, _Entry], tally: Tally) -> None:
    """Puts the people into their entries, and what is left out into `tally`."""
    categories = _person_categories(document, path)
    records = _records(document, "annotations", path)
    keys = set()
    for index, record in enumerate(records):
        where = f"annotations[{index}] of {path}"
        key = _key(record, "id", where)
        if key in keys:
            raise DataError(f"{where} has the id {_short(key)} of another annotation: give each its own")
        keys.add(key)
        entry = entries.get(_key(record, "image_id", where))
        if entry is None:
            image = _short(record["image_id"])
            raise DataError(f"{where} is of image {image}, which is not listed: add or remove it")
        if record.get("category_id", categories[0]) not in categories:
            tally["annotations are of other categories than person: left out"] += 1
            entry.left_out[key] = "is of another category than person"
        elif record.get("iscrowd", 0):
            tally["annotations are crowds: left out"] += 1
            entry.left_out[key] = "is a crowd"
        else:
            _put_person(record, key, entry, where, tally)
    if records and all(record.get("person_id") is None for record in records):
        tally["annotations, all there are, lack a person_id: there is nobody to ask for"] = len(records)


def _person_categories(document: dict[str, Any], path: Path) -> list[Any]:
    """The numbers of the category "person"; without any categories, 1."""
    if "categories" not in document:
        return [1]
    categories = _records(document, "categories", path)
    found = [c.get("id") for c in categories if str(c.get("name")).strip().lower() == "person"]
    if not found:
        raise DataError(f"{path} has no category named person: add it")
    return found


def _put_person(record: dict[str, Any], key: Key, entry: _Entry, where: str, tally: Tally) -> None:
    bbox = _value(record, "bbox", list, where)
    if len(bbox) != 4 or not all(map(_is_finite, bbox)):
        raise DataError(f"{where} has the bbox {_short(bbox)}: give four finite numbers, x y width height")
    left, top, width, height = map(float, bbox)
    identity = UNLABELED if record.get("person_id") is None else _whole(record, "person_id", where)
    if identity < UNLABELED:
        raise DataError(f"{where} has the person_id {identity}: give 0 or more, or -1 for a person without one")
    visible = 1.0 if record.get("visible") is None else _real(record, "visible", where)
    if not 0 <= visible <= 1:
        raise DataError(f"{where} is visible to {visible:g}: give a fraction between 0 and 1")
    box = fit_box((left, top, left + width, top + height), entry.scene.width, entry.scene.height, tally)
    if box is None:
        entry.left_out[key] = f"has less than a pixel in its picture, {entry.scene.name}"
        return
    entry.persons[key] = Person(box, identity, visible)


def _read_queries(
    document: dict[str, Any],
    path: Path,
    entries: dict[Key, _Entry],
    test: dict[Key, Scene],
    gallery_size: int | None,
) -> tuple[Query, ...]:
    scenes = tuple(test.values())
    holding = scenes_holding(scenes)
    owner = {key: image for image in test for key in entries[image].persons}
    queries = []
    for index, record in enumerate(_records(document, "queries", path)):
        where = f"queries[{index}] of {path}"
        key = _key(record, "annotation_id", where)
        if key not in owner:
            raise DataError(f"{where} asks for annotation {_short(key)}, which {_why_not(key, entries)}: repair it")
        person = entries[owner[key]].persons[key]
        unknown = [image for image in _value(record, "gallery", list, where) if not _is_key(image) or image not in test]
        if unknown:
            raise DataError(f"{where} searches in {_short(unknown[0])}, which is not the id of a test image: repair it")
        gallery = tuple(test[image].name for image in record["gallery"])
        query = Query(test[owner[key]].name, person.box, person.identity, gallery)
        holders = holding[person.identity]
        if not holders & set(gallery):
            raise DataError(f"{where} is of a person whom no picture of its gallery holds: remove it")
        if gallery_size is not None:
            query = replace(query, gallery=resize_gallery(query, scenes, holders, gallery_size))
        queries.append(query)
    return tuple(queries)


def _why_not(key: Key, entries: dict[Key, _Entry]) -> str:
    """Why nobody can ask for an annotation; of one outside its picture, that the picture may be another one."""
    for entry in entries.values():
        if key in entry.persons:
            return f"is in {entry.scene.name}, a picture to train on"
        if key in entry.left_out:
            return entry.left_out[key] + _and_of_other_size(entry.scene)
    return "is not there"


def _and_of_other_size(scene: Scene) -> str:
    assert isinstance(scene.picture, ImageFile)
    try:
        seen = picture_size(scene.picture.path)
    except ImageError:
        return ""
    stated = scene.width, scene.height
    return "" if seen == stated else f" (which is {seen[0]}x{seen[1]} pixels, not {stated[0]}x{stated[1]})"


# ------------------------------------------------------------------------------------------------- writing


def save_coco(benchmark: Benchmark, folder: Path, *, force: bool = False) -> None:
    """Writes a benchmark that `load_coco` reads back, its pictures and its queries included.

    Pictures already in `folder/images` stay; other files are copied as they are, and frames of videos become
    JPEG. A scene is then named by its file. Raises DataError when the folder holds annotations already and not
    `force`, when two scenes would share a file, and when a query's box is nobody's.
    """
    path = folder / ANNOTATIONS
    if path.exists() and not force:
        raise DataError(f"{path} exists already: give another folder, or force to replace it")
    files = [_save_picture(scene, folder / IMAGES) for scene in (*benchmark.train, *benchmark.test)]
    if len(set(files)) < len(files):
        raise DataError(f"{benchmark.name} has two scenes of one name: rename one")
    write_whole(path, json.dumps(_document(benchmark, files)))


def _save_picture(scene: Scene, folder: Path) -> str:
    """Puts the picture below `folder`, if it is not there yet; its name there."""
    check_name(scene.name, f"a scene of {folder.parent}")
    picture = scene.picture
    if isinstance(picture, ImageFile) and picture.path.is_relative_to(folder):
        return picture.path.relative_to(folder).as_posix()
    suffix = picture.path.suffix if isinstance(picture, ImageFile) else ".jpg"
    name = scene.name if scene.name.endswith(suffix) else scene.name + suffix
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, ImageFile):
        if not (is_file(target) and target.samefile(picture.path)):  # the same folder by another path
            shutil.copyfile(picture.path, target)
    else:
        picture.read().save(target, quality=95)
    return name


def _document(benchmark: Benchmark, files: Sequence[str]) -> dict[str, Any]:
    scenes = (*benchmark.train, *benchmark.test)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers: dict[tuple[str, int, Any], int] = {}  # scene, identity, box -> annotation
    image_ids = {scene.name: number for number, scene in enumerate(scenes, start=1)}
    for index, (scene, file) in enumerate(zip(scenes, files, strict=True)):
        split = "train" if index < len(benchmark.train) else "test"
        images.append(_image_record(scene, index + 1, file, split))
        for person in scene.persons:
            annotations.append(_person_record(person, len(annotations) + 1, index + 1))
            numbers[scene.name, person.identity, person.box] = len(annotations)
    queries = []
    for query in benchmark.queries:
        number = numbers.get((query.scene, query.identity, query.box))
        if number is None:
            raise DataError(
                f"the query for {query.identity} in {query.scene} is of no annotated person: give it the box of one"
            )
        queries.append({"annotation_id": number, "gallery": [image_ids[name] for name in query.gallery]})
    return {
        "info": {"description": benchmark.name},
        "images": images,
        "categories": [{"id": 1, "name": "person"}],
        "annotations": annotations,
        "queries": queries,
    }


def _image_record(scene: Scene, number: int, file: str, split: str) -> dict[str, Any]:
    record = {"id": number, "file_name": file, "width": scene.width, "height": scene.height, "split": split}
    optional = {"camera": scene.camera, "time": scene.time}
    return record | {key: value for key, value in optional.items() if value is not None}


def _person_record(person: Person, number: int, image: int) -> dict[str, Any]:
    x1, y1, x2, y2 = person.box
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
        "person_id": person.identity,
        "visible": person.visible,
        "segmentation": [],
    }
