"""图像为什么自然：惩罚项、每次求损失前的随机变换、每一步之后的投影。

不管网络。变换是函数 图像 → 图像；投影是函数 (图像, 梯度, 第几步) → 图像，供 `after_step` 用。
随机的变换收 `generator`，不给就用种子 0 的新发生器。
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.images import stretched

Transform = Callable[[Tensor], Tensor]
Projection = Callable[[Tensor, Tensor, int], Tensor]
GREY = 0.5


@checked
def total_variation(image: Tensor, *, power: float = 2.0) -> Tensor:
    """全变差：每张图 Σ (横差² + 纵差²)^(power/2) / (C·H·W)，各图相加，得到一个数。

    边上没有邻居的差当作 0，每个差恰好算一次；除以元素个数，权重因此不随尺寸变。
    出处：Rudin、Osher、Fatemi，1992；Mahendran 与 Vedaldi，2015（power 即 β）。
    """
    elements = image[0].numel()
    across, down = image.diff(dim=-1), image.diff(dim=-2)
    if power == 2:
        return (across.square().sum() + down.square().sum()) / elements
    squares = functional.pad(across.square(), (0, 1)) + functional.pad(down.square(), (0, 0, 0, 1))
    # 根号在 0 处没有导数：加一个小量，再减去它自己的贡献，常数图仍为 0
    tiny = 1e-8
    return ((squares + tiny).pow(power / 2) - tiny ** (power / 2)).sum() / elements


@checked
def l2(image: Tensor) -> Tensor:
    """离灰有多远：每张图 Σ (x − 0.5)² / (C·H·W)，各图相加。出处：Simonyan 等，2014。"""
    return (image - GREY).square().sum() / image[0].numel()


# 变换


@checked
def compose(*transforms: Transform) -> Transform:
    """几个变换依次作用。"""

    def apply(image: Tensor) -> Tensor:
        for transform in transforms:
            image = transform(image)
        return image

    return apply


@checked
def jitter(pixels: int, *, generator: torch.Generator | None = None) -> Transform:
    """随机平移，纵横各在 [−pixels, pixels]，循环移位（移出去的从另一边回来）。"""
    generator = generator or torch.Generator().manual_seed(0)

    def roll(image: Tensor) -> Tensor:
        shifts = torch.randint(-pixels, pixels + 1, (2,), generator=generator).tolist()
        return torch.roll(image, shifts, dims=(-2, -1))

    return roll


@checked
def random_scale(
    low: float = 0.9, high: float = 1.1, *, generator: torch.Generator | None = None
) -> Transform:
    """随机缩放 low 到 high 倍（双线性），图像尺寸随之改变。"""
    generator = generator or torch.Generator().manual_seed(0)

    def scale(image: Tensor) -> Tensor:
        factor = low + (high - low) * torch.rand((), generator=generator).item()
        size = [max(1, round(side * factor)) for side in image.shape[-2:]]
        return stretched(image, size)

    return scale


@checked
def random_rotate(degrees: float = 10.0, *, generator: torch.Generator | None = None) -> Transform:
    """绕中心随机转 −degrees 到 degrees 度（双线性），转出去的地方用镜像补。"""
    generator = generator or torch.Generator().manual_seed(0)

    def rotate(image: Tensor) -> Tensor:
        angle = math.radians(degrees) * (2 * torch.rand((), generator=generator).item() - 1)
        cos, sin, aspect = math.cos(angle), math.sin(angle), image.shape[-2] / image.shape[-1]
        rows = image.new_tensor([[cos, -sin * aspect, 0], [sin / aspect, cos, 0]])
        grid = functional.affine_grid(
            rows.expand(len(image), 2, 3), list(image.shape), align_corners=False
        )
        return functional.grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    return rotate


@checked
def pad(pixels: int, *, value: float = GREY) -> Transform:
    """四边各补 `pixels` 像素的 `value`。"""
    return lambda image: functional.pad(image, (pixels,) * 4, value=value)


@checked
def robust_transforms(*, generator: torch.Generator | None = None) -> Transform:
    """一套稳健的变换：补边 12、移位 ≤8、缩放 0.9–1.1、旋转 ≤10°、再移位 ≤4。出处：Olah 等，2017。"""
    shared = {"generator": generator or torch.Generator().manual_seed(0)}
    return compose(
        pad(12),
        jitter(8, **shared),
        random_scale(**shared),
        random_rotate(**shared),
        jitter(4, **shared),
    )


@checked
def center_bias(
    size: int, *, spread: float = 0.1, generator: torch.Generator | None = None
) -> Transform:
    """偏向中心：只看一个 size×size 的窗口，窗口的中心在画布中心附近按正态分布取。

    标准差是 spread ×（画布边长 − size）；画布比窗口大，边上少被看到。出处：Nguyen、Yosinski、Clune，2016。
    """
    generator = generator or torch.Generator().manual_seed(0)

    def crop(image: Tensor) -> Tensor:
        room = torch.tensor([side - size for side in image.shape[-2:]])
        if room.min() < 0:
            raise ValueError(f"窗口 {size} 比图像 {tuple(image.shape[-2:])} 大；窗口应小于画布")
        offset = room * (0.5 + spread * torch.randn(2, generator=generator))
        top, left = torch.minimum(offset.round().clamp_min(0), room.float()).int().tolist()
        return image[..., top : top + size, left : left + size]

    return crop


@checked
def center_mask(width: float = 0.25) -> Transform:
    """图像不变，梯度乘以中心为 1、向外衰减的高斯（标准差是边长的 `width` 倍）。

    Adam 会把每个像素的梯度各自归一，遮罩随之失效：配 `sgd(normalize="mean")` 或 L-BFGS 用。
    """

    def apply(image: Tensor) -> Tensor:
        rows, columns = (
            torch.linspace(-0.5, 0.5, side, device=image.device) for side in image.shape[-2:]
        )
        mask = torch.exp(-(rows.square()[:, None] + columns.square()) / (2 * width**2)).to(
            image.dtype
        )
        return image.detach() + mask * (image - image.detach())

    return apply


# 投影


@checked
def clamp(low: float = 0.0, high: float = 1.0) -> Projection:
    """每一步之后截到 [low, high]。"""
    if low > high:
        raise ValueError(f"low 是 {low}，比 high（{high}）大；次序是 clamp(低, 高)")
    return lambda image, gradient, index: image.clamp(low, high)


@checked
def gaussian_blur(sigma: float, *, every: int = 4) -> Projection:
    """每 `every` 步用标准差 `sigma` 像素的高斯模糊一次。出处：Yosinski 等，2015。"""
    return lambda image, gradient, index: blur(image, sigma) if (index + 1) % every == 0 else image


@checked
def clip_small_norm(percentile: float) -> Projection:
    """把离灰最近的 percentile% 的像素（按三个通道的长度）放回灰。出处：Yosinski 等，2015。"""

    def clip(image: Tensor, gradient: Tensor, index: int) -> Tensor:
        norm = (image - GREY).norm(dim=1, keepdim=True)
        return _reset_smallest(image, norm, percentile)

    return clip


@checked
def clip_small_contribution(percentile: float) -> Projection:
    """把贡献 |Σ_c (x − 0.5) · ∂L/∂x| 最小的 percentile% 的像素放回灰。出处：Yosinski 等，2015。"""

    def clip(image: Tensor, gradient: Tensor, index: int) -> Tensor:
        contribution = ((image - GREY) * gradient).sum(dim=1, keepdim=True).abs()
        return _reset_smallest(image, contribution, percentile)

    return clip


def _reset_smallest(image: Tensor, measure: Tensor, percentile: float) -> Tensor:
    """每张图里 `measure`（一像素一个数）最小的 percentile% 的像素变成灰。"""
    # 百分位在 CPU 上求：有的设备没有它要的 float64
    threshold = measure.flatten(1).cpu().quantile(percentile / 100, dim=1).to(measure)
    return image.masked_fill(measure < threshold.view(-1, 1, 1, 1), GREY)


@checked
def blur(image: Tensor, sigma: float) -> Tensor:
    """高斯模糊（先横后纵）；边外按镜像延拓，所以均值恰好不变。`sigma` 以像素计，0 为不变。"""
    if sigma <= 0:
        return image
    height, width = image.shape[-2:]
    rows = _blur_matrix(height, float(sigma)).to(image)
    columns = _blur_matrix(width, float(sigma)).to(image)
    return rows @ image @ columns


@lru_cache(maxsize=32)
def _blur_matrix(length: int, sigma: float) -> Tensor:
    """一维模糊的矩阵 (length, length)：对称，每行每列的和都是 1。"""
    radius = max(1, math.ceil(4 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-offsets.double().square() / (2 * sigma**2))
    source = (torch.arange(length)[:, None] + offsets) % (2 * length)
    source = torch.minimum(source, 2 * length - 1 - source)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (kernel / kernel.sum()).expand(length, -1))
