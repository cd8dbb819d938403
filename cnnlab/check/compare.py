"""练习检查的第一关和第四关：答案的形式，与答案的值。

说得出学习者自己的形状和下标，说不出参考答案的任何数。
"""

import math
from typing import Any

import numpy
import torch
from torch import Tensor

from cnnlab.check.effects import leaves


def as_tensor(value) -> Tensor | None:
    """数和普通的张量都变成 CPU 上的张量；别的东西得 None。"""
    if isinstance(value, Tensor):
        return None if unusual(value) else value.detach().cpu()
    if isinstance(value, (bool, int, float, numpy.bool_, numpy.integer, numpy.floating)):
        try:
            return torch.tensor(float(value), dtype=torch.float64)
        except OverflowError:
            return None
    return None


def unusual(value) -> str | None:
    """不是普通张量的那些：它是什么，该怎么办；普通的值没有话说。"""
    if isinstance(value, numpy.ndarray):
        return (
            "是 NumPy 数组，题目要的是张量：用 torch 的函数算，或者最后用 torch.from_numpy 换回来。"
        )
    if not isinstance(value, Tensor):
        return None
    if value.is_meta:
        return "是 meta 张量：只有形状，没有值。"
    if value.is_quantized:
        return "是量化张量：先 dequantize()。"
    if value.is_nested or value.layout is not torch.strided:
        return "是稀疏张量：先 to_dense()。"
    return None


def described(value) -> str:
    """学习者返回的东西，说成一句短话。"""
    if isinstance(value, Tensor) and value.is_nested:
        return "嵌套张量"
    if isinstance(value, Tensor):
        return f"形状 {tuple(value.shape)} 的 {_plain_dtype(value)} 张量"
    if isinstance(value, (tuple, list)) and 0 < len(value) <= 4:
        inner = "、".join("…" if item is value else _short(item) for item in value)
        return f"一个 {type(value).__name__}（{inner}）"
    return _short(value)


def _short(value) -> str:
    return described(value) if isinstance(value, Tensor) else f"一个 {type(value).__name__}"


