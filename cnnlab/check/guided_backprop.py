"""“引导式反向传播”一章的练习：三条规则、一个 autograd 函数、换掉再还回 ReLU、构造差别、换类别检验。"""

from contextlib import suppress
from functools import partial

import torch

from cnnlab.check import ranks
from cnnlab.check.core import Unfit, exercise
from cnnlab.check.fixtures import TinyNet, classified, noise, uniform
from cnnlab.check.gradients import class_probabilities, pixel_gradient
from cnnlab.check.rules import by_hand, rule_function, swapping, swapping_all

# 1 三条规则


def _with_zeros(shape, seed):
    value = noise(shape, seed)
    value[0, 0], value[1, 1] = 0.0, 0.0
    gradient = noise(shape, seed + 1)
    gradient[0, 0], gradient[1, 1] = 1.5, -0.5
    return value, gradient


def my_relu_rules(value, gradient):
    plain = gradient * (value > 0)
    deconvolution = gradient.clamp(min=0)
    guided = deconvolution * (value > 0)
    return torch.stack([plain, deconvolution, guided])


@exercise(
    "三条回传规则",
    level=1,
    ours=my_relu_rules,
    probes=(lambda: _with_zeros((3, 4), 1), lambda: _with_zeros((2, 5), 5)),
    answer="(3, H, W)：依次是普通、反卷积网络、引导式规则传给 value 的梯度",
    idea="前向的门看 value，反向的门看 gradient；三条规则各用哪几道门？",
    where="看本章“三条规则”一节的 2×2 例子，注意 value 恰好为 0 的那一格。",
    question="三条规则里，哪一条的结果与 value 完全无关？",
    mistakes={
        "guided_is_deconv": (
            ("deconvolution * (value > 0)", "deconvolution"),
            "你的引导式规则只看传回的梯度：那是反卷积网络，前向的门也要关。",
        ),
        "guided_is_plain": (
            ("deconvolution * (value > 0)", "plain"),
            "你的引导式规则只有前向的门：那是普通反向传播，负的梯度也要拦下。",
        ),
        "zero_open": (
            ("value > 0", "value >= 0"),
            "value 恰好为 0 的地方，门是关着的：ReLU 只放行大于 0 的数。",
        ),
        "swapped": (
            ("[plain, deconvolution, guided]", "[deconvolution, plain, guided]"),
            "普通与反卷积网络的次序对调了。",
        ),
        "absolute": (
            ("deconvolution * (value > 0)", "plain.abs()"),
            "负的梯度被翻成了正的：要清零。",
        ),
        "guided_first": (
            ("[plain, deconvolution, guided]", "[plain, guided, deconvolution]"),
            "反卷积网络与引导式的次序对调了：两道门都有的是引导式。",
        ),
        "times_value": (
            ("(value > 0)", "value.clamp(min=0)"),
            "乘的是 value 的大小：门只管放不放行，放行时原样传下去。",
        ),
        "forward_again": (
            ("[plain,", "[value.clamp(min=0),"),
            "普通规则给的是前向的输出：要传的是梯度。",
        ),
        "value_back": (
            ("[plain, deconvolution,", "[plain, value.clamp(min=0),"),
            "第二条给的是前向的输出：反卷积网络截的是传回来的梯度。",
        ),
        "all_let_back": (
            [
                ("deconvolution = gradient.clamp(min=0)", "deconvolution = gradient"),
                ("deconvolution * (value > 0)", "gradient.clamp(min=0) * (value > 0)"),
            ],
            "反卷积网络没有拦下负的梯度：它在反向时再做一次 ReLU。",
        ),
    },
)
def relu_rules(value, gradient):
    answer = torch.zeros(3, *value.shape, dtype=value.dtype)
    pairs = zip(value.flatten().tolist(), gradient.flatten().tolist(), strict=True)
    for place, (v, g) in enumerate(pairs):
        for rule, passed in enumerate((v > 0, g > 0, v > 0 and g > 0)):
            answer[rule].view(-1)[place] = g if passed else 0.0
    return answer


# 2 写成 autograd 函数


