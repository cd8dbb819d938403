"""开始之前：不求导的导数，数一数卷积核，各层的特征记得什么，与 Sobel 算子的比较。

不画图；卷积核长什么样见 first_layer，检索见 neighbors。
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.chapters.neighbors import found_again, pooled
from cnnlab.chapters.patches import image_batches
from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import named_layers


class LayerKernels(NamedTuple):
    """一个卷积层：层名、滤波器的个数、每个滤波器的形状 (I, 高, 宽)。"""

    layer: str
    count: int
    shape: tuple[int, int, int]


@checked(image="...")
def finite_difference(
    function: Callable[[Tensor], Tensor], image: Tensor, position, *, step: float = 1e-6
) -> float:
    """不求导的导数：`function(image)` 沿 `image[position]` 这一个数的变化率。

    f′ ≈ (f(x + h) − f(x − h)) / 2h，误差与 h² 成正比，另有约 ε/h 的舍入误差，ε 是数的相对精度。
    `function` 给出一个数；`image` 用 float64，`position` 是一组下标如 (0, 1, 5, 7)。步长不是正数：ValueError。
    """
    position = tuple(int(index) for index in position)
    if image[position].dim():
        raise ValueError(f"position 是 {position}，要给全 {image.dim()} 个下标，指到一个数")
    shift = torch.zeros_like(image)
    shift[position] = step
    with torch.no_grad():
        return float(function(image + shift) - function(image - shift)) / (2 * step)


@checked
def count_kernels(model: nn.Module) -> list[LayerKernels]:
    """模型里的每一个卷积层有多少个滤波器、每个多大；按层的先后。

    一个滤波器产生一个输出通道；层名用论文名，没有就用模块路径，同一层有几个名字取第一个。
    """
    found, seen = [], set()
    for name, module in named_layers(model).items():
        convolutions = [child for child in module.modules() if isinstance(child, nn.Conv2d)]
        if module in seen or convolutions != [module]:
            continue
        seen.add(module)
        found.append(LayerKernels(name, module.out_channels, tuple(module.weight.shape[1:])))
    return found


@checked(activation="N C h w")
def map_correlations(activation: Tensor) -> Tensor:
    """各通道激活图两两之间的相关系数 (C, C)：在全部图像的全部位置上一起算。

    `activation` 是 (N, C, h, w)；处处相同的通道与谁的相关都记作 0。
    """
    rows = activation.detach().transpose(0, 1).flatten(1)
    moved = (rows - rows[:, :1]).cpu().double()  # 处处相同的通道恰好是 0
    return torch.corrcoef(moved).nan_to_num(0).view(len(rows), -1).to(rows)


@checked(activation="N C h w", reference="N R H W")
def best_correlations(activation: Tensor, reference: Tensor) -> Tensor:
    """每个通道与参照图里最像的一张的相关系数的绝对值 (C,)。

    `activation` 是 (N, C, h, w)，`reference` 是 (N, R, H, W)，先按面积平均缩到 h×w。
    """
    reduced = functional.adaptive_avg_pool2d(reference, activation.shape[-2:])
    together = map_correlations(torch.cat([activation, reduced.to(activation)], 1))
    channels = activation.shape[1]
    return together[:channels, channels:].abs().amax(1)


@checked
def altered_photos(images: Tensor) -> Tensor:
    """同一批照片的另一个样子：向右循环平移 61 个像素，亮度减半。"""
    return check_images(images).roll(61, dims=3) / 2


@checked(query="N C H W", gallery="N C H W")
def layer_probe(
    model: nn.Module, query: Tensor, gallery: Tensor, layers: Sequence[str]
) -> dict[str, float]:
    """每一层的特征能不能把变了样的照片认回来：{层: 第 i 个查询的最近邻正是第 i 张的比例}。

    特征是各通道在全图的平均；`query` 与 `gallery` 都是 (N, 3, H, W)，一一对应，张数不同即 ValueError。
    """
    if len(query) != len(gallery):
        raise ValueError(f"查询有 {len(query)} 张，库有 {len(gallery)} 张：要一一对应")
    first, second = (_pooled(model, images, layers) for images in (query, gallery))
    return {
        layer: found_again(first[layer], second[layer]).float().mean().item() for layer in layers
    }


def _pooled(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """各层在全图平均之后的特征 {层: (N, C)}。"""
    parts = [pooled(model, batch.detach(), layers) for _, batch in image_batches(images)]
    return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}
