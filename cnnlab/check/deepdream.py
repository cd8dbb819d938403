"""“DeepDream”一章的练习：梯度等于激活、归一化的一步、只带增量的多尺度、谁长得快。"""

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import TinyNet, in_training, noise, uniform
from cnnlab.check.gradients import gradient_of

# 1 梯度等于激活


def _energy(activation):
    return activation.square().sum() / 2


def _leaves_grad(image, model):
    image.requires_grad_()
    _energy(model(image)).backward()
    return image.grad.clone()


@exercise(
    "把梯度设成激活",
    level=1,
    probes=(
        lambda: (uniform((2, 3, 6, 5), 1), TinyNet()),
        lambda: (uniform((1, 3, 5, 7), 2), TinyNet(seed=4)),
        lambda: (uniform((2, 3, 4, 4), 3), in_training()),
    ),
    answer="与 image 同形状的梯度，不带计算图",
    idea="torch.autograd.grad 可以指定从输出传回来的梯度是什么；传激活自己，就是讲义的第二步。",
    where="看 torch.autograd.grad 的 grad_outputs 参数。",
    question="它是哪一个数的梯度？写出这个数，再求一次导核对。",
    tolerance=1e-5,
    mistakes={
        "sum": (
            ("_energy(model(leaf))", "model(leaf).sum()"),
            "传回去的是全 1：那是激活之和的梯度，强的和弱的一视同仁。",
        ),
        "twice": (
            ("_energy(model(leaf))", "model(leaf).square().sum()"),
            "差一个 2：传回去的激活要当常数，或者目标里少了二分之一。",
        ),
        "norm": (
            ("_energy(model(leaf))", "model(leaf).norm()"),
            "求导的是范数：方向对，大小被激活的范数除了一次。",
        ),
        "mean": (
            ("_energy(model(leaf))", "model(leaf).square().mean() / 2"),
            "取了平均：结果随激活的个数缩小，这里约定求和。",
        ),
        "left_grad": (_leaves_grad,),
        "positive_only": (
            ("model(leaf)", "model(leaf).clamp_min(0)"),
            "负的激活没有传回去：传回的梯度就是激活自己，正负都在。",
        ),
        "absolute": (
            ("_energy(model(leaf))", "model(leaf).abs().sum()"),
            "传回去的是激活的正负号：那是绝对值之和的梯度。",
        ),
        "cubed": (
            ("_energy(model(leaf))", "model(leaf).pow(3).sum() / 3"),
            "传回去的是激活的平方：应当是激活自己。",
        ),
        "descends": (("return ", "return -"), "符号反了：要让激活变大的方向。"),
    },
)
def dream_gradient(image, model):
    return gradient_of(lambda leaf: _energy(model(leaf)), image)


# 2 归一化的一步


def _scale_free(call, image, gradient, size):
    return torch.allclose(call(image, gradient * 1000, size), call(image, gradient, size))


def my_dream_step(image, gradient, size):
    typical = gradient.abs().mean(dim=(1, 2, 3), keepdim=True)
    return (image + size * gradient / typical).clamp(0, 1)


