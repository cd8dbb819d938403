"""“特征反演”一章的练习：相对误差、全变差、反演的循环、亮度与颜色、网络看不见的改动。"""

import torch
from torch import nn
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import in_range, noise, uniform
from cnnlab.check.gradients import FLOWING, gradient_of
from cnnlab.check.variants import fed
from cnnlab.check.watching import work_of
from cnnlab.core.measures import LUMA, luminance

# 1 相对特征误差


def _norm(batch):
    return batch.flatten(1).norm(dim=1)


def _sizes(batch):
    return batch.abs().sum((1, 2, 3))


def _scale_free(call, found, target):
    return torch.allclose(call(found * 100, target * 100), call(found, target))


@exercise(
    "相对特征误差",
    level=1,
    probes=(
        lambda: (
            noise((2, 3, 4, 5), 1),
            noise((2, 3, 4, 5), 2) * torch.tensor([3.0, 0.5]).view(2, 1, 1, 1),
        ),
        lambda: (noise((3, 4, 2, 3), 3), 3 * noise((3, 4, 2, 3), 4)),
        lambda: (noise((1, 2, 1, 3), 5), noise((1, 2, 1, 3), 6)),
    ),
    answer="(N,)，每张图一个不小于 0 的数",
    idea="深浅各层激活的大小差得远。除以目标自己的范数，“猜全零”在每一层都得 1，层与层才能比。",
    where="看 Tensor.flatten(1) 与 Tensor.norm 的 dim 参数。",
    question="误差等于 1 的答案一定不好吗？想一想两个互相垂直的激活。",
    laws=((_scale_free, "两边一起放大一百倍，相对误差应当不变，你的变了：各层不可比。"),),
    mistakes={
        "absolute": ((" / size", ""), "没有分母：激活大的层误差自然大，各层不可比。"),
        "squared": (
            (".norm(dim=1)", ".square().sum(1)"),
            "没有开方：这是平方误差之比，题目要范数之比。",
        ),
        "by_found": (
            ("target, target)", "target, found)"),
            "除的是找到的激活：分母应当是目标，它不随优化变。",
        ),
        "batch": (
            lambda f, t: ((f - t).norm() / t.norm()).expand(len(f)).clone(),
            "整批算成了一个数：每张图各算各的。",
        ),
        "mean_of_ratios": (
            [(".norm(dim=1)", ".abs()"), ("gap / size", "(gap / size).mean(1)")],
            "逐个数求了比再平均：一个接近零的数就能主宰结果，先各求范数。",
        ),
        "absolute_values": (
            (".norm(dim=1)", ".abs().sum(1)"),
            "用的是绝对值之和：范数是平方和的平方根。",
        ),
        "each_channel": (
            [
                (".flatten(1).norm(dim=1)", ".norm(dim=(2, 3))"),
                ("gap / size", "(gap / size).mean(1)"),
            ],
            "每个通道各求了比再平均：一张图一个范数。",
        ),
        "of_norms": (
            lambda f, t: (_norm(f) - _norm(t)).abs() / _norm(t),
            "先求范数再相减：方向不同的两份激活也会显得一样，先相减。",
        ),
        "centred": (
            lambda f, t: _norm(f - t) / _norm(t - t.mean((1, 2, 3), keepdim=True)),
            "分母先减了平均：“猜全零”要恰好得 1，分母是目标自己的范数。",
        ),
        "one_by_one": (
            ("gap / size", "((found - target) / target).flatten(1).norm(dim=1)"),
            "逐个数相除再求范数：目标里接近 0 的数会把误差撑大，先各求范数再除。",
        ),
    },
)
def relative_error(found, target):
    gap, size = (batch.flatten(1).norm(dim=1) for batch in (found - target, target))
    return gap / size


# 2 全变差


def _squares(change):
    return change.square().sum((1, 2, 3))


def _no_loop(call, *_):
    return work_of(lambda: call(uniform((1, 3, 12, 12), 7))).steps < 60


def my_variation(image):
    down = image[..., 1:, :] - image[..., :-1, :]
    right = image[..., 1:] - image[..., :-1]
    return down.square().sum((1, 2, 3)) + right.square().sum((1, 2, 3))


