"""Re-id networks trained by the command's own function, on annotated and on detected boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from safetensors.torch import load_file

from personsearch import experiment
from personsearch.data.layouts.crops import load_crops
from personsearch.data.records import UNLABELED, Benchmark, Person, Scene
from personsearch.errors import DataError, SettingError, WeightsError
from personsearch.geometry.detections import Detections
from personsearch.models.weights import LoadedModel, load_reid
from personsearch.training.batches.sights import ReidBatches, ReidBatchSettings
from personsearch.training.describe import describe_weights
from personsearch.training.detected_boxes import find_people

TINY = ["network.size=[64, 32]", "batches.patches=4", "optimizer.steps=4", "optimizer.warmup=2"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(autouse=True, scope="module")
def _benchmark(made: Benchmark) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: made)
        yield


def train(out: Path, *more: str, recipe: str = "pcb_rendered", resume: bool = False, **options: object) -> Path:
    return experiment.train(
        recipe, "coco:x", out, settings=[*TINY, *more], backbone="random", resume=resume, workers=0,
        checkpoint_every=2, **options,
    )  # fmt: skip


@pytest.mark.parametrize("recipe", ["reid_rendered", "pcb_rendered"])
def test_a_run_leaves_a_network_that_embeds(recipe: str, tmp_path: Path) -> None:
    out = train(tmp_path / "run", recipe=recipe)
    loaded = load_reid(out)
    picture = Image.effect_noise((160, 120), 60).convert("RGB")
    embedded = loaded.model.embed(picture, torch.tensor([[10.0, 10, 50, 110]]))
    assert embedded.shape == (1, loaded.config["embedding"])
    facts = describe_weights(str(out))
    assert facts["class"] == "ReidNet"
    assert not [name for name in load_file(out / "model.safetensors") if "classifier" in name]


def test_a_stopped_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Batch norm's running means included."""
    train(tmp_path / "run", "optimizer.schedule=drops", "optimizer.steps=2")
    train(tmp_path / "run", "optimizer.schedule=drops", resume=True)
    whole = train(tmp_path / "whole", "optimizer.schedule=drops")
    one, two = (load_file(out / "checkpoint.safetensors") for out in (tmp_path / "run", whole))
    assert any("running_mean" in name for name in two)
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_only_a_re_id_network_takes_a_detector(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="leave the detector out"):
        experiment.train("oim_rendered", "coco:x", tmp_path / "run", detector="binet-rendered")
    with pytest.raises(SettingError, match="leave evaluate_on out"):
        train(tmp_path / "run", evaluate_on="coco:x")
    assert not (tmp_path / "run").exists()


class Detector:
    """Finds the annotated people, a little to the right, and stops after some scenes."""

    def __init__(self, benchmark: Benchmark, stops_after: int = 99) -> None:
        self.boxes = {scene.read().getpixel((0, 0)): scene.persons for scene in benchmark.train}
        self.calls, self.stops_after = 0, stops_after

    def detect(self, image: Image.Image) -> Detections:
        self.calls += 1
        if self.calls > self.stops_after:
            raise KeyboardInterrupt
        boxes = torch.tensor([p.box for p in self.boxes[image.getpixel((0, 0))]]).reshape(-1, 4)
        return Detections(
            boxes + torch.tensor([2.004, 0, 2.004, 0]), torch.ones(len(boxes)), torch.zeros(len(boxes), 1)
        )


def loaded(benchmark: Benchmark, name: str = "one", stops_after: int = 99) -> LoadedModel[Any]:
    return LoadedModel(Detector(benchmark, stops_after), {}, name)  # type: ignore[type-var]


