"""梯度上升的设置与它用到的各件：随机取景、照片统计量的先验。

不管让什么变大：那是目标的事，见 terms；也不走步，见 optimize。
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import activations_of, device_of, named_layers
from cnnlab.core.measures import halve_and_restore
from cnnlab.core.values import pair
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.parameterizations import FourierImage, PhaseImage, PixelImage, start_image
from cnnlab.engine.priors import (
    Projection,
    Transform,
    clamp,
    clip_small_contribution,
    clip_small_norm,
    compose,
    gaussian_blur,
    jitter,
    l2,
    random_rotate,
    robust_transforms,
    total_variation,
)
from cnnlab.engine.terms import Term, image_prior, similarity
from cnnlab.pictures.photos import photos

# 自然先验看这几层的统计量：层 -> 权重
STATISTIC_LAYERS = {
    "conv1": 0.5,
    "fire2": 1.0,
    "fire3": 1.0,
    "fire4": 1.0,
    "fire6": 1.0,
    "fire8": 0.5,
}


@checked
@dataclass(frozen=True)
class Ascent:
    """梯度上升的设置：图像怎样表示、送进网络之前怎样变换、加哪些先验、每步之后怎样投影；每样都可以单独开。

    表示：`parameterization` 是 "fourier"（从噪声出发，`decay` 是高频减慢的程度）或 "pixel"（从 `start` 出发）。
    "phase" 只优化相位（以弧度计，`learning_rate` 宜大，如 0.5），幅度固定为照片的平均。`margin` 使画布四边各大这么多像素，画完裁掉。
    变换：`robust` 是补边、移位、缩放、旋转；`crop` 改为随机取景，每次看边长 crop 到 1 倍的一个方块，
    缩放到 `view` 见方（0 为画布大小）；`jitter_pixels` 是移位；每步平均 `views` 次随机变换。
    先验的权重：`natural`（照片的统计量）、`diversity`（一批里各不相同），层名都是 SqueezeNet 的；`l2_weight`、`tv`（全变差，同 Descent）。
    `cooling` 使步长按余弦降到 0。
    投影，只用于像素：`blur`（σ，每 4 步一次）、`small_norm`、`small_contribution`（百分位）。
    出处：Simonyan 等，2014；Yosinski 等，2015；Olah 等，2017；Yin 等，2020；Fel 等，2023。
    """

    parameterization: Literal["fourier", "phase", "pixel"] = "fourier"
    start: str = "noise"
    decay: float = 1.0
    learning_rate: float = 0.05
    cooling: bool = False
    margin: int = 0
    robust: bool = True
    crop: float = 0.0
    view: int = 0
    jitter_pixels: int = 0
    views: int = 1
    natural: float = 0.0
    diversity: float = 0.0
    l2_weight: float = 0.0
    tv: float = 0.0
    blur: float = 0.0
    small_norm: float = 0.0
    small_contribution: float = 0.0

    def __post_init__(self):
        of_pixels = self.blur or self.small_norm or self.small_contribution
        if self.parameterization != "pixel" and (self.start != "noise" or of_pixels):
            raise ValueError(
                '傅里叶参数和相位只从 "noise" 出发，也不用模糊和截小值（它们作用在像素上）；改用 parameterization="pixel"'
            )

    def canvas(self, size) -> tuple[int, int]:
        """画布的 (高, 宽)：图的尺寸，四边各加 margin。"""
        height, width = pair(size)
        return height + 2 * self.margin, width + 2 * self.margin

    def cut(self, image: Tensor) -> Tensor:
        """裁掉画布四边的 margin。"""
        edge = self.margin
        return image[..., edge:-edge, edge:-edge].contiguous() if edge else image

    def picture(self, size, n: int, seed: int, start: Tensor | None = None) -> nn.Module:
        """参数即图像的模块，n 张图；给了 `start` 就从这批图放大到 `size` 出发。"""
        if start is not None:
            grown = functional.interpolate(start, size, mode="bicubic", align_corners=False)
            if self.parameterization == "pixel":
                return PixelImage(grown.clamp(0, 1))
            return FourierImage(image=grown.clamp(0.02, 0.98), decay=self.decay)
        if self.parameterization == "fourier":
            return FourierImage(size, n=n, decay=self.decay, seed=seed)
        if self.parameterization == "phase":
            return PhaseImage(photos(size=size).images[::3], n=n, seed=seed)
        return PixelImage(start_image(self.start, size, n=n, seed=seed))

    def run(self, image: nn.Module, loss, steps: int, on_step: Callable | None = None) -> Tensor:
        """从 `image` 走 `steps` 步让 loss(图像) 变小；cooling 时步长在这些步里降到 0。"""
        return optimize_image(
            image,
            loss,
            steps=steps,
            optimizer=adam(self.learning_rate, cool_down=(self.cooling and steps) or None),
            after_step=self.projections(),
            on_step=on_step,
        )

    def transform(self, seed: int) -> Transform | None:
        """送进网络之前的随机变换：`views` 份叠成一批，梯度因此是各份的平均。"""
        shared, moves = {"generator": torch.Generator().manual_seed(seed)}, []
        if self.jitter_pixels:
            moves.append(jitter(self.jitter_pixels, **shared))
        if self.crop:
            moves += [random_crop(self.crop, self.view, **shared), random_rotate(**shared)]
        elif self.robust:
            moves.append(robust_transforms(**shared))
        move = compose(*moves)
        if self.views == 1:
            return move if moves else None

        def several_views(image: Tensor) -> Tensor:
            size = (self.view, self.view) if self.view else image.shape[-2:]
            return torch.cat([_resized(move(image), size) for _ in range(self.views)])

        return several_views

    def priors(self, model: nn.Module, size) -> list[Term]:
        """损失里的先验，各带自己的权重。"""
        priors = [
            image_prior(l2, self.l2_weight, name="l2"),
            image_prior(total_variation, self.tv, name="tv"),
        ]
        if self.natural:
            statistics = natural_statistics(model, size=self.view or size)
            priors += [self.natural / self.views * each for each in statistics]
        if self.diversity:
            priors.append(self.diversity / self.views * similarity("fire8", self.views))
        return [prior for prior in priors if prior.weight]

    def projections(self) -> list[Projection]:
        """每一步之后对像素做的事；傅里叶参数不用。"""
        if self.parameterization != "pixel":
            return []
        makers = {
            gaussian_blur: self.blur,
            clip_small_norm: self.small_norm,
            clip_small_contribution: self.small_contribution,
        }
        return [make(amount) for make, amount in makers.items() if amount] + [clamp()]


@checked
def random_crop(smallest: float, side: int = 0, *, generator: torch.Generator) -> Transform:
    """随机取景：边长 smallest 到 1 倍的方块，位置随机；一半的时候左右翻转，一半的时候缩小再放大。

    取到的方块缩放到 `side` 见方，0 为原来的尺寸。
    """

    def crop(image: Tensor) -> Tensor:
        share, down, across, flip, soften = torch.rand(5, generator=generator).tolist()
        part = smallest + (1 - smallest) * share
        height, width = (max(1, round(side * part)) for side in image.shape[-2:])
        top = round(down * (image.shape[-2] - height))
        left = round(across * (image.shape[-1] - width))
        seen = image[..., top : top + height, left : left + width]
        seen = _resized(seen, (side, side) if side else image.shape[-2:])
        seen = halve_and_restore(seen) if soften < 0.5 else seen
        return seen.flip(-1) if flip < 0.5 else seen

    return crop


def _resized(image: Tensor, size) -> Tensor:
    return functional.interpolate(
        image, size, mode="bilinear", align_corners=False, antialias=image.shape[-1] > size[-1]
    )


@checked
def natural_statistics(
    model: nn.Module,
    *,
    size: int | tuple[int, int] = 224,
    layers: dict[str, float] = STATISTIC_LAYERS,
) -> list[Term]:
    """自然先验：各层每个通道的均值、标准差离照片的有多远（以照片之间的标准差为单位，平方后对通道平均），每层一项。

    `layers` 是 {层: 权重}；默认的层名是 SqueezeNet 的。

    照片的统计量取自随书照片（三张取一张）。出处：Yin 等，Dreaming to Distill，2020（那里用批归一化里存的统计量）。
    """
    if missing := [layer for layer in layers if layer not in named_layers(model)]:
        raise ValueError(
            f"照片先验看的层里，这个网络没有 {'、'.join(missing)}；natural=0 就不用它，"
            "或用 natural_statistics(model, layers={层名: 权重}) 另给几层"
        )
    images = photos(size=size).images[::3]
    device = device_of(model)
    seen = [activations_of(model, chunk.to(device), list(layers)) for chunk in images.split(24)]
    return [
        weight * _statistics_term(layer, torch.cat([_statistics(part[layer]) for part in seen]))
        for layer, weight in layers.items()
    ]


def _statistics(activation: Tensor) -> Tensor:
    """每个通道的均值与标准差 (N, 2C)；标准差由离均值的长度算出，在 CPU 上比 std 快一倍。"""
    maps = activation.flatten(2)
    mean = maps.mean(2)
    length = torch.linalg.vector_norm(maps - mean[..., None], dim=2)
    return torch.cat([mean, length / (maps.shape[2] - 1) ** 0.5], 1)


def _statistics_term(layer: str, measured: Tensor) -> Term:
    center, spread = measured.mean(0), measured.std(0)
    spread = spread.clamp_min(1e-3 * float(spread.max()))

    def distance(values) -> Tensor:
        found = _statistics(values[layer])
        middle, unit = center.to(found.device), spread.to(found.device)
        return ((found - middle) / unit).square().mean(1).sum()

    return Term(f"natural {layer}", (layer,), distance)
