"""The search branch: training output, detection, embedding."""

import numpy as np
import torch
from PIL import Image

from personsearch.data.records import UNLABELED
from personsearch.models.binet import BINet
from personsearch.models.search_network import SearchNetwork, Targets, box_scores

PEOPLE = Targets(torch.tensor([[10.0, 5, 34, 60], [70.0, 8, 90, 62]]), torch.tensor([3, UNLABELED]))
NOBODY = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


def _picture(width: int = 200, height: int = 100) -> Image.Image:
    random = np.random.default_rng(0)
    return Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_training_output_is_consistent(small_network: SearchNetwork) -> None:
    images = torch.randint(0, 255, (2, 3, 64, 128), dtype=torch.uint8)
    output = small_network(images, [PEOPLE, NOBODY])
    regions = output.regions
    total, positive = sum(map(len, regions.boxes)), int(regions.positive.sum())
    assert output.logits.shape == (total,)
    assert output.deltas.shape == (total, 4)
    assert total <= 2 * 8
    assert positive >= 2, "the annotated boxes themselves are candidates"
    assert regions.matched_boxes.shape == (positive, 4)
    assert set(regions.identities.tolist()) <= {3, UNLABELED}
    assert [len(b) for b in regions.positive_boxes()] == [positive, 0]
    torch.testing.assert_close(output.search.embeddings.norm(dim=1), torch.ones(positive))


def test_scene_without_people_passes(small_network: SearchNetwork) -> None:
    output = BINet(small_network)(torch.zeros(1, 3, 64, 128, dtype=torch.uint8), [NOBODY])
    assert len(output.instance.embeddings) == len(output.scene.search.embeddings) == 0


def test_branches_share_parameters_and_regions(small_network: SearchNetwork) -> None:
    model = BINet(small_network)
    assert len(list(model.parameters())) == len(list(small_network.parameters()))
    output = model(torch.randint(0, 255, (1, 3, 64, 128), dtype=torch.uint8), [PEOPLE])
    assert output.instance.features.shape == output.scene.search.features.shape


def test_patch_branch_has_no_roi_align(small_network: SearchNetwork) -> None:
    # section 3.3: a 224 x 96 patch through conv1-4 is already 14 x 6
    assert small_network.stem(torch.zeros(1, 3, 224, 96)).shape == (1, 1024, 14, 6)


def test_detections_are_in_original_pixels(small_network: SearchNetwork) -> None:
    picture = _picture()
    before = picture.tobytes()
    found = small_network.detect(picture, score_threshold=0.0)
    assert 0 < len(found) <= 10
    assert found.boxes[:, [0, 2]].max() <= 200 + 1e-3
    assert found.boxes[:, [1, 3]].max() <= 100 + 1e-3
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert picture.tobytes() == before
    assert len(small_network.detect(picture, score_threshold=1.1)) == 0


def test_embedding_a_detected_box_gives_a_unit_vector_per_box(small_network: SearchNetwork) -> None:
    boxes = torch.tensor([[10.0, 10, 50, 90], [100.0, 20, 130, 95]])
    embeddings = small_network.embed(_picture(), boxes)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(2), atol=1e-3, rtol=1e-3)
    assert small_network.embed(_picture(), boxes[:0]).shape == (0, 256)


def test_embedding_does_not_depend_on_the_other_boxes(small_network: SearchNetwork) -> None:
    boxes = torch.tensor([[10.0, 10, 50, 90], [100.0, 20, 130, 95]])
    both = small_network.embed(_picture(), boxes)
    torch.testing.assert_close(small_network.embed(_picture(), boxes[1:]), both[1:], atol=1e-2, rtol=1e-2)


def test_boxes_are_ranked_by_person_score_and_fit() -> None:
    logits, fits = torch.tensor([2.0, -1.0]), torch.tensor([[0.5], [3.0]])
    torch.testing.assert_close(box_scores(logits, fits), (logits.sigmoid() * fits[:, 0].sigmoid()).sqrt())
    torch.testing.assert_close(box_scores(logits, fits[:, :0]), logits.sigmoid())
    assert box_scores(logits[:0], fits[:0]).shape == (0,)
