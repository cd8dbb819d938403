"""遮挡实验：用一扇方窗盖住图像的一处，看得分掉多少；窗走遍全图，最右和最下也盖到。

不画图；也不管遮过的图像还像不像照片。
"""

from typing import Literal

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, describe, two_wholes
from cnnlab.core.hooks import evaluating
from cnnlab.core.values import pair
from cnnlab.engine.gradients import class_outputs
from cnnlab.engine.optimize import Step
from cnnlab.networks.models import resolve_target

# 四张一批就够：更大的一批不更快，只多占内存
BATCH = 4
FILLS = {"grey": 0.5, "black": 0.0, "white": 1.0}


@checked
@torch.no_grad()
def occlusion_map(
    model: nn.Module,
    image: Tensor,
    target,
    *,
    window=32,
    stride=8,
    fill="mean",
    output: Literal["score", "probability", "all"] = "score",
    on_step=None,
) -> Tensor:
    """遮挡图：窗盖住每一处时，目标类的得分掉了多少 (N, rows, cols)；负数表示遮住反而升高。

    D(i, j) = S_t(x) − S_t(x 的第 (i, j) 扇窗里换成 fill)；窗的位置见 `window_starts`，最后一扇齐边。
    `window`、`stride` 是整数或 (高, 宽)；`fill` 见 `fill_image`，填在归一化之前。
    output="probability" 看 softmax 之后；"all" 给每一类的得分之降 (N, K, rows, cols)，target 可为 None。
    `on_step` 每算完一批窗收到一个 `Step`，image 是到那时的遮挡图。窗大过图像、步幅不是正数或大过窗、没有这个类：ValueError。（Zeiler 与 Fergus，2014）
    """
    check_images(image)
    size, steps = two_wholes(pair(window), "window"), two_wholes(pair(stride), "stride")
    grid = [window_starts(*each) for each in zip(image.shape[-2:], size, steps, strict=True)]
    filling = fill_image(image, fill)
    index = resolve_target(model, 0 if output == "all" else target, len(image))
    numbers = torch.arange(len(image))
    places = torch.cartesian_prod(numbers, *map(torch.tensor, grid)).view(-1, 3)

    def scores(images: Tensor, which: Tensor) -> Tensor:
        return class_outputs(model, images, index[which], output)

    with evaluating(model):
        before = torch.cat([scores(image[some], some) for some in numbers.split(BATCH)])
        # 还没盖到的窗，得分没有掉
        after = before[places[:, 0]]
        for count, some in enumerate(torch.arange(len(places)).split(BATCH)):
            covered = _covered(image, filling, places[some], size)
            after[some] = scores(covered, places[some, 0])
            if on_step is not None:
                on_step(Step(count, float(after.min()), _drop(before, after, image, grid)))
    return _drop(before, after, image, grid)


def _drop(before: Tensor, after: Tensor, image: Tensor, grid: list[list[int]]) -> Tensor:
    """遮住之前的得分减去之后的，排成 (N, rows, cols) 或 (N, K, rows, cols)。"""
    drop = before[:, None, None] - after.unflatten(0, (len(image), *map(len, grid)))
    return drop.movedim(3, 1) if drop.dim() == 4 else drop


@checked
def window_starts(length: int, window: int, stride: int) -> list[int]:
    """一个方向上各扇窗的起点：0、stride、2·stride……；最后一扇的末端正好是 `length`，不漏掉边。

    步幅除得尽 length − window 时间隔处处相同，除不尽时最后一步短一些。
    """
    if not 1 <= window <= length:
        raise ValueError(
            f"窗是 {window} 像素，图像在这个方向是 {length} 像素；窗应在 1 到 {length} 之间"
        )
    if not 1 <= stride <= window:
        raise ValueError(
            f"步幅是 {stride}，窗是 {window}；步幅应在 1 到窗的大小之间，否则窗与窗之间有盖不到的像素"
        )
    return [*range(0, length - window, stride), length - window]


