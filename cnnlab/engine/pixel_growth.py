"""逐像素生长的内部：生长的次序、精确的窗口距离、互不相干的像素一起算；以及量它抄了多少。

不管网络。距离在整数上算（像素分 4096 级，高斯权重分 1024 级），float64 里每个和都精确，
所以与逐窗口、逐点的循环逐位相同，与求和的次序和矩阵乘法的实现无关。
"""

from collections.abc import Callable

import numpy as np

from cnnlab.core.arguments import checked

LEVELS, WEIGHT_LEVELS = 4095, 1023
# 候选：距离不超过最小值的 11/10（Efros 与 Leung 的 ε = 0.1）
TOLERANCE = (10, 11)


def grow_pixels(
    sample: np.ndarray,
    size: tuple[int, int],
    window: int,
    seed: int,
    on_ring: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """(C, H, W) 的样本长成 size 大小的图；给出每个像素抄自样本的 (行, 列)，(高, 宽, 2)，没长到的是 −1。

    每长完一圈调一次 `on_ring`(第几圈, 到那时的出处)。按 Ctrl-C 时给出已经长出来的。
    """
    canvas = Canvas(sample, size, window, seed)
    ring = 0
    try:
        while not canvas.full:
            rows, columns = canvas.front()
            for together in canvas.independent(rows, columns):
                canvas.fill(rows[together], columns[together])
            if on_ring is not None:
                on_ring(ring, canvas.grown.copy())
            ring += 1
    except KeyboardInterrupt:
        pass
    return canvas.grown


class Canvas:
    """画布：四边各多 radius 的空边；已填的值、已填与否、每个像素的出处、事先抽好的随机数。"""

    def __init__(self, sample: np.ndarray, size: tuple[int, int], window: int, seed: int):
        generator = np.random.default_rng(seed)
        levels = np.rint(np.clip(sample, 0, 1).astype(np.float64) * LEVELS)
        # 灰度样本只算一个通道：三个通道相等，距离只差 3 倍
        self.sample = (levels if np.ptp(levels, axis=0).any() else levels[:1]).transpose(1, 2, 0)
        self.radius = radius = window // 2
        shape = tuple(side + 2 * radius for side in size)
        self.values = np.zeros((*shape, self.sample.shape[2]))
        self.filled = np.zeros(shape, bool)
        self.sources = np.full((*shape, 2), -1)
        self.inner = np.zeros(shape, bool)
        self.inner[radius:-radius, radius:-radius] = True
        self.weights, self.library, self.centers = gaussian(window), *_library(self.sample, window)
        self._plant(generator, size)
        self.order, self.chance = generator.random(shape), generator.random(shape)

    def _plant(self, generator: np.random.Generator, size: tuple[int, int]) -> None:
        """正中放一块 3×3 的种子，从样本里随机取。"""
        top, left = (int(generator.integers(0, side - 2)) for side in self.sample.shape[:2])
        row, column = (self.radius + side // 2 - 1 for side in size)
        place = np.s_[row : row + 3, column : column + 3]
        self.sources[place] = np.stack(np.mgrid[top : top + 3, left : left + 3], -1)
        self.values[place], self.filled[place] = self.sample[top : top + 3, left : left + 3], True

    @property
    def full(self) -> bool:
        return bool(self.filled[self.inner].all())

    @property
    def grown(self) -> np.ndarray:
        """每个像素的出处，不带空边；还没长到的是 −1。"""
        inside = slice(self.radius, -self.radius)
        return self.sources[inside, inside]

    def front(self) -> tuple[np.ndarray, np.ndarray]:
        """一圈里要填的像素：挨着已填的，已填的邻居多的先来，一样多的按抽好的次序。"""
        from scipy import ndimage

        touching = ndimage.binary_dilation(self.filled, np.ones((3, 3)))
        rows, columns = np.nonzero(touching & ~self.filled & self.inner)
        known = self.filled[self._windows(rows, columns)].sum((1, 2))
        order = np.lexsort((self.order[rows, columns], -known))
        return rows[order], columns[order]

    def _windows(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """这些像素各自的窗口在画布上的行、列：下标 [_windows(…)] 得到 (几个, window, window)。"""
        offsets = np.arange(-self.radius, self.radius + 1)
        return rows[:, None, None] + offsets[:, None], columns[:, None, None] + offsets

    def independent(self, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
        """把一圈按先后分批：窗口互不相及的像素不等对方，一批里的可以一起算。"""
        level, radius = np.zeros(self.filled.shape, np.int32), self.radius
        levels = np.empty(len(rows), np.int32)
        for index, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
            nearby = level[row - radius : row + radius + 1, column - radius : column + radius + 1]
            levels[index] = level[row, column] = nearby.max() + 1
        order = np.argsort(levels, kind="stable")
        return np.split(order, np.cumsum(np.bincount(levels)[1:-1]))

    def fill(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """填这一批像素：距离 = Σ w s² − 2 Σ w t s + Σ w t²，一次矩阵乘法算完全部候选。"""
        places = self._windows(rows, columns)
        weights = (self.filled[places] * self.weights).reshape(len(rows), -1)
        known = self.values[places].reshape(*weights.shape, -1) * weights[..., None]
        constant = (known * self.values[places].reshape(known.shape)).sum((1, 2))
        query = np.concatenate([weights, -2 * known.reshape(len(rows), -1)], 1)
        distances = query @ self.library + constant[:, None]
        near = TOLERANCE[0] * distances <= TOLERANCE[1] * distances.min(1, keepdims=True)
        chosen = [
            nth_true(row, chance)
            for row, chance in zip(near, self.chance[rows, columns], strict=True)
        ]
        self.sources[rows, columns] = self.centers[chosen]
        self.values[rows, columns] = self.sample[tuple(self.centers[chosen].T)]
        self.filled[rows, columns] = True


def gaussian(window: int) -> np.ndarray:
    """(window, window) 的整数高斯权重，标准差是窗口的 1/6.4，中心为 1023，边角至少为 1。"""
    line = np.exp(-((np.arange(window) - window // 2) ** 2) / (2 * (window / 6.4) ** 2))
    return np.maximum(np.rint(WEIGHT_LEVELS * np.outer(line, line)), 1)


def nth_true(candidates: np.ndarray, chance: float) -> int:
    """在为真的几个里按 [0, 1) 的随机数取一个的下标。"""
    indices = np.flatnonzero(candidates)
    return int(indices[int(chance * len(indices))])


def _library(sample: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """样本的全部窗口：(窗内点数 · (1 + C), M)，上半是各点的平方和，下半是值；以及窗口中心的 (行, 列)。"""
    windows = np.lib.stride_tricks.sliding_window_view(
        sample, (window, window), (0, 1)
    )  # (H', W', C, w, w)
    centers = np.argwhere(np.ones(windows.shape[:2])) + window // 2
    values = windows.transpose(0, 1, 3, 4, 2).reshape(len(centers), window * window, -1)
    library = np.concatenate([np.square(values).sum(2), values.reshape(len(centers), -1)], 1)
    return np.ascontiguousarray(library.T), centers


@checked
def copied_regions(sources: np.ndarray) -> np.ndarray:
    """整块照抄的区域各有多少像素，从大到小：上下左右相邻、出处也同样相邻的像素算一块。"""
    from skimage.measure import label

    sources = np.asarray(sources)
    offset = sources - np.indices(sources.shape[:2]).transpose(1, 2, 0)
    kinds = np.unique(offset.reshape(-1, 2), axis=0, return_inverse=True)[1]
    regions = label(kinds.reshape(sources.shape[:2]) + 1, connectivity=1)
    return np.sort(np.bincount(regions.ravel())[1:])[::-1]
