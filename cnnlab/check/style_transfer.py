"""“图像神经风格迁移”一章的练习：内容损失、混合风格、被改写的特征、两种混法的差。"""

import torch
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise, uniform
from cnnlab.check.gradients import BROKEN, FLOWING
from cnnlab.check.variants import fed

# 1 内容损失


def my_content_loss(features, target, weight):
    distance = (features - target).square().flatten(1).sum(1)
    size = target.square().flatten(1).sum(1)
    return weight * (distance / size).sum()


@exercise(
    "内容损失",
    level=1,
    ours=my_content_loss,
    probes=(
        lambda: (
            noise((2, 3, 4, 5), 1),
            noise((2, 3, 4, 5), 2) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1),
            0.7,
        ),
        lambda: (
            noise((3, 2, 5, 3), 3),
            noise((3, 2, 5, 3), 4) * torch.tensor([2.0, 1.0, 0.5]).view(3, 1, 1, 1),
            2.0,
        ),
        lambda: (noise((1, 2, 1, 3), 5), noise((1, 2, 1, 3), 6), 1.5),
    ),
    answer="一个标量张量：各图的相对平方距离之和，乘 weight",
    idea="除以目标自己的平方和，距离才没有单位；换一层、换一张图，同一个权重的意思不变。",
    where="看 Tensor.square 与 Tensor.sum 的 dim 参数。",
    question="features 全为 0 时，每张图贡献多少？这与层有关吗？",
    laws=(FLOWING,),
    mistakes={
        "absolute": ((" / size", ""), "没有除以目标的平方和：换一层，权重的意思就变了。"),
        "mean": (
            lambda f, t, w: w * (f - t).square().mean(),
            "取了平均：这里约定每张图除以目标的平方和，再相加。",
        ),
        "batch": (
            ("(distance / size).sum()", "distance.sum() / size.sum()"),
            "整批共用了一个分母：每张图除以自己的目标。",
        ),
        "weight_squared": (fed(my_content_loss, weight=lambda w: w * w), "权重乘了两次。"),
        "root": (
            ("distance / size", "distance.sqrt() / size.sqrt()"),
            "开了根号：这里要平方距离。",
        ),
        "batch_mean": (
            ("(distance / size).sum()", "(distance / size).mean()"),
            "跨图取了平均：题目要相加。",
        ),
        "by_features": (("size = target", "size = features"), "除的是正在变的那一个：分母是目标。"),
        "absolute_gap": ((".square()", ".abs()"), "用的是绝对值：题目要平方距离与平方和。"),
        "norm_once": (("/ size", "/ size.sqrt()"), "分母没有平方：除以目标的平方和。"),
        "half": (fed(my_content_loss, weight=lambda w: w / 2), "多了一个 ½：题目没有它。"),
        "no_weight": (fed(my_content_loss, weight=lambda _: 1.0), "没有乘 weight。"),
        "each_channel": (
            (".flatten(1).sum(1)", ".flatten(2).sum(2)"),
            "每个通道各除了自己的平方和：一张图一个分母。",
        ),
        "pointwise": ((".flatten(1).sum(1)", ""), "逐个数相除了：先各自求平方和，再相除。"),
        "detached": (fed(my_content_loss, features=lambda f: f.detach()),),
    },
)
def content_loss(features, target, weight):
    total = torch.zeros((), dtype=features.dtype)
    for one, goal in zip(features, target, strict=True):
        up, down = 0.0, 0.0
        for value, wanted in zip(one.flatten().tolist(), goal.flatten().tolist(), strict=True):
            up, down = up + (value - wanted) ** 2, down + wanted**2
        total = total + weight * up / down
    return total


# 2 改错：被改写的特征


def _has_negatives(output, image, first, second):
    return (output[0] < 0).any()


def _feature_flow(call, image, first, second):
    leaf = image.detach().clone().requires_grad_()
    made = list(call(leaf, first, second))
    return len(made) == 2 and all(part.requires_grad for part in made)


@exercise(
    "改错：全是非负的特征",
    level=2,
    probes=(
        lambda: (uniform((2, 3, 8, 7), 7), noise((4, 3, 3, 3), 8), noise((5, 4, 3, 3), 9)),
        lambda: (noise((1, 3, 7, 9), 10), noise((3, 3, 3, 3), 11), noise((2, 3, 3, 3), 12)),
    ),
    answer="两个张量的列表：两层卷积在 ReLU 之前的输出",
    idea="原地的 ReLU 会改写它的输入；列表里存的是同一块内存，也就跟着变了。",
    where="看本章“特征取在哪里”一段，以及 Tensor.clone 的文档。",
    question="最后一层的特征为什么没有被改写？",
    properties=(
        (
            _has_negatives,
            "第一层的特征全是非负的：它是在 ReLU 之前取的，本应有负值，被后来的一步改写了。",
            "存进列表的与传给下一步的是同一块内存。",
            "在下一层动手之前复制一份。",
        ),
    ),
    laws=((_feature_flow, *BROKEN),),
    mistakes={
        "aliased": (("one.relu()", "one.relu_()"),),
        "no_relu": (("one.relu()", "one"), "第二层的输入没有经过 ReLU：改的是存法，不是网络。"),
        "rectified_second": (("second)]", "second).relu()]"), "第二层也要 ReLU 之前的输出。"),
        "kept_rectified": (
            (
                "[one, functional.conv2d(one.relu(), second)]",
                "[one.relu(), functional.conv2d(one.relu(), second).relu()]",
            ),
            "两层都取在 ReLU 之后了。",
        ),
        "reversed": (("second)]", "second)][::-1]"), "两层的次序反了：先第一层。"),
        "detached": (lambda *a: [part.detach() for part in features_before_relu.oracle(*a)],),
        "absolute": (
            ("one.relu()", "one.abs()"),
            "第二层的输入取了绝对值：中间是 ReLU，负的清零。",
        ),
    },
)
def features_before_relu(image, first, second):
    one = functional.conv2d(image, first)
    return [one, functional.conv2d(one.relu(), second)]


