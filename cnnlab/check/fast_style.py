"""“快速风格迁移”一章的练习：实例归一化、镜像填充、训练一步、AdaIN、几张才划算。"""

import math

import torch
from torch import nn
from torch.nn import functional

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import noise, uniform
from cnnlab.check.gradients import FLOWING
from cnnlab.check.variants import fed, first

# 1 实例归一化


def _skewed(count: int, seed: int):
    activation = (
        noise((count, 3, 5, 6), seed)
        * torch.tensor([1.0, 4.0, 0.2], dtype=torch.float64)[:, None, None]
    )
    activation = activation + torch.arange(count, dtype=torch.float64)[:, None, None, None] * 2
    activation[0, 1] = 3.0  # 一个常数通道
    activation[0, 2] *= 0.02  # 起伏很小的通道，看得出 1e-5 加在哪里
    return activation


@exercise(
    "实例归一化",
    level=1,
    probes=(lambda: (_skewed(3, 1),), lambda: (_skewed(2, 4),), lambda: (_skewed(1, 6),)),
    answer="与 activation 同形状，每张图、每个通道的均值 0、标准差 1",
    idea="问自己：算这一个均值时，哪几个轴上的数该放在一起？每张图、每个通道各算各的。",
    where="看本章“想法”一节的公式；Tensor.mean 与 Tensor.var 都收 dim 与 keepdim。",
    question="一张图整体变亮一倍，实例归一化之后还看得出来吗？",
    laws=(FLOWING,),
    mistakes={
        "batch": (("(2, 3)", "(0, 2, 3)"), "统计量跨了图：整批共用一个均值，那是批归一化。"),
        "layer": (("(2, 3)", "(1, 2, 3)"), "统计量跨了通道：每个通道要有自己的均值和标准差。"),
        "no_epsilon": (
            (" + 1e-5", ""),
            "有个通道是常数，方差为 0，除出了 NaN：开方之前先加一个小量 1e-5。",
        ),
        "unbiased": (
            ("correction=0", "correction=1"),
            "方差除的是个数减一：归一化里用个数本身（correction=0）。",
        ),
        "outside": (
            ("(variance + 1e-5).sqrt()", "(variance.sqrt() + 1e-5)"),
            "小量加在了开方之外：先把 1e-5 加到方差上，再开方。",
        ),
        "variance": ((".sqrt()", ""), "除的是方差：要开方，除以标准差。"),
        "not_centred": (("(activation - mean)", "activation"), "没有减去均值。"),
        "only_centred": ((" / (variance + 1e-5).sqrt()", ""), "只减了均值：还要除以标准差。"),
        "other_epsilon": (("1e-5", "1e-8"), "小量不是 1e-5：起伏小的通道上看得出来。"),
        "raw_squares": (
            ("activation.var((2, 3), correction=0, ", "activation.square().mean((2, 3), "),
            "方差没有先减均值：平方的平均里还混着均值。",
        ),
        "late_mean": (
            (
                "(activation - mean) / (variance + 1e-5).sqrt()",
                "activation / (variance + 1e-5).sqrt() - mean",
            ),
            "先除再减：减的均值没有跟着除，先减均值再除。",
        ),
        "pixels": (("(2, 3)", "1"), "在通道之间算的统计量：要在位置之间算。"),
        "columns": (("(2, 3)", "2"), "统计量只跨了一列：每张图、每个通道，行和列一起算。"),
        "rows": (("(2, 3)", "3"), "统计量只跨了一行：每张图、每个通道，行和列一起算。"),
    },
)
def instance_norm(activation):
    mean = activation.mean((2, 3), keepdim=True)
    variance = activation.var((2, 3), correction=0, keepdim=True)
    return (activation - mean) / (variance + 1e-5).sqrt()


# 2 训练一步


def _toy(seed: int):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh(), nn.Conv2d(4, 3, 1)).double()
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh()).double()
    for index, parameter in enumerate([*network.parameters(), *model.parameters()]):
        parameter.data = 0.5 * noise(tuple(parameter.shape), seed + index)
    model.requires_grad_(False)
    image = uniform((2, 3, 5, 6), seed + 20)
    return network, image, model(uniform((2, 3, 5, 6), seed + 21)), model, 0.1


