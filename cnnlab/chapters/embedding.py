"""降维：把每张图的几百个数压成平面上的一个点，再把照片摆进格子；也量一量这样的图可信几分。

不画图；高维空间里的最近邻见 neighbors。
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from cnnlab.chapters.neighbors import nearest_neighbors, retrieval_score
from cnnlab.core.arguments import checked
from cnnlab.core.checks import whole
from cnnlab.core.images import resize
from cnnlab.core.values import label_codes, labels


@checked(x="N D")
def pca(x: Tensor, n: int = 2) -> Tensor:
    """主成分分析：投影到方差最大的 n 个方向上，(N, D) → (N, n)。

    X − x̄ = U S Vᵀ，Y = U_n S_n = (X − x̄) V_n；每个方向的正负取绝对值最大的那个坐标为正。
    n 不在 1 到 min(N, D) 之间：ValueError。（Pearson，1901；Hotelling，1933）
    """
    centred = _centred(x)
    if n > min(x.shape):
        raise ValueError(
            f"n 是 {n}，{tuple(x.shape)} 的数据至多有 {min(x.shape)} 个主成分；n 应在 1 到它之间"
        )
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    points = left[:, :n] * singular[:n]
    largest = points.gather(0, points.abs().argmax(0, keepdim=True))
    return torch.where(largest < 0, -points, points)


@checked(x="N D")
def explained_variance(x: Tensor) -> Tensor:
    """各主成分占总方差的比例，从大到小，(min(N, D),)，合计为 1；把它画出来就是碎石图。

    r_k = s_k² / Σ s²；处处相同的数据没有方差，全为 0。
    """
    variance = torch.linalg.svdvals(_centred(x)).square()
    return variance / variance.sum().clamp_min(torch.finfo(variance.dtype).tiny)


@checked(x="N D")
def conditional_affinities(x: Tensor, perplexity: float = 30) -> Tensor:
    """t-SNE 的条件概率 (N, N)：第 i 行是 i 挑各个 j 作邻居的概率，合计为 1，对角为 0。

    p_{j|i} ∝ exp(−‖x_i − x_j‖² / 2σ_i²)；每行的 σ_i 用二分法定，使困惑度 exp(H_i) 恰为 `perplexity`。
    困惑度应大于 1、小于 N − 1，否则 ValueError。（van der Maaten 与 Hinton，2008）
    """
    _check_perplexity(x, perplexity)
    wide = x.cpu().double()  # 有的设备没有 float64
    squared = torch.cdist(wide, wide).square()
    squared = squared / squared.mean()  # 换个单位，σ 就落在固定的范围里
    squared.fill_diagonal_(torch.inf)
    low, high = squared.new_full((len(x), 1), -60.0), squared.new_full((len(x), 1), 60.0)
    nearest = squared.amin(1, keepdim=True)  # 减去最近的，免得整行下溢成 0
    for _ in range(64):
        precision = (low + high) / 2  # 1/2σ² 的对数
        p = torch.softmax(-(squared - nearest) * precision.exp(), 1)
        entropy = torch.special.entr(p).sum(1, keepdim=True)
        too_flat = entropy > math.log(perplexity)
        low, high = torch.where(too_flat, precision, low), torch.where(too_flat, high, precision)
    return p.to(x.dtype).to(x.device)


@checked(conditional="N N")
def joint_affinities(conditional: Tensor) -> Tensor:
    """对称的邻居概率 (N, N)，总和为 1：P = (p_{j|i} + p_{i|j}) / 2N，t-SNE 要在平面上重现的就是它。"""
    return (conditional + conditional.T) / (2 * len(conditional))


def map_affinities(points: Tensor) -> Tensor:
    """平面上的邻居概率 (N, N)，总和为 1：q_ij ∝ 1 / (1 + ‖y_i − y_j‖²)，尾巴比高斯长。"""
    weight = 1 / (1 + torch.cdist(points, points).square())
    weight = weight - torch.diag_embed(weight.diagonal())
    return weight / weight.sum()


@checked(affinities="N N", points="N 2")
def map_divergence(affinities: Tensor, points: Tensor) -> Tensor:
    """t-SNE 要最小化的数：KL(P‖Q) = Σ p_ij log(p_ij / q_ij)，Q 由平面上的点 (N, 2) 来；标量，可求导。"""
    affinities = affinities.to(points.device)
    inside = affinities > 0
    p, q = affinities[inside], map_affinities(points)[inside]
    return (p * (p / q.clamp_min(torch.finfo(q.dtype).tiny)).log()).sum()


@checked(x="N D")
def tsne(
    x: Tensor,
    perplexity: float = 30,
    seed: int = 0,
    *,
    steps: int = 750,
    start: Literal["pca", "random"] = "pca",
) -> Tensor:
    """t-分布随机邻域嵌入：(N, D) → (N, 2)，平面上的邻居尽量就是高维的邻居。

    min KL(P‖Q)。高于 50 维的先做 PCA 降到 50 维；优化由 scikit-learn 的 Barnes–Hut 近似完成。
    `start` 是 "pca"（起点由数据定）或 "random"（由 seed 定）。困惑度不合：ValueError。（van der Maaten 与 Hinton，2008）
    """
    steps, seed = whole(steps, "steps", 250), whole(seed, "seed", 0, 2**32 - 1)
    _check_perplexity(x, perplexity)
    from sklearn.manifold import TSNE

    small = pca(x, 50) if min(x.shape) > 50 else _centred(x)
    settings = {"perplexity": perplexity, "init": start, "random_state": seed, "max_iter": steps}
    points = TSNE(2, learning_rate="auto", **settings).fit_transform(_two_columns(small))
    return torch.from_numpy(points).to(x)


def _two_columns(x: Tensor):
    """交给 scikit-learn 的数：太大太小的换个单位（它在单精度里除以 0 会让整个进程停掉），只有一列的补一列 0。"""
    x = x.detach().cpu().double()
    largest = float(x.abs().max())
    x = x if 1e-6 < largest < 1e6 else x / largest
    x = x if x.shape[1] > 1 else functional.pad(x, (0, 1))
    return x.float().numpy()


@checked(x="N D", points="N d")
def trustworthiness(x: Tensor, points: Tensor, k: int = 12) -> float:
    """可信度，0 到 1：平面上的 k 个近邻，在原空间里也算近吗。

    T = 1 − 2 / (N k (2N − 3k − 1)) · Σ_i Σ_{j ∈ 平面近邻} max(0, r(i, j) − k)，r 是 j 在原空间里的名次。
    k 应小于 N/2。（Venna 与 Kaski，2001）
    """
    count = len(x)
    if not k < count / 2:
        raise ValueError(f"k 是 {k}，{count} 个点时应小于 {count / 2:g}")
    from sklearn import manifold

    wide, flat = (each.detach().cpu().double().numpy() for each in (x, points))
    return float(manifold.trustworthiness(wide, flat, n_neighbors=k))


@checked(x="N D", labels=labels)
def neighbor_purity(x: Tensor, labels: Sequence | Tensor, k: int = 10) -> float:
    """近邻纯度，0 到 1：每个点的 k 个近邻（不算自己）里同类的比例，对所有点取平均；`x` 是原空间或平面的 (N, D)。"""
    return retrieval_score(x, labels, k).score


@checked(x="N D", labels=labels)
def vote_accuracy(x: Tensor, labels: Sequence | Tensor, k: int = 10) -> float:
    """留一法 k 近邻的准确率：每个点由它的 k 个近邻投票，猜中自己类别的比例。"""
    if len(labels) != len(x):
        raise ValueError(f"有 {len(x)} 个点，却有 {len(labels)} 个标签")
    index = nearest_neighbors(x, x, k, exclude_self=True).index
    codes = label_codes(labels).to(x.device)
    votes = functional.one_hot(codes[index]).sum(1)
    return (votes.argmax(1) == codes).float().mean().item()


@checked(points="N 2")
def grid_cells(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """把平面上的 N 个点分到 (行数, 列数) 的格子里，一格至多一个，移动距离的平方和最小；得 (N, 2) 的行、列。

    min Σ_i ‖y_i − g_π(i)‖²，π 一对一：线性指派问题。点先按各轴的范围铺满格子；y 轴朝上，行号朝下。
    格子不够 N 个：ValueError。（Jonker 与 Volgenant，1987）
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = shape
    if len(points) > rows * columns:
        raise ValueError(f"{len(points)} 个点放不进 {rows}×{columns} 格；把 shape 改大")
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    cost = torch.cdist(grid_positions(points, shape), places.double()).square()
    chosen = linear_sum_assignment(cost.numpy())[1]
    return places[torch.from_numpy(chosen)]


