"""A frame found by its time is the frame that is counted from the start, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from personsearch.data.video import VideoFrame, sample_video
from personsearch.data.video_seek import frame_by_seeking
from personsearch.errors import VideoError

av = pytest.importorskip("av")


def film(path: Path, codec: str = "mpeg4", frames: int = 60, **options: str) -> Path:
    """A bright bar that moves; a key frame every 12 frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 12
        for number in range(frames):
            pixels = np.full((64, 96, 3), 40, np.uint8)
            pixels[:, number : number + 20] = 220
            for packet in stream.encode(av.VideoFrame.from_image(Image.fromarray(pixels))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.avi", "mpeg4", {}), ("b.mp4", "mpeg4", {"bf": "2"}), ("c.mkv", "mpeg2video", {"bf": "2"})],
)
def test_sought_frames_are_the_counted_ones(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    path = film(tmp_path / name, codec, **options)
    found = 0
    for sample in list(sample_video(path, 0.1))[::7]:
        image = frame_by_seeking(path, sample.time)
        found += image is not None
        assert image is None or np.array_equal(image, VideoFrame(path, sample.index).read()), sample.index
    assert found >= 5


def test_no_frame_at_that_time(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    for time in (0.05, 3.141, 10.0):
        assert frame_by_seeking(path, time) is None


def test_a_clock_that_may_start_anew_is_not_trusted(tmp_path: Path) -> None:
    first, second = film(tmp_path / "a.ts", "mpeg2video", 20), film(tmp_path / "b.ts", "mpeg2video", 60)
    joined = tmp_path / "c.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert frame_by_seeking(joined, 3.0) is None


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(VideoError):
        frame_by_seeking(tmp_path / "a.mp4", 0.0)
