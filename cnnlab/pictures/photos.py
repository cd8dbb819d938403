"""数据：内置的照片与手写数字、代码画出的风格与纹理，以及联网时才有的数据集。

不管网络怎样看它们，也不管图怎样画出来（见 styles.py 与 textures.py）。
"""

import csv
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from cnnlab.core.images import load_image
from cnnlab.core.names import unknown
from cnnlab.core.paths import DATA

PHOTO_FOLDER = DATA / "photos"
DIGITS = DATA / "digits.png"
SKIMAGE_PHOTOS = {
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
}
SKLEARN_PHOTOS = {"china": "china.jpg", "flower": "flower.jpg"}


@dataclass(frozen=True)
class ImageSet:
    """一组同样大小的图：images (N, 3, H, W)，名字、类别与出处按同一顺序排列。"""

    images: torch.Tensor
    names: tuple[str, ...]
    categories: tuple[str, ...]
    attribution: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key):
        """名字或序号给出一张图 (1, 3, H, W)；切片或序号列表给出较小的 ImageSet。"""
        if isinstance(key, str):
            key = self.index(key)
        if isinstance(key, (int, np.integer)):
            if not -len(self) <= key < len(self):
                raise IndexError(f"序号 {key} 超出范围：这组图共 {len(self)} 张")
            return self.images[int(key)][None]
        order = range(len(self))[key] if isinstance(key, slice) else [int(k) for k in key]
        columns = (self.names, self.categories, self.attribution)
        return ImageSet(self.images[list(order)], *(tuple(c[i] for i in order) for c in columns))

    def index(self, name: str) -> int:
        """名字的序号；没有这个名字则抛 ValueError，列出最像的几个。"""
        if name not in self.names:
            raise unknown("图片", name, self.names)
        return self.names.index(name)


