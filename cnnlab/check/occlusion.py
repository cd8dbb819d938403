"""“遮挡实验”一章的练习：窗的位置、遮挡图、逐像素的平均、概率上升的玩具、随机掩码。"""

from itertools import product

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import TinyNet, WindowNet, classified, noise, uniform
from cnnlab.check.gradients import class_scores
from cnnlab.check.variants import fed, first

# 1 窗的位置


def _evenly_spread(length, window, stride):
    count = len(window_starts.oracle(length, window, stride))
    return torch.linspace(0, length - window, count).round().int().tolist()


@exercise(
    "窗放在哪里",
    level=1,
    probes=(lambda: (9, 4, 2), lambda: (11, 3, 3), lambda: (16, 5, 4)),
    answer="整数的列表，从小到大，是各扇窗的起点",
    idea="最后一扇窗的末端要正好落在图像的边上：它的起点由边来定，不由步幅来定。",
    where="看“想法”一节里 5 个像素、窗 2、步幅 2 的例子。",
    question="步幅大于窗时，哪些像素永远没有被遮过？",
    laws=(
        (
            lambda call, *_: list(call(8, 4, 2)) == [0, 2, 4],
            "步幅正好除得尽时不对：那时最后一扇窗不该多出一扇，也不该少。",
        ),
        (lambda call, *_: list(call(5, 5, 3)) == [0], "窗与图像一样大时，只有一扇窗。"),
    ),
    mistakes={
        "stops_early": (
            lambda n, w, s: list(range(0, n - w + 1, s)),
            "右边和下边漏了一条：最后一扇窗没有走到边。",
        ),
        "overhangs": (
            lambda n, w, s: list(range(0, n - w + s, s)),
            "最后一扇窗伸到了图像外面：让它退回来，末端与边对齐。",
        ),
        "spread": (_evenly_spread, "间隔被匀开了：除了最后一步，间隔都应等于步幅。"),
        "ends": (
            lambda n, w, s: [place + w for place in window_starts.oracle(n, w, s)],
            "给的是窗的末端：题目要的是起点。",
        ),
    },
)
def window_starts(length, window, stride):
    return [
        place
        for place in range(length)
        if place + window == length or (place % stride == 0 and place + window < length)
    ]


# 2 遮挡图


def _starts(size, window, stride):
    return (window_starts.oracle(side, window, stride) for side in size)


def my_occlusion_map(image, target, model, window, stride):
    def starts(length):
        places = list(range(0, length - window, stride))
        return [*places, length - window]

    color = image.mean((2, 3), keepdim=True)
    rows, columns = starts(image.shape[2]), starts(image.shape[3])
    drop = image.new_zeros(len(image), len(rows), len(columns))
    with torch.no_grad():
        before = model(image).gather(1, target[:, None])[:, 0]
        for i, top in enumerate(rows):
            for j, left in enumerate(columns):
                covered = image.clone()
                covered[:, :, top : top + window, left : left + window] = color
                after = model(covered).gather(1, target[:, None])[:, 0]
                drop[:, i, j] = before - after
    return drop


