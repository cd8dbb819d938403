"""“最大激活区块”一章的练习：感受野、边界、逐批的前几名、每图一处、有效感受野。"""

import torch

from cnnlab.check.core import Exercise
from cnnlab.check.fixtures import TinyNet, noise, uniform
from cnnlab.core.hooks import activations_of

# 1 感受野的大小、步幅、起点


def _by_tracing(layers):
    # 从很靠里的两个相邻位置往回走，量出它们看到的范围
    def seen(position):
        first = last = position
        for kernel, stride, padding in reversed(layers):
            first, last = first * stride - padding, last * stride - padding + kernel - 1
        return first, last

    (first, last), (second, _) = seen(0), seen(1)
    return last - first + 1, second - first, first


def _accumulate(layers, *, product=True, late=False, sign=-1, whole=0):
    size, step, start = 1, 1, 0
    for kernel, stride, padding in layers:
        jump = step * stride if late else step
        size += (kernel - 1 + whole) * (jump if product else 1)
        start += sign * padding * step
        step = step * stride if product else stride
    return size, step, start


receptive_size = Exercise(
    id="patches-1",
    name="receptive_size",
    title="几层叠起来看多远",
    level=1,
    stub="my_receptive_size(layers)",
    probes=(
        lambda: ([(3, 2, 1), (3, 2, 0), (3, 1, 1), (5, 2, 2)],),
        lambda: ([(7, 2, 3), (2, 2, 1), (3, 2, 1)],),
    ),
    answer="三个整数 (大小, 步幅, 起点)",
    idea="深一层的核移动一格，在图像上移动的是前面各层步幅之积那么多个像素。",
    where="看“想法”一节里三行递推式，注意它们更新的先后。",
    question="把步幅全改成 1，同样的层数看到的范围怎样增长？",
    oracle=_by_tracing,
    mistakes={
        "no_product": (
            lambda x: _accumulate(x, product=False),
            "步幅没有累乘：前面每过一次步幅 2，后面的一格就值两格。",
        ),
        "late": (
            lambda x: _accumulate(x, late=True),
            "本层的步幅用早了：核内相邻两格的距离由前面各层决定。",
        ),
        "sign": (
            lambda x: _accumulate(x, sign=1),
            "起点的符号反了：填充让第一个窗口往图像外面移。",
        ),
        "whole_kernel": (
            lambda x: _accumulate(x, whole=1),
            "多加了：核长 k 的窗口，两端的格子之间只隔 k − 1 格。",
        ),
    },
)


# 2 每个位置看到的一段


