"""Radiance files as they are published, damaged and too large; what is left of surroundings once their sun is out."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.errors import DataError
from personsearch.synthesis import probes, radiance

HEAD = b"#?RADIANCE\n# made by hand\nFORMAT=32-bit_rle_rgbe\nEXPOSURE=1\n\n"


def rgbe(height: int, width: int) -> np.ndarray:
    """Pixels with runs and without, of many magnitudes."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
    pixels[..., 3] = rng.integers(118, 139, (height, width))
    pixels[:, width // 3 : width // 2] = (200, 100, 50, 130)
    pixels[0, 0] = 0
    return pixels


def run_length(pixels: np.ndarray) -> bytes:
    """Each row's mark, then each channel as runs where values repeat, as literals elsewhere."""
    out = bytearray()
    for row in pixels:
        out += bytes((2, 2, len(row) >> 8, len(row) & 255))
        for values in row.T.tolist():
            x = 0
            while x < len(values):
                run = 1
                while x + run < len(values) and run < 127 and values[x + run] == values[x]:
                    run += 1
                out += bytes((128 + run, values[x])) if run > 2 else bytes((1, values[x]))
                x += run if run > 2 else 1
    return bytes(out)


def write(path: Path, body: bytes, size: str = "-Y 5 +X 24", head: bytes = HEAD) -> Path:
    path.write_bytes(head + size.encode() + b"\n" + body)
    return path


def linear(pixels: np.ndarray) -> np.ndarray:
    """Ward's formula, pixel by pixel."""
    out = np.zeros((*pixels.shape[:2], 3))
    for y, row in enumerate(pixels.tolist()):
        for x, (*color, exponent) in enumerate(row):
            if exponent:
                out[y, x] = np.array(color) / 256 * 2.0 ** (exponent - 128)
    return out


@pytest.mark.parametrize("width", [24, 300])
def test_flat_and_run_length_coded_files_give_the_same_light(tmp_path: Path, width: int) -> None:
    pixels = rgbe(5, width)
    size = f"-Y 5 +X {width}"
    flat = radiance.read_radiance(write(tmp_path / "flat.hdr", pixels.tobytes(), size))
    coded = radiance.read_radiance(write(tmp_path / "coded.hdr", run_length(pixels), size))
    assert flat.shape == (5, width, 3)
    assert flat.dtype == np.float32
    assert np.array_equal(flat, coded)
    assert flat == pytest.approx(linear(pixels), rel=1e-6)


def test_damaged_and_foreign_files_are_told(tmp_path: Path) -> None:
    pixels = rgbe(5, 24)
    whole = run_length(pixels)
    path = tmp_path / "probe.hdr"
    bodies = [whole[: len(whole) * k // 12] for k in range(12)] + [pixels.tobytes()[:-1]]
    bodies.append(whole[:4] + bytes((255,)) + whole[5:])  # a run beyond its row
    bodies.append(whole[:4] + bytes((0,)) + whole[5:])  # a run of nothing
    for body in bodies:
        with pytest.raises(DataError, match=r"probe\.hdr: is damaged: fetch it again or leave it out"):
            radiance.read_radiance(write(path, body))
    for content, words in (
        (b"", "is no Radiance picture"),
        (b"\x89PNG\r\n" + whole, "is no Radiance picture"),
        (HEAD, "do not run from the top left"),
        (HEAD[:-1], "is damaged"),
        (HEAD.replace(b"rgbe", b"xyze") + b"-Y 5 +X 24\n" + whole, "is no RGBE picture"),
        (HEAD + b"+X 24 -Y 5\n" + whole, "do not run from the top left"),
        (HEAD + b"-Y 0 +X 24\n" + whole, "is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            radiance.read_radiance(path)


def test_enormous_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "sky.hdr", b"", "-Y 8192 +X 16384")
    with pytest.raises(DataError, match=r"sky\.hdr: has 16384x8192 pixels: scale it down"):
        radiance.read_radiance(path)


def test_a_large_probe_is_reduced(tmp_path: Path) -> None:
    pixels = np.full((256, 600, 4), (128, 128, 128, 128), np.uint8)
    probe = probes.load_probe(write(tmp_path / "p.hdr", pixels.tobytes(), "-Y 256 +X 600"))
    assert probe.picture.shape == (probes.HEIGHT, probes.WIDTH, 3)
    assert probe.picture == pytest.approx(1.0, rel=1e-3)
    assert not probe.color.any()
    assert probe.open


def surroundings() -> np.ndarray:
    """A blue sky over brown ground."""
    picture = np.empty((probes.HEIGHT, probes.WIDTH, 3))
    picture[:64], picture[64:] = (0.6, 0.9, 1.6), (0.4, 0.3, 0.2)
    return picture


def test_harmonics_are_what_a_matt_surface_reflects() -> None:
    picture = surroundings()
    d, solid = probes.directions()
    assert solid.sum() == pytest.approx(4 * np.pi, rel=1e-3)
    for n in np.array([[0, 0, 1.0], [0, 0, -1], [1, 0, 0], [0.6, 0, 0.8]]):
        summed = (picture * (np.maximum(d @ n, 0) * solid)[..., None]).sum((0, 1)) / np.pi
        assert probes.basis(n) @ probes.harmonics(picture) == pytest.approx(summed, abs=0.04)


def test_the_sun_is_taken_out_and_turns_with_its_surroundings() -> None:
    picture = surroundings()
    picture[30:33, 100:103] = 3000.0
    probe = probes.split(picture)
    where = probes.directions()[0][31, 101]
    assert probe.sun == pytest.approx(where, abs=0.02)
    assert probe.color.min() > 0.5
    assert probe.picture.max() < 2 * probes.SUN_FROM
    quarter = probes.turned(probe, probes.WIDTH // 4)
    assert quarter.sun == pytest.approx((-where[1], where[0], where[2]), abs=0.02)
    brightest = np.argmax(quarter.picture @ probes.LUMA)
    assert probes.directions()[0].reshape(-1, 3)[brightest] == pytest.approx(quarter.sun, abs=0.06)
    assert not probes.split(surroundings()).color.any()
