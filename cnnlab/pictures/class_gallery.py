"""随书的合成图：类图像、一个类的几个侧面、各层通道的图、逐项去掉的图；由 tools/ 里的程序合成，连同每张的设置。

只读取，不合成：合成见梯度上升一章。
"""

import json

import torch

from cnnlab.core.images import load_image
from cnnlab.core.paths import DATA
from cnnlab.pictures.photos import ImageSet

GALLERY_FOLDER = DATA / "class_images"
FACETS_FOLDER = DATA / "facet_images"
LAYERS_FOLDER = DATA / "layer_images"
ABLATION_FOLDER = DATA / "ablation_images"


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


def ablation_gallery() -> dict[str, torch.Tensor]:
    """随书的“逐项去掉”：{去掉了什么: 图像 (类, 3, 128, 128)}，类依次是设置里的 categories。"""
    return {
        each["title"]: _strip(ABLATION_FOLDER / f"{job}.webp", len(each["categories"]))
        for job, each in _read(ABLATION_FOLDER).items()
    }


def _read(folder) -> dict:
    return json.loads((folder / "settings.json").read_text(encoding="utf-8"))


def _strip(path, count: int) -> torch.Tensor:
    """横着排成一条的 count 张方图 → (count, 3, 边长, 边长)。"""
    return torch.cat(load_image(path).chunk(count, dim=-1))