@exercise(
    "隔着损失网络训练一步",
    level=2,
    probes=(lambda: _toy(1), lambda: _toy(40)),
    answer="一个列表，依次是 network 各个参数走一步之后的值，不带计算图",
    idea="损失先经过 model，再经过 network，求导时从后往前各过一遍；但只有 network 的参数要走。",
    where="看本章“训练”一节；torch.autograd.grad 问哪些张量，就只求那些张量的导数。",
    question="model 的权重冻结了，为什么梯度还能穿过它？",
    mistakes={
        "no_grad": (
            ("model(network(image))", "model(network(image)).detach()"),
            "model 被包在 no_grad 里，梯度断了：权重冻结，但梯度要穿过去。",
        ),
        "ascent": (("value - rate", "value + rate"), "损失变大了：要沿梯度的反方向走。"),
        "pixels": (
            ("model(network(image)) - target", "network(image) - image"),
            "你比的是像素；损失在 model 的输出上量，与 target 比。",
        ),
        "in_place": (("(value - rate * slope).detach()", "value.data.sub_(rate * slope)"),),
        "summed": ((".mean()", ".sum()"), "损失求了和：题目要差的平方的平均。"),
        "gradients": (
            ("(value - rate * slope).detach()", "slope"),
            "返回的是梯度：要参数走一步之后的值。",
        ),
        "no_rate": (("rate * ", ""), "没有乘 rate。"),
        "half": (("rate * ", "rate / 2 * "), "步子小了一半：平方前面没有 ½。"),
        "unchanged": ((" - rate * slope", ""), "参数一步没动。"),
        "weights_only": (
            ("rate * slope", "rate * slope * (value.dim() > 1)"),
            "偏置没有动：network 的每个参数都要走一步。",
        ),
        "distance": ((".square().mean()", ".norm()"), "损失是差的范数：题目要差的平方的平均。"),
        "image_sum": (
            (".mean()", ".sum() / len(image)"),
            "每张图求了和，只在图之间平均：题目要对全部的数取平均。",
        ),
        "batch_sum": (
            (".mean()", ".mean() * len(image)"),
            "整批上求了和：题目要对全部的数取平均。",
        ),
        "moves_only": (
            ("(value - rate * slope).detach()", "-rate * slope"),
            "返回的是走了多少：要走完之后的值。",
        ),
        "unit_steps": (
            ("rate * slope", "rate * slope.sign()"),
            "步子与梯度的大小无关（像 Adam 的第一步）：题目要普通的梯度下降。",
        ),
    },
)
def training_step(network, image, target, model, rate):
    loss = (model(network(image)) - target).square().mean()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    pairs = zip(network.parameters(), gradients, strict=True)
    return [(value - rate * slope).detach() for value, slope in pairs]


# 3 画多少张才划算


class _World:
    """一只假钟：每件事走多少秒是定好的；第一次调用 fast 与 slow 另有准备时间。"""

    def __init__(self, train, load, fast, slow, warm):
        self.now, self.costs, self.warm = (
            100.0,
            (train, load, fast, slow),
            (0.0, 0.0, warm, warm / 8),
        )
        self.called, self.read = [0, 0, 0, 0], 0

    def doing(self, which):
        def act():
            self.now += self.costs[which] + (0 if self.called[which] else self.warm[which])
            self.called[which] += 1

        return act

    def arguments(self):
        return (*(self.doing(which) for which in range(4)), self.clock)

    def clock(self):
        self.read += 1
        return self.now


def _watched(call, *_):
    world = _World(50.0, 8.0, 1.0, 3.0, 0.5)
    call(*world.arguments())
    return world


def _called_as_told(call, *_):
    return _watched(call).called == [1, 1, 2, 2]


def _seconds(act, clock, warm_up):
    if warm_up:
        act()
    started = clock()
    act()
    return clock() - started


def _priced(answer, runs=0):
    """量出四个时间，交给 answer；runs 不为 0 时连空跑一起量，再除以它。"""

    def measured(act, clock):
        started = clock()
        act()
        act()
        return (clock() - started) / runs

    def told(train, load, fast, slow, clock):
        once = [_seconds(act, clock, False) for act in (train, load)]
        each = [measured(x, clock) if runs else _seconds(x, clock, True) for x in (fast, slow)]
        return answer(*once, *each)

    return told


def _worth(train, load, fast, slow):
    return math.ceil((train + load) / (slow - fast))


