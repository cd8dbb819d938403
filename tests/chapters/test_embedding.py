"""降维：PCA、t-SNE 的概率、可信度、纯度、格子；尽量与独立的实现对照。"""

import math

import numpy as np
import pytest
import torch

from cnnlab.chapters.embedding import (
    conditional_affinities,
    explained_variance,
    grid_cells,
    grid_positions,
    image_grid,
    joint_affinities,
    map_affinities,
    map_divergence,
    neighbor_purity,
    pca,
    trustworthiness,
    tsne,
    vote_accuracy,
)


def cloud(count=40, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return 3 + torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing


def clusters(count=20, width=8):
    generator = torch.Generator().manual_seed(3)
    centres = 20 * torch.eye(3, width, dtype=torch.float64)
    points = centres.repeat_interleave(count, 0)
    return points + torch.randn(
        3 * count, width, generator=generator, dtype=torch.float64
    ), torch.arange(3).repeat_interleave(count)


def test_pca_equals_the_covariance_eigenvectors():
    x = cloud()
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    expected = (x - x.mean(0)) @ vectors.flip(1)[:, :3]
    found = pca(x, 3)
    assert torch.allclose(found.abs(), expected.abs(), atol=1e-8)
    assert torch.allclose(explained_variance(x), values.flip(0) / values.sum())
    # 正负号的约定：每个方向绝对值最大的坐标为正，所以把数据取负结果也变号或重合
    assert (found.gather(0, found.abs().argmax(0, keepdim=True)) > 0).all()


def test_pca_does_not_care_where_the_origin_is_and_keeps_the_input():
    x = cloud()
    before = x.clone()
    assert torch.allclose(pca(x), pca(x + 1000), atol=1e-6)
    assert torch.equal(x, before)
    assert explained_variance(torch.ones(4, 3)).sum() == 0


@pytest.mark.parametrize("perplexity", [2, 5, 15])
def test_affinities_hit_the_perplexity(perplexity):
    p = conditional_affinities(cloud(), perplexity)
    assert torch.allclose(p.sum(1), torch.ones(40, dtype=p.dtype))
    assert (p.diagonal() == 0).all()
    assert torch.allclose(
        torch.special.entr(p).sum(1),
        torch.full((40,), math.log(perplexity), dtype=p.dtype),
        atol=1e-6,
    )


def test_affinities_do_not_care_about_the_unit_and_survive_an_outlier():
    x = cloud()
    assert torch.allclose(
        conditional_affinities(x, 5), conditional_affinities(1000 * x, 5), atol=1e-9
    )
    far = torch.cat([x, x[:1] + 1e4])
    p = conditional_affinities(far, 5)
    assert torch.isfinite(p).all() and torch.allclose(
        torch.special.entr(p[-1]).sum().exp(), torch.tensor(5.0, dtype=p.dtype), rtol=1e-3
    )


def test_joint_affinities_equal_scikit_learn():
    from scipy.spatial.distance import squareform
    from sklearn.manifold._t_sne import _joint_probabilities

    x = cloud()
    squared = (torch.cdist(x, x) ** 2).numpy().astype(np.float32)
    theirs = squareform(_joint_probabilities(squared, 8, 0))
    ours = joint_affinities(conditional_affinities(x, 8)).numpy()
    assert np.abs(ours - theirs).max() < 1e-5
    assert ours.sum() == pytest.approx(1)


def test_map_affinities_by_hand():
    # 三个点在一条线上：0、1、3；权重 1/2、1/10、1/5，成对各算两次
    q = map_affinities(torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]]))
    total = 2 * (1 / 2 + 1 / 10 + 1 / 5)
    assert torch.allclose(
        q, torch.tensor([[0, 1 / 2, 1 / 10], [1 / 2, 0, 1 / 5], [1 / 10, 1 / 5, 0]]) / total
    )


def test_divergence_is_zero_only_when_the_map_agrees():
    points = torch.randn(10, 2, dtype=torch.float64)
    same = map_affinities(points)
    assert map_divergence(same, points).item() == pytest.approx(0, abs=1e-12)
    assert map_divergence(same, points * 0.3) > 0.01
    leaf = (points * 0.3).requires_grad_()
    (gradient,) = torch.autograd.grad(map_divergence(same, leaf), leaf)
    # 手写的梯度公式：4 Σ_j (p − q)(y_i − y_j) / (1 + d²)
    difference = leaf[:, None] - leaf[None]
    pull = (same - map_affinities(leaf)) / (1 + difference.square().sum(2))
    assert torch.allclose(gradient, 4 * (pull[..., None] * difference).sum(1))