def _applied(function, value, gradient):
    leaf, kept = value.detach().clone().requires_grad_(), gradient.clone()
    written = getattr(function, "function", function)
    if isinstance(written, torch.nn.Module) or (
        isinstance(written, type) and not issubclass(written, torch.autograd.Function)
    ):
        raise Unfit("传进来的不是 torch.autograd.Function 的子类：它的反向不由你写。")
    apply = getattr(function, "apply", function)
    given = leaf * 1
    output = apply(given)
    if given._version:
        raise Unfit("forward 原地改写了输入：上一层反向时还要用它，不要原地操作。")
    if not isinstance(output, torch.Tensor) or output.shape != value.shape:
        raise Unfit(f"前向的输出不对：要一个形状为 {tuple(value.shape)} 的张量。")
    (passed,) = torch.autograd.grad(output, leaf, kept)
    if not torch.equal(kept, gradient):
        raise Unfit("backward 原地改写了传回来的梯度：别的层还要用它，先复制。")
    return {"前向": output.detach(), "反向": passed}


@exercise(
    "写成 autograd 函数",
    level=2,
    asked="MyGuidedReLU",
    probes=(lambda: _with_zeros((3, 4), 11), lambda: _with_zeros((2, 6), 15)),
    answer="一个 torch.autograd.Function：MyGuidedReLU.apply(value) 的前向是 ReLU，反向按引导式规则",
    idea="前向把反向要用的数存进 context，反向取出来，决定放行哪些梯度。",
    where="看 torch.autograd.Function 的文档：forward、backward 都是静态方法，第一个参数是 context。",
    question="backward 里存前向的输入还是输出，哪一个更省内存？为什么两者都够用？",
    run=_applied,
    mistakes={
        "edited_forward": (
            rule_function(before=lambda v: v.abs()),
            "前向变了：引导式规则只改反向，前向还是 ReLU。",
        ),
        "plain": (
            rule_function(after=lambda v, g: g * (v > 0)),
            "反向只有前向的门：那是普通的 ReLU，负的梯度也要拦下。",
        ),
        "deconvnet": (
            rule_function(after=lambda v, g: g.clamp_min(0)),
            "反向没有看前向：那是反卷积网络，前向关着的地方也要拦下。",
        ),
        "flipped": (
            rule_function(after=lambda v, g: g.clamp_max(0) * (v > 0)),
            "留下的是负的梯度：符号弄反了。",
        ),
        "open_at_zero": (
            rule_function(after=lambda v, g: g.clamp_min(0) * (v >= 0)),
            "value 恰好为 0 的地方，门是关着的：ReLU 只放行大于 0 的数。",
        ),
        "identity": (
            rule_function(before=lambda v: v.clone()),
            "前向没有截断：前向还是 ReLU，只改反向。",
        ),
        "absolute": (
            rule_function(after=lambda v, g: g.abs() * (v > 0)),
            "负的梯度被翻成了正的：要清零。",
        ),
        "gated_by_itself": (
            rule_function(after=lambda v, g: v.clamp_min(0) * (g > 0)),
            "传下去的是 value：梯度过了两道门之后，传的还是梯度自己。",
        ),
        "mask": (
            rule_function(after=lambda v, g: ((v > 0) & (g > 0)).to(g)),
            "传下去的是 0 和 1：门只管放不放行，放行的地方传原来的梯度。",
        ),
    },
)
class autograd_rule(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        context.save_for_backward(value)
        return (value + value.abs()) / 2

    @staticmethod
    def backward(context, gradient):
        (value,) = context.saved_tensors
        return relu_rules.oracle(value, gradient)[2]


# 3 换掉再还回


def _restores_after_an_error(call, image, target, model):
    before = list(model.modules())
    with suppress(Exception):
        call(image, target + 100, model)
    after = list(model.modules())
    return len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))


def _children_only(image, target, model):
    kept = {n: part for n, part in model.named_children() if isinstance(part, torch.nn.ReLU)}
    return swapping(image, target, model, names=kept)


def _leaves_grad(image, target, model):
    leaf = image.detach().clone().requires_grad_()
    by_hand(image, target, model)
    model(leaf).gather(1, target[:, None]).sum().backward()
    return by_hand(image, target, model)


