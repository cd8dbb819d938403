"""在自己的照片文件夹里找：哪些区块最激活一个通道，或哪些照片与一张照片最像。

    python -m cnnlab mine 文件夹 --layer fire6 --channel 258
    python -m cnnlab mine 文件夹 --like 照片.jpg
    torchrun --nproc-per-node 4 -m cnnlab mine 文件夹 …      几个进程分着看，结果相同

照片逐批读入，内存与张数无关；读不出的跳过，最后说出是哪些。边看边存进度，按 Ctrl-C 给出看过的，再运行同一条命令接着看。
算法在 patches 与 neighbors 里，这里只管命令行。
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from cnnlab.chapters.neighbors import extract_features, nearest_neighbors
from cnnlab.chapters.patches import BATCH, Leaderboard
from cnnlab.core.checks import whole
from cnnlab.core.command_line import Parser
from cnnlab.core.hooks import find_layer
from cnnlab.core.images import load_image
from cnnlab.engine.processes import any_process, gather, process_group, rank_and_world
from cnnlab.engine.stopping import stoppable
from cnnlab.networks.models import load_model
from cnnlab.pictures.photos import PhotoFolder
from cnnlab.show.plotting import show_grid

# 每看这么多张存一次进度
SAVE_EVERY = 256


class Strongest(Leaderboard):
    """一个通道激活最大的 k 处，每张照片只出一处。"""

    def __init__(self, model, layer: str, channel: int, k: int):
        find_layer(model, layer)
        super().__init__(model, layer, channel, k)

    def rows(self, folder: PhotoFolder) -> tuple[list[int], list[float], list[Tensor]]:
        """照片的编号、值、要画的图，从大到小。"""
        found = self.patches(folder)
        return found.image_index[0].tolist(), found.values[0].tolist(), list(found.crops[0])


class MostAlike:
    """特征与一张照片最近的 k 张；`best` 是 (距离, 编号, 特征)，编号从小到大。"""

    def __init__(self, model, query: Tensor, k: int):
        self.model, self.k, self.best = model, whole(k, "k", 1), None
        self.query = extract_features(model, query)

    def see(self, batch: Tensor, numbers) -> None:
        features = extract_features(self.model, batch)
        new = (torch.zeros(len(batch)), torch.tensor(numbers), features)
        self.join([self.best, new])

    def join(self, bests) -> None:
        bests = [best for best in bests if best is not None]
        _, numbers, features = (torch.cat(each) for each in zip(*bests, strict=True))
        order = numbers.argsort()
        numbers, features = numbers[order], features[order]
        found = nearest_neighbors(self.query, features, min(self.k, len(features)), "cosine")
        kept, order = found.index[0].sort()
        self.best = (found.distance[0][order], numbers[kept], features[kept])

    def rows(self, folder: PhotoFolder) -> tuple[list[int], list[float], list[Tensor]]:
        distance, order = self.best[0].sort(stable=True)
        numbers = self.best[1][order].tolist()
        return numbers, distance.tolist(), [folder[number] for number in numbers]


def main(arguments: list[str] | None = None) -> list[tuple[str, float]]:
    """按命令行的要求搜索，存下一张图，逐行打印并返回 [(文件, 值), …]。"""
    options = _options(arguments)
    rank, world = rank_and_world()
    output = _checked_output(options.output)
    model = load_model(options.model)
    folder = PhotoFolder(options.folder, leave_out=[output])
    search = _search(model, folder, options)
    progress = _Progress(output, rank, world, _fingerprint(model, folder, options))
    with process_group():
        done = _look(search, folder, progress, rank, world)
        finished = not any_process(done < len(folder.files[rank::world]))
        parts = gather((search.best, done, {str(key): why for key, why in folder.broken.items()}))
    if rank != 0:
        return []
    if all(best is None for best, _, _ in parts):
        raise ValueError(f"{folder.root} 里还没有看过一张能读的照片")
    search.join([best for best, _, _ in parts])
    rows = _report(search, folder, output, parts, len(folder))
    if finished:
        for number in range(world):
            _Progress(output, number, world, "").path.unlink(missing_ok=True)
    return rows


def _options(arguments) -> argparse.Namespace:
    parser = Parser(__doc__.splitlines()[0], prog="python -m cnnlab mine")
    parser.add_argument("folder", metavar="文件夹", help="照片所在的文件夹")
    parser.add_argument("--model", default="squeezenet1_1", help="网络的名字")
    parser.add_argument("--layer", default="fire6", help="哪一层")
    parser.add_argument("--channel", type=int, default=0, help="哪个通道")
    parser.add_argument("--like", help="一张照片：改为找与它最像的")
    parser.add_argument("--k", type=int, default=9, help="要几个")
    parser.add_argument("--output", default="mine.png", help="结果存成哪个文件")
    return parser.parse_args(arguments)


def _checked_output(path: str) -> Path:
    """结果要存得下：格式认得，文件夹在，写得进去；看几万张之前先查。"""
    output = Path(path).expanduser()
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg"):
        raise ValueError(f"--output 是 {path}；文件名以 .png、.jpg、.webp、.pdf 或 .svg 结尾")
    if not output.parent.is_dir():
        raise ValueError(f"--output 所在的文件夹 {output.parent} 不存在；先建好它")
    if output.is_dir() or not os.access(output.parent, os.W_OK):
        raise ValueError(f"{output} 写不进去；换一个 --output")
    return output


def _search(model, folder: PhotoFolder, options) -> Strongest | MostAlike:
    if options.like:
        return MostAlike(model, load_image(options.like, folder.size), options.k)
    search = Strongest(model, options.layer, options.channel, options.k)
    # 通道号对不对，用一张灰图先试
    search.see(torch.full((1, 3, folder.size, folder.size), 0.5), [0])
    search.best = None
    return search


def _fingerprint(model, folder: PhotoFolder, options) -> str:
    """同一条命令、同一个网络、同一批文件，才接着上次的进度。"""
    asked = {key: value for key, value in vars(options).items() if key != "output"}
    files = [(str(file), file.lstat().st_size) for file in folder.files]
    text = json.dumps([asked, model.weights_hash(), folder.size, files], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Progress:
    """一个进程看到第几张、榜上有谁，存在结果旁边。"""

    def __init__(self, output: Path, rank: int, world: int, fingerprint: str):
        self.path = output.with_name(f"{output.name}.{rank}-{world}.progress")
        self.fingerprint = fingerprint

    def load(self, search, folder: PhotoFolder) -> int:
        try:
            state = torch.load(self.path, weights_only=True)
            if state["fingerprint"] != self.fingerprint:
                return 0
            search.best = state["best"]
            folder.broken.update({Path(name): why for name, why in state["broken"].items()})
            return state["done"]
        except Exception:
            # 没有、读不出、不是这一条命令的：从头看起
            return 0

    def save(self, search, folder: PhotoFolder, done: int) -> None:
        broken = {str(name): why for name, why in folder.broken.items()}
        state = {"fingerprint": self.fingerprint, "best": search.best, "done": done}
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            torch.save({**state, "broken": broken}, partial)
            os.replace(partial, self.path)
        finally:
            partial.unlink(missing_ok=True)


def _look(search, folder: PhotoFolder, progress: _Progress, rank: int, world: int) -> int:
    """看完这个进程的那一份（每隔 `world` 张一张），给出看了几张；按 Ctrl-C 时看完这一批就停。"""
    mine = range(rank, len(folder), world)
    done = saved = progress.load(search, folder)
    hidden = rank != 0 or os.environ.get("CNNLAB_BARS") == "0"
    with (
        stoppable() as stop,
        tqdm(total=len(mine), initial=done, unit="张", desc="看照片", disable=hidden) as bar,
    ):
        while done < len(mine) and not stop.asked:
            numbers = list(mine[done : done + BATCH])
            images = {number: folder.read(number) for number in numbers}
            seen = {number: image for number, image in images.items() if image is not None}
            if seen:
                search.see(torch.cat(list(seen.values())), list(seen))
            done += len(numbers)
            bar.update(len(numbers))
            if done - saved >= SAVE_EVERY:
                progress.save(search, folder, done)
                saved = done
        if done < len(mine):
            progress.save(search, folder, done)
    return done


def _report(search, folder: PhotoFolder, output: Path, parts, total: int) -> list:
    """画成一张图，逐行打印；跳过了谁、看到哪里，写在错误输出上。"""
    numbers, values, pictures = search.rows(folder)
    rows = [(str(folder.files[i]), value) for i, value in zip(numbers, values, strict=True)]
    print(*(f"{value:10.4g}  {file}" for file, value in rows), sep="\n")
    show_grid(pictures, titles=[f"{value:.3g}" for value in values]).figure.savefig(output)
    print(f"图存在 {output}")
    broken = sorted({name for _, _, names in parts for name in names})
    if broken:
        listed = "、".join(broken[:20]) + ("……" if len(broken) > 20 else "")
        print(f"跳过 {len(broken)} 个打不开的文件：{listed}", file=sys.stderr)
    done = sum(count for _, count, _ in parts)
    if done < total:
        print(f"停在 {done}/{total} 张；再运行同一条命令就接着看", file=sys.stderr)
    return rows
