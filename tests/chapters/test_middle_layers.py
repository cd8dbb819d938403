"""中间层的卷积核：灰度小图、打乱、展开到像素上的卷积核。"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab.chapters.middle_layers import (
    channel_correlation,
    expanded_kernels,
    kernel_planes,
    plane_agreement,
    plane_roughness,
    plane_sheet,
    predicted_maps,
    shuffled_within,
)
from cnnlab.core.hooks import activations_of


def weights(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_planes_of_the_lecture_example():
    weight = nn.Conv2d(16, 20, 7).weight
    planes = kernel_planes(weight)
    assert planes.shape == (20, 16, 7, 7) and not planes.requires_grad
    assert plane_sheet(planes).shape == (20 * 8 - 1, 16 * 8 - 1)


def test_scales_keep_what_they_promise():
    weight = weights(3, 4, 3, 3)
    weight[1] *= 10
    weight[2, 0] *= 0.1
    each, plane, common = (
        kernel_planes(weight, scale) - 0.5 for scale in ("each", "plane", "common")
    )
    for one in (each, plane, common):
        assert torch.equal(one.sign(), weight.sign()) and one.abs().max() <= 0.5
    assert torch.allclose(plane.abs().amax((2, 3)), torch.full((3, 4), 0.5))
    assert torch.allclose(each.abs().amax((1, 2, 3)), torch.full((3,), 0.5))
    assert torch.allclose(
        each[2, 0] / each[2, 1], weight[2, 0] / weight[2, 1], rtol=1e-4
    )  # 同一个核之内强弱可比
    assert torch.allclose(common[1] / common[0], weight[1] / weight[0], rtol=1e-4)
    assert (kernel_planes(torch.zeros(2, 3, 3, 3)) == 0.5).all()


def test_bad_weights_are_explained():
    with pytest.raises(ValueError, match=r"\(O, I, k, k\)"):
        kernel_planes(torch.zeros(4, 5))
    with pytest.raises(ValueError, match="common"):
        kernel_planes(torch.zeros(1, 1, 3, 3), "all")


def test_sheet_puts_each_plane_in_its_place():
    planes = torch.arange(6.0).view(2, 3, 1, 1).expand(2, 3, 2, 2) / 10
    sheet = plane_sheet(planes)
    for row in range(2):
        for column in range(3):
            assert (
                sheet[3 * row : 3 * row + 2, 3 * column : 3 * column + 2] == planes[row, column]
            ).all()
    assert (sheet[2] == 1).all() and (sheet[:, 2] == 1).all()


def test_shuffling_keeps_the_numbers_and_loses_the_order():
    weight = weights(5, 4, 3, 3)
    before = torch.get_rng_state()
    mixed = shuffled_within(weight, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(mixed.flatten(1).sort().values, weight.flatten(1).sort().values)
    assert not any(torch.equal(one, other) for one, other in zip(mixed, weight, strict=True))
    assert torch.equal(mixed, shuffled_within(weight, seed=3))
    assert not torch.equal(mixed, shuffled_within(weight, seed=4))


def test_agreement_is_one_for_multiples_and_drops_when_shuffled():
    shape, amounts = weights(6, 1, 3, 3), weights(6, 8, 1, 1, seed=1)
    weight = shape * amounts
    assert torch.allclose(plane_agreement(weight), torch.ones(6), atol=1e-5)
    assert (plane_agreement(shuffled_within(weight)) < 0.8).all()
    assert torch.allclose(plane_agreement(-3 * weight), plane_agreement(weight), atol=1e-5)


def test_roughness_by_hand():
    weight = torch.zeros(3, 2, 2, 2)
    weight[0] = 1.0  # 没有起伏
    weight[1] = torch.tensor([[1.0, -1.0], [1.0, -1.0]])  # 每张两处相差 2，能量 4
    weight[2, 0] = torch.tensor([[5.0, -5.0], [5.0, -5.0]])
    assert torch.allclose(plane_roughness(weight), torch.tensor([0.0, 2.0, 2.0]))


@pytest.fixture
def stack():
    """卷积、ReLU、最大池化、卷积：感受野 8，步幅 2。"""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(),
    )
    return network.double().requires_grad_(False).eval()


def test_linear_expansion_is_the_kernel_of_the_linearised_network(stack, assert_no_hooks):
    kernels = expanded_kernels(stack, "3")
    assert kernels.shape == (5, 3, 8, 8)
    # 另算一遍：单位脉冲逐个像素地推过没有 ReLU、平均池化的网络
    linear = nn.Sequential(stack[0], nn.AvgPool2d(2), stack[3])
    flat = torch.zeros(1, 3, 16, 16, dtype=torch.float64)
    base = linear(flat)[0, :, 3, 3]
    pulses = torch.eye(3 * 64, dtype=torch.float64).view(-1, 3, 8, 8)
    moved = linear(functional.pad(pulses, (3, 5, 3, 5)))[:, :, 3, 3] - base
    assert torch.allclose(kernels, moved.T.reshape(5, 3, 8, 8), atol=1e-10)
    assert_no_hooks(stack)


def test_in_place_and_functional_layers_are_linearised_too(stack):
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = stack[0], stack[3]

        def forward(self, image):
            return functional.relu_(
                self.second(functional.max_pool2d(torch.relu_(self.first(image)), 2))
            )

    assert torch.allclose(expanded_kernels(Written(), "second"), expanded_kernels(stack, "3"))


def test_expansion_on_an_image_is_the_local_gradient(stack):
    image = torch.rand(
        1, 3, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    kernels = expanded_kernels(stack, "3", [2, 0], image=image)
    leaf = image.clone().requires_grad_()
    activation = activations_of(stack, leaf, "3")["3"]
    for row, channel in enumerate([2, 0]):
        (full,) = torch.autograd.grad(activation[0, channel, 4, 4], leaf, retain_graph=True)
        outside = full.clone()
        outside[0, :, 5:13, 5:13] = 0  # 位置 4 从 4·2 − 3 开始看 8 个像素
        assert full.abs().sum() > 0 and not outside.any()
        assert torch.allclose(kernels[row], full[0, :, 5:13, 5:13])


def test_averaging_over_images_and_restoring_everything(stack):
    images = torch.rand(3, 3, 20, 20, dtype=torch.float64)
    stack.train()
    each = torch.stack([expanded_kernels(stack, "3", image=one[None]) for one in images])
    assert torch.allclose(expanded_kernels(stack, "3", image=images), each.mean(0))
    assert stack.training and not images.requires_grad
    assert torch.equal(functional.relu(torch.tensor(-1.0)), torch.tensor(0.0))  # 线性化没有留在外面


def test_refusals(stack, tiny_cnn):
    with pytest.raises(ValueError, match="看到整张图"):
        expanded_kernels(tiny_cnn, "pool2")
    with pytest.raises(ValueError, match="装不下"):
        expanded_kernels(stack, "3", image=torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match="没有通道"):
        expanded_kernels(stack, "3", [9])


def test_prediction_is_exact_where_the_network_is_linear():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(4, 5, 3, stride=2, padding=1)
    )
    network.double().requires_grad_(False)
    images = torch.rand(
        2, 3, 21, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    predicted, actual = predicted_maps(network, images, "2", expanded_kernels(network, "2"))
    assert predicted.shape == actual.shape and predicted.shape[2] > 2
    one = predicted_maps(network, images, "2", expanded_kernels(network, "2", [3]), [3])
    assert torch.allclose(torch.cat(one, 1), torch.stack([predicted[:, 3], actual[:, 3]], 1))
    bias = actual - predicted  # 差的只是偏置合成的常数
    assert torch.allclose(bias, bias[:1, :, :1, :1].expand_as(bias), atol=1e-10)
    assert torch.allclose(
        channel_correlation(predicted, actual), torch.ones(5, dtype=torch.float64)
    )


def test_correlation_against_numpy():
    first, second = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    second[:, 2] = 0.5
    found = channel_correlation(first, second)
    for channel in range(2):
        expected = torch.corrcoef(
            torch.stack([first[:, channel].flatten(), second[:, channel].flatten()])
        )[0, 1]
        assert found[channel].item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(found[2].item()) < 1e-3
