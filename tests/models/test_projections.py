"""Projections: what is kept of features, and how they are stored."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import DataError, WeightsError
from personsearch.models.projections import (
    PROJECTIONS_FILE,
    Projection,
    Projections,
    fit_projection,
    load_projections,
    rooted,
    save_projections,
)


def _features(people: int, dim: int) -> Tensor:
    return torch.rand(people, dim, generator=torch.Generator().manual_seed(dim)) ** 2


@pytest.mark.parametrize(("people", "dim"), [(90, 30), (30, 90)])
def test_axes_are_principal_components_over_roots_of_deviations(people: int, dim: int) -> None:
    features = _features(people, dim)
    made = fit_projection(features, 5)
    vectors = F.normalize(features.sqrt())
    centred = (vectors - vectors.mean(dim=0)).double()
    _, lengths, axes = torch.linalg.svd(centred, full_matrices=False)
    deviations = lengths[:5] / people**0.5
    expected = axes[:5] / deviations[:, None] ** 0.25
    signs = (made.axes.double() * expected).sum(dim=1, keepdim=True).sign()
    torch.testing.assert_close(made.axes.double(), signs * expected, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(made.mean, vectors.mean(dim=0))
    projected = F.normalize((centred @ made.axes.T.double()).float())
    torch.testing.assert_close(made(features), projected, atol=1e-5, rtol=1e-4)


def test_all_axes_keep_angles_up_to_the_fourth_roots() -> None:
    features = _features(40, 8)
    made = fit_projection(features, 8)
    deviations = ((rooted(features) - made.mean) @ made.axes.T).std(dim=0, correction=0)
    whole = F.normalize((rooted(features) - made.mean) @ F.normalize(made.axes).T)
    plain = Projection(made.mean, F.normalize(made.axes))
    torch.testing.assert_close(plain(features), whole)
    assert (deviations[:-1] >= deviations[1:] - 1e-6).all(), "axes come by falling variance"


def test_the_same_people_give_the_same_projection_and_signs_are_fixed() -> None:
    features = _features(50, 20)
    first, second = fit_projection(features, 6), fit_projection(features.clone(), 6)
    assert torch.equal(first.axes, second.axes)
    largest = first.axes.gather(1, first.axes.abs().argmax(dim=1, keepdim=True))
    assert (largest > 0).all()


def test_too_few_people_are_an_error() -> None:
    with pytest.raises(DataError, match="6 people are too few"):
        fit_projection(_features(6, 20), 6)


def test_nobody_and_nothing_read() -> None:
    made = fit_projection(_features(50, 20), 6)
    assert made(torch.zeros(0, 20)).shape == (0, 6)
    assert made(torch.zeros(1, 20)).isfinite().all()


def _projections() -> Projections:
    return Projections(*(fit_projection(_features(20, dim), 4) for dim in (9, 10, 11)))


def test_stored_and_read_again(tmp_path: Path) -> None:
    made = _projections()
    path = save_projections(tmp_path, made, "abc")
    assert path == tmp_path / PROJECTIONS_FILE
    assert [p.name for p in tmp_path.iterdir()] == [PROJECTIONS_FILE]
    read = load_projections(tmp_path, "abc")
    assert read is not None
    for block in fields(Projections):
        old, new = getattr(made, block.name), getattr(read, block.name)
        torch.testing.assert_close(new.axes, old.axes, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(new.mean, old.mean, atol=1e-3, rtol=1e-3)


def test_none_where_there_are_none(tmp_path: Path) -> None:
    assert load_projections(tmp_path, "abc") is None


def test_projections_of_other_weights_are_refused(tmp_path: Path) -> None:
    save_projections(tmp_path, _projections(), "abc")
    with pytest.raises(WeightsError, match="made for weights abc, not for def"):
        load_projections(tmp_path, "def")


@pytest.mark.parametrize("harm", ["cut", "text", "missing part", "other shape"])
def test_damaged_files_are_one_line(tmp_path: Path, harm: str) -> None:
    path = save_projections(tmp_path, _projections(), "abc")
    tensors = load_file(path)
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    elif harm == "text":
        path.write_text("hello")
    elif harm == "missing part":
        save_file({k: t for k, t in tensors.items() if k != "rows.axes"}, path, {"weights": "abc"})
    else:
        save_file({**tensors, "rows.mean": torch.zeros(3)}, path, {"weights": "abc"})
    with pytest.raises(WeightsError) as error:
        load_projections(tmp_path, "abc")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
