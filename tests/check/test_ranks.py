"""相关系数的几种算法，与 SciPy 一致。"""

import torch
from scipy.stats import kendalltau

from cnnlab.check.fixtures import noise
from cnnlab.check.ranks import first_come, kendall, pearson


def test_correlations_agree_with_scipy():
    a, b = noise((4, 5), 1), noise((4, 5), 2)
    wanted = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    assert torch.allclose(pearson(a, b), wanted)
    assert abs(float(kendall(a, b)) - kendalltau(a.flatten(), b.flatten()).statistic) < 1e-12


def test_a_constant_correlates_with_nothing():
    assert pearson(torch.ones(3), torch.arange(3.0)) == 0


def test_equal_values_keep_their_order():
    assert first_come(torch.tensor([2.0, 1.0, 2.0])).tolist() == [1, 0, 2]
