"""捷径实验的照片：建筑与动物，以及贴在角上的方块。

不管网络怎样训练（见 tools/train_shortcut_networks.py）。
"""

from typing import Literal

import torch
from torch import Tensor

from cnnlab.core.arguments import checked
from cnnlab.pictures.photos import photos

MAGENTA = (0.9, 0.1, 0.8)


@checked
def shortcut_photos(part: Literal["train", "test"], size: int = 64) -> tuple[Tensor, Tensor]:
    """建筑与动物（含鱼）的照片和标签：(N, 3, size, size)、(N,)，0 建筑、1 动物；没有方块。

    `part` 是 "train"（训练用过的一半）或 "test"（没见过的另一半），隔一张取一张。
    """
    album = photos(size=size)
    kinds = {"monuments": 0, "animals": 1, "fish": 1}
    chosen = [i for i, kind in enumerate(album.categories) if kind in kinds][part == "test" :: 2]
    return album.images[chosen], torch.tensor([kinds[album.categories[i]] for i in chosen])


@checked
def stamp_corner(
    image: Tensor, *, size: int = 10, color=MAGENTA, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """在每张图随机的一角贴一块方块：贴好的图 (N, 3, H, W) 和方块的位置 (N, H, W) 布尔；原图不动。

    同一个 `seed` 贴在同样的角上。方块放不下：ValueError。
    """
    height, width = image.shape[-2:]
    if not 0 < size <= min(height, width):
        raise ValueError(f"方块边长是 {size}，应在 1 与图像的短边 {min(height, width)} 之间")
    corner = torch.randint(4, (len(image),), generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(len(image), height, width, dtype=torch.bool)
    for one, number in zip(mask, corner.tolist(), strict=True):
        top, left = (height - size) * (number // 2), (width - size) * (number % 2)
        one[top : top + size, left : left + size] = True
    mask = mask.to(image.device)
    return torch.where(mask[:, None], torch.tensor(color).to(image).view(1, 3, 1, 1), image), mask