@exercise(
    "遮挡图",
    level=4,
    ours=my_occlusion_map,
    probes=(
        lambda: (*classified([3, 1], (8, 7), 1), 3, 2),
        lambda: (*classified([0, 4, 2], (6, 9), 2, TinyNet(seed=9)), 4, 3),
        lambda: (*classified([2], (5, 5), 3, TinyNet(seed=5)), 5, 2),
    ),
    answer="(N, 行数, 列数) 的得分之降，行列由窗的位置决定（最后一扇齐边），不带计算图",
    idea="每扇窗都从原图的一份新副本开始，在像素上填色，再交给模型；记下的是得分掉了多少。",
    where="看“从零实现”一节的循环，以及 Tensor.gather 的文档。",
    question="窗数一多就慢。怎样把几扇窗拼成一批，而结果一个数也不变？",
    mistakes={
        "kept": (
            [
                ("        for i, top", "        covered = image.clone()\n        for i, top"),
                ("                covered = image.clone()\n", ""),
            ],
            "前一扇窗还留在图上：每扇窗都要从原图开始。",
        ),
        "probability": (
            (").gather(1", ").softmax(1).gather(1"),
            "给的是概率的下降：softmax 把别的类也搅了进来，这里要得分。",
        ),
        "black": (("] = color", "] = 0"), "窗里填的是 0：在像素上 0 是黑色，不是这张图的平均色。"),
        "batch_mean": (
            ("mean((2, 3), keepdim=True)", "mean((0, 2, 3), keepdim=True)"),
            "平均色取自整批：每张图该用自己的。",
        ),
        "grey_mean": (
            ("mean((2, 3), keepdim=True)", "mean((1, 2, 3), keepdim=True)"),
            "三个通道填了同一个数：平均色是一种颜色，有三个分量。",
        ),
        "after": (("before - after", "after"), "给的是遮住之后的得分：题目要的是掉了多少。"),
        "negated": (("before - after", "after - before"), "符号反了：得分下降记作正数。"),
        "first_target": (
            fed(my_occlusion_map, target=first),
            "整批都用了第一张图的目标类：每张图有自己的。",
        ),
        "graph": (lambda x, t, m, *a: my_occlusion_map(x, t, m, *a) + 0 * m(x).sum(),),
        "outside": (
            [
                ("covered = image.clone()", "covered = color.expand_as(image).clone()"),
                ("] = color", "] = image[:, :, top : top + window, left : left + window]"),
            ],
            "遮的是窗外，窗里反而留着：填色的是窗里。",
        ),
        "short": (
            ("+ window, left : left + window", "+ window - 1, left : left + window - 1"),
            "窗少盖了一行一列：切片的终点不含，要到起点加 window。",
        ),
        "grey": (("] = color", "] = 0.5"), "窗里填的是 0.5 的灰：题目要这张图自己的平均色。"),
        "own_window": (
            (
                "] = color",
                "] = image[:, :, top : top + window, left : left + window].mean((2, 3), True)",
            ),
            "填的是窗里那一块的平均色：要整张图的平均色。",
        ),
        "every_target": (
            (".gather(1, target[:, None])[:, 0]", "[:, target].sum(1)"),
            "scores[:, target] 得到的是 (N, N)：每张图只取自己那一类，要一一对应。",
        ),
        "relative": (
            ("before - after", "(before - after) / before"),
            "除以了原来的得分：题目要掉了多少，不是掉了几成。",
        ),
        "in_place": (("covered = image.clone()", "covered = image"),),
    },
)
def occlusion_map(image, target, model, window, stride):
    rows, columns = map(list, _starts(image.shape[2:], window, stride))
    with torch.no_grad():
        before, drops = class_scores(model, image, target), []
        for top, left in product(rows, columns):
            hidden = torch.zeros(image.shape[2:], dtype=torch.bool)
            hidden[top : top + window, left : left + window] = True
            covered = torch.where(hidden, image.mean((2, 3), keepdim=True), image)
            drops.append(before - class_scores(model, covered, target))
    return torch.stack(drops, 1).unflatten(1, (len(rows), len(columns)))


# 3 逐像素的平均


def _unaligned(drop, size, window, stride):
    """最后一扇窗没有齐边，直接按步幅放。"""
    total, count = drop.new_zeros(len(drop), *size), drop.new_zeros(size)
    for i in range(drop.shape[1]):
        for j in range(drop.shape[2]):
            place = (slice(i * stride, i * stride + window), slice(j * stride, j * stride + window))
            total[:, *place] += drop[:, i, j, None, None]
            count[place] += 1
    return total / count.clamp_min(1)