@checked(points="N 2")
def grid_positions(points: Tensor, shape: tuple[int, int]) -> Tensor:
    """点在格子坐标里的位置 (N, 2)：（行, 列），可以不是整数；最左的点在第 0 列，最上的点在第 0 行。"""
    points = points.detach().cpu().double()
    low, high = points.aminmax(dim=0)
    unit = (points - low) / (high - low).clamp_min(1e-12)
    return torch.stack([(1 - unit[:, 1]) * (shape[0] - 1), unit[:, 0] * (shape[1] - 1)], 1)


@checked(points="N 2", images="N C H W")
def image_grid(
    points: Tensor, images: Tensor, *, shape=None, cell: int | None = None, gap: int = 2
) -> Tensor:
    """照片地图 (1, 3, H, W)：每张照片摆进离它的点最近的格子，一格一张，空格和缝为白色。

    `points` (N, 2)，`images` (N, 3, h, w)；`shape` 是 (行数, 列数)，不给时取最接近 2:3 的、刚放得下的一种；
    `cell` 是每格的像素数，不给时不缩放。摆法见 grid_cells：总移动最小，但位置不再精确。
    """
    rows = max(1, round(math.sqrt(len(images) * 2 / 3)))
    shape = shape or (rows, math.ceil(len(images) / rows))
    tiles = images if cell is None else resize(images, (cell, cell))
    tiles = functional.pad(tiles, (0, gap, 0, gap), value=1.0)
    rows, columns = grid_cells(points, shape).T
    poster = tiles.new_ones(*shape, *tiles.shape[1:])
    poster[rows, columns] = tiles
    poster = poster.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)[None]
    return functional.pad(poster, (gap, 0, gap, 0), value=1.0)


def _centred(x: Tensor) -> Tensor:
    if len(x) < 2:
        raise ValueError(f"x 应为 (N, D)，至少 2 行，得到 {tuple(x.shape)}")
    return x.detach() - x.detach().mean(0)


def _check_perplexity(x: Tensor, perplexity: float) -> None:
    if (x == x[:1]).all():
        raise ValueError("数据处处相同，没有远近可言；查一查特征是不是全为 0，或全是同一张图")
    if not 1 < perplexity < len(x) - 1:
        raise ValueError(
            f"困惑度是 {perplexity}，{len(x)} 个点时应大于 1、小于 {len(x) - 1}；它约等于每个点有几个近邻"
        )
