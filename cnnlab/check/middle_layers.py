"""“中间层的卷积核”一章的练习：计数、灰度表、两层合成、给结构打分。"""

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise

# 1 数一数卷积核


@exercise(
    "数一数卷积核",
    level=1,
    probes=(lambda: (12, 8, 3, 2), lambda: (16, 20, 7, 1), lambda: (6, 15, 1, 3)),
    answer="三个整数的元组：卷积核个数、每个核的权重个数、全层参数个数（含偏置）",
    idea="一个输出通道就是一个卷积核；它对自己看得到的每个输入通道各有一张小图。分组之后只看得到一组。",
    where="看 torch.nn.Conv2d 的文档里 weight 的形状，再想 groups 改了其中哪一维。",
    question="图像从 224 像素换成 448 像素，这三个数里哪一个会变？",
    allow=("random",),
    mistakes={
        "no_bias": ((" + outputs", ""), "全层的参数还要算偏置：每个输出通道一个。"),
        "no_depth": (("inputs // groups * ", ""), "一个核不只一张小图：每个输入通道各有一张。"),
        "swapped": (
            lambda i, o, k, g: kernel_numbers.oracle(o, i, k, g),
            "输入与输出对调了：有几个输出通道，就有几个卷积核。",
        ),
        "kernels_times_depth": (
            ("return outputs, each", "return inputs // groups * outputs, size * size"),
            "这里一个核指一个输出通道的整组权重，不是其中的一张小图。",
        ),
        "groups_ignored": (
            (" // groups", ""),
            "没有用上 groups：分组之后，一个核只看得到一组输入通道。",
        ),
        "groups_on_outputs": (
            [
                ("return outputs", "return outputs // groups"),
                ("outputs * each", "outputs // groups * each"),
            ],
            "核的个数也除以了组数：分组只减少每个核看到的输入，核一个不少。",
        ),
        "size_once": (("size * size", "size"), "核长只乘了一次：一张小图有 size 行、size 列。"),
        "one_bias": (("+ outputs", "+ 1"), "偏置只算了一个：每个输出通道各有一个。"),
        "bias_each": (
            [("size * size", "size * size + 1"), (" + outputs", "")],
            "偏置算进了每个核的权重：它只计入最后一个数。",
        ),
        "groups_multiplied": (
            ("// groups", "* groups"),
            "乘上了 groups：分组之后，一个核看到的输入通道变少，是除。",
        ),
    },
)
def kernel_numbers(inputs, outputs, size, groups):
    each = inputs // groups * size * size
    return outputs, each, outputs * each + outputs


# 2 一行一个核


def _coded(shape, seed):
    weight = noise(shape, seed)
    return weight * torch.linspace(1, 3, shape[0], dtype=weight.dtype).view(-1, 1, 1, 1)


@exercise(
    "一行一个核",
    level=2,
    asked="my_plane_sheet",
    probes=(
        lambda: (_coded((3, 5, 4, 4), 1),),
        lambda: (_coded((4, 2, 3, 3), 2),),
        lambda: (noise((1, 1, 2, 2), 3),),
    ),
    answer="一张二维的灰度图：O 行 I 列的小块，隔 1 个白色像素",
    idea="第一维是哪个核，第二维是哪个输入通道；一个核的各张小图除以同一个数。",
    where="看本章“从零实现”的第一段；缝可以用 torch.nn.functional.pad 补，再变形。",
    question="如果每张小图各用一把尺，哪些通道会显得比实际重要？",
    mistakes={
        "transposed": (
            lambda w: kernel_sheet_of_planes.oracle(w.transpose(0, 1)),
            "行和列对调了：一行是一个输出核，一列是一个输入通道。",
        ),
        "plane_scale": (
            ("kernel.abs()", "plane.abs()"),
            "每张小图各用了一把尺：同一个核的各张要除以同一个数。",
        ),
        "one_scale": (
            ("kernel.abs()", "weight.abs()"),
            "全层用了一把尺：每个核除以自己的最大绝对值。",
        ),
        "no_gap": (
            [("size + 1", "size"), ("* cell - 1", "* cell")],
            "小块贴在一起了：隔 1 个白色像素才分得清。",
        ),
        "framed": (
            ("return sheet", "return functional.pad(sheet, (1, 1, 1, 1), value=1.0)"),
            "四周多了一圈白边：缝只在小块之间。",
        ),
        "signed_maximum": (
            ("kernel.abs().max()", "kernel.max()"),
            "除的是最大值，没有取绝对值：最负的权重会画到黑以下。",
        ),
        "stretched": (
            (
                "0.5 + 0.5 * plane / kernel.abs().max()",
                "(plane - kernel.min()) / (kernel.max() - kernel.min())",
            ),
            "用了最小值到最大值的拉伸：这里 0 要正好是中灰，式子在题面里。",
        ),
        "black_gap": (("new_ones", "new_zeros"), "缝是黑的：题目要白缝。"),
        "by_channel": (
            ("kernel.abs()", "weight[:, column].abs()"),
            "尺子按输入通道取了：同一个核（同一行）除以同一个数。",
        ),
    },
)
def kernel_sheet_of_planes(weight):
    rows, columns, size, _ = weight.shape
    cell = size + 1
    sheet = weight.new_ones(rows * cell - 1, columns * cell - 1)
    for row, kernel in enumerate(weight):
        for column, plane in enumerate(kernel):
            top, left = row * cell, column * cell
            tile = 0.5 + 0.5 * plane / kernel.abs().max()
            sheet[top : top + size, left : left + size] = tile
    return sheet