@lru_cache(maxsize=1)
def _photo_table() -> tuple[dict, ...]:
    with open(PHOTO_FOLDER / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
        return tuple(sorted(csv.DictReader(file), key=lambda row: row["file"]))


def photo_names() -> list[str]:
    """内置照片的名字，按类别与名字排序；之后是随 scikit-image 与 scikit-learn 来的几张。"""
    embedded = [Path(row["file"]).stem for row in _photo_table()]
    return embedded + sorted(SKIMAGE_PHOTOS) + sorted(SKLEARN_PHOTOS)


def photo_categories() -> dict[str, int]:
    """内置照片的类别与每类的张数。"""
    names = [Path(row["file"]).parent.name for row in _photo_table()]
    return {name: names.count(name) for name in sorted(set(names))}


@lru_cache(maxsize=2)
def _decoded_photos(size) -> torch.Tensor:
    paths = [PHOTO_FOLDER / row["file"] for row in _photo_table()]
    images = torch.cat([load_image(path, size) for path in paths])
    return (images * 255).round().to(torch.uint8)  # 缓存只占 float32 的四分之一


def photos(category: str | None = None, size=224) -> ImageSet:
    """内置的 215 张照片（或其中一类），短边缩到 size 再取中央方块，按文件名排序。

    images 为 (N, 3, size, size)；出处是“作者，许可，网址”。
    """
    table = _photo_table()
    if category is not None and category not in photo_categories():
        raise unknown("照片类别", category, photo_categories())
    if size is None:
        raise ValueError("一组照片要同样大小：size 应为整数或 (高, 宽)，不能是 None")
    size = tuple(size) if isinstance(size, (list, tuple)) else size
    categories = [Path(row["file"]).parent.name for row in table]
    chosen = [i for i, name in enumerate(categories) if category in (None, name)]
    return ImageSet(
        images=_decoded_photos(size)[chosen].float() / 255,
        names=tuple(Path(table[i]["file"]).stem for i in chosen),
        categories=tuple(categories[i] for i in chosen),
        attribution=tuple(
            "，".join(table[i][k] for k in ("author", "licence", "source")) for i in chosen
        ),
    )


def photo_path(name: str) -> Path:
    """照片所在的文件；没有这个名字则抛 ValueError，列出最像的几个。"""
    for row in _photo_table():
        if Path(row["file"]).stem == name:
            return PHOTO_FOLDER / row["file"]
    if name in SKIMAGE_PHOTOS:
        import skimage

        return Path(skimage.__file__).parent / "data" / SKIMAGE_PHOTOS[name]
    if name in SKLEARN_PHOTOS:
        import sklearn

        return Path(sklearn.__file__).parent / "datasets" / "images" / SKLEARN_PHOTOS[name]
    raise unknown("照片", name, photo_names())


def photo(name: str, size=None) -> torch.Tensor:
    """一张照片 (1, 3, H, W)；size 的含义同 load_image。"""
    return load_image(photo_path(name), size)


@lru_cache(maxsize=1)
def _shuffled_digits() -> tuple[torch.Tensor, torch.Tensor]:
    from PIL import Image

    with Image.open(DIGITS) as sheet:
        rows = torch.from_numpy(np.array(sheet)).reshape(100, 28, 50, 28)
    images = rows.permute(0, 2, 1, 3).reshape(-1, 1, 28, 28)  # 按数字 0…9 排好，每个 500 张
    labels = torch.arange(10).repeat_interleave(500)
    generator = torch.Generator().manual_seed(0)
    columns = [torch.randperm(500, generator=generator) + 500 * digit for digit in range(10)]
    rounds = torch.stack(columns, dim=1)  # (500, 10)：每行恰有十个数字
    order = torch.cat([row[torch.randperm(10, generator=generator)] for row in rounds])
    return images[order], labels[order]


def digits(n: int = 5000) -> tuple[torch.Tensor, torch.Tensor]:
    """前 n 个 MNIST 手写数字：图 (n, 1, 28, 28)，取值 [0, 1]；标签 (n,)。

    顺序固定，每连续十张（从 10 的倍数数起）恰好是 0 到 9，取任意前 n 张都近乎均衡。
    """
    if not isinstance(n, (int, np.integer)) or not 1 <= n <= 5000:
        raise ValueError(f"digits 的 n 应是 1 到 5000 的整数，得到 {n!r}")
    images, labels = _shuffled_digits()
    return images[:n].float() / 255, labels[:n].clone()


def style_names() -> list[str]:
    """代码画出的风格的名字。"""
    from cnnlab.pictures.drawn_styles import STYLES

    return list(STYLES)


def texture_names() -> list[str]:
    """代码画出的纹理的名字。"""
    from cnnlab.pictures.drawn_textures import TEXTURES

    return list(TEXTURES)


def style_image(name: str, size=256, seed: int = 0) -> torch.Tensor:
    """代码画的一幅风格画 (1, 3, H, W)；size 是边长或 (高, 宽)，同一 seed 同一幅画。"""
    from cnnlab.pictures.drawn_styles import STYLES

    if name not in STYLES:
        raise unknown("风格", name, STYLES)
    return _drawn(STYLES[name], size, seed)


def texture_image(name: str, size=256, seed: int = 0) -> torch.Tensor:
    """代码画的一块彩色纹理 (1, 3, H, W)；size 是边长或 (高, 宽)，同一 seed 同一块。"""
    from cnnlab.pictures.drawn_textures import TEXTURES

    if name not in TEXTURES:
        raise unknown("纹理", name, TEXTURES)
    return _drawn(TEXTURES[name], size, seed)


def _drawn(draw, size, seed: int) -> torch.Tensor:
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    if len(sides) != 2 or not all(
        isinstance(side, (int, np.integer)) and side >= 8 for side in sides
    ):
        raise ValueError(f"size 应是不小于 8 的整数或 (高, 宽)，得到 {size!r}")
    picture = draw(int(sides[0]), int(sides[1]), np.random.default_rng(seed))
    return (
        torch.from_numpy(np.clip(picture, 0, 1).astype(np.float32))
        .permute(2, 0, 1)[None]
        .contiguous()
    )


def image_folder(path, *, size=224, n: int | None = None) -> ImageSet:
    """文件夹（含子文件夹）里的图，类别是所在文件夹的名字，按路径排序；n 只取均匀分布的 n 张。

    打不开的文件跳过，并在一条警告里报出个数与名字；一张都读不出则抛 ValueError。
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"没有文件夹 {root}；image_folder 要一个放图片的文件夹")
    suffixes = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    paths = sorted(file for file in root.rglob("*") if file.suffix.lower() in suffixes)
    if n is not None and n < len(paths):
        paths = [paths[i * len(paths) // n] for i in range(n)]
    images, kept, broken = [], [], []
    for file in paths:
        try:
            images.append(load_image(file, size))
            kept.append(file)
        except (ValueError, OSError):
            broken.append(str(file.relative_to(root)))
    if broken:
        warnings.warn(f"跳过 {len(broken)} 个打不开的文件：" + "、".join(broken), stacklevel=2)
    if not kept:
        raise ValueError(
            f"{root} 里没有能读的图片（试了 {len(paths)} 个文件，后缀限 {'、'.join(sorted(suffixes))}）"
        )
    return ImageSet(
        torch.cat(images),
        tuple(f.stem for f in kept),
        tuple(f.parent.name for f in kept),
        tuple(str(f.relative_to(root)) for f in kept),
    )


def _download_root(root) -> Path:
    folder = Path(root) if root is not None else Path(torch.hub.get_dir()) / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetched(build, archive: Path, url: str, megabytes: int):
    """运行 build()；下载或校验失败时删去坏文件，抛一条说清文件、网址、大小与位置的错。"""
    try:
        return build()
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        archive.unlink(missing_ok=True)
        raise RuntimeError(
            f"拿不到 {archive.name}（约 {megabytes} MB）：{error}。\n网址：{url}\n没有网络时，在别处下载它，放到 {archive}，再运行一次"
        ) from error


def imagenette(root=None, *, split: str = "val", size=224, n: int | None = 500) -> ImageSet:
    """Imagenette（Howard，2019）：ImageNet 的十个容易的类；首次使用要下载约 95 MB。

    均匀取 n 张（None 取全部）；类别是英文类名。拿不到文件则抛 RuntimeError，说明怎样手工放置。
    """
    from torchvision.datasets import Imagenette

    folder = _download_root(root)
    url = Imagenette._ARCHIVES["160px"][0]
    data = _fetched(
        lambda: Imagenette(folder, split=split, size="160px", download=True),
        folder / url.split("/")[-1],
        url,
        95,
    )
    found = image_folder(data._image_root, size=size, n=n)
    names = {wnid: names[0] for wnid, names in zip(data.wnids, data.classes, strict=True)}
    return ImageSet(
        found.images, found.names, tuple(names[c] for c in found.categories), found.attribution
    )


def stl10(root=None, *, split: str = "test", n: int | None = 500) -> ImageSet:
    """STL-10（Coates 等，2011）：96×96 的十类照片；首次使用要下载约 2640 MB。

    均匀取 n 张（None 取全部）。拿不到文件则抛 RuntimeError，说明怎样手工放置。
    """
    from torchvision.datasets import STL10

    folder = _download_root(root)
    data = _fetched(
        lambda: STL10(folder, split=split, download=True), folder / STL10.filename, STL10.url, 2640
    )
    total = len(data.data)
    chosen = (
        [i * total // n for i in range(n)] if n is not None and n < total else list(range(total))
    )
    categories = tuple(data.classes[data.labels[i]] if data.labels[i] >= 0 else "" for i in chosen)
    images = torch.from_numpy(data.data[chosen]).float() / 255
    return ImageSet(
        images, tuple(f"{split}_{i:05d}" for i in chosen), categories, ("STL-10",) * len(chosen)
    )
