"""“多侧面与自然先验”一章的练习：簇中心作起点、偏向中心的窗口、代码走一步、侧面之间的距离。"""

import math
from functools import partial
from itertools import combinations

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise, uniform
from cnnlab.check.variants import fed

# 1 簇中心作起点


def _grouped(seed, count=9, size=4):
    """照片、特征和标签；每簇里有一张离群的。"""
    labels = torch.tensor([1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1])[:count]
    features = noise((count, 3), seed) + labels[:, None]
    features[:2] += 3
    return uniform((count, 3, size, size + 1), seed + 1), features, labels


def _near_by(
    images,
    features,
    labels,
    count,
    *,
    distance=lambda gap: gap.norm(dim=1),
    center=lambda mine, everyone: mine.mean(0),
    chosen=lambda order, count: order[:count],
    within=lambda mine: mine,
    places=lambda images, group: images[group],
):
    out = []
    for facet in range(int(labels.max()) + 1):
        mine = labels == facet
        group = within(mine)
        order = distance(features[group] - center(features[mine], features)).argsort()
        out.append(places(images, group)[chosen(order, count)].mean(0))
    return torch.stack(out)


@exercise(
    "簇中心附近的平均照片",
    level=1,
    asked="my_facet_starts",
    probes=(
        lambda: (*_grouped(1), 2),
        lambda: (*_grouped(19, count=11, size=3), 3),
        lambda: (*_grouped(14, count=10, size=2), 1),
    ),
    answer="(K, 3, H, W)：第 k 张是第 k 簇里、特征离簇中心最近的 count 张照片的平均",
    idea="簇中心是特征的平均，照片的平均是像素的平均：先在特征里挑照片，再在像素里平均。",
    where="看本章“从零实现”一节；挑最近的用 Tensor.argsort。",
    question="count 等于整簇的张数时，平均照片会变成什么样？",
    mistakes={
        "global_center": (
            partial(_near_by, center=lambda mine, everyone: everyone.mean(0)),
            "用了全部照片的中心：每一簇有自己的中心。",
        ),
        "other_members": (
            partial(_near_by, within=torch.ones_like),
            "挑进了别的簇的照片：先限定在这一簇里，再比距离。",
        ),
        "single": (
            partial(_near_by, chosen=lambda order, count: order[:1]),
            "只用了最近的一张：要几张平均，免得起点就是某张照片。",
        ),
        "farthest": (
            partial(_near_by, chosen=lambda order, count: order.flip(0)[:count]),
            "挑的是离中心最远的：排序的方向反了。",
        ),
        "pixel_distance": (
            lambda x, f, *a: _near_by(x, x.flatten(1), *a),
            "比的是像素的距离：先在特征里挑照片，再在像素里平均。",
        ),
        "whole_album": (
            partial(_near_by, chosen=lambda order, count: order),
            "整簇的照片都平均了：只要离中心最近的 count 张。",
        ),
        "summed": (lambda *a: a[-1] * _near_by(*a), "只相加没有除以张数：要平均。"),
        "skips_the_nearest": (
            partial(_near_by, chosen=lambda order, count: order[1 : count + 1]),
            "跳过了最近的那一张：从第 0 名取起。",
        ),
        "from_the_first": (
            partial(_near_by, center=lambda mine, everyone: mine[0]),
            "量的是到这一簇第一张的距离：要到簇中心。",
        ),
        "city_block": (
            partial(_near_by, distance=lambda gap: gap.abs().sum(1)),
            "用的是各维之差的绝对值之和：最近是指欧氏距离。",
        ),
        "place_in_cluster": (
            partial(_near_by, places=lambda images, group: images),
            "簇内的名次当成了整批的下标：先从 images 里取出这一簇，或者换回原来的下标。",
        ),
        "cosine": (
            fed(_near_by, features=functional.normalize),
            "比的是方向：题目要到中心的距离。",
        ),
        "median": (
            partial(_near_by, center=lambda mine, everyone: mine.median(0).values),
            "中心用的是中位数：本簇特征的平均才是簇中心。",
        ),
    },
)
def facet_start(images, features, labels, count):
    starts = []
    for facet in range(int(labels.max()) + 1):
        members = [index for index in range(len(labels)) if int(labels[index]) == facet]
        center = features[members].mean(0)
        nearest = (features[members] - center).square().sum(1).argsort()[:count]
        starts.append(images[members][nearest].mean(0))
    return torch.stack(starts)


# 2 偏向中心的梯度遮罩


def _gaussian(
    gradient,
    width,
    *,
    axis=lambda place, side: place / (side - 1) - 0.5,
    distance=lambda y, x: y.square() + x.square(),
):
    places = (torch.arange(side, dtype=gradient.dtype) for side in gradient.shape[-2:])
    y, x = (axis(place, len(place)) for place in places)
    return gradient * torch.exp(-distance(y[:, None], x) / (2 * width**2))