@exercise(
    "归一化的一步",
    level=1,
    ours=my_dream_step,
    probes=(
        lambda: (
            uniform((2, 3, 5, 4), 3),
            noise((2, 3, 5, 4), 4) * torch.tensor([1.0, 30.0]).view(2, 1, 1, 1),
            0.1,
        ),
        lambda: (
            uniform((3, 3, 4, 6), 5),
            noise((3, 3, 4, 6), 6) * torch.tensor([5.0, 0.1, 1.0]).view(3, 1, 1, 1),
            0.2,
        ),
        lambda: (uniform((1, 3, 3, 3), 7), noise((1, 3, 3, 3), 8), 0.05),
    ),
    answer="走了一步之后的图像，与 image 同形状，取值在 [0, 1]",
    idea="各层激活的大小相差成千上万倍，梯度也是。除以这张图梯度绝对值的平均，平均每个像素就恰好走 size。",
    where="看 Tensor.abs、Tensor.mean（带 keepdim）与 Tensor.clamp 的文档。",
    question="除以梯度的范数也能去掉大小。换一个更大的图，两种除法的步子会怎样变？",
    laws=((_scale_free, "梯度整体放大一千倍，这一步应当不变，你的变了。"),),
    mistakes={
        "raw": ((" / typical", ""), "没有归一化：换一层，步长就炸了。"),
        "norm": (
            (
                "gradient.abs().mean(dim=(1, 2, 3), keepdim=True)",
                "gradient.flatten(1).norm(dim=1)[:, None, None, None]",
            ),
            "除的是范数：步子会随像素的个数变小，这里除以绝对值的平均。",
        ),
        "maximum": ((".mean(", ".amax("), "除的是最大值：一个离群的像素就能让整张图几乎不动。"),
        "batch": (
            ("dim=(1, 2, 3)", "dim=(0, 1, 2, 3)"),
            "整批共用了一个平均：每张图各算各的，互不影响。",
        ),
        "descends": (("image + size", "image - size"), "方向反了：要让激活变大，沿着梯度走。"),
        "free": ((".clamp(0, 1)", ""), "没有截断：像素跑出了 [0, 1]。"),
        "each_channel": (
            ("dim=(1, 2, 3)", "dim=(2, 3)"),
            "三个通道各除了自己的平均：一张图一个数，颜色才不会变。",
        ),
        "deviation": (
            ("gradient.abs().mean(", "gradient.std("),
            "除的是标准差：题目要绝对值的平均。",
        ),
        "signed_mean": (
            ("gradient.abs()", "gradient"),
            "平均之前没有取绝对值：正负会抵消，除出来又大又可能反向。",
        ),
        "sign": (
            ("gradient / typical", "gradient.sign()"),
            "只用了梯度的正负号：每个像素走了一样多。",
        ),
        "root_mean_square": (
            [("gradient.abs()", "gradient.square()"), ("keepdim=True)", "keepdim=True).sqrt()")],
            "除的是均方根：题目要绝对值的平均。",
        ),
        "clamps_the_step": (
            ("(image + size * gradient / typical)", "image + (size * gradient / typical)"),
            "截断的是步子：要截断的是走完的图。",
        ),
    },
)
def dream_step(image, gradient, size):
    result = []
    for picture, slope in zip(image, gradient, strict=True):
        moved = picture + size * slope * slope.numel() / slope.abs().sum()
        result.append(
            moved.where(moved < 1, torch.ones_like(moved)).where(moved > 0, torch.zeros_like(moved))
        )
    return torch.stack(result)


# 3 只带增量的多尺度


def _resize(image, size):
    return functional.interpolate(image, size, mode="bilinear", antialias=True, align_corners=False)


def _keeps_the_photo(call, image, sizes, change):
    return torch.equal(call(image, sizes, lambda picture: picture), image)


@exercise(
    "只带增量的多尺度",
    level=2,
    probes=(
        lambda: (
            uniform((1, 3, 12, 9), 7),
            [(6, 5), (9, 7), (12, 9)],
            lambda p: p + 0.2 * p * p.roll(1, 3),
        ),
        lambda: (
            uniform((2, 3, 10, 14), 8),
            [(5, 7), (10, 14)],
            lambda p: p + 0.1 * (p - p.mean((2, 3), keepdim=True)) ** 2,
        ),
    ),
    answer="与 image 同形状的图像：原图加上最后的增量",
    idea="每个尺度从原图的缩小版出发，只把“做梦添上的部分”放大带到下一个尺度；原图的细节每次都从原图重新取。",
    where="看本章“多尺度”一节的公式；缩放用 cnnlab 的 resize。",
    question="如果每个尺度都只带上一个尺度的图，放大三次之后原图还剩多少高频？",
    laws=(
        (
            _keeps_the_photo,
            "什么也不添的时候，应当一个像素不差地得到原图，你的不是：原图的细节被重采样磨掉了。",
        ),
    ),
    mistakes={
        "picture": (
            [
                ("detail = change(base + _resize(detail, size)) - base", "image = change(base)"),
                (" + _resize(detail, image.shape[-2:])", ""),
            ],
            "你放大的是整张图：原图的细节被重采样磨掉了，只放大增量。",
        ),
        "last_only": (
            ("- base", "- base - _resize(detail, size)"),
            "增量只留了最后一个尺度的：前面各尺度添上的东西丢了。",
        ),
        "from_large": (
            ("in sizes", "in sizes[::-1]"),
            "次序反了：从最小的尺度开始，先有大轮廓，再添细节。",
        ),
        "no_carry": (
            ("in sizes", "in sizes[-1:]"),
            "各尺度之间没有接上：下一个尺度的起点要加上已有的增量。",
        ),
        "whole_increment": (("image + ", ""), "返回的是增量：还要加上原图。"),
        "adds_twice": (
            ("= change", "= _resize(detail, size) + change"),
            "增量加了两次：change 返回的图里已经含有起点的增量，减去缩小版就是全部增量。",
        ),
        "skips_the_largest": (
            ("in sizes", "in sizes[:-1]"),
            "少走了最后一个尺度：原图的大小也要做一次梦。",
        ),
        "reversed_detail": (
            lambda x, s, c: 2 * x - octave_dream.oracle(x, s, lambda p: 2 * p - c(p)),
            "增量减反了：做过梦的图减去缩小版。",
        ),
        "chained": (
            (
                "for size in sizes:\n        base = _resize(image, size)",
                "base = image\n    for size in sizes:\n        base = _resize(base, size)",
            ),
            "缩小版是从上一个尺度放大来的，细节已经丢了：每次都从原图缩小。",
        ),
    },
)
def octave_dream(image, sizes, change):
    detail = torch.zeros_like(image)
    for size in sizes:
        base = _resize(image, size)
        detail = change(base + _resize(detail, size)) - base
    return image + _resize(detail, image.shape[-2:])


