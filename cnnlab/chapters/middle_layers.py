"""中间层的卷积核：一个通道一张灰度小图，以及把下面各层合进来、展开到像素上的卷积核。

不画图；能直接当彩图看的第一层见 first_layer。
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import activations_of, as_seen, channel_list
from cnnlab.core.measures import correlation
from cnnlab.core.receptive_field import nominal, trace_steps
from cnnlab.core.relu_rules import RELUS
from cnnlab.engine.gradients import pixel_leaf

_MAX_POOLS = {functional.max_pool2d, torch.max_pool2d}


@checked(weight="O I k k")
def kernel_planes(weight: Tensor, scale: Literal["each", "plane", "common"] = "each") -> Tensor:
    """每个卷积核的每个输入通道一张灰度图：(O, I, k, k) → (O, I, k, k)，取值 [0, 1]，中灰为 0。

    scale="each"：同一个核的 I 张共用一把尺；"plane"：每张自己一把尺；"common"：全层一把尺。
    分组卷积的 I 是一组的通道数。
    """
    axes = {"each": (1, 2, 3), "plane": (2, 3), "common": (0, 1, 2, 3)}
    weight = weight.detach()
    largest = weight.abs().amax(axes[scale], keepdim=True)
    return 0.5 + 0.5 * weight / largest.clamp_min(torch.finfo(weight.dtype).tiny)


@checked(planes="O I k k")
def plane_sheet(planes: Tensor, gap: int = 1) -> Tensor:
    """把 (O, I, k, k) 的灰度图排成一大张 (高, 宽)：一行一个卷积核，一列一个输入通道，缝为白色。"""
    rows, columns, height, width = planes.shape
    sheet = functional.pad(planes, (0, gap, 0, gap), value=1.0)
    sheet = sheet.transpose(1, 2).flatten(2).flatten(0, 1)
    return sheet[: rows * (height + gap) - gap, : columns * (width + gap) - gap]


@checked(weight="O I k k")
def shuffled_within(weight: Tensor, *, seed: int = 0) -> Tensor:
    """每个卷积核内部的数各自打乱次序：数值原样都在，排法没有了；形状同 `weight`。"""
    generator = torch.Generator().manual_seed(seed)
    rows = weight.detach().flatten(1)
    order = torch.stack([torch.randperm(rows.shape[1], generator=generator) for _ in rows])
    return rows.gather(1, order.to(rows.device)).view_as(weight)


@checked(weight="O I k k")
def plane_agreement(weight: Tensor) -> Tensor:
    """每个卷积核的各通道小图有多合拍，(O,)：最大奇异值的平方占总能量的份额，1 为各张只差一个倍数。

    s = σ₁² / Σ σᵢ²，奇异值取自 (I, k·k) 的矩阵；打乱之后份额变小。
    """
    singular = torch.linalg.svdvals(weight.detach().flatten(2))
    return singular[:, 0].square() / singular.square().sum(1).clamp_min(1e-12)


@checked(weight="O I k k")
def plane_roughness(weight: Tensor) -> Tensor:
    """每个卷积核 (O, I, k, k) 逐张看有多毛糙，(O,)：相邻格子之差的平方和除以总能量，越小越平滑。"""
    weight = weight.detach()
    change = weight.diff(dim=2).square().sum((1, 2, 3)) + weight.diff(dim=3).square().sum((1, 2, 3))
    return change / weight.square().sum((1, 2, 3)).clamp_min(1e-12)


@checked
def expanded_kernels(
    model: nn.Module, layer: str, channels=None, *, image: Tensor | None = None
) -> Tensor:
    """`layer` 的卷积核经下面各层展开到像素上：(C, 3, R, R)，R 是感受野的边长。

    K_c = ∂a_c(i, j) / ∂x，只取神经元 (i, j) 的感受野，它整个在图像之内。
    不给 `image`：网络先线性化（ReLU 当作恒等，最大池化当作平均池化），结果与图像无关，就是各层权重的合成。
    给了 (N, 3, H, W)：网络照常，在每张图的中央求，再对图取平均。`layer` 该是 ReLU 之前的卷积层。
    看到整张图的层、横竖感受野不同的层、装不下感受野的图：ValueError。来源：Voss 等（2021）。
    """
    size, stride, offset = field = _square_field(model, layer)
    if image is None:
        with _Linearised():
            return expanded_kernels(model, layer, channels, image=_smallest_image(model, field))
    i, j = (_middle(side, field, layer) for side in image.shape[-2:])
    top, left = i * stride + offset, j * stride + offset
    with pixel_leaf(model, image) as leaf:
        activation = activations_of(model, leaf, layer)[layer]
        kernels = []
        for channel in channel_list(channels, activation.shape[1]):
            neuron = activation[:, channel, i, j].sum()
            (gradient,) = torch.autograd.grad(neuron, leaf, retain_graph=True)
            kernels.append(gradient[:, :, top : top + size, left : left + size].mean(0))
    return torch.stack(kernels)


@checked(images="N I H W", kernels="C I R R")
def predicted_maps(
    model: nn.Module, images: Tensor, layer: str, kernels: Tensor, channels=None
) -> tuple[Tensor, Tensor]:
    """只用展开的卷积核 `kernels` (C, 3, R, R) 卷一遍照片，与这一层真正的输出对照：两个 (N, C, h, w)。

    先预测、后真实，位置对齐，只留感受野整个在图像之内的位置；`kernels` 取自 `expanded_kernels`，
    `channels` 是它们的通道号，不给就从 0 起。
    """
    size, stride, offset = field = _square_field(model, layer)
    if kernels.shape[-1] != size:
        raise ValueError(
            f"kernels 的边长是 {kernels.shape[-1]}，{layer} 的感受野是 {size}：用 expanded_kernels(model, {layer!r})"
        )
    first = _first_inside(field)
    corner = first * stride + offset
    predicted = functional.conv2d(images[:, :, corner:, corner:], kernels.to(images), stride=stride)
    channels = range(len(kernels)) if channels is None else channels
    maps = activations_of(model, images.detach(), layer)[layer]
    actual = maps[:, channel_list(channels, maps.shape[1]), first:, first:]
    height, width = map(min, predicted.shape[2:], actual.shape[2:])
    return predicted[:, :, :height, :width], actual[:, :, :height, :width]


@checked(first="N C h w", second="N C h w")
def channel_correlation(first: Tensor, second: Tensor) -> Tensor:
    """两组激活图 (N, C, h, w) 逐通道的相关系数 (C,)，各图各位置合起来算；没有起伏的通道得 0。"""
    return correlation(first.transpose(0, 1), second.transpose(0, 1)).nan_to_num(0)


def _square_field(model: nn.Module, layer: str) -> tuple[int, int, int]:
    steps = trace_steps(model, layer)
    rows, columns = nominal(steps, "rows"), nominal(steps, "columns")
    if rows != columns or math.isinf(rows[0]):
        raise ValueError(
            f"{layer} 看到整张图，或横竖的感受野不同，展开不成方的小图；选靠前的卷积层"
        )
    return rows


def _first_inside(field: tuple[int, int, int]) -> int:
    """感受野不出左上边的第一个位置。"""
    _, stride, offset = field
    return math.ceil(max(0, -offset) / stride)


def _smallest_image(model: nn.Module, field: tuple[int, int, int]) -> Tensor:
    """刚好装得下一个感受野的灰图。"""
    size, stride, offset = field
    side = (_first_inside(field) + 1) * stride + offset + size
    return as_seen(model, torch.full((1, 3, side, side), 0.5, dtype=next(model.parameters()).dtype))


def _middle(side: int, field: tuple[int, int, int], layer: str) -> int:
    """感受野整个在图像之内的各个位置里，最靠中央的一个。"""
    size, stride, offset = field
    index = max(_first_inside(field), (side // 2 - size // 2 - offset) // stride)
    if index * stride + offset + size > side:
        raise ValueError(
            f"图像的一边是 {side} 像素，装不下 {layer} 的感受野 {size}×{size}；图像大一些，或选靠前的层"
        )
    return index


class _Linearised(TorchFunctionMode):
    """ReLU 当作恒等，最大池化当作平均池化：网络成为图像的仿射函数。"""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        if function in RELUS:
            return arguments[0] if arguments else keywords["input"]
        if function in _MAX_POOLS:
            return _average_pool(*arguments, **keywords)
        return function(*arguments, **keywords)


def _average_pool(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    if dilation not in (1, (1, 1)) or return_indices:
        raise ValueError("expanded_kernels 不支持带膨胀、或返回下标的最大池化")
    return functional.avg_pool2d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad=False
    )
