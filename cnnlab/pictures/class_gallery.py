"""随书的合成图：类图像、一个类的几个侧面、各层通道的图、几种做法的比较；由 tools/ 里的程序合成，连同每张的设置。

只读取，不合成：合成见梯度上升一章。
"""

import json
from pathlib import Path
from typing import Literal

import torch

from cnnlab.core.arguments import checked
from cnnlab.core.images import load_image
from cnnlab.core.paths import DATA
from cnnlab.pictures.photos import ImageSet

GALLERY_FOLDER = DATA / "class_images"
FACETS_FOLDER = DATA / "facet_images"
LAYERS_FOLDER = DATA / "layer_images"


def class_gallery() -> ImageSet:
    """随书的十张类图像 (10, 3, 336, 336)：names 是类名，attribution 是设置。"""
    settings = _read(GALLERY_FOLDER)
    images = torch.cat([load_image(GALLERY_FOLDER / f"{name}.webp") for name in settings])
    kinds = ("class_image",) * len(settings)
    return ImageSet(images, tuple(settings), kinds, tuple(map(json.dumps, settings.values())))


def facet_gallery() -> tuple[list[list[str]], torch.Tensor]:
    """随书的宫殿的四个侧面：(每簇离中心最近的三张照片的名字, 图像 (4, 3, 336, 336))。"""
    each = _read(FACETS_FOLDER)["palace"]
    return each["photos"], _strip(FACETS_FOLDER / "palace.webp", len(each["photos"]))


def layer_gallery() -> dict[str, tuple[list[int], torch.Tensor]]:
    """随书的各层通道的图：{层: (通道号, 图像 (3, 3, 144, 144))}。"""
    return {
        layer: (each["channels"], _strip(LAYERS_FOLDER / f"{layer}.webp", len(each["channels"])))
        for layer, each in _read(LAYERS_FOLDER).items()
    }


@checked
def comparison_gallery(
    kind: Literal["ablation", "phase", "layout", "diversity"],
) -> dict[str, torch.Tensor]:
    """随书的一组比较：{做法: 图像 (N, 3, 边长, 边长)}，每种做法画同样多的几张。

    `kind`："ablation" 逐项去掉，"phase" 傅里叶与只动相位，"layout" 种子与布局，"diversity" 多样性。
    """
    folder = comparison_folder(kind)
    return {
        each["title"]: _strip(folder / f"{job}.webp", len(each["categories"]))
        for job, each in _read(folder).items()
    }


def comparison_folder(kind: str) -> Path:
    """一组比较所在的文件夹。"""
    return DATA / f"{kind}_images"


def _read(folder) -> dict:
    return json.loads((folder / "settings.json").read_text(encoding="utf-8"))


def _strip(path, count: int) -> torch.Tensor:
    """横着排成一条的 count 张方图 → (count, 3, 边长, 边长)。"""
    return torch.cat(load_image(path).chunk(count, dim=-1))