# 4 谁长得快


def _planted(seed, shape):
    before = noise(shape, seed)
    before[:, 1] = -before[:, 1].abs()  # 一个不响应的通道
    return before, before * 1.5 + noise(shape, seed + 1).abs()


@exercise(
    "谁长得快",
    level=2,
    probes=(lambda: _planted(9, (2, 4, 3, 5)), lambda: _planted(13, (1, 5, 4, 3))),
    answer="(C,)：各通道 ReLU 之后的平均激活，做梦之后与之前之比；原来不响应的通道记 1",
    idea="强的通道本来就大，多涨一点也显得多；要比谁被放大得厉害，看倍数，而且一个通道只算一个数。",
    where="看 Tensor.mean 的 dim 参数与 torch.where。",
    laws=(
        (
            lambda call, b, a: torch.allclose(call(1000 * b, 1000 * a), call(b, a)),
            "两批激活一起放大一千倍，比值不该变，你的变了：返回的是两个平均之比吗，分母里有没有加一个小量？",
        ),
    ),
    question="用 torch.corrcoef 算一算：原来的强度与这个倍数，名次相关吗？",
    mistakes={
        "difference": (
            ("torch.where(start > 0, end / start, 1.0)", "end - start"),
            "算的是涨了多少：本来就大的自然涨得多，看倍数。",
        ),
        "pixelwise": (
            lambda b, a: torch.where(b > 0, a.clamp(min=0) / b, 1.0).mean((0, 2, 3)),
            "逐像素求了比再平均：一个接近零的像素就能主宰结果，先平均再求比。",
        ),
        "signed": (
            ("end / start", "after.mean((0, 2, 3)) / before.mean((0, 2, 3))"),
            "负的激活也算了进去：ReLU 会把它们清零，先截到 0。",
        ),
        "infinite": (
            ("torch.where(start > 0, end / start, 1.0)", "end / start"),
            "原来不响应的通道除以了零：题目约定记 1。",
        ),
        "maximum": ((".mean(", ".amax("), "只看了最大的一处：题目要整张图的平均。"),
        "inverse": (("end / start", "start / end"), "比反了：之后除以之前。"),
        "silent_is_zero": (("1.0", "0.0"), "原来不响应的通道记成了 0：题目约定记 1。"),
        "epsilon": (
            ("torch.where(start > 0, end / start, 1.0)", "end / (start + 1e-8)"),
            "分母加了一个小量：原来不响应的通道会变成天文数字，题目约定记 1。",
        ),
        "each_image": (
            [
                ("(0, 2, 3)", "(2, 3)"),
                ("start > 0", "start.mean(0) > 0"),
                ("end / start", "(end / start).mean(0)"),
            ],
            "每张图先求了比再平均：先把整批平均成一个数，再相除。",
        ),
        "gain": (
            ("end / start, 1.0", "end / start - 1, 0.0"),
            "算的是涨了几成：题目要之后与之前的比，没变就是 1。",
        ),
        "absolute": (
            ("end / start", "after.abs().mean((0, 2, 3)) / before.abs().mean((0, 2, 3))"),
            "负的激活取了绝对值：ReLU 会把它们清零，先截到 0。",
        ),
        "signed_everywhere": (
            lambda b, a: a.mean((0, 2, 3)) / b.mean((0, 2, 3)),
            "负的激活算了进去，不响应的通道也没有记 1：先截到 0，再求比。",
        ),
    },
)
def growth(before, after):
    start, end = (stack.clamp(min=0).mean((0, 2, 3)) for stack in (before, after))
    return torch.where(start > 0, end / start, 1.0)
