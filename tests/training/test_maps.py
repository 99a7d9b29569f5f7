"""Training on kept maps: they are what the network would say, and bound to what they are of; runs are exact."""

from __future__ import annotations

import copy
import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torchvision.ops import box_iou

from personsearch import experiment
from personsearch.data.patches import crop_patches
from personsearch.data.records import Benchmark
from personsearch.data.transforms import resize
from personsearch.errors import DataError, SettingError
from personsearch.losses.criteria import BINetCriterion, LossSettings, OIMCriterion, no_detection
from personsearch.losses.oim import OIMMemory, OIMSettings
from personsearch.models.binet import BINet, BINetOutput, original_patches
from personsearch.models.on_maps import MAPS, BINetOnMaps, SearchOnMaps, original_maps, resized_maps, scene_maps
from personsearch.models.search_network import SearchNetwork, Targets
from personsearch.models.weights import save_weights
from personsearch.runtime import exact_arithmetic
from personsearch.training.batches.codes import Keeping
from personsearch.training.batches.kept_maps import MapFile
from personsearch.training.batches.maps import MapBatch, MapBatches, ViewSettings, view_boxes
from personsearch.training.logs import StepLog

TINY = ["optimizer.steps=4", "optimizer.warmup=2", "optimizer.drops=[3]", "views.scenes=2", "views.views=2"]
SMALLER = "network.test_size.short=64"
PLAIN = ViewSettings(scenes=2, views=3, unlabeled=True, jitter=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Pictures of noise, so that maps differ."""
    benchmark = make_benchmark(tmp_path_factory.mktemp("data") / "pictures")
    for scene in (*benchmark.train, *benchmark.test):
        Image.effect_noise((scene.width, scene.height), 80).convert("RGB").save(scene.picture.path)  # type: ignore[attr-defined]
    return benchmark


@pytest.fixture(autouse=True)
def _loaded(made: Benchmark, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(experiment, "load_benchmark", lambda _spec: made)
    monkeypatch.setattr(StepLog, "EVERY", 2)
    with exact_arithmetic():
        yield


@pytest.fixture(scope="module")
def warm(_network: SearchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warm")
    save_weights(folder, _network, {})
    return folder


def batches(
    made: Benchmark, network: SearchNetwork, folder: Path, settings: ViewSettings = PLAIN, limit: int = 10**9
) -> MapBatches:
    return MapBatches(made.train, settings, 0, network, tuple(MAPS), Keeping(folder, limit))


def train(out: Path, warm: Path, *more: str, recipe: str = "binet_identity", **options: object) -> Path:
    given = {"settings": [*TINY, SMALLER, *more], "backbone": str(warm), "checkpoint_every": 2, **options}
    return experiment.train(recipe, "coco:x", out, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(made: Benchmark, warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; tests only read it."""
    with pytest.MonkeyPatch.context() as patch, exact_arithmetic():
        patch.setattr(experiment, "load_benchmark", lambda _spec: made)
        patch.setattr(StepLog, "EVERY", 2)
        return train(tmp_path_factory.mktemp("runs") / "whole", warm)


def same(one: Path, other: Path) -> bool:
    first, second = (load_file(out / "checkpoint.safetensors") for out in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------------------------ what is kept


def test_boxes_of_views_stay_positive_regions_in_the_picture(made: Benchmark) -> None:
    for place, scene in enumerate(made.train):
        boxes = view_boxes(scene, place, replace(PLAIN, views=50, jitter=0.12))
        for person, views in zip(scene.persons, boxes, strict=True):
            assert box_iou(torch.tensor([person.box]), views).min() > 0.55
            assert len(views.unique(dim=0)) == 50
        assert boxes[..., :2].min() >= 0
        assert (boxes[..., 2:] <= torch.tensor([scene.width, scene.height])).all()
    still = view_boxes(made.train[0], 0, replace(PLAIN, jitter=0.0))
    assert still[:, 2].tolist() == [list(person.box) for person in made.train[0].persons]
    assert not torch.equal(view_boxes(made.train[0], 0, PLAIN), view_boxes(made.train[0], 1, PLAIN))


@torch.no_grad()
def test_kept_maps_are_what_the_network_says(made: Benchmark, small_network: SearchNetwork, tmp_path: Path) -> None:
    kept = batches(made, small_network, tmp_path)
    kept.keep_all()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"train-{kind}.{suffix}" for kind in MAPS for suffix in ("npy", "json")
    )
    row = 0
    for place, scene in enumerate(made.train):
        image, scale = resize(scene.read(), small_network.test_size)
        mirrored = torch.from_numpy(np.ascontiguousarray(image.numpy()[:, :, ::-1]))
        for views in view_boxes(scene, place, PLAIN) * scale:
            for number, (x1, y1, x2, y2) in enumerate(views.tolist()):
                width = image.shape[2]
                picture = mirrored if number % 2 else image
                box = torch.tensor([[width - x2, y1, width - x1, y2] if number % 2 else [x1, y1, x2, y2]])
                patch = small_network.stem(crop_patches(picture, box))
                for kind, oracle in (
                    ("scene", small_network.pool(small_network.stem(picture[None]), [box])),
                    ("resized", patch),
                    ("original", original_maps(small_network, picture, box)),
                ):
                    found = kept._open[kind][[row]]
                    torch.testing.assert_close(found, oracle.float(), rtol=2e-3, atol=1e-4)
                row += 1
    assert row == len(kept._open["scene"])


def test_a_step_sees_one_view_of_everybody_in_its_scenes(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path
) -> None:
    kept = batches(made, small_network, tmp_path)
    sights = [(place, index) for place, scene in enumerate(made.train) for index in range(len(scene.persons))]
    every = {place: view_boxes(scene, place, PLAIN) for place, scene in enumerate(made.train)}
    seen: set[tuple[int, int, int]] = set()
    for step in range(60):
        batch = kept[step]
        assert len(batch.images) == len(batch.boxes) == len(batch.identities) == len(batch.seeds)
        for position, (box, identity) in enumerate(zip(batch.boxes, batch.identities, strict=True)):
            (found,) = [
                (number, view)
                for number, (place, index) in enumerate(sights)
                for view in range(PLAIN.views)
                if torch.equal(every[place][index, view], box[0])
            ]
            number, view = found
            place, index = sights[number]
            assert made.train[place].persons[index].identity == identity.item()
            for maps, kind in zip(batch.inputs(), MAPS, strict=True):
                assert torch.equal(maps[position], kept._open[kind][[number * PLAIN.views + view]][0])
            seen.add((place, index, view))
        again = batches(made, small_network, tmp_path)[step]
        assert torch.equal(again.images, batch.images)
    assert len(seen) == len(sights) * PLAIN.views
    parts = kept[0].parts(2)
    assert torch.equal(torch.cat([part.inputs()[1] for part in parts]), kept[0].inputs()[1])


# --------------------------------------------------------------------------------------- the loss and its gradients


def whole_and_kept(
    network: SearchNetwork,
    encoder: Callable[..., object] | None,
    maps: Callable[[SearchNetwork, Tensor, Tensor], Tensor],
) -> tuple[BINetOutput, BINetOutput, SearchNetwork, SearchNetwork]:
    """What the whole network says in a step, and what it says of maps of the same regions; a network for each."""
    other = copy.deepcopy(network)
    images = torch.randint(0, 256, (2, 3, 64, 128), generator=torch.Generator().manual_seed(3)).to(torch.uint8)
    people = torch.tensor([[8.0, 4, 30, 60], [70, 6, 100, 62]])
    targets = [
        Targets(people, torch.tensor([0, -1]), torch.Generator().manual_seed(1)),
        Targets(people + 4, torch.tensor([2, 1]), torch.Generator().manual_seed(2)),
    ]
    model = BINet(network) if encoder is None else BINet(network, encoder)  # type: ignore[arg-type]
    said = model(images, targets)
    boxes = said.scene.regions.positive_boxes()  # type: ignore[union-attr]
    with torch.no_grad():
        scenes = torch.cat([scene_maps(other, image, own) for image, own in zip(images, boxes, strict=True)])
        patches = torch.cat([maps(other, image, own) for image, own in zip(images, boxes, strict=True)])
    who = [Targets(torch.zeros(1, 4), identity[None]) for identity in said.scene.identities]
    return said, BINetOnMaps(other)(scenes, patches, who), network, other


@pytest.mark.parametrize(("encoder", "maps"), [(None, resized_maps), (original_patches, original_maps)])
def test_a_step_on_maps_is_the_whole_networks_without_detection(
    small_network: SearchNetwork, encoder: Callable[..., object] | None, maps: Callable[..., Tensor]
) -> None:
    small_network.stem.requires_grad_(False)
    said, kept, network, other = whole_and_kept(small_network, encoder, maps)
    memories = [OIMMemory(3, 256, OIMSettings(queue=4)) for _ in range(2)]
    torch.nn.init.normal_(memories[0].lookup_table)
    memories[1].lookup_table.copy_(memories[0].lookup_table)
    whole, rung = BINetCriterion(memories[0], LossSettings()), BINetCriterion(memories[1], LossSettings(), no_detection)
    losses, ours = whole(said), rung(kept)
    assert ours.keys() == losses.keys() - {"rpn_score", "rpn_box", "roi_score", "roi_box"}
    for name, loss in ours.items():
        torch.testing.assert_close(loss, losses[name], rtol=1e-4, atol=1e-6)
        assert loss > 0
    torch.stack([losses[name] for name in ours]).sum().backward()  # type: ignore[no-untyped-call]
    torch.stack(list(ours.values())).sum().backward()  # type: ignore[no-untyped-call]
    for (name, one), two in zip(network.head.named_parameters(), other.head.parameters(), strict=True):
        if name.startswith(("backbone", "embedding")):
            assert one.grad is not None
            assert two.grad is not None
            torch.testing.assert_close(two.grad, one.grad, rtol=1e-2, atol=1e-5 * float(one.grad.abs().max()) + 1e-8)
    whole.remember([said])
    rung.remember([kept])
    torch.testing.assert_close(memories[1].lookup_table, memories[0].lookup_table, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(memories[1].queue, memories[0].queue, rtol=1e-4, atol=1e-5)


def test_the_baseline_on_maps_sees_the_search_branch_alone(small_network: SearchNetwork) -> None:
    _, kept, _, other = whole_and_kept(small_network, None, resized_maps)
    memory = OIMMemory(3, 256, OIMSettings(queue=4))
    memory.lookup_table.fill_(1)
    criterion = OIMCriterion(memory, LossSettings(), no_detection)
    assert list(criterion(kept.scene)) == ["oim_search"]
    assert isinstance(SearchOnMaps(other).paces(), dict)


# ------------------------------------------------------------------------------------------------------------ runs


def test_a_stopped_run_resumes_bit_for_bit(finished: Path, warm: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", warm, "optimizer.steps=2", codes=finished / "codes")
    assert not same(run, finished)
    assert same(train(run, warm, codes=finished / "codes", resume=True), finished)


def test_conv5_and_embedding_learn_and_nothing_else(finished: Path, warm: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (warm, finished))
    changed = {name.split(".")[1] for name in after if not torch.equal(before[name], after[name])}
    assert {name for name in changed if name not in ("score", "delta", "conv", "deltas")} == {"backbone", "embedding"}
    assert all(torch.equal(before[name], after[name]) for name in after if name.startswith("stem."))
    assert not (finished / "projections.safetensors").exists()


def test_runs_share_maps_and_each_checkpoint_is_judged(finished: Path, warm: Path, tmp_path: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in (finished / "codes").iterdir()}
    judged: list[int] = []
    for recipe in ("oim_identity", "binet0_identity"):
        train(
            tmp_path / recipe, warm, recipe=recipe, codes=finished / "codes", judge=lambda step, _: judged.append(step)
        )
    assert judged == [2, 4, 2, 4]
    assert times == {path: path.stat().st_mtime_ns for path in (finished / "codes").iterdir()}
    lines = [json.loads(line) for line in (tmp_path / "oim_identity" / "log.jsonl").read_text().splitlines()]
    assert all({"oim_search"} == line.keys() - {"step", "rate", "seconds"} for line in lines)


# ------------------------------------------------------------------------------------------------ what is refused


def test_maps_of_something_else_are_refused(finished: Path, warm: Path, made: Benchmark, tmp_path: Path) -> None:
    other = tmp_path / "other"
    tensors = load_file(warm / "model.safetensors")
    tensors["stem.conv1.weight"] *= 0.5
    from safetensors.torch import save_file

    other.mkdir()
    save_file(tensors, other / "model.safetensors")
    (other / "config.json").write_text((warm / "config.json").read_text())
    for backbone, more, says in (
        (other, (), "maps of other weights"),
        (warm, ("views.views=3",), r"maps of other views \(2, not 3\)"),
        (warm, ("views.jitter=0.05",), "maps of other jitter"),
        (warm, ("network.test_size.short=96",), "maps of other size"),
    ):
        with pytest.raises(DataError, match=says) as caught:
            train(tmp_path / "run", backbone, *more, codes=finished / "codes")
        assert "\n" not in str(caught.value)
        assert "delete" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_maps_of_another_picture_are_refused(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = make_benchmark(tmp_path / "copy")
    batches(copied, small_network, tmp_path / "maps").keep_all()
    copied.train[0].read().rotate(180).point(lambda value: 255 - value).save(tmp_path / "copy" / "a.png")
    with pytest.raises(DataError, match="maps of other data"):
        batches(copied, small_network, tmp_path / "maps")


@pytest.mark.parametrize("damage", ["byte", "short", "none", "mark"])
def test_damaged_maps_are_one_line(made: Benchmark, small_network: SearchNetwork, tmp_path: Path, damage: str) -> None:
    batches(made, small_network, tmp_path).keep_all()
    file, mark = tmp_path / "train-scene.npy", tmp_path / "train-scene.json"
    content = bytearray(file.read_bytes())
    if damage == "byte":
        content[-1000] ^= 1
    file.write_bytes(content[:-2] if damage == "short" else b"" if damage == "none" else content)
    if damage == "mark":
        mark.write_text("{")
    with pytest.raises(DataError, match="damaged; delete") as caught:
        batches(made, small_network, tmp_path).keep_all()
    assert "\n" not in str(caught.value)
    mark.unlink()  # as the line says
    batches(made, small_network, tmp_path).keep_all()


def test_a_stop_leaves_no_half_of_a_file(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = batches(made, small_network, tmp_path)
    real = MAPS["scene"]
    calls: list[int] = []

    def stop(*given: object) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setitem(MAPS, "scene", stop)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        kept.keep_all()
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(MAPS, "scene", real)  # type: ignore[arg-type]
    kept.keep_all()
    (tmp_path / "train-scene.json").unlink()  # a kill between both files
    assert not batches(made, small_network, tmp_path).is_kept()
    batches(made, small_network, tmp_path).keep_all()


def test_a_full_disk_is_one_line(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = batches(made, small_network, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
        with pytest.raises(DataError, match=r"MB of maps do not fit, 0 MB are free: make room"):
            kept.keep_all()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(MapFile, "_write", full)
        with pytest.raises(OSError, match=r"No space left on device: .*train-scene\.npy"):
            kept.keep_all()
    assert not list(tmp_path.iterdir())
    with pytest.raises(SettingError, match="GB that may be kept: lower views"):
        batches(made, small_network, tmp_path / "other", limit=1000)


def test_what_a_run_on_maps_cannot_be(
    warm: Path, made: Benchmark, small_network: SearchNetwork, tmp_path: Path
) -> None:
    for change, says in (
        ("optimizer.frozen_stages=3", "maps are of frozen layers: give 4"),
        ("network.conv4_blocks=3", "maps are those of whole conv4: give 6"),
        ("views.jitter=0.5", "views.jitter 0.5 is impossible"),
    ):
        with pytest.raises(SettingError, match=says):
            train(tmp_path / "run", warm, change)
    with pytest.raises(SettingError, match="learns no detection: leave evaluate_on out"):
        train(tmp_path / "run", warm, evaluate_on="coco:x")
    empty = replace(made, train=tuple(replace(scene, persons=()) for scene in made.train))
    with pytest.raises(DataError, match="nobody has an identity"):
        batches(empty, small_network, tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_batch_of_maps_has_no_patches_for_the_baseline(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path
) -> None:
    kept = MapBatches(made.train, PLAIN, 0, small_network, ("scene",), Keeping(tmp_path, 10**9))
    assert isinstance(kept[0], MapBatch)
    assert len(kept[0].inputs()) == 1
    assert kept.some(4).shape[0] == 4


def test_people_without_an_identity_are_left_out_unless_asked_for(
    made: Benchmark, small_network: SearchNetwork, tmp_path: Path
) -> None:
    kept = batches(made, small_network, tmp_path, replace(PLAIN, unlabeled=False, scenes=1))
    assert [scene.name for scene in kept.scenes] == ["a", "b", "d"]
    assert {int(identity) for step in range(6) for identity in kept[step].identities} == {0, 1, 2}
    with pytest.raises(DataError, match="maps of other unlabeled"):
        batches(made, small_network, tmp_path)
