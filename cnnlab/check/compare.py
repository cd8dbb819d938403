"""练习检查的第一关和第四关：答案的形式，与答案的值。

说得出学习者自己的形状和下标，说不出参考答案的任何数。
"""

import math
from collections.abc import Sequence

import numpy
import torch
from torch import Tensor

from cnnlab.check.effects import leaves


def as_tensor(value) -> Tensor | None:
    """数、NumPy 数组和张量都变成 CPU 上的张量；别的东西得 None。"""
    if isinstance(value, Tensor):
        # meta 张量没有值，当作不是张量
        return None if value.is_meta else value.detach().cpu()
    if isinstance(value, (bool, int, float, numpy.generic)):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, numpy.ndarray) and value.dtype.kind in "biuf":
        return torch.as_tensor(value.copy())
    return None


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


def _kind(tensor: Tensor) -> object:
    # 单个的数不分整数、浮点和精度，免得 3 与 3.0 算作不同
    return None if tensor.dim() == 0 else tensor.dtype


def same(first, second, tolerance: float) -> bool:
    """两个答案是否相同：结构、形状、类型相同，值在容差以内。"""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = list(first) == list(second)
        return keys and all(same(first[key], second[key], tolerance) for key in first)
    if isinstance(first, (tuple, list)) and isinstance(second, (tuple, list)):
        return len(first) == len(second) and all(
            same(a, b, tolerance) for a, b in zip(first, second, strict=True)
        )
    a, b = as_tensor(first), as_tensor(second)
    if a is None or b is None:
        return type(first) is type(second) and bool(first == second)
    if a.numel() == b.numel() == 1:
        a, b = a.reshape(()), b.reshape(())
    if a.shape != b.shape or _kind(a) != _kind(b):
        return False
    return bool(_close(a, b, tolerance).all())


def first_difference(output, expected, tolerance: float) -> str:
    """第一处不同的位置，只说下标，不说值。"""
    if isinstance(expected, dict):
        for key in expected:
            if not same(output[key], expected[key], tolerance):
                return f"键 {key!r} 的值不对。"
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        for index, (a, b) in enumerate(zip(output, expected, strict=True)):
            if not same(a, b, tolerance):
                return f"返回的第 {index + 1} 个值不对。"
    a, b = as_tensor(output), as_tensor(expected)
    if a is None or b is None or a.dim() == 0:
        return ""
    wrong = (~_close(a, b, tolerance)).nonzero()
    if not len(wrong):
        return ""
    return f"第一处不同在下标 {tuple(wrong[0].tolist())}，共 {len(wrong)} 处。"


def form_fault(output, expected, *, keeps_graph: bool, name: str = "返回值") -> str | None:
    """形式上的第一个毛病；expected 为 None 时只看有限与计算图。"""
    if expected is not None:
        fault = _structure_fault(output, expected, keeps_graph, name)
        if fault:
            return fault
    if isinstance(expected, (dict, tuple, list)):
        return None
    for value in leaves(output):
        if isinstance(value, Tensor) and value.requires_grad and not keeps_graph:
            return f"{name}还挂在计算图上（requires_grad=True）：占着内存，也画不成图。"
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
    if isinstance(expected, dict):
        if not isinstance(output, dict):
            return f"{name}的类型是 {type(output).__name__}，应当是字典。"
        if list(map(str, output)) != list(map(str, expected)):
            return f"{name}的键是 {list(output)}，键或次序不对。"
        pairs = [(output[key], expected[key], f"键 {key!r} 的值") for key in expected]
    elif isinstance(expected, (tuple, list)):
        if not isinstance(output, (tuple, list)) or len(output) != len(expected):
            return f"{name}应当是一个元组或列表，个数见题目。"
        pairs = [
            (a, b, f"第 {i + 1} 个值")
            for i, (a, b) in enumerate(zip(output, expected, strict=True))
        ]
    else:
        return _leaf_fault(output, expected, name)
    faults = (form_fault(a, b, keeps_graph=keeps_graph, name=label) for a, b, label in pairs)
    return next((fault for fault in faults if fault), None)


def _leaf_fault(output, expected, name: str) -> str | None:
    found, wanted = as_tensor(output), as_tensor(expected)
    if wanted is None:
        if isinstance(output, type(expected)):
            return None
        return f"{name}的类型是 {type(output).__name__}，不对。"
    if found is None:
        return f"{name}的类型是 {type(output).__name__}，应当是张量或数。"
    if math.prod(found.shape) == math.prod(wanted.shape) == 1 and not wanted.dim():
        return None
    if found.shape != wanted.shape:
        return f"{name}的形状是 {tuple(found.shape)}，不对。"
    if _kind(found) != _kind(wanted):
        return f"{name}的数据类型是 {str(found.dtype).removeprefix('torch.')}，不对。"
    return None
