"""DeepDream：放大网络在一张照片里已经检测到的东西；多尺度、跟随另一张图、连续变焦。

不画图，也不存盘；从零合成一个类见 gradient_ascent。
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import activations_of, find_layer
from cnnlab.core.images import resize
from cnnlab.core.measures import faded
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import optimize_image, sgd
from cnnlab.engine.priors import clamp, jitter
from cnnlab.engine.results import reproducible
from cnnlab.engine.stopping import stoppable
from cnnlab.engine.terms import Term, half_squared_norm


@checked
@reproducible
def dream(
    model,
    image: Tensor,
    layer,
    *,
    octaves=4,
    octave_scale=1.4,
    steps=10,
    step_size=0.01,
    jitter_pixels=16,
    channels=None,
    guide=None,
    seed=0,
    on_step=None,
):
    """放大 `layer` 在 `image` 里检测到的东西：Result，image 与输入同形，history 有每一步的损失和各尺度的大小。

    最大化 ½‖a‖²，对激活的梯度恰好是激活自己。从小到大走 `octaves` 个尺度，相邻的差 `octave_scale` 倍；
    每个尺度从原图的缩小版加上已有的增量出发，所以原图的细节不会被重采样磨掉。
    每步平移至多 `jitter_pixels`，按梯度绝对值的平均归一化后走 `step_size`，再截到 [0, 1]。
    `channels` 只放大这几个通道；`guide` 是另一张图，逐位置朝它最像的特征走。
    出处：Mordvintsev 等，2015。
    """
    check_images(image)
    generator = torch.Generator().manual_seed(seed)
    term = half_squared_norm(layer, channels) if guide is None else follow(model, guide, layer)
    sizes = octave_sizes(model, image, layer, octaves, octave_scale)
    detail, losses = torch.zeros_like(image), []
    for size in sizes:
        base = resize(image, size)
        loss = objective(model, -term)
        dreamed = optimize_image(
            base + resize(detail, size),
            loss,
            steps=steps,
            optimizer=sgd(step_size, normalize="mean"),
            transform=jitter(min(jitter_pixels, min(size) // 4), generator=generator),
            after_step=clamp(),
            on_step=on_step,
        )
        detail = dreamed - base
        losses += next(iter(loss.ledger.values()), [])
    # 一步也没走时，增量恰好为 0，得到的就是原图；半途停下的，后面的尺度只放大增量
    return (image + detail).clamp(0, 1), {"loss": losses, "sizes": sizes}


def octave_sizes(
    model: nn.Module, image: Tensor, layer: str, octaves: int, octave_scale: float
) -> list[tuple]:
    """各尺度的 (高, 宽)，从小到大，最后一个是原图；小得 `layer` 已经没有几个位置的尺度跳过，并警告。"""
    if octave_scale <= 1:
        raise ValueError(f"octave_scale 是 {octave_scale}，要大于 1")
    find_layer(model, layer)
    height, width = image.shape[-2:]
    sizes = [
        (round(height / octave_scale**k), round(width / octave_scale**k))
        for k in reversed(range(octaves))
    ]
    usable = [
        size
        for size in sizes[:-1]
        if min(size) >= 32 and _positions(model, image, layer, size) >= 4
    ]
    if len(usable) < len(sizes) - 1:
        skipped = "、".join(f"{h}×{w}" for h, w in sizes[:-1] if (h, w) not in usable)
        warnings.warn(f"这些尺度对 {layer} 来说太小，跳过：{skipped}", RuntimeWarning, stacklevel=3)
    return usable + sizes[-1:]


def _positions(model: nn.Module, image: Tensor, layer: str, size: tuple[int, int]) -> int:
    try:
        shape = activations_of(model, resize(image[:1].detach(), size), layer)[layer].shape
    except (ValueError, RuntimeError):
        return 0
    return shape[-1] * shape[-2] if len(shape) == 4 else 4


def follow(model: nn.Module, guide: Tensor, layer: str) -> Term:
    """跟随 `guide`：每个位置朝 guide 里内积最大的那个特征向量走，Σ_p a_p · g_{m(p)}；配对不求导。

    `guide` 与被放大的图可以不一样大。出处：Mordvintsev 等，2015。
    """
    seen = activations_of(model, check_images(guide).detach(), layer)[layer]
    library = seen.movedim(1, -1).flatten(0, 2)  # (M, C)

    def value(values: dict[str, Tensor]) -> Tensor:
        features = values[layer].movedim(1, -1).flatten(1, 2)  # (N, P, C)
        known = library.to(features.device)
        with torch.no_grad():
            best = (features @ known.T).argmax(2)
        return (features * known[best]).sum()

    return Term(f"follow {layer}", (layer,), value)


@checked
def dream_zoom(
    model: nn.Module, image: Tensor, layer: str, *, frames: int = 12, zoom: float = 1.06, **options
) -> Tensor:
    """一边放大画面一边继续做梦，得到 (frames, 3, H, W)：第 0 帧是一次 dream 的结果，每帧从上一帧的中央放大而来。

    `options` 与 `dream` 的相同。只支持一张图。按 Ctrl-C 时是到那时的几帧。
    """
    if len(image) != 1 or frames < 1 or zoom <= 1:
        raise ValueError(
            f"要一张图、至少一帧、zoom 大于 1；得到 {len(image)} 张、{frames} 帧、zoom={zoom}"
        )
    height, width = image.shape[-2:]
    rows, columns = round(height / zoom), round(width / zoom)
    top, left = (height - rows) // 2, (width - columns) // 2
    with stoppable() as stop:
        film = [dream(model, image, layer, **options).image]
        while len(film) < frames and not stop.asked:
            closer = resize(film[-1][..., top : top + rows, left : left + columns], (height, width))
            film.append(dream(model, closer, layer, **options).image)
    return torch.cat(film)


@checked(before="N C H W", after="N C H W")
def channel_growth(
    model: nn.Module, before: Tensor, after: Tensor, layer: str
) -> tuple[Tensor, Tensor]:
    """每个通道的平均激活在做梦前后：(原来的强度 (C,), 之后与之前之比 (C,))；原来为 0 的通道比值取 NaN。"""
    start, end = (
        functional.relu(activations_of(model, picture.detach(), layer)[layer]).mean((0, 2, 3))
        for picture in (before, after)
    )
    return start, torch.where(start > 0, end / start.clamp_min(1e-12), torch.nan)


@checked(change="N C H W")
def change_wavelength(change: Tensor) -> Tensor:
    """一份改动里起伏的平均波长 (N,)，以像素计：频率按能量加权平均，再取倒数；越大，长出来的东西越大。

    λ = Σ E(f) / Σ |f| E(f)，E 是三个通道的傅里叶能量之和，去掉平均值；边缘用汉宁窗压下去。
    """
    height, width = change.shape[-2:]
    energy = torch.fft.rfft2(faded(change)).abs().square().sum(1)
    frequency = torch.hypot(
        torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :]
    ).to(energy)
    return energy.sum((1, 2)) / (energy * frequency).sum((1, 2)).clamp_min(1e-12)