def test_tsne_keeps_clusters_apart_and_repeats():
    x, labels = clusters()
    points = tsne(x, 10, steps=300)
    assert points.shape == (60, 2) and points.dtype == x.dtype
    assert neighbor_purity(points, labels, 5) == 1
    assert torch.equal(points, tsne(x, 10, steps=300))
    random = [tsne(x, 10, seed, steps=300, start="random") for seed in (0, 1)]
    assert not torch.allclose(*random)


def test_tsne_leaves_the_global_generators_alone():
    x, _ = clusters()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    tsne(x, 5, steps=250, start="random")
    assert (
        torch.equal(torch.get_rng_state(), torch_state)
        and (np.random.get_state()[1] == numpy_state).all()
    )


def test_trustworthiness_equals_its_formula():
    x, k = cloud(), 7
    for points in (pca(x), torch.randn(40, 2, dtype=torch.float64)):
        excess = 0
        for i in range(len(x)):
            others = [j for j in range(len(x)) if j != i]
            known = sorted(others, key=lambda j: float((x[i] - x[j]).norm()))
            near = sorted(others, key=lambda j: float((points[i] - points[j]).norm()))[:k]
            excess += sum(max(0, known.index(j) + 1 - k) for j in near)
        expected = 1 - 2 * excess / (40 * k * (2 * 40 - 3 * k - 1))
        assert trustworthiness(x, points, k) == pytest.approx(expected, abs=1e-12)
    assert trustworthiness(x, x, 7) == 1


def test_purity_and_vote():
    x, labels = clusters()
    assert neighbor_purity(x, labels, 5) == 1 and vote_accuracy(x, labels, 5) == 1
    assert neighbor_purity(x, ["甲", "乙", "丙"] * 20, 5) == pytest.approx(1 / 3, abs=0.08)
    # 五个点在一条线上：0 1 | 2 3 4；k=1 时只有一个点的最近邻是异类
    line = torch.tensor([[0.0], [1.0], [2.1], [3.0], [4.0]])
    assert neighbor_purity(line, torch.tensor([0, 0, 1, 1, 1]), 1) == 1
    assert neighbor_purity(line, torch.tensor([0, 0, 0, 1, 1]), 1) == pytest.approx(3 / 5)


def test_grid_is_one_to_one_and_optimal():
    points = torch.rand(6, 2, generator=torch.Generator().manual_seed(1))
    cells = grid_cells(points, (2, 3))
    assert len({tuple(cell) for cell in cells.tolist()}) == 6
    from itertools import permutations

    place = torch.cartesian_prod(torch.arange(2), torch.arange(3)).double()
    position = grid_positions(points, (2, 3))
    best = min(
        (position - place[list(order)]).square().sum().item() for order in permutations(range(6))
    )
    assert (position - cells).square().sum().item() == pytest.approx(best)


def test_points_already_on_the_grid_stay_and_up_is_up():
    points = torch.tensor(
        [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    )  # 左上、右上、左下、右下
    assert grid_cells(points, (2, 2)).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    colours = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    poster = image_grid(points, colours, shape=(2, 2), gap=1)
    assert poster.shape == (1, 3, 7, 7)
    assert poster[0, 0, 1, 1].item() == pytest.approx(0.1) and poster[
        0, 0, 5, 5
    ].item() == pytest.approx(0.4)
    assert (poster[0, :, 3] == 1).all() and (poster[0, :, 0] == 1).all()


def test_image_grid_chooses_a_shape_and_size():
    points, images = torch.rand(215, 2), torch.rand(215, 3, 8, 8)
    assert image_grid(points, images, gap=0).shape == (1, 3, 12 * 8, 18 * 8)
    assert image_grid(points, images, cell=4, gap=1).shape == (1, 3, 12 * 5 + 1, 18 * 5 + 1)


def test_bad_input_is_explained():
    x = cloud()
    for call, words in (
        (lambda: pca(x, 7), "至多有 6 个"),
        (lambda: pca(x[0]), r"\(N, D\)"),
        (lambda: pca(x * math.nan), "NaN"),
        (lambda: tsne(x, 39), "小于 39"),
        (lambda: conditional_affinities(x, 1), "大于 1"),
        (lambda: tsne(x, start="PCA"), "random"),
        (lambda: trustworthiness(x, x[:5], 3), "N 要相同"),
        (lambda: trustworthiness(x, x, 20), "应小于 20"),
        (lambda: grid_cells(torch.rand(5, 2), (2, 2)), "放不进"),
        (lambda: image_grid(torch.rand(4, 2), torch.rand(5, 3, 4, 4)), "N 要相同"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
