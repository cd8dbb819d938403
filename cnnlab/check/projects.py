"""小项目的里程碑：check.milestone("dream-1", my_step)。

与练习同一套检查，只是不进各章的进度；多数里程碑看性质，或与检查里当场算的底线比大小。
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import torch
from torch.nn import functional

from cnnlab.check.core import Exercise, Report, stub_of
from cnnlab.check.fixtures import TinyNet, in_range, noise, uniform
from cnnlab.check.gradients import FLOWING, central_differences, class_scores, pixel_gradient
from cnnlab.check.ranks import pearson

_milestones: dict[str, Exercise] = {}


def _step(id: str, title: str, answer: str, idea: str, probes: tuple, **parts) -> Callable:
    """装饰一个函数，得到一个里程碑：函数体是参考实现；open_ended 为真的只看性质。"""
    slug, open_ended = id.rsplit("-", 1)[0], parts.pop("open_ended", False)

    def made(reference: Callable) -> Callable:
        _milestones[id] = Exercise(
            id=id,
            name="milestone",
            title=title,
            level=2,
            stub=stub_of(reference, reference.__name__),
            probes=probes,
            answer=answer,
            idea=idea,
            where=f"看小项目 {slug} 里这一步的说明。",
            question="换一张照片，结果还一样吗？",
            oracle=None if open_ended else reference,
            **parts,
        )
        return reference

    return made


def milestone(id: str, answer, hint: int = 1) -> Report:
    """检查一个小项目的一步；编号不存在时列出有的。"""
    if id not in _milestones:
        raise ValueError(f"没有里程碑 {id!r}；有：{'、'.join(_milestones)}")
    step = _milestones[id]
    report = step.render(step.examine(answer), hint)
    usage = f'check.milestone("{id}", '
    lines = [line.replace("check.milestone(", usage) for line in report.lines]
    lines = [line.replace("(solutions/", "(../solutions/projects/") for line in lines]
    return replace(report, lines=tuple(lines))


# 九宫格


@_step(
    "nine_patches-1",
    "一个位置看到的框",
    "四个整数 (上, 左, 下, 右)，截在 0 到 side 之间",
    "左上角是 start + 位置 × step，右下角再加 size。",
    (lambda: (2, 3, 11, 4, -5, 40), lambda: (0, 9, 11, 4, -5, 40), lambda: (5, 5, 7, 2, 0, 60)),
)
def my_box(row, column, size, step, start, side):
    corners = [start + place * step for place in (row, column)]
    ends = [corner + size for corner in corners]
    return *(max(corner, 0) for corner in corners), *(min(end, side) for end in ends)


@_step(
    "nine_patches-2",
    "逐批的前 k 名",
    "(k, 3)：图像、行、列，从大到小",
    "榜加上新的一批再取前 k；图像的编号从头数。",
    (
        lambda: (list(noise((9, 4, 5), 1).split([3, 2, 4])), 6),
        lambda: (list(noise((4, 3, 3), 2).split([1, 3])), 9),
    ),
)
def my_best(batches, k):
    everything = torch.cat(list(batches))
    order = everything.flatten().argsort(descending=True, stable=True)[:k]
    return torch.stack(torch.unravel_index(order, everything.shape), 1)


# 我的 t-SNE


def _divergence(p, points):
    q = my_closeness(points) + torch.eye(len(points), dtype=points.dtype)
    return (torch.special.xlogy(p, p) - p * q.log()).sum()


def _affinities(count, seed):
    p = uniform((count, count), seed).fill_diagonal_(0)
    return (p + p.T) / (p + p.T).sum()


@_step(
    "my_tsne-1",
    "平面上的邻居概率",
    "(N, N)：1/(1+d²) 除以全部之和，对角为 0",
    "先求两两距离的平方，再取倒数；对角在求和之前就去掉。",
    (lambda: (noise((6, 2), 1),), lambda: (3 * noise((4, 2), 2),)),
)
def my_closeness(points):
    weight = 1 / (1 + torch.cdist(points, points).square())
    return (weight - torch.diag(weight.diagonal())) / (weight.sum() - len(points))


@_step(
    "my_tsne-2",
    "KL 散度的梯度",
    "(N, 2)：KL(P‖Q) 对每个点的导数",
    "4 Σⱼ (p − q) (yᵢ − yⱼ) / (1 + d²)；也可以让自动求导来做。",
    (lambda: (_affinities(6, 3), noise((6, 2), 4)), lambda: (_affinities(5, 5), noise((5, 2), 6))),
    tolerance=1e-4,
)
def my_slope(p, points):
    return central_differences(lambda moved: _divergence(p, moved), points)


# 看穿一张照片


def _many_maps(made, image, target, model):
    return (
        isinstance(made, dict)
        and len(made) >= 3
        and all(
            one.shape == image.shape[2:] and bool(one.isfinite().all()) for one in made.values()
        )
    )


@_step(
    "see_through-1",
    "至少三种归因图",
    "{方法名: (H, W) 的图}，至少三种",
    "梯度的绝对值、带符号的梯度、梯度乘输入、遮挡……任选三种。",
    (lambda: (uniform((1, 3, 8, 7), 1), torch.tensor([2]), TinyNet()),),
    open_ended=True,
    properties=(
        (_many_maps, "要一个字典，至少三种方法，每张图的形状是 (H, W)，全是有限的数。"),
        (
            lambda made, *_: all(
                abs(pearson(*two)) < 0.999 for two in combinations(made.values(), 2)
            ),
            "有两种方法的图几乎一模一样：换一种真正不同的。",
        ),
    ),
)
def my_maps(image, target, model): ...


@_step(
    "see_through-2",
    "与对照比一比",
    "{方法名: 数}：每种方法的图与它的对照图的相关系数",
    "展平，各减平均，内积除以两个范数。",
    (
        lambda: (
            {"甲": noise((4, 5), 1), "乙": noise((4, 5), 2)},
            {"甲": noise((4, 5), 3), "乙": noise((4, 5), 2) + 1},
        ),
        lambda: ({"丙": noise((3, 3), 4)}, {"丙": -noise((3, 3), 4)}),
    ),
)
def my_likeness(maps, controls):
    return {name: pearson(maps[name], controls[name]) for name in maps}


# 合成一个类


def _climbs(call, image, target, model, steps):
    made = call(image, target, model, steps)
    straight = image
    for _ in range(steps):  # 底线：不抖动、不模糊、步子很小的上升
        slope = pixel_gradient(straight, target, model)
        straight = (straight + 0.002 * slope.sign()).clamp(0, 1)
    before, after, low = (class_scores(model, one, target) for one in (image, made, straight))
    return bool((after > before).all() and (after > low).all())


@_step(
    "class_image-1",
    "高斯模糊",
    "与 image 同形状；窗口左右各 3σ 个像素（四舍五入，至少 1），边上重复最外的像素",
    "先一行一行地模糊，再一列一列：二维高斯是两个一维的乘积。",
    (lambda: (uniform((2, 3, 9, 8), 1), 0.7), lambda: (uniform((1, 3, 12, 12), 2), 1.5)),
)
def my_blur(image, sigma):
    half = max(1, round(3 * sigma))
    places = torch.arange(-half, half + 1, dtype=image.dtype)
    line = torch.exp(-places.square() / (2 * sigma**2))
    line = (line / line.sum()).expand(image.shape[1], 1, -1)
    padded = functional.pad(image, (half,) * 4, mode="replicate")
    rows = functional.conv2d(padded, line[:, :, :, None], groups=image.shape[1])
    return functional.conv2d(rows, line[:, :, None], groups=image.shape[1])


@_step(
    "class_image-2",
    "爬坡的循环",
    "(N, 3, H, W)，取值在 [0, 1]，target 类的得分比出发时高，也比一条很慢的底线高",
    "抖动、求梯度、归一化、走一步、截断；每隔几步模糊一次。",
    (lambda: (uniform((1, 3, 12, 12), 3), torch.tensor([3]), TinyNet(seed=9), 20),),
    open_ended=True,
    properties=(
        (lambda out, *_: in_range(out), "像素跑出了 [0, 1]。"),
        (lambda out, image, *_: out.shape == image.shape, "大小变了：与出发的图同形状。"),
    ),
    laws=((_climbs, "得分没有比出发时高，或者还不如步子很小的直线上升。"),),
    allow=("random",),
)
def my_class_image(image, target, model, steps): ...


# 梦


def _energy(model, image):
    return model(image).square().sum() / 2


def _deeper(call, image, model, sizes, steps):
    return bool(_energy(model, call(image, model, sizes, steps)) > _energy(model, image))


def _nothing(call, image, model, sizes, steps):
    return torch.allclose(call(image, model, sizes, 0), image, atol=1e-9)


@_step(
    "dream-1",
    "一步梦",
    "与 image 同形状、取值 [0, 1]，激活的平方和变大，图不是原样",
    "½‖激活‖² 的梯度，除以它绝对值的平均，走一小步。",
    (lambda: (uniform((1, 3, 8, 8), 1), TinyNet()), lambda: (uniform((1, 3, 7, 9), 2), TinyNet(3))),
    open_ended=True,
    properties=(
        (lambda out, *_: in_range(out), "像素跑出了 [0, 1]。"),
        (
            lambda out, image, model: _energy(model, out) > _energy(model, image),
            "激活没有变大：沿着梯度走，步子别太大。",
        ),
    ),
)
def my_step(image, model): ...


@_step(
    "dream-2",
    "几个尺度的梦",
    "与 image 同形状；每个尺度走 steps 步，只把增量带下去",
    "走 0 步时应当一个像素不差地得到原图。",
    (lambda: (uniform((1, 3, 12, 10), 3), TinyNet(), [(6, 5), (9, 8), (12, 10)], 3),),
    open_ended=True,
    laws=(
        (_nothing, "走 0 步时没有得到原图：带下去的应当是增量，不是整张图。"),
        (_deeper, "做完梦，激活没有变大。"),
    ),
)
def my_dream(image, model, sizes, steps): ...


# 纹理与风格


def _gram(features):
    rows = features.flatten(2)
    return rows @ rows.mT / features[0].numel()


def _style_probe(seed, weight):
    style = noise((1, 3, 4, 4), seed + 2)
    return noise((1, 3, 4, 5), seed), noise((1, 3, 4, 5), seed + 1), _gram(style), weight


@_step(
    "texture_and_style-1",
    "总损失",
    "‖F−P‖²/‖P‖² 加 weight 乘 ‖G−A‖²/‖A‖²，G 是 features 的 Gram 矩阵（除以 C·H·W）",
    "weight 为 0 时只剩内容；features 等于 content 时只剩风格。",
    (
        lambda: _style_probe(1, 2.0),
        lambda: _style_probe(5, 0.0),
        lambda: (
            noise((1, 3, 4, 4), 9),
            noise((1, 3, 4, 4), 9),
            _gram(noise((1, 3, 2, 2), 8)),
            3.0,
        ),
    ),
    laws=(FLOWING,),
)
def my_loss(features, content, grams, weight):
    style = (_gram(features) - grams).square().sum() / grams.square().sum()
    return (features - content).square().sum() / content.square().sum() + weight * style


def _falls(call, image, loss, steps):
    made = call(image, loss, steps)
    few = call(image, loss, max(1, steps // 4))
    return bool(loss(made) < 0.5 * loss(image) and loss(made) <= loss(few))


def _toward(seed):
    goal = 0.2 + 0.6 * uniform((1, 3, 6, 6), seed)
    return lambda image: (image - goal).square().sum()


@_step(
    "texture_and_style-2",
    "下降的循环",
    "走 steps 步之后的图，取值在 [0, 1]，损失降到出发时的一半以下",
    "loss 是一个函数，收图，给一个数；优化器任选，截断在每一步之后。",
    (lambda: (uniform((1, 3, 6, 6), 1), _toward(2), 60),),
    open_ended=True,
    properties=((lambda out, *_: in_range(out), "像素跑出了 [0, 1]。"),),
    laws=((_falls, "损失没有降到一半以下，或者多走几步反而更高。"),),
)
def my_descent(image, loss, steps): ...


# 快速风格


def _any_size(call, channels):
    return all(
        call(channels)(torch.rand(1, 3, *size)).shape == (1, 3, *size)
        for size in ((32, 32), (40, 28))
    )


def _bounded(call, channels):
    made = call(channels)(torch.rand(2, 3, 24, 24))
    return in_range(made)


def _learns(call, *_):
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    pictures, goal = torch.rand(8, 3, 8, 8), torch.rand(1, 3, 1, 1)

    def loss(made, image):
        return (made - goal).square().mean()

    before = float(loss(network(pictures), pictures).detach())
    call(network, pictures, loss, 40)
    return float(loss(network(pictures), pictures).detach()) < 0.7 * before


@_step(
    "fast_style-1",
    "一个小网络",
    "一个 nn.Module，收任意大小的图，给同样大小的图，取值在 [0, 1]",
    "几层卷积加实例归一化，最后一层用 sigmoid；缩小几倍，就放大几倍。",
    (lambda: (8,),),
    open_ended=True,
    properties=(
        (lambda out, channels: isinstance(out, torch.nn.Module), "要返回一个 nn.Module。"),
    ),
    laws=(
        (_any_size, "输出与输入不一样大：缩小了几倍，就要放大几倍。"),
        (_bounded, "输出跑出了 [0, 1]：最后一层用 sigmoid。"),
    ),
    allow=("random",),
)
def my_network(channels): ...


@_step(
    "fast_style-2",
    "训练的循环",
    "就地训练 network，返回每一步的损失（列表，长为 steps）",
    "每一步取几张图，求 loss(画出来的, 原图)，反向，更新。",
    (
        lambda: (
            torch.nn.Conv2d(3, 3, 1),
            torch.rand(6, 3, 6, 6, generator=torch.Generator().manual_seed(1)),
            lambda made, image: (made - 0.5).square().mean(),
            12,
        ),
    ),
    open_ended=True,
    properties=(
        (lambda out, network, images, loss, steps: len(out) == steps, "每一步记一个损失。"),
    ),
    laws=((_learns, "训练之后损失没有降到七成以下：更新的是 network 的参数吗？"),),
    allow=("random", "parameters", "parameter_grad", "mode"),
)
def my_training(network, images, loss, steps): ...
