"""“第一个卷积层”一章的练习：拼图、内积、最佳图像块、方向调谐。"""

import math
from functools import partial

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import in_range, noise, uniform
from cnnlab.check.watching import called_functions

# 1 把卷积核拼成一张图


def _some_kernels(count: int, size: int, seed: int):
    weight = noise((count, 3, size, size), seed)
    weight[1] = 0.7  # 一个常数核
    weight[2] *= 5
    return weight


@exercise(
    "把卷积核拼成一张图",
    level=2,
    probes=(
        lambda: (_some_kernels(5, 4, 1), 3),
        lambda: (_some_kernels(6, 3, 2), 2),
        lambda: (noise((1, 3, 2, 2), 3), 2),
    ),
    answer="一张 (3, H, W) 的图：各核自己拉伸到 [0, 1]，按行排开，相邻的核隔 1 个白色像素",
    idea="先想清楚每一格的左上角在哪里：一格的宽度是核的边长加一个像素的缝，最后一格后面没有缝。",
    where="看本章“把权重当像素”一节；取最小、最大值用 Tensor.amin 与 Tensor.amax。",
    question="如果改成所有核共用一把尺，哪些核会变成一片灰？",
    mistakes={
        "one_scale": (
            ("kernel.min(), kernel.max()", "weight.min(), weight.max()"),
            "所有核用了同一个最小值和最大值：这里要每个核各自归一化。",
        ),
        "zero_division": (
            (" if high > low else torch.full_like(kernel, 0.5)", ""),
            "常数核的最大值等于最小值，除出了 NaN：这样的核画成中灰。",
        ),
        "flat_black": (("0.5", "0.0"), "常数核画成了黑色：没有起伏的核应当是中灰。"),
        "signed": (
            (
                "(kernel - low) / (high - low) if high > low else torch.full_like(kernel, 0.5)",
                "0.5 + 0.5 * kernel / kernel.abs().max()",
            ),
            "你除的是最大绝对值，那是本章 kernel_tiles 的画法；这里要最小值为 0、最大值为 1。",
        ),
        "no_gap": (
            [("size + 1", "size"), ("* cell - 1", "* cell")],
            "核与核贴在一起了：隔 1 个白色像素，边界才看得见。",
        ),
        "column_first": (
            ("divmod(index, columns)", "reversed(divmod(index, rows))"),
            "排的次序是先上后下：要先左后右，满一行再换行。",
        ),
        "each_channel": (
            [
                (
                    "kernel.min(), kernel.max()",
                    "kernel.amin((1, 2), True), kernel.amax((1, 2), True)",
                ),
                ("high > low", "(high > low).all()"),
            ],
            "一个核的三个通道各用了一把尺：颜色会变，三个通道要共用一个最小值和最大值。",
        ),
        "only_clamped": (
            (
                "(kernel - low) / (high - low) if high > low else torch.full_like(kernel, 0.5)",
                "kernel.clamp(0, 1)",
            ),
            "只截断到了 [0, 1]，没有拉伸：负的权重全成了黑。",
        ),
        "black_gap": (("new_ones", "new_zeros"), "缝和空着的格是黑的：题目要白色。"),
        "zero_is_grey": (
            ("(kernel - low) / (high - low)", "0.5 + kernel / kernel.abs().max() / 2"),
            "把 0 固定成了中灰：这里每个核从自己的最小值拉到最大值。",
        ),
    },
)
def kernel_sheet(weight, columns):
    count, _, size, _ = weight.shape
    rows, cell = -(-count // columns), size + 1
    sheet = weight.new_ones(3, rows * cell - 1, columns * cell - 1)
    for index, kernel in enumerate(weight):
        low, high = kernel.min(), kernel.max()
        tile = (kernel - low) / (high - low) if high > low else torch.full_like(kernel, 0.5)
        row, column = divmod(index, columns)
        top, left = row * cell, column * cell
        sheet[:, top : top + size, left : left + size] = tile
    return sheet


# 2 卷积就是内积


def _library(image, weight, bias, stride, padding, mode="constant"):
    padded = functional.pad(image, (padding,) * 4, mode=mode)
    return functional.conv2d(padded, weight, bias, stride)


def _misplaced(*arguments):
    output = _library(*arguments)
    return output.mT.reshape(output.shape)


def _without_the_library(call, *arguments):
    return not any(name.startswith("conv") for name in called_functions(lambda: call(*arguments)))


def my_convolution(image, weight, bias, stride, padding):
    size = weight.shape[-1]
    columns = functional.unfold(image, size, padding=padding, stride=stride)
    result = weight.flatten(1) @ columns + bias[:, None]
    height = (image.shape[2] + 2 * padding - size) // stride + 1
    return result.unflatten(2, (height, -1))


@exercise(
    "卷积就是内积",
    level=2,
    ours=my_convolution,
    probes=(
        lambda: (uniform((2, 3, 8, 6), 3), noise((4, 3, 3, 3), 4), noise((4,), 5), 2, 1),
        lambda: (uniform((1, 3, 5, 9), 6), noise((2, 3, 2, 2), 7), noise((2,), 8), 1, 0),
        lambda: (uniform((1, 2, 4, 5), 9), noise((3, 2, 3, 3), 10), noise((3,), 11), 1, 1),
    ),
    answer="(N, O, h, w)：每个位置上图像块与每个核的内积，加偏置",
    idea="先把每个位置的图像块拉成一列，再做一次矩阵乘法：行是核，列是位置。",
    where="看 torch.nn.functional.unfold 的文档，注意它返回的形状里哪一维是位置。",
    question="把核左右上下都翻过来再算，得到的才是数学里的卷积。网络为什么不在乎这个差别？",
    allow=("random",),
    laws=((_without_the_library, "调用了现成的卷积：这道题要用 unfold 和矩阵乘法自己做。"),),
    mistakes={
        "no_bias": ((" + bias[:, None]", ""), "少了偏置：每个输出通道还要加一个常数。"),
        "flipped": (
            ("weight.flatten(1)", "weight.flip(2, 3).flatten(1)"),
            "你翻转了核：深度学习里的卷积是互相关，不翻转。",
        ),
        "transposed": (
            ("weight.flatten(1)", "weight.transpose(2, 3).flatten(1)"),
            "核的行和列对调了：拉平核与拉平图像块要用同一个次序。",
        ),
        "folded_wrong": (
            _misplaced,
            "位置排错了：unfold 的列按先行后列的次序编号，还原成图时行和列别对调。",
        ),
        "library": (functional.conv2d,),
        "bias_summed": (
            ("bias[:, None]", "bias.sum()"),
            "偏置加错了维：每个输出通道只加它自己的那一个数。",
        ),
        "replicated": (
            partial(_library, mode="replicate"),
            "图外面填的是边上的像素：卷积的填充是补零。",
        ),
    },
)
def convolution(image, weight, bias, stride, padding):
    padded, size = functional.pad(image, (padding,) * 4), weight.shape[-1]
    height, width = ((side - size) // stride + 1 for side in padded.shape[-2:])
    output = torch.zeros(len(image), len(weight), height, width, dtype=image.dtype)
    for i in range(height):
        for j in range(width):
            top, left = i * stride, j * stride
            patch = padded[:, None, :, top : top + size, left : left + size]
            output[:, :, i, j] = (patch * weight).sum((2, 3, 4)) + bias
    return output


# 3 最合胃口的图像块


def _pair(first, second):
    return torch.stack((first, second))


def _unit(weight):
    return weight / weight.norm()


def _stacked(patches, weight):
    return isinstance(patches, torch.Tensor) and (
        (patches.shape, patches.dtype) == ((2, *weight.shape), weight.dtype)
    )


def _range_ok(patches, weight):
    return in_range(patches[1])


def _first_is_unit(patches, weight):
    return abs(float(patches[0].norm()) - 1) < 1e-6


def _first_is_best(patches, weight):
    return float((patches[0] * weight).sum()) > (1 - 1e-6) * float(weight.norm())


def _second_is_best(patches, weight):
    return float((patches[1] * weight).sum()) > (1 - 1e-6) * float(weight.clamp(min=0).sum())


@exercise(
    "最合胃口的图像块",
    level=3,
    open_ended=True,
    probes=(lambda: (noise((3, 3, 3), 9),), lambda: (noise((3, 5, 5), 10),)),
    answer="(2, 3, k, k)：第一块是范数为 1 的图像块里内积最大的，第二块是像素都在 [0, 1] 的图像块里内积最大的",
    idea="范数固定时是柯西–施瓦茨不等式；每个像素的范围固定时，各像素互不相干，一个一个地选。",
    where="看本章“响应大，是因为像吗”一节的公式。",
    question="第二块和第一块长得像吗？这对“把卷积核画成图就知道它在找什么”意味着什么？",
    properties=(
        (
            _stacked,
            "返回值要叠成一个浮点张量 (2, 3, k, k)：用 torch.stack，布尔的先换成与 weight 一样的类型。",
        ),
        (
            _first_is_unit,
            "第一块的范数不是 1：题目固定了范数，否则把图像块放大一倍，内积也大一倍。",
        ),
        (_first_is_best, "第一块还不是最好的：范数固定时，方向和谁一致内积最大？"),
        (_range_ok, "第二块的像素超出了 [0, 1]：像素不能为负，也不能比白更白。"),
        (_second_is_best, "第二块还不是最好的：每个像素只看自己那个权重的正负。"),
    ),
    mistakes={
        "weight_twice": (
            lambda w: _pair(_unit(w), _unit(w)),
            "两块用了同一个答案：第二块的像素不能为负，每个像素只看权重的符号。",
        ),
        "clamped": (
            lambda w: _pair(_unit(w), _unit(w).clamp(0, 1)),
            "只把负的像素截成了 0：正权重的那些像素还可以再亮。",
        ),
        "bright": (
            lambda w: _pair(_unit(w), torch.ones_like(w)),
            "第二块是一块白：核的和接近 0 时，常数图的响应有多大？",
        ),
        "stretched": (
            lambda w: _pair(_unit(w), (w - w.min()) / (w.max() - w.min())),
            "第二块是把核线性拉伸到 [0, 1]：那是画图的办法，不是内积最大的办法。",
        ),
        "not_unit": (lambda w: _pair(w.clone(), (w > 0).double()),),
        "swapped": (
            lambda w: torch.stack([(w > 0).to(w.dtype), w / w.norm()]),
            "两块的次序反了：第一块是范数为 1 的。",
        ),
    },
)
def best_patch(weight): ...


# 4 方向调谐


def _rotates(call, weight, angles, period):
    turned = call(weight.rot90(-1, (2, 3)), angles, period)
    return torch.allclose(
        turned, call(weight, angles, period).roll(angles // 2, 1), rtol=0.05, atol=0.01
    )


@exercise(
    "方向调谐曲线",
    level=4,
    probes=(lambda: (noise((6, 3, 3, 3), 11), 8, 4.0), lambda: (noise((3, 3, 5, 5), 12), 12, 5.0)),
    answer="(O, angles)：第 a 列是各核对方向为 aπ/angles 的光栅 cos(2π(u cos θ + v sin θ)/period + 相位) 的内积，对相位取最大",
    idea="同一个方向的光栅可以左右平移：相位不对时，再合适的核也可能一点不响应。余弦和正弦两个相位就够拼出任意相位。",
    where="看本章“用光栅量方向”一节；三个通道看到的是同一张灰色光栅。",
    question="把核转 90°，曲线会怎样？用你的函数验证。",
    tolerance=1e-4,
    laws=((_rotates, "把核转 90°，曲线应当正好平移一半，你的不是。"),),
    mistakes={
        "one_phase": (
            ("torch.hypot(*waves)", "waves[0]"),
            "只用了一个相位：相位不对时响应为零，对相位取最大。",
        ),
        "absolute": (
            ("torch.hypot(*waves)", "waves[0].abs()"),
            "一个相位取绝对值还是一个相位：隔四分之一个周期的那张光栅也要看。",
        ),
        "full_turn": (
            ("math.pi * step / angles", "2 * math.pi * step / angles"),
            "方向走了一整圈：光栅转 180° 还是它自己，走半圈就够。",
        ),
        "added": (
            ("torch.hypot(*waves)", "sum(map(torch.abs, waves))"),
            "两个相位的响应直接相加了：它们像直角三角形的两条边那样合成。",
        ),
        "swapped": (
            ("angle = math.pi * step / angles", "angle = math.pi / 2 - math.pi * step / angles"),
            "u 和 v 对调了：u 是列号，v 是行号。",
        ),
        "no_turn": (
            ("2 * math.pi * along", "along"),
            "余弦里少了 2π：隔一个 period，相位要走完一整圈。",
        ),
        "one_channel": (
            ("weight.sum(1)", "weight[:, 0]"),
            "只看了第一个通道：三个通道的核都与光栅做内积，再加起来。",
        ),
        "each_channel": (
            lambda w, *a: sum(tuning.oracle(w[:, [c]], *a) for c in range(3)),
            "每个通道各取了自己的最佳相位：三个通道看到的是同一张光栅，先相加再取最大。",
        ),
        "ends_twice": (
            ("step / angles", "step / (angles - 1)"),
            "最后一个方向走到了 π，与第一个相同：方向是 aπ/angles，不含 π。",
        ),
        "degrees": (
            ("math.pi * step / angles", "180 * step / angles"),
            "角度用了度：cos 和 sin 要弧度，半圈是 π。",
        ),
    },
)
def tuning(weight, angles, period):
    grey, places, curves = weight.sum(1), torch.arange(weight.shape[-1]).double(), []
    for step in range(angles):
        angle = math.pi * step / angles
        along = places[None, :] * math.cos(angle) + places[:, None] * math.sin(angle)
        phase = 2 * math.pi * along / period
        waves = [(grey * wave).sum((1, 2)) for wave in (phase.cos(), phase.sin())]
        curves.append(torch.hypot(*waves))
    return torch.stack(curves, 1)
