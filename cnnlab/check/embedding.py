"""“降维”一章的练习：主成分、邻居概率、近邻纯度、对号入座、骗人的簇。"""

import math
from functools import cache, partial
from itertools import combinations

import torch
from torch import Tensor

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise, uniform
from cnnlab.check.variants import fed

# 1 主成分


def _up_to_sign(function, x, n):
    """正负号不定：每一列绝对值最大的数取正之后再比。"""
    answer = function(x, n)
    if not (
        isinstance(answer, (tuple, list))
        and len(answer)
        and isinstance(answer[0], Tensor)
        and answer[0].dim() == 2
        and answer[0].numel()
    ):
        return answer
    points = answer[0]
    return points * points.gather(0, points.abs().argmax(0, keepdim=True)).sign(), *answer[1:]


def _stretched(count, width, seed):
    return noise((count, width), seed) * torch.linspace(3, 0.5, width, dtype=torch.float64) + 2


@exercise(
    "主成分分析",
    level=1,
    asked="my_pca",
    probes=(lambda: (_stretched(9, 5, 31), 2), lambda: (_stretched(7, 12, 32), 3)),
    answer="(points, share) 两项：(N, n) 的坐标和 (n,) 的方差比例；各列的正负不论",
    idea="先把云团移到原点，再找它最长的几个方向。奇异值分解一次就给出方向和长度。",
    where="看本章“想法”一节的公式和 torch.linalg.svd 的文档，用 full_matrices=False。",
    question="如果有一个特征的单位从米换成毫米，第一主成分会变成什么？",
    run=_up_to_sign,
    mistakes={
        "not_centred": (
            ("x - x.mean(0)", "x"),
            "没有减去均值：第一主成分会指向均值，而不是起伏最大的方向。",
        ),
        "whitened": ((" * size[:n]", ""), "各方向的长度都变成一样了：左奇异向量还要乘奇异值。"),
        "not_squared": (
            ("size.square()", "size"),
            "比例用了奇异值本身：方差与奇异值的平方成正比。",
        ),
        "kept_only": (
            ("variance.sum()", "variance[:n].sum()"),
            "分母只加了留下的几个方向：要除以全部方差，否则看不出丢了多少。",
        ),
        "rows": (
            ("x.mean(0)", "x.mean(1, keepdim=True)"),
            "减的是每一行自己的平均：要减各列的平均，把云团移到原点。",
        ),
        "standardised": (
            ("x - x.mean(0)", "(x - x.mean(0)) / x.std(0)"),
            "各列还除了标准差：那是另一种做法，这里只减平均。",
        ),
        "smallest": (
            [
                ("left[:, :n] * size[:n]", "(left * size).flip(1)[:, :n]"),
                ("variance[:n]", "variance.flip(0)[:n]"),
            ],
            "取的是起伏最小的方向：eigh 的特征值从小到大排。",
        ),
        "projects_uncentred": (
            [("size, _", "size, directions"), ("left[:, :n] * size[:n]", "x @ directions[:n].T")],
            "方向找对了，投影的却是没有减平均的数据：坐标整体偏了。",
        ),
        "rows_of_vh": (
            [
                ("size, _", "size, directions"),
                ("=False", "=True"),
                ("left[:, :n] * size[:n]", "shifted @ directions[:, :n]"),
            ],
            "取了 Vᵀ 的列：方向是它的行。",
        ),
        "variances": (
            ("/ variance.sum()", "/ (len(x) - 1)"),
            "第二项给的是方差本身：要除以总方差，成为比例。",
        ),
        "standardised_whole": (
            ("x - x.mean(0)", "(x - x.mean(0)) / x.std(0, correction=0)"),
            "各列还除了标准差（按个数算的）：这里只减平均。",
        ),
    },
)
def principal(x, n):
    shifted = x - x.mean(0)
    left, size, _ = torch.linalg.svd(shifted, full_matrices=False)
    variance = size.square()
    return left[:, :n] * size[:n], variance[:n] / variance.sum()


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


def _mean_perplexity(x, perplexity):
    """全部行共用一个 σ，使各行困惑度的平均等于给定的数。"""
    squared = torch.cdist(x, x).square().fill_diagonal_(torch.inf)
    low, high = 1e-8, 1e8
    for _ in range(80):
        middle = math.sqrt(low * high)
        p = torch.softmax(-middle * squared, 1)
        flat = torch.special.entr(p).sum(1).exp().mean() > perplexity
        low, high = (middle, high) if flat else (low, middle)
    return p


