"""People in clothes of a wardrobe. The garments are pieces of the body's own mesh, written by the test."""

import dataclasses
import io
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("anny", reason="needs pip install 'personsearch[synthesis]'")
pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.errors import DataError, SettingError
from personsearch.synthesis import cloths, scenes
from personsearch.synthesis import wardrobe as wardrobes
from personsearch.synthesis.attire import attire_like, attire_of, blank
from personsearch.synthesis.bodies import rotation_table, sample_pose
from personsearch.synthesis.cameras import Camera, aim, sample_response
from personsearch.synthesis.fitting import SKIN_END, carry, fit, inside, load_base, pose_wearers
from personsearch.synthesis.garments import Piece
from personsearch.synthesis.layouts import KINDS
from personsearch.synthesis.outfits import identity_of
from personsearch.synthesis.render import Rendering, render
from personsearch.synthesis.synthesize import checked, claim, quiet, synthesize
from personsearch.synthesis.texels import Texels
from personsearch.synthesis.wardrobe import Garment, Wardrobe, load_wardrobe
from personsearch.synthesis.wearing import under, wear

RNG = np.random.default_rng
SETTINGS = scenes.Settings(12, 40, 5, 4, 10, 160, 96)


@pytest.fixture(scope="module", autouse=True)
def quiet_engine() -> None:
    quiet()


def write_garment(folder: Path, name: str, low: float, high: float, arms: float = 1.0) -> None:
    """The skin between two heights as a garment 1 unit outside it along MakeHuman's z, with a texture."""
    base = load_base()
    rest = base.template.rest[:SKIN_END]
    inside_of = (rest[:, 2] > low) & (rest[:, 2] < high) & (np.abs(rest[:, 0]) < arms)
    faces = base.skin[inside_of[base.skin].all(1)]
    used, faces = np.unique(faces, return_inverse=True)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{v} {v} {v} 0.5 0.25 0.25 0 0 {0.1 if rest[v, 1] < 0 else -0.1}" if k % 2 else f"{v}"
        for k, v in enumerate(used)
    ]
    head = "basemesh hm08\nx_scale 5399 11998 1.434\nz_scale 962 5320 2.0\ny_scale 791 881 2.4\nverts 0\n"
    (folder / f"{name}.mhclo").write_text(head + "\n".join(lines))
    points = "".join(f"v {x} {z} {-y}\n" for x, y, z in rest[used])
    uv = "".join(f"vt {x + 0.5} {z * 0.5 + 0.5}\n" for x, y, z in rest[used])
    corners = "".join("f " + " ".join(f"{v + 1}/{v + 1}" for v in face) + "\n" for face in faces.reshape(-1, 3))
    (folder / f"{name}.obj").write_text(points + uv + corners)
    Image.new("RGB", (8, 8), (90, 60, 60)).save(folder / f"{name}_diffuse.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wardrobe")
    write_garment(out / "clothes", "female_shirt", 0.05, 0.55)
    write_garment(out / "clothes", "male_vest", 0.0, 0.55, arms=0.17)
    write_garment(out / "clothes", "trousers", -0.7, 0.1, arms=0.35)
    write_garment(out / "clothes", "shoes", -0.9, -0.68)
    write_garment(out / "hair", "short", 0.7, 0.9)
    (out / "skins").mkdir()
    for sex in ("male", "female"):
        Image.new("RGB", (16, 16), (200, 150, 120)).save(out / "skins" / f"young_{sex}_diffuse.png")
    Image.new("RGB", (32, 32), (90, 90, 200)).save(out / "Fabric.webp")
    return out


@pytest.fixture(scope="module")
def wardrobe(folder: Path) -> Wardrobe:
    return load_wardrobe(folder)


def named(wardrobe: Wardrobe, name: str) -> Garment:
    return next(g for g in wardrobe.garments if g.name == name)


