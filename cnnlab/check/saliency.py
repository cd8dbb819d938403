"""“显著图”一章的练习：一批图的显著图、带符号的显著图、积分梯度、类激活图、最小的对抗步长。"""

import torch
from torch import nn

from cnnlab.check.core import exercise
from cnnlab.check.fixtures import CamNet, TinyNet, classified, in_range, in_training, noise, uniform
from cnnlab.check.gradients import class_scores as _scores
from cnnlab.check.gradients import pixel_differences as _differences
from cnnlab.check.gradients import pixel_gradient as _gradient
from cnnlab.check.variants import fed, first
from cnnlab.core.measures import luminance

# 1 一批图的显著图


def _unit_maximum(heat):
    return heat / heat.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _leaves_grad(image, target, model):
    leaf = image.clone().requires_grad_()
    model.requires_grad_(True)
    _scores(model, leaf, target).sum().backward()
    return leaf.grad.abs().amax(1)


def my_saliency(image, target, model):
    leaf = image.detach().clone().requires_grad_()
    scores = model(leaf).gather(1, target[:, None])
    gradient = torch.autograd.grad(scores.sum(), leaf)[0]
    return gradient.abs().amax(dim=1)


@exercise(
    "一批图的显著图",
    level=2,
    ours=my_saliency,
    probes=(
        lambda: classified([3, 1], (8, 7), 1, draw=noise),
        lambda: classified([0, 4, 2], (6, 5), 2, TinyNet(seed=9), noise),
        lambda: classified([1], (5, 6), 3, in_training(), noise),
    ),
    answer="(N, H, W)，非负，不带计算图：每张图自己那一类的得分对像素的梯度，取绝对值，再取通道里的最大",
    idea="每张图有自己的类别：先从得分表里各取一个数，再求和。和的梯度正好把各张图的梯度分开放好。",
    where="看 torch.Tensor.gather 与 torch.autograd.grad，以及本章“从零实现”一节。",
    question="把绝对值去掉会怎样？哪些像素变亮会让得分下降？",
    tolerance=1e-5,
    properties=(
        (lambda out, *_: (out >= 0).all(), "显著图里有负数：问的是变化有多大，不管方向。"),
    ),
    mistakes={
        "sum": (
            (".abs().amax(dim=1)", ".abs().sum(dim=1)"),
            "跨通道用了求和：这里问最敏感的那个通道。",
        ),
        "late_abs": (
            (".abs().amax(dim=1)", ".amax(dim=1).abs()"),
            "先取最大再取绝对值，漏掉了最负的通道。",
        ),
        "softmax": (
            ("model(leaf)", "model(leaf).softmax(1)"),
            "你求的是概率的梯度：要对 softmax 之前的得分求。",
        ),
        "batch_mean": (("scores.sum()", "scores.mean()"), "对批量取了平均：批量越大，图就越淡。"),
        "mean": (
            (".abs().amax(dim=1)", ".abs().mean(dim=1)"),
            "跨通道取了平均：三个通道里挑最大的。",
        ),
        "first_channel": ((".amax(dim=1)", "[:, 0]"), "只看了第一个通道：三个里挑最大的。"),
        "summed_first": (
            (".abs().amax(dim=1)", ".sum(dim=1).abs()"),
            "先把三个通道相加了：一正一负会抵消；各取绝对值，再挑最大的。",
        ),
        "relu": ((".abs()", ".clamp(min=0)"), "负的梯度被丢掉了：它们也是敏感的像素。"),
        "all_classes": (
            (".gather(1, target[:, None])", ""),
            "对全部类别的得分求了和：只取目标类。",
        ),
        "cross_entropy": (
            (
                "model(leaf).gather(1, target[:, None])",
                "-model(leaf).log_softmax(1).gather(1, target[:, None])",
            ),
            "你求的是交叉熵的梯度：它混进了别的类别。",
        ),
        "predicted": (
            (".gather(1, target[:, None])", ".amax(1)"),
            "用了网络自己预测的类别：题目给了 target。",
        ),
        "first_target": (fed(my_saliency, target=first), "都用了第一张图的类别。"),
        "times_input": (
            ("gradient.abs()", "(gradient * image).abs()"),
            "乘上了输入：那问的是贡献。",
        ),
        "normalized": (
            lambda *a: _unit_maximum(my_saliency(*a)),
            "每张图除以了自己的最大值：归一化是画图时的事。",
        ),
        "left_grad": (
            _leaves_grad,
            "网络的参数上留下了梯度：算一张图不该改动网络。",
            "反向传播默认给路上每个要梯度的张量都记一份，下一次训练会混进去。",
            "只对图像这一个张量求导的函数在 torch.autograd 里。",
        ),
        "euclidean": (
            (".abs().amax(dim=1)", ".norm(dim=1)"),
            "三个通道合成了长度：题目取绝对值最大的那个通道。",
        ),
        "mean_entropy": (
            [
                (
                    "model(leaf).gather(1, target[:, None])",
                    "model(leaf).log_softmax(1).gather(1, target[:, None])",
                ),
                ("scores.sum()", "scores.mean()"),
            ],
            "你求的是交叉熵在整批上的平均的梯度：只要目标类的得分。",
        ),
        "every_target": (
            (".gather(1, target[:, None])", "[:, target]"),
            "m(x)[:, target] 得到的是 (N, N)：每张图只取自己那一类，要一一对应。",
        ),
        "next_class": (
            lambda x, t, m: my_saliency(x, (t + 1) % m(x).shape[1], m),
            "类别号差了一：从 0 数起。",
        ),
        "stays_in_eval": (lambda x, t, m: my_saliency(x, t, m.eval()),),
    },
)
def saliency(image, target, model):
    return _differences(image, target, model).abs().amax(1)


