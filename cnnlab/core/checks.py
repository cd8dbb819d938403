"""核对参数：整数、一层的激活图；不合的用一句话说出是哪个、应是什么。

图像的核对在 images。
"""

import operator
from collections.abc import Iterable

import torch
from torch import Tensor


def whole(value, name: str, least: int | None = None, most: int | None = None) -> int:
    """一个整数：Python 的、numpy 的或一个数的张量都行，布尔不行；不在范围里时说明。"""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = value.item()
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} 是 {value!r}，应是整数")
    if (least is not None and number < least) or (most is not None and number > most):
        bounds = f"应不小于 {least}" if most is None else f"应在 {least} 与 {most} 之间"
        raise ValueError(f"{name} 是 {number}，{bounds}")
    return number


def wholes(values, name: str, least: int | None = None, most: int | None = None) -> list[int]:
    """一个整数或一组整数，变成列表；空的不行。"""
    if (
        isinstance(values, str)
        or not isinstance(values, Iterable)
        or getattr(values, "ndim", 1) == 0
    ):
        values = [values]
    numbers = [whole(value, name, least, most) for value in values]
    if not numbers:
        raise ValueError(f"{name} 是空的，至少要一个整数")
    return numbers


def two_wholes(value, name: str) -> tuple[int, int]:
    """(高, 宽) 或 (行, 列) 两个整数。"""
    numbers = wholes(value, name)
    if len(numbers) != 2:
        raise ValueError(f"{name} 是 {value!r}，应是 (高, 宽) 或 (行, 列) 两个整数")
    return numbers[0], numbers[1]


def vectors(x, name: str = "x", rows: int = 1) -> Tensor:
    """一组向量 (N, D)，浮点张量（numpy 数组和列表先变成张量），至少 `rows` 行，没有 NaN。"""
    try:
        x = x if isinstance(x, Tensor) else torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name} 应是 (N, D) 的张量或 numpy 数组，得到 {type(x).__name__}"
        ) from None
    if x.dim() != 2 or len(x) < rows or x.shape[1] == 0 or x.is_complex():
        raise ValueError(
            f"{name} 应为 (N, D)，至少 {rows} 行，得到 {tuple(x.shape)}；图像先用 pixel_vectors 或 extract_features 变成向量"
        )
    x = x if x.is_floating_point() else x.float()
    # 一遍取最小与最大：比 isfinite 逐个看快五倍，NaN 也会传到两头
    if not torch.stack(x.detach().aminmax()).isfinite().all():
        raise ValueError(f"{name} 里有 NaN 或无穷大；查一查它是怎么算出来的")
    return x


def check_tensor(activation, layer: str) -> Tensor:
    """一层的输出是张量；几个输出的层要换一层。"""
    if not isinstance(activation, Tensor):
        raise ValueError(
            f"层 {layer!r} 的输出是 {type(activation).__name__}，不是一个张量；换它里面或后面的一层"
        )
    return activation


def check_maps(activation, layer: str, image: Tensor) -> Tensor:
    """核对一层的激活是 (N, C, h, w)：通道在后的（如 Swin）、不是图的，都说明。"""
    shape = tuple(getattr(activation, "shape", ()))
    if not isinstance(activation, Tensor) or activation.dim() != 4:
        found = (
            "没有用到" if activation is None else f"的输出是 {shape or type(activation).__name__}"
        )
        raise ValueError(f"层 {layer!r} {found}，应是 (N, C, h, w) 的激活图；换一个卷积层")
    if not _like_image(shape[2:], image) and _like_image(shape[1:3], image):
        raise ValueError(
            f"层 {layer!r} 的输出是 {shape}，通道在最后一维，应是 (N, C, h, w)；换一个通道在前的层，"
            "或把它后面接的 permute 写成模块再取"
        )
    return activation


def _like_image(size, image: Tensor) -> bool:
    """(h, w) 与图像的长宽比相同，允许取整差一格。"""
    (rows, columns), (height, width) = size, image.shape[-2:]
    return (
        abs(rows * width / height - columns) <= 1.5 or abs(columns * height / width - rows) <= 1.5
    )