def test_a_folder_falls_into_kinds(wardrobe: Wardrobe) -> None:
    kinds = {g.name: g.kind for g in wardrobe.garments}
    assert kinds == {
        "female_shirt": "top",
        "male_vest": "top",
        "trousers": "bottom",
        "shoes": "shoes",
        "short": "hair",
    }
    assert [s.woman for s in wardrobe.skins] == [True, False]
    assert len(wardrobe.fabrics) == 1
    assert not named(wardrobe, "trousers").skirt


def test_a_fit_is_that_of_a_slow_loop(wardrobe: Wardrobe) -> None:
    phenotype = np.array([[0.9, 0.7, 0.4, 0.8, 0.3, 0.5]], np.float32)
    (wearer,) = pose_wearers(phenotype, rotation_table([{}]))
    rest, binding = wearer.base_rest, named(wardrobe, "female_shirt").binding
    found = fit(binding, rest)
    axes = {"x": 0, "y": 2, "z": 1}  # of MakeHuman in the body's
    for v in range(0, len(found), 17):
        expected = np.zeros(3)
        for corner, weight in zip(binding.corners[v], binding.weights[v], strict=True):
            expected += weight * rest[corner]
        for k, (axis, sign) in enumerate((("x", 1), ("y", 1), ("z", -1))):
            a, b, distance = binding.scales[k]
            scale = abs(rest[a][axes[axis]] - rest[b][axes[axis]]) / distance
            expected[axes[axis]] += sign * binding.offsets[v][k] * scale
        assert found[v] == pytest.approx(expected, abs=1e-5)


def test_a_garment_that_is_skin_moves_as_the_skin_does(wardrobe: Wardrobe) -> None:
    rng = np.random.default_rng(3)
    (wearer,) = pose_wearers(np.full((1, 6), 0.5, np.float32), rotation_table([sample_pose(rng)[1]]))
    garment = named(wardrobe, "female_shirt")
    own = garment.binding.corners[:, 0]
    carried = carry(wearer.body.rest[own], garment.weights, wearer.body.motion)
    assert np.abs(carried - wearer.body.vertices[own]).max() < 1e-3


def test_skin_under_a_garment_is_hidden_and_the_head_is_not(wardrobe: Wardrobe) -> None:
    base = load_base()
    hidden = under(None, named(wardrobe, "female_shirt"))
    height = base.template.rest[:SKIN_END, 2]
    middle = (height > 0.15) & (height < 0.45) & (np.abs(base.template.rest[:SKIN_END, 0]) < 0.1)
    assert hidden[middle].mean() > 0.8
    assert not hidden[height > 0.65].any()
    left = inside(base.skin, hidden)
    border = np.flatnonzero(hidden[base.skin].any(1))[::60]
    around = [base.skin[np.isin(base.skin, base.skin[face]).any(1)] for face in border]
    slow = [bool(hidden[others].all()) for others in around]
    assert left[border].tolist() == slow
    assert 0 < sum(slow) < len(slow)


def test_nobody_is_naked(wardrobe: Wardrobe) -> None:
    for number in range(8):
        person, piece = attire_of(wardrobe, 3, number), wear_of(wardrobe, number)
        kinds = {wardrobe.garments[x.garment].kind for x in person.attire.layers}
        assert "shoes" in kinds
        if person.attire.painted:
            continue
        assert {"top", "bottom"} <= kinds
        bare = piece.rest[piece.faces[piece.part == cloths.WORN]]
        chest = (np.abs(bare[..., 0]) < 0.1) & (bare[..., 2] > 0.2) & (bare[..., 2] < 0.4)
        whole = load_base().template.rest[load_base().skin]
        trunk = (np.abs(whole[..., 0]) < 0.1) & (whole[..., 2] > 0.2) & (whole[..., 2] < 0.4)
        assert chest.all(1).sum() < 0.2 * trunk.all(1).sum()


def test_an_identity_is_the_same_wherever_it_is_asked(wardrobe: Wardrobe) -> None:
    first, again = (wear_of(wardrobe, 4) for _ in range(2))
    other = wear_of(wardrobe, 5)
    assert first.rows is not None
    assert other.rows is not None
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.rest, again.rest)
    assert first.rows.shape != other.rows.shape or not np.allclose(first.rows, other.rows)


