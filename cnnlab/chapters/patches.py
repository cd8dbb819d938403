"""最大激活区块：感受野的精确计算，和一遍过完全部图像、只留前 k 名的搜索。

不画图，也不管这些区块说明了什么。
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import as_maps, check_images, check_maps, whole
from cnnlab.core.hooks import activations_of, channel_list, device_of
from cnnlab.core.receptive_field import Passage, bounds, nominal, trace_steps
from cnnlab.core.values import pair
from cnnlab.engine.gradients import gradient_of, pixel_leaf

BATCH = 8


@dataclass(frozen=True)
class ReceptiveField:
    """一层的感受野：位置 i 在一个方向上看到 [i·stride + offset, i·stride + offset + size)，未计边界。

    两个方向不同时，三个数各是 (竖, 横) 一对；`size` 为无穷大表示看到整张图。`box` 是计入边界的精确范围。
    """

    size: int | tuple
    stride: int | tuple
    offset: int | tuple
    steps: tuple[Passage, ...] = field(repr=False, default=())

    def map_size(self, image_size) -> tuple[int, int]:
        """这一层的激活图对 `image_size` 的图像有几行几列。"""
        return tuple(len(first) for first, _ in self._bounds(image_size))

    def _bounds(self, image_size) -> list[tuple]:
        """竖、横两个方向上，各位置看到的第一个和最后一个像素。"""
        sides = zip(("rows", "columns"), pair(image_size), strict=True)
        return [bounds(self.steps, axis, length) for axis, length in sides]

    def box(self, i: int, j: int, image_size) -> tuple[int, int, int, int]:
        """激活图 (i, j) 处看到的范围 (top, left, bottom, right)，截到图像之内，末端不含。

        正是所有这一处的神经元梯度不为零的像素的外接框；`image_size` 是整数或 (高, 宽)。
        """
        rows, columns = self.map_size(image_size)
        if not (0 <= i < rows and 0 <= j < columns):
            raise ValueError(f"位置 ({i}, {j}) 超出范围：这一层的激活图是 {rows}×{columns}")
        return tuple(self.boxes(torch.tensor([i, j]), image_size).tolist())

    def boxes(self, positions: Tensor, image_size) -> Tensor:
        """一批位置 (…, 2) 的范围 (…, 4)，每个同 `box`。"""
        (tops, bottoms), (lefts, rights) = self._bounds(image_size)
        i, j = positions.cpu().unbind(-1)
        ends = [(tops, i), (lefts, j), (bottoms + 1, i), (rights + 1, j)]
        return torch.stack([torch.from_numpy(each)[index] for each, index in ends], -1)

    def start(self, i: int, j: int) -> tuple[float, float]:
        """(i, j) 的感受野未截断时的左上角，可以在图像之外。"""
        stride, offset = pair(self.stride), pair(self.offset)
        return i * stride[0] + offset[0], j * stride[1] + offset[1]


@checked
def receptive_field(model: nn.Module, layer: str, *, image_size=224) -> ReceptiveField:
    """`layer` 的感受野：大小、步幅、起点，以及任一位置的精确范围 `.box(i, j, image_size)`。

    公式：每过一个核长 k、步幅 s、填充 p、膨胀 d 的窗口，大小加 d·(k − 1)·步幅，起点减 p·步幅，步幅乘 s；
    拼接和相加取并集。由一次前向（图像尺寸 `image_size`）记下的运算推出，分支、向上取整的池化都计入。
    不认识的运算抛 ValueError。来源：Araujo 等（2019）。
    """
    steps = trace_steps(model, layer, image_size)
    pairs = zip(nominal(steps, "rows"), nominal(steps, "columns"), strict=True)
    return ReceptiveField(
        *(rows if rows == columns else (rows, columns) for rows, columns in pairs), steps
    )


@dataclass(frozen=True)
class Patches:
    """排行榜上的区块：每行一个通道，每列一个名次。

    values、image_index (C, k)；positions (C, k, 2) 是激活图上的行列；boxes (C, k, 4) 是图像上的
    (top, left, bottom, right)，末端不含。`crops` 用到时才剪：(C, k, 3, 高, 宽)，都是整个感受野那么大。
    """

    values: Tensor
    image_index: Tensor
    boxes: Tensor
    positions: Tensor
    channels: tuple[int, ...]
    receptive: ReceptiveField = field(repr=False)
    images: object = field(repr=False)

    @property
    def crops(self) -> Tensor:
        """剪下的区块；神经元看不到的地方（图像之外）填中灰 0.5。"""
        rows, ranks = self.values.shape
        found = [self.crop(row, rank) for row in range(rows) for rank in range(ranks)]
        return torch.stack(found).unflatten(0, (rows, ranks))

    def crop(self, row: int, rank: int) -> Tensor:
        """第 `row` 行、第 `rank` 名的区块 (3, 高, 宽)。"""
        image = image_at(self.images, int(self.image_index[row, rank]))
        top, left, bottom, right = self.boxes[row, rank].tolist()
        i, j = self.positions[row, rank].tolist()
        (above, before), (height, width) = self.receptive.start(i, j), pair(self.receptive.size)
        # 看到整张图的神经元，画布就是整张图
        if height == math.inf:
            height, above = image.shape[1], 0
        if width == math.inf:
            width, before = image.shape[2], 0
        canvas = image.new_full((len(image), height, width), 0.5)
        seen = image[:, top:bottom, left:right]
        canvas[:, top - above : bottom - above, left - before : right - before] = seen
        return canvas

    def rows(self, channels) -> "Patches":
        """只留这些通道的行。"""
        if missing := [channel for channel in channels if channel not in self.channels]:
            raise ValueError(f"这些区块里没有通道 {missing}；有的是 {list(self.channels)}")
        index = [self.channels.index(channel) for channel in channels]
        names = "values", "image_index", "boxes", "positions"
        parts = {name: getattr(self, name)[index] for name in names}
        return replace(self, channels=tuple(channels), **parts)


@checked
def max_activating_patches(
    model: nn.Module, images, layer: str, channels=None, k: int = 9, one_per_image: bool = True
) -> Patches:
    """每个通道激活最大的 k 个区块，从大到小；一遍过完，内存与图像的张数无关。

    `images` 是 (N, 3, H, W)，或按下标取图的数据集（每项一张 (3, H, W)，或首项是它的元组），每张同样大小。
    `channels` 是通道号或一组，不给就是全部。`one_per_image` 时每张图只出最大的一处，不够 k 张就有几张给几张。
    同值的先来者在前：先比图像的次序，再比位置（先行后列）。
    来源：Zeiler 与 Fergus（2014）；Springenberg 等（2015）。
    """
    board = Leaderboard(model, layer, channels, k, one_per_image)
    for start, batch in image_batches(images):
        board.see(batch, range(start, start + len(batch)))
    return board.patches(images)


class Leaderboard:
    """每个通道激活最大的 k 处，边看边记：`see` 一批图，随时可以 `patches`；`best` 是榜，可以存下来接着看。"""

    def __init__(self, model, layer: str, channels=None, k: int = 9, one_per_image: bool = True):
        self.model, self.layer, self.channels = model, layer, channels
        self.k, self.one_per_image = whole(k, "k", 1), one_per_image
        self.best, self.wanted, self.home = None, [], torch.device("cpu")

    def see(self, batch: Tensor, numbers) -> None:
        """看一批图 (N, 3, H, W)；`numbers` 是它们在全部图像里的编号，从小到大。"""
        # 在模型的设备上排榜：只把榜单带回图所在的地方
        self.home = batch.device
        activation = _maps(self.model, batch.to(device_of(self.model)), self.layer)
        self.wanted = channel_list(self.channels, activation.shape[1])
        activation = activation if self.channels is None else activation[:, self.wanted]
        numbers = torch.tensor(numbers, device=activation.device)
        self.best = _merge(self.best, activation, numbers, self.k, self.one_per_image)

    def join(self, bests) -> None:
        """并进几张同样的榜（各进程的）；同值的编号小的在前。"""
        bests = [best for best in bests if best is not None]
        columns = [torch.cat(each, 1) for each in zip(*bests, strict=True)]
        by_number = columns[1].argsort(dim=1, stable=True)
        self.best = _first(self.k, [each.gather(1, by_number) for each in columns])

    def patches(self, images) -> Patches:
        best = (each.to(self.home) for each in self.best)
        return _patches(self.model, images, self.layer, self.wanted, *best)


@checked
def image_maxima(
    model: nn.Module, images, layer: str, channels=None
) -> tuple[Tensor, Tensor, list[int]]:
    """每张图上每个通道的最大值及其位置：值 (N, C)，位置 (N, C) 是展平激活图里的下标，以及通道号。

    整张图同值（多半全为 0）时没有哪里更大，位置取中央。
    """
    values, positions = [], []
    for _, batch in image_batches(images):
        activation = _maps(model, batch.to(device_of(model)), layer)
        wanted = channel_list(channels, activation.shape[1])
        flat = activation[:, wanted].flatten(2)
        low, high = flat.aminmax(dim=2)
        centre = (activation.shape[2] // 2) * activation.shape[3] + activation.shape[3] // 2
        positions.append(torch.where(low == high, centre, flat.argmax(2)).to(batch.device))
        values.append(high.to(batch.device))
    return torch.cat(values), torch.cat(positions), wanted


@checked
def ranked_patches(
    model: nn.Module,
    images,
    layer: str,
    channels=None,
    k: int = 9,
    *,
    part: Literal["top", "middle", "bottom", "random"] = "middle",
    seed: int = 0,
    maxima=None,
) -> Patches:
    """排行榜别处的 k 个区块，每张图只出最大的一处：part 为 "top"、"middle"、"bottom" 或 "random"。

    图像按各自的最大值从大到小排；middle 是正中的 k 名，bottom 是最后的 k 名，random 是不看名次抽的 k 张（次序由 seed 定）。
    要记下每张图的最大值：内存 12·N·C 字节；`maxima` 是现成的 `image_maxima(…)` 的结果，给了就不再跑前向。来源：Borowski 等（2021）用中间与底部的图作对照。
    """
    values, positions, wanted = maxima or image_maxima(model, images, layer, channels)
    n, k = len(values), min(k, len(values))
    starts = {"top": 0, "middle": (n - k) // 2, "bottom": n - k, "random": 0}
    order = values.T.argsort(dim=1, descending=True, stable=True)
    if part == "random":
        generator = torch.Generator().manual_seed(seed)
        shuffled = [torch.randperm(n, generator=generator) for _ in order]
        order = torch.stack(shuffled).to(values.device)
    index = order[:, starts[part] : starts[part] + k]
    best = values.T.gather(1, index), index, positions.T.gather(1, index)
    found = _patches(model, images, layer, wanted, *best)
    return found if channels is None else found.rows(channel_list(channels, max(wanted) + 1))


@checked
def effective_receptive_field(model: nn.Module, images: Tensor, layer: str) -> Tensor:
    """有效感受野：图像上每个像素对一处神经元的平均影响，(H, W)，和为 1。

    公式：|∂ Σ_c a_c(i, j) / ∂x| 对颜色求和、对图像取平均，再除以总和；(i, j) 是激活图的中央。
    来源：Luo 等（2016）。
    """
    total = torch.zeros(check_images(images).shape[-2:])
    for _, batch in image_batches(images):
        with pixel_leaf(model, batch) as leaf:
            activation = check_maps(activations_of(model, leaf, layer)[layer], layer, batch)
            i, j = (side // 2 for side in activation.shape[-2:])
            gradient = gradient_of(activation[:, :, i, j], leaf)
        total += gradient.abs().sum((0, 1)).cpu().float()
    if not total.any():
        raise ValueError(f"{layer} 的中央 ({i}, {j}) 处梯度全为 0：这些图像没有激活那里，换些图像")
    return total / total.sum()


@checked(influence="...")
def mass_pixels(influence: Tensor, share: float = 0.9) -> int:
    """影响最大的多少个像素合起来占到总影响的 `share`。"""
    ordered = influence.flatten().cpu().double().sort(descending=True).values.cumsum(0)
    return int((ordered < share * ordered[-1]).sum()) + 1


def image_batches(images):
    """逐批给出（第一张的编号, 一批图）：`images` 是张量，或按下标取图的数据集，用到才取。"""
    if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise TypeError(
            f"images 应为 (N, 3, H, W) 或能按下标取图的数据集，得到的是 {type(images).__name__}"
        )
    if len(images) == 0:
        raise ValueError("images 里一张图也没有")
    for start in range(0, len(images), BATCH):
        stop = min(start + BATCH, len(images))
        if isinstance(images, Tensor):
            yield start, check_images(images[start:stop])
            continue
        batch = [image_at(images, index) for index in range(start, stop)]
        sizes = {tuple(image.shape) for image in batch}
        if len(sizes) > 1:
            raise ValueError(
                f"图像的大小不一：{sizes}；读入时统一成同样大小，如 load_image(path, size=224)"
            )
        yield start, check_images(torch.stack(batch))


def image_at(images, index: int) -> Tensor:
    """数据集里的一张图 (3, H, W)；一项是元组时取它的首项。"""
    image = images[index]
    image = image[0] if isinstance(image, (tuple, list)) else image
    if not isinstance(image, Tensor):
        raise TypeError(f"images 的第 {index} 项是 {type(image).__name__}，应是张量 (3, H, W)")
    return image[0] if image.dim() == 4 else image


def _maps(model: nn.Module, batch: Tensor, layer: str) -> Tensor:
    return as_maps(activations_of(model, batch.detach(), layer)[layer], layer, batch)


def _merge(best, activation: Tensor, numbers: Tensor, k: int, one_per_image: bool):
    """把一批的候选并进榜里；榜是 (值, 图像, 展平的位置)，各 (C, 名次)。"""
    count = activation.shape[1]
    if best is None:
        empty = torch.empty(count, 0, dtype=torch.long, device=activation.device)
        best = activation.new_empty(count, 0), empty, empty
    values, positions = _candidates(best[0], activation, k, one_per_image)
    numbers = numbers[None, :, None].expand_as(values)
    joined = [
        torch.cat([old, new.flatten(1)], 1)
        for old, new in zip(best, (values, numbers, positions), strict=True)
    ]
    return _first(k, joined)


def _first(k: int, tables: list[Tensor]) -> tuple[Tensor, ...]:
    """几张同样的表 (C, 名次)，按第一张从大到小只留前 k 列；同值的原来在前的在前。"""
    order = tables[0].argsort(dim=1, descending=True, stable=True)[:, :k]
    return tuple(table.gather(1, order) for table in tables)


def _candidates(ranked: Tensor, activation: Tensor, k: int, one_per_image: bool):
    """每张图上每个通道可能进榜的几处：值与展平的位置，各 (C, N, 几处)；没有指望的值是 −∞。"""
    flat = activation.flatten(2).transpose(0, 1)  # (C, N, 位置)
    maxima = activation.amax((2, 3)).T
    # 一张图里的最大值都进不了榜，这张图就不必再看
    full = ranked.shape[1] == k
    hopeful = maxima > ranked[:, -1:] if full else torch.ones_like(maxima, dtype=torch.bool)
    each = 1 if one_per_image else min(k, flat.shape[2])
    values = flat.new_full((*maxima.shape, each), -math.inf)
    positions = torch.zeros(values.shape, dtype=torch.long, device=flat.device)
    if one_per_image:
        values[hopeful, 0], positions[hopeful, 0] = maxima[hopeful], flat[hopeful].argmax(1)
        return values, positions
    ordered = flat[hopeful].sort(dim=1, descending=True, stable=True)
    values[hopeful], positions[hopeful] = ordered.values[:, :each], ordered.indices[:, :each]
    return values, positions


def _patches(
    model: nn.Module,
    images,
    layer: str,
    channels,
    values: Tensor,
    image_index: Tensor,
    flat: Tensor,
) -> Patches:
    size = tuple(image_at(images, int(image_index.flatten()[0])).shape[-2:])
    view = receptive_field(model, layer, image_size=size)
    columns = view.map_size(size)[1]
    positions = torch.stack([flat // columns, flat % columns], -1)
    boxes = view.boxes(positions, size).to(values.device)
    return Patches(values, image_index, boxes, positions, tuple(channels), view, images)
