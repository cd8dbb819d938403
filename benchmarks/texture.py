"""Efros–Leung：64×64 的灰度样本长到 96×96，窗口 11，与逐窗口、逐点的 Python 循环之比（下限 50 倍），并逐像素核对。

Python 循环只在均匀抽出的几个像素上计时，再按像素个数放大；整张图用逐像素的整数算法核对。用法：python benchmarks/texture.py [抽几个像素]
"""

import sys
import time

import numpy as np
import torch
from interleaved import compare

from cnnlab import efros_leung, texture_image
from cnnlab.growth import Canvas, gaussian, nth_true

SIZE, WINDOW, SEED = (96, 96), 11, 0


def by_loop(levels, patch, known, weights) -> list[int]:
    """一个像素：每个窗口、每个已填的点都用 Python 的循环算，得到全部候选的距离。"""
    height, width = levels.shape
    points = [(int(i), int(j)) for i, j in np.argwhere(known)]
    distances = []
    for top in range(height - WINDOW + 1):
        for left in range(width - WINDOW + 1):
            total = 0
            for i, j in points:
                gap = int(levels[top + i, left + j]) - int(patch[i, j])
                total += int(weights[i, j]) * gap * gap
            distances.append(total)
    return distances


def sequentially(sample: np.ndarray, sampled: int) -> tuple[np.ndarray, float]:
    """一个像素接一个像素，距离用整数算；其中抽几个像素另用 Python 循环算并计时。给出每个像素的出处和放大到整张图的秒数。"""
    canvas = Canvas(sample, SIZE, WINDOW, SEED)
    radius, weights = WINDOW // 2, gaussian(WINDOW).astype(np.int64)
    levels = np.rint(sample[0].astype(np.float64) * 4095).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(levels, (WINDOW, WINDOW))
    values = np.zeros(canvas.filled.shape, np.int64)
    values[canvas.filled] = levels[tuple(canvas.sources[canvas.filled].T)]
    count, seconds, total = 0, 0.0, SIZE[0] * SIZE[1] - 9
    while not canvas.full:
        for row, column in zip(*canvas.front(), strict=True):
            place = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
            known = canvas.filled[place]
            distances = (np.square(windows - values[place]) * (weights * known)).sum((2, 3)).ravel()
            if count % (total // sampled) == 0:
                start = time.process_time()
                assert by_loop(levels, values[place], known, weights) == distances.tolist()
                seconds += time.process_time() - start
            index = nth_true(10 * distances <= 11 * distances.min(), canvas.chance[row, column])
            source = index // windows.shape[1] + radius, index % windows.shape[1] + radius
            canvas.sources[row, column], values[row, column], canvas.filled[row, column] = source, levels[source], True
            count += 1
    return canvas.sources[radius:-radius, radius:-radius], seconds * total / len(range(0, total, total // sampled))


def main(sampled: int = 24) -> None:
    """打印比值，核对每个像素。"""
    torch.set_num_threads(1)
    colour = texture_image("pebbles", 64)
    grey = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    expected, seconds = sequentially(grey[0, :1].numpy(), sampled)
    _, sources = efros_leung(grey, SIZE, WINDOW, seed=SEED, return_sources=True)
    print(f"逐像素相同：{'✔' if np.array_equal(sources.numpy(), expected) else '✘'}（{SIZE[0]}×{SIZE[1]}，灰度，窗口 {WINDOW}）")
    functions = {"灰度": lambda: efros_leung(grey, SIZE, WINDOW), "彩色": lambda: efros_leung(colour, SIZE, WINDOW)}
    compare(functions, rounds=7)
    runs = []
    for _ in range(5):
        start = time.process_time()
        efros_leung(grey, SIZE, WINDOW)
        runs.append(time.process_time() - start)
    ours = sorted(runs)[2]
    faster = seconds / ours
    print(f"  Python 循环约 {seconds:.0f} 秒，是灰度的 {faster:.0f} 倍（下限 50）{'✔' if faster >= 50 else '✘'}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