def wear_of(wardrobe: Wardrobe, number: int) -> scenes.Piece:
    person = attire_of(wardrobe, 3, number)
    pose = sample_pose(np.random.default_rng(0))[1]
    (wearer,) = pose_wearers(person.phenotype[None], rotation_table([pose]))
    return wear(wearer, person, wardrobe)


def test_a_person_stands_on_the_ground_with_unit_normals(wardrobe: Wardrobe) -> None:
    piece = wear_of(wardrobe, 2)
    drawn = np.unique(piece.faces)
    assert piece.points[drawn, 2].min() == pytest.approx(0, abs=1e-5)
    assert np.linalg.norm(piece.normals[drawn], axis=1) == pytest.approx(1, abs=0.02)
    assert piece.layer is not None
    assert piece.rows is not None
    assert piece.layer.max() < len(piece.rows)


def test_a_look_alike_wears_the_same_garments_on_another_head(wardrobe: Wardrobe) -> None:
    rng = np.random.default_rng(0)
    a, b = attire_of(wardrobe, 3, 1).attire, attire_of(wardrobe, 3, 2).attire
    before = [x.row.copy() for x in a.layers]
    alike = attire_like(rng, a, dataclasses.replace(b, painted=True))
    assert alike.skin is b.skin
    assert alike.painted == a.painted
    clothes = [x.garment for x in a.layers if x.place < 6]
    assert [x.garment for x in alike.layers if x.place < 6] == clothes
    assert all(np.array_equal(x.row, old) for x, old in zip(a.layers, before, strict=True))


def test_a_picture_depends_on_settings_and_index_alone(wardrobe: Wardrobe) -> None:
    settings = dataclasses.replace(SETTINGS, wardrobe=wardrobe.fingerprint)
    first, again = (scenes.render_scene(settings, 7, wardrobe=wardrobe) for _ in range(2))
    assert first.jpeg == again.jpeg
    assert first.annotations == again.annotations
    assert first.jpeg != scenes.render_scene(SETTINGS, 7).jpeg