# 3 两层合成一个核


def _same_as_running_both(call, first, second):
    image = noise((2, first.shape[1], 9, 8), 5)
    twice = functional.conv2d(functional.conv2d(image, first), second)
    once = functional.conv2d(image, call(first, second))
    return once.shape == twice.shape and torch.allclose(once, twice)


def my_composed_kernel(first, second):
    k, m = first.shape[-1], second.shape[-1]
    result = first.new_zeros(len(second), first.shape[1], k + m - 1, k + m - 1)
    for i in range(m):
        for j in range(m):
            moved = torch.einsum("oc,cihw->oihw", second[:, :, i, j], first)
            result[:, :, i : i + k, j : j + k] += moved
    return result


@exercise(
    "两层卷积合成一个核",
    level=3,
    ours=my_composed_kernel,
    probes=(
        lambda: (noise((4, 3, 3, 3), 3), noise((2, 4, 3, 3), 4)),
        lambda: (noise((3, 2, 2, 2), 6), noise((4, 3, 4, 4), 7)),
    ),
    answer="(O, I, k+m-1, k+m-1)：用它卷一次，等于先 first 后 second 卷两次",
    idea="第二层的每个位置 (a, b) 看到第一层错开 a 行、b 列的一份核；把这些错开的副本按第二层的权重相加。",
    where="看本章“想法”一节手算的一行数，再写成二维；torch.einsum 可以一次加完中间的通道。",
    question="第一层步幅是 2 时，副本该错开几格？合成的核多大？",
    laws=(
        (
            _same_as_running_both,
            "卷一次与先后卷两次结果不同：用一张小图自己比一比，差在大小、次序还是翻转？",
        ),
    ),
    mistakes={
        "same_size": (
            ("return result", "return result[:, :, :k, :k]"),
            "大小没有长：两个窗口错开着叠起来，比任何一个都大。",
        ),
        "flipped": (
            ("second[:, :, i, j]", "second.flip(2, 3)[:, :, i, j]"),
            "合成时翻转错了一层：两层都是互相关，合成的核是两个核的真卷积。",
        ),
        "flipped_first": (
            (", first)", ", first.flip(2, 3))"),
            "第一层的核不该翻转：副本是原样错开的。",
        ),
        "one_channel": (
            ("second[:, :, i, j], first", "second[:, :1, i, j], first[:1]"),
            "中间的通道只用了一个：要对全部中间通道相加。",
        ),
        "channel_mean": (
            ("return result", "return result / first.shape[0]"),
            "中间的通道是相加，不是平均。",
        ),
    },
)
def composed_kernel(first, second):
    """把单位脉冲推过两层：互相关的核要翻过来读。"""
    size = first.shape[-1] + second.shape[-1] - 1
    inputs = first.shape[1]
    pulses = torch.eye(inputs * size * size, dtype=first.dtype).view(-1, inputs, size, size)
    response = functional.conv2d(functional.conv2d(pulses, first), second)
    return response[:, :, 0, 0].T.reshape(len(second), inputs, size, size)


# 4 给“有结构”打分


