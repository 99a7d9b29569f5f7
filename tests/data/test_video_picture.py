"""All eight ways to turn and mirror a picture, against the display matrix applied to each pixel by hand."""

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from personsearch.data.video import read_header, sample_video

av = pytest.importorskip("av")
ONE = 1 << 16
WAYS = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]
CORNERS = np.array([[20, 90], [160, 230]], np.uint8)  # grey levels of the four quarters


def write(path, matrix=None, codec="mjpeg"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 32
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if matrix:
            a, b, c, d = (value * ONE for value in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        pixels = np.kron(CORNERS, np.ones((16, 32), np.uint8))
        frame = av.VideoFrame.from_ndarray(np.dstack([pixels] * 3), "rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def quarters(image):
    """The grey levels in the four quarters, as near as the codec keeps them."""
    grey = np.asarray(image.convert("L").resize((2, 2), Image.Resampling.BOX)).astype(int)
    return [[min(CORNERS.flat, key=lambda level: abs(int(level) - int(value))) for value in row] for row in grey]


def by_hand(a, b, c, d):
    """(x, y) goes to (a x + c y, b x + d y), then all are moved to begin at 0."""
    places = {(a * x + c * y, b * x + d * y): CORNERS[y, x] for x in range(2) for y in range(2)}
    xs, ys = sorted({x for x, _ in places}), sorted({y for _, y in places})
    return [[places[x, y] for x in xs] for y in ys]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("way", WAYS)
def test_the_whole_matrix_is_applied(tmp_path, way, suffix):
    path = write(tmp_path / f"a{suffix}", way)
    (sample,) = sample_video(path, 1)
    assert quarters(sample.image) == by_hand(*way)
    assert sample.image.size == ((64, 32) if way[0] else (32, 64))
    header = read_header(path)
    assert (header.width, header.height) == sample.image.size


def test_a_matrix_of_zeros_turns_nothing(tmp_path):
    (sample,) = sample_video(write(tmp_path / "a.mp4", (0, 0, 0, 0)), 1)
    assert quarters(sample.image) == CORNERS.tolist()


def test_turned_by_side_data_of_a_kind_that_is_unknown(tmp_path):
    """JPEG frames with Exif: PyAV then names no side data at all."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    jpeg = io.BytesIO()
    Image.fromarray(np.kron(CORNERS, np.ones((16, 32), np.uint8))).convert("RGB").save(jpeg, "JPEG", exif=exif)
    path = tmp_path / "a.mjpeg"
    path.write_bytes(jpeg.getvalue() * 3)
    sample = next(sample_video(path, 1))
    assert quarters(sample.image) == by_hand(0, 1, -1, 0)