# 2 带符号的显著图


class _Negated(nn.Module):
    """得分取相反数的同一个网络。"""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, image):
        return -self.model(image)


def _odd(call, image, target, model):
    return torch.allclose(call(image, target, _Negated(model)), -call(image, target, model))


def _largest(gradient):
    return gradient.gather(1, gradient.abs().argmax(1, keepdim=True))[:, 0]


@exercise(
    "带符号的显著图",
    level=1,
    probes=(
        lambda: classified([2, 0], (7, 6), 3, draw=noise),
        lambda: classified([1, 3, 4], (5, 8), 4, TinyNet(seed=5), noise),
        lambda: classified([2], (4, 5), 5, in_training(), noise),
    ),
    answer="(N, H, W)，带符号：一个像素的三个通道一起变亮一点点时，得分的变化率",
    idea="三个通道一起动一步，变化率是三个偏导数之和。",
    where="看本章“从零实现”一节；只改最后一步。",
    question="正负号在哪些像素上翻得最勤？这与噪声一样的样子有什么关系？",
    tolerance=1e-5,
    laws=((_odd, "把得分换成它的相反数，图应当正负对调，你的不是：符号在哪一步丢了？"),),
    mistakes={
        "abs": ((".sum(1)", ".abs().sum(1)"), "符号就是这题要看的：别取绝对值。"),
        "largest": (
            lambda *a: _largest(_gradient(*a)),
            "只留了最大的通道：三个一起变亮，三个都要算进来。",
        ),
        "mean": ((".sum(1)", ".mean(1)"), "取了平均，小了三倍：三个通道各动一步，是求和。"),
        "darker": (("return ", "return -"), "正负反了：变亮加分的像素应当是正的。"),
        "times_input": (
            (".sum(1)", ".mul(image).sum(1)"),
            "乘上了输入：那问的是贡献，这里问变化率。",
        ),
        "luminance": (
            lambda *a: luminance(_gradient(*a))[:, 0],
            "三个通道用了亮度的权重：三个一起动同样的一步，权重都是一。",
        ),
        "first_target": (
            lambda x, t, m: signed_saliency.oracle(x, first(t), m),
            "都用了第一张图的类别：每张图各有各的。",
        ),
        "one_channel": ((".sum(1)", "[:, 0]"), "只看了红色：三个通道一起变亮，三个都要算进来。"),
    },
)
def signed_saliency(image, target, model):
    return _gradient(image, target, model).sum(1)


