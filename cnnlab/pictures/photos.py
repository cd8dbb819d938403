"""数据：内置的照片与手写数字、代码画出的风格与纹理，一个文件夹里读者自己的照片。

不管网络怎样看它们，也不管图怎样画出来（见 drawn_styles 与 drawn_textures）；联网才有的在 data_sets。
"""

import csv
import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe, whole
from cnnlab.core.images import PHOTO_FOLDER, load_image, photo_files
from cnnlab.core.names import unknown
from cnnlab.core.paths import DATA
from cnnlab.core.values import pair

DIGITS = DATA / "digits.png"


@checked
@dataclass(frozen=True)
class ImageSet:
    """一组同样大小的图：images (N, 3, H, W)，名字、类别与出处按同一顺序排列。"""

    images: torch.Tensor
    names: tuple[str, ...]
    categories: tuple[str, ...]
    attribution: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @checked
    def __getitem__(self, key):
        """名字或序号给出一张图 (1, 3, H, W)；切片、名字或序号的列表、布尔的掩码给出较小的 ImageSet。"""
        if isinstance(key, torch.Tensor | np.ndarray):
            key = key.tolist()
        if isinstance(key, slice):
            order = list(range(len(self))[key])
        elif isinstance(key, Iterable) and not isinstance(key, str):
            order = self._rows(list(key))
        else:
            return self.images[self._rows([key])]
        columns = (self.names, self.categories, self.attribution)
        return ImageSet(self.images[order], *(tuple(c[i] for i in order) for c in columns))

    def _rows(self, keys) -> list[int]:
        """各个名字或序号的行号；全是真假的是掩码，与图一样多。"""
        if keys and len(keys) == len(self) and all(isinstance(key, bool) for key in keys):
            return [row for row, kept in enumerate(keys) if kept]
        if keys and all(isinstance(key, bool) for key in keys):
            raise ValueError(f"掩码有 {len(keys)} 个真假，这组图有 {len(self)} 张；要一样多")
        rows = [self.index(key) if isinstance(key, str) else whole(key, "序号") for key in keys]
        if wrong := [row for row in rows if not -len(self) <= row < len(self)]:
            raise IndexError(f"序号 {wrong[0]} 超出范围：这组图共 {len(self)} 张")
        return rows

    def index(self, name: str) -> int:
        """名字的序号；没有这个名字则抛 ValueError，列出最像的几个。"""
        if name not in self.names:
            raise unknown("图片", name, self.names)
        return self.names.index(name)


@lru_cache(maxsize=1)
def _photo_table() -> tuple[dict, ...]:
    with open(PHOTO_FOLDER / "ATTRIBUTION.csv", encoding="utf-8", newline="") as file:
        return tuple(sorted(csv.DictReader(file), key=lambda row: row["file"]))


def photo_categories() -> dict[str, int]:
    """内置照片的类别与每类的张数。"""
    names = [Path(row["file"]).parent.name for row in _photo_table()]
    return {name: names.count(name) for name in sorted(set(names))}


@lru_cache(maxsize=2)
def _decoded_photos(size) -> torch.Tensor:
    paths = [PHOTO_FOLDER / row["file"] for row in _photo_table()]
    images = torch.cat([load_image(path, size) for path in paths])
    return (images * 255).round().to(torch.uint8)  # 缓存只占 float32 的四分之一


@checked
def photos(category: str | None = None, size: int | tuple[int, int] = 224) -> ImageSet:
    """内置的 215 张照片（或其中一类），短边缩到 size 再取中央方块，按文件名排序。

    images 为 (N, 3, size, size)；出处是“作者，许可，网址”。
    """
    table = _photo_table()
    if math.prod(pair(size)) > 1024**2:
        raise ValueError(
            f"size 是 {size}：{len(table)} 张一起要占几 GB 内存；最大 1024 见方，更大的一张一张用 photo(名字, size)"
        )
    if category is not None and category not in photo_categories():
        raise unknown("照片类别", category, photo_categories())
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


@checked
def photo(name: str, size: int | tuple[int, int] | None = None) -> torch.Tensor:
    """一张照片 (1, 3, H, W)；size 的含义同 load_image。"""
    files = photo_files()
    if name not in files:
        raise unknown("照片", name, files, hint="；自己的文件用 load_image")
    return load_image(files[name], size)


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


@checked
def digits(n: int = 5000) -> tuple[torch.Tensor, torch.Tensor]:
    """前 n 个 MNIST 手写数字：图 (n, 1, 28, 28)，取值 [0, 1]；标签 (n,)。

    顺序固定，每连续十张（从 10 的倍数数起）恰好是 0 到 9，取任意前 n 张都近乎均衡。
    """
    if n > 5000:
        raise ValueError(f"digits 的 n 应是 1 到 5000 的整数，得到 {n}")
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


@checked
def style_image(name: str, size: int | tuple[int, int] = 256, seed: int = 0) -> torch.Tensor:
    """代码画的一幅风格画 (1, 3, H, W)；size 是边长或 (高, 宽)，同一 seed 同一幅画。"""
    from cnnlab.pictures.drawn_styles import STYLES

    if name not in STYLES:
        raise unknown("风格", name, STYLES)
    return _drawn(STYLES[name], size, seed)


@checked
def texture_image(name: str, size: int | tuple[int, int] = 256, seed: int = 0) -> torch.Tensor:
    """代码画的一块彩色纹理 (1, 3, H, W)；size 是边长或 (高, 宽)，同一 seed 同一块。"""
    from cnnlab.pictures.drawn_textures import TEXTURES

    if name not in TEXTURES:
        raise unknown("纹理", name, TEXTURES)
    return _drawn(TEXTURES[name], size, seed)


