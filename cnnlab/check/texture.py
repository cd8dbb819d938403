"""“纹理合成”一章的练习：Gram 矩阵、带权的风格损失、很响的通道、只比已填的像素、隔一段距离的 Gram。"""

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise
from cnnlab.check.gradients import FLOWING
from cnnlab.check.variants import fed

# 1 Gram 矩阵


def _mixed_batch(features):
    rows = features.transpose(0, 1).flatten(1)
    return (rows @ rows.T / rows.numel()).expand(len(features), -1, -1).clone()


def my_gram(features):
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / features[0].numel()


@exercise(
    "Gram 矩阵",
    level=1,
    ours=my_gram,
    probes=(
        lambda: (noise((2, 3, 4, 5), 1),),
        lambda: (noise((3, 4, 3, 2), 2) + 0.5,),
        lambda: (noise((1, 3, 2, 3), 3),),
    ),
    answer="(N, C, C)：每张图、每两个通道，乘积在全部位置上的和，除以 C·H·W",
    idea="把每个通道的激活排成一行，两行的内积就是这两个通道在同一位置的乘积之和。",
    where="看 Tensor.flatten 与矩阵乘法 @ 的文档。",
    question="把全部位置打乱，它变不变？把通道打乱呢？",
    laws=(FLOWING,),
    mistakes={
        "unnormalised": ((" / features[0].numel()", ""), "没有除：图大一倍，矩阵就大几倍。"),
        "positions": (
            ("features[0].numel()", "rows.shape[2]"),
            "只除了位置数：这里约定连通道数一起除。",
        ),
        "centred": (
            fed(my_gram, features=lambda f: f - f.mean((2, 3), keepdim=True)),
            "先减了均值：那是协方差，Gram 矩阵不减。",
        ),
        "batch": (_mixed_batch, "两张图被混在一起：批量的一维要单独留着。"),
        "reshape": (
            (
                "features.flatten(2)",
                "features.permute(0, 2, 3, 1).reshape(features.flatten(2).shape)",
            ),
            "同一行里混进了不同通道：展平之前看看哪一维在最后。",
        ),
        "points": (
            ("rows @ rows.transpose(1, 2)", "rows.transpose(1, 2) @ rows"),
            "得到的是点与点的矩阵：Gram 矩阵是通道与通道的，不是位置与位置的。",
        ),
        "whole_batch_share": (
            ("features[0].numel()", "features.numel()"),
            "把批量也除了进去：一张图的结果不该随同批的张数变。",
        ),
        "channels_only": (
            ("features[0].numel()", "features.shape[1]"),
            "只除了通道数：还要除以位置数。",
        ),
        "correlation": (
            [
                ("features.flatten(2)", "functional.normalize(features.flatten(2), dim=2)"),
                (" / features[0].numel()", ""),
            ],
            "每一行先除以了自己的长度：那是夹角的余弦，响不响就看不出来了。",
        ),
        "covariance": (
            lambda f: torch.stack([torch.cov(one.flatten(1)) for one in f]),
            "用了 torch.cov：协方差减了均值，除数也不同，Gram 矩阵不减。",
        ),
        "means": (
            lambda f: f.mean((2, 3))[:, :, None] * f.mean((2, 3))[:, None],
            "先平均再相乘：同一位置的两个数先相乘，再相加。",
        ),
        "mixed_rows": (
            ("features.flatten(2)", "features.reshape(len(features), -1, features.shape[1]).mT"),
            "同一行里混进了不同通道：直接把形状改成 (H·W, C) 不会换次序，要先 flatten 成 C 行。",
        ),
    },
)
def gram(features):
    count, channels, height, width = features.shape
    result = torch.zeros(count, channels, channels, dtype=features.dtype)
    for n in range(count):
        for i in range(channels):
            for j in range(channels):
                result[n, i, j] = sum(
                    features[n, i, p, q] * features[n, j, p, q]
                    for p in range(height)
                    for q in range(width)
                )
    return result / (channels * height * width)


# 2 带权的风格损失


def _layers(sizes, seed, weights):
    grams, targets = (
        [noise((size, size), start + place) for place, size in enumerate(sizes)]
        for start in (seed, seed + len(sizes))
    )
    return grams, targets, weights