def _shuffle(weight, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [
            one.flatten()[torch.randperm(one.numel(), generator=generator)].view_as(one)
            for one in weight
        ]
    )


def _structured(count, depth, size, seed):
    """每个核的各通道是同一片斜坡的倍数，加一点噪声；核与核的大小相差很多。"""
    slope, amounts = noise((count, 2, 1, 1), seed), noise((count, depth, 1, 1), seed + 1)
    ramp = torch.linspace(-1.5, 1.5, size, dtype=slope.dtype)
    pattern = slope[:, :1] * ramp + slope[:, 1:] * ramp[:, None]
    weight = pattern * amounts + 0.3 * noise((count, depth, size, size), seed + 2)
    return weight * torch.linspace(0.2, 5, count, dtype=weight.dtype).view(-1, 1, 1, 1)


def _one_each(score, weight):
    return score.shape == (len(weight),)


def _separates(call, weight):
    real, mixed = call(weight), call(_shuffle(weight, 11))
    wins = (real[:, None] > mixed).double() + 0.5 * (real[:, None] == mixed).double()
    return bool(wins.mean() > 0.9)


def _unchanged(change, tolerance=1e-5):
    def law(call, weight):
        before = call(weight)
        return torch.allclose(
            call(change(weight)),
            before,
            rtol=tolerance,
            atol=tolerance * float(before.abs().max() + 1e-9),
        )

    return law


def _agreement(weight):
    singular = torch.linalg.svdvals(weight.flatten(2))
    return singular[:, 0] ** 2 / (singular**2).sum(1)


def _alone(call, weight):
    return torch.allclose(call(weight[1:3]), call(weight)[1:3], rtol=1e-5)


def _order(count):
    return torch.randperm(count, generator=torch.Generator().manual_seed(5))


@exercise(
    "给“有结构”打分",
    level=3,
    open_ended=True,
    ours=_agreement,
    probes=(lambda: (_structured(40, 8, 3, 20),), lambda: (_structured(30, 12, 5, 30),)),
    answer="(O,)：每个核一个分数",
    idea="打乱只动位置，数值一个不少，所以只看数值的统计量分不出来。真核的各通道小图形状相近，打乱之后就各是各的了。",
    where="看本章盲测一节；一个核可以看成 I 行、k·k 列的矩阵，torch.linalg.svdvals 给出它的奇异值。",
    question="换成随机初始化的权重，你的分数还分得出真核与打乱的核吗？为什么该是 0.5？",
    properties=((_one_each, "一个核一个分数：形状应当是 (O,)。"),),
    laws=(
        (_unchanged(lambda w: 3 * w), "核放大几倍，分数就变了：分数应当与大小无关。"),
        (_unchanged(lambda w: -w), "核变号，分数就变了：正负对调的核一样有结构。"),
        (
            _unchanged(lambda w: w[:, _order(w.shape[1])]),
            "换了通道的次序，分数就变了：通道怎样编号是任意的。",
        ),
        (_alone, "同一个核的分数随旁边的核改变：各核各算。"),
        (_separates, "真核与打乱的核还分不开：打乱只动位置，想一想什么会因位置而变。"),
    ),
    mistakes={
        "spread": (
            lambda w: w.flatten(1).std(1) / w.flatten(1).abs().mean(1),
            "只看了数值的分布：打乱之后一个数也没少，分不出来。",
        ),
        "energy": (lambda w: w.flatten(1).square().sum(1),),
        "mean_plane": (
            lambda w: w.mean(1).flatten(1).norm(dim=1) / w.flatten(1).norm(dim=1),
            "把各通道平均了：一正一负的同形小图会互相抵消。",
        ),
        "neighbours": (
            lambda w: (w[:, 1:] * w[:, :-1]).sum((1, 2, 3)) / w.square().sum((1, 2, 3)),
            "带着正负号比了编号相邻的通道：编号是任意的，要比就全比。",
        ),
        "batch": (lambda w: _agreement(w) - _agreement(w).mean(),),
        "adjacent": (
            lambda w: (
                torch.cosine_similarity(w[:, 1:].flatten(2), w[:, :-1].flatten(2), dim=2)
                .abs()
                .mean(1)
            ),
            "只比了编号相邻的两个通道：换一种编号，分数就变了。",
        ),
    },
)
def structure_score(weight): ...