@exercise(
    "换掉再还回",
    level=3,
    ours=swapping_all,
    probes=(
        lambda: classified([3, 1], (9, 7), 21, TinyNet(seed=3)),
        lambda: classified([0, 4, 2], (7, 9), 22, TinyNet(seed=9, nested=True)),
    ),
    answer="(N, 3, H, W)，带符号：网络里每个 ReLU 都按引导式规则回传时，target 类得分对像素的梯度；网络用完恢复原样",
    idea="先记住原来的模块，换上自己的，算完再换回去；中途报错也要换回去。",
    where="看 named_children、setattr 与 try/finally。",
    question="同一个 ReLU 模块在前向里用了两次，换掉它还对吗？",
    laws=((_restores_after_an_error, "中途报错时网络还是改过的：用 try/finally。"),),
    mistakes={
        "plain": (pixel_gradient, "这是普通的梯度：ReLU 没有换掉，负的梯度一路传了回来。"),
        "deconvnet": (
            partial(swapping, function=rule_function(after=lambda v, g: g.clamp_min(0))),
            "前向关着的门你也放行了：那是反卷积网络。",
        ),
        "first_only": (
            partial(swapping, names=("relu1",)),
            "只换了一个 ReLU：每一个都要换，漏一个图就混了。",
        ),
        "at_the_end": (
            lambda *a: pixel_gradient(*a).clamp_min(0),
            "只在最后把负的梯度清零：规则要在每个 ReLU 处执行，不是在像素处。",
        ),
        "never_restored": (partial(swapping, restore=False),),
        "children_only": (
            _children_only,
            "套在别的模块里的 ReLU 没有换：named_children 只看一层，Fire 模块里的在更深处。",
        ),
        "softmax": (
            partial(swapping, pick=class_probabilities),
            "用了概率：要的是 softmax 之前的得分。",
        ),
        "left_grad": (_leaves_grad,),
    },
)
def guided_map(image, target, model):
    return by_hand(image, target, model)


# 4 两道门为什么都要


def _differs(value, gradient):
    rules = relu_rules.oracle(value, gradient)
    return rules[1] != rules[2]


def _shape_is_right(out, size, index):
    return all(each.shape == (size,) and each.is_floating_point() for each in out)


def _differs_there(out, size, index):
    return bool(_differs(*out)[index])


def _same_elsewhere(out, size, index):
    return int(_differs(*out).sum()) == 1


def _all_passing(out, size, index):
    """别处两条规则都真的放行了什么：不是靠全零蒙混。"""
    rules = relu_rules.oracle(*out)
    others = torch.arange(size) != index
    return bool((rules[2][others] > 0).all())


def _example(size, index, at, elsewhere=(1.0, 1.0)):
    value, gradient = torch.full((size,), elsewhere[0]), torch.full((size,), elsewhere[1])
    value[index], gradient[index] = at
    return value.double(), gradient.double()


@exercise(
    "差别出在哪里",
    level=3,
    open_ended=True,
    probes=(lambda: (5, 2), lambda: (4, 0)),
    answer="两个 (size,) 的张量 value 与 gradient：反卷积网络与引导式规则只在第 index 个元素上不同，其余元素都放行",
    idea="两条规则差的是哪一道门？在第 index 个元素上，让那道门起作用，另一道门不起作用。",
    where="看本章“三条规则”一节的表。",
    question="这样的元素在真的网络里多不多？下一题的换类别检验会告诉你它要不要紧。",
    properties=(
        (_shape_is_right, "要返回两个长为 size 的浮点张量：先 value，后 gradient。"),
        (_differs_there, "在指定的元素上，两条规则给出同样的结果：哪道门只有引导式规则才有？"),
        (_same_elsewhere, "别的元素上两条规则也不同：题目要求只有一处不同。"),
        (_all_passing, "别的元素没有全部放行：题目要求它们在两条规则下都通过。"),
    ),
    mistakes={
        "negative_gradient": (
            partial(_example, at=(1.0, -1.0)),
            "那里的梯度是负的：两条规则都会把它清零，换一处。",
        ),
        "both_open": (
            partial(_example, at=(2.0, 3.0)),
            "那里两道门都开着，两条规则都放行：要关上其中一道。",
        ),
        "everywhere": (partial(_example, at=(-1.0, 1.0), elsewhere=(-1.0, 1.0)),),
        "silent": (partial(_example, at=(-1.0, 1.0), elsewhere=(1.0, -1.0)),),
    },
)
def two_gates(size, index): ...