def card(row: np.ndarray[Any, Any], texture: np.ndarray[Any, Any]) -> tuple[Piece, Wardrobe]:
    """A square of 1 m that faces the camera, with its lower edge at z = 0.2, coloured by a row and a texture."""
    texels = Texels()
    texels.add(texture)
    data, table = texels.finish()
    corners = np.array([[-0.5, 0, 0.2], [0.5, 0, 0.2], [0.5, 0, 1.2], [-0.5, 0, 1.2]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    ahead = np.tile(np.array([0, -1, 0], np.float32), (4, 1))
    part, layer = np.full(2, cloths.WORN, np.int32), np.zeros(2, np.int32)
    piece = Piece(corners, ahead, corners, np.zeros(4, np.float32), faces, part, uv[faces], layer, row[None])
    return piece, Wardrobe(Path(), "", texels=data, textures=table)


def seen(row: np.ndarray[Any, Any], texture: np.ndarray[Any, Any]) -> Rendering:
    """The card alone in an open place, 100 pixels wide in the middle of 160 x 120."""
    piece, wardrobe = card(row, texture)
    camera = Camera(np.array([0, -8.0, 0.7]), aim(np.zeros(3), np.pi / 2, 0.0, 0.0), 5.0, sample_response(RNG(0)))
    plaza = next(k for k, kind in enumerate(KINDS) if kind.__name__ == "winter")
    world, alive, *_ = scenes.assemble(SETTINGS, plaza, [piece], [identity_of(1, 0)], RNG(0), "cpu", wardrobe)
    lens = scenes.lens_of(camera, 160, 120)
    picture = render(world, lens, scenes.windows_of(camera, [piece], 160, 120))
    del alive
    return picture


def test_rays_go_between_hairs_and_coverage_counts_none_of_them() -> None:
    texture = np.full((16, 16, 4), 255, np.uint8)
    texture[:, :8, 3] = 0  # the left half is a hole
    whole, holed = (seen(blank(mode), texture) for mode in (cloths.CLOTH_MODE, cloths.HAIR_MODE))
    left, right = (slice(10, 110), slice(32, 75)), (slice(10, 110), slice(85, 128))
    assert (whole.owner[left] == 0).all()
    assert (holed.owner[left] != 0).all()
    assert (holed.owner[right] == 0).all()
    assert holed.alone[0] == pytest.approx(whole.alone[0] / 2, rel=0.05)


def test_a_cut_hem_leaves_nothing_below_it() -> None:
    row = blank(cloths.CLOTH_MODE)
    row[cloths.HEM_END] = 0.7
    picture = seen(row, np.full((4, 4, 4), 255, np.uint8))
    assert (picture.owner[15:55, 40:120] == 0).all()
    assert (picture.owner[65:105, 40:120] != 0).all()


def test_a_texture_stands_upright_and_its_dye_colours_it() -> None:
    texture = np.zeros((16, 16, 4), np.uint8)
    texture[:8] = (200, 30, 30, 255)  # above
    texture[8:] = (30, 30, 200, 255)
    row = blank(cloths.CLOTH_MODE)
    row[cloths.KEEP] = 1.0
    picture = seen(row, texture).color
    above, below = picture[20:50, 60:100].mean((0, 1)), picture[70:100, 60:100].mean((0, 1))
    assert above[0] > 5 * above[2]
    assert below[2] > 5 * below[0]
    row[cloths.KEEP], row[cloths.RELIEF] = 0.0, 0.0
    row[cloths.DYE_A : cloths.DYE_A + 3] = (0.02, 0.5, 0.02)
    dyed = seen(row, texture).color[20:100, 60:100].mean((0, 1))
    assert dyed[1] > 5 * max(dyed[0], dyed[2])


def test_without_a_wardrobe_settings_say_nothing_of_one(tmp_path: Path) -> None:
    settings = checked(8, 5, 3, 3, 2, 160, 96)
    assert "wardrobe" not in settings.as_dict()
    worn = dataclasses.replace(settings, wardrobe="abc")
    assert worn.as_dict()["wardrobe"] == "abc"
    claim(tmp_path / "out", settings.as_dict())
    with pytest.raises(SettingError, match="wardrobe=none, not abc"):
        claim(tmp_path / "out", worn.as_dict())
    claim(tmp_path / "worn", worn.as_dict())
    for other in (settings, dataclasses.replace(settings, wardrobe="abd")):
        with pytest.raises(SettingError, match="wardrobe=abc"):
            claim(tmp_path / "worn", other.as_dict())


def test_a_run_stops_and_goes_on_with_the_same_wardrobe_alone(folder: Path, tmp_path: Path) -> None:
    size = {"identities": 4, "scenes": 1, "test_identities": 0, "test_scenes": 0, "width": 96, "height": 64}
    out = tmp_path / "out"
    synthesize(out, **size, wardrobe=folder, workers=1)
    before = (out / "images" / "000000.jpg").read_bytes()
    (out / "images" / "000000.jpg").unlink()
    synthesize(out, **size, wardrobe=folder, workers=1)
    assert (out / "images" / "000000.jpg").read_bytes() == before
    with pytest.raises(SettingError, match="wardrobe"):
        synthesize(out, **size, workers=1)


def spoil(folder: Path, damage: str) -> None:
    """Damages one garment, the vest."""
    vest = folder / "clothes" / "male_vest"
    if damage == "mesh":
        vest.with_suffix(".obj").unlink()
    elif damage == "count":
        vest.with_suffix(".obj").write_text("v 0 0 0\n" + vest.with_suffix(".obj").read_text())
    elif damage == "base":
        text = vest.with_suffix(".mhclo").read_text()
        vest.with_suffix(".mhclo").write_text(text.replace("hm08", "alpha7"))
    elif damage == "texture":
        vest.with_name("male_vest_diffuse.png").unlink()
    elif damage == "faceless":
        lines = vest.with_suffix(".obj").read_text().splitlines()
        vest.with_suffix(".obj").write_text("\n".join(line for line in lines if not line.startswith("f ")))
    elif damage == "picture":
        vest.with_name("male_vest_diffuse.png").write_bytes(b"none")
    else:
        Image.new("1", (8001, 8001)).save(vest.with_name("male_vest_diffuse.png"))


@pytest.mark.parametrize("damage", ["mesh", "count", "base", "texture", "faceless", "picture", "vast"])
def test_a_bad_garment_is_one_line_or_left_out(
    damage: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "bad")
    spoil(tmp_path / "bad", damage)
    with pytest.raises(DataError, match="male_vest") as caught:
        load_wardrobe(tmp_path / "bad")
    assert "\n" not in str(caught.value)
    rest = load_wardrobe(tmp_path / "bad", lenient=True)
    assert "left out: " in capsys.readouterr().err
    assert "male_vest" not in {g.name for g in rest.garments}
    assert {g.name for g in rest.garments} == {"female_shirt", "trousers", "shoes", "short"}


def test_vertices_of_no_face_are_nothing_to_wear(folder: Path, wardrobe: Wardrobe, tmp_path: Path) -> None:
    """Wherever they are: under a vest, they would make it a suit, or be parts of their own."""
    shutil.copytree(folder, tmp_path / "stray")
    vest = tmp_path / "stray" / "clothes" / "male_vest"
    base = load_base().template.rest[:SKIN_END]
    for v in (int(base[:, 2].argmin()), int(base[:, 2].argmax()), int(np.abs(base[:, 2]).argmin())):
        vest.with_suffix(".mhclo").write_text(vest.with_suffix(".mhclo").read_text() + f"\n{v}")
        vest.with_suffix(".obj").write_text("v 0 0 0\n" + _shifted(vest.with_suffix(".obj").read_text()))
    lines = vest.with_suffix(".mhclo").read_text().splitlines()
    start = lines.index("verts 0") + 1
    vest.with_suffix(".mhclo").write_text("\n".join([*lines[:start], *lines[-1:-4:-1], *lines[start:-3]]))
    found, whole = named(load_wardrobe(tmp_path / "stray"), "male_vest"), named(wardrobe, "male_vest")
    assert [g.name for g in load_wardrobe(tmp_path / "stray").garments] == [g.name for g in wardrobe.garments]
    assert (found.kind, found.skirt) == (whole.kind, whole.skirt)
    np.testing.assert_array_equal(found.faces, whole.faces)
    np.testing.assert_allclose(found.rest, whole.rest)


def _shifted(obj: str) -> str:
    """A mesh whose faces name the vertices after a new first one."""

    def moved(word: str) -> str:
        vertex, _, point = word.partition("/")
        return f"{int(vertex) + 1}/{point}"

    return "\n".join(
        " ".join(["f", *map(moved, line.split()[1:])]) if line.startswith("f ") else line for line in obj.splitlines()
    )


@pytest.mark.parametrize("suffix", [".MHCLO", ".Obj", ".PNG"])
def test_names_in_capitals_are_read(folder: Path, wardrobe: Wardrobe, tmp_path: Path, suffix: str) -> None:
    shutil.copytree(folder, tmp_path / "loud")
    for file in sorted((tmp_path / "loud").rglob(f"*{suffix.lower()}")):
        file.rename(file.with_name(file.stem.upper() + suffix))
    (tmp_path / "loud" / "skins").rename(tmp_path / "loud" / "Skins")
    loud = load_wardrobe(tmp_path / "loud")
    assert sorted(g.kind for g in loud.garments) == sorted(g.kind for g in wardrobe.garments)
    assert len(loud.skins) == len(wardrobe.skins)


def test_numbers_that_nobody_foresaw_are_one_line_or_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder, tmp_path / "odd")
    sound = wardrobes.cut

    def cut(name: str, *rest: Any) -> Garment:
        return sound(name, *rest) if name != "male_vest" else sound(name, 1 / 0)

    monkeypatch.setattr(wardrobes, "cut", cut)
    with pytest.raises(DataError, match=r"male_vest\.mhclo: holds what cannot be worn \(division by zero\); copy it"):
        load_wardrobe(tmp_path / "odd")
    assert "male_vest" not in {g.name for g in load_wardrobe(tmp_path / "odd", lenient=True).garments}
    assert capsys.readouterr().err.count("left out: ") == 1


@pytest.mark.parametrize("side", [1, 2, 7, 15, 16, 17])
def test_a_cloth_of_few_pixels_is_a_cloth(folder: Path, tmp_path: Path, side: int) -> None:
    shutil.copytree(folder, tmp_path / "small")
    Image.new("RGB", (side, side), (90, 90, 200)).save(tmp_path / "small" / "Fabric.webp", lossless=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (cloth,) = load_wardrobe(tmp_path / "small").fabrics
    assert not cloth.patterned
    assert 0 < cloth.tone < 1


@pytest.mark.parametrize("lost", ["clothes/female_shirt male_vest", "clothes/trousers", "clothes/shoes", "hair/short"])
def test_a_wardrobe_that_would_undress_people_is_refused(lost: str, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "poor")
    where, _, names = lost.partition("/")
    for name in names.split():
        (tmp_path / "poor" / where / f"{name}.mhclo").unlink()
    with pytest.raises(SettingError, match="holds no"):
        load_wardrobe(tmp_path / "poor", lenient=True)


def test_a_folder_without_garments_or_skins_is_refused(folder: Path, tmp_path: Path) -> None:
    for empty in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SettingError, match=empty.name):
            load_wardrobe(empty)
    shutil.copytree(folder, tmp_path / "poor")
    shutil.rmtree(tmp_path / "poor" / "skins")
    with pytest.raises(SettingError, match="holds no skins"):
        load_wardrobe(tmp_path / "poor")


def test_the_fingerprint_changes_with_every_file(folder: Path, wardrobe: Wardrobe, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "same")
    assert load_wardrobe(tmp_path / "same").fingerprint == wardrobe.fingerprint
    shutil.copytree(folder, tmp_path / "other")
    Image.new("RGB", (8, 8), (91, 60, 60)).save(tmp_path / "other" / "clothes" / "shoes_diffuse.png")
    assert load_wardrobe(tmp_path / "other").fingerprint != wardrobe.fingerprint


def test_pictures_without_a_wardrobe_stay_as_they_were() -> None:
    """Pictures as they came before there were wardrobes; other processors may round a pixel otherwise."""
    for index, box, area, number, mean in (
        (0, (66, 25, 8, 24), 81, 7, (124.78, 133.07, 152.75)),
        (7, (123, 27, 22, 43), 365, 2, (130.44, 119.91, 92.46)),
    ):
        scene = scenes.render_scene(SETTINGS, index)
        (person,) = scene.annotations
        assert person.bbox == pytest.approx(box, abs=1)
        assert person.area == pytest.approx(area, abs=3)
        assert person.person_id == number
        pixels = np.asarray(Image.open(io.BytesIO(scene.jpeg)), float)
        assert pixels.mean((0, 1)) == pytest.approx(mean, abs=0.2)


def test_a_light_probe_is_found_counted_and_left_out_when_damaged(
    folder: Path, wardrobe: Wardrobe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lit = tmp_path / "lit"
    shutil.copytree(folder, lit)
    (lit / "hdri").mkdir()
    content = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n" + bytes((90, 90, 90, 128)) * 128
    (lit / "hdri" / "sky.hdr").write_bytes(content)
    found = load_wardrobe(lit)
    assert [p.name for p in found.probes] == ["sky.hdr"]
    assert not wardrobe.probes
    assert found.fingerprint != wardrobe.fingerprint
    (lit / "hdri" / "torn.hdr").write_bytes(content[:-1])
    load_wardrobe.cache_clear()
    with pytest.raises(DataError, match=r"torn\.hdr: is damaged"):
        load_wardrobe(lit)
    assert [p.name for p in load_wardrobe(lit, lenient=True).probes] == ["sky.hdr"]
    assert "torn.hdr" in capsys.readouterr().err
