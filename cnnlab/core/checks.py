"""核对参数：图像、整数、向量、一层的激活图；不合的用一句话说出是哪个、应是什么。

不管哪个函数收什么：那在 arguments。
"""

import math
import operator
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def describe(value) -> str:
    """一个参数是什么：张量说形状与类型，数与短的字照写，几个数的一组照写，别的说类型。"""
    if isinstance(value, Tensor | np.ndarray):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    value = str(value) if isinstance(value, Path) else value
    if value is None or isinstance(value, bool | int | float | str | np.generic | tuple | list):
        text = " ".join(repr(value).split())
        return text if len(text) <= 60 else text[:60] + "…"
    return value.__name__ if isinstance(value, type) else type(value).__name__


def whole(value, name: str, least: int | None = None, most: int | None = None) -> int:
    """一个整数：Python 的、numpy 的或一个数的张量都行，布尔不行；不在范围里时说明。"""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = value.item()
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} 是 {describe(value)}，应是整数")
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
    with suppress(TypeError, ValueError):
        first, second = wholes(value, name)
        return first, second
    raise ValueError(f"{name} 是 {describe(value)}，应是 (高, 宽) 或 (行, 列) 两个整数")


def finite_ends(values: Tensor, name: str) -> tuple[float, float]:
    """最小的和最大的数；里面有 NaN 或无穷大时说明。"""
    # 一遍取最小与最大：比 isfinite 逐个看快五倍，NaN 也会传到两头
    low, high = (float(end) for end in values.detach().aminmax())
    if not math.isfinite(low + high):
        raise ValueError(f"{name}里有 NaN 或无穷大；查一查它是怎么算出来的")
    return low, high


def from_array(value) -> Tensor:
    """numpy 数组、数据表或嵌套的列表变成张量；倒着的、只读的、字节倒序的数组先抄一份 torch 收的。"""
    if not hasattr(value, "__array__"):
        return torch.as_tensor(value)
    array = np.asarray(value)
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable else array.copy())


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


def as_maps(activation, layer: str, image: Tensor) -> Tensor:
    """一层的激活，(N, C, h, w)；没有位置的层当作 1×1 的图。"""
    if check_tensor(activation, layer).dim() == 4:
        return check_maps(activation, layer, image)
    return activation.flatten(1)[:, :, None, None]


def _like_image(size, image: Tensor) -> bool:
    """(h, w) 与图像的长宽比相同，允许取整差一格。"""
    (rows, columns), (height, width) = size, image.shape[-2:]
    return (
        abs(rows * width / height - columns) <= 1.5 or abs(columns * height / width - rows) <= 1.5
    )


def is_chinese(error: Exception) -> bool:
    """错误里的话是不是写给读者的；系统的错里中文只在路径上，不算。"""
    text = getattr(error, "strerror", None) or str(error)
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def check_images(
    image: Tensor, *, minimum: int = 1, bounded: bool = True, channels: tuple[int, ...] = (3, 1)
) -> Tensor:
    """核对一批图像并原样返回；不合约定时说明错在哪里、应该怎样。

    形状 (N, 3, H, W)（灰度网络的图是 (N, 1, H, W)；通道数在 `channels` 里），浮点，取值 [0, 1]（`bounded=False` 时
    只要求有限、不像 0–255），高和宽不小于 `minimum`。
    """
    _tensor_image(image)
    if image.dim() != 4 or image.shape[1] not in channels:
        shape, wanted = tuple(image.shape), channels[0]
        raise ValueError(
            f"图像的形状是 {shape}，应为 (N, {wanted}, H, W)；{_remedy(shape, wanted)}"
        )
    _floating_image(image)
    if image.numel() == 0:
        raise ValueError(f"图像是空的：形状 {tuple(image.shape)}")
    if min(image.shape[-2:]) < minimum:
        raise ValueError(f"图像太小：{tuple(image.shape[-2:])}，高和宽至少要 {minimum} 像素")
    low, high = finite_ends(image, "图像")
    if bounded and (low < -1e-3 or high > 1 + 1e-3):
        raise ValueError(
            f"图像的取值在 [{low:.3g}, {high:.3g}]，应在 [0, 1]；归一化由模型完成，0–255 的图像先除以 255，略微超出的用 image.clamp(0, 1)"
        )
    if high > 20:
        raise ValueError(f"图像的最大值是 {high:.0f}，像是 0–255 的图像；先除以 255")
    return image


def _remedy(shape: tuple[int, ...], channels: int) -> str:
    """形状不对的图像怎样变成 (N, channels, H, W)。"""
    if len(shape) == 2:
        return "一张灰度图先加两维：image[None, None]"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "单张图像先加一维：image[None]"
    if len(shape) == 4 and shape[1] == 3 != channels:
        return "先变成灰度：image.mean(1, keepdim=True)"
    if len(shape) == 4 and shape[1] == 1 != channels:
        return "灰度图先 image.expand(-1, 3, -1, -1)"
    if len(shape) == 4 and shape[-1] in (1, 3):
        return "维度次序不对，先 image.permute(0, 3, 1, 2)"
    if len(shape) == 4 and shape[1] == 4:
        grey = "" if channels == 3 else ".mean(1, keepdim=True)"
        return f"多了透明通道，只留颜色：image[:, :3]{grey}"
    return f"即 N 张、{'红绿蓝三个通道' if channels == 3 else '一个灰度通道'}、高、宽"


def _tensor_image(image) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(
            f"图像应当是 torch.Tensor，得到的是 {type(image).__name__}；文件、PIL 图像或 numpy 数组先用 load_image 读入"
        )
    if image.layout != torch.strided or image.is_meta:
        raise ValueError("图像是稀疏的，或在 meta 设备上没有数；稀疏的先 image.to_dense()")


def _floating_image(image: Tensor) -> None:
    if not image.is_floating_point():
        raise ValueError(f"图像的类型是 {image.dtype}，应为浮点数，取值 [0, 1]；整数图像先除以 255")


def check_single(image: Tensor, name: str) -> Tensor:
    """核对恰是一张图像 (1, 3, H, W)。"""
    if len(check_images(image)) != 1:
        raise ValueError(f"{name} 有 {len(image)} 张，应为一张 (1, 3, H, W)：取其中一张 {name}[:1]")
    return image


def check_kind(image: Tensor, parameter: Tensor | None = None) -> Tensor:
    """图像送到网络参数所在的设备，变成它的浮点类型（numpy 来的多是 float64）；不是张量、不是浮点时说明。"""
    _tensor_image(image)
    _floating_image(image)
    if parameter is None or not parameter.is_floating_point():
        return image
    # 先换类型：有的设备没有 float64
    return image.to(parameter.dtype).to(parameter.device)


# 再大，一张 float32 的图就要占 1 GB 以上
LARGEST_SIZE = 2**13


def check_size(size, name: str = "size") -> int | tuple[int, int]:
    """目标尺寸：正整数，或 (高, 宽)；numpy 的整数也行。"""
    sides = size if isinstance(size, tuple | list) else (size,)
    try:
        found = tuple(whole(side, name, 1) for side in sides)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} 是 {describe(size)}，应是正整数或 (高, 宽)") from None
    if len(found) not in (1, 2):
        raise ValueError(f"{name} 是 {describe(size)}，应是正整数或 (高, 宽)")
    if found[0] * found[-1] > LARGEST_SIZE**2:
        raise ValueError(
            f"{name} 是 {describe(size)}，一张图就要占几 GB 内存；最大 {LARGEST_SIZE} 见方，或高乘宽不比它多"
        )
    return found if len(found) == 2 else found[0]
