"""The cut ResNet-50 against torchvision's whole one, in both layouts."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from personsearch.errors import WeightsError
from personsearch.models.inference import prepare_for_inference
from personsearch.models.resnet import (
    HE2015,
    TORCHVISION,
    Conv,
    ConvFrozenNorm,
    Head,
    Layout,
    Stem,
    load_imagenet,
)


def _oracle(layout: Layout) -> nn.Module:
    torch.manual_seed(0)
    whole = resnet50()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = layout.norm_epsilon
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    if layout.stride_in_first:
        for name, module in whole.named_modules():
            if name.endswith(".0") and hasattr(module, "conv2"):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    return whole.eval()


@pytest.mark.parametrize("layout", [TORCHVISION, HE2015], ids=lambda layout: layout.name)
def test_features_equal_torchvision(layout: Layout) -> None:
    whole = _oracle(layout)
    stem, head = Stem(layout), Head(layout)
    load_imagenet(stem, head, whole.state_dict())
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    channels = image.flip(1) if layout.reversed_channels else image
    mean, std = (torch.tensor(v)[:, None, None] * 255 for v in (layout.mean, layout.std))
    if layout.reversed_channels:
        mean, std = mean.flip(0), std.flip(0)
    whole.fc = nn.Identity()
    with torch.no_grad():
        expected = whole((channels - mean) / std)
        torch.testing.assert_close(head(stem(image)), expected, atol=1e-3, rtol=1e-3)


def test_folding_keeps_the_function() -> None:
    torch.manual_seed(0)
    conv = ConvFrozenNorm(3, 4, 3, 2)
    nn.init.uniform_(conv.scale)
    nn.init.uniform_(conv.shift)
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(conv.folded()(x), conv(x))
    model = prepare_for_inference(nn.Sequential(conv))
    assert not any(isinstance(m, ConvFrozenNorm) for m in model.modules())


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_stride_reads_narrow_maps_right(kernel: int, width: int) -> None:
    conv = Conv(64, 128, kernel, 2)
    x = torch.randn(3, 64, 16, width).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = nn.functional.conv2d(x, conv.weight, conv.bias, 2, kernel // 2)
    direction = torch.randn_like(expected)
    leaves = (x, conv.weight, conv.bias)
    wanted = torch.autograd.grad(expected, leaves, direction)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 3e-2)):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            found = conv(x)
        got = torch.autograd.grad(found, leaves, direction.to(found.dtype))
        for one, other in zip((found, *got), (expected, *wanted), strict=True):
            assert one.shape == other.shape
            assert (one.float() - other).abs().max() < tolerance * other.abs().max()


def test_frozen_stages_get_no_gradient() -> None:
    stem = Stem()
    stem.freeze(3)
    trained = {name.split(".")[0] for name, p in stem.named_parameters() if p.requires_grad}
    assert trained == {"layer3"}


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"conv1\.weight"):
        load_imagenet(Stem(), Head(), {"fc.weight": torch.zeros(1)})
    state = resnet50().state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    with pytest.raises(WeightsError, match=r"layer1\.0\.conv1"):
        load_imagenet(Stem(), Head(), state)
