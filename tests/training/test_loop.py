"""Training end to end on tiny scenes: what is written, exact resume, and refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from personsearch import experiment
from personsearch.data.marks import mark_of_annotations
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError, ImageError, PersonSearchError, SettingError, WeightsError
from personsearch.files import alone_in
from personsearch.models.tensor_files import fingerprint
from personsearch.models.weights import load_weights
from personsearch.settings import change_settings, settings_to_dict
from personsearch.training.batches.scenes import Batch
from personsearch.training.loop import Training
from personsearch.training.methods import Backbone, Whole, build_network
from personsearch.training.optimizers import OptimizerSettings, learning_rate
from personsearch.training.recipes import get_recipe

TINY = [
    "network.anchors.sizes=[24, 48]",
    "network.anchors.ratios=[2]",
    "network.rois=8",
    "network.train_proposals.after_nms=20",
    "network.test_size.short=64",
    "loss.oim.queue=8",
    "batches.short_sides=[64, 96]",
    "optimizer.steps=4",
    "optimizer.warmup=2",
    "optimizer.drops=[3]",
    "optimizer.rate=0.001",
]


@dataclass(frozen=True)
class Noise:
    """A picture of coloured noise, the same each time."""

    seed: int

    def read(self) -> Image.Image:
        random = np.random.default_rng(self.seed)
        return Image.fromarray(random.integers(0, 255, (96, 160, 3), dtype=np.uint8))


@pytest.fixture(autouse=True, scope="module")
def _benchmark() -> Iterator[None]:
    people = (Person((10, 10, 40, 80), 0), Person((60, 20, 85, 90), 1), Person((100, 5, 130, 75), UNLABELED))
    scenes = tuple(Scene(f"{i}.jpg", Noise(i), 160, 96, people if i else ()) for i in range(4))
    made = Benchmark("noise", scenes, 2, (), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: made)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; tests only read it."""
    return _train(tmp_path_factory.mktemp("runs") / "whole")


def _train(
    out: Path,
    *more: str,
    recipe: str = "binet_rendered",
    resume: bool = False,
    every: int = 2,
    backbone: Backbone = "random",
) -> Path:
    return experiment.train(
        recipe,
        "coco:x",
        out,
        settings=[*TINY, *more],
        backbone=backbone,
        resume=resume,
        workers=0,
        checkpoint_every=every,
    )


def _same(a: Path, b: Path) -> bool:
    one, two = load_file(a / "checkpoint.safetensors"), load_file(b / "checkpoint.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_a_stopped_run_resumes_bit_for_bit(tmp_path: Path, finished: Path) -> None:

    class StopError(Exception):
        """Raised from within."""

    def stop(step: int, _total: int) -> None:
        if step == 3:  # one step after the checkpoint: that step is lost and done again
            raise StopError

    with pytest.raises(StopError):
        experiment.train(
            "binet_rendered",
            "coco:x",
            tmp_path / "parts",
            settings=TINY,
            backbone="random",
            workers=0,
            checkpoint_every=2,
            on_step=stop,
        )
    assert load_weights(tmp_path / "parts").config["steps_done"] == 2
    _train(tmp_path / "parts", resume=True)
    assert _same(finished, tmp_path / "parts")


def test_a_run_leaves_weights_that_load_and_know_where_they_are_from(tmp_path: Path) -> None:
    out = _train(tmp_path / "run", recipe="oim_rendered")
    loaded = load_weights(out)
    noise = experiment.load_benchmark("coco:x")
    mark = mark_of_annotations(noise.train)
    assert loaded.config["training_data"] == {"name": "noise", "scenes": 4, "identities": 2, "annotations": mark}
    assert loaded.config["recipe"]["name"] == "oim_rendered"
    assert loaded.config["recipe"]["optimizer"]["steps"] == 4
    assert "lookup" not in " ".join(load_file(out / "model.safetensors"))


def test_a_warm_up_on_patches_hands_backbone_and_embedding_on(tmp_path: Path) -> None:
    warm = _train(
        tmp_path / "warm", "patches.identities=2", "patches.sights=2", "optimizer.steps=2", recipe="patches_rendered"
    )
    network = build_network(get_recipe("oim_rendered"), warm).state_dict()
    stored = load_file(warm / "model.safetensors")
    for key in ("stem.layer3.0.conv1.weight", "head.backbone.layer4.0.conv1.weight", "head.embedding.weight"):
        assert torch.equal(network[key].half(), stored[key])
    assert not torch.equal(network["rpn.conv.weight"].half(), stored["rpn.conv.weight"])


def test_whole_weights_are_trained_further(tmp_path: Path) -> None:
    """All that they hold is taken; what the network has beside it starts at random."""
    first = _train(tmp_path / "first", "network.box_fit=false", recipe="oim_rendered")
    stored = load_file(first / "model.safetensors")
    network = build_network(change_settings(get_recipe("oim_rendered"), TINY), Whole(first)).state_dict()
    assert stored.keys() == network.keys() - {"head.fit.weight", "head.fit.bias"}
    assert all(torch.equal(network[name].half(), tensor) for name, tensor in stored.items())


def test_whole_weights_of_other_shapes_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="another shape"):
        experiment.train("binet_cuhk_sysu", "coco:x", tmp_path / "run", backbone=Whole(finished), workers=0)
    assert not (tmp_path / "run").exists()


