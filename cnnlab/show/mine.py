"""在自己的照片文件夹里找：哪些区块最激活一个通道，或哪些照片与一张照片最像。

    python -m cnnlab mine 文件夹 --layer fire6 --channel 258
    python -m cnnlab mine 文件夹 --like 照片.jpg

照片逐批读入，内存与张数无关。算法在 patches 与 neighbors 里，这里只管命令行。
"""

import argparse
from pathlib import Path

import torch

from cnnlab.chapters.neighbors import extract_features, nearest_neighbors
from cnnlab.chapters.patches import max_activating_patches
from cnnlab.core.images import load_image
from cnnlab.networks.models import load_model
from cnnlab.show.plotting import show_grid

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class Folder:
    """一个文件夹（含子文件夹）里的照片，按路径排序，用到哪张读哪张。"""

    def __init__(self, path, size: int = 224):
        self.files = sorted(
            file for file in Path(path).rglob("*") if file.suffix.lower() in SUFFIXES
        )
        self.size = size
        if not self.files:
            raise ValueError(f"{path} 里没有照片；认得的后缀：{'、'.join(sorted(SUFFIXES))}")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        return load_image(self.files[index], self.size)[0]


def main(arguments: list[str] | None = None) -> list[tuple[str, float]]:
    """按命令行的要求搜索，存下一张图，逐行打印并返回 [(文件, 值), …]。"""
    parser = argparse.ArgumentParser(
        prog="python -m cnnlab mine", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", help="照片所在的文件夹")
    parser.add_argument("--model", default="squeezenet1_1", help="网络的名字")
    parser.add_argument("--layer", default="fire6", help="哪一层")
    parser.add_argument("--channel", type=int, default=0, help="哪个通道")
    parser.add_argument("--like", help="一张照片：改为找与它最像的")
    parser.add_argument("--k", type=int, default=9, help="要几个")
    parser.add_argument("--output", default="mine.png", help="结果存成哪个文件")
    options = parser.parse_args(arguments)
    model, folder = load_model(options.model), Folder(options.folder)
    if options.like:
        features = torch.cat([extract_features(model, image[None]) for image in folder])
        query = extract_features(model, load_image(options.like, folder.size))
        found = nearest_neighbors(query, features, min(options.k, len(folder)), "cosine")
        values, index, pictures = (
            found.distance[0],
            found.index[0],
            [folder[i] for i in found.index[0].tolist()],
        )
    else:
        patches = max_activating_patches(model, folder, options.layer, options.channel, options.k)
        values, index, pictures = patches.values[0], patches.image_index[0], list(patches.crops[0])
    rows = [
        (str(folder.files[i]), value)
        for i, value in zip(index.tolist(), values.tolist(), strict=True)
    ]
    show_grid(pictures, titles=[f"{value:.3g}" for _, value in rows]).figure.savefig(options.output)
    print(*(f"{value:10.4g}  {file}" for file, value in rows), f"图存在 {options.output}", sep="\n")
    return rows