# 5 换类别检验


def _wavy(model, image, target):
    """一个没有并列值的假“梯度”：随类别平滑地变，不跑网络也能对答案。"""
    bend = target.view(-1, 1, 1, 1).double()
    wave = (image * 3 + bend / 7).sin() * (image - 0.4).exp()
    return wave + 0.3 * bend * (image.flip(3) - 0.5) - image.flip(2) - 0.5


def _opposed(model, image, target):
    """奇数类的图上，大小的次序与偶数类的相反。"""
    wave = _wavy(model, image, target % 2)
    return torch.where((target % 2 == 1).view(-1, 1, 1, 1), 1 / wave, wave)


@exercise(
    "换类别检验",
    level=3,
    probes=(
        lambda: (
            uniform((3, 3, 6, 5), 31),
            None,
            torch.tensor([0, 1, 2]),
            torch.tensor([3, 5, 4]),
            _wavy,
        ),
        lambda: (
            uniform((2, 3, 5, 7), 32),
            None,
            torch.tensor([2, 6]),
            torch.tensor([5, 1]),
            _wavy,
        ),
        lambda: (
            uniform((2, 3, 6, 6), 33),
            None,
            torch.tensor([0, 2]),
            torch.tensor([1, 3]),
            _opposed,
        ),
    ),
    answer="(N,)：每张图换类别前后两张图（|梯度| 取通道最大）的秩相关",
    idea="先把每张图的像素按大小排名次，再对名次求相关系数；一张图一个数。",
    where="名次可以排序两次得到；相关系数是各减平均之后的内积，除以两个范数。",
    question="在真的网络上，三条规则的次序是什么？边缘检测器在这个检验里得几分？",
    mistakes={
        "pearson": (
            ("ranks.first_come(x), ranks.first_come(y)", "x, y"),
            "直接对数值求了相关：几个亮点会左右它，用名次。",
        ),
        "signed": ((".abs()", ""), "没有取绝对值：显著的像素正负都算。"),
        "summed": ((".amax(1)", ".sum(1)"), "跨通道用了求和：这里取最大，与显著图一致。"),
        "absolute": (
            ("stack(found)", "stack(found).abs()"),
            "负号丢了：两张图的名次相反时，秩相关应当是负的。",
        ),
        "once": (
            (
                "ranks.first_come(x), ranks.first_come(y)",
                "x.flatten().argsort(), y.flatten().argsort()",
            ),
            "只排了一次序，得到的是下标，不是名次：再排一次。",
        ),
        "every_channel": ((".amax(1)", ""), "没有先取通道的最大：一个像素一个数，再排名次。"),
        "cosine": (
            (
                "ranks.pearson(ranks.first_come(x), ranks.first_come(y))",
                "ranks.first_come(x) @ ranks.first_come(y) / ranks.first_come(x).square().sum()",
            ),
            "名次没有减去平均就比了夹角：相关系数要先各减平均。",
        ),
        "pairs": (
            ("ranks.pearson(ranks.first_come(x), ranks.first_come(y))", "ranks.kendall(x, y)"),
            "算的是成对比较的一致程度（肯德尔系数）：题目要对名次求相关系数。",
        ),
        "same_class": (
            ("(first, second)", "(first, first)"),
            "两次用了同一组类别：换类别前后要各算一次。",
        ),
    },
)
def class_swap(image, model, first, second, gradient_of):
    a, b = (gradient_of(model, image, target).abs().amax(1) for target in (first, second))
    found = [
        ranks.pearson(ranks.first_come(x), ranks.first_come(y)) for x, y in zip(a, b, strict=True)
    ]
    return torch.stack(found)
