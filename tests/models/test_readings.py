"""Readings: what a patch says, how three parts make one, and readers of scenes and crops."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from personsearch.data.patches import crop_patches
from personsearch.data.pictures import ImageFile
from personsearch.data.records import Scene
from personsearch.errors import DataError
from personsearch.models import readings
from personsearch.models.projections import Projection, Projections
from personsearch.models.readings import CropReader, PeopleReader, fit_projections, join, read_patches
from personsearch.models.search_network import SearchNetwork

BOXES = torch.tensor([[10.0, 10, 50, 90], [100.0, 20, 130, 95], [60.0, 0, 62, 3]])


def _picture(seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 255, (100, 200, 3), dtype=np.uint8))


def _projections() -> Projections:
    chance = torch.Generator().manual_seed(0)
    return Projections(*(Projection(torch.zeros(d), torch.randn(4, d, generator=chance)) for d in (2048, 2048, 7168)))


def test_patches_are_read_plain_and_mirrored(small_network: SearchNetwork) -> None:
    network = small_network.eval()
    read = read_patches(network, _picture(), BOXES)
    assert read.pooled.shape == (3, 2048)
    assert read.rows.shape == (3, 7168)
    pixels = torch.from_numpy(np.array(_picture())).permute(2, 0, 1)
    with torch.inference_mode():
        for place, box in enumerate(BOXES):
            patch = crop_patches(pixels, box[None])
            maps = [network.stem(p) for p in (patch, patch.flip(3))]
            pooled = torch.stack([network.head.backbone(m)[0] for m in maps]).mean(dim=0)
            rows = [
                torch.stack([m[0, :, 2 * r : 2 * r + 2].mean(dim=(1, 2)) for m in maps]).mean(dim=0) for r in range(7)
            ]
            torch.testing.assert_close(read.pooled[place], pooled, atol=0.02, rtol=0.05)  # bfloat16, where it is fast
            torch.testing.assert_close(read.rows[place], torch.cat(rows), atol=0.02, rtol=0.05)


def test_a_mirrored_person_reads_alike(small_network: SearchNetwork) -> None:
    picture = _picture()
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    x1, y1, x2, y2 = BOXES[0].tolist()
    first = read_patches(small_network, picture, BOXES[:1])
    second = read_patches(small_network, mirrored, torch.tensor([[200 - x2, y1, 200 - x1, y2]]))
    torch.testing.assert_close(first.pooled, second.pooled, atol=0.02, rtol=0.05)


def test_many_patches_are_read_in_parts(small_network: SearchNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_patches(small_network, _picture(), BOXES)
    monkeypatch.setattr(readings, "_TOGETHER", 2)
    parts = read_patches(small_network, _picture(), BOXES)
    torch.testing.assert_close(parts.pooled, whole.pooled, atol=0.02, rtol=0.05)
    assert read_patches(small_network, _picture(), BOXES[:0]).rows.shape == (0, 7168)


def test_the_product_of_two_readings_is_the_weighed_mean_of_cosines() -> None:
    chance = torch.Generator().manual_seed(0)
    parts = [torch.nn.functional.normalize(torch.randn(2, 5, generator=chance)) for _ in range(3)]
    both = join(*parts)
    expected = sum(w * part[0] @ part[1] for w, part in zip((1, 1, 0.5), parts, strict=True)) / 2.5
    torch.testing.assert_close(both[0] @ both[1], expected)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))


def test_a_part_that_says_nothing_leaves_the_others() -> None:
    parts = [torch.eye(2), torch.eye(2)]
    without = join(torch.zeros(2, 2), *parts)
    torch.testing.assert_close(without.norm(dim=1), torch.ones(2))
    assert join(*[torch.zeros(1, 2)] * 3).tolist() == [[0.0] * 6]


def test_found_people_are_read_as_asked_ones(small_network: SearchNetwork) -> None:
    reader = PeopleReader(small_network, _projections())
    assert reader.dim == 12
    found = reader.detect(_picture(), score_threshold=0.0)
    plain = small_network.detect(_picture(), score_threshold=0.0)
    assert torch.equal(found.boxes, plain.boxes)
    assert torch.equal(found.scores, plain.scores)
    assert found.embeddings.shape == (len(plain), 12)
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(plain)))
    asked = reader.embed(_picture(), BOXES)
    torch.testing.assert_close(asked[1:2], reader.embed(_picture(), BOXES[1:2]), atol=0.02, rtol=0.05)
    assert len(reader.detect(_picture(), score_threshold=1.1)) == 0
    assert reader.embed(_picture(), BOXES[:0]).shape == (0, 12)


def test_a_crop_has_no_scene(small_network: SearchNetwork) -> None:
    reader = CropReader(small_network, _projections())
    read = reader.embed(_picture(), BOXES)
    assert not read[:, :4].any()
    torch.testing.assert_close(read.norm(dim=1), torch.ones(3))
    whole = reader.detect(_picture())
    assert whole.boxes.tolist() == [[0, 0, 200, 100]]
    assert torch.equal(whole.embeddings, reader.embed(_picture(), whole.boxes))


def _scenes(folder: Path, count: int) -> list[Scene]:
    for seed in range(count):
        _picture(seed).save(folder / f"{seed}.png")
    return [Scene(str(seed), ImageFile(folder / f"{seed}.png"), 200, 100) for seed in range(count)]


def test_projections_are_fitted_to_found_people(
    small_network: SearchNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = _scenes(tmp_path, 3)
    with pytest.raises(DataError, match="too few to fit"):
        fit_projections(small_network, scenes)
    monkeypatch.setattr(readings, "DIM", 2)
    small_network.settings = small_network.settings
    with torch.no_grad():
        small_network.head.score.bias.fill_(20.0)  # everything is a person
    monkeypatch.setattr(readings, "fit_projection", lambda features: _few(features))
    first, second = fit_projections(small_network, scenes, 9), fit_projections(small_network, scenes, 9)
    assert torch.equal(first.rows.axes, second.rows.axes)
    assert first.scene.axes.shape == (2, 2048)


def _few(features: torch.Tensor) -> Projection:
    from personsearch.models.projections import fit_projection

    return fit_projection(features, 2)
