"""What cameras make of light: each the same every time, and never elsewhere in the picture."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("anny", reason="needs pip install 'personsearch[synthesis]'")
pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.synthesis import film, sensors
from personsearch.synthesis.light import Light

WHITE = Light(
    sky_up=np.ones(3), sky_side=np.ones(3), bounce=np.ones(3), at=np.zeros((0, 3)), color=np.zeros((0, 3)), kind=[],
    softness=0.0, cloud=0.0, haze=0.0, key=0.2,
)  # fmt: skip


def develop(color: np.ndarray, sensor: sensors.Sensor, light: Light = WHITE, seed: int = 0) -> np.ndarray:
    jpeg = film.record(color.astype(np.float32), sensor, light, np.random.default_rng(seed))
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)


def test_a_camera_has_one_sensor_and_another_camera_another() -> None:
    assert sensors.sensor_of(3, 8) == sensors.sensor_of(3, 8)
    others = {sensors.sensor_of(3, 8), sensors.sensor_of(3, 9), sensors.sensor_of(4, 8)}
    assert len(others) == 3
    shaken = sensors.shaken(sensors.sensor_of(3, 8), np.random.default_rng(1))
    kept = ("gamma", "curve", "black", "saturation", "shrink", "sharpen", "chroma", "vignette")
    assert all(getattr(shaken, name) == getattr(sensors.sensor_of(3, 8), name) for name in kept)
    assert np.log(np.array(shaken.balance) / sensors.sensor_of(3, 8).balance) == pytest.approx(0, abs=0.15)


def test_what_a_camera_does_is_the_same_for_the_same_draws() -> None:
    color = np.random.default_rng(0).uniform(0, 1, (60, 80, 3))
    sensor = sensors.sensor_of(0, 1)
    assert np.array_equal(develop(color, sensor), develop(color, sensor))
    assert not np.array_equal(develop(color, sensor), develop(color, sensors.sensor_of(0, 2)))


@pytest.mark.parametrize("number", range(20))
def test_development_moves_nothing(number: int) -> None:
    color = np.full((120, 160, 3), 0.05)
    color[40:80, 60:84] = 0.6
    picture = develop(color, sensors.sensor_of(5, number)).mean(2)
    assert picture.shape == (120, 160)
    bright = np.maximum(picture - np.median(picture), 0)
    bright[:25] = bright[95:] = 0  # what noise does far away
    bright[:, :45] = bright[:, 99:] = 0
    y, x = np.mgrid[:120, :160]
    assert (bright * y).sum() / bright.sum() == pytest.approx(59.5, abs=1.0)
    assert (bright * x).sum() / bright.sum() == pytest.approx(71.5, abs=1.0)


def plain(number: int = 0) -> sensors.Sensor:
    return dataclasses.replace(
        sensors.sensor_of(0, number), balance=(1.0, 1.0, 1.0), exposure=1.0, black=0.0, curve=0.0, saturation=1.0,
        shadow_tint=(0.0, 0.0, 0.0), vignette=0.0, noise=0.0, chroma_noise=0.0, quality=95, chroma=1, adaption=1.0,
    )  # fmt: skip


def test_white_balance_takes_out_the_colour_of_the_light() -> None:
    blue = dataclasses.replace(WHITE, sky_up=np.array([0.6, 1.0, 1.5]), sky_side=np.array([0.6, 1.0, 1.5]))
    color = np.full((40, 40, 3), 0.3) * blue.cast()
    balanced = develop(color, plain(), blue)[20, 20]
    assert np.ptp(balanced) <= 3
    left = develop(color, dataclasses.replace(plain(), adaption=0.0), blue)[20, 20]
    assert left[2] > left[0] + 20


@pytest.mark.parametrize(
    ("name", "value"),
    [("exposure", 2.0), ("gamma", 1.2), ("curve", 0.9), ("black", 0.2), ("black", -0.4), ("saturation", 0.0),
     ("shadow_tint", (0.2, 0.0, 0.0)), ("balance", (1.4, 1.0, 0.7)), ("vignette", 0.8), ("defocus", 4.0),
     ("shrink", 5.0), ("noise", 0.2), ("chroma_noise", 0.3), ("sharpen", 300.0), ("quality", 5), ("chroma", 8),
     ("deblock", 4.0)],
)  # fmt: skip
def test_every_trait_shows(name: str, value: object) -> None:
    color = np.random.default_rng(0).uniform(0.0, 0.6, (6, 8, 3)).repeat(10, 0).repeat(10, 1)
    base = dataclasses.replace(plain(), sharpen=0.0, defocus=0.0, shrink=1.0, denoise=False, deblock=0.0, shoulder=0.5)
    changed = dataclasses.replace(base, **{name: value})
    assert np.abs(develop(color, changed) - develop(color, base)).mean() > 1.0


def test_only_people_who_move_are_smeared_and_owners_stay() -> None:
    rng = np.random.default_rng(0)
    color = rng.uniform(0, 1, (60, 80, 3)).astype(np.float32)
    owner = np.full((60, 80), -1, np.int32)
    owner[10:50, 10:20], owner[10:50, 70:80] = 0, 1
    before = color.copy(), owner.copy()
    smeared = film.smear_people(color, owner, np.array([[0.0, 0.0], [400.0, 0.0]]), 0.02)
    assert np.array_equal(color, before[0])
    assert np.array_equal(owner, before[1])
    assert np.array_equal(smeared[:, :60], color[:, :60])
    inner = np.s_[20:40, 72:78]
    assert smeared[inner].std() < 0.7 * color[inner].std()
    assert np.array_equal(film.smear_people(color, owner, np.zeros((0, 2)), 0.02), color)