@exercise(
    "全变差",
    level=2,
    ours=my_variation,
    probes=(
        lambda: (uniform((2, 3, 4, 6), 5),),
        lambda: (uniform((3, 3, 5, 3), 6),),
        lambda: (uniform((1, 3, 2, 4), 7),),
    ),
    answer="(N,)：每张图相邻像素之差的平方和",
    idea="把图错开一格再相减，横竖各一次；最后一列的右边没有邻居，所以差图比原图少一列。",
    where="看 Tensor.diff 的文档，或者用切片：去掉第一列的一份，减去去掉最后一列的一份。",
    question="把平方换成绝对值，哪一种更愿意留下一条陡的边？",
    laws=((_no_loop, "用了循环：把图错开一格再整个相减，题目说不用循环。"), FLOWING),
    mistakes={
        "one_direction": (
            ("down.square().sum((1, 2, 3)) + ", ""),
            "只算了一个方向：竖着的邻居也要比。",
        ),
        "wraps": (
            lambda x: _squares(x - x.roll(1, 2)) + _squares(x - x.roll(1, 3)),
            "首尾相接了：最后一列与第一列不是邻居。",
        ),
        "mean": ((".sum((1, 2, 3))", ".mean((1, 2, 3))"), "取了平均：题目约定求和。"),
        "absolute": ((".square()", ".abs()"), "用的是绝对值：题目要差的平方。"),
        "by_rows_only": (
            (" + right.square().sum((1, 2, 3))", ""),
            "只比了上下的邻居：左右的也要比。",
        ),
        "looped": (lambda x: variation.oracle(x),),
        "rooted": (
            lambda x: (
                (x.diff(dim=2)[..., :-1].square() + x.diff(dim=3)[:, :, :-1].square())
                .sqrt()
                .sum((1, 2, 3))
            ),
            "横竖两个差合成了长度：题目要两种差的平方各自相加。",
        ),
        "cropped": (
            lambda x: _squares(x.diff(dim=2)[..., :-1]) + _squares(x.diff(dim=3)[:, :, :-1]),
            "少算了最后一行或最后一列：它们之间也有邻居。",
        ),
        "two_apart": (
            lambda x: _squares(x[:, :, 2:] - x[:, :, :-2]) + _squares(x[..., 2:] - x[..., :-2]),
            "比的是隔一格的像素：要紧挨着的。",
        ),
        "grey": (
            lambda x: my_variation(x.mean(1, keepdim=True)),
            "先把三个通道平均了：每个通道各算各的，再相加。",
        ),
        "outer": (
            lambda x: my_variation(functional.pad(x, (1, 1, 1, 1))),
            "图外面补了一圈 0，边上多算了差：只比图里的邻居。",
        ),
        "channels": (
            ("image[..., 1:, :] - image[..., :-1, :]", "image[:, 1:] - image[:, :-1]"),
            "把相邻的通道当成了上下的邻居：第 1 维是通道，行是倒数第二维。",
        ),
        "spread": (lambda x: x.var((1, 2, 3)), "算的是方差：题目只比相邻的像素。"),
    },
)
def variation(image):
    result = torch.zeros(len(image), dtype=image.dtype)
    _, _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            here = image[:, :, row, column]
            if row + 1 < height:
                result += (image[:, :, row + 1, column] - here).square().sum(1)
            if column + 1 < width:
                result += (image[:, :, row, column + 1] - here).square().sum(1)
    return result


# 3 反演的循环


def _network(seed, shape=(4, 3, 3, 3)):
    network = nn.Conv2d(shape[1], shape[0], shape[2:], padding=1, bias=False).double()
    network.weight.data = noise(shape, seed) / 3
    return network.eval().requires_grad_(False)


def _inversion_probe(seed, shape, frozen=True):
    with torch.random.fork_rng(devices=[]):
        network = _network(seed).requires_grad_(not frozen)
    target = network(uniform(shape, seed + 50)).detach()
    return uniform(shape, seed), target, network, 12, 0.02