@exercise(
    "摊回像素",
    level=3,
    probes=(
        lambda: (noise((2, 4, 3), 3), (8, 7), 3, 2),
        lambda: (noise((2, 3, 4), 4), (9, 11), 4, 3),
        lambda: (noise((1, 1, 2), 5), (3, 4), 3, 2),
    ),
    answer="(N, H, W)：盖到每个像素的各扇窗的下降的平均",
    idea="把每扇窗的下降加到它盖住的像素上，同时数一数每个像素被盖了几次，最后相除。",
    where="看“想法”一节里 A(p) 的式子；用两个全零的张量，一个累加，一个计数。",
    question="平均之后的图比原来平滑。它能不能让你看到比窗更小的东西？",
    laws=(
        (
            lambda call, drop, *rest: bool(
                (call(torch.ones_like(drop), *rest) - 1).abs().max() < 1e-6
            ),
            "每扇窗的下降都一样时，每个像素也该一样，角上也不例外。",
        ),
    ),
    mistakes={
        "constant": (
            (".mean(1)", ".sum(1) / (-(-window // stride)) ** 2"),
            "除以了一个固定的数：角上和边上的像素被盖的次数少，各除各的。",
        ),
        "sum": ((".mean(1)", ".sum(1)"), "只加没有除：被盖得多的像素占了便宜。"),
        "last": ((".mean(1)", "[:, -1]"), "后来的窗盖掉了先来的：要累加，不是赋值。"),
        "enlarged": (
            lambda d, n, *_: functional.interpolate(d[:, None], n, mode="bilinear")[:, 0],
            "这是把小图插值放大：没有用到哪扇窗盖住哪个像素。",
        ),
        "nearest": (
            lambda d, n, *_: functional.interpolate(d[:, None], n)[:, 0],
            "这是把小图按最近的格放大：要看每个像素被哪几扇窗盖住。",
        ),
        "maximum": ((".mean(1)", ".amax(1)"), "取了最大的一扇：题目要平均。"),
        "unaligned": (
            _unaligned,
            "最后一扇窗没有齐边：它的末端正好在图的边上，起点不是步幅的整数倍。",
        ),
    },
)
def average_per_pixel(drop, size, window, stride):
    rows, columns = map(list, _starts(size, window, stride))
    result = drop.new_zeros(len(drop), *size)
    for row, column in product(*map(range, size)):
        above = [i for i, top in enumerate(rows) if top <= row < top + window]
        beside = [j for j, left in enumerate(columns) if left <= column < left + window]
        result[:, row, column] = drop[:, above][:, :, beside].flatten(1).mean(1)
    return result


# 4 概率上升的玩具