def test_found_people_are_kept_with_the_run(made: Benchmark, tmp_path: Path) -> None:
    cache = tmp_path / "run" / "detected.jsonl"
    with pytest.raises(KeyboardInterrupt):
        find_people(made, loaded(made, stops_after=2), cache)
    head, *lines = cache.read_text().splitlines()
    garbled = ["\x00\x00", '["c", [[1, 2, 3]]]', '["c", [[NaN, 1, 2, 3]]]', '["c", 5]', "[]", "7"]
    cache.write_text("\n".join([head, *garbled, *lines, '["c", [[1.0']))  # the last: killed while it wrote
    rest = loaded(made)
    found = find_people(made, rest, cache)
    assert rest.model.calls == len(made.train) - 2
    for scene in made.train:
        expected = torch.tensor([p.box for p in scene.persons]) + torch.tensor([2, 0, 2, 0])
        torch.testing.assert_close(found[scene.name], expected)
    again = loaded(made)
    assert all(torch.equal(boxes, found[n]) for n, boxes in find_people(made, again, cache).items())
    assert again.model.calls == 0
    with pytest.raises(SettingError, match="another detector or other data"):
        find_people(made, loaded(made, "two"), cache)
    with pytest.raises(SettingError, match="another detector or other data"):
        find_people(replace(made, train=made.train[:3]), loaded(made), cache)
    renamed = (replace(made.train[0], name="other"), *made.train[1:])
    with pytest.raises(SettingError, match="another detector or other data"):
        find_people(replace(made, train=renamed), loaded(made), cache)
    head, *lines = cache.read_text().splitlines()
    before = {key: value for key, value in json.loads(head).items() if key != "annotations"}  # as earlier versions did
    cache.write_text("\n".join([json.dumps(before), *lines]))
    assert all(torch.equal(boxes, found[n]) for n, boxes in find_people(made, again, cache).items())
    assert again.model.calls == 0


def test_a_run_with_a_detector_trains_on_its_boxes_and_says_so(
    made: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "load_weights", lambda name, _device: loaded(made, name))
    seen: list[int] = []
    usual = ReidBatches.__init__
    monkeypatch.setattr(ReidBatches, "__init__", lambda s, *a: (usual(s, *a), seen.append(len(s.sights)))[0])
    out = train(tmp_path / "with", detector="one")
    train(tmp_path / "without")
    assert seen == [8, 4], "four named people, each annotated and found"
    assert load_reid(out).config["training_data"]["detector"] == "one"
    with pytest.raises(SettingError, match=r"begun with detector=one, not None"):
        train(out, resume=True)


