"""Networks made fast against what they were: narrow maps, no maps at all, maps of other sizes, copies."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from personsearch.models import inference
from personsearch.models.inference import PackedBottleneck, PackedConv, prepare_for_inference
from personsearch.models.resnet import TORCHVISION, Bottleneck, Conv, ConvFrozenNorm, Head, Stem
from personsearch.runtime import exact_arithmetic, has_fast_bfloat16

fast = pytest.mark.skipif(not has_fast_bfloat16(torch.device("cpu")), reason="this processor has no fast bfloat16")


def _calm(model: nn.Module) -> nn.Module:
    """Norms that keep activations in the range that trained ones have."""
    for module in model.modules():
        if isinstance(module, ConvFrozenNorm):
            nn.init.uniform_(module.scale, 0.5, 1.0)
            nn.init.normal_(module.shift, std=0.1)
    return model


def _close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    if len(expected):
        assert (found.float() - expected).abs().max() < 0.03 * expected.abs().max()


@fast
@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_a_packed_convolution_reads_maps_of_every_size(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    plain = Conv(64, 128, kernel, stride)
    packed = PackedConv(copy.deepcopy(plain).to(torch.bfloat16))
    for batch, height, width in ((0, 8, 8), (2, 16, 5), (2, 16, 1), (1, 40, 30), (3, 1, 2), (7, 14, 6)):
        x = torch.randn(batch, 64, height, width)
        _close(packed(x), plain(x))
        _close(packed.rectified(x), plain(x).relu())
        if stride == 1:
            other = torch.randn_like(plain(x))
            _close(packed.added(x, other), (plain(x) + other).relu())


@fast
@pytest.mark.parametrize(("inputs", "stride"), [(256, 1), (64, 1), (256, 2)])
@torch.inference_mode()
def test_a_packed_block_leaves_its_input_alone(inputs: int, stride: int) -> None:
    torch.manual_seed(0)
    block = _calm(Bottleneck(inputs, 64, stride, TORCHVISION))
    x = torch.randn(2, inputs, 9, 7).to(torch.bfloat16, memory_format=torch.channels_last)
    before = x.clone()
    folded = prepare_for_inference(nn.Sequential(copy.deepcopy(block)))
    assert isinstance(folded[0], PackedBottleneck)
    _close(folded(x), block(x.float()))
    assert torch.equal(x, before)


@torch.inference_mode()
def test_a_prepared_network_answers_as_before() -> None:
    torch.manual_seed(0)
    whole = _calm(nn.Sequential(Stem(), Head()))
    pictures = torch.randint(0, 256, (2, 3, 96, 64), dtype=torch.uint8)
    expected = whole(pictures)
    with exact_arithmetic():
        exact = prepare_for_inference(copy.deepcopy(whole))
    torch.testing.assert_close(exact(pictures), expected, atol=1e-3, rtol=1e-3)
    prepared = prepare_for_inference(whole)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _close(prepared(pictures), expected)


@torch.inference_mode()
def test_a_torch_without_the_operators_runs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    stem = _calm(Stem())
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    expected = stem(picture)
    monkeypatch.setattr(inference, "_can_pack", lambda: False)
    prepared = prepare_for_inference(stem)
    assert not any(isinstance(module, PackedConv | PackedBottleneck) for module in prepared.modules())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _close(prepared(picture), expected)


@fast
@torch.inference_mode()
def test_a_network_in_use_can_be_copied_and_keeps_its_names() -> None:
    torch.manual_seed(0)
    stem = Stem()
    names = {name for name in stem.state_dict() if not name.endswith(("scale", "shift"))}
    prepared = prepare_for_inference(stem)
    picture = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    expected = prepared(picture)
    assert torch.equal(copy.deepcopy(prepared)(picture), expected)
    assert names <= set(prepared.state_dict())
