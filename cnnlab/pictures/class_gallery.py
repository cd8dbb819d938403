"""随书的类图像：由 tools/make_class_images.py 合成，连同每张的设置。

只读取，不合成：合成见梯度上升一章的 class_image。
"""

import json

import torch

from cnnlab.core.images import load_image
from cnnlab.core.paths import DATA
from cnnlab.pictures.photos import ImageSet

GALLERY_FOLDER = DATA / "class_images"


def class_gallery() -> ImageSet:
    """随书的十张类图像：images (10, 3, 224, 224)，names 是类名，attribution 是设置。"""
    settings = json.loads((GALLERY_FOLDER / "settings.json").read_text(encoding="utf-8"))
    images = torch.cat([load_image(GALLERY_FOLDER / f"{name}.webp") for name in settings])
    kinds = ("class_image",) * len(settings)
    return ImageSet(images, tuple(settings), kinds, tuple(map(json.dumps, settings.values())))
