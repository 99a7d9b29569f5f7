import pickle
import struct
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from fractions import Fraction
from multiprocessing import get_context

import numpy as np
import pytest

from personsearch.data import video
from personsearch.data.video import VideoFrame, read_header, sample_video
from personsearch.errors import SettingError, VideoError

av = pytest.importorskip("av")
STEP = 8  # grey levels from one frame to the next


def write_video(path, stamps, rate=10, size=(64, 48), noise=0):
    """Grey frames: frame i has the level i * STEP."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"
        stream.time_base = Fraction(1, 1000)
        for index, stamp in enumerate(stamps):
            grey = np.full((size[1], size[0], 3), index * STEP % 256, np.uint8)
            grey += random.integers(0, noise + 1, grey.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24")
            frame.pts, frame.time_base = round(stamp * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def level(image):
    """Number of the frame, by its grey."""
    return round(np.asarray(image).mean() / STEP)


@pytest.fixture
def steady(tmp_path):
    return write_video(tmp_path / "steady.mkv", [i / 10 for i in range(30)])


def test_samples_are_the_first_frames_at_or_after_each_multiple(tmp_path):
    stamps = [0, 0.3, 0.9, 1.1, 1.2, 2.0, 4.7, 4.9, 5.1]
    path = write_video(tmp_path / "uneven.mkv", stamps)
    found = [(frame.index, frame.time, level(frame.image)) for frame in sample_video(path, 1)]
    expected = []  # the same, said slowly
    for multiple in range(6):
        index = next(i for i, stamp in enumerate(stamps) if stamp >= multiple)
        if index not in [e[0] for e in expected]:
            expected.append((index, pytest.approx(stamps[index], abs=1e-9), index))
    assert found == expected


def test_a_step_that_no_float_holds_misses_no_frame(steady):
    assert [frame.index for frame in sample_video(steady, 0.1)] == list(range(30))


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf")])
def test_an_impossible_step(steady, every):
    with pytest.raises(SettingError, match="above 0"):
        sample_video(steady, every)


def test_frames_in_any_order(steady):
    for index in (0, 1, 7, 7, 3, 29, 0, 29):
        assert level(VideoFrame(steady, index).read()) == index


def test_a_frame_may_be_drawn_on(steady):
    VideoFrame(steady, 4).read().paste("white", (0, 0, 64, 48))
    assert level(VideoFrame(steady, 4).read()) == 4


def test_growing_order_decodes_once(steady, monkeypatch):
    opened = []
    true_stream = video.VideoStream
    monkeypatch.setattr(video, "VideoStream", lambda path: opened.append(path) or true_stream(path))
    for index in (2, 5, 5, 11):
        VideoFrame(steady, index).read()
    assert len(opened) == 1
    VideoFrame(steady, 3).read()
    assert len(opened) == 2


def test_a_changed_file_is_read_anew(tmp_path):
    path = write_video(tmp_path / "a.mkv", [0, 0.1, 0.2])
    assert VideoFrame(path, 0).read().size == (64, 48)
    write_video(path, [0, 0.1, 0.2], size=(32, 32))
    assert VideoFrame(path, 1).read().size == (32, 32)


def _pixels_of(frame):
    return frame.read().tobytes()


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_frames_travel_to_other_processes(start, tmp_path):
    for i in range(5):  # so that a fork inherits open readers, and has to close some
        VideoFrame(write_video(tmp_path / f"{i}.mkv", [0, 0.1]), 0).read()
    path = write_video(tmp_path / "long.mkv", [i / 10 for i in range(120)], noise=50)  # more than one read ahead
    expected = [frame.image.tobytes() for frame in sample_video(path, 0.1)]
    VideoFrame(path, 3).read()
    with ProcessPoolExecutor(2, mp_context=get_context(start)) as pool:
        assert list(pool.map(_pixels_of, [VideoFrame(path, i) for i in range(4, 60)])) == expected[4:60]
    assert VideoFrame(path, 110).read().tobytes() == expected[110]
    assert pickle.loads(pickle.dumps(VideoFrame(path, 4))) == VideoFrame(path, 4)


def test_threads_do_not_disturb_each_other(steady):
    with ThreadPoolExecutor(4) as pool:
        frames = [VideoFrame(steady, i % 30) for i in range(90)]
        assert list(pool.map(lambda frame: level(frame.read()), frames)) == [i % 30 for i in range(90)]


def test_the_header(steady):
    header = read_header(steady)
    assert (header.width, header.height, header.rate) == (64, 48, 10.0)


def test_a_video_from_a_phone_held_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[:, :32] = 255  # white on the left
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44  # of the track: turn by 90 degrees clockwise to see it upright
    turn = [0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000]
    content[matrix : matrix + 36] = struct.pack(">9I", *turn)
    path.write_bytes(content)
    image = VideoFrame(path, 0).read()
    assert image.size == (48, 64)
    assert image.getpixel((24, 10))[0] > 200
    assert image.getpixel((24, 54))[0] < 50
    header = read_header(path)
    assert (header.width, header.height) == (48, 64)


def test_the_end_of_a_program_is_quiet(steady):
    """Readers are still open then; their decoders must not stumble over modules that are gone."""
    code = f"from personsearch.data.video import *; VideoFrame(Path({str(steady)!r}), 3).read()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def _refused(path, reason):
    calls = (VideoFrame(path, 0).read, lambda: read_header(path), lambda: list(sample_video(path, 1)))
    for call in calls:
        with pytest.raises(VideoError, match=reason) as caught:
            call()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_video(tmp_path):
    _refused(tmp_path / "none.mp4", "does not exist")


def test_not_a_video(tmp_path):
    (tmp_path / "a.mp4").write_text("hello" * 100)
    _refused(tmp_path / "a.mp4", "not a video")


def test_sound_alone(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    _refused(tmp_path / "a.wav", "no pictures")


def test_a_frame_beyond_the_end(steady):
    VideoFrame(steady, 10).read()
    with pytest.raises(VideoError, match="no frame 30: it ends after 30 frames"):
        VideoFrame(steady, 30).read()
    assert level(VideoFrame(steady, 29).read()) == 29
    with pytest.raises(VideoError, match="counted from 0"):
        VideoFrame(steady, -1).read()


def test_a_video_cut_in_the_middle_gives_what_it_holds_and_then_says_so(tmp_path):
    whole = write_video(tmp_path / "a.mkv", [i / 10 for i in range(30)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = []
    with pytest.raises(VideoError, match=r"cut\.mkv stops after \d+ frames .* of 3\.0 s"):
        found.extend(level(frame.image) for frame in sample_video(cut, 0.1))
    assert found == list(range(len(found)))
    assert 5 < len(found) < 25
    with pytest.raises(VideoError, match="stops after"):
        VideoFrame(cut, 29).read()


def test_a_hole_in_a_video_ends_it_with_one_line(tmp_path):
    path = write_video(tmp_path / "a.mkv", [i / 10 for i in range(25)], noise=50)
    content = bytearray(path.read_bytes())
    middle = content.index(b"\xff\xc0", len(content) // 2)  # the head of a picture
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    found = []
    with pytest.raises(VideoError, match=r"damaged after|stops after"):
        found.extend(frame.index for frame in sample_video(path, 0.1))
    assert found == list(range(len(found)))
    assert len(found) > 5