def test_people_are_not_looked_for_in_vain(made: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of detection begin when backbone and settings are known to be good."""
    monkeypatch.setattr(experiment, "load_weights", lambda name, _device: loaded(made, name, stops_after=0))
    with pytest.raises(WeightsError):
        experiment.train("pcb_rendered", "coco:x", tmp_path / "run", backbone=tmp_path / "no.pth", detector="one")
    with pytest.raises(SettingError, match="two patches or more to each part"):
        train(tmp_path / "run", "optimizer.accumulate=3", detector="one")
    with pytest.raises(SettingError, match=r"batches\.patches 1: give 2 or more"):
        train(tmp_path / "run", "batches.patches=1")
    assert not (tmp_path / "run").exists()


def test_a_search_network_hands_its_backbone_on(tmp_path: Path) -> None:
    settings = ["network.rois=8", "batches.short_sides=[64]", "optimizer.steps=1"]
    warm = experiment.train(
        "oim_rendered", "coco:x", tmp_path / "warm", settings=settings, backbone="random", workers=0
    )
    out = experiment.train(
        "pcb_rendered", "coco:x", tmp_path / "run", settings=[*TINY, "optimizer.rate=1e-30"], backbone=warm, workers=0
    )
    old, new = load_file(warm / "model.safetensors"), load_file(out / "model.safetensors")
    assert torch.equal(old["stem.layer3.5.conv3.weight"], new["stem.layer3.5.conv3.weight"])
    assert torch.equal(old["head.backbone.layer4.2.conv1.weight"], new["head.layer4.2.conv1.weight"])


class Striped:
    """Each column has its number as its colour."""

    def read(self) -> Image.Image:
        return Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[None, :, None], (50, 1, 3)))


def scene(name: str = "a") -> Scene:
    people = (
        Person((10, 0, 20, 50), 0), Person((50, 0, 60, 50), 1), Person((80, 0, 90, 50)), Person((0, 0, 5, 50), 1, 0.1)
    )  # fmt: skip
    return Scene(name, Striped(), 100, 50, people)


def test_detected_boxes_take_the_identity_of_whom_they_fit() -> None:
    detected = {"a": torch.tensor([[11.0, 0, 20, 50], [45.0, 0, 60, 50], [80.0, 0, 90, 50]])}
    batches = ReidBatches([scene()], detected, ReidBatchSettings(min_visible=0.5), (50, 10), seed=0)
    seen = [(sight.box.tolist(), sight.identity) for sight in batches.sights]
    assert seen == [([10, 0, 20, 50], 0), ([50, 0, 60, 50], 1), ([11, 0, 20, 50], 0)]
    assert UNLABELED not in [identity for _, identity in seen]


def test_patches_are_of_whom_they_say_and_every_sight_comes_once_an_epoch() -> None:
    batches = ReidBatches([scene("a"), scene("b")], {}, ReidBatchSettings(patches=3), (50, 10), seed=1)
    means: dict[int, list[float]] = {0: [], 1: []}
    for step in range(2):  # six sights, three a step
        batch = batches[step]
        again = batches[step]
        assert torch.equal(batch.images, again.images)
        for patch, identity in zip(batch.images, batch.identities, strict=True):
            means[int(identity)].append(float(patch.float().mean()))
    assert sorted(means[0]) == pytest.approx([14.5, 14.5], abs=0.6)
    assert sorted(means[1]) == pytest.approx([2, 2, 54.5, 54.5], abs=0.6)


def test_patches_are_mirrored_by_setting() -> None:
    def brighter_to_the_right(flip: bool) -> set[bool]:
        batches = ReidBatches([scene()], {}, ReidBatchSettings(patches=4, flip=flip), (50, 10), seed=0)
        patches = torch.cat([batches[step].images for step in range(5)]).float()
        return set((patches[..., -1].mean(dim=(1, 2)) > patches[..., 0].mean(dim=(1, 2))).tolist())

    assert brighter_to_the_right(flip=False) == {True}
    assert brighter_to_the_right(flip=True) == {True, False}


def test_one_identity_teaches_nothing() -> None:
    alone = Scene("a", Striped(), 100, 50, (Person((10, 0, 20, 50), 0), Person((50, 0, 60, 50))))
    with pytest.raises(DataError, match=r"fewer than two identities .*: lower batches\.min_visible"):
        ReidBatches([alone], {}, ReidBatchSettings(), (50, 10), seed=0)


def crops(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        Image.new("RGB", (20, 50)).save(folder / name)
    return folder


def test_crops_are_asked_from_camera_to_camera(tmp_path: Path) -> None:
    folder = crops(tmp_path / "c", "0007_00.jpg", "0007_01.jpg", "0007_05.jpg", "0009_06.jpg", "0012_02.jpg")
    benchmark = load_crops(folder)
    assert [(q.scene, q.identity) for q in benchmark.queries] == [("0007_00.jpg", 7), ("0007_01.jpg", 7)]
    assert benchmark.queries[0].gallery == ("0007_05.jpg", "0009_06.jpg")
    assert benchmark.queries[0].box == (0, 0, 20, 50)
    assert benchmark.identities == 3
    assert [scene.persons[0].identity for scene in benchmark.train] == [0, 0, 0, 1, 2]


def test_folders_that_hold_no_crops_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        load_crops(tmp_path / "no")
    with pytest.raises(DataError, match="no pictures"):
        load_crops(crops(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"IDENTITY_K\.jpg"):
        load_crops(crops(tmp_path / "odd", "peter.jpg"))