@exercise(
    "带权的风格损失",
    level=2,
    probes=(
        lambda: _layers([3, 4], 1, [0.5, 2.0]),
        lambda: _layers([2, 5], 5, [3.0, 0.25]),
        lambda: _layers([1, 2, 3], 9, [1.0, 0.5, 2.0]),
    ),
    answer="一个数：各层 ‖G − A‖²/‖A‖² 按 weights 加权的和",
    idea="每层除以目标自己的大小，各层的数才可比；再按权重加起来。",
    where="看本章“想法”一节的公式。",
    question="哪一层的权重设为 0，图上的什么会先变？",
    properties=((lambda out, grams, targets, weights: out >= 0, "损失不该是负数。"),),
    laws=(FLOWING,),
    mistakes={
        "absolute": ((" / a.square().sum()", ""), "没有除以目标的大小：激活大的层会压过别的层。"),
        "no_weights": (("w * ", ""), "没有用上各层的权重。"),
        "own_size": (
            ("/ a.square()", "/ g.square()"),
            "除的是正在变的那一个：分母应当是目标，它是不变的。",
        ),
        "not_squared": (
            ("(g - a).square().sum() / a.square().sum()", "(g - a).norm() / a.norm()"),
            "少了平方：这里约定用距离的平方。",
        ),
        "mean_weights": (
            ("in layers)", "in layers) / sum(weights)"),
            "多除了权重之和：题目要加权的和，不是加权平均。",
        ),
        "mean_of_layers": (("in layers)", "in layers) / len(grams)"), "多除了层数：题目要和。"),
        "first_layer": (("in layers", "in [*layers][:1]"), "只算了第一层：各层都要。"),
        "norm_once": (("/ a.square().sum()", "/ a.norm()"), "分母没有平方：‖A‖² 是平方和。"),
        "totals": (
            [
                (" / a.square().sum()", ""),
                ("in layers)", "in layers) / sum(a.square().sum() for a in targets)"),
            ],
            "各层先加起来才除：每层除以自己的目标，再相加。",
        ),
        "weighted_totals": (
            lambda g, a, w: (
                sum(v * (x - y).square().sum() for x, y, v in zip(g, a, w, strict=True))
                / sum(v * y.square().sum() for y, v in zip(a, w, strict=True))
            ),
            "分子分母各自加权相加再除：每层先除，再加权。",
        ),
        "pointwise": (
            ("(g - a).square().sum() / a.square().sum()", "((g - a) / a).square().sum()"),
            "逐格相除了：先各自求平方和，再相除。",
        ),
        "weight_squared": (("w * ", "w * w * "), "权重平方了：每层只乘一次。"),
    },
)
def gram_loss(grams, targets, weights):
    layers = zip(grams, targets, weights, strict=True)
    return sum(w * (g - a).square().sum() / a.square().sum() for g, a, w in layers)


# 3 只比已填的像素


def _windows(seed, size, count):
    filled = (noise((size, size + 1), seed) > 0).double()
    patch = noise((size, size + 1), seed + 1) * filled
    patch[tuple(filled.nonzero()[0])] = 0  # 填了的像素也可以恰好是 0
    return (patch, filled, noise((count, size, size + 1), seed + 2))


@exercise(
    "改错：只比已填的像素",
    level=2,
    probes=(
        lambda: _windows(1, 4, 6),
        lambda: _windows(7, 5, 3),
        lambda: (torch.zeros(3, 3).double(), torch.zeros(3, 3).double(), noise((2, 3, 3), 9)),
    ),
    answer="(M,)：每个候选窗口与 patch 在已填像素上的差的平方和",
    idea="窗口里还没生成的像素不是 0，是“不知道”；不知道的不能参加比较。",
    where="看本章“逐像素生长”一节的公式。",
    question="各候选都用同一个 filled，除不除以已填的个数会影响选谁吗？",
    mistakes={
        "unfilled": (("filled * ", ""), "还没生成的像素也参加了比较：它们的 0 不是颜色，是空着。"),
        "inverted": (("filled *", "(1 - filled) *"), "比的恰好是空着的那些像素：遮罩反了。"),
        "absolute": ((".square()", ".abs()"), "用了绝对值：这里约定差的平方。"),
        "rooted": ((".sum((1, 2))", ".sum((1, 2)).sqrt()"), "多开了一次方：这里约定平方和。"),
        "averaged": (
            (".sum((1, 2))", ".sum((1, 2)) / filled.sum().clamp_min(1)"),
            "除以了已填的个数：题目要平方和。",
        ),
        "not_zero": (
            ("filled *", "(patch != 0) *"),
            "把 0 当成了没填：填了的像素也可以恰好是黑的，填没填看 filled。",
        ),
        "sum_then_square": (
            (".square()).sum((1, 2))", ").sum((1, 2)).square()"),
            "先求和再平方：正负会抵消，先平方。",
        ),
        "product": (
            ("(candidates - patch).square()", "candidates * patch"),
            "算的是乘积之和：题目要差的平方和。",
        ),
    },
)
def window_distance(patch, filled, candidates):
    return (filled * (candidates - patch).square()).sum((1, 2))


# 4 很响的通道


def _maps(loud):
    generator = torch.Generator().manual_seed(0)
    first = 1 + 0.1 * torch.randn(1, 32, 32, generator=generator, dtype=torch.float64)
    rest = torch.randn(5, 32, 32, generator=generator, dtype=torch.float64)
    return torch.cat([loud(first, rest), rest[2:]])


def _correlation(maps):
    return torch.corrcoef(maps[:2].flatten(1).double())[0, 1].abs()


def _largest_pair(maps):
    rows = maps.flatten(1).double()
    entries = (rows @ rows.T).fill_diagonal_(-torch.inf)
    others = entries.clone()
    others[0, 1] = others[1, 0] = -torch.inf
    return entries[0, 1] > 0 and entries[0, 1] > 2 * others.max()


