"""别人的数据集：第一次用到时下载，或用手工放好的压缩包。

不管随书的照片：那些在 photos。
"""

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Literal

import torch

from cnnlab.core.arguments import checked
from cnnlab.pictures.photos import ImageSet, image_folder

# 解完之后留在文件夹里的记号
COMPLETE = ".complete"
# Imagenette（160 像素）两部分的照片合计
IMAGENETTE_FILES = 13394


def _download_root(root) -> Path:
    folder = Path(root).expanduser() if root is not None else Path(torch.hub.get_dir()) / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _prepared(
    build,
    folder: Path,
    archive: Path,
    md5: str,
    url: str,
    megabytes: int,
    made: str,
    files: int = 0,
):
    """下载（或用手工放好的）压缩包，核对，解到旁边的文件夹，解完才改名；得到 build(folder) 的结果。

    半途断掉不留下看似完整的文件夹；别的程序留下的、不到 `files` 个文件的，重新解。压缩包只有校验和不对时才删。
    """
    from torchvision.datasets.utils import check_integrity, download_url, extract_archive

    partial = archive.with_name(archive.name + ".partial")
    try:
        if not _is_complete(folder / made, files):
            if archive.exists() and not check_integrity(str(archive), md5):
                archive.unlink()
                raise ValueError("压缩包的校验和不对，已经删掉")
            if not archive.exists():
                download_url(url, str(folder), partial.name, md5)
                os.replace(partial, archive)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".extracting-") as aside:
                extract_archive(str(archive), aside)
                Path(aside, made, COMPLETE).touch()
                if (folder / made).exists():
                    os.replace(folder / made, Path(aside, "old"))
                os.replace(Path(aside, made), folder / made)
        return build(folder)
    except (OSError, RuntimeError, EOFError, ValueError, tarfile.TarError) as error:
        raise RuntimeError(
            f"拿不到 {archive.name}（约 {megabytes} MB）：{error}。\n网址：{url}\n没有网络时，在别处下载它，放到 {archive}，再运行一次"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _is_complete(place: Path, files: int) -> bool:
    """解完了的文件夹：有记号；没有记号（不是这里解的）就数一数文件。"""
    if (place / COMPLETE).exists():
        return True
    return place.exists() and sum(len(names) for _, _, names in os.walk(place)) >= files


@checked
def imagenette(
    root=None,
    *,
    split: Literal["train", "val"] = "val",
    size: int | tuple[int, int] = 224,
    n: int | None = 500,
) -> ImageSet:
    """Imagenette（Howard，2019）：ImageNet 的十个容易的类；首次使用要下载约 95 MB。

    均匀取 n 张（None 取全部）；类别是英文类名。拿不到文件则抛 RuntimeError，说明怎样手工放置。
    """
    from torchvision.datasets import Imagenette

    folder = _download_root(root)
    url, md5 = Imagenette._ARCHIVES["160px"]
    archive = folder / url.split("/")[-1]
    data = _prepared(
        lambda place: Imagenette(place, split=split, size="160px", download=False),
        folder, archive, md5, url, 95, archive.stem, IMAGENETTE_FILES,
    )  # fmt: skip
    found = image_folder(data._image_root, size=size, n=n)
    names = {wnid: names[0] for wnid, names in zip(data.wnids, data.classes, strict=True)}
    return ImageSet(
        found.images, found.names, tuple(names[c] for c in found.categories), found.attribution
    )


@checked
def stl10(
    root=None, *, split: Literal["train", "test", "unlabeled"] = "test", n: int | None = 500
) -> ImageSet:
    """STL-10（Coates 等，2011）：96×96 的十类照片；首次使用要下载约 2640 MB。

    均匀取 n 张（None 取全部）。拿不到文件则抛 RuntimeError，说明怎样手工放置。
    """
    from torchvision.datasets import STL10

    folder = _download_root(root)
    data = _prepared(
        lambda place: STL10(place, split=split, download=False),
        folder, folder / STL10.filename, STL10.tgz_md5, STL10.url, 2640, STL10.base_folder,
    )  # fmt: skip
    total = len(data.data)
    chosen = (
        [i * total // n for i in range(n)] if n is not None and n < total else list(range(total))
    )
    categories = tuple(data.classes[data.labels[i]] if data.labels[i] >= 0 else "" for i in chosen)
    images = torch.from_numpy(data.data[chosen]).float() / 255
    return ImageSet(
        images, tuple(f"{split}_{i:05d}" for i in chosen), categories, ("STL-10",) * len(chosen)
    )
