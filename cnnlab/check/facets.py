"""“多侧面与自然先验”一章的练习：簇中心作起点、偏向中心的窗口、代码走一步、侧面之间的距离。"""

import math

import torch

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise, uniform

# 1 簇中心作起点


def _grouped(seed, count=9, size=4):
    """照片、特征和标签；每簇里有一张离群的。"""
    labels = torch.tensor([1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1])[:count]
    features = noise((count, 3), seed) + labels[:, None]
    features[:2] += 3
    return uniform((count, 3, size, size + 1), seed + 1), features, labels


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
            ("features[members].mean(0)", "features.mean(0)"),
            "用了全部照片的中心：每一簇有自己的中心。",
        ),
        "other_members": (
            [
                ("(features[members] - center)", "(features - center)"),
                ("images[members]", "images"),
            ],
            "挑进了别的簇的照片：先限定在这一簇里，再比距离。",
        ),
        "single": (("[:count]", "[:1]"), "只用了最近的一张：要几张平均，免得起点就是某张照片。"),
        "farthest": (("[:count]", ".flip(0)[:count]"), "挑的是离中心最远的：排序的方向反了。"),
        "pixel_distance": (
            ("starts = []", "starts, features = [], images.flatten(1)"),
            "比的是像素的距离：先在特征里挑照片，再在像素里平均。",
        ),
        "whole_album": (("[:count]", ""), "整簇的照片都平均了：只要离中心最近的 count 张。"),
        "summed": (("[nearest].mean(0)", "[nearest].sum(0)"), "只相加没有除以张数：要平均。"),
        "from_the_first": (
            ("features[members].mean(0)", "features[members][0]"),
            "量的是到这一簇第一张的距离：要到簇中心。",
        ),
        "city_block": (
            (".square().sum(1)", ".abs().sum(1)"),
            "用的是各维之差的绝对值之和：最近是指欧氏距离。",
        ),
        "place_in_cluster": (
            ("images[members]", "images"),
            "簇内的名次当成了整批的下标：先从 images 里取出这一簇，或者换回原来的下标。",
        ),
        "median": (
            ("features[members].mean(0)", "features[members].median(0).values"),
            "中心用的是中位数：本簇特征的平均才是簇中心。",
        ),
    },
)
def facet_start(images, features, labels, count):
    starts = []
    for facet in range(int(labels.max()) + 1):
        members = labels == facet
        center = features[members].mean(0)
        nearest = (features[members] - center).square().sum(1).argsort()[:count]
        starts.append(images[members][nearest].mean(0))
    return torch.stack(starts)


# 2 偏向中心的梯度遮罩


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
            [
                ("row / (height - 1) - 0.5", "row - (height - 1) / 2"),
                ("column / (across - 1) - 0.5", "column - (across - 1) / 2"),
            ],
            "坐标用了像素：宽度是边长的倍数，换个尺寸也该一样宽。",
        ),
        "no_half": (("2 * width**2", "width**2"), "指数里少了 2：标准差为 σ 的高斯，分母是 2σ²。"),
        "edges": (("*= math", "*= 1 - math"), "留下的是边缘：中心应当是 1，越往外越小。"),
        "corner": ((" - 0.5", ""), "高斯的中心在左上角：坐标的零点要放在图像正中。"),
        "not_squared": (
            ("(y * y + x * x)", "math.hypot(y, x)"),
            "距离没有平方：那是另一种衰减，中心会有个尖。",
        ),
        "to_one": (("2 * width**2", "width**2 / 2"), "坐标从 −1 走到了 1：题目是从 −½ 到 ½。"),
        "whole_variance": (("width**2", "width"), "分母用了 width 本身：标准差要平方。"),
        "only_mask": (
            ("gradient.clone()", "torch.ones_like(gradient)"),
            "返回的是权重：再乘上梯度。",
        ),
        "normalized": (
            lambda g, w: (
                center_mask.oracle(g, w) / center_mask.oracle(torch.ones_like(g[0, 0]), w).sum()
            ),
            "权重除以了它们的和：中心应当是 1。",
        ),
        "pixel_centres": (
            [
                ("row / (height - 1)", "(row + 0.5) / height"),
                ("column / (across - 1)", "(column + 0.5) / across"),
            ],
            "取点的位置差半格：两端正好取到 −½ 和 ½。",
        ),
        "never_at_the_end": (
            [("(height - 1)", "height"), ("(across - 1)", "across")],
            "坐标没有走到 ½：最后一行、最后一列也要取到端点，左右才对称。",
        ),
        "hard": (
            ("*= math.exp(-(y * y + x * x) / (2 * width**2))", "*= y * y + x * x < width**2"),
            "权重只有 0 和 1：题目要高斯，渐渐变小。",
        ),
        "columns_only": (("y * y + ", ""), "只看了列的坐标：行的坐标也要平方、相加。"),
        "one_side": (
            ("column / (across - 1)", "column / (height - 1)"),
            "行和列用了同一个边长：高和宽不同时，各除以各的。",
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
            ("pdist(group)", "cdist(group, group)"),
            "把自己到自己的 0 也平均了进去：张数不同的两组会被压低得不一样。",
        ),
        "squared": ((".mean()", ".square().mean()"), "用了距离的平方：题目要的是距离的平均。"),
        "flipped": (
            ("between / among", "among / between"),
            "分子分母反了：大于 1 应当表示侧面之间差得更多。",
        ),
        "from_first": (
            ("torch.pdist(group)", "(group[1:] - group[0]).norm(dim=1)"),
            "只算了到第一张的距离：每一对都要算。",
        ),
        "across": (
            ("/ among", "/ torch.cdist(facets, seeds).mean()"),
            "分母是侧面与种子之间的距离：对照是种子与种子之间。",
        ),
        "difference": (("between / among", "between - among"), "算的是相差多少：题目要相除。"),
        "totals": ((".mean()", ".sum()"), "除的是总和：两组的张数不同，对数也不同，要各自平均。"),
        "largest": ((".mean()", ".max()"), "取了最远的一对：题目要平均。"),
        "absolute": (
            ("pdist(group)", "pdist(group, p=1)"),
            "用的是各维之差的绝对值之和：题目要欧氏距离。",
        ),
        "to_the_mean": (
            ("torch.pdist(group)", "(group - group.mean(0)).norm(dim=1)"),
            "量的是到中心的距离：题目要两两之间。",
        ),
        "neighbours": (
            ("torch.pdist(group)", "group.diff(dim=0).norm(dim=1)"),
            "只算了相邻的两张：每一对都要算。",
        ),
        "no_control": ((" / among", ""), "没有除以种子之间的距离：没有对照。"),
        "cross_above": (
            ("between /", "torch.cdist(facets, seeds).mean() /"),
            "分子是侧面与种子之间的距离：要侧面与侧面之间。",
        ),
        "root_mean_square": (
            (".mean()", ".square().mean().sqrt()"),
            "用的是均方根距离：题目要距离本身的平均。",
        ),
        "denominator_diagonal": (
            ("/ among", "/ torch.cdist(seeds, seeds).mean()"),
            "分母里把自己到自己的 0 也平均了进去。",
        ),
        "deviations": (
            ("torch.pdist(group)", "group.std(0)"),
            "比的是各维的标准差：题目要两两之间的距离。",
        ),
    },
)
def spread_ratio(facets, seeds):
    between, among = (torch.pdist(group).mean() for group in (facets, seeds))
    return between / among