# 3 混合几种风格


@exercise(
    "混合几种风格",
    level=1,
    probes=(
        lambda: (noise((3, 4, 4), 5), torch.tensor([2.0, 1.0, 5.0], dtype=torch.float64)),
        lambda: (noise((2, 3, 3), 6), torch.tensor([0.3, 0.9], dtype=torch.float64)),
        lambda: (noise((1, 2, 2), 7), torch.tensor([4.0], dtype=torch.float64)),
    ),
    answer="(C, C)：按权重混合的目标 Gram 矩阵，权重先归一到和为 1",
    idea="Gram 矩阵是二阶矩，按比例混合两份样本的二阶矩，就是混合之后的二阶矩；所以权重的和应当是 1。",
    where="权重各除以它们的和，再对第 0 维加权相加；torch.einsum 或广播都行。",
    question="协方差能不能也这样混合？差在哪一项？",
    laws=(FLOWING,),
    mistakes={
        "raw": ((" / weights.sum()", ""), "权重没有归一：和不为 1 时，目标的强弱也跟着变了。"),
        "equal": (lambda g, w: g.mean(0), "权重没有用上：每种风格占了一样多。"),
        "softmax": (
            ("weights / weights.sum()", "weights.softmax(0)"),
            "用 softmax 归一：权重的比例变了，这里只除以它们的和。",
        ),
        "largest": ((".sum()", ".max()"), "除的是最大的权重：和还不是 1。"),
        "mean": ((", grams)", ", grams) / len(grams)"), "多除了风格的个数：权重的和已经是 1。"),
        "squares": (
            ("weights / weights.sum()", "weights.square() / weights.square().sum()"),
            "权重先平方了：只除以它们的和。",
        ),
        "unit_length": ((".sum()", ".norm()"), "除的是权重的长度：要除以它们的和。"),
        "strongest": (
            lambda g, w: g[w.argmax()],
            "只留了权重最大的那一种：每一种都要按比例算进去。",
        ),
        "reversed": (
            ("weights / ", "weights.flip(0) / "),
            "权重与风格对错了次序：第 k 个权重给第 k 种风格。",
        ),
    },
)
def mixed_gram(grams, weights):
    return torch.einsum("k,kij->ij", weights / weights.sum(), grams)


# 4 两种混法差多少


def _apart(first, second, share):
    return share * first.square().sum() + (1 - share) * second.square().sum()


@exercise(
    "两种混法差多少",
    level=1,
    probes=(
        lambda: (noise((4, 4), 13), noise((4, 4), 14), 0.3),
        lambda: (noise((3, 3), 15), noise((3, 3), 16), 0.8),
        lambda: (noise((1, 1), 17), noise((1, 1), 18), 1.0),
        lambda: (noise((2, 2), 19), noise((2, 2), 20), 0.5),
    ),
    answer="一个标量张量：混合损失减去混合 Gram 的损失，与图像的 Gram 无关",
    idea="把两个平方都展开，含有 G 的项恰好相消，剩下的只与两种风格有关；所以两种混法的梯度相同。",
    where="看本章“几种风格混在一起”一节；完全平方公式。",
    question="三种风格时，这个差是什么样子？",
    mistakes={
        "one_weight": ((" * (1 - share)", ""), "少了一个因子：两边的权重都要出现。"),
        "no_weight": (
            ("share * (1 - share) * ", ""),
            "权重没有出现：share 是 0 或 1 时，差应当是 0。",
        ),
        "squared": (("(1 - share)", "share"), "share 是 1 时差应当是 0，你的不是。"),
        "negative": (("return ", "return -"), "符号反了：分开算损失的那一种总是更大。"),
        "root": ((".square().sum()", ".norm()"), "两种风格的距离要平方。"),
        "one_minus": (("share * (", "("), "只乘了 1 − share：share 自己也要出现。"),
        "twice": (("return ", "return 2 * "), "大了一倍：把两个平方展开，再数一遍交叉项。"),
        "average": ((".sum()", ".mean()"), "取了平均：‖·‖² 是平方和。"),
        "absolute": ((".square()", ".abs()"), "用的是绝对值：‖·‖² 是平方和。"),
        "apart_only": (_apart, "只算了两份损失的混合：还要减去混合之后的那一份。"),
        "plus": (("1 - share", "1 + share"), "是 1 − share，不是 1 + share。"),
        "squared_weights": (
            ("share * (1 - share)", "(share**2 + (1 - share) ** 2)"),
            "用了两个权重的平方和：展开之后剩下的是它们的乘积。",
        ),
        "half": (("share * (1 - share)", "0.25"), "share 固定成了一半：权重由参数给。"),
        "difference_of_squares": (
            ("(first - second).square().sum()", "(first.square() - second.square()).sum()"),
            "两个平方和相减不等于差的平方和。",
        ),
    },
)
def mixing_gap(first, second, share):
    return share * (1 - share) * (first - second).square().sum()
