"""The factorised correlation is the dense one, gradients included; and parameters count as in the paper."""

import pytest
import torch
from torch import nn

from personsearch.models.correlation import (
    CorrelationKernel,
    Excitation,
    ImprovedCrossCorrelation,
    VanillaCrossCorrelation,
    dense_correlation,
    pad_same,
)


def slow_correlation(adjusted, kernel):
    """One picture [c, H, W] and one kernel [o, c, h, w], spelled out."""
    outputs, _, h, w = kernel.shape
    padded = pad_same(adjusted, (h, w))
    height, width = adjusted.shape[1:]
    out = torch.zeros(outputs, height, width, dtype=adjusted.dtype)
    for o in range(outputs):
        for y in range(height):
            for x in range(width):
                out[o, y, x] = (padded[:, y : y + h, x : x + w] * kernel[o]).sum()
    return out


@pytest.mark.parametrize("size", [(7, 3), (2, 4), (1, 1)])
def test_dense_correlation_is_the_slow_one(size):
    adjusted, kernels = torch.randn(2, 3, 5, 6), torch.randn(2, 4, 3, *size)
    expected = torch.stack([slow_correlation(a, k) for a, k in zip(adjusted, kernels, strict=True)])
    torch.testing.assert_close(dense_correlation(adjusted, kernels), expected, atol=1e-5, rtol=1e-5)


def outer(kernel: CorrelationKernel):
    """The kernel of Eq. 2 without B, built: [P, outputs, c', h, w]."""
    return kernel.second[:, :, None] * kernel.first[:, None]


def improved(shared=True, kernel=(7, 3)):
    layer = ImprovedCrossCorrelation(6, 4, 5, kernel, shared=shared)
    for parameter in layer.parameters():  # the start of training is too small to test with
        nn.init.normal_(parameter, std=0.2)
    return layer


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("size", [(7, 3), (4, 2)])
@pytest.mark.parametrize("scenes", [3, 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_factorised_is_dense_with_its_gradients(shared, size, scenes, dtype, tolerance):
    layer = improved(shared, size).to(dtype)
    x = torch.randn(scenes, 6, 9, 8, dtype=dtype, requires_grad=True)
    z = torch.randn(3, 6, *size, dtype=dtype, requires_grad=True)
    scene, kernel = layer.read_scene(x), layer.read_query(z)
    torch.testing.assert_close(kernel.first, layer.first(z) / (4 * size[0] * size[1]) ** 0.5)
    fast = layer.correlate(scene, kernel)
    whole = outer(kernel) + (layer.shared.weight if shared else 0)
    dense = dense_correlation(scene.adjusted, whole) + layer.shared.bias[None, :, None, None]
    torch.testing.assert_close(fast, dense, atol=tolerance, rtol=tolerance)
    weights = torch.randn_like(fast)
    inputs = [x, z, *layer.parameters()]
    ours = torch.autograd.grad((fast * weights).sum(), inputs, retain_graph=True)
    theirs = torch.autograd.grad((dense * weights).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance * float(other.abs().max()), rtol=tolerance)


def test_one_scene_answers_all_queries_like_each():
    layer = improved()
    x, z = torch.randn(1, 6, 9, 8), torch.randn(4, 6, 7, 3)
    scene = layer.read_scene(x)
    together = layer.correlate(scene, layer.read_query(z))
    for index in range(4):
        alone = layer.correlate(scene, layer.read_query(z[index : index + 1]))
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scenes", [3, 1])
def test_excitation_weighs_the_scene_s_channels(scenes):
    layer = Excitation(6, 4, 5, (7, 3))
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, z = torch.randn(scenes, 6, 9, 8), torch.randn(3, 6, 7, 3)
    answers = layer.correlate(layer.read_scene(x), layer.read_query(z))
    for pair in range(3):
        adjusted = layer.adjust(x[pair % scenes][None])[0]
        squeezed = torch.cat([adjusted.flatten(1).mean(dim=1), z[pair].flatten(1).mean(dim=1)])
        gates = torch.sigmoid(layer.excite(torch.relu(layer.squeeze(squeezed))))
        expected = layer.read((gates[:, None, None] * adjusted)[None])[0]
        torch.testing.assert_close(answers[pair], expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(answers[0], answers[1])


def test_vanilla_reads_with_its_own_kernel():
    layer = VanillaCrossCorrelation(6, 4, 5, (7, 3))
    nn.init.normal_(layer.up.weight)
    nn.init.normal_(layer.bias)
    nn.init.normal_(layer.up.bias)
    x, z = torch.randn(2, 6, 9, 8), torch.randn(2, 6, 7, 3)
    kernel = layer.read_query(z)
    assert kernel.shape == (2, 5, 4, 7, 3)
    own = torch.nn.functional.conv2d(z, layer.up.weight, padding=1) / (4 * 7 * 3) ** 0.5
    torch.testing.assert_close(kernel, (own + layer.up.bias[:, None, None]).view_as(kernel))
    expected = torch.stack([slow_correlation(a, k) for a, k in zip(layer.adjust(x), kernel, strict=True)])
    out = layer.correlate(layer.read_scene(x), kernel)
    torch.testing.assert_close(out, expected + layer.bias[None, :, None, None], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [ImprovedCrossCorrelation, VanillaCrossCorrelation])
def test_a_young_layer_answers_with_nothing_and_learns(kind):
    """The first steps move what starts at zero, the next ones everything."""
    torch.manual_seed(0)
    layer = kind(64, 16, 4, (7, 3))
    scene, query = torch.randn(1, 64, 12, 10).relu(), torch.randn(2, 64, 7, 3).relu()
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for step in range(3):
        responses = layer.correlate(layer.read_scene(scene), layer.read_query(query))
        if step == 0:
            assert not responses.any()
        optimizer.zero_grad()
        (responses - 1).square().mean().backward()
        optimizer.step()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in layer.named_parameters())


def test_the_paper_s_counts():
    with torch.device("meta"):
        ours = [ImprovedCrossCorrelation(1024, 512, n * 9, (7, 3)) for n in (2, 4)]
        vanilla = [VanillaCrossCorrelation(1024, 512, n * 9, (7, 3)) for n in (2, 4)]
    assert round(sum(layer.paper_count() for layer in ours) / 1e6, 2) == 10.52
    assert round(sum(layer.paper_count() for layer in vanilla) / 1e6, 2) == 254.80