def _drawn(draw, size, seed: int) -> torch.Tensor:
    height, width = pair(size)
    if min(height, width) < 8:
        raise ValueError(f"size 应是不小于 8 的整数或 (高, 宽)，得到 {describe(size)}")
    picture = draw(height, width, np.random.default_rng(seed)).clip(0, 1).astype(np.float32)
    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()


PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@checked
class PhotoFolder:
    """一个文件夹（含子文件夹）里的照片，按路径排序，用到哪张读哪张：多大的文件夹，内存都只要一批图。

    交给 `max_activating_patches`、`image_maxima`、`extract_features` 等当作 images；`image_folder` 则一次读进内存。
    `folder[i]` 是第 i 张 (3, H, W)，`read(i)` 是 (1, 3, H, W)，读不出时是 None，名字与原因记在 `broken` 里。
    管道、锁住的子文件夹也记在那里；`leave_out` 是不算照片的一个或几个文件（如上次的结果）；
    点开头的（.ipynb_checkpoints、._a.jpg）和 __MACOSX 是系统放的，也不算。
    """

    def __init__(
        self, path, size: int | tuple[int, int] | None = 224, *, n: int | None = None, leave_out=()
    ):
        self.root, self.size, self.broken = Path(path).expanduser(), size, {}
        if not self.root.is_dir():
            raise ValueError(f"没有文件夹 {self.root}；要一个放照片的文件夹")
        found = []
        for folder, inside, names in os.walk(self.root, onerror=self._locked):
            inside[:] = [name for name in inside if not name.startswith((".", "__MACOSX"))]
            found += [Path(folder, name) for name in names if not name.startswith(".")]
        single = isinstance(leave_out, str | os.PathLike)
        skipped = set(map(os.path.realpath, [leave_out] if single else leave_out))
        found = sorted(file for file in found if file.suffix.lower() in PHOTO_SUFFIXES)
        self.files = [file for file in found if os.path.realpath(file) not in skipped]
        if n is not None and n < len(self.files):
            self.files = [self.files[i * len(self.files) // n] for i in range(n)]
        if not self.files:
            raise ValueError(
                f"{self.root} 里没有能读的照片；认得的后缀：{'、'.join(sorted(PHOTO_SUFFIXES))}"
            )

    def _locked(self, error: OSError) -> None:
        self.broken[Path(error.filename)] = "没有打开它的权限"

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        file = self._file(index)
        try:
            return load_image(file, self.size)[0]
        except (ValueError, OSError) as error:
            left = f"PhotoFolder(…, leave_out=[{str(file)!r}])"
            raise ValueError(f"{error}；或略去它：{left}") from None

    def read(self, index: int) -> torch.Tensor | None:
        file = self._file(index)
        try:
            return load_image(file, self.size)
        except (ValueError, OSError) as error:
            self.broken[file] = str(error)
            return None

    def _file(self, index) -> Path:
        if not -len(self) <= whole(index, "序号") < len(self):
            raise IndexError(f"序号 {index} 超出范围：这个文件夹里有 {len(self)} 张")
        return self.files[index]

    def check_headers(self) -> None:
        """只看文件头，几万张也只要几十秒：不是图像的先剔出去。"""
        from PIL import Image

        good = []
        for file in self.files:
            try:
                if not file.is_file():
                    raise ValueError("不是普通文件")
                with Image.open(file) as picture:
                    picture.verify()
                good.append(file)
            except Exception as error:
                self.broken[file] = str(error)
        self.files = good
        if not good:
            raise ValueError(f"{self.root} 里没有能读的照片（试了 {len(self.broken)} 个文件）")

    def warn_of_broken(self) -> None:
        """一条警告：跳过了几个，是哪些。"""
        if self.broken:
            names = [str(file.relative_to(self.root)) for file in sorted(self.broken)]
            listed = "、".join(names[:20]) + ("……" if len(names) > 20 else "")
            warnings.warn(f"跳过 {len(names)} 个打不开的文件：{listed}", stacklevel=3)


@checked
def image_folder(
    path, *, size: int | tuple[int, int] | None = 224, n: int | None = None
) -> ImageSet:
    """文件夹（含子文件夹）里的图，类别是所在文件夹的名字，按路径排序；n 只取均匀分布的 n 张。

    size 的含义同 load_image；None 不缩放，各图要本来就一样大。
    打不开的文件跳过，并在一条警告里报出个数与名字；一张都读不出则抛 ValueError。
    全部读进内存：224 见方的一千张占 600 MB。照片更多时用 `PhotoFolder`，用到才读。
    """
    folder = PhotoFolder(path, size, n=n)
    images, kept = None, []
    for index, file in enumerate(folder.files):
        image = folder.read(index)
        if image is None:
            continue
        # 一张一张写进同一个张量：峰值就是它
        images = image.new_empty(len(folder), *image.shape[1:]) if images is None else images
        if image.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"{file} 是 {tuple(image.shape[2:])}，前面的是 {tuple(images.shape[2:])}；一组图要同样大小，给出 size"
            )
        images[len(kept)] = image[0]
        kept.append(file)
    folder.warn_of_broken()
    if not kept:
        raise ValueError(f"{folder.root} 里没有能读的照片（试了 {len(folder)} 个文件）")
    return ImageSet(
        images[: len(kept)],
        tuple(f.stem for f in kept),
        tuple(f.parent.name for f in kept),
        tuple(str(f.relative_to(folder.root)) for f in kept),
    )