@exercise(
    "反演的循环",
    level=2,
    asked="my_inversion",
    probes=(
        lambda: _inversion_probe(7, (2, 3, 5, 6)),
        lambda: _inversion_probe(8, (1, 3, 6, 4), False),
    ),
    answer="走完 steps 步之后的图像，与 image 同形状，取值在 [0, 1]",
    idea="target 是别人量好的，一个常数。每步算 model(图) 与它的距离平方，对图求导，往距离变小的方向走。",
    where="看本章“从零实现”一节；求导用 torch.autograd.grad。",
    question="步长再大几倍，距离还会每步都变小吗？试一试。",
    mistakes={
        "ascends": (
            ("image - size", "image + size"),
            "距离在变大：讲义写的“梯度上升”用在这里方向就反了，要下降。",
        ),
        "moving_target": (
            lambda image, *_: image.clone(),
            "图像一步也没动：目标是不是跟着图一起变了？它是原图的激活，整个循环里不变。",
        ),
        "norm": (
            (".square().sum()", ".flatten(1).norm(dim=1)"),
            "距离没有平方：离得远时步子太小，离得近时停不下来。",
        ),
        "free": ((".clamp(0, 1)", ""), "没有截断：像素跑出了 [0, 1]。"),
        "one_step": (("range(steps)", "range(1)"), "只走了一步：要走 steps 步。"),
        "late_clamp": (
            [(".clamp(0, 1)", ""), ("return image", "return image.clamp(0, 1)")],
            "只在最后截了一次：每一步都要截到 [0, 1]。",
        ),
        "mean": (
            ("size * gradient", "size * gradient / target[0].numel()"),
            "距离取了平均，步子太小：约定求和。",
        ),
        "batch_and_mean": (
            (".square().sum()", ".square().mean()"),
            "损失用了 mse_loss 缺省的平均，步子太小：约定求和。",
        ),
        "half": (("size * gradient", "size * gradient / 2"), "步子小了一半：距离平方前面没有 ½。"),
        "normalized": (
            ("size * gradient", "size * gradient / _norm(gradient).view(-1, 1, 1, 1)"),
            "梯度归一化了：题目说步长不归一化。",
        ),
        "accumulated": (
            [
                ("    for", "    velocity = 0\n    for"),
                (
                    "        image =",
                    "        gradient = velocity = velocity + gradient\n        image =",
                ),
            ],
            "步子越迈越大：旧的梯度没有清零。",
        ),
        "stale": (
            [("range(steps)", "range(1)"), ("size *", "steps * size *")],
            "每一步用的都是起点的梯度：要在循环里用现在的图重新算。",
        ),
        "one_short": (("range(steps)", "range(steps - 1)"), "少走了一步：数一数更新了几次。"),
        "from_the_start": (
            [("for _ in", "start = image\n    for _ in"), ("(image - size", "(start - size")],
            "每一步都从起点出发：要接着上一步的图走。",
        ),
    },
)
def inversion_loop(image, target, model, steps, size):
    for _ in range(steps):
        gradient = gradient_of(lambda leaf: (model(leaf) - target).square().sum(), image)
        image = (image - size * gradient).clamp(0, 1)
    return image


# 4 亮度与颜色


def _grey_has_the_right_brightness(call, image, original):
    bright, color = call(luminance(original).repeat(1, 3, 1, 1), original)
    return (bright < 1e-6).all() and torch.allclose(color, torch.ones_like(color))


