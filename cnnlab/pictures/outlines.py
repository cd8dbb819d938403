"""八张随包照片里主体的轮廓：为检验分割而手工描的多边形，由本书作者对着照片画出。

不管怎样分割；轮廓误差约两三个像素，够算交并比，不够评细节。
"""

import csv
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cnnlab.core.arguments import checked
from cnnlab.core.names import unknown
from cnnlab.core.paths import DATA
from cnnlab.core.values import masks

OUTLINES = DATA / "photo_outlines.csv"
# 描轮廓时照片的边长：短边缩到 224、取中央方块
SIDE = 224


@lru_cache(maxsize=1)
def _outlines() -> dict[str, list[tuple[float, float]]]:
    with open(OUTLINES, encoding="utf-8", newline="") as file:
        rows = {row["photo"]: row["outline"].split() for row in csv.DictReader(file)}
    return {
        name: [tuple(float(each) for each in point.split(":")) for point in points]
        for name, points in rows.items()
    }


def outlined_photos() -> list[str]:
    """有轮廓的照片的名字。"""
    return list(_outlines())


@checked
def object_mask(name: str, size: int = SIDE) -> Tensor:
    """照片 `name` 里主体的掩码 (size, size)，布尔；与 `photo(name, size)` 对齐。

    没有描过这张照片的轮廓：ValueError，列出描过的。
    """
    from PIL import Image, ImageDraw

    if name not in _outlines():
        raise unknown("描过轮廓的照片", name, _outlines())
    # 画大四倍再看中心点，边缘不受取整影响
    canvas = Image.new("L", (4 * size, 4 * size))
    scale = 4 * size / SIDE
    ImageDraw.Draw(canvas).polygon([(x * scale, y * scale) for x, y in _outlines()[name]], fill=1)
    return torch.from_numpy(np.array(canvas)[2::4, 2::4]).bool()


@checked(mask=masks, truth=masks)
def intersection_over_union(mask: Tensor, truth: Tensor) -> float:
    """交并比：两个布尔掩码重合的面积除以合起来的面积；两个都空时为 0。"""
    if mask.shape != truth.shape:
        raise ValueError(
            f"两个掩码的形状应当相同，得到 {tuple(mask.shape)} 和 {tuple(truth.shape)}"
        )
    return float((mask & truth).sum() / (mask | truth).sum().clamp_min(1))