def fill_image(image: Tensor, fill="mean") -> Tensor:
    """换上去的内容，与 `image` 同大：(N, 3, H, W)；窗取其中对应的一块。

    "mean" 是每张图自己的平均色；"grey"、"black"、"white" 或 [0, 1] 里的一个数是灰度；三个数是颜色；
    与 `image` 同大的张量（例如它的模糊版）原样用，一张也可以给一批用。
    """
    if isinstance(fill, str) and fill == "mean":
        return image.mean((2, 3), keepdim=True).expand_as(image)
    if fill is None or (isinstance(fill, str) and fill not in FILLS):
        raise ValueError(
            f"fill 是 {describe(fill)}；可用 mean、{'、'.join(FILLS)}，或 [0, 1] 里的一个数、三个数的颜色、与图像同大的张量"
        )
    value = torch.as_tensor(
        FILLS[fill] if isinstance(fill, str) else fill, dtype=image.dtype, device=image.device
    )
    value = value.view(1, 3, 1, 1) if value.shape == (3,) else value
    sides = zip(value.shape, image.shape, strict=False)
    if value.dim() not in (0, 4) or any(given not in (1, wanted) for given, wanted in sides):
        raise ValueError(
            f"要换上的是 {tuple(value.shape)}，应是一个数、三个数的颜色，或与图像同大的 {tuple(image.shape)}"
        )
    return check_images(value.detach().expand_as(image))


@checked
def covered_image(image: Tensor, top: int, left: int, *, window=32, fill="mean") -> Tensor:
    """盖上一扇窗的图像 (N, 3, H, W)：左上角在 (top, left)，其余像素不动；`fill` 同 `fill_image`。"""
    size = two_wholes(pair(window), "window")
    for start, length, side in zip((top, left), size, check_images(image).shape[-2:], strict=True):
        if not 0 <= start <= side - length:
            raise ValueError(f"窗从 {start} 起、长 {length}，超出了图像的 {side} 像素")
    places = torch.tensor([[number, top, left] for number in range(len(image))])
    return _covered(image.detach(), fill_image(image.detach(), fill), places, size)


@checked(drop="N rows columns")
def average_per_pixel(drop: Tensor, image_size, *, window=32, stride=8) -> Tensor:
    """逐像素的平均：盖到这个像素的各扇窗的下降的平均 (…, H, W)，与图像同大。

    A(p) = Σ_{窗 ∋ p} D / 盖到 p 的窗数；角上的像素只被一扇窗盖到。`drop` 是 (…, rows, cols)，
    `window`、`stride` 要与算它时相同，个数对不上即 ValueError。
    """
    sides, size, steps = (
        two_wholes(pair(image_size), "image_size"),
        two_wholes(pair(window), "window"),
        two_wholes(pair(stride), "stride"),
    )
    rows, columns = (_membership(*each).to(drop) for each in zip(sides, size, steps, strict=True))
    if drop.shape[-2:] != (len(rows), len(columns)):
        raise ValueError(
            f"遮挡图是 {tuple(drop.shape[-2:])}，按这个窗和步幅应是 {(len(rows), len(columns))}；三处要用同样的 window 和 stride"
        )
    return rows.T @ drop @ columns / torch.outer(rows.sum(0), columns.sum(0))


def _covered(image: Tensor, filling: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """每行 (第几张, 上, 左) 一张盖好的图；都是新的张量，原图不动。"""
    batch = image[places[:, 0].to(image.device)]
    for row, (number, top, left) in zip(batch, places.tolist(), strict=True):
        box = (slice(None), slice(top, top + size[0]), slice(left, left + size[1]))
        row[box] = filling[number][box]
    return batch


def _membership(length: int, window: int, stride: int) -> Tensor:
    """(窗数, length)：第 i 扇窗盖住的像素是 1。"""
    starts = torch.tensor(window_starts(length, window, stride))[:, None]
    pixels = torch.arange(length)
    return ((pixels >= starts) & (pixels < starts + window)).float()