def _lengths(layers, length):
    lengths = [length]
    for kernel, stride, padding in layers:
        lengths.append((lengths[-1] + 2 * padding - kernel) // stride + 1)
    return lengths


def _by_gradient(layers, length):
    line = torch.ones(1, 1, length, dtype=torch.float64, requires_grad=True)
    value = line
    for kernel, stride, padding in layers:
        weight = torch.ones(1, 1, kernel, dtype=torch.float64)
        value = torch.nn.functional.conv1d(value, weight, stride=stride, padding=padding)
    spans = []
    for position in range(value.shape[2]):
        (gradient,) = torch.autograd.grad(value[0, 0, position], line, retain_graph=True)
        seen = gradient[0, 0].nonzero()[:, 0]
        spans.append([int(seen[0]), int(seen[-1]) + 1])
    return torch.tensor(spans)


def _back(layers, length, *, clip="each", sign=-1, end=1):
    lengths, spans = _lengths(layers, length), []
    for position in range(lengths[-1]):
        first = last = position
        for (kernel, stride, padding), limit in zip(
            reversed(layers), reversed(lengths[:-1]), strict=True
        ):
            first, last = (
                first * stride + sign * padding,
                last * stride + sign * padding + kernel - 1,
            )
            if clip == "each":
                first, last = max(first, 0), min(last, limit - 1)
        if clip == "last":
            first, last = max(first, 0), min(last, length - 1)
        spans.append([first, last + end])
    return torch.tensor(spans)


receptive_spans = Exercise(
    id="patches-2",
    name="receptive_spans",
    title="边上的神经元看到哪一段",
    level=2,
    stub="my_receptive_spans(layers, length)",
    probes=(lambda: ([(3, 2, 0), (3, 1, 1)], 10), lambda: ([(3, 2, 0), (3, 1, 1), (3, 2, 1)], 20)),
    answer="整数张量 (n, 2)：每个位置看到的 [起点, 终点)，终点不含",
    idea="填充的那些格不是像素，也不是前一层的神经元；每往回走一层，都要留在那一层真有的位置之内。",
    where="先算出每一层有几个位置，再从后往前走；max 与 min 各管一头。",
    question="二维时，一个位置的框怎样由行和列的两段拼成？",
    oracle=_by_gradient,
    mistakes={
        "clip_last": (
            lambda x, n: _back(x, n, clip="last"),
            "只在最后截断还不够：有的像素只通向中间层的填充，谁也看不到。",
        ),
        "no_clip": (lambda x, n: _back(x, n, clip="none"), "有的段伸到了图像外面：没有截断。"),
        "sign": (
            lambda x, n: _back(x, n, sign=1),
            "填充的符号反了：它让窗口的起点往外移，不是往里移。",
        ),
        "inclusive": (
            lambda x, n: _back(x, n, end=0),
            "差一：终点不含，最后一个看到的像素还要再加一。",
        ),
    },
)


# 3 一批一批地留前 k 名


def _maps(batches, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 12, (sum(batches), height, width), generator=generator).double()
    return list(drawn.split(batches))


def _sort_all(batches, k):
    cells = []
    for image, one in enumerate(picture for batch in batches for picture in batch):
        for row in range(one.shape[0]):
            for column in range(one.shape[1]):
                cells.append((-float(one[row, column]), image, row, column))
    best = sorted(cells)[:k]
    return torch.tensor([-cell[0] for cell in best], dtype=torch.float64), torch.tensor(
        [cell[1:] for cell in best]
    )


def _running(batches, k, *, each=None, offset=True, newest=False, swap=False):
    best, start = [], 0
    for batch in batches:
        cells = []
        for image, one in enumerate(batch):
            values, places = one.flatten().sort(descending=True, stable=True)
            for value, place in zip(values.tolist(), places.tolist(), strict=True):
                row, column = divmod(place, one.shape[1])
                cells.append(
                    (value, start * offset + image, *((column, row) if swap else (row, column)))
                )
        cells = sorted(cells, key=lambda cell: -cell[0])[:each]
        best = sorted(cells + best if newest else best + cells, key=lambda cell: -cell[0])[:k]
        start += len(batch)
    return torch.tensor([cell[0] for cell in best], dtype=torch.float64), torch.tensor(
        [cell[1:] for cell in best]
    )


running_top = Exercise(
    id="patches-3",
    name="running_top",
    title="一批一批地留前 k 名",
    level=2,
    stub="my_running_top(batches, k)",
    probes=(lambda: (_maps([3, 2, 4], 4, 5, 11), 30), lambda: (_maps([2, 2, 1, 3], 5, 3, 12), 24)),
    answer="两个张量：值 (k,)，从大到小；位置 (k, 3)，每行是 (图像, 行, 列)",
    idea="前 k 名的榜加上新的一批，再取前 k 名，结果与把全部放在一起排一样；内存只与 k 和批的大小有关。",
    where="看 torch.sort 的 stable 参数；榜放在新的一批前面。",
    question="要是每张图只许出一处，这张榜要怎样改？",
    oracle=_sort_all,
    mistakes={
        "one_each": (
            lambda b, k: _running(b * 30, k, each=1),
            "每批只留了一个：同一批里的第二名也可能比别批的第一名大。",
        ),
        "no_offset": (
            lambda b, k: _running(b, k, offset=False),
            "图像的编号不对：它是全部图像里的第几张，不是这一批里的第几张。",
        ),
        "newest_first": (
            lambda b, k: _running(b, k, newest=True),
            "同值时后来的挤掉了先来的：排序要稳定，先来的在前。",
        ),
        "swapped": (lambda b, k: _running(b, k, swap=True), "行和列对调了：先是行，再是列。"),
    },
)


# 4 每张图只出一处


def _greedy(values, image_index, k):
    chosen, used = [], set()
    for place in sorted(range(len(values)), key=lambda i: (-float(values[i]), i)):
        if int(image_index[place]) not in used and len(chosen) < k:
            used.add(int(image_index[place]))
            chosen.append(place)
    return torch.tensor(chosen)


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


one_per_image = Exercise(
    id="patches-4",
    name="one_per_image",
    title="改错：九块都来自同一张照片",
    level=3,
    stub="my_one_per_image(values, image_index, k)",
    probes=(lambda: _candidates(21), lambda: _candidates(22)),
    answer="入选候选的下标 (k,)，按值从大到小",
    idea="“前 k 名”和“每图一处”两件事有先后；次序反了，名额就会被同一张图白白占掉。",
    where="先想清楚：去掉重复之后还剩几个？够 k 个吗？",
    question="整段视频的相邻画面几乎相同，“每图一处”还够用吗？",
    oracle=_greedy,
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
        "ascending": (lambda v, i, k: _greedy(v, i, k).flip(0), "次序反了：要从大到小。"),
    },
)


