"""“最大激活区块”一章的练习：感受野、边界、逐批的前几名、每图一处、有效感受野。"""

from functools import partial

import torch

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import TinyNet, noise, uniform
from cnnlab.check.gradients import gradient_of
from cnnlab.check.variants import fed
from cnnlab.check.watching import work_of
from cnnlab.core.hooks import activations_of

# 1 感受野的大小、步幅、起点


def my_receptive_size(layers):
    size, jump, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * jump
        start -= padding * jump
        jump *= stride
    return size, jump, start


@exercise(
    "几层叠起来看多远",
    level=1,
    ours=my_receptive_size,
    probes=(
        lambda: ([(3, 2, 1), (3, 2, 0), (3, 1, 1), (5, 2, 2)],),
        lambda: ([(7, 2, 3), (2, 2, 1), (3, 2, 1)],),
        lambda: ([(4, 3, 2)],),
    ),
    answer="三个整数 (大小, 步幅, 起点)",
    idea="深一层的核移动一格，在图像上移动的是前面各层步幅之积那么多个像素。",
    where="看“想法”一节里三行递推式，注意它们更新的先后。",
    question="把步幅全改成 1，同样的层数看到的范围怎样增长？",
    mistakes={
        "no_product": (
            ("jump *= stride", "jump = stride"),
            "步幅没有累乘：前面每过一次步幅 2，后面的一格就值两格。",
        ),
        "late": (
            ("(kernel - 1) * jump", "(kernel - 1) * jump * stride"),
            "本层的步幅用早了：核内相邻两格的距离由前面各层决定。",
        ),
        "sign": (
            ("start -= padding", "start += padding"),
            "起点的符号反了：填充让第一个窗口往图像外面移。",
        ),
        "whole_kernel": (
            ("(kernel - 1) * jump", "kernel * jump"),
            "多加了：核长 k 的窗口，两端的格子之间只隔 k − 1 格。",
        ),
        "stride_first": (
            [
                ("layers:\n", "layers:\n        jump *= stride\n"),
                ("* jump\n        jump *= stride\n", "* jump\n"),
            ],
            "先更新了步幅，再用它：大小和起点要用更新之前的步幅。",
        ),
        "never_scaled": (
            ("(kernel - 1) * jump", "kernel - 1"),
            "核长没有乘步幅：前面各层的步幅之积，是核里相邻两格在图像上的距离。",
        ),
        "added": (("jump *= stride", "jump += stride"), "步幅相加了：一层层传下来，步幅是相乘。"),
        "unscaled_start": (
            ("padding * jump", "padding"),
            "填充没有乘步幅：深一层的填充补的是那一层的格，一格值好几个像素。",
        ),
        "backwards": (
            fed(my_receptive_size, layers=lambda x: x[::-1]),
            "层的次序反了：layers 从第一层排到最后一层。",
        ),
        "less_padding": (
            ("(kernel - 1) * jump", "(kernel - 1 - 2 * padding) * jump"),
            "大小里减去了填充：填充只移动起点，不改变一个窗口有多大。",
        ),
        "own_stride": (
            ("* jump\n", "* stride\n"),
            "核长和填充乘的是本层的步幅：该乘前面各层步幅之积。",
        ),
        "no_padding": (("        start -= padding * jump\n", ""), "没有用上填充：起点由它决定。"),
        "centre": (
            ("return size, jump, start", "return size, jump, int(start + size / 2)"),
            "给的是窗口的中心：题目要起点，就是最左边的那个像素。",
        ),
    },
)
def receptive_size(layers):
    # 从很靠里的两个相邻位置往回走，量出它们看到的范围
    def seen(position):
        first = last = position
        for kernel, stride, padding in reversed(layers):
            first, last = first * stride - padding, last * stride - padding + kernel - 1
        return first, last

    (first, last), (second, _) = seen(0), seen(1)
    return last - first + 1, second - first, first


# 2 每个位置看到的一段