@exercise(
    "画多少张才划算",
    level=3,
    probes=(
        lambda: _World(300.0, 40.0, 0.5, 2.75, 1.0).arguments(),
        lambda: _World(77.0, 9.0, 1.0, 5.0, 1.5).arguments(),
        lambda: _World(90.0, 10.0, 1.0, 3.0, 1.0).arguments(),
    ),
    answer="整数 n：前馈画 n 张（连训练与读入）不比逐图迭代慢的最小 n",
    idea="把两边的总时间都写成 n 的一次函数：一边有固定的开头，一边没有。",
    where="看本章“几张才划算”一节；clock() 返回现在的秒数，前后各读一次。",
    question="如果读入比训练还慢，还有什么办法省时间？",
    laws=(
        (
            lambda call, *_: _watched(call).read > 0,
            "没有读给的 clock()：时间要用它量，time.time() 看不见这里的钟。",
        ),
        (_called_as_told, "调用的次数不对：训练和读入各一次，画图的两个各空跑一次、再量一次。"),
    ),
    mistakes={
        "ignored_loading": (
            (" + _seconds(load, clock, False)", ""),
            "读入网络也要时间，它只付一次，和训练加在一起。",
        ),
        "cold": (("True", "False"), "第一次调用含准备时间：fast 与 slow 先各空跑一次，再量一次。"),
        "floor": (
            ("math.ceil", "math.floor"),
            "向下取整时还差一点才追平：要最小的、已经不慢的整数。",
        ),
        "gross": (
            ("(other - one)", "other"),
            "每张省下的不是 slow 的全部：前馈的那一张也要花时间。",
        ),
        "strictly_less": (
            ("math.ceil(fixed / (other - one))", "math.floor(fixed / (other - one)) + 1"),
            "恰好追平时多算了一张：总时间不超过就算，相等也行。",
        ),
        "nearest": (("math.ceil", "round"), "四舍五入了：没追平的那一张不算，要向上取整。"),
        "no_training": (
            _priced(lambda t, r, f, s: math.ceil(r / (s - f))),
            "训练也要时间，它只付一次，和读入加在一起。",
        ),
        "added": (
            _priced(lambda t, r, f, s: math.ceil((t + r) / (s + f))),
            "每张的时间相加了：画一张省下的是两者之差。",
        ),
        "backwards": (
            _priced(lambda t, r, f, s: math.ceil((t + r) / (f - s))),
            "省下的时间减反了：迭代一张减去前馈一张。",
        ),
        "not_whole": (
            _priced(lambda t, r, f, s: (t + r) / (s - f)),
            "还没有取整：要最小的、已经不慢的整数。",
        ),
        "warm_up_counted": (_priced(_worth, runs=1), "空跑的那一次也算进了时间：先空跑，再读钟。"),
        "warm_up_averaged": (
            _priced(_worth, runs=2),
            "空跑的那一次也平均了进去：它含准备时间，先空跑，再量一次。",
        ),
    },
)
def break_even(train, load, fast, slow, clock):
    fixed = _seconds(train, clock, False) + _seconds(load, clock, False)
    one, other = _seconds(fast, clock, True), _seconds(slow, clock, True)
    return math.ceil(fixed / (other - one))


# 4 镜像填充的卷积