# 3 积分梯度


def _complete(call, image, target, model, baseline, steps):
    with torch.no_grad():
        change = _scores(model, image, target) - _scores(model, baseline, target)
    left = call(image, target, model, baseline, 64).flatten(1).sum(1) - change
    return (left.abs() < 0.02 * change.abs() + 0.02).all()


def _with_ends(image, target, model, baseline, steps, more):
    shares = torch.linspace(0, 1, steps + more, dtype=image.dtype)
    found = [_gradient(baseline + s * (image - baseline), target, model) for s in shares]
    return sum(found) / len(found) * (image - baseline)


@exercise(
    "积分梯度",
    level=3,
    asked="my_integrated_gradients",
    probes=(
        lambda: (*classified([3, 1], (6, 5), 5), uniform((2, 3, 6, 5), 6), 4),
        lambda: (*classified([0, 2], (5, 7), 7, TinyNet(seed=21)), uniform((2, 3, 5, 7), 8) / 2, 7),
    ),
    answer="(N, 3, H, W)，带符号：从 baseline 到 image 的直线上取 steps 个小段，各段中点的梯度取平均，再乘位移",
    idea="把得分的总变化拆给各个像素：一段路上的变化约等于梯度乘位移，段段相加。",
    where="看本章“从一点到一条路”一节的公式，留意 k 从哪里数起。",
    question="基线换成白图，哪些像素从此恒为 0？这合理吗？",
    tolerance=1e-5,
    laws=((_complete, "全部相加应当等于得分之差（步数大时误差很小），你的不是：检查平均和位移。"),),
    mistakes={
        "left": (("(k + 0.5)", "k"), "取了每段的左端：取中点，误差小一个量级。"),
        "right": (("k + 0.5", "k + 1"), "取了每段的右端：取中点，误差小一个量级。"),
        "no_displacement": (
            ("return (image - baseline) *", "return"),
            "少乘了位移：走了多远要乘上。",
        ),
        "times_image": (
            ("return (image - baseline)", "return image"),
            "乘的是图像本身：路是从基线出发的，要乘图像与基线之差。",
        ),
        "no_average": (("total / steps", "total"), "各点的梯度加起来之后没有除以点数。"),
        "end_only": (
            lambda x, t, m, b, s: (x - b) * _gradient(x, t, m),
            "只用了终点的梯度：网络在路上会拐弯，要沿途多取几点。",
        ),
        "fixed_steps": (("total = ", "steps, total = 50, "), "没有用上 steps：分成几段由它定。"),
        "trapezoid": (
            [
                ("(k + 0.5)", "place"),
                ("        total", "        for place in (k, k + 1):\n            total"),
                ("total / steps", "total / steps / 2"),
            ],
            "用的是每段两端的平均：题目要各段中点的梯度。",
        ),
        "both_ends": (
            lambda *a: _with_ends(*a, 0),
            "用 linspace(0, 1, steps) 取点，两个端点都算了：要取每一段的中点。",
        ),
        "one_more": (
            lambda *a: _with_ends(*a, 1),
            "用 linspace(0, 1, steps + 1) 取点，多了一个，还含端点：steps 段，各取中点。",
        ),
        "from_black": (
            ("baseline + (k + 0.5) / steps * (image - baseline)", "(k + 0.5) / steps * image"),
            "路是从全黑的图走起的：baseline 给了起点，沿途的点也要从它出发。",
        ),
    },
)
def integrated(image, target, model, baseline, steps):
    total = torch.zeros_like(image)
    for k in range(steps):
        total += _gradient(baseline + (k + 0.5) / steps * (image - baseline), target, model)
    return (image - baseline) * total / steps


# 4 类激活图


def _averages_to_the_score(out, image, target, model):
    with torch.no_grad():
        return torch.allclose(out.mean((1, 2)), _scores(model, image, target), rtol=1e-4, atol=1e-6)


