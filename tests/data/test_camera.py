"""Cameras: streams become films, a camera that goes is called again, a password is told to nobody."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from rtsp_server import RtspServer

from personsearch.data.camera import Camera, is_camera, shown, start
from personsearch.data.video import sample_video
from personsearch.errors import SettingError


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (96, 64), (20 + 4 * number, 80, 200 - 4 * number))


def wait_for(what: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_stream_becomes_films_and_is_called_again_after_a_drop(tmp_path: Path) -> None:
    server, stop, lines = RtspServer(picture, frames=15, speed=10), threading.Event(), list[str]()
    camera = Camera(server.address, tmp_path / "films", seconds=2, waits=(0.1,))
    thread = start(camera, stop, lines.append)
    try:
        wait_for(lambda: server.played >= 3 and len(list(camera.folder.glob("*.mkv"))) >= 4)
    finally:
        stop.set()
        thread.join(30)
        server.close()
    assert not thread.is_alive()
    films = sorted(camera.folder.iterdir())
    assert all(film.suffix == ".mkv" and not film.name.startswith(".") for film in films)
    first, second = (list(sample_video(film, 0.2)) for film in films[:2])  # of one call: two seconds, and the rest
    assert len(first) in (10, 11)
    assert [round(frame.time, 2) for frame in first] == [round(0.2 * n, 2) for n in range(len(first))]
    assert second[0].time == 0
    for number, frame in enumerate([*first, second[0]]):  # none was lost in between
        shown_colour = frame.image.resize((1, 1)).getpixel((0, 0))
        assert max(abs(a - b) for a, b in zip(shown_colour, picture(number).getpixel((0, 0)), strict=True)) < 16
    assert any("is gone" in line for line in lines)
    assert any("is back" in line for line in lines)
    assert not any("secret" in line for line in [*lines, *map(str, films)])
    assert len([line for line in lines if "is gone" in line]) <= server.played, "each drop is told once"


def test_a_camera_that_is_not_there_is_called_until_it_ends(tmp_path: Path) -> None:
    stop, lines = threading.Event(), list[str]()
    thread = start(Camera("rtsp://127.0.0.1:1/cam", tmp_path, waits=(0.05,)), stop, lines.append)
    wait_for(lambda: lines)
    time.sleep(0.3)
    stop.set()
    thread.join(30)
    assert len(lines) == 1
    assert "rtsp://127.0.0.1:1/cam: is gone" in lines[0]
    assert "\n" not in lines[0]
    assert not list(tmp_path.iterdir())


def test_a_device_is_recorded_and_a_stop_keeps_what_was(tmp_path: Path) -> None:
    stop = threading.Event()
    camera = Camera("device:lavfi:testsrc=size=96x64:rate=10,realtime", tmp_path, seconds=60)
    thread = start(camera, stop, lambda line: None)
    wait_for(lambda: list(tmp_path.iterdir()))
    time.sleep(1)
    stop.set()
    thread.join(30)
    (film,) = tmp_path.iterdir()
    assert len(list(sample_video(film, 0.1))) >= 2


def test_addresses_are_told_from_files() -> None:
    for camera in ("rtsp://h/1", "rtsps://h/1", "http://h/1.mjpg", "udp://h:1", "device:v4l2:/dev/video0"):
        assert is_camera(camera)
        assert Camera(camera, Path("films")).name
    for other in ("photos", "/photos", "C:/photos", "a:b", "file:///etc/passwd", "concat:a|b"):
        assert not is_camera(other)
        with pytest.raises(SettingError, match="no address of a camera"):
            Camera(other, Path("films"))
    for broken in ("rtsp:", "rtsp://", "device:v4l2", "device:"):
        with pytest.raises(SettingError, match="no address"):
            Camera(broken, Path("films"))
    assert shown("rtsp://a:b@h:5/c?password=d") == "rtsp://h:5/c"
    assert Camera("rtsp://a:b@h:5/c/../d?x=y", Path("films")).name == "h-5-c-d"