# 5 有效感受野


def _gradient(image, layer, model):
    leaf = image.clone().requires_grad_()
    activation = activations_of(model, leaf, layer)[layer]
    centre = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2].sum()
    return torch.autograd.grad(centre, leaf)[0][0]


def _pixels(influence, share=0.9):
    ordered = influence.flatten().sort(descending=True).values.cumsum(0)
    return int((ordered < share * ordered[-1]).sum()) + 1


def _by_nudging(image, layer, model, step=1e-6):
    # 不求导：逐个像素推一推，看中央的神经元动了多少
    def centre(picture):
        activation = activations_of(model, picture, layer)[layer]
        return float(activation[0, :, activation.shape[2] // 2, activation.shape[3] // 2].sum())

    influence = torch.zeros(image.shape[2:], dtype=torch.float64)
    for row in range(image.shape[2]):
        for column in range(image.shape[3]):
            for channel in range(3):
                moved = image.clone()
                moved[0, channel, row, column] += step
                influence[row, column] += abs(centre(moved) - centre(image)) / step
    total, count, left = float(influence.sum()), 0, influence.flatten().tolist()
    gathered = 0.0
    while gathered < 0.9 * total:
        biggest = max(left)
        left.remove(biggest)
        gathered, count = gathered + biggest, count + 1
    return count


effective_area = Exercise(
    id="patches-5",
    name="effective_area",
    title="九成的影响在多少个像素里",
    level=4,
    stub="my_effective_area(image, layer, model)",
    probes=(
        lambda: (uniform((1, 3, 13, 12), 31), "conv2", TinyNet(seed=5)),
        lambda: (uniform((1, 3, 11, 14), 33), "conv2", TinyNet(seed=8)),
    ),
    answer="一个整数：最少多少个像素合起来占总影响的九成",
    idea="理论感受野只说哪些像素有可能起作用；影响的大小要用梯度量，而且正负不该互相抵消。",
    where="中央是行数与列数各整除 2 的位置，各通道相加再求导；像素的影响是三种颜色梯度绝对值之和。",
    question="同样的问题换成最深的一层，九成的影响占理论感受野的比例会更大还是更小？",
    oracle=_by_nudging,
    mistakes={
        "box": (
            lambda x, n, m: int((_gradient(x, n, m).abs().sum(0) > 0).sum()),
            "数的是整个感受野：那只是上界，影响集中在中间。",
        ),
        "signed": (
            lambda x, n, m: _pixels(_gradient(x, n, m).sum(0).clamp_min(0)),
            "正负梯度抵消了：影响看大小，不看方向。",
        ),
        "squared": (
            lambda x, n, m: _pixels(_gradient(x, n, m).square().sum(0)),
            "用了梯度的平方：大的更大，数出来的像素偏少。",
        ),
        "entries": (
            lambda x, n, m: _pixels(_gradient(x, n, m).abs()),
            "把一个像素的三种颜色当成了三个像素：先合起来再数。",
        ),
    },
)