def _plain_dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _close(first: Tensor, second: Tensor, tolerance: float) -> Tensor:
    if first.is_complex() and second.is_complex():
        parts = [torch.view_as_real(value.resolve_conj()) for value in (first, second)]
        return _close(*parts, tolerance).all(-1)
    first, second = first.double(), second.double()
    finite = second[second.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.isclose(
        first, second, rtol=tolerance, atol=tolerance * scale + 1e-12, equal_nan=True
    )


_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def single_precision(found, wanted) -> bool:
    """检查用 float64 算，而学习者新建的张量是缺省的 float32：值对就收，容差放宽。"""
    pair = found, wanted
    return all(isinstance(x, Tensor) for x in pair) and (
        (found.dtype, wanted.dtype) == (torch.float32, torch.float64)
    )


def _kind(tensor: Tensor) -> object:
    # 单个的数不分整数、浮点和精度，免得 3 与 3.0 算作不同；整数不分长短
    if tensor.dim() == 0:
        return None
    return "整数" if tensor.dtype in _WHOLE else tensor.dtype


def parts(output, expected) -> list[tuple[str, Any, Any]] | None:
    """一一对应的各项：(叫法, 学习者的, 标准的)；标准的不是容器时是它自己，对不上时是 None。"""
    if isinstance(expected, dict):
        if not isinstance(output, dict) or list(map(repr, output)) != list(map(repr, expected)):
            return None
        return [(f"键 {key!r} 的值", output[key], expected[key]) for key in expected]
    if isinstance(expected, (tuple, list)):
        if not isinstance(output, (tuple, list)) or len(output) != len(expected):
            return None
        pairs = enumerate(zip(output, expected, strict=True), 1)
        return [(f"第 {number} 个值", a, b) for number, (a, b) in pairs]
    return [("", output, expected)]


def same(first, second, tolerance: float) -> bool:
    """两个答案是否相同：结构、形状、类型相同，值在容差以内。"""
    if isinstance(second, (dict, tuple, list)):
        pairs = parts(first, second)
        return pairs is not None and all(same(a, b, tolerance) for _, a, b in pairs)
    a, b = as_tensor(first), as_tensor(second)
    if a is None or b is None:
        return _equal_things(first, second)
    if a.numel() == b.numel() == 1:
        a, b = a.reshape(()), b.reshape(())
    rounded = single_precision(a, b)
    if a.shape != b.shape or (_kind(a) != _kind(b) and not rounded):
        return False
    return bool(_close(a, b, max(tolerance, 1e-5) if rounded else tolerance).all())


def _equal_things(first, second) -> bool:
    """不是张量也不是数的东西；不普通的张量（meta、稀疏）与谁都不同。"""
    if type(first) is not type(second) or isinstance(first, Tensor):
        return False
    try:
        return bool(first == second)
    except Exception:  # 学习者返回的东西可能比不得
        return False


def first_difference(output, expected, tolerance: float) -> str:
    """第一处不同的位置，只说下标，不说值。"""
    if isinstance(expected, (dict, tuple, list)):
        wrong = (n for n, a, b in parts(output, expected) if not same(a, b, tolerance))
        return f"{next(wrong)}不对。"
    a, b = as_tensor(output), as_tensor(expected)
    if a is None or b is None or a.dim() == 0:
        return ""
    wrong = (~_close(a, b, tolerance)).nonzero()
    if not len(wrong):
        return ""
    return f"第一处不同在下标 {tuple(wrong[0].tolist())}，共 {len(wrong)} 处。"


def form_fault(output, expected, *, keeps_graph: bool, name: str = "返回值") -> str | None:
    """形式上的第一个毛病；expected 为 None 时只看有限与计算图。"""
    told = [fault for fault in map(unusual, leaves(output)) if fault]
    if told:
        return f"{name}{told[0]}"
    if expected is not None:
        fault = _structure_fault(output, expected, keeps_graph, name)
        if fault:
            return fault
    if isinstance(expected, (dict, tuple, list)):
        return None
    for value in leaves(output):
        if isinstance(value, Tensor) and value.requires_grad and not keeps_graph:
            return f"{name}还挂在计算图上（requires_grad=True）：占着内存，也画不成图；最后加 .detach()。"
        found, wanted = as_tensor(value), as_tensor(expected)
        if (
            found is not None
            and not found.isfinite().all()
            and (wanted is None or wanted.isfinite().all())
        ):
            return f"{name}里有 NaN 或无穷大。"
    return None


def _structure_fault(output, expected, keeps_graph: bool, name: str) -> str | None:
    if output is None:
        return "函数返回了 None：是不是忘了 return？"
    pairs = parts(output, expected)
    if pairs is None and isinstance(expected, dict):
        if not isinstance(output, dict):
            return f"{name}的类型是 {type(output).__name__}，应当是字典。"
        return f"{name}的键是 {list(output)}，键或次序不对。"
    if pairs is None:
        if not isinstance(output, (tuple, list)):
            return f"{name}是{described(output)}，应当是一个元组或列表，个数见题目。"
        return f"{name}里有 {len(output)} 项，个数不对。"
    if not isinstance(expected, (dict, tuple, list)):
        return _leaf_fault(output, expected, name)
    faults = (form_fault(a, b, keeps_graph=keeps_graph, name=label) for label, a, b in pairs)
    return next((fault for fault in faults if fault), None)


def _leaf_fault(output, expected, name: str) -> str | None:
    found, wanted = as_tensor(output), as_tensor(expected)
    if wanted is None:
        if isinstance(output, type(expected)):
            return None
        return f"{name}的类型是 {type(output).__name__}，不对。"
    if type(output).__module__ == "torch.return_types":
        pair = type(output).__name__
        return f"{name}是 torch.{pair} 给的一对 (values, indices)：取其中的 .values。"
    if found is None:
        return f"{name}的类型是 {type(output).__name__}，应当是张量或数。"
    if type(expected) is int and isinstance(output, (float, numpy.floating)):
        return f"{name}是小数（{type(output).__name__}），应当是整数。"
    if math.prod(found.shape) == math.prod(wanted.shape) == 1 and not wanted.dim():
        return None
    if found.shape != wanted.shape:
        return f"{name}的形状是 {tuple(found.shape)}，不对。"
    if _kind(found) != _kind(wanted) and not single_precision(found, wanted):
        return f"{name}的数据类型是 {_plain_dtype(found)}，不对。{_dtype_advice(found, wanted)}"
    return None


ROUNDED = "返回的是 float32，只准到六七位。检查用 float64 算；新建的张量要跟着输入走，如 image.new_zeros(…) 或 dtype=image.dtype。"


def _dtype_advice(found: Tensor, wanted: Tensor) -> str:
    if found.is_floating_point() and wanted.dtype == torch.float64:
        return ROUNDED.partition("。")[2]
    if found.is_complex():
        return "它还是复数：取实部，或用 irfft 一类的函数。"
    return ""