def _two_scores(own, rival):
    """得分是左半边亮度的线性函数：各自的斜率由 own、rival 给出。"""

    def scores(image):
        left = image[..., : image.shape[-1] // 2].mean((1, 2, 3))
        return torch.stack([own * left, rival * left], 1)

    return scores


def _before_and_after(function, image, covered):
    return function(image), function(covered)


def _shaped(out, image, covered):
    return all(each.shape == (len(image), 2) for each in out)


def _own_falls(out, *_):
    return (out[1][:, 0] < out[0][:, 0] - 1e-6).all()


def _probability_rises(out, *_):
    before, after = (scores.double().softmax(1)[:, 0] for scores in out)
    return (after > before + 1e-6).all()


def _each_alone(call, image, covered):
    together, _ = call(image, covered)
    alone, _ = call(image[1:], covered[1:])
    return torch.allclose(together[1:], alone)


def _half_covered(shape, seed):
    image = 0.2 + 0.6 * uniform(shape, seed)
    covered = image.clone()
    covered[..., : shape[-1] // 2] = 0
    return image, covered


@exercise(
    "得分降，概率升",
    level=3,
    asked="my_two_scores",
    open_ended=True,
    probes=(lambda: _half_covered((3, 3, 6, 8), 5), lambda: _half_covered((2, 3, 4, 10), 6)),
    answer="(N, 2) 的得分：第 0 类和第 1 类，不带计算图",
    idea="概率由两个得分的差决定。想让第 0 类的概率上升，差就得变大；它自己下降时，差还能不能变大？",
    where="看“测一测”里鹦鹉的那张图：遮住哪里，另一种鹦鹉的得分掉得更多。",
    question="真实的网络有 1000 类。要弄清概率为什么上升，你会画哪几类的遮挡图？",
    run=_before_and_after,
    properties=(
        (_shaped, "形状不对：N 张图要给 (N, 2) 个得分。"),
        (
            _own_falls,
            "左半边遮黑之后，第 0 类自己的得分没有下降。",
            "softmax 是相对的：第 0 类要降，只是对手得降得更多。",
        ),
        (_probability_rises, "第 0 类的得分降了，概率却没有升：对手降得还不够多。"),
    ),
    laws=((_each_alone, "一张图的得分变了，因为旁边放了别的图：每张图各算各的。"),),
    mistakes={
        "own_rises": (
            _two_scores(-1.0, 2.0),
            "第 0 类自己的得分升了：题目要它降，概率照样要升。",
            "softmax 是相对的：对手降得更多就行。",
        ),
        "same_fall": (_two_scores(2.0, 2.0), "两类降得一样多：差没有变，概率也就不变。"),
        "rival_still": (_two_scores(2.0, 0.0), "对手没有动：第 0 类一降，概率跟着降。"),
        "probabilities": (
            lambda image: _two_scores(1.0, 3.0)(image).softmax(1),
            "给的是概率：题目要 softmax 之前的得分。",
        ),
        "one_image": (lambda image: _two_scores(1.0, 3.0)(image).mean(0),),
    },
)
def rising_probability(image): ...


# 5 随机掩码


def _masks(count, height, width, seed, kept=0.5):
    return (uniform((count, height, width), seed) < kept).double()


def _error_shrinks(call, *_):
    """WindowNet：保留概率一半时，块内的像素应得它自己的一半，块外得 0；误差按掩码数的平方根缩小。"""
    image = uniform((1, 3, 6, 8), 7)
    exact = torch.zeros(6, 8, dtype=torch.float64)
    exact[3:5, 5:7] = image[0, 1, 3:5, 5:7] / 2
    errors = []
    for count in (150, 2400):
        found = call(image, torch.tensor([0]), WindowNet(), _masks(count, 6, 8, 8))[0]
        errors.append(float((found - exact).square().mean().sqrt()))
    return 4 * 0.7 < errors[0] / errors[1] < 4 * 1.3


@exercise(
    "随机掩码",
    level=3,
    probes=(
        lambda: (*classified([2, 0], (5, 4), 9), _masks(12, 5, 4, 10)),
        lambda: (*classified([1, 4], (4, 6), 11, TinyNet(seed=3)), _masks(15, 4, 6, 12, 0.6)),
        lambda: (*classified([3], (4, 4), 13, TinyNet(seed=4)), _masks(9, 4, 4, 14)),
    ),
    answer="(N, H, W)：留下这个像素时得分的平均，减去全部得分的平均，不带计算图",
    idea="一个像素重要，就是留下它的那些图平均得分比别的高；留下的次数各像素不同，要各除各的。",
    where="看题面里的式子，先在 2 张掩码、1×2 的图上手算一遍。",
    question="掩码要多少张才够？误差减半，掩码要加到几倍？",
    laws=((_error_shrinks, "掩码多到十六倍，误差应当缩到约四分之一，你的不是。"),),
    mistakes={
        "no_division": (
            (".sum(1) / masks.sum(0)", ".mean(1)"),
            "没有除以每个像素被留下的比例：留得多的像素占了便宜。",
        ),
        "no_mean": (
            (" - scores.mean(1)", ""),
            "没有减去全部得分的平均：每个像素都带着同一个底数。",
        ),
        "dropped": (
            [("* masks)", "* (1 - masks))"), ("masks.sum(0)", "(1 - masks).sum(0)")],
            "算的是去掉这个像素时的平均得分：正负反了，要的是留下时的。",
        ),
        "one_count": (
            (".sum(1) / masks.sum(0)", ".mean(1) / masks.mean()"),
            "用了同一个保留比例：各像素实际留下的次数不同，掩码少时误差不小。",
        ),
        "probability": (
            lambda x, t, m, masks: random_masks.oracle(x, t, lambda z: m(z).softmax(1), masks),
            "用了概率：这里要 softmax 之前的得分。",
        ),
        "graph": (lambda x, t, m, masks: random_masks.oracle(x, t, m, masks) + 0 * m(x).sum(),),
        "first_target": (
            ("* mask, target", "* mask, target[:1].expand_as(target)"),
            "整批都用了第一张图的目标类：每张图有自己的。",
        ),
        "inverted": (("image * mask", "image * (1 - mask)"), "掩码用反了：1 是留下，0 是涂黑。"),
        "all_kept": (
            ("/ masks.sum(0)", "/ masks.sum()"),
            "除的是全部掩码留下的总数：每个像素除以它自己被留下的次数。",
        ),
        "grey_fill": (
            ("image * mask,", "image * mask + image.mean((2, 3), keepdim=True) * (1 - mask),"),
            "掩码外填了平均色：这里涂黑，直接乘 0。",
        ),
    },
)
def random_masks(image, target, model, masks):
    with torch.no_grad():
        scores = [class_scores(model, image * mask, target) for mask in masks]
    scores = torch.stack(scores, 1)[:, :, None, None]
    return (scores * masks).sum(1) / masks.sum(0) - scores.mean(1)