@exercise(
    "亮度误差与颜色误差",
    level=3,
    asked="my_errors",
    probes=(
        lambda: (uniform((2, 3, 4, 5), 9), uniform((2, 3, 4, 5), 10)),
        lambda: (uniform((3, 3, 3, 6), 11), uniform((3, 3, 3, 6), 12)),
        lambda: (uniform((1, 3, 2, 3), 15), uniform((1, 3, 2, 3), 16)),
    ),
    answer="(2, N)：第一行亮度误差，第二行颜色误差",
    idea="先把每张图分成两份：亮度 Y 和减去 Y 之后余下的颜色。两份各算误差，各除以“什么都不知道”的答案的误差。",
    where="猜一张均匀的灰，亮度误差应当恰好是 1；猜黑白，颜色误差应当恰好是 1：分母由此定。",
    question="把红绿通道对调，哪一个误差变得多？",
    laws=(
        (
            _grey_has_the_right_brightness,
            "把原图变成黑白：亮度误差应为 0，颜色误差应恰好是 1，你的不是。",
        ),
    ),
    mistakes={
        "mean_of_channels": (
            ("LUMA", "[1 / 3] * 3"),
            "亮度用了三个通道的平均：题目约定 0.299、0.587、0.114。",
        ),
        "not_centered": (
            ("(target - grey)", "(target)"),
            "亮度的分母没有减去平均：猜一张均匀的灰，应当恰好得 1。",
        ),
        "whole_picture": (
            ("image - bright, original - target", "image, original"),
            "颜色里还混着亮度：先从每个通道减去 Y。",
        ),
        "squared": (("_norm(", "_squares("), "没有开方：题目要均方根误差之比。"),
        "mean_square": (
            lambda *a: color_error.oracle(*a).flip(0),
            "两行的次序反了：第一行是亮度，第二行是颜色。",
        ),
        "half_grey": (
            ("target.mean((2, 3), keepdim=True)", "0.5"),
            "亮度的分母猜的是 0.5 的灰：猜这张图自己的平均亮度，才是最好的一张均匀的灰。",
        ),
        "absolute": (("_norm(", "_sizes("), "用的是绝对值之和：范数是平方和的平方根。"),
        "swapped_weights": (("LUMA", "LUMA[::-1]"), "红和蓝的权重对调了：本书的次序是 RGB。"),
        "whole_gap": (
            ("_norm(color - wanted)", "_norm(image - original)"),
            "颜色的分子是整张图的差，混进了亮度：先各减去亮度。",
        ),
    },
)
def color_error(image, original):
    weight = image.new_tensor(LUMA).view(1, 3, 1, 1)
    bright, target = ((picture * weight).sum(1, keepdim=True) for picture in (image, original))
    color, wanted = image - bright, original - target
    grey = target.mean((2, 3), keepdim=True)
    luminance_error = _norm(bright - target) / _norm(target - grey)
    return torch.stack([luminance_error, _norm(color - wanted) / _norm(wanted)])


# 5 网络看不见的改动


def _blind_change(image, model, size):
    """2×2 平均看不见棋盘格：每格里两加两减。"""
    height, width = image.shape[-2:]
    board = (torch.arange(height)[:, None] + torch.arange(width)) % 2 * 2 - 1
    return image + size * board.to(image)


def _pooled(image):
    return functional.avg_pool2d(
        functional.conv2d(image, torch.full((1, 3, 1, 1), 1 / 3).to(image)), 2
    )


@exercise(
    "网络看不见的改动",
    level=3,
    asked="my_twin",
    open_ended=True,
    ours=_blind_change,
    probes=(
        lambda: (uniform((2, 3, 6, 8), 13) * 0.6 + 0.2, _pooled, 0.1),
        lambda: (uniform((1, 3, 4, 6), 14) * 0.6 + 0.2, _pooled, 0.15),
    ),
    answer="与 image 同形状的另一张图，取值在 [0, 1]",
    idea="model 先把三个通道平均，再在每个 2×2 的格子里平均。改动只要在通道之间或格子之内互相抵消，它就看不见。",
    where="先对一个 2×2 的格子手算：哪四个数的和是零？",
    question="真的卷积层没有这么好猜。怎样用梯度找出它看不见的方向？",
    properties=(
        (lambda out, *_: in_range(out), "像素跑出了 [0, 1]。"),
        (
            lambda out, image, model, size: (
                (out - image).square().mean((1, 2, 3)).sqrt() > 0.9 * size
            ).all(),
            "像素几乎没动：每张图的均方根改动要达到 size。",
        ),
        (
            lambda out, image, model, size: (model(out) - model(image)).abs().max() < 1e-9,
            "网络看见了：两张图的激活应当相同，只差舍入误差。",
        ),
    ),
    mistakes={
        "same": (lambda image, *_: image.clone(),),
        "tiny": (fed(_blind_change, size=lambda s: 1e-4 * s), "方向找对了，可是改动太小。"),
        "bright": (lambda i, m, s: i + s,),
        "out_of_range": (fed(_blind_change, size=lambda s: 3 * s + 0.5),),
    },
)
def invisible(image, model, size): ...
