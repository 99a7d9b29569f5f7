import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from personsearch.data.pictures import ImageFile, picture_size
from personsearch.errors import ImageError


def _refused(path, reason):
    for call in (ImageFile(path).read, lambda: picture_size(path)):
        with pytest.raises(ImageError, match=reason) as caught:
            call()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def _png_header(path, width, height):
    """A PNG that claims a size and holds nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


def test_a_missing_file(tmp_path):
    _refused(tmp_path / "none.jpg", "does not exist")


@pytest.mark.parametrize("content", [b"", b"hello, I am a text"])
def test_not_a_picture(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    _refused(tmp_path / "a.jpg", "not a picture")


def test_a_folder_is_not_a_picture(tmp_path):
    _refused(tmp_path, "cannot be read")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_truncated_picture(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.effect_noise((200, 100), 50).convert("RGB").save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=f"a{suffix} cannot be read"):
        ImageFile(path).read()
    assert picture_size(path) == (200, 100)


@pytest.mark.parametrize("side", [20_000, 10_000, 8_100])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, side):
    _png_header(tmp_path / "bomb.png", side, side)
    _refused(tmp_path / "bomb.png", "64 megapixels are the limit")


def test_a_picture_at_the_limit_passes_the_header(tmp_path):
    _png_header(tmp_path / "large.png", 8_000, 8_000)
    assert picture_size(tmp_path / "large.png") == (8_000, 8_000)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    read = ImageFile(tmp_path / "a.png").read()
    assert read.size == picture_size(tmp_path / "a.png") == (20, 40)
    assert read.getpixel((10, 2)) == (255, 0, 0)
    assert read.getpixel((10, 30)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new("RGB", (8, 6), "white").convert(mode).save(path if mode != "LA" else path.with_suffix(".png"))
    path = path if path.exists() else path.with_suffix(".png")
    read = ImageFile(path).read()
    assert (read.mode, read.size) == ("RGB", (8, 6))
    assert read.getpixel((3, 3)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    grey = np.full((6, 8), 32768, np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert ImageFile(tmp_path / "a.png").read().getpixel((0, 0)) == (127, 127, 127)


def test_transparent_pixels_lie_on_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert ImageFile(tmp_path / "a.png").read().getpixel((0, 0)) == (255, 255, 255)
