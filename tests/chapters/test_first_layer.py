"""第一层：画法、内积、方向选择性、Gabor 相似度。"""

import math

import pytest
import torch
from torch import nn

from cnnlab.chapters.first_layer import (
    gabor_similarity,
    grating,
    kernel_tiles,
    match_patches,
    orientation_index,
    orientation_tuning,
)


def kernels(count=5, size=3):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_each_and_common_scale():
    weight = kernels()
    weight[1] *= 10
    each, common = kernel_tiles(weight), kernel_tiles(weight, "common")
    assert each.shape == weight.shape and each.min() >= 0 and each.max() <= 1
    # 各自归一化：每个核都碰到 0 或 1；符号不变
    assert torch.allclose((each - 0.5).abs().amax((1, 2, 3)), torch.tensor(0.5))
    assert torch.equal((each - 0.5).sign(), weight.sign())
    # 同一把尺：比例不变，只有最强的核碰到边
    assert torch.allclose((common[1] - 0.5) / (common[0] - 0.5), weight[1] / weight[0], rtol=1e-3)
    assert ((common - 0.5).abs().amax((1, 2, 3)) > 0.499).sum() == 1


def test_zero_kernel_is_grey_and_bad_input_is_explained():
    assert (kernel_tiles(torch.zeros(1, 3, 3, 3)) == 0.5).all()
    with pytest.raises(ValueError, match="kernel_planes"):
        kernel_tiles(torch.zeros(4, 16, 3, 3))
    with pytest.raises(ValueError, match="common"):
        kernel_tiles(kernels(), "all")


def test_kernel_tiles_leave_the_weight_alone():
    weight = kernels().requires_grad_()
    before = weight.detach().clone()
    assert not kernel_tiles(weight).requires_grad
    assert torch.equal(weight.detach(), before)


def test_grating_has_its_period_and_direction():
    assert grating(0.3, 4, size=16).shape == (1, 3, 16, 16)
    vertical = grating(0, 4, size=16)[0, 0]
    assert vertical[0, :5].tolist() == pytest.approx([1, 0.5, 0, 0.5, 1], abs=1e-5)
    assert torch.allclose(vertical[:, 0], vertical[:, 4], atol=1e-5)
    assert torch.allclose(vertical[0], vertical[7])  # 竖条纹：沿竖直方向不变
    assert torch.allclose(grating(math.pi / 2, 4, size=16)[0, 0], vertical.T, atol=1e-5)


@pytest.fixture
def edge_model():
    """一个竖边核、一个横边核、一个平均核。"""
    conv = nn.Conv2d(3, 3, 3, bias=False)
    step = torch.tensor([-1.0, 0.0, 1.0])
    conv.weight.data = torch.stack(
        [step.expand(3, 3, 3), step[:, None].expand(3, 3, 3), torch.ones(3, 3, 3)]
    )
    model = nn.Sequential(conv)
    return model.requires_grad_(False)


def test_tuning_peaks_at_the_edge_direction(edge_model):
    tuning = orientation_tuning(edge_model, "0", angles=16)
    assert tuning.shape == (3, 16)
    assert tuning[0].argmax() == 0 and tuning[1].argmax() == 8
    assert torch.allclose(tuning[0].roll(8), tuning[1], atol=0.15 * tuning.max())
    index = orientation_index(tuning)
    assert index[0] > 0.25 and index[1] > 0.25 and index[2] < 0.1


def test_a_stride_needs_phases():
    """步幅 2 的横杠核：周期 4 的光栅只撞得上两个相位，不试相位就错过它最爱的方向。"""
    conv = nn.Conv2d(3, 1, 3, stride=2, bias=False)
    bar = torch.tensor([-0.5, 1.0, -0.5])
    conv.weight.data = bar[:, None].expand(1, 3, 3, 3).clone()
    model = nn.Sequential(conv).requires_grad_(False)
    one, many = (
        orientation_tuning(model, "0", angles=8, periods=(4,), phases=count)[0] for count in (1, 8)
    )
    assert many.argmax() == 4 and many[4] > 1.3 * one[4]


def test_orientation_index_by_hand():
    flat, single = torch.ones(1, 8), torch.zeros(1, 8)
    single[0, 3] = 2.0
    assert orientation_index(flat).item() == pytest.approx(0, abs=1e-6)
    assert orientation_index(single).item() == pytest.approx(1, abs=1e-6)
    assert orientation_index(torch.zeros(1, 8)).item() == 0


def test_match_patches_equals_a_loop():
    weight, image = kernels(5), torch.rand(2, 3, 7, 6, generator=torch.Generator().manual_seed(2))
    response, cosine, norm = match_patches(weight, image, stride=2)
    assert response.shape == cosine.shape == (2, 5, 3, 2) and norm.shape == (2, 1, 3, 2)
    for i in range(response.shape[-2]):
        for j in range(response.shape[-1]):
            patch = image[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].flatten()
            kernel = weight[1].flatten()
            assert response[0, 1, i, j].item() == pytest.approx((patch @ kernel).item(), abs=1e-4)
            assert cosine[0, 1, i, j].item() == pytest.approx(
                torch.cosine_similarity(patch, kernel, dim=0).item(), abs=1e-4
            )
            assert norm[0, 0, i, j].item() == pytest.approx(patch.norm().item(), rel=1e-4)


def test_gabor_similarity_knows_a_gabor_from_noise():
    axis = torch.linspace(-1, 1, 11)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    gabor = torch.exp(-(x**2 + y**2) / 0.5) * torch.cos(2 * math.pi * x)
    noise = torch.randn(20, 11, 11, generator=torch.Generator().manual_seed(1))
    assert gabor_similarity(gabor[None]).item() > 0.95
    assert gabor_similarity(-3 * gabor[None]).item() > 0.95  # 与大小、正负无关
    assert gabor_similarity(noise).max() < 0.35
