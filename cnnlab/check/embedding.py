"""“降维”一章的练习：主成分、邻居概率、近邻纯度、对号入座、骗人的簇。"""

import math
from itertools import permutations

import torch
from torch import Tensor

from cnnlab.check.core import Exercise
from cnnlab.check.fixtures import noise, uniform

# 1 主成分


def _projected(x, n, *, centre=True, whiten=False, power=2, kept_only=False):
    shifted = x - x.mean(0) if centre else x
    left, size, _ = torch.linalg.svd(shifted, full_matrices=False)
    points = left[:, :n] * (1 if whiten else size[:n])
    share = size.pow(power)
    return points, share[:n] / (share[:n].sum() if kept_only else share.sum())


def _by_covariance(x, n):
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    return (x - x.mean(0)) @ vectors.flip(1)[:, :n], values.flip(0)[:n] / values.sum()


def _up_to_sign(function, x, n):
    """正负号不定：每一列绝对值最大的数取正之后再比。"""
    answer = function(x, n)
    if not (isinstance(answer, tuple) and isinstance(answer[0], Tensor) and answer[0].dim() == 2):
        return answer
    points = answer[0]
    return points * points.gather(0, points.abs().argmax(0, keepdim=True)).sign(), *answer[1:]


def _stretched(count, width, seed):
    return noise((count, width), seed) * torch.linspace(3, 0.5, width, dtype=torch.float64) + 2


principal = Exercise(
    id="embedding-1",
    name="principal",
    title="主成分分析",
    level=1,
    stub="my_pca(x, n)",
    probes=(lambda: (_stretched(9, 5, 31), 2), lambda: (_stretched(7, 12, 32), 3)),
    answer="(points, share) 两项：(N, n) 的坐标和 (n,) 的方差比例；各列的正负不论",
    idea="先把云团移到原点，再找它最长的几个方向。奇异值分解一次就给出方向和长度。",
    where="看本章“想法”一节的公式和 torch.linalg.svd 的文档，用 full_matrices=False。",
    question="如果有一个特征的单位从米换成毫米，第一主成分会变成什么？",
    oracle=_by_covariance,
    run=_up_to_sign,
    tolerance=1e-6,
    mistakes={
        "not_centred": (
            lambda x, n: _projected(x, n, centre=False),
            "没有减去均值：第一主成分会指向均值，而不是起伏最大的方向。",
        ),
        "whitened": (
            lambda x, n: _projected(x, n, whiten=True),
            "各方向的长度都变成一样了：左奇异向量还要乘奇异值。",
        ),
        "not_squared": (
            lambda x, n: _projected(x, n, power=1),
            "比例用了奇异值本身：方差与奇异值的平方成正比。",
        ),
        "kept_only": (
            lambda x, n: _projected(x, n, kept_only=True),
            "分母只加了留下的几个方向：要除以全部方差，否则看不出丢了多少。",
        ),
    },
)


# 2 邻居概率


def _row(squared, own, spread):
    weight = [0.0 if j == own else math.exp(-d / (2 * spread**2)) for j, d in enumerate(squared)]
    total = sum(weight) or 1.0
    return [w / total for w in weight]


def _spread_for(rows, target):
    """使各行熵的平均等于 target 的 σ；只给一行时就是这一行的 σ。"""
    low, high = 1e-2, 1e3
    for _ in range(70):
        middle = math.sqrt(low * high)
        entropy = sum(
            -sum(p * math.log(p) for p in _row(*row, middle) if p > 0) for row in rows
        ) / len(rows)
        low, high = (middle, high) if entropy < target else (low, middle)
    return middle


def _affinities(
    x, perplexity, *, squared=True, target=math.log, shared=False, self_too=False, joint=False
):
    distance = torch.cdist(x, x).pow(2 if squared else 1).tolist()
    rows = [(line, -1 if self_too else i) for i, line in enumerate(distance)]
    common = _spread_for(rows, target(perplexity)) if shared else None
    p = torch.tensor(
        [_row(*row, common or _spread_for([row], target(perplexity))) for row in rows],
        dtype=x.dtype,
    )
    return (p + p.T) / (2 * len(p)) if joint else p


