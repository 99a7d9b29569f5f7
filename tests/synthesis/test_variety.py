"""What varies with a wardrobe alone: light, cameras, poses, things carried and crowds."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("anny", reason="needs pip install 'personsearch[synthesis]'")
pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.synthesis import bodies, cameras, carried, gestures, probes, scenes, sensors, standing
from personsearch.synthesis.attire import Attire, Dressed
from personsearch.synthesis.cloths import CLOTH_COLUMNS
from personsearch.synthesis.layouts import KINDS
from personsearch.synthesis.light import probe_light
from personsearch.synthesis.outfits import identity_of
from personsearch.synthesis.places import build_place
from personsearch.synthesis.wardrobe import Wardrobe

SETTINGS = scenes.Settings(12, 40, 5, 4, 10, 160, 96)


@pytest.fixture(scope="module", autouse=True)
def quiet_engine() -> None:
    from personsearch.synthesis.synthesize import quiet

    quiet()


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Wardrobe:
    """Two light probes, no garments."""
    folder = tmp_path_factory.mktemp("wardrobe")
    for name, sky in (("clear", (120, 160, 250, 129)), ("dull", (140, 140, 140, 128))):
        pixels = np.full((16, 32, 4), sky, np.uint8)
        pixels[8:] = (110, 90, 60, 127)
        if name == "clear":
            pixels[3, 5] = (250, 240, 200, 137)
        header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
        (folder / f"{name}.hdr").write_bytes(header + pixels.tobytes())
    paths = tuple(sorted(folder.glob("*.hdr")))
    return Wardrobe(folder, "probes", probes=paths, textures=np.array([[0, 1]], np.int32))


@pytest.fixture(autouse=True)
def plain_clothes(monkeypatch: pytest.MonkeyPatch) -> None:
    """People of a wardrobe in clothes of formulas, so that none is needed."""
    none = np.zeros(CLOTH_COLUMNS, np.float32)

    def dressed(seed: int, named: tuple[int, ...], total: int, *_: object) -> list[tuple[int, Dressed]]:
        numbers = [*named, *[scenes.UNLABELED] * (total - len(named))]
        people = [identity_of(seed, k) for k in range(total)]
        return [
            (n, Dressed(**vars(p), attire=Attire(True, none, none, ()))) for n, p in zip(numbers, people, strict=True)
        ]

    monkeypatch.setattr(scenes, "worn_by", dressed)


def test_without_a_wardrobe_pictures_are_as_they_always_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("drawn without a wardrobe")

    for name in (
        "record",
        "smear_people",
        "varied_pose",
        "draw_things",
        "crowd",
        "gather",
        "varied_light",
        "sensor_of",
    ):
        monkeypatch.setattr(scenes, name, never)
    monkeypatch.setattr(cameras, "mount", never)
    scene = scenes.render_scene(SETTINGS, 35)
    boxes = np.array([a.bbox for a in scene.annotations])
    expected = [(101, 23, 8, 25), (62, 31, 10, 31), (0, 47, 25, 49), (21, 40, 15, 38)]
    assert np.abs(boxes - expected).max() <= 1, "benchmarks that were rendered before would be others"
    assert [a.person_id for a in scene.annotations] == [10, 9, -1, -1]


def test_with_a_wardrobe_a_picture_is_a_function_of_its_index(wardrobe: Wardrobe) -> None:
    first, again = (scenes.render_scene(SETTINGS, 7, wardrobe=wardrobe) for _ in range(2))
    assert first.jpeg == again.jpeg
    assert first.annotations == again.annotations
    assert first.jpeg != scenes.render_scene(SETTINGS, 7).jpeg
    for row, person in zip(first.rows, first.annotations, strict=True):
        y, x = np.nonzero(first.owner == row)
        assert person.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)


def test_boxes_do_not_depend_on_the_sensor(wardrobe: Wardrobe, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scenes.render_scene(SETTINGS, 35, wardrobe=wardrobe)
    monkeypatch.setattr(scenes, "sensor_of", lambda _seed, _camera: sensors.sensor_of(99, 99))
    other = scenes.render_scene(SETTINGS, 35, wardrobe=wardrobe)
    assert first.annotations
    assert first.annotations == other.annotations
    assert first.jpeg != other.jpeg


def test_cameras_hang_at_eye_level_and_high_and_always_in_the_same_place() -> None:
    place = build_place(9, 2)
    hung = [cameras.build_camera(9, 4 * k, place, np.random.default_rng(1), varied=True) for k in range(60)]
    again = cameras.build_camera(9, 4, place, np.random.default_rng(1), varied=True)
    assert np.array_equal(hung[1].at, again.at)
    assert np.array_equal(hung[1].axes, again.axes)
    heights, down = np.array([c.at[2] for c in hung]), np.array([-c.axes[2, 2] for c in hung])
    assert heights.min() < 2.0
    assert heights.max() > 6.0
    assert down.min() < 0.15
    assert 0.55 < down.max() < 0.85


def test_light_of_a_probe_by_day_and_in_a_room(wardrobe: Wardrobe) -> None:
    clear = probes.load_probe(wardrobe.probes[0])
    for number in range(len(KINDS)):
        place = build_place(9, number)
        light = probe_light(np.random.default_rng(0), place, clear)
        assert light.ambient is not None
        assert light.ambient.shape == (9, 3)
        assert light.cast().mean() == pytest.approx(1.0)
        if place.layout.light == "day":
            assert light.kind == [0]
            assert light.picture is not None
        else:
            assert len(light.at) == len(place.layout.lamps)
            assert light.picture is None


def test_the_sky_of_a_probe_is_seen_and_lights(wardrobe: Wardrobe) -> None:
    """A place under a red probe is redder than under a blue one, sky and ground alike."""
    means = []
    for color in ((1.5, 0.8, 0.5), (0.5, 0.8, 1.5)):
        probe = probes.split(np.ones((probes.HEIGHT, probes.WIDTH, 3)) * color)
        place = build_place(SETTINGS.seed, 2)
        light = probe_light(np.random.default_rng(0), place, probe)
        body = bodies.pose_bodies(bodies.COARSE, np.full((1, 6), 0.5, np.float32), bodies.rotation_table([{}]))[0]
        person = identity_of(1, 0)
        piece = scenes.put(scenes.dress(body, person), 0.0, 0.0, 0.0)
        world, alive, _ = scenes.assemble(SETTINGS, 2, [piece], [person], np.random.default_rng(0), "cpu", light=light)
        axes = cameras.aim(np.zeros(3), np.pi / 2, 0.0, 0.0)
        camera = cameras.Camera(
            np.array([0.0, -9.0, 2.0]), axes, 0.8, cameras.sample_response(np.random.default_rng(0))
        )
        window = scenes.windows_of(camera, [piece], 80, 48)
        color_seen = scenes.render.render(world, scenes.lens_of(camera, 80, 48), window).color
        del alive
        means.append((color_seen[0].mean(0), color_seen[-1].mean(0)))
    for red, blue in zip(*means, strict=True):
        assert red[0] / red[2] > 4 * blue[0] / blue[2]


def test_a_crowd_stands_close_but_never_inside_somebody() -> None:
    place = build_place(9, 2)
    camera = cameras.build_camera(9, 8, place, np.random.default_rng(1), varied=True)
    rng = np.random.default_rng(0)
    spots = standing.positions(camera, place, (160, 96), 5, rng)
    close = standing.gather(camera, place, spots, 8, rng)
    assert 3 < len(close) <= 8
    points = np.array([s[:2] for s in [*spots, *close]])
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(len(points))
    assert apart[len(spots) :].min() > 0.35
    assert (apart[len(spots) :, : len(spots)].min(1) < 1.2).all()
    assert all(place.free(*p) for p in points)
    assert standing.gather(camera, place, spots, 0, rng) == []


def test_who_walks_crosses_the_picture_and_who_stands_hardly() -> None:
    axes = cameras.aim(np.zeros(3), np.pi / 2, 0.0, 0.0)
    camera = cameras.Camera(np.array([0.0, -10.0, 1.0]), axes, 1.0, cameras.sample_response(np.random.default_rng(0)))
    spots = [(0.0, 0.0, 100.0, np.pi / 2)] * 2
    motion = standing.velocity(camera, spots, ["walk", "stand"], (1000, 600))
    assert motion[0] == pytest.approx((130.0, 0.0), abs=0.5)  # 1.3 metres, of which each has 100 pixels
    assert np.linalg.norm(motion[1]) < 15


def test_poses_use_bones_that_are_there_and_turn_heads_wider() -> None:
    rng = np.random.default_rng(0)
    known = set(bodies.load_template(bodies.COARSE).bones)
    drawn = [gestures.varied_pose(rng, thing) for thing in ("none", *carried.THINGS) for _ in range(40)]
    assert {bone for _, pose in drawn for bone in pose} <= known
    assert {move for move, _ in drawn} == set(gestures.MOVES)
    assert all(np.allclose(r @ r.T, np.eye(3), atol=1e-4) for _, pose in drawn for r in pose.values())


@pytest.mark.parametrize("thing", carried.THINGS)
def test_things_are_meshes_in_the_hand_and_leave_people_unchanged(thing: str) -> None:
    rng = np.random.default_rng(1)
    person = identity_of(2, 0)
    table = bodies.rotation_table([gestures.varied_pose(rng, thing)[1]])
    body = bodies.pose_bodies(bodies.COARSE, person.phenotype[None], table)[0]
    piece = carried.carry(thing, body, rng)
    assert piece.faces.max() == len(piece.points) - 1
    assert len(piece.part) == len(piece.faces)
    assert np.isfinite(piece.points).all()
    assert np.linalg.norm(piece.normals, axis=1).max() < 1.001
    hand = body.joints[body.template.bones["finger3-1.R"]]
    assert np.linalg.norm(piece.points - hand, axis=1).min() < 0.3
    assert piece.points[:, 2].min() > -0.1
    before = person.outfit.row.copy()
    carried.painted(person, rng)
    assert np.array_equal(person.outfit.row, before)


def test_things_belong_to_the_picture() -> None:
    assert carried.draw_things(np.random.default_rng(0), 0) == []
    drawn = [carried.draw_things(np.random.default_rng(k), 10) for k in range(60)]
    share = np.mean([thing != "none" for things in drawn for thing in things])
    assert 0.08 < share < 0.3
    assert {thing for things in drawn for thing in things} == {"none", *carried.THINGS}


def test_things_are_seen_but_nobody_in_the_annotations(wardrobe: Wardrobe, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody: list[int] = []

    def counted(people: list[object], *rest: object) -> object:
        everybody.append(len(people))
        return clothed(people, *rest)

    clothed = scenes.clothed_people
    monkeypatch.setattr(scenes, "clothed_people", counted)
    monkeypatch.setattr(scenes, "draw_things", lambda _rng, people: ["umbrella"] * people)
    scene = scenes.render_scene(SETTINGS, 9, wardrobe=wardrobe)
    assert scene.owner.max() >= everybody[0]
    assert max(scene.rows) < everybody[0]


def test_without_probes_light_is_painted(tmp_path: Path) -> None:
    for k in range(5):
        assert (
            scenes.varied_light(Wardrobe(tmp_path, "none"), build_place(9, k), np.random.default_rng(k)).ambient is None
        )