@exercise(
    "不留边框的卷积",
    level=2,
    probes=(
        lambda: (uniform((2, 3, 7, 6), 1), noise((4, 3, 3, 3), 2), noise((4,), 3)),
        lambda: (uniform((3, 2, 6, 9), 4), noise((2, 2, 5, 5), 5), noise((2,), 6)),
        lambda: (uniform((1, 3, 4, 5), 7), noise((2, 3, 1, 1), 8), noise((2,), 9)),
    ),
    answer="(N, O, H, W)，高和宽与 image 相同",
    idea="边上的窗口有一部分落在图外面。那里填什么，才像是图自己接着画下去？",
    where="functional.pad 的 mode 参数决定外面填什么。",
    allow=("random",),
    question="在一张均匀的灰图上，三种填充各给出什么样的边？",
    mistakes={
        "zero": (('"reflect"', '"constant"'), "图外面填了 0，等于围了一圈黑框：边上会暗一圈。"),
        "edge": (
            ('"reflect"', '"replicate"'),
            "你重复了最边上的像素；镜像填充以它为轴翻折，它自己不重复。",
        ),
        "bare": (functional.conv2d, "没有填充，输出比输入小了一圈；先在四周各补半个核宽。"),
        "no_bias": (
            ("padded, weight, bias", "padded, weight"),
            "少了偏置：每个输出通道还要加上自己的那个数。",
        ),
        "bias_summed": (
            ("padded, weight, bias)", "padded, weight) + bias.sum()"),
            "偏置加错了维：每个输出通道只加它自己的那一个数。",
        ),
        "circular": (
            ('"reflect"', '"circular"'),
            "首尾相接了：外面填的是对边的像素，镜像填充填的是近旁的。",
        ),
        "flipped": (
            ("padded, weight", "padded, weight.flip(2, 3)"),
            "核翻转了：深度学习里的卷积是互相关，不翻转。",
        ),
        "fixed_one": (("weight.shape[-1] // 2", "1"), "只填了一圈：核更大时要填半个核宽。"),
        "after": (
            lambda x, w, b: functional.pad(
                functional.conv2d(x, w, b), (w.shape[-1] // 2,) * 4, mode="reflect"
            ),
            "先卷积、后填充：边上的值是翻折来的，不是算出来的。",
        ),
    },
)
def reflect_convolution(image, weight, bias):
    half = weight.shape[-1] // 2
    padded = functional.pad(image, (half,) * 4, mode="reflect")
    return functional.conv2d(padded, weight, bias)


# 5 AdaIN


def my_adain(content, style):
    mean = content.mean((2, 3), keepdim=True)
    new_mean = style.mean((2, 3), keepdim=True)
    deviation = (content.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    new_deviation = (style.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    return (content - mean) / deviation * new_deviation + new_mean


@exercise(
    "自适应实例归一化",
    level=2,
    ours=my_adain,
    probes=(
        lambda: (2 * noise((2, 3, 6, 5), 1) + 1, 0.5 * noise((2, 3, 4, 7), 2) - 1),
        lambda: (noise((3, 2, 5, 5), 3) - 2, 3 * noise((3, 2, 6, 4), 4) + 4),
        lambda: (0.01 * noise((1, 2, 4, 4), 5), noise((1, 2, 3, 3), 6)),
    ),
    answer="与 content 同形状：各通道的均值和标准差是 style 的",
    idea="先用自己的均值和标准差洗掉原来的，再换上对方的。两步用的是不同的图。",
    where="看本章“一个网络，几种风格”一节：γ 换成标准差，β 换成均值。",
    question="style 换成 content 自己，结果应当是什么？",
    properties=(
        (
            lambda out, content, style: (
                (out - out.mean((2, 3), keepdim=True))
                * (content - content.mean((2, 3), keepdim=True))
                >= -1e-9
            ).all(),
            "高低起伏应当还是 content 的：原来比均值高的地方，之后也比均值高。",
        ),
    ),
    laws=(FLOWING,),
    mistakes={
        "swapped": (
            ("/ deviation * new_deviation + new_mean", "/ new_deviation * deviation + mean"),
            "用谁的均值去还原？还原用的统计量应当来自 style。",
        ),
        "mean_only": (
            (" * new_deviation", ""),
            "只换了均值，标准差还是 1：再乘上 style 的标准差。",
        ),
        "batch": (("(2, 3)", "(0, 2, 3)"), "统计量跨了图：每张图换上的是它自己那张 style。"),
        "unwashed": (
            ("(content - mean) / deviation", "content"),
            "还没有减去 content 自己的均值、除以自己的标准差。",
        ),
        "shift_first": (
            (
                "(content - mean) / deviation * new_deviation + new_mean",
                "((content - mean) / deviation + new_mean) * new_deviation",
            ),
            "次序反了：先乘标准差，再加均值。",
        ),
        "unbiased": (
            ("correction=0", "correction=1"),
            "方差除的是个数减一：这里用个数本身（correction=0）。",
        ),
        "variance": ((".sqrt()", ""), "用了方差：要开方，成为标准差。"),
        "no_epsilon": ((" + 1e-5", ""), "方差没有加 1e-5：起伏很小的通道上看得出来。"),
        "std_only": (("+ new_mean", "+ mean"), "均值还是 content 的：标准差和均值都要换。"),
        "washed": (
            (" * new_deviation + new_mean", ""),
            "只归一化了 content：还要换上 style 的标准差和均值。",
        ),
        "no_shift": ((" + new_mean", ""), "没有加上 style 的均值。"),
        "not_centred": (("(content - mean)", "content"), "没有先减去 content 的均值。"),
        "one_style": (
            [
                ("style.mean((2, 3)", "style.mean((0, 2, 3)"),
                ("style.var((2, 3)", "style.var((0, 2, 3)"),
            ],
            "style 的统计量跨了图：每张图配自己的那一张。",
        ),
        "outside": (
            (" + 1e-5).sqrt()", ").sqrt() + 1e-5"),
            "小量加在了开方之外：先把 1e-5 加到方差上，再开方。",
        ),
        "halfway": (
            lambda c, s: (c + my_adain(c, s)) / 2,
            "与 content 对半混了：题目要完全换过去。",
        ),
        "layer": (("(2, 3)", "(1, 2, 3)"), "统计量跨了通道：每个通道各换各的。"),
        "first_style": (fed(my_adain, style=first), "都用了第一张 style：每张图配自己的那一张。"),
        "content_bare": (
            (
                "content.var((2, 3), correction=0, keepdim=True) + 1e-5",
                "content.var((2, 3), correction=0, keepdim=True)",
            ),
            "content 的方差没有加 1e-5：两个方差都要加。",
        ),
    },
)
def adain(content, style):
    output = torch.empty_like(content)
    for index in range(len(content)):
        for channel in range(content.shape[1]):
            c, s = content[index, channel], style[index, channel]
            ratio = math.sqrt((s.var(correction=0) + 1e-5) / (c.var(correction=0) + 1e-5))
            output[index, channel] = (c - c.mean()) * ratio + s.mean()
    return output