def test_a_setting_younger_than_a_run_had_its_default_then(finished: Path) -> None:
    recipe = change_settings(get_recipe("binet_rendered"), TINY)
    wanted = {"recipe": settings_to_dict(recipe), "training_data": {}}
    old = json.loads(json.dumps(wanted))
    del old["recipe"]["batches"]["light"]
    with pytest.raises(SettingError, match=r"begun with batches.light=0.0, not 0.25"):
        experiment.refuse_other_settings(old, wanted, recipe, finished)
    plain = change_settings(recipe, ["batches.light=0"])
    experiment.refuse_other_settings(old, {**wanted, "recipe": settings_to_dict(plain)}, plain, finished)


class Brightness(nn.Module):
    """Learns one number by which it multiplies the mean of each picture."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, images: Tensor, _targets: object) -> Tensor:
        return self.factor * images.float().mean(dim=(1, 2, 3))


class Square(nn.Module):
    """The mean square, and what it was told to remember."""

    def __init__(self) -> None:
        super().__init__()
        self.remembered: list[list[list[float]]] = []

    def forward(self, output: Tensor) -> dict[str, Tensor]:
        return {"square": output.square().mean()}

    def remember(self, outputs: list[Tensor]) -> None:
        self.remembered.append([output.tolist() for output in outputs])

    def watched(self, _output: Tensor) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_parts_of_a_step_are_the_step(tmp_path: Path, parts: int) -> None:
    """Three pictures: means over unequal parts add up to the mean, and the memory moves once, in order."""
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    nobody = [torch.zeros(0, 4)] * 3
    batch = Batch(images, nobody, [torch.zeros(0, dtype=torch.int64)] * 3, [0, 1, 2])
    model, criterion = Brightness(), Square()
    settings = OptimizerSettings(rate=0.01, momentum=0.0, weight_decay=0.0, steps=1, warmup=0, accumulate=parts)
    Training(model, criterion, [batch], settings, {}).run(tmp_path, resume=False, workers=0)
    gradient = 2 * (0 + 1 + 4) / 3
    assert model.factor.item() == pytest.approx(1 - 0.01 * gradient)
    (step,) = criterion.remembered
    assert len(step) == min(parts, 3)
    assert [value for part in step for value in part] == [0, 1, 2]


def test_checkpoints_are_evaluated_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    judged = []
    made = experiment.load_benchmark("coco:x")
    asked = replace(made, name="asked", queries=(Query("1.jpg", (10, 10, 40, 80), 0, ("2.jpg",)),))
    monkeypatch.setattr(experiment, "load_benchmark", lambda spec: asked if spec == "coco:y" else made)
    figures = SimpleNamespace(result=SimpleNamespace(as_dict=lambda: {"mAP": 0.5}))
    monkeypatch.setattr(experiment, "evaluate_model", lambda network, data: judged.append((network, data)) or figures)
    out = experiment.train(
        "binet_rendered", "coco:x", tmp_path / "run", settings=TINY, backbone="random", workers=0,
        checkpoint_every=2, evaluate_on="coco:y",
    )  # fmt: skip
    lines = [json.loads(line) for line in (out / "evaluations.jsonl").read_text().splitlines()]
    assert lines == [{"step": 2, "mAP": 0.5}, {"step": 4, "mAP": 0.5}]
    assert [data.name for _, data in judged] == ["asked", "asked"]
    assert _same(out, finished), "evaluation changes nothing"
    with pytest.raises(DataError, match="coco:x has no queries"):
        experiment.train("binet_rendered", "coco:y", tmp_path / "other", backbone="random", evaluate_on="coco:x")


def test_log_has_a_line_per_ten_steps(tmp_path: Path) -> None:
    out = _train(tmp_path / "run", "optimizer.steps=10", every=100)
    (line,) = [json.loads(text) for text in (out / "log.jsonl").read_text().splitlines()]
    assert line["step"] == 10
    with Image.open(out / "losses.png") as picture:
        assert picture.size[0] > 500
    assert {"rate", "seconds", "oim_search", "oim_instance", "feature", "prediction", "rpn_score"} <= set(line)


def test_the_frozen_stages_stay_as_they_were(tmp_path: Path, finished: Path) -> None:
    early = _train(tmp_path / "early", "optimizer.steps=1")
    a, b = load_file(early / "model.safetensors"), load_file(finished / "model.safetensors")
    changed = {key.split(".")[1] for key in a if key.startswith("stem.") and not torch.equal(a[key], b[key])}
    assert changed == {"layer3"}


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(finished: Path) -> None:
    out = finished
    before = _written(out)
    with pytest.raises(SettingError, match="--resume"):
        _train(out)
    with pytest.raises(SettingError, match=r"loss\.oim\.queue=8, not 9"):
        _train(out, "loss.oim.queue=9", resume=True)
    with pytest.raises(SettingError, match=r"optimizer\.rate"):
        _train(out, "optimizer.rate=0.1", resume=True)
    assert _written(out) == before


def test_a_run_goes_on_from_the_weights_that_it_began_with(tmp_path: Path) -> None:
    """What it began with may have been trained again under the same name; an earlier version did not note it."""
    for name in ("first", "other"):
        _train(tmp_path / name, "seed=1" if name == "other" else "seed=0", recipe="oim_rendered")
    (tmp_path / "first").rename(tmp_path / "warm")
    _train(tmp_path / "run", backbone=str(tmp_path / "warm"))
    assert load_weights(tmp_path / "run").config["start"] == fingerprint(tmp_path / "warm" / "model.safetensors")
    for start in (str(tmp_path / "warm"), "random"):
        _train(tmp_path / "run", resume=True, backbone=start)
    (tmp_path / "warm").rename(tmp_path / "moved")
    _train(tmp_path / "run", resume=True, backbone=str(tmp_path / "moved"))
    (tmp_path / "other").rename(tmp_path / "warm")
    before = _written(tmp_path / "run")
    for again in (str(tmp_path / "warm"), Whole(tmp_path / "warm")):
        with pytest.raises(SettingError, match=r"was begun from other weights \(--backbone, --start\)"):
            _train(tmp_path / "run", resume=True, backbone=again)
    assert _written(tmp_path / "run") == before


def test_two_processes_do_not_train_in_one_folder(finished: Path, tmp_path: Path) -> None:
    before = _written(finished)
    with alone_in(finished), pytest.raises(SettingError, match="another process works in it"):
        _train(finished, resume=True)
    assert _written(finished) == before
    with alone_in(tmp_path / "new"), pytest.raises(SettingError, match="another process works in it"):
        _train(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def _written(out: Path) -> tuple[int, int]:
    """Which file the checkpoint is, and when it was written; who reads it changes neither."""
    stat = (out / "checkpoint.safetensors").stat()
    return stat.st_ino, stat.st_mtime_ns


def test_a_run_along_a_cosine_keeps_its_length_and_every_run_its_data(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError, match=r"optimizer\.steps=4, not 9"):
        _train(finished, "optimizer.steps=9", resume=True)
    other = experiment.load_benchmark("coco:x")
    monkeypatch.setattr(experiment, "load_benchmark", lambda _spec: replace(other, name="other"))
    with pytest.raises(SettingError, match="begun with name=noise, not other"):
        _train(finished, resume=True)
    first, *rest = other.train
    for changed in (replace(first, name="z.jpg"), replace(first, persons=(Person((10, 10, 41, 80), 0),))):
        made = replace(other, train=(changed, *rest))
        monkeypatch.setattr(experiment, "load_benchmark", lambda _spec, made=made: made)
        with pytest.raises(SettingError, match="begun with other scenes or other people in them: give the same data"):
            _train(finished, resume=True)


def test_a_run_of_an_earlier_version_does_not_know_its_annotations(finished: Path) -> None:
    recipe = change_settings(get_recipe("binet_rendered"), TINY)
    wanted = experiment.describe_run(recipe, experiment.load_benchmark("coco:x"))
    before = json.loads(json.dumps(wanted))
    del before["training_data"]["annotations"]
    experiment.refuse_other_settings(before, wanted, recipe, finished)


def test_a_broken_picture_is_one_line_also_from_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person((10, 10, 40, 80), 0)
    broken = tuple(Scene(f"{i}.jpg", ImageFile(tmp_path / f"{i}.jpg"), 160, 96, (person,)) for i in range(2))
    monkeypatch.setattr(experiment, "load_benchmark", lambda _spec: Benchmark("broken", broken, 1, (), ()))
    for workers in (0, 1):
        with pytest.raises(ImageError, match=r"^\S+\.jpg") as caught:
            experiment.train(
                "binet_rendered", "coco:x", tmp_path / "run", settings=TINY, backbone="random", workers=workers
            )
        assert "\n" not in str(caught.value)


def test_parts_are_whole_and_positive(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"optimizer\.accumulate 0"):
        _train(tmp_path / "run", "optimizer.accumulate=0")
    with pytest.raises(SettingError, match=r"in one process, with optimizer\.accumulate 1"):
        _train(tmp_path / "run", "optimizer.accumulate=2", recipe="patches_rendered")


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    out = tmp_path
    (out / "checkpoint.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(WeightsError, match="checkpoint"):
        _train(out, resume=True)


def test_a_diverging_run_stops_with_advice(tmp_path: Path) -> None:
    with pytest.raises(PersonSearchError, match=r"start again with --set optimizer\.rate=1e\+29"):
        _train(tmp_path / "run", "optimizer.rate=1e30", "optimizer.clip=1e30", "optimizer.warmup=0")


def test_an_unknown_method_or_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="choose one of binet"):
        _train(tmp_path / "run", "method=magic")
    with pytest.raises(SettingError, match="choose one of sgd"):
        _train(tmp_path / "run", "optimizer.kind=magic")
    with pytest.raises(SettingError, match="choose one of drops, cosine"):
        _train(tmp_path / "run", "optimizer.schedule=magic")
    with pytest.raises(SettingError, match="choose one of torchvision"):
        _train(tmp_path / "run", "network.layout=magic")
    assert not (tmp_path / "run").exists()


def test_the_rate_warms_up_and_falls() -> None:
    drops = OptimizerSettings(rate=1.0, steps=10, warmup=4, drops=(6, 8))
    rates = [learning_rate(step, drops) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = OptimizerSettings(rate=2.0, steps=100, warmup=0, schedule="cosine")
    assert [learning_rate(step, cosine) for step in (0, 25, 50, 100)] == pytest.approx([2, 1 + 2**-0.5, 1, 0])


def test_nothing_to_train_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "load_benchmark", lambda _spec: Benchmark("mot", (), 0, (), ()))
    with pytest.raises(DataError, match="no training scenes"):
        _train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_message_of_a_diverging_run_says_works(tmp_path: Path) -> None:
    """The advice is followed word by word: options of the message, with the options that the run had."""
    out, wild = tmp_path / "run", ["optimizer.rate=1e30", "optimizer.clip=1e30", "optimizer.warmup=0"]

    def advised(resume: bool, settings: list[str]) -> tuple[bool, list[str]]:
        with pytest.raises(PersonSearchError) as caught:
            _train(out, *settings, resume=resume)
        ((change,),) = (re.findall(r"--set ([^\s;]+)", str(caught.value)),)
        assert float(change.removeprefix("optimizer.rate=")) < 1e30
        return "--resume" in str(caught.value), [*settings, "optimizer.rate=1e-4"]

    resume, settings = advised(False, wild)
    assert not resume
    assert not (out / "model.safetensors").exists(), "weights that are not finite"
    _train(out, *settings, resume=resume)
    assert load_weights(out).config["steps_done"] == 4


def test_a_rate_may_be_lowered_by_name_and_the_run_remembers(tmp_path: Path) -> None:
    drops = 'optimizer.schedule="drops"'
    out = _train(tmp_path / "run", drops, "optimizer.steps=2")
    with pytest.raises(SettingError, match=r"optimizer\.rate"):
        _train(out, drops, "optimizer.rate=0.1", resume=True)
    _train(out, drops, "optimizer.rate=0.0001", resume=True)
    config = load_weights(out).config
    assert config["recipe"]["optimizer"]["rate"] == 0.0001
    assert config["earlier_rates"] == [{"rate": 0.001, "until_step": 2}]
    with pytest.raises(SettingError, match=r"begun with optimizer\.rate=0\.0001, not 0\.001"):
        _train(out, drops, resume=True)
    recipe = change_settings(get_recipe("binet_rendered"), TINY)
    wanted = {"recipe": settings_to_dict(recipe), "training_data": {}}
    older = json.loads(json.dumps(wanted))
    older["recipe"]["optimizer"]["rate"] = 1.0
    with pytest.raises(SettingError, match=r"optimizer\.rate=1\.0"):  # a default is nobody's wish
        experiment.refuse_other_settings(older, wanted, recipe, out)


def test_an_impossible_folder_is_refused_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(experiment, "load_benchmark", lambda _spec: pytest.fail("read"))
    with pytest.raises(SettingError, match="a file is there"):
        _train(tmp_path / "file" / "run")
    monkeypatch.undo()
    with pytest.raises(SettingError, match="no device"):
        experiment.train("binet_rendered", "coco:x", tmp_path / "run", device="foo")


# ---------------------------------------------------------------- what lies in the folder already


LEFT = {
    "weights": ("model.safetensors", "config.json"),
    "an export": ("graphs.json", "stem.onnx"),
    "a branch": ("instance.safetensors",),
    "evaluations": ("evaluations.jsonl",),
    "losses": ("losses.png",),
}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("names", LEFT.values(), ids=LEFT)
def test_what_another_run_left_is_not_overwritten(tmp_path: Path, names: tuple[str, ...], resume: bool) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(SettingError, match=r"and no checkpoint\.safetensors to go on from: give another --out"):
        _train(tmp_path, resume=resume)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert all((tmp_path / name).read_text() == "{}" for name in names)


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_run_without_its_checkpoint_stays(finished: Path, tmp_path: Path, resume: bool) -> None:
    out = shutil.copytree(finished, tmp_path / "run")
    (out / "checkpoint.safetensors").unlink()
    (out / "losses.png").write_text("drawn at the end, of ten steps or more")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(SettingError, match=r"holds losses\.png, and no"):  # though all its settings are the same
        _train(out, resume=resume)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_log_of_many_steps_stays(tmp_path: Path) -> None:
    line = '{"step": %d, "rate": 1}\n'
    (tmp_path / "log.jsonl").write_text(line % 10)
    with pytest.raises(SettingError, match=r"holds log\.jsonl, and no"):
        _train(tmp_path, every=2)
    assert (tmp_path / "log.jsonl").read_text() == line % 10


@pytest.mark.parametrize("steps_done", [2, 4])  # 4: the first checkpoint is the last one, too
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_whose_first_checkpoint_was_not_written_begins_again(
    finished: Path, tmp_path: Path, resume: bool, steps_done: int
) -> None:
    shutil.copyfile(finished / "model.safetensors", tmp_path / "model.safetensors")
    config = json.loads((finished / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "steps_done": steps_done}))
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "notes.txt").write_text("mine")  # what is the user's own harms nobody
    assert _same(_train(tmp_path, resume=resume), finished)
    (tmp_path / "checkpoint.safetensors").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, "steps_done": steps_done}))
    with pytest.raises(SettingError, match=r"holds model\.safetensors, and no"):  # of other settings
        _train(tmp_path, "loss.oim.queue=9", resume=resume)


def test_it_is_told_that_there_was_nothing_to_resume(tmp_path: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        experiment.train(
            "binet_rendered",
            "coco:x",
            tmp_path / "run",
            settings=TINY,
            backbone="random",
            resume=True,
            workers=0,
            complain=told.append,
        )
    assert told == [f"{tmp_path / 'run'}: no checkpoint to go on from; this begins at step 0"]