@exercise(
    "边上的神经元看到哪一段",
    level=3,
    probes=(
        lambda: ([(3, 2, 0), (3, 1, 1)], 10),
        lambda: ([(3, 2, 0), (3, 1, 1), (3, 2, 1)], 20),
        lambda: ([(3, 1, 1), (2, 1, 0)], 6),
    ),
    answer="整数张量 (n, 2)：每个位置看到的 [起点, 终点)，终点不含",
    idea="填充的那些格不是像素，也不是前一层的神经元；每往回走一层，都要留在那一层真有的位置之内。",
    where="先算出每一层有几个位置，再从后往前走；max 与 min 各管一头。",
    question="二维时，一个位置的框怎样由行和列的两段拼成？",
    mistakes={
        "clip_last": (
            [
                ("max(first * stride - padding, 0)", "first * stride - padding"),
                (
                    "min(last * stride - padding + kernel, limit)",
                    "last * stride - padding + kernel",
                ),
                ("[first, last + 1]", "[max(first, 0), min(last + 1, length)]"),
            ],
            "只在最后截断还不够：有的像素只通向中间层的填充，谁也看不到。",
        ),
        "no_clip": (
            [
                ("max(first * stride - padding, 0)", "first * stride - padding"),
                (
                    "min(last * stride - padding + kernel, limit)",
                    "last * stride - padding + kernel",
                ),
            ],
            "有的段伸到了图像外面：没有截断。",
        ),
        "sign": (("- padding", "+ padding"), "填充的符号反了：它让窗口的起点往外移，不是往里移。"),
        "inclusive": (("last + 1]", "last]"), "差一：终点不含，最后一个看到的像素还要再加一。"),
        "one_short": (
            lambda layers, n: receptive_spans.oracle(layers, n).clamp(max=n - 1),
            "终点截到了 length − 1：终点不含，最多可以等于 length。",
        ),
    },
)
def receptive_spans(layers, length):
    lengths, spans = [length], []
    for kernel, stride, padding in layers:
        lengths.append((lengths[-1] + 2 * padding - kernel) // stride + 1)
    way_back = list(zip(layers, lengths, strict=False))[::-1]
    for position in range(lengths[-1]):
        first = last = position
        for (kernel, stride, padding), limit in way_back:
            first = max(first * stride - padding, 0)
            last = min(last * stride - padding + kernel, limit) - 1
        spans.append([first, last + 1])
    return torch.tensor(spans)


# 3 一批一批地留前 k 名


def _maps(batches, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-12, 12, (sum(batches), height, width), generator=generator).double()
    return list(drawn.split(batches))


def _by_topk(batches, k):
    values, places, start = torch.empty(0).double(), torch.empty(0, 3).long(), 0
    for batch in batches:
        here = torch.stack(torch.unravel_index(torch.arange(batch.numel()), batch.shape), 1)
        here[:, 0] += start
        values, places = torch.cat([values, batch.flatten()]), torch.cat([places, here])
        values, order = values.topk(min(k, len(values)))
        places, start = places[order], start + len(batch)
    return values, places


def _keeps_little(call, *_):
    many = [batch.clone() for batch in _maps([2] * 20, 4, 3, 13)]
    return work_of(lambda: call(many, 4)).largest < 300


@exercise(
    "一批一批地留前 k 名",
    level=3,
    probes=(
        lambda: (list(noise((9, 4, 5), 11).split([3, 2, 4])), 30),
        lambda: (_maps([3, 2, 4], 4, 5, 11), 30),
        lambda: (_maps([2, 2, 1, 3], 5, 3, 12), 24),
        lambda: (_maps([4], 3, 2, 14), 3),
    ),
    answer="两个张量：值 (k,)，从大到小；位置 (k, 3)，每行是 (图像, 行, 列)",
    idea="前 k 名的榜加上新的一批，再取前 k 名，结果与把全部放在一起排一样；内存只与 k 和批的大小有关。",
    where="看 torch.sort 的 stable 参数；榜放在新的一批前面。",
    question="要是每张图只许出一处，这张榜要怎样改？",
    laws=((_keeps_little, "手里存了不止一批：把全部激活接在一起，图一多内存就不够了。"),),
    mistakes={
        "one_each": (
            lambda b, k: running_top.oracle([x.amax((0, 1, 2), keepdim=True) for x in b], k),
            "每批只留了一个：同一批里的第二名也可能比别批的第一名大。",
        ),
        "no_offset": (
            ("enumerate(batch, start)", "enumerate(batch)"),
            "图像的编号不对：它是全部图像里的第几张，不是这一批里的第几张。",
        ),
        "newest_first": (
            ("best + cells", "cells + best"),
            "同值时后来的挤掉了先来的：排序要稳定，先来的在前。",
        ),
        "swapped": (
            ("image, row, column)", "image, column, row)"),
            "行和列对调了：先是行，再是列。",
        ),
        "unstable": (_by_topk, "同值的次序不对：topk 不保证先来的在前，用稳定的排序。"),
        "latest_first": (
            ("-cell[0])", "(-cell[0], *(-place for place in cell[1:])))"),
            "同值时后面的排到了前面：图像、行、列都是小的在前。",
        ),
        "smallest": (
            lambda b, k: [
                part * sign
                for part, sign in zip(running_top.oracle([-x for x in b], k), (-1, 1), strict=True)
            ],
            "取的是最小的 k 个：方向反了。",
        ),
        "absolute": (
            lambda b, k: running_top.oracle([x.abs() for x in b], k),
            "比的是绝对值：很负的激活不算大。",
        ),
        "hoards": (("in batches:", "in [torch.cat(list(batches))]:"),),
        "even_batches": (
            [
                ("for batch in batches", "for number, batch in enumerate(batches)"),
                ("enumerate(batch, start)", "enumerate(batch, number * len(batch))"),
            ],
            "图像的编号按批号乘这一批的张数算了：每批张数可以不同，要一批批累加。",
        ),
        "counts_batches": (
            ("start += len(batch)", "start += 1"),
            "编号加的是批数：每过一批，要加这一批的张数。",
        ),
    },
)
def running_top(batches, k):
    best, start = [], 0
    for batch in batches:
        cells = [
            (float(one[row, column]), image, row, column)
            for image, one in enumerate(batch, start)
            for row in range(one.shape[0])
            for column in range(one.shape[1])
        ]
        best = sorted(best + cells, key=lambda cell: -cell[0])[:k]
        start += len(batch)
    values = torch.tensor([cell[0] for cell in best], dtype=torch.float64)
    return values, torch.tensor([cell[1:] for cell in best])


# 4 每张图只出一处


def _first_of_each(places, image_index):
    kept = {}
    for place in places.tolist():
        kept.setdefault(int(image_index[place]), place)
    return torch.tensor(list(kept.values()))


def _earliest(values, image_index, k):
    places = _first_of_each(torch.arange(len(values)), image_index)
    return places[values[places].argsort(descending=True, stable=True)][:k]


def _candidates(seed):
    generator = torch.Generator().manual_seed(seed)
    image_index = torch.randint(0, 7, (40,), generator=generator)
    values = noise((40,), seed) + 2.0 * (image_index == 3)
    return values, image_index, 5


def _crowded(seed):
    """前 30 名全是同一张照片，而且有许多平手。"""
    generator = torch.Generator().manual_seed(seed)
    image_index = torch.cat([torch.full((30,), 3), torch.randint(0, 7, (14,), generator=generator)])
    values = torch.randint(0, 3, (44,), generator=generator).double()
    values[:30] += 9
    order = torch.randperm(44, generator=generator)
    return values[order], image_index[order], 4


def _one_each(values, image_index, k, *, first=None, stable=True):
    order = values.argsort(descending=True, stable=True)
    if not stable:
        order = len(values) - 1 - values.flip(0).argsort(descending=True, stable=True)
    return _first_of_each(order[:first], image_index)[:k]


@exercise(
    "改错：九块都来自同一张照片",
    level=3,
    probes=(lambda: _candidates(21), lambda: _candidates(22), lambda: _crowded(24)),
    answer="入选候选的下标 (k,)，按值从大到小",
    idea="“前 k 名”和“每图一处”两件事有先后；次序反了，名额就会被同一张图白白占掉。",
    where="先想清楚：去掉重复之后还剩几个？够 k 个吗？",
    question="整段视频的相邻画面几乎相同，“每图一处”还够用吗？",
    properties=(
        (
            lambda out, values, image_index, k: len(out) == k,
            "个数不对：照片足够多，却没有凑满名额。先去重，再取前几名。",
        ),
        (
            lambda out, values, image_index, k: len(set(image_index[out].tolist())) == k,
            "有的照片出现了不止一次。",
        ),
    ),
    mistakes={
        "cut_first": (
            lambda v, i, k: _first_of_each(v.argsort(descending=True, stable=True)[:k], i),
            "次序反了：先截断再去重，名额被同一张照片占掉了。",
        ),
        "duplicates": (
            lambda v, i, k: v.argsort(descending=True, stable=True)[:k],
            "同一张照片占了好几个名额：还没有去重。",
        ),
        "earliest": (_earliest, "每张照片留下的不是它最大的那一处：去重之前先排好序。"),
        "ascending": (lambda *a: one_per_image.oracle(*a).flip(0), "次序反了：要从大到小。"),
        "cut_later": (
            lambda v, i, k: _one_each(v, i, k, first=2 * k),
            "只是多留了一些再去重：一张照片的候选再多一点，名额还是不够。",
        ),
        "unstable": (
            partial(_one_each, stable=False),
            "同值时后来的排到了前面：先来者在前，排序要稳定。",
        ),
        "images": (
            lambda v, i, k: i[one_per_image.oracle(v, i, k)],
            "返回的是照片的编号：题目要候选的下标。",
        ),
    },
)
def one_per_image(values, image_index, k):
    chosen, used = [], set()
    for place in sorted(range(len(values)), key=lambda i: (-float(values[i]), i)):
        if int(image_index[place]) not in used and len(chosen) < k:
            used.add(int(image_index[place]))
            chosen.append(place)
    return torch.tensor(chosen)


# 5 有效感受野


@exercise(
    "九成的影响在多少个像素里",
    level=3,
    probes=(
        lambda: (uniform((1, 3, 13, 12), 31), "conv2", TinyNet(seed=5, inplace=False)),
        lambda: (uniform((1, 3, 11, 14), 33), "conv2", TinyNet(seed=8, inplace=False)),
        lambda: (uniform((1, 3, 12, 15), 34), "conv2", TinyNet(seed=11, inplace=False)),
        lambda: (uniform((1, 3, 13, 13), 35), "conv2", TinyNet(seed=13, inplace=False)),
    ),
    answer="一个整数：最少多少个像素合起来占总影响的九成",
    idea="理论感受野只说哪些像素有可能起作用；影响的大小要用梯度量，而且正负不该互相抵消。",
    where="中央是行数与列数各整除 2 的位置，各通道相加再求导；像素的影响是三种颜色梯度绝对值之和。",
    question="同样的问题换成最深的一层，九成的影响占理论感受野的比例会更大还是更小？",
    mistakes={
        "box": (
            [(".abs().sum(0)", ".abs().sum(0).gt(0).double()"), ("0.9 * ", "")],
            "数的是整个感受野：那只是上界，影响集中在中间。",
        ),
        "signed": (
            (".abs().sum(0)", ".sum(0).clamp_min(0)"),
            "正负梯度抵消了：影响看大小，不看方向。",
        ),
        "squared": ((".abs()", ".square()"), "用了梯度的平方：大的更大，数出来的像素偏少。"),
        "entries": (
            (".abs().sum(0)", ".abs()"),
            "把一个像素的三种颜色当成了三个像素：先合起来再数。",
        ),
        "cancelled": (
            (".abs().sum(0)", ".sum(0).abs()"),
            "三种颜色的梯度先相加、后取绝对值，一正一负就抵消了：先取绝对值。",
        ),
        "strongest_color": (
            (".abs().sum(0)", ".abs().amax(0)"),
            "只取了最强的一种颜色：一个像素的影响是三种颜色之和。",
        ),
        "strongest_channel": (
            ("return activation[0, :, row, column]", "return activation[0, :, row, column].amax()"),
            "中央只取了最强的一个通道：题目要各通道之和。",
        ),
        "early_centre": (
            ("side // 2", "(side - 1) // 2"),
            "中央的位置差了一格：行数、列数各整除 2，从 0 数起。",
        ),
        "whole_layer": (("[0, :, row, column]", ""), "求导的是整层之和：只要中央一个位置。"),
        "weakest_first": (
            ("descending=True", "descending=False"),
            "从影响最小的像素数起了：最少几个，要从最大的数起。",
        ),
        "share": (
            lambda x, *a: effective_area.oracle(x, *a) / x[0, 0].numel(),
            "返回的是比例：题目要像素的个数。",
        ),
        "one_short": ((" + 1", ""), "少数了一个：刚好跨过九成的那个像素也要算。"),
        "threshold": (
            (
                "(ordered < 0.9 * ordered[-1]).sum()) + 1",
                "(influence > 0.1 * influence.max()).sum())",
            ),
            "数的是超过最大值一成的像素：题目要从大到小加起来，够九成为止。",
        ),
        "first_channel": (
            ("activation[0, :, row, column]", "activation[0, 0, row, column]"),
            "只对第 0 个通道求了导：各通道要相加。",
        ),
    },
)
def effective_area(image, layer, model):
    def centre(picture):
        activation = activations_of(model, picture, layer)[layer]
        row, column = (side // 2 for side in activation.shape[2:])
        return activation[0, :, row, column]

    influence = gradient_of(centre, image)[0].abs().sum(0).flatten()
    ordered = influence.sort(descending=True).values.cumsum(0)
    return int((ordered < 0.9 * ordered[-1]).sum()) + 1
