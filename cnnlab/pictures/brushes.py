"""画图的共同工具：画布坐标、噪声、调色板、笔触。

不管画什么（见 drawn_styles 与 drawn_textures）；坐标以短边为 1，随机数与像素数无关，所以同一幅画可画成任意大小。
"""

import numpy as np


def canvas(height: int, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    """超采样画布的 x、y 坐标（短边长 1）与每边的超采样倍数。"""
    factor = 3 if max(height, width) <= 200 else 2
    short = min(height, width) * factor
    y, x = np.mgrid[0 : height * factor, 0 : width * factor].astype(np.float32)
    return (x + 0.5) / short, (y + 0.5) / short, factor


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """把超采样的画 (fH, fW, 3) 按 factor×factor 取平均，得 (H, W, 3)。"""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    return picture.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def smoothstep(low, high, value):
    """从 low 处的 0 平滑升到 high 处的 1。"""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def colours(text: str) -> np.ndarray:
    """空格分开的十六进制颜色变成 (K, 3) 的数组。"""
    return np.array(
        [[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in text.split()], np.float32
    )


def gradient(t: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """t（0 到 1）在等距色标间线性插值，得 (..., 3)。"""
    position = np.clip(t, 0, 1) * (len(stops) - 1)
    low = np.minimum(position.astype(np.int32), len(stops) - 2)
    return stops[low] + (stops[low + 1] - stops[low]) * (position - low)[..., None]


def mix(first, second, amount):
    """两色（或两幅画）按 amount 混合。"""
    return first + (second - first) * np.asarray(amount)[..., None]


def noise(x, y, rng) -> np.ndarray:
    """梯度噪声，约在 -1 到 1 之间，特征大小约为 1。

    出处：Perlin，1985。
    """
    angle = (rng.random((256, 256)) * 2 * np.pi).astype(np.float32)
    slope_x, slope_y = np.cos(angle).ravel(), np.sin(angle).ravel()
    left, top = np.floor(x), np.floor(y)
    u, v = x - left, y - top
    column, row = left.astype(np.int32), top.astype(np.int32)

    def corner(dx, dy):
        index = ((row + dy) % 256) * 256 + (column + dx) % 256
        return slope_x[index] * (u - dx) + slope_y[index] * (v - dy)

    a, b = u * u * u * (u * (u * 6 - 15) + 10), v * v * v * (v * (v * 6 - 15) + 10)
    upper, lower = corner(0, 0), corner(0, 1)
    upper += a * (corner(1, 0) - upper)
    lower += a * (corner(1, 1) - lower)
    return 1.5 * (upper + b * (lower - upper))


def fractal(x, y, rng, octaves: int = 4) -> np.ndarray:
    """几层噪声之和，每层频率加倍、幅度减半。"""
    total = 0
    for level in range(octaves):
        turn = 0.6 * level  # 每层转一个角度，格子的方向才看不出来
        c, s = np.float32(np.cos(turn) * 2**level), np.float32(np.sin(turn) * 2**level)
        total = total + noise(c * x - s * y, s * x + c * y, rng) * 0.5**level
    return total


def cell_values(column, row, rng, count: int = 1) -> np.ndarray:
    """每个格子（整数列、行）的 count 个均匀随机数，得 (..., count)。"""
    table = rng.random((256, 256, count)).astype(np.float32)
    return table[row.astype(np.int32) % 256, column.astype(np.int32) % 256]


def line_integral(picture, flow_x, flow_y, steps: int, stride: float = 1.0) -> np.ndarray:
    """沿流线平均：picture (H, W, C) 在每点顺流与逆流各走 steps 步，取窗内均值。

    出处：Cabral 与 Leedom，1993。
    """
    height, width = flow_x.shape
    length = np.hypot(flow_x, flow_y) + 1e-6
    step_x, step_y = (flow_x / length * stride).ravel(), (flow_y / length * stride).ravel()
    flat, total, weight = picture.reshape(height * width, -1), 0, 0
    start_y, start_x = np.mgrid[0:height, 0:width].astype(np.float32)
    for sign in (1, -1):
        x, y = start_x.ravel().copy(), start_y.ravel().copy()
        for step in range(steps):
            xi, yi = (x + 0.5).astype(np.int32), (y + 0.5).astype(np.int32)
            index = np.clip(yi, 0, height - 1) * width + np.clip(xi, 0, width - 1)
            share = 0.5 + 0.5 * np.cos(np.pi * step / steps)
            total, weight = total + flat[index] * share, weight + share
            x += sign * step_x[index]
            y += sign * step_y[index]
    return (total / weight).reshape(picture.shape)


def relief(height: np.ndarray, strength: float, scale: float = 1.0) -> np.ndarray:
    """从左上方打光时高度图的明暗，平处为 0。"""
    down, right = np.gradient(height)
    return np.tanh((-right - down) * strength * scale)


class Dabs:
    """一层随机笔触：每格一笔，朝 direction(x, y) 的方向；length 与 width 是半长，单位为格。

    逐笔：x、y（中心）、values（4 个随机数）；逐像素：stroke（最上面那一笔的序号）、hit（有无）、
    along 与 across（沿笔、横笔的位置，-1 到 1）。
    """

    def __init__(self, x, y, rng, *, cell: float, direction, length: float, width: float):
        table = rng.random((256, 256, 7)).astype(np.float32)
        reach = max(1, int(np.ceil(length - 0.1 - 1e-6)))
        columns = int(x.max() / cell) + 3 + 2 * reach
        rows = int(y.max() / cell) + 3 + 2 * reach
        grid_y, grid_x = np.mgrid[0:rows, 0:columns].reshape(2, -1)
        values = table[grid_y % 256, grid_x % 256]
        centre_x = (grid_x - reach - 1 + 0.1 + 0.8 * values[:, 0]).astype(np.float32)
        centre_y = (grid_y - reach - 1 + 0.1 + 0.8 * values[:, 1]).astype(np.float32)
        self.x, self.y, self.values = centre_x * cell, centre_y * cell, values[:, 3:]
        angle = direction(self.x, self.y)
        c, s, px, py = np.cos(angle), np.sin(angle), x / cell, y / cell
        home = (
            (np.floor(py).astype(np.int32) + reach + 1) * columns
            + np.floor(px).astype(np.int32)
            + reach
            + 1
        )
        best = np.full(x.shape, -1, np.float32)
        self.stroke, self.along, self.across = home.copy(), np.zeros_like(x), np.zeros_like(x)
        for step in [
            r * columns + q for r in range(-reach, reach + 1) for q in range(-reach, reach + 1)
        ]:
            index = np.clip(home + step, 0, rows * columns - 1)
            ox, oy, cosine, sine = px - centre_x[index], py - centre_y[index], c[index], s[index]
            along, across = (cosine * ox + sine * oy) / length, (cosine * oy - sine * ox) / width
            height = values[index, 2]
            over = (along * along + across * across < 1) & (height > best)
            for target, value in (
                (best, height),
                (self.stroke, index),
                (self.along, along),
                (self.across, across),
            ):
                np.copyto(target, value, where=over)
        self.hit = best >= 0
