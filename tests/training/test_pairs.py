"""Pairs are what their kind says, and pure functions of seed and step."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from layout_fixtures import TRAIN, make_benchmark

from personsearch.data.patches import query_patch
from personsearch.data.records import Person, Scene
from personsearch.errors import DataError, SettingError
from personsearch.training.batches.pairs import KINDS, PairSettings, TrainingPairs


@pytest.fixture
def scenes(tmp_path):
    return make_benchmark(tmp_path / "pictures").train


def test_each_kind_is_what_it_says(scenes):
    pairs = TrainingPairs(scenes, PairSettings(scenes=64), seed=0).pairs(5)
    for pair in pairs:
        assert pair.person in pair.query.persons
        held = any(p.identity == pair.person.identity for p in pair.scene.persons)
        assert held == (pair.kind != "negative")
        assert (pair.scene is pair.query) == (pair.kind == "self")
    assert set(Counter(pair.kind for pair in pairs)) == {"cross", "self", "negative"}


def test_shares(scenes):
    pairs = TrainingPairs(scenes, PairSettings(scenes=1000, shares=(2, 1, 1)), seed=0).pairs(0)
    counts = Counter(pair.kind for pair in pairs)
    assert counts["cross"] == pytest.approx(500, abs=60)
    only = TrainingPairs(scenes, PairSettings(scenes=20, shares=(0, 0, 1)), seed=0).pairs(0)
    assert {pair.kind for pair in only} == {"negative"}


def test_a_batch_depends_on_seed_and_step_alone(scenes):
    settings = PairSettings(scenes=3, short_sides=(60, 90))
    one, two = (TrainingPairs(scenes, settings, seed=3) for _ in range(2))
    two[0], two[4]
    for step in (7, 0):
        a, b = one[step], two[step]
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.patches, b.patches)
        assert a.seeds == b.seeds
    assert not torch.equal(one[0].patches, TrainingPairs(scenes, settings, seed=4)[0].patches)


@pytest.mark.parametrize("shares", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_pairs_that_share_a_scene(scenes, shares):
    settings = PairSettings(scenes=6, per_scene=4, shares=shares, short_sides=(120,), long_side=160)
    trainer = TrainingPairs(scenes, settings, seed=1)
    for step in range(8):
        pairs = trainer.pairs(step)
        for place, pair in enumerate(pairs):
            assert pair.scene is pairs[place - place % 4].scene
            assert pair.person in pair.query.persons
            held = any(p.identity == pair.person.identity for p in pair.scene.persons)
            assert held == (pair.kind != "negative")
            assert (pair.query is pair.scene) == (pair.kind == "self")
    assert {pair.kind for step in range(8) for pair in trainer.pairs(step)} >= {
        kind for kind, share in zip(KINDS, shares, strict=True) if share
    }


def test_a_batch_of_shared_scenes(scenes):
    settings = PairSettings(scenes=3, per_scene=4, short_sides=(480,), long_side=640)
    batches = [TrainingPairs(scenes, replace(settings, flip=flip), seed=1)[2] for flip in (False, True)]
    plain, mirrored = batches
    assert plain.images.shape[0] == 3
    assert len(plain.boxes) == len(plain.identities) == len(plain.seeds) == len(plain.patches) == 12
    width = plain.images.shape[3]
    for scene in range(3):  # all boxes of a scene, or none, are mirrored with it
        some = slice(scene * 4, scene * 4 + 4)
        before, after = torch.cat(plain.boxes[some]), torch.cat(mirrored.boxes[some])
        flipped = torch.stack([width - before[:, 2], before[:, 1], width - before[:, 0], before[:, 3]], dim=1)
        assert torch.equal(after, before) or torch.equal(after, flipped)
    assert not torch.equal(torch.cat(plain.boxes), torch.cat(mirrored.boxes))
    parts = plain.parts(2)
    assert [len(part.images) for part in parts] == [1, 2]
    assert [len(part.boxes) for part in parts] == [4, 8]
    assert torch.equal(torch.cat([part.patches for part in parts]), plain.patches)


@pytest.mark.parametrize("setting", ["scenes", "per_scene"])
def test_a_step_without_pairs_is_one_line(scenes, setting):
    with pytest.raises(SettingError, match=rf"pairs\.{setting} 0: give 1 or more"):
        TrainingPairs(scenes, PairSettings(**{setting: 0}), seed=0)


def test_boxes_are_those_of_the_query_person_alone(scenes):
    trainer = TrainingPairs(scenes, PairSettings(scenes=24, short_sides=(480,), long_side=640, flip=False), seed=1)
    batch = trainer[2]
    assert batch.patches.shape == (24, 3, 224, 96)
    for pair, boxes, patch in zip(trainer.pairs(2), batch.boxes, batch.patches, strict=True):
        expected = [list(p.box) for p in pair.scene.persons if p.identity == pair.person.identity]
        assert boxes.tolist() == expected
        assert torch.equal(patch, query_patch(pair.query.read(), pair.person.box))
    parts = batch.parts(5)
    assert torch.equal(torch.cat([part.patches for part in parts]), batch.patches)


def test_a_self_pair_looks_for_the_very_box_of_its_query(scenes):
    person = scenes[0].persons[0]
    again = Person((1.0, 2.0, 30.0, 60.0), person.identity)
    twice = replace(scenes[0], persons=(person, again))
    trainer = TrainingPairs([twice], PairSettings(scenes=16, shares=(0, 1, 0), flip=False), seed=0)
    scale = min(600 / min(twice.width, twice.height), 1000 / max(twice.width, twice.height))
    drawn = trainer.pairs(0)
    assert {pair.person for pair in drawn} == {person, again}
    for pair, box in zip(drawn, trainer[0].boxes, strict=True):
        assert box[0].tolist() == pytest.approx([v * scale for v in pair.person.box], rel=0.02)


@pytest.mark.parametrize(
    ("keep", "shares", "reason"),
    [
        ("c", (1, 1, 1), "nobody in the training scenes has an identity"),
        ("d", (1, 1, 1), "no identity is in two training scenes"),
        ("d", (0, 0, 1), "everybody is in every training scene"),
        ("ab", (0, 0, 0), "not all of them 0"),
        ("ab", (1, -1, 1), "numbers from 0 on"),
    ],
)
def test_impossible_pairs_are_one_line(scenes, keep, shares, reason):
    chosen: list[Scene] = [scene for name, scene in zip(TRAIN, scenes, strict=True) if name in keep]
    with pytest.raises(DataError, match=reason):
        TrainingPairs(chosen, PairSettings(shares=shares), seed=0)
