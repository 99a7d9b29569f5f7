"""One picture: a pure function of settings and index, with boxes that are the extents of the visible pixels."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("anny", reason="needs pip install 'personsearch[synthesis]'")
pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.synthesis import scenes
from personsearch.synthesis.bodies import COARSE, load_template, pose_bodies, rotation_table, sample_pose
from personsearch.synthesis.cameras import Camera, aim, build_camera, sample_response
from personsearch.synthesis.figures import PERSON_COLUMNS
from personsearch.synthesis.garments import dress, hairline
from personsearch.synthesis.layouts import KINDS
from personsearch.synthesis.outfits import identity_of, look_alike
from personsearch.synthesis.places import build_place
from personsearch.synthesis.render import coverage, render

SETTINGS = scenes.Settings(12, 40, 5, 4, 10, 160, 96)


@pytest.fixture(scope="module", autouse=True)
def quiet_engine() -> None:
    from personsearch.synthesis.synthesize import quiet

    quiet()


@pytest.fixture(scope="module")
def some_scenes() -> list[scenes.RenderedScene]:
    return [scenes.render_scene(SETTINGS, index) for index in (0, 7, 35)]


def test_same_settings_and_index_give_the_same_bytes(some_scenes: list[scenes.RenderedScene]) -> None:
    again = scenes.render_scene(SETTINGS, 7)
    assert again.jpeg == some_scenes[1].jpeg
    assert again.annotations == some_scenes[1].annotations


def test_another_seed_gives_another_picture(some_scenes: list[scenes.RenderedScene]) -> None:
    other = scenes.render_scene(dataclasses.replace(SETTINGS, seed=6), 7)
    assert other.jpeg != some_scenes[1].jpeg


def test_the_picture_has_the_size_asked_for(some_scenes: list[scenes.RenderedScene]) -> None:
    assert Image.open(io.BytesIO(some_scenes[0].jpeg)).size == (160, 96)


def test_boxes_are_the_extents_of_the_visible_pixels(some_scenes: list[scenes.RenderedScene]) -> None:
    assert sum(len(s.annotations) for s in some_scenes) > 3
    for scene in some_scenes:
        for row, person in zip(scene.rows, scene.annotations, strict=True):
            x, y, w, h = person.bbox
            seen = [(i, j) for j in range(96) for i in range(160) if scene.owner[j, i] == row]
            assert x == min(i for i, _ in seen)
            assert y == min(j for _, j in seen)
            assert x + w - 1 == max(i for i, _ in seen)
            assert y + h - 1 == max(j for _, j in seen)
            assert person.area == len(seen)
            assert scenes.LEAST_VISIBLE <= person.visible <= 1
            assert person.person_id == scenes.UNLABELED or person.visible >= scenes.LEAST_NAMED


def stage(spots: list[tuple[float, float]], height: float = 2.0) -> tuple[object, object, list[object], Camera]:
    """People of fixed poses in an open place seen from (0, -8), without anything in front but each other."""
    people = [identity_of(1, k) for k in range(len(spots))]
    rng = np.random.default_rng(0)
    pieces = scenes.dressed_people(people, [(x, y, 100.0, 0.3) for x, y in spots], 1.0, rng)
    camera = Camera(np.array([0, -8.0, height]), aim(np.zeros(3), np.pi / 2, 0.1, 0.0), 0.9, sample_response(rng))
    plaza = next(k for k, kind in enumerate(KINDS) if kind.__name__ == "winter")
    world, alive, _ = scenes.assemble(SETTINGS, plaza, pieces, people, rng, "cpu")
    return world, alive, pieces, camera


def render_stage(spots: list[tuple[float, float]]) -> list[tuple[int, scenes.Annotation]]:
    world, alive, pieces, camera = stage(spots)
    windows = scenes.windows_of(camera, pieces, 160, 96)
    picture = render(world, scenes.lens_of(camera, 160, 96), windows)
    del alive
    return scenes.annotate(picture.owner, picture.alone, list(range(len(spots))))


def test_a_lone_person_inside_the_picture_is_wholly_visible() -> None:
    ((_, person),) = render_stage([(0.0, 0.0)])
    assert person.visible == 1.0
    assert person.person_id == 0


def test_a_person_behind_another_is_partly_visible() -> None:
    found = dict(render_stage([(0.0, -1.0), (0.16, 0.3)]))
    assert found[0].visible == 1.0
    assert 1 not in found or found[1].visible < 0.9


def test_a_person_cut_by_the_border_is_partly_visible() -> None:
    world, alive, pieces, camera = stage([(0.0, 0.0)])
    middle = scenes.project(camera, pieces[0].points, 160, 96)[:, 0].mean()  # type: ignore[attr-defined]
    moved = dataclasses.replace(camera, at=camera.at + camera.axes[0] * (middle - 1) * 8 / (0.9 * 160))
    windows = scenes.windows_of(moved, pieces, 160, 96)
    picture = render(world, scenes.lens_of(moved, 160, 96), windows)
    del alive
    ((_, person),) = scenes.annotate(picture.owner, picture.alone, [0])
    assert person.bbox[0] == 0
    assert 0.3 < person.visible < 0.75


def test_coverage_of_a_coarse_grid_is_close_to_every_pixel() -> None:
    world, alive, pieces, camera = stage([(0.0, -5.0)])
    lens = scenes.lens_of(camera, 1280, 960)
    windows = scenes.windows_of(camera, pieces, 1280, 960)
    x1, y1, x2, y2 = windows[0]
    assert (x2 - x1) * (y2 - y1) > 40000
    estimate = coverage(world, lens, windows, "cpu")[0]
    quarters = [[x1, y1, (x1 + x2) // 2, (y1 + y2) // 2], [(x1 + x2) // 2, y1, x2, (y1 + y2) // 2]]
    quarters += [[x1, (y1 + y2) // 2, (x1 + x2) // 2, y2], [(x1 + x2) // 2, (y1 + y2) // 2, x2, y2]]
    whole = 0.0
    for quarter in quarters:  # each under the limit, so counted exactly; row 0 is the person
        whole += coverage(world, lens, np.array([quarter], np.int32), "cpu")[0]
    del alive
    assert estimate == pytest.approx(whole, rel=0.02)


def test_nobody_annotated_when_nobody_is_seen() -> None:
    owner = np.full((4, 5), -1, np.int32)
    assert scenes.annotate(owner, np.array([10.0]), [3]) == []
    assert scenes.annotate(owner, np.zeros(0), []) == []


def test_small_and_hidden_people_are_dropped_or_lose_their_identity() -> None:
    owner = np.full((60, 60), -1, np.int32)
    owner[:30, :10] = 0
    owner[:20, 20:30] = 1
    assert [a.person_id for _, a in scenes.annotate(owner, np.array([300.0, 200.0]), [7, 8])] == [7]
    assert [a.person_id for _, a in scenes.annotate(owner, np.array([1000.0, 200.0]), [7, 8])] == [-1]
    assert scenes.annotate(owner, np.array([2000.0, 200.0]), [7, 8]) == []


def test_everybody_is_cast_and_splits_are_disjoint() -> None:
    train, test = scenes.casting(SETTINGS, "train"), scenes.casting(SETTINGS, "test")
    assert sorted({*train, *test}) == list(range(40))
    assert {p for cast in train.values() for p in cast} == set(range(8))
    assert {p for cast in test.values() for p in cast} == set(range(8, 12))
    for cast in (*train.values(), *test.values()):
        assert len(set(cast)) == len(cast)
    counts = [sum(p in cast for cast in test.values()) for p in range(8, 12)]
    assert min(counts) >= 3
    assert max(counts) - min(counts) <= 3


def test_people_with_a_home_are_there_in_training_alone() -> None:
    homely = dataclasses.replace(SETTINGS, identities=84, test_identities=4, scenes=200, test_scenes=40, home=0.8)
    free = dataclasses.replace(homely, home=0.0)
    assert scenes.casting(homely, "test") == scenes.casting(free, "test")
    at_home = []
    for index, cast in scenes.casting(homely, "train").items():
        assert len(set(cast)) == len(cast) == scenes.crowd_size(homely, index)[1]
        place, _ = scenes.place_of(homely, index)
        at_home += [person in scenes.residents(homely, place) for person in cast]
    homes = [set(scenes.residents(homely, place)) for place in range(scenes.train_places(homely))]
    assert sorted(person for home in homes for person in home) == list(range(80)), "everybody has one home"
    assert np.mean(at_home) == pytest.approx(0.8, abs=0.05)
    strangers = [
        person in scenes.residents(free, scenes.place_of(free, index)[0])
        for index, cast in scenes.casting(free, "train").items()
        for person in cast
    ]
    assert np.mean(strangers) < 0.2


def test_splits_have_places_of_their_own_and_several_cameras() -> None:
    seen: dict[str, set[tuple[int, int]]] = {"train": set(), "test": set()}
    for index in range(40):
        rng = np.random.default_rng(index)
        seen[scenes.split_of(SETTINGS, index)].add(scenes.choose_place(SETTINGS, index, rng))
    places = {split: {place for place, _ in pairs} for split, pairs in seen.items()}
    assert not places["train"] & places["test"]
    assert len(places["train"]) >= 6
    assert all(camera // 4 == place for pairs in seen.values() for place, camera in pairs)
    assert len({camera % 4 for _, camera in seen["train"]}) >= 3


def test_an_identity_is_the_same_wherever_it_is_asked() -> None:
    first, second = identity_of(4, 17), identity_of(4, 17)
    assert np.array_equal(first.outfit.row, second.outfit.row)
    assert np.array_equal(first.phenotype, second.phenotype)
    assert not np.array_equal(first.outfit.row, identity_of(4, 18).outfit.row)
    assert first.outfit.row.shape == (PERSON_COLUMNS,)


def test_a_look_alike_leaves_the_other_unchanged() -> None:
    person = identity_of(4, 17)
    before = person.outfit.row.copy()
    other = look_alike(np.random.default_rng(0), person)
    assert np.array_equal(person.outfit.row, before)
    assert not np.array_equal(other.phenotype, person.phenotype)


def test_soles_touch_the_ground_and_normals_have_unit_length() -> None:
    rng = np.random.default_rng(2)
    poses = [sample_pose(rng)[1] for _ in range(3)]
    people = [identity_of(2, k) for k in range(3)]
    posed = pose_bodies(COARSE, np.stack([p.phenotype for p in people]), rotation_table(poses))
    for body, person in zip(posed, people, strict=True):
        assert body.vertices[:, 2].min() == pytest.approx(0, abs=1e-4)
        assert np.linalg.norm(body.normals, axis=1) == pytest.approx(1, abs=1e-3)
        piece = dress(body, person)
        assert piece.faces.max() == len(piece.points) - 1
        assert len(piece.rest) == len(piece.normals) == len(piece.arm) == len(piece.points)
        assert np.isfinite(piece.points).all()
    assert pose_bodies(COARSE, np.zeros((0, 6), np.float32), np.zeros((0, 1, 3, 3), np.float32)) == []


def test_the_hairline_lies_on_the_head() -> None:
    rest = load_template(COARSE).rest
    assert (hairline(np.array([-0.15, -0.07, 0.05], np.float32)) < rest[:, 2].max()).all()


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_places_have_room_and_cameras(number: int) -> None:
    place = build_place(9, number)
    x1, y1, x2, y2 = place.layout.area
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(x1, x2, 400), rng.uniform(y1, y2, 400)], 1)
    assert np.mean([place.free(*p) for p in points]) > 0.3
    assert not place.free(x2 + 1, y2 + 1)
    assert place.mesh.faces.max() == len(place.mesh.points) - 1
    assert place.mesh.material.max() < len(place.mesh.materials)
    for k in range(4):
        camera = build_camera(9, 4 * number + k, place, np.random.default_rng(1))
        assert camera.axes @ camera.axes.T == pytest.approx(np.eye(3), abs=1e-9)
        assert 1.3 < camera.at[2] < 6.3