@exercise(
    "类激活图",
    level=2,
    probes=(
        lambda: classified([3, 0], (6, 7), 9, CamNet(), noise),
        lambda: classified([1, 2, 0], (5, 4), 10, CamNet(seed=3), noise),
        lambda: classified([1], (2, 3), 11, CamNet(seed=6), noise),
    ),
    answer="(N, H, W)，不带计算图：网络 model.conv → model.relu → 整图平均里，目标类那一张图，平均值恰是得分",
    idea="得分是一张图的平均。把取平均之前的那张图拿出来，就知道分数从哪里来。",
    where="看本章“类激活图”一节；model.conv 与 model.relu 可以直接调用。",
    question="这张图平均之后是得分，能不能说每一处的值就是那里的贡献？感受野再大一些呢？",
    properties=(
        (
            _averages_to_the_score,
            "它的平均值应当恰好等于这一类的得分，你的不是：平均之前那一步是什么？",
        ),
    ),
    mistakes={
        "before_relu": (
            lambda x, t, m: m.conv(x).detach()[range(len(x)), t],
            "取在 ReLU 之前了：这个头先 ReLU 再平均。",
        ),
        "first_target": (
            lambda x, t, m: class_map.oracle(x, first(t), m),
            "都用了第一张图的类别。",
        ),
        "normalized": (
            lambda *a: _unit_maximum(class_map.oracle(*a)),
            "除以了最大值：平均值不再是得分，图与图也没法比。",
        ),
    },
)
def class_map(image, target, model):
    weight, bias = model.conv.weight[target, :, 0, 0], model.conv.bias[target]
    return ((weight[:, :, None, None] * image).sum(1) + bias[:, None, None]).clamp_min(0).detach()


# 5 最小的对抗步长


def _attack_probe(seed, network):
    image, model = uniform((1, 3, 9, 8), seed), TinyNet(seed=network)
    return image, model(image).argmax(1), model, torch.linspace(0.02, 1, 50, dtype=torch.float64)


@exercise(
    "最小的对抗步长",
    level=4,
    probes=(lambda: _attack_probe(12, 3), lambda: _attack_probe(12, 4)),
    answer="(1, 3, H, W)，取值 [0, 1]：沿梯度的符号往得分下降的方向走，levels（从小到大）里第一个让预测离开 target 的步长所到的图",
    idea="每个像素最多动一样多时，想让得分降得最快，每个像素都该动满，方向由梯度的符号定。",
    where="看本章“一个灰度就够”一节；最后别忘了图像的取值范围。",
    question="若改成限制全部像素移动的平方和，最好的方向还是符号吗？",
    properties=(
        (lambda out, *_: in_range(out), "像素跑出了 [0, 1]：走完要截回来。"),
        (
            lambda out, x, t, m, _: m(out).argmax(1) != t,
            "预测还没有离开 target：方向对吗，步长够吗？",
        ),
    ),
    mistakes={
        "raises": (("= -_gradient", "= _gradient"), "方向反了：得分升高了，要往下降的方向走。"),
        "not_sign": (
            [(".sign()", ""), ("level * direction", "level * direction / direction.abs().amax()")],
            "没有取符号：大多数像素几乎没动。",
        ),
        "no_clip": ((".clamp(0, 1)", ""),),
        "largest": (("in levels", "in levels.flip(0)"), "用了最大的步长：要找第一个够用的。"),
        "raw": ((".sign()", ""), "走的是梯度本身，没有取符号：每个像素走的步子不一样大。"),
        "adds_up": (
            ("moved = (image", "image = moved = (image"),
            "改动一次次加了上去：每个步长都要从原图走起。",
        ),
        "again": (
            [
                ("moved = (image", "image = moved = (image"),
                (
                    "        if model",
                    "        direction = -_gradient(image, target, model).sign()\n        if model",
                ),
            ],
            "每一步又从新的图重新求了梯度：那是迭代的攻击，题目只从原图走一步。",
        ),
    },
)
def attack(image, target, model, levels):
    direction = -_gradient(image, target, model).sign()
    for level in levels:
        moved = (image + level * direction).clamp(0, 1)
        if model(moved).argmax(1) != target:
            break
    return moved
