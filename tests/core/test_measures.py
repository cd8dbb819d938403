"""量图像的数：相关、Sobel、高频份额、相像的程度，与 numpy、scipy 对照；并列、常数、一维、形状不同。"""

import math

import numpy as np
import pytest
import torch

from cnnlab.core.measures import (
    average_ranks,
    correlation,
    frequency_share,
    halve_and_restore,
    rank_correlation,
    row_similarity,
    sobel,
)


def test_correlation_agrees_with_numpy_and_ignores_gain():
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    other = torch.rand(image.shape, generator=torch.Generator().manual_seed(3))
    expected = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(other, image)]  # noqa: B905
    assert correlation(other, image).numpy() == pytest.approx(expected, abs=1e-6)
    assert correlation(0.5 * image + 0.2, image).numpy() == pytest.approx(1, abs=1e-6)
    assert correlation(-image, image).numpy() == pytest.approx(-1, abs=1e-6)


def test_average_ranks_by_hand():
    values = torch.tensor([[3.0, 1.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    assert average_ranks(values).tolist() == [[2.5, 0, 2.5, 1], [1.5] * 4]


def test_rank_correlation_equals_scipy():
    from scipy.stats import spearmanr

    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4, 6, 5, generator=generator).mul(2).round()  # 有并列
    b = a + torch.randn(4, 6, 5, generator=generator)
    expected = [spearmanr(x.flatten(), y.flatten())[0] for x, y in zip(a, b, strict=True)]
    assert torch.allclose(rank_correlation(a, b), torch.tensor(expected, dtype=torch.float64))
    assert torch.allclose(
        rank_correlation(a, a.exp()), torch.ones(4, dtype=torch.float64)
    )  # 单调变换不改变
    assert torch.allclose(rank_correlation(a, -a), -torch.ones(4, dtype=torch.float64))
    a[0] = 1
    assert math.isnan(rank_correlation(a, b)[0]) and not math.isnan(rank_correlation(a, b)[1])


def test_one_pair_gives_one_number_and_lists_will_do():
    assert correlation([1, 2, 3], [2, 4, 6]).item() == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], np.array([1, 8, 27, 64])).item() == pytest.approx(1)
    assert rank_correlation(torch.tensor([1.0, 2.0, 3.0]), [3, 1, 2]).item() == pytest.approx(-0.5)


def test_what_never_changes_has_no_correlation():
    image = torch.rand(2, 3, 8, 8)
    for level in (0.5, 0.3, 1e-7):  # 0.3 的平均不恰好是 0.3
        flat = torch.full_like(image, level)
        assert correlation(flat, image).isnan().all() and correlation(image, flat).isnan().all()
        assert rank_correlation(flat, image).isnan().all()


def test_different_shapes_are_refused_and_tensors_left_alone():
    for compare in (correlation, rank_correlation):
        with pytest.raises(ValueError, match="同形状"):
            compare(torch.rand(1, 4, 4), torch.rand(1, 4, 3))
        leaf = torch.rand(2, 5, requires_grad=True)
        assert compare(leaf, torch.rand(2, 5)).dtype == torch.float64 and leaf.grad is None


def test_sobel_is_scipys_on_the_mean_of_the_channels():
    from scipy import ndimage

    image = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    for grey, found in zip(image.mean(1).numpy(), sobel(image).numpy(), strict=True):
        for axis, direction in ((1, 0), (0, 1)):
            expected = ndimage.sobel(grey, axis=axis, mode="nearest") / 8
            assert found[direction] == pytest.approx(expected, abs=1e-6)


def stripes(period: int, height: int = 64, width: int = 48) -> torch.Tensor:
    """横着走的正弦条纹 (1, 3, 高, 宽)。"""
    wave = 0.5 + 0.5 * torch.cos(2 * math.pi * torch.arange(width) / period)
    return wave.expand(1, 3, height, width)


def test_the_share_of_high_frequencies_knows_fine_from_coarse():
    images = torch.cat([stripes(4), stripes(24), torch.full((1, 3, 64, 48), 0.3)])
    fine, coarse, flat = frequency_share(images).tolist()
    assert fine > 0.99 and coarse < 0.01 and flat == 0
    upright = frequency_share(images.transpose(2, 3).contiguous())
    assert upright.tolist() == pytest.approx([fine, coarse, flat], abs=1e-4)
    assert frequency_share(stripes(4), cutoff=0.3).item() < 0.01


def test_halved_and_restored_only_the_finest_detail_is_gone():
    finest, coarse = stripes(2, 20, 33), stripes(24, 20, 33)
    softened = halve_and_restore(torch.cat([finest, coarse]))
    assert softened.shape == (2, 3, 20, 33)
    assert (softened[0, ..., 3:-3] - 0.5).abs().max() < 0.15
    assert (softened[1] - coarse[0])[..., 3:-3].abs().max() < 0.06


def test_row_similarity_is_the_mean_correlation_of_pairs():
    crops = torch.rand(2, 3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    crops[1, 1] = 0.5 * crops[1, 0] + 0.1
    found = row_similarity(crops).tolist()
    for row, alike in zip(crops.flatten(2).numpy(), found, strict=True):
        pairs = np.corrcoef(row)[np.triu_indices(3, 1)]
        assert alike == pytest.approx(pairs.mean(), abs=1e-5)
    assert found[1] > 0.2 + found[0]