def _uneven(count, seed):
    x = noise((count, 3), seed)
    x[: count // 2] *= 0.2  # 一半密，一半疏
    return x


neighbor_odds = Exercise(
    id="embedding-2",
    name="neighbor_odds",
    title="困惑度与邻居概率",
    level=2,
    stub="my_affinities(x, perplexity)",
    probes=(lambda: (_uneven(10, 33), 3.0), lambda: (_uneven(12, 34), 4.0)),
    answer="(N, N) 的张量：第 i 行是 i 选各个 j 作邻居的概率，对角为 0，每行的困惑度都等于给定的数",
    idea="σ 变大，这一行就更平，熵也更大。所以每一行都可以用二分法找到自己的 σ。",
    where="看本章“从零实现”一节；熵用 torch.special.entr，困惑度是 e 的熵次方。",
    question="密处的点和疏处的点，谁的 σ 大？这对图上簇的大小意味着什么？",
    oracle=_affinities,
    tolerance=1e-3,
    laws=(
        (
            lambda call, x, perplexity: torch.allclose(
                call(5 * x, perplexity), call(x, perplexity), atol=1e-3
            ),
            "把数据整体放大 5 倍，概率应当不变：二分法的起止范围要跟着数据的尺度走。",
        ),
    ),
    mistakes={
        "one_sigma": (
            lambda x, p: _affinities(x, p, shared=True),
            "所有行用了同一个 σ：密处 σ 小，疏处 σ 大，逐行二分。",
        ),
        "itself": (
            lambda x, p: _affinities(x, p, self_too=True),
            "自己也算成了邻居：对角应当是 0，归一化之前就要去掉。",
        ),
        "bits": (
            lambda x, p: _affinities(x, p, target=lambda v: math.log(v) / math.log(2)),
            "熵的单位混了：自然对数的熵要配 e 的幂，以 2 为底的熵才配 2 的幂。",
        ),
        "joint": (
            lambda x, p: _affinities(x, p, joint=True),
            "你已经把它对称化了：这里要每行自己的条件概率，合计为 1。",
        ),
        "unsquared": (
            lambda x, p: _affinities(x, p, squared=False),
            "指数里用了距离本身：高斯里是距离的平方。",
        ),
    },
)


# 3 近邻纯度


def _purity(x, labels, k, *, own=False, farthest=False, per_class=False, first=False):
    scores = []
    for i in range(len(x)):
        order = sorted(
            (j for j in range(len(x)) if own or j != i),
            key=lambda j: float((x[i] - x[j]).norm()),
            reverse=farthest,
        )
        near = order[: 1 if first else k]
        scores.append(sum(int(labels[j]) == int(labels[i]) for j in near) / len(near))
    groups = [
        [s for s, c in zip(scores, labels.tolist(), strict=True) if c == name]
        for name in set(labels.tolist())
    ]
    return (
        sum(sum(g) / len(g) for g in groups) / len(groups)
        if per_class
        else sum(scores) / len(scores)
    )


def _labelled(count, seed):
    labels = torch.tensor(
        [0] * (count // 2) + [1] * (count // 3) + [2] * (count - count // 2 - count // 3)
    )
    return noise((count, 4), seed) + 0.8 * labels[:, None], labels


purity = Exercise(
    id="embedding-3",
    name="purity",
    title="近邻纯度",
    level=2,
    stub="my_purity(x, labels, k)",
    probes=(lambda: (*_labelled(15, 35), 3), lambda: (*_labelled(19, 36), 4)),
    answer="一个 0 到 1 之间的数：每个点的 k 个近邻里同类的比例，对所有点取平均",
    idea="这个数在原空间能算，在平面图上也能算。两边一比，就知道图添了多少、丢了多少。",
    where="看 torch.cdist 与 Tensor.topk；对角上是自己到自己的距离。",
    question="三类各占一半、三分之一、六分之一时，随机标签的纯度大约是多少？",
    oracle=_purity,
    mistakes={
        "itself": (
            lambda x, y, k: _purity(x, y, k, own=True),
            "把自己也算成了邻居：自己总与自己同类，纯度被抬高了。",
        ),
        "farthest": (
            lambda x, y, k: _purity(x, y, k, farthest=True),
            "取成了最远的 k 个：距离越小越近。",
        ),
        "per_class": (
            lambda x, y, k: _purity(x, y, k, per_class=True),
            "先按类取了平均：这里每个点的分量相同。",
        ),
        "first": (
            lambda x, y, k: _purity(x, y, k, first=True),
            "只看了最近的一个：题目要 k 个近邻里的比例。",
        ),
    },
)


# 4 对号入座


def _cells(columns, count):
    return torch.tensor([[i // columns, i % columns] for i in range(count)], dtype=torch.float64)


def _seats(points, rows, columns, power=2.0):
    places = _cells(columns, rows * columns)
    best = min(
        permutations(range(rows * columns)),
        key=lambda p: float((points - places[list(p)]).norm(dim=1).pow(power).sum()),
    )
    return torch.tensor(best)


def _greedy(points, rows, columns):
    places, taken = _cells(columns, rows * columns), []
    for point in points:
        order = (places - point).norm(dim=1).argsort().tolist()
        taken.append(next(cell for cell in order if cell not in taken))
    return torch.tensor(taken)


def _sorted_rows(points, rows, columns):
    seats = torch.empty(len(points), dtype=torch.long)
    for row, members in enumerate(points[:, 0].argsort().split(columns)):
        seats[members[points[members, 1].argsort()]] = row * columns + torch.arange(columns)
    return seats


def _scattered(rows, columns, seed):
    return uniform((rows * columns, 2), seed) * torch.tensor(
        [rows - 1.0, columns - 1.0], dtype=torch.float64
    )


seating = Exercise(
    id="embedding-4",
    name="seating",
    title="照片对号入座",
    level=3,
    stub="my_seats(points, rows, columns)",
    probes=(lambda: (_scattered(2, 3, 44), 2, 3), lambda: (_scattered(3, 2, 46), 3, 2)),
    answer="整数张量 (N,)：第 i 个点坐第几格（行号 × 列数 + 列号），一格一个",
    idea="一个点的好格子可能正是另一个点唯一的好格子：要全体一起最省，而不是各自抢先。",
    where="看 scipy.optimize.linear_sum_assignment；代价表的行是点，列是格子，数是距离的平方。",
    question="格子比点多一倍时，图会更准还是更好看？",
    oracle=_seats,
    properties=(
        (
            lambda seats, points, rows, columns: len(set(seats.tolist())) == len(points),
            "有两张照片坐进了同一格，或坐到了格子外面：要一格一张。",
        ),
    ),
    mistakes={
        "nearest": (lambda p, r, c: torch.cdist(p, _cells(c, r * c)).argmin(1),),
        "greedy": (
            _greedy,
            "你让先来的先挑：贪心会把后来者赶得很远，这是指派问题，要全体一起最小。",
        ),
        "sorted": (_sorted_rows, "你先按行排序、再在行内按列排序：整齐，但移动的总和不是最小。"),
        "unsquared": (
            lambda p, r, c: _seats(p, r, c, 1.0),
            "代价用了距离本身：题目要距离平方的总和最小，宁可大家都挪一点。",
        ),
    },
)


# 5 骗人的簇


def _map_and_data(answer):
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    from cnnlab.chapters.embedding import tsne

    x, perplexity = answer
    points = tsne(x, perplexity, steps=500).numpy()
    groups = KMeans(len(x) // 10, n_init=1, random_state=0).fit_predict(points)
    return silhouette_score(points, groups), silhouette_score(x.numpy(), groups)


def _enough(answer, seed):
    x, perplexity = answer
    return (
        x.dim() == 2
        and 100 <= len(x) <= 200
        and x.shape[1] >= 2
        and bool(torch.isfinite(x).all())
        and 1 < perplexity < 100
    )


def _scattered_data(seed, count, width):
    return torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _blobs(seed):
    return _scattered_data(seed, 150, 20) * 0.2 + 5 * _scattered_data(seed + 1, 15, 20).repeat(
        10, 1
    ), 10.0


false_clusters = Exercise(
    id="embedding-5",
    name="false_clusters",
    title="让 t-SNE 说谎",
    level=4,
    stub="my_false_clusters(seed)",
    probes=(lambda: (3,),),
    answer="(x, perplexity)：100 到 200 行的数据和一个困惑度；图上成簇，原空间里没有簇",
    idea="困惑度说的是每个点在乎几个邻居。只在乎一两个的时候，随便什么数据都会抱成小团。",
    where="看本章“它何时骗人”一节；轮廓系数用 sklearn.metrics.silhouette_score，同一组标签在两个空间各算一次。",
    question="如果只给你这张图，不给数据，你怎样看穿它？",
    properties=(
        (_enough, "要 100 到 200 行、至少 2 列、全是有限的数，困惑度在 1 与 100 之间。"),
        (
            lambda answer, seed: _map_and_data(answer)[1] < 0.05,
            "原空间里就有簇（或数据本身就近乎平面），不算骗：同一组标签在原空间的轮廓系数太高。",
        ),
        (
            lambda answer, seed: _map_and_data(answer)[0] > 0.45,
            "图上还不够像簇：一团没有结构的点，硬分成小组也有这么高的轮廓系数。",
        ),
    ),
    mistakes={
        "few": (lambda seed: (_scattered_data(seed, 40, 20), 2.0),),
        "clustered": (_blobs,),
        "large_perplexity": (lambda seed: (_scattered_data(seed, 150, 50), 30.0),),
    },
)