@exercise(
    "不相关却很大",
    level=3,
    asked="my_loud_channels",
    open_ended=True,
    probes=(lambda: (),),
    answer="(C, H, W) 的激活，C 不小于 5，高和宽不小于 8",
    idea="Gram 不减均值：两个通道只要处处都大，乘积的和就大，起伏可以毫无关系。",
    where="想一想 Σ a·b = 点数 ×（均值之积 + 协方差）。",
    question="减去均值之后再算，它还排得上吗？那叫什么矩阵？",
    allow=("random",),
    properties=(
        (
            lambda out: out.dim() == 3 and len(out) >= 5 and min(out.shape[1:]) >= 8,
            "形状应是 (C, H, W)，至少 5 个通道，高宽至少 8。",
        ),
        (
            lambda out: out[:2].flatten(1).std(1).min() > 1e-6,
            "第 0 或第 1 个通道是常数：常数没有相关系数，让它有起伏。",
        ),
        (
            lambda out: _correlation(out) < 0.05,
            "第 0、1 两个通道相关了：让一个通道很响就够了，起伏不要相同。",
        ),
        (
            _largest_pair,
            "第 0、1 两个通道的那一格还不够大：应是最大的非对角元，并且是其余各对的两倍以上。",
        ),
    ),
    mistakes={
        "correlated": (lambda: _maps(lambda a, r: torch.cat([10 * a, 10 * a])),),
        "quiet": (lambda: noise((6, 32, 32), 7),),
        "constant": (lambda: _maps(lambda a, r: 10 * torch.ones(2, 32, 32, dtype=torch.float64)),),
    },
)
def loud_channel(): ...


# 5 隔一段距离的 Gram


@exercise(
    "隔一段距离的 Gram",
    level=2,
    asked="my_shifted_gram",
    probes=(
        lambda: (noise((3, 5, 6), 1), 1, 2),
        lambda: (noise((2, 7, 4), 2), 3, 1),
        lambda: (noise((3, 4, 5), 3), 0, 2),
        lambda: (noise((2, 5, 4), 4), 2, 0),
        lambda: (noise((2, 3, 3), 5), 0, 0),
    ),
    answer="(C, C)：第 i 个通道在 p、第 j 个通道在 p 加位移处的乘积，对两端都在图内的点平均",
    idea="把图错开 (down, right) 与自己相乘；错到图外的部分没有伙伴，要切掉。",
    where="用切片取出两块一样大的区域，再做矩阵乘法。",
    question="一块棋盘，位移取几时它又变回最大？那就是周期。",
    laws=(FLOWING,),
    mistakes={
        "wrap": (
            [
                ("features[:, : height - down, : width - right]", "features"),
                ("features[:, down:, right:]", "features.roll((-down, -right), (1, 2))"),
            ],
            "首尾相接了：右边的像素和左边的配成了对，图上没有这样的邻居。",
        ),
        "swapped": (
            ("still, moved =", "moved, still ="),
            "转置了：第 i 行应是没有移动的那一个通道。",
        ),
        "share": (("still[0]", "features[0]"), "除以了全部的点：成对的点没有那么多。"),
        "unshifted": (lambda f, *_: shifted.oracle(f, 0, 0), "没有错开：这是普通的 Gram 矩阵。"),
        "other_axis": (
            lambda f, d, r: shifted.oracle(f.flip(2), d, r),
            "左右错反了：向右的位移，伙伴在右边。",
        ),
        "negative_slice": (
            (": height - down, : width - right", ": -down or 0, : -right or 0"),
            "位移是 0 时切成了空的：[:-0] 什么也不剩，用边长减位移。",
        ),
        "down_only": (lambda f, d, _: shifted.oracle(f, d, 0), "只往下错开了：right 没有用上。"),
        "one_more": (lambda f, d, r: shifted.oracle(f, d + 1, r + 1), "多错开了一格。"),
        "upwards": (
            lambda f, d, r: shifted.oracle(f.flip(1), d, r),
            "上下错反了：向下的位移，伙伴在下面。",
        ),
        "normalised": (
            lambda f, d, r: (
                functional.normalize(f[:, : f.shape[1] - d, : f.shape[2] - r].flatten(1))
                @ functional.normalize(f[:, d:, r:].flatten(1)).T
            ),
            "每个通道先除以了自己的长度：那是相关，题目要乘积的平均。",
        ),
        "channels_too": (("still[0]", "still"), "多除了通道数：对成对的点平均就够了。"),
        "down_right_swapped": (
            lambda f, d, r: shifted.oracle(f.mT, d, r),
            "行和列的位移对调了：down 沿行，right 沿列。",
        ),
        "summed": ((" / still[0].numel()", ""), "没有平均：除以成对的点数，不同的位移才好比。"),
    },
)
def shifted(features, down, right):
    height, width = features.shape[1:]
    still, moved = features[:, : height - down, : width - right], features[:, down:, right:]
    return still.flatten(1) @ moved.flatten(1).T / still[0].numel()