@exercise(
    "偏向中心的遮罩",
    level=2,
    probes=(
        lambda: (noise((2, 3, 5, 8), 11), 0.25),
        lambda: (noise((1, 3, 7, 4), 12), 0.4),
        lambda: (noise((1, 3, 5, 5), 13), 0.3),
    ),
    answer="(N, 3, H, W)：梯度乘以一个中心为 1 的高斯，标准差是边长的 width 倍",
    idea="坐标从 −½ 到 ½，正中是 0；高斯的指数是到中心的距离平方除以两倍的方差，带负号。",
    where="看 torch.linspace；行、列两个坐标用广播合成一张图。",
    question="换成 Adam，这个遮罩为什么就不起作用了？",
    mistakes={
        "pixels": (
            partial(_gaussian, axis=lambda place, side: place - (side - 1) / 2),
            "坐标用了像素：宽度是边长的倍数，换个尺寸也该一样宽。",
        ),
        "no_half": (
            fed(_gaussian, width=lambda w: w / 2**0.5),
            "指数里少了 2：标准差为 σ 的高斯，分母是 2σ²。",
        ),
        "edges": (lambda g, w: g - _gaussian(g, w), "留下的是边缘：中心应当是 1，越往外越小。"),
        "corner": (
            partial(_gaussian, axis=lambda place, side: place / (side - 1)),
            "高斯的中心在左上角：坐标的零点要放在图像正中。",
        ),
        "not_squared": (
            partial(_gaussian, distance=torch.hypot),
            "距离没有平方：那是另一种衰减，中心会有个尖。",
        ),
        "to_one": (fed(_gaussian, width=lambda w: w / 2), "坐标从 −1 走到了 1：题目是从 −½ 到 ½。"),
        "whole_variance": (
            fed(_gaussian, width=lambda w: w**0.5),
            "分母用了 width 本身：标准差要平方。",
        ),
        "only_mask": (fed(_gaussian, gradient=torch.ones_like), "返回的是权重：再乘上梯度。"),
        "normalized": (
            lambda g, w: _gaussian(g, w) / _gaussian(torch.ones_like(g[:1, :1]), w).sum(),
            "权重除以了它们的和：中心应当是 1。",
        ),
        "pixel_centres": (
            partial(_gaussian, axis=lambda place, side: (place + 0.5) / side - 0.5),
            "取点的位置差半格：两端正好取到 −½ 和 ½。",
        ),
        "never_at_the_end": (
            partial(_gaussian, axis=lambda place, side: place / side - 0.5),
            "坐标没有走到 ½：最后一行、最后一列也要取到端点，左右才对称。",
        ),
        "hard": (
            lambda g, w: g * (_gaussian(torch.ones_like(g), w) > math.exp(-0.5)),
            "权重只有 0 和 1：题目要高斯，渐渐变小。",
        ),
        "columns_only": (
            partial(_gaussian, distance=lambda y, x: x.square()),
            "只看了列的坐标：行的坐标也要平方、相加。",
        ),
        "one_axis": (
            partial(_gaussian, distance=lambda y, x: y.square()),
            "只看了一个方向：行、列两个坐标的平方要相加。",
        ),
    },
)
def center_mask(gradient, width):
    height, across = gradient.shape[-2:]
    masked = gradient.clone()
    for row in range(height):
        for column in range(across):
            y, x = row / (height - 1) - 0.5, column / (across - 1) - 0.5
            masked[..., row, column] *= math.exp(-(y * y + x * x) / (2 * width**2))
    return masked


# 3 侧面之间的距离


def _compared(spread):
    """同一种量法，在侧面之间与种子之间的比。"""
    return lambda facets, seeds: spread(facets) / spread(seeds)


def _nearest(group):
    return torch.cdist(group, group).fill_diagonal_(torch.inf).amin(1).mean()


def _angles(group):
    unit = functional.normalize(group)
    rows, columns = torch.triu_indices(len(group), len(group), 1)
    return (1 - unit @ unit.T)[rows, columns].mean()


def _repeats(call, facets, seeds):
    order = torch.arange(len(facets) - 1, -1, -1)
    return torch.allclose(call(facets[order], seeds), call(facets, seeds))


