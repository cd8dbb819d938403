"""一个参数的值：一个数、一组数、标签、下标、掩码、张量；不合的用一句话说出是哪个、应是什么。

不管哪个函数的哪个参数该是什么：那在 arguments。
"""

import inspect
import math
import typing
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from cnnlab.core.checks import describe, from_array, whole


def is_number(value) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


_ITEMS = {str: "字符串", float: "数", int: "整数", Tensor: "张量", Callable: "函数"}


def several(value, name: str, kind):
    """一组同样的东西，不空；数要是有限的。"""
    word = _ITEMS.get(typing.get_origin(kind) or kind, getattr(kind, "__name__", "值"))
    if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and kind is not Tensor):
        value = value.tolist()
    text = isinstance(value, str | bytes) and kind is not str
    if text or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name} 应是一组{word}，得到 {describe(value)}")
    value = value if hasattr(value, "__len__") else list(value)
    if len(value) == 0:
        raise ValueError(f"{name} 是空的，至少要一个{word}")
    if kind in (int, float):
        check = number if kind is float else whole
        return [check(each, f"{name} 的第 {index} 项") for index, each in enumerate(value)]
    if typing.get_origin(kind) is Callable:
        wrong = [each for each in value if not callable(each)]
    else:
        wrong = [each for each in value if isinstance(kind, type) and not isinstance(each, kind)]
    if wrong:
        way = "；先 torch.as_tensor(…)" if kind is Tensor else ""
        raise TypeError(f"{name} 里应都是{word}，有一个是 {describe(wrong[0])}{way}")
    return value


def pair(value) -> tuple:
    """一个数变成 (高, 宽) 两个一样的，两个数的原样。"""
    value = tuple(value) if hasattr(value, "__len__") else (value,)
    return value * 2 if len(value) == 1 else value


def groups(value, name: str, length: int):
    """几组数，每组 `length` 个。"""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) == 0:
        raise TypeError(f"{name} 应是几组数，每组 {length} 个，得到 {describe(value)}")
    for each in value:
        if not isinstance(each, Sequence) or len(each) != length or not all(map(is_number, each)):
            raise ValueError(f"{name} 的每一项应是 {length} 个数，有一项是 {describe(each)}")
    return value


def one_of(value, name: str, choices: tuple):
    """几个词里的一个：可用的写在注解 Literal["a", "b"] 里。"""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} 是 {describe(value)}；可用 {'、'.join(map(repr, choices))}")
    return value


def taking(value, name: str, count: int):
    """收 `count` 个参数的函数；看不出收几个的（C 写的）不问。"""
    if not callable(value):
        raise TypeError(f"{name} 应是函数，得到 {describe(value)}")
    with suppress(ValueError):
        signature = inspect.signature(value)
        try:
            signature.bind(*[None] * count)
        except TypeError:
            raise TypeError(
                f"{name} 要能收 {count} 个参数，给的函数收 {signature}；用不着的也要写上"
            ) from None
    return value


def anything(value, name: str):
    """什么都收：函数自己说。"""
    return value


# 再大，float32 里平方就溢出了
LARGEST = 1e18


def number(value, name: str, least: float | None = None, most: float | None = None) -> float:
    """一个有限的数：Python 的、numpy 的或一个数的张量都行，布尔不行；不在范围里时说明。"""
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} 是 {describe(value)}，应是一个数")
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise ValueError(f"{name} 是 {value}，应是有限的数，不能大得平方之后溢出")
    if (least is not None and value < least) or (most is not None and value > most):
        low = "大于 0" if least == 1e-12 else f"不小于 {least}"
        bounds = low if most is None else f"{low}、不大于 {most}"
        raise ValueError(f"{name} 是 {value}，应{bounds}")
    return value


def labels(value, name: str):
    """每行一个标签：列表、元组、numpy 数组或一维张量，不空。"""
    wrong = f"{name} 应是一组标签，每行一个，得到 {describe(value)}"
    if isinstance(value, str) or not isinstance(value, Iterable) or not hasattr(value, "__len__"):
        raise TypeError(wrong)
    if getattr(value, "ndim", 1) != 1 or len(value) == 0:
        raise ValueError(wrong)
    # 数据表的一列按行号取，不按次序取：换成列表
    return value.tolist() if hasattr(value, "iloc") else value


def label_codes(labels) -> Tensor:
    """每个标签换成它的编号 (N,)：标签从小到大排，从 0 数起。"""
    names = labels.cpu() if isinstance(labels, Tensor) else labels
    return torch.from_numpy(np.unique(names, return_inverse=True)[1])


def indices(value, name: str) -> Tensor:
    """整数的张量，不空。"""
    found = as_tensor(value, name, "整数的")
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(f"{name} 应是整数的张量，得到 {describe(found)}")
    if found.numel() == 0:
        raise ValueError(f"{name} 是空的：形状 {tuple(found.shape)}")
    return found.long()


def masks(value, name: str) -> Tensor:
    """布尔张量；0 和 1 的数也行。"""
    mask = as_tensor(value, name)
    if mask.numel() == 0:
        raise ValueError(f"{name} 是空的：形状 {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{name} 应是布尔的掩码，得到 {describe(mask)}，里面有 0、1 之外的数")
    return mask.bool()


def as_tensor(value, name: str, shape: str = "") -> Tensor:
    if not isinstance(value, Tensor):
        with suppress(TypeError, ValueError, RuntimeError, OverflowError):
            plain = value is None or isinstance(value, type) or np.ndim(value) == 0
            value = None if plain else from_array(value)
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} 应是{shape}张量或 numpy 数组，得到 {describe(value)}")
    if value.layout != torch.strided:
        raise TypeError(f"{name} 是稀疏的张量；先 {name}.to_dense()")
    if value.is_meta:
        raise ValueError(f"{name} 在 meta 设备上，只有形状，没有数")
    return value