# 4 代码走一步


def _code_probe(seed, count, size):
    code, gradient = uniform((count, size), seed) * 2, noise((count, size), seed + 1) * 30
    return code, gradient, uniform((size,), seed + 2), uniform((size,), seed + 3) * 0.5 + 0.1


def _gentle(seed, count, size):
    """梯度小、离均值远：界限管不着，拉力看得清。"""
    mean, std = 1 + uniform((size,), seed + 2), 0.4 + uniform((size,), seed + 3)
    code = mean + std * (2 * uniform((count, size), seed) - 1)
    return code, noise((count, size), seed + 1), mean, std


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
        "no_floor": ((".clamp_min(0)", ""), "代码出现了负数：它来自 ReLU，训练时从没有负的。"),
        "no_cap": ((".minimum(mean + 3 * std)", ""), "有的分量太大了：上界是均值加 3 个标准差。"),
        "descends": (("(gradient", "(-gradient"), "得分在变小：沿着梯度走，不是逆着。"),
        "no_pull": ((" - pull", ""), "没有先验的拉力：代码会跑到训练时没见过的地方。"),
        "not_whitened": ((" / std**2", ""), "拉力没有除以方差：每一维要以自己的标准差为单位。"),
        "pushes": ((" - pull", " + pull"), "拉力的方向反了：它应当把代码拉回均值。"),
        "half_pull": (("2 * 0.02", "0.02"), "拉力小了一半：平方求导之后有一个 2。"),
        "single_deviation": (
            ("std**2", "std"),
            "拉力只除了标准差：先验里是比值的平方，导数要除以方差。",
        ),
        "pull_alone": (
            ("(gradient - pull)", "gradient - pull"),
            "拉力没有乘步长 0.1：得分与先验合起来走一步。",
        ),
        "to_zero": (("(code - mean)", "code"), "拉力朝着 0：应当拉回均值。"),
        "prior_itself": (
            ("2 * 0.02 * (code - mean) / std**2", "0.02 * ((code - mean) / std) ** 2"),
            "减的是先验的值：要减它对代码的导数。",
        ),
        "low_cap": (("mean + 3", "3"), "上界少了均值：从均值往上数 3 个标准差。"),
        "one_deviation": (("3 * std", "std"), "上界只有一个标准差：题目是均值加 3 个标准差。"),
        "unit_range": (
            ("mean + 3 * std", "torch.ones_like(std)"),
            "截到了 [0, 1]：那是像素的范围，代码的上界由均值和标准差定。",
        ),
        "unit_gradient": (
            ("(gradient - pull)", "torch.nn.functional.normalize(gradient - pull)"),
            "方向归一化了：题目的步长直接乘梯度。",
        ),
        "whole_step": (("0.1 * ", ""), "步长没有用上：走的是 0.1 倍。"),
    },
)
def code_step(code, gradient, mean, std):
    pull = 2 * 0.02 * (code - mean) / std**2
    moved = code + 0.1 * (gradient - pull)
    return moved.clamp_min(0).minimum(mean + 3 * std)