@exercise(
    "侧面之间，还是种子之间",
    level=2,
    probes=(
        lambda: (noise((4, 6), 41) * 3, noise((5, 6), 42)),
        lambda: (noise((3, 4), 43), noise((4, 4), 44) * 2),
        lambda: (noise((2, 5), 45), noise((3, 5), 46)),
    ),
    answer="一个标量：侧面两两之间的平均距离，除以只换种子的图两两之间的平均距离",
    idea="没有对照的距离没有意义：同一个侧面换个种子也会不同。自己到自己的 0 不算。",
    where="看本章“侧面之间，种子之间”一节；两两距离用 torch.cdist。",
    question="比值接近 1 说明什么？怎样才能排除“只是起点不同”？",
    laws=((_repeats, "把侧面换个次序，答案变了：每一对都要算，地位相同。"),),
    mistakes={
        "with_diagonal": (
            _compared(lambda group: torch.cdist(group, group).mean()),
            "把自己到自己的 0 也平均了进去：张数不同的两组会被压低得不一样。",
        ),
        "squared": (
            _compared(lambda group: torch.pdist(group).square().mean()),
            "用了距离的平方：题目要的是距离的平均。",
        ),
        "flipped": (
            lambda f, s: torch.pdist(s).mean() / torch.pdist(f).mean(),
            "分子分母反了：大于 1 应当表示侧面之间差得更多。",
        ),
        "from_first": (
            _compared(lambda group: (group[1:] - group[0]).norm(dim=1).mean()),
            "只算了到第一张的距离：每一对都要算。",
        ),
        "across": (
            lambda f, s: torch.pdist(f).mean() / torch.cdist(f, s).mean(),
            "分母是侧面与种子之间的距离：对照是种子与种子之间。",
        ),
        "difference": (
            lambda f, s: torch.pdist(f).mean() - torch.pdist(s).mean(),
            "算的是相差多少：题目要相除。",
        ),
        "totals": (
            _compared(lambda group: torch.pdist(group).sum()),
            "除的是总和：两组的张数不同，对数也不同，要各自平均。",
        ),
        "largest": (
            _compared(lambda group: torch.pdist(group).max()),
            "取了最远的一对：题目要平均。",
        ),
        "absolute": (
            _compared(lambda group: torch.pdist(group, p=1).mean()),
            "用的是各维之差的绝对值之和：题目要欧氏距离。",
        ),
        "to_the_mean": (
            _compared(lambda group: (group - group.mean(0)).norm(dim=1).mean()),
            "量的是到中心的距离：题目要两两之间。",
        ),
        "neighbours": (
            _compared(lambda group: group.diff(dim=0).norm(dim=1).mean()),
            "只算了相邻的两张：每一对都要算。",
        ),
        "no_control": (lambda f, s: torch.pdist(f).mean(), "没有除以种子之间的距离：没有对照。"),
        "cross_above": (
            lambda f, s: torch.cdist(f, s).mean() / torch.pdist(s).mean(),
            "分子是侧面与种子之间的距离：要侧面与侧面之间。",
        ),
        "nearest": (_compared(_nearest), "只算了到最近一张的距离：每一对都要算。"),
        "angles": (_compared(_angles), "比的是方向（余弦）：题目要欧氏距离。"),
        "root_mean_square": (
            _compared(lambda group: torch.pdist(group).square().mean().sqrt()),
            "用的是均方根距离：题目要距离本身的平均。",
        ),
        "deviations": (
            _compared(lambda group: group.std(0).mean()),
            "比的是各维的标准差：题目要两两之间的距离。",
        ),
        "mean_of_ratios": (
            lambda f, s: (torch.pdist(f)[:, None] / torch.pdist(s)).mean(),
            "先求了比再平均：先各自平均，再相除。",
        ),
        "denominator_diagonal": (
            lambda f, s: torch.pdist(f).mean() / torch.cdist(s, s).mean(),
            "分母里把自己到自己的 0 也平均了进去。",
        ),
    },
)
def spread_ratio(facets, seeds):
    def spread(group):
        gaps = [(a - b).square().sum().sqrt() for a, b in combinations(group, 2)]
        return sum(gaps) / len(gaps)

    return spread(facets) / spread(seeds)


# 4 代码走一步


def _code_probe(seed, count, size):
    code, gradient = uniform((count, size), seed) * 2, noise((count, size), seed + 1) * 30
    return code, gradient, uniform((size,), seed + 2), uniform((size,), seed + 3) * 0.5 + 0.1


def _gentle(seed, count, size):
    """梯度小、离均值远：界限管不着，拉力看得清。"""
    mean, std = 1 + uniform((size,), seed + 2), 0.4 + uniform((size,), seed + 3)
    code = mean + std * (2 * uniform((count, size), seed) - 1)
    return code, noise((count, size), seed + 1), mean, std


def _prior(gap, std, *_):
    return 0.04 * gap / std**2


def _step(
    code,
    gradient,
    mean,
    std,
    *,
    rate=0.1,
    sign=1.0,
    pull=_prior,
    floor=0.0,
    cap=lambda mean, std: mean + 3 * std,
):
    """拉力是 pull(离均值多远, 标准差, 代码)。"""
    moved = code + rate * (sign * gradient - pull(code - mean, std, code))
    return moved.clamp_min(floor).minimum(cap(mean, std))


