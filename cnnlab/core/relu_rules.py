"""改写 ReLU 的回传规则：普通、反卷积、引导式，或自己的函数；只以 with 的形式使用。

也认得出计算图里没有按规则回传的激活。不管拿梯度做什么。
"""

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, _pop_mode

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe
from cnnlab.core.hooks import hooked, is_compiled
from cnnlab.core.names import unknown

# 规则收到传回来的梯度和激活函数在该处的斜率（ReLU 即前向的门：0 或 1），给出继续往回传的梯度
RELU_RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": lambda gradient, slope: gradient * slope,
    "deconvnet": lambda gradient, slope: gradient.clamp_min(0),
    "guided": lambda gradient, slope: gradient.clamp_min(0) * slope,
}


def _keep_positive(passed: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """ReLU 自己的反向关过门之后，只留正的：与先留正的再关门是一回事，而 `passed` 是刚算出来的，可以就地改。"""
    if passed[0] is None:
        return passed
    return (passed[0].relu() if torch.is_grad_enabled() else passed[0].relu_(),)


class _RuledActivation(torch.autograd.Function):
    """前向不变、反向按规则改写的激活函数。"""

    @staticmethod
    def forward(context, value: Tensor, function: Callable, rule: Callable) -> Tensor:
        output = function(value)
        context.function, context.rule = function, rule
        context.save_for_backward(output if function is functional.relu else value)
        return output

    @staticmethod
    def backward(context, gradient: Tensor):
        (saved,) = context.saved_tensors
        if context.function is functional.relu:
            return context.rule(gradient, saved > 0), None, None
        with torch.enable_grad():
            value = saved.detach().requires_grad_()
            (slope,) = torch.autograd.grad(context.function(value).sum(), value)
        return context.rule(gradient, slope), None, None


RELUS = {functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
_CLAMPS = {torch.clamp, torch.clamp_min, Tensor.clamp, Tensor.clamp_min}
_CLAMPS |= {torch.clamp_, torch.clamp_min_, Tensor.clamp_, Tensor.clamp_min_}
_OTHERS = {functional.relu6, functional.hardtanh, functional.silu, functional.hardswish}


_ON_NATIVE_RELU = {RELU_RULES["plain"], RELU_RULES["guided"]}


# 这个线程正在按某条规则算一处激活：外层的规则让开，最里层的说了算
_BUSY = threading.local()


class _ActivationMode(TorchFunctionMode):
    """截住模型里每一次 ReLU 类调用，不论它是模块、函数还是张量方法，也不论是否原地。"""

    def __init__(self, rule: Callable):
        super().__init__()
        self.rule, self.inside = rule, 0

    def enter_module(self, *_) -> None:
        self.inside += 1

    def leave_module(self, *_) -> None:
        self.inside -= 1

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        if not self.inside or getattr(_BUSY, "ruling", False):
            return function(*arguments, **keywords)
        if function in RELUS or (function in _CLAMPS and self._is_relu(arguments, keywords)):
            ruled = functional.relu
        elif function in _OTHERS:
            ruled = functools.partial(function, **{**keywords, "inplace": False})
        else:
            return function(*arguments, **keywords)
        try:
            _BUSY.ruling = True
            return self._ruled(function, ruled, arguments, keywords)
        finally:
            _BUSY.ruling = False

    def _ruled(self, function: Callable, ruled: Callable, arguments, keywords) -> Tensor:
        if function in RELUS and self.rule in _ON_NATIVE_RELU:
            return self._native(function(*arguments, **keywords))
        value = arguments[0] if arguments else keywords["input"]
        if not (keywords.get("inplace") or function.__name__.endswith("_")):
            return _RuledActivation.apply(value, ruled, self.rule)
        # 原地的写法：后面可能还用到被改写的那个张量，结果要写回去
        return value.copy_(_RuledActivation.apply(value.clone(), ruled, self.rule))

    def _native(self, output: Tensor) -> Tensor:
        """普通规则与引导式规则就着 ReLU 自己的反向做，比换一个 autograd 函数快；在计算图上作个记号。"""
        node = output.grad_fn
        if node is not None:
            if self.rule is RELU_RULES["guided"]:
                node.register_hook(_keep_positive)
            node.metadata["ruled"] = True
        return output

    @staticmethod
    def _is_relu(arguments, keywords) -> bool:
        bounds = dict(zip(("min", "max"), arguments[1:], strict=False)) | keywords
        low, high = bounds.get("min"), bounds.get("max")
        return not isinstance(low, Tensor) and low == 0 and high is None


@checked
@contextmanager
def override_relu_gradient(model: nn.Module, rule) -> Iterator[nn.Module]:
    """在 with 之内，这个模型的 ReLU 按 `rule` 回传梯度；前向不变，离开时一切照旧，按 Ctrl-C 离开也是。

    `rule` 是 "plain"、"deconvnet"、"guided" 之一，或函数 (梯度, 斜率) → 梯度。嵌套时最里层的规则说了算。
    模块、函数、原地、重复使用、嵌套的 ReLU 都管到，单独调用它的子模块时也管；只管这个线程里的前向。
    ReLU6、SiLU、Hardswish 的斜率取其导数。编译过的模型里的 ReLU 管不到，报错而不是悄悄给出普通梯度。
    """
    if isinstance(rule, str) and rule not in RELU_RULES:
        raise unknown("规则", rule, RELU_RULES, hint="，或一个函数 (梯度, 斜率) → 梯度")
    if not isinstance(rule, str) and not callable(rule):
        raise TypeError(
            f"rule 是 {describe(rule)}；可用 {'、'.join(RELU_RULES)}，或一个函数 (梯度, 斜率) → 梯度"
        )
    for name, module in model.named_modules():
        if is_compiled(module) or isinstance(module, torch.jit.ScriptModule):
            place = name or type(module).__name__
            raise ValueError(
                f"{place} 是编译过的模块，里面的 ReLU 改不了回传规则；出路：传编译之前的那个 nn.Module"
            )
    mode = _ActivationMode(RELU_RULES[rule] if isinstance(rule, str) else rule)
    hooks = []
    for module in model.modules():
        leave = functools.partial(module.register_forward_hook, always_call=True)
        hooks += [(module.register_forward_pre_hook, mode.enter_module), (leave, mode.leave_module)]
    depth = torch._C._len_torch_function_stack()
    try:
        with hooked(hooks), mode:
            yield model
    finally:
        # 中断可能落在 with 的两头之间：还留在栈上的都退掉
        while torch._C._len_torch_function_stack() > depth:
            _pop_mode()


# 计算图里还留着这些节点，就有 ReLU 一类的激活函数没有按规则回传
_UNRULED = {
    "ReluBackward0": "ReLU",
    "ThresholdBackward0": "threshold（ReLU 的一种写法）",
    "ThresholdBackward1": "threshold（ReLU 的一种写法）",
    "ClampBackward0": "clamp（ReLU 的一种写法）",
    "ClampBackward1": "clamp（ReLU 的一种写法）",
    "ClampMinBackward0": "clamp（ReLU 的一种写法）",
    "ClampMinBackward1": "clamp（ReLU 的一种写法）",
    "MaximumBackward0": "maximum（ReLU 的一种写法）",
    "MinimumBackward0": "minimum（ReLU 的一种写法）",
    "FmaxBackward0": "fmax（ReLU 的一种写法）",
    "FminBackward0": "fmin（ReLU 的一种写法）",
    "AbsBackward0": "abs（ReLU 是 (x + |x|) / 2）",
    "MaskedFillBackward0": "masked_fill（ReLU 的一种写法）",
    "MaskedFillBackward1": "masked_fill（ReLU 的一种写法）",
    "IndexPutBackward0": "按条件赋值（ReLU 的一种写法）",
    "HardtanhBackward0": "hardtanh（如 ReLU6）",
    "SiluBackward0": "SiLU",
    "HardswishBackward0": "Hardswish",
    "CeluBackward0": "CELU",
    "WhereBackward0": "where（ReLU 的一种写法）",
    "LeakyReluBackward0": "LeakyReLU",
    "RreluWithNoiseBackward0": "RReLU",
    "PreluKernelBackward0": "PReLU",
    "EluBackward0": "ELU",
    "GeluBackward0": "GELU",
    "MishBackward0": "Mish",
    "SoftplusBackward0": "Softplus",
}
# 只有这些（线性的、搬动的、归一化、取最大值的池化）时，没有激活函数，引导式梯度就是普通梯度
_LINEAR = re.compile(
    r"""(Convolution|Addmm|Mm|Bmm|Baddbmm|Mv|Add|Sub|Rsub|Neg|Mul|Div|Mean|Sum|NativeBatchNorm
    |CudnnBatchNorm|MiopenBatchNorm|AvgPool2D|AdaptiveAvgPool2D|MaxPool2DWithIndices|Amax
    |AdaptiveMaxPool2D|View|UnsafeView|Reshape|ReshapeAlias|Expand|Repeat|Permute|Transpose|T
    |Squeeze|Unsqueeze|Slice|Select|Index|IndexSelect|Gather|Split|SplitWithSizes|Unbind|Cat
    |Stack|ConstantPadNd|ReflectionPad2D|ReplicationPad2D|Clone|ToCopy|Copy|AsStrided|Alias|Flip
    |Roll|PixelShuffle|UpsampleNearest2D|UpsampleBilinear2D|Unfold|.*AccumulateGrad)""",
    re.VERBOSE,
)


def refuse_unruled(value: Tensor) -> None:
    """走一遍计算图：还有没按规则回传的 ReLU 类激活就报错，说出是哪一种、有什么出路。"""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    kinds = [_unruled(node) for node in seen if not _is_ruled(node)]
    if not any(map(_is_ruled, seen)):
        kinds += [f"激活（{node.name()}）" for node in seen if not _is_linear(node)]
    for kind in filter(None, kinds):
        raise ValueError(
            f"模型里有一处 {kind} 没有可用的回传规则，结果会悄悄变成普通梯度；"
            "出路：把它换成 nn.ReLU（或 functional.relu），或用 saliency_map 求普通梯度"
        )


def _is_ruled(node) -> bool:
    return bool(node.metadata.get("ruled")) or isinstance(node, _RuledActivation._backward_cls)


def _is_linear(node) -> bool:
    stem, parents = node.name().split("Backward")[0], [each for each, _ in node.next_functions]
    if stem in ("Mul", "Div") and None not in parents:
        return False
    return _LINEAR.fullmatch(stem) is not None


def _unruled(node) -> str | None:
    """这个节点是哪一种没有按规则回传的激活；不是就给 None。"""
    name = node.name()
    if name in _UNRULED:
        return _UNRULED[name]
    if name == "MulBackward0" and any(map(_is_gate, (node._saved_self, node._saved_other))):
        return "乘以 (x > 0)（ReLU 的一种写法）"
    parents = [parent for parent, _ in node.next_functions]
    for one, other in zip(parents, reversed(parents), strict=True):
        if name == "MulBackward0" and one is not None and _is_sigmoid_of(other, one):
            return "x·sigmoid(x)（SiLU 的一种写法）"
    # 与一个常数一起取最大：图上有一路是断的
    if name in ("AmaxBackward0", "MaxBackward0", "SortBackward0", "TopkBackward0"):
        above = node.next_functions[0][0]
        joined = above is not None and above.name() in ("StackBackward0", "CatBackward0")
        if joined and any(parent is None for parent, _ in above.next_functions):
            return f"{name[:-9].lower()}（ReLU 的一种写法）"
    # 自己写的 autograd.Function，规则看不进去
    if isinstance(node, torch.autograd.function.BackwardCFunction):
        return f"自己写的 autograd.Function（{name.removesuffix('Backward')}）"
    return None


def _is_sigmoid_of(node, value) -> bool:
    """这个节点是 sigmoid，它的输入就是 `value`，或它乘了一个常数。"""
    if node is None or node.name() != "SigmoidBackward0":
        return False
    above = node.next_functions[0][0]
    if above is not None and above is not value and above.name() == "MulBackward0":
        return value in [parent for parent, _ in above.next_functions]
    return above is value


def _is_gate(saved) -> bool:
    """0 与 1 都有、只有 0 与 1 的一张图：一道门。"""
    if not isinstance(saved, Tensor) or saved.requires_grad or saved.numel() < 2:
        return False
    if saved.dtype == torch.bool:
        return True
    return bool(((saved == 0) | (saved == 1)).all()) and bool((saved == 0).any())
