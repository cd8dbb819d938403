"""“开始之前”一章的练习：像素与图像、求导、有限差分、一个不动的循环。"""

import torch

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import TinyNet, noise, uniform
from cnnlab.check.gradients import gradient_of
from cnnlab.check.variants import fed
from cnnlab.check.watching import called_autograd

# 1 像素 -> 图像


def _pixels(height: int, width: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(0, 256, (height, width, 3), generator=generator)
    drawn[0, 0], drawn[0, 1] = 0, 255
    return (drawn.to(torch.uint8),)


def _dark(height: int, width: int, seed: int):
    (drawn,) = _pixels(height, width, seed)
    return (drawn.clamp(max=200),)


def _standardized(image):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


@exercise(
    "从像素到图像",
    level=1,
    probes=(lambda: _pixels(4, 6, 1), lambda: _pixels(5, 3, 2), lambda: _dark(1, 4, 3)),
    answer="float32 的 (1, 3, H, W)，取值在 [0, 1]",
    idea="图像文件把一个像素的三种颜色挨着存，网络要的是三张完整的单色图；改次序和改形状是两回事。",
    where="看 Tensor.permute、Tensor.unsqueeze 与 Tensor.float 的文档。",
    question="两张 8 位图直接相加，200 加 100 得多少？为什么运算之前先变成浮点？",
    mistakes={
        "reshape": (
            ("permute(2, 0, 1)[None]", "reshape(1, 3, *pixels.shape[:2])"),
            "只改了形状，没有换维度的次序：同一张单色图里混进了三种颜色。",
        ),
        "no_scale": ((" / 255", ""), "取值范围还是 0 到 255：本书的图像一律在 [0, 1]。"),
        "divide_256": (("255", "256"), "最亮的像素没有到 1：8 位像素最大是几？"),
        "swapped_colors": (
            ("permute(2, 0, 1)", "permute(2, 0, 1).flip(0)"),
            "红和蓝对调了：本书的次序是 RGB。",
        ),
        "channels_last": ((".permute(2, 0, 1)", ""), "通道还在最后一维：网络要的是 N×C×H×W。"),
        "no_batch": (("[None]", ""), "少了最前面的批量维：单张图也要写成 N=1。"),
        "by_maximum": (
            ("255", "pixels.max()"),
            "除的是这张图自己的最大值：暗的图会被提亮。8 位像素除以同一个数。",
        ),
        "standardized": (
            lambda pixels: _standardized(to_image.oracle(pixels)),
            "你按训练集的均值和标准差归一化了：那一步在网络里做，图像一律在 [0, 1]。",
        ),
        "half_precision": (
            (".float() / 255", ".half().div(255).float()"),
            "中途用了半精度：只剩三位有效数字，先变成 float32 再除。",
        ),
        "whole_division": (
            (".float() / 255", " // 255 * 1.0"),
            "用了整除：除了最亮的像素，全都成了 0；先变成浮点再除。",
        ),
    },
)
def to_image(pixels):
    return pixels.permute(2, 0, 1)[None].float() / 255


# 2 平方和的梯度


def _left_grad(image):
    image.requires_grad_()
    (image**2).sum().backward()
    return image.grad.clone()


@exercise(
    "平方和的梯度",
    level=1,
    probes=(lambda: (noise((1, 3, 2, 2), 3),), lambda: (noise((2, 3, 4, 3), 4),)),
    answer="与 image 同形状的梯度，不带计算图",
    idea="自动求导对叶子张量求导；叶子应当是你自己的副本，调用者的张量不该知道你求过导。",
    where="看 torch.autograd.grad 的文档：它返回一个元组，不碰 .grad。",
    question="如果要的是每张图自己的平方和的梯度，为什么把整批加起来再求导也对？",
    laws=(
        (
            lambda call, image: called_autograd(lambda: call(image)),
            "没有用自动求导：这道题要的是让 torch 算出梯度，不是把公式写出来。",
        ),
        (
            lambda call, image: torch.equal(call(image), call(image)),
            "同一张图调用两次，结果不同：有东西从上一次留了下来。",
        ),
    ),
    mistakes={
        "twice": (lambda x: 4 * x, "梯度被累加了一倍：.grad 不会自己清零。"),
        "mean": (
            lambda x: 2 * x / x.numel(),
            "求导的是平方的平均，不是平方和：结果随像素个数缩小。",
        ),
        "norm": (lambda x: x / x.norm(), "求导的是范数：平方和外面多开了一次根号。"),
        "left_grad": (_left_grad,),
        "graph": (lambda x: 2 * x.detach().clone().requires_grad_(),),
        "of_sum": (lambda x: torch.ones_like(x), "求导的是像素之和：平方在哪里？"),
        "formula": (lambda x: 2 * x,),
    },
)
def square_gradient(image):
    return image + image


# 3 有限差分


def _cubic(image):
    return (image**3).sum()


def _score(image):
    return TinyNet()(image)[0, 2].detach().mul(3).exp()


def _error_ratio(call, function, image, position, step):
    exact = 3 * float(image[position]) ** 2
    coarse, fine = (abs(call(_cubic, image, position, s) - exact) for s in (1e-2, 1e-3))
    return 50 * fine < coarse < 200 * fine


def _slope(function, image, position, step):
    return float(gradient_of(function, image)[position])


def my_finite_difference(function, image, position, step):
    ahead, behind = image.clone(), image.clone()
    ahead[position] += step
    behind[position] -= step
    return float(function(ahead) - function(behind)) / (2 * step)


@exercise(
    "不求导的导数",
    level=2,
    ours=my_finite_difference,
    probes=(
        lambda: (_cubic, uniform((1, 3, 4, 4), 5), (0, 1, 2, 3), 0.05),
        lambda: (_score, uniform((1, 3, 6, 5), 6), (0, 2, 1, 4), 0.02),
    ),
    answer="一个数：函数值沿这个像素的变化率",
    idea="往前走一步、往后走一步，两次的误差里最大的那一项恰好相消，剩下的随步长的平方缩小。",
    where="看本章“有限差分”一节的图：误差先随步长下降，再被舍入误差抬起来。",
    question="步长缩到 1e-9 时误差为什么又变大了？",
    tolerance=1e-8,
    laws=((_error_ratio, "步长缩到十分之一，三次函数上的误差应当缩到约百分之一，你的不是。"),),
    mistakes={
        "one_sided": (
            ("- function(behind)) / (2 * step)", "- function(image)) / step"),
            "误差只按步长缩小：两边各走一步。",
        ),
        "backward_sided": (
            (
                "function(ahead) - function(behind)) / (2 * step)",
                "function(image) - function(behind)) / step",
            ),
            "只往回走了一步：往前也走一步，误差小一个量级。",
        ),
        "one_width": (("/ (2 * step)", "/ step"), "大了一倍：两个端点之间隔着几个步长？"),
        "swapped": (
            ("(ahead) - function(behind)", "(behind) - function(ahead)"),
            "符号反了：用往前一步的值减往后一步的值。",
        ),
        "low_precision": (
            ("(ahead) - function(behind)", "(ahead).float() - function(behind).float()"),
            "精度不够：两个相近的数相减，有效数字所剩无几，换 float64。",
        ),
        "in_place": (("image.clone(), image.clone()", "image, image.clone()"),),
        "exact": (_slope, "用了自动求导：这道题不求导，只拿两个函数值相减。"),
        "half_steps": (
            fed(my_finite_difference, step=lambda s: s / 2),
            "两边各走了半步，合起来才一步：题目要两边各走一个 step。",
        ),
        "only_back": (
            ("    behind[position] -= step\n", ""),
            "只有一边离开了原图，除的却是两个步长：往回也要从原图走一步。",
        ),
        "everywhere": (
            lambda f, x, _, h: float(f(x + h) - f(x - h)) / (2 * h),
            "每个像素都走了一步：只动 position 那一个。",
        ),
        "own_step": (
            fed(my_finite_difference, step=lambda _: 1e-3),
            "没有用上 step，写死成了一个数。",
        ),
        "undivided": ((" / (2 * step)", ""), "没有除以两点之间的距离：差还不是导数。"),
        "no_brackets": (
            ("/ (2 * step)", "/ 2 * step"),
            "2 * step 没有加括号：先除以 2，又乘上了 step。",
        ),
    },
)
def finite_difference(function, image, position, step):
    # 中心差分就是“沿一个像素的直线”上、两端点之间割线的斜率
    line = torch.zeros_like(image)
    line[position] = step
    left, right = function(image - line), function(image + line)
    return float((right - left) / (2 * line[position]))


# 4 不动的循环


def _by_adam(image, target, steps, rate):
    fitted = image.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([fitted], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (fitted - target).square().sum().backward()
        optimizer.step()
    return fitted.detach()


@exercise(
    "改错：一个不动的循环",
    level=3,
    probes=(
        lambda: (uniform((1, 3, 1, 2), 7), uniform((1, 3, 1, 2), 8), 5, 0.1),
        lambda: (uniform((1, 3, 2, 2), 9), 2 * uniform((1, 3, 2, 2), 10) - 0.5, 8, 0.05),
    ),
    answer="走完 steps 步之后的图像，与 image 同形状，不带计算图",
    idea="优化器记住的是创建时拿到的那个张量；之后任何产生新张量的运算都会让变量名指向别处。",
    where="打印优化器的 param_groups 里的张量，用 is 与循环里的变量比一比。",
    question="为什么把张量搬到另一个设备，也会犯同样的错？",
    properties=(
        (
            lambda out, image, target, *_: (out - target).norm() < (image - target).norm(),
            "走完之后离目标没有更近：图像动了吗，方向对吗？",
        ),
    ),
    mistakes={
        "replaced_leaf": (
            lambda image, *_: image.clone(),
            "图像一步没动：叶子张量被换掉了，优化器还拿着旧的那个。",
        ),
        "accumulated": (
            [
                ("    for", "    total = 0\n    for"),
                (
                    "        result =",
                    "        total = total + 2 * (result - target)\n        result =",
                ),
                ("rate * 2 * (result - target)", "rate * total"),
            ],
            "步子越迈越大：每一步之前要把旧的梯度清零。",
            "backward() 把新的梯度加在 .grad 里原有的上面，一步比一步大。",
            "看 torch.optim.Optimizer.zero_grad 的文档：它放在 backward() 之前。",
        ),
        "ascends": (("- rate", "+ rate"), "离目标越来越远：方向反了。"),
        "mean": (
            ("rate * 2", "rate * 2 / image.numel()"),
            "步子太小：损失约定为各像素之和，不取平均。",
        ),
        "one_step_short": (("range(steps)", "range(steps - 1)"), "少走了一步：数一数更新了几次。"),
        "gradient_once": (
            ("(result - target)", "(image - target)"),
            "每一步用的都是起点的梯度：损失要在循环里用现在的图像重新算。",
        ),
        "adam": (_by_adam, "换了优化器：Adam 的步子与梯度大小无关，题目要普通的梯度下降。"),
        "half": (("rate * 2", "rate"), "步子小了一半：平方求导之后有一个 2。"),
    },
)
def fitted_image(image, target, steps, rate):
    result = image
    for _ in range(steps):
        result = result - rate * 2 * (result - target)
    return result