def _unit_step(code, gradient, mean, std):
    direction = functional.normalize(gradient - _prior(code - mean, std))
    return _step(code, direction, mean, std, pull=lambda *_: 0)


def _in_bounds(out, code, gradient, mean, std):
    return (out >= 0).all() and (out <= mean + 3 * std + 1e-9).all()


@exercise(
    "代码走一步",
    level=2,
    probes=(
        lambda: _gentle(51, 3, 6),
        lambda: _code_probe(21, 3, 7),
        lambda: _code_probe(31, 1, 9),
    ),
    answer="(N, D)：沿得分的梯度走 0.1，减去 L2 的拉力，再截到 [0, 均值 + 3 个标准差]",
    idea="三件事按次序做：得分往上推，先验往均值拉，最后截住。先验是以标准差为单位的距离的平方。",
    where="看本章“想法”一节的公式；(c − μ)²/σ² 的导数里有两处容易漏。",
    question="下界为什么是 0？换成没有 ReLU 的层，下界还该是 0 吗？",
    properties=((_in_bounds, "有的分量越界了：走完以后要截到 [0, 均值 + 3 个标准差]。"),),
    mistakes={
        "no_floor": (
            partial(_step, floor=-torch.inf),
            "代码出现了负数：它来自 ReLU，训练时从没有负的。",
        ),
        "no_cap": (
            partial(_step, cap=lambda mean, std: torch.full_like(std, torch.inf)),
            "有的分量太大了：上界是均值加 3 个标准差。",
        ),
        "descends": (partial(_step, sign=-1.0), "得分在变小：沿着梯度走，不是逆着。"),
        "no_pull": (
            partial(_step, pull=lambda *_: 0),
            "没有先验的拉力：代码会跑到训练时没见过的地方。",
        ),
        "not_whitened": (
            partial(_step, pull=lambda gap, *_: 0.04 * gap),
            "拉力没有除以方差：每一维要以自己的标准差为单位。",
        ),
        "pushes": (
            partial(_step, pull=lambda *a: -_prior(*a)),
            "拉力的方向反了：它应当把代码拉回均值。",
        ),
        "half_pull": (
            partial(_step, pull=lambda *a: _prior(*a) / 2),
            "拉力小了一半：平方求导之后有一个 2。",
        ),
        "single_deviation": (
            partial(_step, pull=lambda gap, std, _: 0.04 * gap / std),
            "拉力只除了标准差：先验里是比值的平方，导数要除以方差。",
        ),
        "pull_alone": (
            partial(_step, pull=lambda *a: 10 * _prior(*a)),
            "拉力没有乘步长 0.1：得分与先验合起来走一步。",
        ),
        "to_zero": (
            partial(_step, pull=lambda gap, std, code: _prior(code, std)),
            "拉力朝着 0：应当拉回均值。",
        ),
        "prior_itself": (
            partial(_step, pull=lambda gap, std, _: 0.02 * (gap / std) ** 2),
            "减的是先验的值：要减它对代码的导数。",
        ),
        "total_prior": (
            partial(_step, pull=lambda gap, std, _: 0.02 * (gap / std).square().sum(1, True)),
            "减的是整个先验那一个数：要减它对每个分量的导数。",
        ),
        "low_cap": (
            partial(_step, cap=lambda mean, std: 3 * std),
            "上界少了均值：从均值往上数 3 个标准差。",
        ),
        "one_deviation": (
            partial(_step, cap=torch.add),
            "上界只有一个标准差：题目是均值加 3 个标准差。",
        ),
        "unit_range": (
            partial(_step, cap=lambda mean, std: torch.ones_like(std)),
            "截到了 [0, 1]：那是像素的范围，代码的上界由均值和标准差定。",
        ),
        "unit_gradient": (_unit_step, "方向归一化了：题目的步长直接乘梯度。"),
        "own_statistics": (
            lambda c, g, *_: _step(c, g, c.mean(0), c.std(0, correction=0) + 1e-6),
            "均值和标准差取自这一批代码：它们由参数给出。",
        ),
        "whole_step": (partial(_step, rate=1.0), "步长没有用上：走的是 0.1 倍。"),
        "divided_gap": (
            partial(_step, pull=lambda gap, std, _: _prior(gap.abs(), std)),
            "拉力取了绝对值：在均值两边，方向应当相反。",
        ),
    },
)
def code_step(code, gradient, mean, std):
    stepped = code.clone()
    for n in range(len(code)):
        for j in range(code.shape[1]):
            pull = 2 * 0.02 * (code[n, j] - mean[j]) / std[j] ** 2
            moved = code[n, j] + 0.1 * (gradient[n, j] - pull)
            stepped[n, j] = max(min(moved, mean[j] + 3 * std[j]), 0)
    return stepped
