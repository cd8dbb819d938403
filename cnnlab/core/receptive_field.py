"""空间结构：一个网络里每个神经元由输入的哪些行、哪些列算出来。

前向时记下每个张量的来历（卷积、池化、填充、合并……），之后对任意尺寸精确推算，不再碰网络。
不管图像内容，也不管感受野拿去做什么。
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cnnlab.core.hooks import activations_of, as_seen
from cnnlab.core.values import pair

# 逐点运算：输出的每个位置只看输入的同一位置（通道之间怎样混合无关）
POINTWISE = {
    "abs", "add", "alpha_dropout", "batch_norm", "cat", "clamp", "clamp_min", "clone", "concat", "concatenate",
    "contiguous", "detach", "div", "double", "dropout", "elu", "exp", "feature_dropout", "float", "gelu", "hardsigmoid",
    "hardswish", "hardtanh", "iadd", "idiv", "imul", "isub", "itruediv", "leaky_relu", "local_response_norm", "maximum", "mul",
    "neg", "pow", "prelu", "relu", "relu6", "rsub", "selu", "sigmoid", "silu", "sqrt", "square", "sub", "tanh",
    "threshold", "to", "truediv",
}  # fmt: skip
# 只动通道维的运算：最后两维不变时，位置也不变
RESHAPING = {"chunk", "getitem", "reshape", "split", "tensor_split", "unsqueeze", "view"}
# 滑动窗口的几种运算和它们的参数次序
SIGNATURES = {
    "conv2d": "input weight bias stride padding dilation groups",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "pad": "input pad mode value",
}


@dataclass(frozen=True)
class Window:
    """一个方向上的滑动窗口：核长、步幅、两头的填充、膨胀、是否向上取整。"""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil: bool = False

    def output_length(self, length: int) -> int:
        """长为 `length` 的输入得到多少个输出。"""
        room = length + self.before + self.after - self.dilation * (self.kernel - 1) - 1
        count = (math.ceil(room / self.stride) if self.ceil else room // self.stride) + 1
        # 向上取整时，整个落在末尾填充里的窗口不算
        outside = self.ceil and (count - 1) * self.stride >= length + self.before
        return count - outside


@dataclass(frozen=True)
class Passage:
    """一个张量的来历：kind 为 image、window、merge、adaptive、whole、unknown；inputs 是之前几步的编号。"""

    kind: str
    inputs: tuple[int, ...] = ()
    rows: object = None
    columns: object = None


class _Tracing(TorchFunctionMode):
    """截住前向里的每个函数调用，给它的输出记一步来历；数值照常计算。"""

    def __init__(self, image: Tensor):
        super().__init__()
        self.steps = [Passage("image")]
        self.origin = {id(image): 0}
        self.alive = [image]  # 张量不释放，id 就不会被别的张量占用

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        given = [self.origin.get(id(each)) for each in _tensors((arguments, keywords))]
        inputs = tuple(dict.fromkeys(each for each in given if each is not None))
        output = function(*arguments, **keywords)
        if inputs:
            for each in _tensors(output):
                self.steps.append(_describe(function, inputs, arguments, keywords, each))
                self.origin[id(each)] = len(self.steps) - 1
                self.alive.append(each)
        return output


def trace_steps(model: nn.Module, layer: str, image_size=224) -> tuple[Passage, ...]:
    """跑一次前向，得到从图像到 `layer` 的全部步骤，最后一步就是 `layer`。

    `image_size` 是这次前向用的尺寸（整数或 (高, 宽)），结果可用于任何尺寸。遇到不认识的运算就报错，指出是哪一个。
    """
    parameter = next(model.parameters(), torch.empty(0))
    size = (1, 3, *pair(image_size))
    grey = torch.full(size, 0.5, dtype=parameter.dtype, device=parameter.device)
    image = as_seen(model, grey)
    with _Tracing(image) as tracing:
        output = activations_of(model, image, layer)[layer]
    if id(output) not in tracing.origin:
        raise ValueError(f"{layer} 的输出不是由图像一步步算出来的张量，推不出感受野")
    steps = _needed(tracing.steps, tracing.origin[id(output)])
    unknown = [step.rows for step in steps if step.kind == "unknown"]
    if unknown:
        raise ValueError(
            f"{layer} 之前用了 {unknown[0]}，推不出感受野；支持卷积、池化、填充、拼接、相加和逐点运算"
        )
    return steps


@lru_cache(maxsize=256)
def bounds(steps: tuple[Passage, ...], axis: str, length: int) -> tuple[np.ndarray, np.ndarray]:
    """输入长为 `length` 时，最后一层每个位置看到的第一个和最后一个像素（含）；什么都看不到时第一个大于最后一个。"""
    found = []
    for step in steps:
        sources = [found[index] for index in step.inputs]
        if step.kind == "image":
            found.append((np.arange(length), np.arange(length)))
        elif step.kind == "window":
            found.append(_slide(getattr(step, axis), *sources[0], length))
        elif step.kind == "adaptive":
            found.append(_adapt(getattr(step, axis), *sources[0]))
        elif step.kind == "whole":
            found.append((np.array([0]), np.array([length - 1])))
        else:
            firsts, lasts = (np.broadcast_arrays(*ends) for ends in zip(*sources, strict=True))
            found.append((np.min(firsts, 0), np.max(lasts, 0)))
    return found[-1]


def nominal(steps: tuple[Passage, ...], axis: str) -> tuple[float, int, float]:
    """不计边界时一个方向上的 (大小, 步幅, 起点)：位置 i 看到 [i·步幅 + 起点, i·步幅 + 起点 + 大小)。

    大小 ← 大小 + 膨胀·(核长 − 1)·步幅；起点 ← 起点 − 填充·步幅；步幅 ← 步幅·本层步幅。
    """
    found: list[tuple[float, int, float]] = []
    for step in steps:
        sources = [found[index] for index in step.inputs]
        if step.kind == "image":
            found.append((1, 1, 0))
        elif step.kind == "window":
            (size, stride, offset), window = sources[0], getattr(step, axis)
            reach = window.dilation * (window.kernel - 1) * stride
            found.append((size + reach, stride * window.stride, offset - window.before * stride))
        elif step.kind == "merge":
            start = min(offset for _, _, offset in sources)
            end = max(
                math.inf if size == math.inf else offset + size for size, _, offset in sources
            )
            found.append((end - start, max(stride for _, stride, _ in sources), start))
        else:
            found.append((math.inf, 1, -math.inf))
    return found[-1]


def _slide(window: Window, first, last, length: int):
    index = np.arange(window.output_length(len(first)))[:, None] * window.stride - window.before
    index = index + np.arange(window.kernel) * window.dilation
    inside = (index >= 0) & (index < len(first))
    index = index.clip(0, len(first) - 1)
    return np.where(inside, first[index], length).min(1), np.where(inside, last[index], -1).max(1)


def _adapt(count: int | None, first, last):
    size = len(first)
    count = size if count is None else count
    windows = [slice(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    return np.array([first[each].min() for each in windows]), np.array(
        [last[each].max() for each in windows]
    )


def _tensors(value):
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _needed(steps: list[Passage], last: int) -> tuple[Passage, ...]:
    """只留下 `last` 用得到的步骤，重新编号。"""
    wanted, queue = set(), [last]
    while queue:
        index = queue.pop()
        if index not in wanted:
            wanted.add(index)
            queue.extend(steps[index].inputs)
    number = {old: new for new, old in enumerate(sorted(wanted))}
    kept = [steps[old] for old in number]
    return tuple(replace(step, inputs=tuple(number[i] for i in step.inputs)) for step in kept)


def _describe(function, inputs, arguments, keywords, output: Tensor) -> Passage:
    name = getattr(function, "__name__", str(function)).strip("_")
    options = _bind(name, arguments, keywords)
    if name == "pad":
        left, right, top, bottom = (*options["pad"], 0, 0)[:4]
        if options["mode"] != "constant":
            return Passage("unknown", inputs, rows=f"{options['mode']} 填充")
        return Passage("window", inputs, Window(1, 1, top, bottom), Window(1, 1, left, right))
    if name in SIGNATURES:
        return Passage("window", inputs[:1], *_windows(name, options))
    single = tuple(output.shape[-2:]) == (1, 1)
    if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d") and not single:
        return Passage("adaptive", inputs, *pair((*arguments, keywords.get("output_size"))[1]))
    if output.dim() < 3 or (single and name not in POINTWISE):
        return Passage("whole", inputs)
    # 用一组下标重新排行列（x[:, :, 下标]）：尺寸没变，位置变了
    if name == "getitem" and any(map(_is_index_list, _parts(arguments[1]))):
        return Passage("unknown", inputs, rows="按一组下标取行列")
    same_size = output.shape[-2:] in {
        each.shape[-2:] for each in _tensors((arguments, keywords)) if each.dim() > 2
    }
    channels_only = (
        name == "transpose" and min(arguments[1:3]) >= 0 and max(arguments[1:3]) < output.dim() - 2
    )
    if same_size and (name in POINTWISE or name in RESHAPING or channels_only):
        return Passage("merge", inputs)
    return Passage("unknown", inputs, rows=name)


def _parts(index) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _is_index_list(part) -> bool:
    return isinstance(part, (list, np.ndarray)) or (isinstance(part, Tensor) and part.dim() > 0)


_USUAL = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "mode": "constant"}


def _bind(name: str, arguments, keywords) -> dict:
    names = SIGNATURES.get(name, "").split()
    return _USUAL | dict(zip(names, arguments, strict=False)) | keywords


def _windows(name: str, options: dict) -> tuple[Window, Window]:
    of_conv, padding, windows = name == "conv2d", options["padding"], []
    kernels = options["weight"].shape[-2:] if of_conv else pair(options["kernel_size"])
    strides = pair(options["stride"] or (1 if of_conv else kernels))
    sides = zip(kernels, strides, pair(options["dilation"]), (0, 1), strict=True)
    for kernel, stride, dilation, axis in sides:
        total = dilation * (kernel - 1)
        same = {"same": (total // 2, total - total // 2), "valid": (0, 0)}
        before, after = same[padding] if isinstance(padding, str) else (pair(padding)[axis],) * 2
        ceil = bool(options["ceil_mode"])
        windows.append(Window(kernel, stride, before, after, dilation, ceil))
    return tuple(windows)
