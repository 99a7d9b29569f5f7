"""Batches: pure functions of seed and step; pictures and boxes that move together."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from personsearch.data.patches import crop_patches
from personsearch.data.records import Person, Scene
from personsearch.data.transforms import SizeSettings, flip, pad_images, relight, resize
from personsearch.errors import SettingError
from personsearch.training.batches.scenes import BatchSettings, TrainingBatches


@dataclass(frozen=True)
class Marked:
    """Black, with one white rectangle."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]

    def read(self) -> Image.Image:
        pixels = np.zeros((self.size[1], self.size[0], 3), dtype=np.uint8)
        x1, y1, x2, y2 = self.box
        pixels[y1:y2, x1:x2] = 255
        return Image.fromarray(pixels)


def _scene(index: int) -> Scene:
    box, size = (20 + index, 10, 60 + index, 90), (160 + 4 * index, 100)
    return Scene(str(index), Marked(box, size), *size, persons=(Person(box, index),))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    scenes = [_scene(i) for i in range(5)]
    settings = BatchSettings(short_sides=(50, 80))
    one, two = (TrainingBatches(scenes, settings, seed=3) for _ in range(2))
    two[0], two[4]
    assert all(torch.equal(one[s].images, two[s].images) for s in (7, 0, 3))
    assert not torch.equal(one[0].images, TrainingBatches(scenes, settings, seed=4)[0].images)


def test_every_scene_once_an_epoch_without_a_gap() -> None:
    batches = TrainingBatches([_scene(i) for i in range(5)], BatchSettings(scenes=2, short_sides=(50,)), seed=0)
    seen = [int(i) for step in range(5) for i in torch.cat(batches[step].identities)]
    assert sorted(seen[:5]) == sorted(seen[5:]) == list(range(5))


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_divide_each_step_among_them(processes: int) -> None:
    scenes, settings = [_scene(i) for i in range(6)], BatchSettings(scenes=4, short_sides=(50, 80))
    whole = TrainingBatches(scenes, settings, seed=3)
    shares = [TrainingBatches(scenes, settings, 3, (rank, processes)) for rank in range(processes)]
    for step in range(4):
        parts = [share[step] for share in shares]
        assert [seed for part in parts for seed in part.seeds] == whole[step].seeds
        assert [b.tolist() for part in parts for b in part.boxes] == [b.tolist() for b in whole[step].boxes]
    with pytest.raises(SettingError, match="3 processes cannot divide 4 scenes"):
        TrainingBatches(scenes, settings, 3, (0, 3))


@pytest.mark.parametrize(("count", "sizes"), [(1, [3]), (2, [1, 2]), (3, [1, 1, 1]), (9, [1, 1, 1])])
def test_parts_of_a_batch(count: int, sizes: list[int]) -> None:
    batch = TrainingBatches([_scene(i) for i in range(3)], BatchSettings(scenes=3, short_sides=(50,)), seed=0)[0]
    parts = batch.parts(count)
    assert [len(part.images) for part in parts] == sizes
    assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
    assert [seed for part in parts for seed in part.seeds] == batch.seeds


def test_boxes_follow_their_pixels() -> None:
    batches = TrainingBatches([_scene(i) for i in range(4)], BatchSettings(short_sides=(50, 200)), seed=1)
    for step in range(6):
        batch = batches[step]
        for image, boxes in zip(batch.images, batch.boxes, strict=True):
            x1, y1, x2, y2 = boxes[0].round().int().tolist()
            assert image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].min() > 200
            assert image[:, y1 + 2 : y2 - 2, : max(x1 - 2, 1)].max() < 60


def test_scenes_without_people_are_left_out() -> None:
    empty = Scene("empty", Marked((0, 0, 1, 1), (50, 50)), 50, 50)
    assert len(TrainingBatches([_scene(0), empty], BatchSettings(), seed=0).scenes) == 1


def test_resize_keeps_to_both_limits() -> None:
    for size in ((300, 200), (200, 300), (1000, 100), (17, 500)):
        pixels, scale = resize(Image.new("RGB", size), SizeSettings(60, 100))
        height, width = pixels.shape[1:]
        assert min(height, width) <= 60
        assert max(height, width) <= 100
        assert scale.tolist()[:2] == torch.tensor([width / size[0], height / size[1]]).tolist()


def test_flip_twice_is_nothing() -> None:
    image, boxes = torch.rand(3, 4, 10), torch.tensor([[1.0, 0, 4, 3]])
    once = flip(image, boxes)
    assert once[1].tolist() == [[6, 0, 9, 3]]
    again = flip(*once)
    assert torch.equal(again[0], image)
    assert torch.equal(again[1], boxes)


def test_padding_is_grey_at_right_and_bottom() -> None:
    padded = pad_images([torch.zeros(3, 2, 5, dtype=torch.uint8), torch.zeros(3, 4, 3, dtype=torch.uint8)])
    assert padded.shape == (2, 3, 4, 5)
    assert padded[0, :, :2].eq(0).all()
    assert padded[0, :, 2:].eq(114).all()
    assert padded[1, :, :, 3:].eq(114).all()


def test_patches_are_the_boxes_contents() -> None:
    ramp = torch.arange(100.0).expand(3, 60, 100)
    patch = crop_patches(ramp, torch.tensor([[20.0, 5, 68, 55]]), (224, 96))
    assert patch.shape == (1, 3, 224, 96)
    expected = 20 + (torch.arange(96) + 0.5) * 0.5 - 0.5
    torch.testing.assert_close(patch[0, 0, 100], expected, atol=0.3, rtol=0)
    assert crop_patches(ramp, torch.zeros(0, 4)).shape == (0, 3, 224, 96)
    assert not crop_patches(ramp.requires_grad_(), torch.tensor([[20.0, 5, 68, 55]])).requires_grad


def test_another_light_is_within_its_bounds_and_a_function_of_the_seed() -> None:
    grey = torch.full((3, 4, 5), 100, dtype=torch.uint8)
    seen = [relight(grey, 0.2, seed) for seed in range(50)]
    levels = torch.stack([image[:, 0, 0].float() for image in seen])
    assert levels.min() >= 75
    assert levels.max() <= 125
    assert levels.mean(dim=1).std() > 5, "bright and dark"
    assert (levels.max(dim=1).values - levels.min(dim=1).values).max() <= 10, "colours change less"
    assert torch.equal(seen[3], relight(grey, 0.2, 3))
    assert torch.equal(grey, relight(grey, 0.0, 3))
    assert grey.eq(100).all()


def test_batches_are_relit_by_setting() -> None:
    scenes = [_scene(0)]
    plain, lit = (TrainingBatches(scenes, BatchSettings(1, (100,), 200, False, light), 0)[0] for light in (0.0, 0.3))
    assert not torch.equal(plain.images, lit.images)
    assert torch.equal(plain.boxes[0], lit.boxes[0])
