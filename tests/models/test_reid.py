"""Re-id networks: stripes, embeddings, and a detector before them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from personsearch.data.patches import crop_patches
from personsearch.errors import SettingError
from personsearch.losses.criteria import ReidCriterion
from personsearch.models.readers import DetectThenEmbed
from personsearch.models.reid import ReidNet, ReidOutput, ReidSettings, StripeReduction, build_reid, embedding_dim
from personsearch.models.search_network import SearchNetwork, Targets

PICTURE = Image.effect_noise((120, 90), 80).convert("RGB")
BOXES = torch.tensor([[5.0, 5, 40, 85], [60.0, 10, 100, 80], [0.0, 0, 20, 60]])


@pytest.fixture(scope="module", params=[{}, {"stride": 1, "stripes": 6, "reduced": 8}], ids=["resnet50", "pcb"])
def network(request: pytest.FixtureRequest) -> ReidNet:
    torch.manual_seed(0)
    made = build_reid(ReidSettings(size=(96, 32), **request.param))
    for name, buffer in made.named_buffers():
        if name.endswith("scale"):
            buffer.fill_(0.5)
    return made.eval()


def test_stripes_are_means_of_the_map_from_head_to_foot(network: ReidNet) -> None:
    patches = torch.randint(0, 255, (2, 3, 192, 64), dtype=torch.uint8)
    maps = network.head.maps(network.stem(patches))
    count = network.settings.stripes
    rows = maps.shape[2] // count
    means = [maps[:, :, n * rows : (n + 1) * rows].mean(dim=(2, 3)) for n in range(count)]
    torch.testing.assert_close(network.read(patches), network.reduce(torch.stack(means, dim=1)), atol=1e-5, rtol=1e-4)


def test_an_embedding_has_unit_length_and_knows_nothing_of_its_neighbours(network: ReidNet) -> None:
    everybody = network.embed(PICTURE, BOXES)
    assert everybody.shape == (3, network.dim) == (3, embedding_dim(network.settings))
    torch.testing.assert_close(everybody.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(network.embed(PICTURE, BOXES[1:2]), everybody[1:2], atol=2e-2, rtol=2e-2)
    assert network.embed(PICTURE, BOXES[:0]).shape == (0, network.dim)


def test_many_people_are_embedded_in_parts(network: ReidNet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = network.embed(PICTURE, BOXES)
    monkeypatch.setattr("personsearch.models.reid._TOGETHER", 2)
    torch.testing.assert_close(network.embed(PICTURE, BOXES), whole, atol=2e-2, rtol=2e-2)


def test_training_and_embedding_read_a_patch_alike(network: ReidNet) -> None:
    pixels = torch.from_numpy(np.array(PICTURE)).permute(2, 0, 1)
    target = Targets(torch.zeros(1, 4), torch.tensor([4]))
    output = network(crop_patches(pixels, BOXES, network.settings.size), [target] * 3)
    assert output.identities.tolist() == [4, 4, 4]
    read = F.normalize(output.stripes.flatten(1))
    torch.testing.assert_close(network.embed(PICTURE, BOXES), read, atol=2e-2, rtol=2e-2)


def test_each_stripe_is_reduced_by_layers_of_its_own() -> None:
    reduction = StripeReduction(3, 4, 2).eval()
    stripes = torch.randn(5, 3, 4)
    moved = stripes.clone()
    moved[:, 1] += 1
    changed = (reduction(stripes) != reduction(moved)).any(dim=2).any(dim=0)
    assert changed.tolist() == [False, True, False]
    assert len({layer[0].weight.data_ptr() for layer in reduction.layers}) == 3


def test_identities_are_classes_of_every_stripe() -> None:
    criterion = ReidCriterion(identities=5, stripes=2, dim=3)
    output = ReidOutput(torch.randn(4, 2, 3), torch.tensor([0, 4, 2, 2]))
    logits = [criterion.classifiers[n](output.stripes[:, n]) for n in range(2)]
    by_hand = -sum(F.log_softmax(one, dim=1)[range(4), output.identities].mean() for one in logits)
    torch.testing.assert_close(criterion(output)["identity"], by_hand)


def test_a_detector_hands_its_boxes_over(network: ReidNet, small_network: SearchNetwork) -> None:
    reader = DetectThenEmbed(small_network, network)
    alone, both = small_network.detect(PICTURE, 0.0), reader.detect(PICTURE, 0.0)
    assert torch.equal(alone.boxes, both.boxes)
    assert torch.equal(alone.scores, both.scores)
    torch.testing.assert_close(both.embeddings, network.embed(PICTURE, alone.boxes), atol=2e-2, rtol=2e-2)
    assert len(reader.detect(PICTURE, 1.1)) == 0


@pytest.mark.parametrize("wrong", [{"stripes": 0}, {"reduced": -1}, {"stride": 3}, {"layout": "caffe"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        build_reid(ReidSettings(**wrong))  # type: ignore[arg-type]
