"""Efros–Leung：64×64 的灰度样本长到 96×96，窗口 11，与逐窗口、逐点的 Python 循环之比（下限 50 倍），并逐像素核对。

Python 循环只在均匀抽出的几个像素上计时，再按像素个数放大；整张图用逐像素的整数算法核对。用法：python benchmarks/texture.py [抽几个像素]
"""

import sys

import numpy as np
import torch
from interleaved import compare

from cnnlab import efros_leung, texture_image
from cnnlab.engine.pixel_growth import Canvas, gaussian, nth_true

SIZE, WINDOW, SEED = (96, 96), 11, 0
PIXELS = SIZE[0] * SIZE[1] - 9  # 3×3 的种子不用长


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


def sequentially(sample: np.ndarray, sampled: int) -> tuple[np.ndarray, list[tuple]]:
    """一个像素接一个像素，距离用整数算。给出每个像素的出处，和均匀抽出的几个像素：`by_loop` 的参数与应得的距离。"""
    canvas = Canvas(sample, SIZE, WINDOW, SEED)
    radius, weights = WINDOW // 2, gaussian(WINDOW).astype(np.int64)
    levels = np.rint(sample[0].astype(np.float64) * 4095).astype(np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(levels, (WINDOW, WINDOW))
    values = np.zeros(canvas.filled.shape, np.int64)
    values[canvas.filled] = levels[tuple(canvas.sources[canvas.filled].T)]
    chosen, count = [], 0
    while not canvas.full:
        for row, column in zip(*canvas.front(), strict=True):
            place = np.s_[row - radius : row + radius + 1, column - radius : column + radius + 1]
            patch, known = values[place].copy(), canvas.filled[place].copy()
            distances = (np.square(windows - patch) * (weights * known)).sum((2, 3)).ravel()
            if count % (PIXELS // sampled) == 0:
                chosen.append(((levels, patch, known, weights), distances.tolist()))
            index = nth_true(10 * distances <= 11 * distances.min(), canvas.chance[row, column])
            source = index // windows.shape[1] + radius, index % windows.shape[1] + radius
            canvas.sources[row, column], values[row, column], canvas.filled[row, column] = (
                source,
                levels[source],
                True,
            )
            count += 1
    return canvas.sources[radius:-radius, radius:-radius], chosen


def main(sampled: int = 24) -> None:
    """打印比值，核对每个像素。"""
    torch.set_num_threads(1)
    colour = texture_image("pebbles", 64)
    grey = colour.mean(1, keepdim=True).expand(-1, 3, -1, -1).contiguous()
    expected, chosen = sequentially(grey[0, :1].numpy(), sampled)
    _, sources = efros_leung(grey, SIZE, WINDOW, seed=SEED, return_sources=True)
    same = np.array_equal(sources.numpy(), expected) and all(
        by_loop(*arguments) == distances for arguments, distances in chosen
    )
    print(f"逐像素相同：{'✔' if same else '✘'}（{SIZE[0]}×{SIZE[1]}，灰度，窗口 {WINDOW}）")
    loop_name = f"Python 循环，{len(chosen)} 个像素"
    functions = {
        "灰度": lambda: efros_leung(grey, SIZE, WINDOW),
        "彩色": lambda: efros_leung(colour, SIZE, WINDOW),
    }
    functions[loop_name] = lambda: [by_loop(*arguments) for arguments, _ in chosen]
    faster = compare(functions, rounds=7)[loop_name][1] * PIXELS / len(chosen)
    print(
        f"  按 {PIXELS} 个像素放大，Python 循环是灰度的 {faster:.0f} 倍（下限 50）{'✔' if faster >= 50 else '✘'}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