def _nearest_only(x, perplexity):
    near = torch.cdist(x, x).fill_diagonal_(torch.inf).argsort(1)[:, : round(perplexity)]
    return torch.zeros(len(x), len(x), dtype=x.dtype).scatter_(1, near, 1 / near.shape[1])


def _student(x, perplexity):
    weight = 1 / (1 + torch.cdist(x, x).square())
    weight = weight.fill_diagonal_(0)
    return weight / weight.sum(1, keepdim=True)


def _uneven(count, seed):
    x = noise((count, 3), seed)
    x[: count // 2] *= 0.2  # 一半密，一半疏
    return x


@exercise(
    "困惑度与邻居概率",
    level=3,
    asked="my_affinities",
    probes=(lambda: (_uneven(10, 33), 3.0), lambda: (_uneven(12, 34), 4.0)),
    answer="(N, N) 的张量：第 i 行是 i 选各个 j 作邻居的概率，对角为 0，每行的困惑度都等于给定的数",
    idea="σ 变大，这一行就更平，熵也更大。所以每一行都可以用二分法找到自己的 σ。",
    where="看本章“从零实现”一节；熵用 torch.special.entr，困惑度是 e 的熵次方。",
    question="密处的点和疏处的点，谁的 σ 大？这对图上簇的大小意味着什么？",
    tolerance=1e-3,
    laws=(
        (
            lambda call, x, perplexity: torch.allclose(
                call(5 * x, perplexity), call(x, perplexity), atol=1e-3
            ),
            "把数据整体放大 5 倍，概率应当不变，你的变了。",
        ),
    ),
    mistakes={
        "one_sigma": (
            ("[(squared, own)]", "[(d, i) for i, d in enumerate(distances)]"),
            "所有行用了同一个 σ：密处 σ 小，疏处 σ 大，逐行二分。",
        ),
        "itself": (
            [("[(squared, own)]", "[(squared, -1)]"), ("_row(squared, own", "_row(squared, -1")],
            "自己也算成了邻居：对角应当是 0，归一化之前就要去掉。",
        ),
        "bits": (
            ("math.log(perplexity)", "math.log(perplexity) / math.log(2)"),
            "熵的单位混了：自然对数的熵要配 e 的幂，以 2 为底的熵才配 2 的幂。",
        ),
        "joint": (
            lambda x, p: (neighbor_odds.oracle(x, p) + neighbor_odds.oracle(x, p).T) / (2 * len(x)),
            "你已经把它对称化了：这里要每行自己的条件概率，合计为 1。",
        ),
        "unsquared": ((".square()", ""), "指数里用了距离本身：高斯里是距离的平方。"),
        "mean_perplexity": (
            _mean_perplexity,
            "全部行共用一个 σ，只让平均的困惑度对上：每一行要自己对上。",
        ),
        "mixed_logarithms": (
            ("math.log(perplexity)", "math.log(perplexity) * math.log(2)"),
            "熵用了以 2 为底的对数，困惑度却用 e 的幂：底要一致。",
        ),
        "nearest_only": (_nearest_only, "给最近的几个平分了概率：应当是高斯，近的多、远的少。"),
        "late_diagonal": (
            ("[(squared, own)]", "[(squared, -1)]"),
            "二分的时候把自己也算了进去，最后才清零：先去掉对角，再对困惑度。",
        ),
        "uniform": (
            lambda x, p: (1 - torch.eye(len(x), dtype=x.dtype)) / (len(x) - 1),
            "每一行都成了均匀的：熵对的是困惑度的对数，不是困惑度本身；或者二分走到了头。",
        ),
        "student": (_student, "用的是 t 分布的核：那是平面上的 q，高维这边用高斯，σ 逐行二分。"),
        "columns": (
            ("dtype=x.dtype)", "dtype=x.dtype).T"),
            "行和列对调了：第 i 行是 i 选各个 j，每行合计为 1。",
        ),
    },
)
def neighbor_odds(x, perplexity):
    rows, distances = [], torch.cdist(x, x).square().tolist()
    for own, squared in enumerate(distances):
        spread = _spread_for([(squared, own)], math.log(perplexity))
        rows.append(_row(squared, own, spread))
    return torch.tensor(rows, dtype=x.dtype)


# 3 近邻纯度


def _labelled(count, seed):
    labels = torch.tensor(
        [0] * (count // 2) + [1] * (count // 3) + [2] * (count - count // 2 - count // 3)
    )
    return noise((count, 4), seed) + 0.8 * labels[:, None], labels


def my_purity(x, labels, k):
    distances = torch.cdist(x, x)
    distances.fill_diagonal_(torch.inf)
    nearest = distances.topk(k, largest=False).indices
    alike = labels[nearest] == labels[:, None]
    return float(alike.double().mean())


@exercise(
    "近邻纯度",
    level=2,
    ours=my_purity,
    probes=(
        lambda: (*_labelled(15, 35), 3),
        lambda: (*_labelled(19, 36), 4),
        lambda: (*_labelled(29, 37), 5),
    ),
    answer="一个 0 到 1 之间的数：每个点的 k 个近邻里同类的比例，对所有点取平均",
    idea="这个数在原空间能算，在平面图上也能算。两边一比，就知道图添了多少、丢了多少。",
    where="看 torch.cdist 与 Tensor.topk；对角上是自己到自己的距离。",
    question="三类各占一半、三分之一、六分之一时，随机标签的纯度大约是多少？",
    mistakes={
        "itself": (
            ("    distances.fill_diagonal_(torch.inf)\n", ""),
            "把自己也算成了邻居：自己总与自己同类，纯度被抬高了。",
        ),
        "farthest": (
            [("    distances.fill_diagonal_(torch.inf)\n", ""), (", largest=False", "")],
            "取成了最远的 k 个：距离越小越近。",
        ),
        "per_class": (
            (
                "float(alike.double().mean())",
                "float(sum(alike[labels == c].double().mean() for c in range(3))) / 3",
            ),
            "先按类取了平均：这里每个点的分量相同。",
        ),
        "first": (("topk(k,", "topk(1,"), "只看了最近的一个：题目要 k 个近邻里的比例。"),
        "majority": (
            ("labels[nearest] == labels[:, None]", "labels[nearest].mode(1).values == labels"),
            "数的是多数表决对不对：题目要同类的比例，三个里有两个同类记三分之二。",
        ),
        "count": (
            ("alike.double().mean()", "alike.double().sum(1).mean()"),
            "给的是同类邻居的个数：再除以 k。",
        ),
        "one_more": (
            [("    distances.fill_diagonal_(torch.inf)\n", ""), ("topk(k,", "topk(k + 1,")],
            "取了 k + 1 个而没有去掉自己：自己那一个也算进了比例。",
        ),
        "first_axis": (
            ("torch.cdist(x, x)", "torch.cdist(x[:, :1], x[:, :1])"),
            "只用了第一列算距离：各列都要算。",
        ),
    },
)
def purity(x, labels, k):
    scores = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        near = sorted(others, key=lambda j: float((x[i] - x[j]).norm()))[:k]
        scores.append(sum(int(labels[j]) == int(labels[i]) for j in near) / k)
    return sum(scores) / len(scores)


# 4 对号入座


def _cells(columns, count):
    return torch.tensor([[i // columns, i % columns] for i in range(count)], dtype=torch.float64)


def _seats(points, rows, columns, power=2.0):
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(points, _cells(columns, rows * columns)).pow(power)
    return torch.from_numpy(linear_sum_assignment(cost.numpy())[1])


def _by_swaps(points, rows, columns):
    """两两交换，直到哪一对都换不动：常常停在不是最小的地方。"""
    cost = torch.cdist(points, _cells(columns, rows * columns)).square()
    seats, moved = list(range(len(points))), True
    while moved:
        moved = False
        for a, b in combinations(range(len(points)), 2):
            now = cost[a, seats[a]] + cost[b, seats[b]]
            if cost[a, seats[b]] + cost[b, seats[a]] < now - 1e-12:
                seats[a], seats[b], moved = seats[b], seats[a], True
    return torch.tensor(seats)


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


@exercise(
    "照片对号入座",
    level=2,
    asked="my_seats",
    probes=(
        lambda: (_scattered(4, 5, 44), 4, 5),
        lambda: (_scattered(3, 2, 46), 3, 2),
        lambda: (_scattered(1, 4, 48), 1, 4),
    ),
    answer="整数张量 (N,)：第 i 个点坐第几格（行号 × 列数 + 列号），一格一个",
    idea="一个点的好格子可能正是另一个点唯一的好格子：要全体一起最省，而不是各自抢先。",
    where="看 scipy.optimize.linear_sum_assignment；代价表的行是点，列是格子，数是距离的平方。",
    question="格子比点多一倍时，图会更准还是更好看？",
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
            partial(_seats, power=1.0),
            "代价用了距离本身：题目要距离平方的总和最小，宁可大家都挪一点。",
        ),
        "inverse": (
            lambda *a: _seats(*a).argsort(),
            "返回的是每一格坐着哪个点：题目要每个点坐第几格。",
        ),
        "column_first": (
            lambda p, r, c: _seats(p, r, c) % c * r + _seats(p, r, c) // c,
            "格号是按列数的：格号是行号 × 列数 + 列号。",
        ),
        "swapped": (
            fed(_seats, points=lambda p: p.flip(1)),
            "行和列用反了：points 的第一列是行，第二列是列。",
        ),
        "largest": (fed(_seats, points=torch.neg), "总和最大了：代价的符号反了。"),
        "by_swaps": (_by_swaps, "两两交换停在了半路：哪一对都换不动，几个一起换还能更省。"),
    },
)
def seating(points, rows, columns):
    return _seats(points, rows, columns)


# 5 骗人的簇


@cache
def _silhouettes(values, shape, perplexity):
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    from cnnlab.chapters.embedding import tsne

    x = torch.tensor(values, dtype=torch.float64).view(shape)
    points = tsne(x, perplexity, steps=500).numpy()
    groups = KMeans(len(x) // 10, n_init=1, random_state=0).fit_predict(points)
    return float(silhouette_score(points, groups)), float(silhouette_score(x.numpy(), groups))


def _map_and_data(answer):
    """(图上的, 原空间的) 轮廓系数。"""
    x, perplexity = answer
    return _silhouettes(tuple(x.double().flatten().tolist()), tuple(x.shape), perplexity)


def _found(answer, seed):
    on_map, in_data = _map_and_data(answer)
    return f"你的数据：图上 {on_map:.2f}（要大于 0.45），原空间 {in_data:.2f}（要小于 0.05）。"


def _enough(answer, seed):
    x, perplexity = answer
    return (
        x.dim() == 2
        and 100 <= len(x) <= 200
        and x.shape[1] >= 2
        and bool(torch.isfinite(x).all())
        and bool((x != x[:1]).any())
        and 1 < perplexity < 100
    )


def _scattered_data(seed, count, width):
    return noise((count, width), seed)


def _blobs(seed):
    return _scattered_data(seed, 150, 20) * 0.2 + 5 * _scattered_data(seed + 1, 15, 20).repeat(
        10, 1
    ), 10.0


@exercise(
    "让 t-SNE 说谎",
    level=3,
    open_ended=True,
    probes=(lambda: (3,),),
    answer="(x, perplexity)：100 到 200 行的数据和一个困惑度；图上成簇，原空间里没有簇",
    idea="困惑度说的是每个点在乎几个邻居。只在乎一两个的时候，随便什么数据都会抱成小团。",
    where="看本章“它何时骗人”一节；轮廓系数用 sklearn.metrics.silhouette_score，同一组标签在两个空间各算一次。",
    question="如果只给你这张图，不给数据，你怎样看穿它？",
    tell=_found,
    properties=(
        (
            _enough,
            "要 100 到 200 行、至少 2 列、全是有限的数、各行不全相同，困惑度在 1 与 100 之间。",
        ),
        (
            lambda answer, seed: _map_and_data(answer)[1] < 0.05,
            "原空间里就有簇（或数据本身就近乎平面），不算骗：同一组标签在原空间的轮廓系数太高。{}",
        ),
        (
            lambda answer, seed: _map_and_data(answer)[0] > 0.45,
            "图上还不够像簇：一团没有结构的点，硬分成小组也有这么高的轮廓系数。{}",
        ),
    ),
    mistakes={
        "few": (lambda seed: (_scattered_data(seed, 40, 20), 2.0),),
        "clustered": (_blobs,),
        "large_perplexity": (lambda seed: (_scattered_data(seed, 150, 50), 30.0),),
    },
)
def false_clusters(seed): ...
