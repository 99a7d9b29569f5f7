"""MakeHuman's two text files of a garment, and pictures for the kernels, without any asset of theirs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from personsearch.errors import DataError
from personsearch.synthesis.makehuman import components, read_mhclo, read_obj
from personsearch.synthesis.texels import Texels, pyramid, read_picture

MHCLO = """# a comment
basemesh hm08
x_scale 0 1 2.0
z_scale 2 3 4.0
y_scale 4 5 8.0
verts 0
material shirt.mhmat
7
1 2 3 0.5 0.25 0.25 0.1 -0.2 0.3
delete_verts
9 11 - 13
20
"""
OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_binding_holds_what_its_lines_say(tmp_path: Path) -> None:
    binding = read_mhclo(write(tmp_path / "shirt.mhclo", MHCLO))
    assert binding.corners.tolist() == [[7, 7, 7], [1, 2, 3]]
    assert binding.weights.tolist() == [[1, 0, 0], [0.5, 0.25, 0.25]]
    assert binding.offsets.tolist() == [[0, 0, 0], [0.1, -0.2, 0.3]]
    assert binding.scales == ((0, 1, 2.0), (4, 5, 8.0), (2, 3, 4.0))  # of x, y and z
    assert binding.mesh == "shirt.obj"
    assert binding.material == "shirt.mhmat"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hm08", "alpha7", "another base mesh"),
        ("\n7\n", "\n19158\n", "another base mesh"),
        ("\n7\n", "\n-1\n", "another base mesh"),
        ("2.0", "two", "damaged"),
        ("2.0", "nan", "damaged"),
        ("x_scale 0 1 2.0\n", "", "no x_scale"),
        ("0.25 0.25 0.1 -0.2 0.3", "0.25 inf 0.1 -0.2 0.3", "damaged"),
        ("verts 0", "nothing 0", "damaged"),
        ("x_scale 0 1 2.0", "x_scale 0", "damaged"),
    ],
)
def test_a_damaged_binding_is_one_line_that_names_the_file(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "shirt.mhclo", MHCLO.replace(old, new, 1))
    with pytest.raises(DataError, match=message) as caught:
        read_mhclo(path)
    assert "shirt.mhclo" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_polygon_is_cut_into_triangles_with_its_texture_coordinates(tmp_path: Path) -> None:
    mesh = read_obj(write(tmp_path / "shirt.obj", OBJ))
    assert mesh.vertices == 4
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.uv[1].tolist() == [[0, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize("old", ["f 1/1", "f 9/1", "f 1/9", "f x/1", "f 0/1", "f 1/-9", "vt 0 nan", "vt 0"])
def test_a_damaged_mesh_is_one_line_that_names_the_file(old: str, tmp_path: Path) -> None:
    text = OBJ.replace("f 1/1 2/2 3/3 4/4", old) if old == "f 1/1" else OBJ.replace(old[:1] + " 1/1", old)
    text = text.replace("vt 0 0", old) if old.startswith("vt") else text
    with pytest.raises(DataError, match=r"shirt\.obj: damaged"):
        read_obj(write(tmp_path / "shirt.obj", text))


def test_components_are_those_of_a_slow_walk() -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 60, (25, 3))
    label = components(60, faces)
    reached = {v: {v} for v in range(60)}
    for _ in range(60):
        for face in faces.tolist():
            joined = set().union(*(reached[v] for v in face))
            for v in face:
                reached[v] = joined
    for a in range(60):
        for b in range(60):
            assert (label[a] == label[b]) == (b in reached[a] or a in reached[b])


def test_a_pyramid_halves_and_lets_colours_flow_into_holes() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[0, 0] = (200, 100, 50, 255)
    levels = pyramid(picture)
    assert [level.shape for level in levels] == [(4, 4, 4), (2, 2, 4), (1, 1, 4)]
    assert levels[0][3, 3].tolist() == pytest.approx([200, 100, 50, 0], abs=1)
    assert levels[2][0, 0, 3] == round(255 / 16)


def test_pictures_become_squares_of_a_power_of_two(tmp_path: Path) -> None:
    Image.new("RGB", (300, 700), (10, 20, 30)).save(tmp_path / "a.png")
    texels = Texels()
    assert texels.add(read_picture(tmp_path / "a.png")) == 0
    assert texels.add(read_picture(tmp_path / "a.png", 64)) == 1
    data, table = texels.finish()
    assert table[:, 1].tolist() == [512, 64]
    assert data[table[1, 0] : table[1, 0] + 4].tolist() == [10, 20, 30, 255]


def test_an_enormous_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (8001, 8001)).save(tmp_path / "vast.png")
    Image.new("1", (20000, 20000)).save(tmp_path / "vaster.png")
    (tmp_path / "none.png").write_bytes(b"nothing")
    for name, message in (("vast", "more than"), ("vaster", "more than"), ("none", "no picture")):
        with pytest.raises(DataError, match=rf"{name}\.png.*{message}"):
            read_picture(tmp_path / f"{name}.png")


def test_a_picture_cut_short_is_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"a\.png: damaged"):
        read_picture(tmp_path / "a.png")
