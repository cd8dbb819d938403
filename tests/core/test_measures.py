"""相关与秩相关：与 numpy、scipy 对照，并列、常数、一维、形状不同。"""

import math

import numpy as np
import pytest
import torch

from cnnlab.core.measures import average_ranks, correlation, rank_correlation


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
