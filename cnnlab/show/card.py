"""神经元的名片：一个通道是谁，在哪些图上强、哪些图上弱，一张图说完。

不搜索区块（那是 patches 的事），不合成图像：通道图由调用者算好了给。
"""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from cnnlab.chapters.patches import Patches, ranked_patches, receptive_field
from cnnlab.core.arguments import checked
from cnnlab.show.figures import CONTROL, PALETTE, PHOTO_DPI, Panels, drawing, use_style

PARTS = ("最强", "中间", "最弱")


@checked
@drawing
def neuron_card(
    model: nn.Module,
    layer: str,
    channel: int,
    images,
    *,
    k: int = 6,
    channel_image=None,
    title: str = "",
) -> Panels:
    """一个通道的名片：最强、中间、最弱的各 k 个区块，各图最大激活的直方图，可选的通道图。

    images：(N, 3, H, W) 或数据集，N 不小于 k；channel_image 是合成的结果或 (1, 3, H, W)。
    中间与最弱是对照：只看最强的，几乎总能编出一个故事（Borowski 等，2021）。
    返回区块的坐标轴（三行、每行 k 个），.figure 是整张名片。
    """
    if len(images) < k:
        raise ValueError(f"每行要 {k} 个区块，图像只有 {len(images)} 张：多给些图像，或减小 k")
    ranking = ranked_patches(model, images, layer, channel, len(images), part="top")
    panels, chart, extra = _layout(k, channel_image is not None)
    count = len(images)
    for row, first in enumerate((0, (count - k) // 2, count - k)):
        _patch_row(panels[row * k : (row + 1) * k], PARTS[row], ranking, first)
    _histogram(chart, ranking.values[0].cpu().numpy(), k)
    if extra is not None:
        picture = getattr(channel_image, "image", channel_image).detach().cpu()
        extra.imshow(picture.flatten(0, -4)[0].permute(1, 2, 0).clamp(0, 1).numpy())
        extra.set_title("合成的通道图", fontsize=11, pad=4)
    name = title or f"{layer} 第 {channel} 通道"
    panels.figure.suptitle(
        f"{name} · {_field(model, layer)} · {count} 张图", fontsize=13, y=1.0, va="bottom"
    )
    return panels


def _field(model: nn.Module, layer: str) -> str:
    size = receptive_field(model, layer).size
    return f"感受野 {size}×{size} 像素" if isinstance(size, int) else f"感受野 {size}"


def _layout(k: int, with_image: bool):
    """三行 k 列的区块，右边是直方图（和通道图）。"""
    use_style()
    cell, gap, left, right = 0.98, 0.06, 0.5, 2.35
    width, height = left + k * (cell + gap) + 0.6 + right, 3 * (cell + 0.24)
    figure = plt.figure(figsize=(width, height), dpi=PHOTO_DPI)
    panels = Panels()
    for row in range(3):
        for column in range(k):
            bottom = (2 - row) * (cell + 0.24) / height
            place = ((left + column * (cell + gap)) / width, bottom, cell / width, cell / height)
            panel = figure.add_axes(place, projection="cnnlab")
            panel.xaxis.set_visible(False)
            panel.yaxis.set_visible(False)
            panel.spines[:].set(visible=True, color="#BFBFBF", linewidth=0.5)
            panels.append(panel)
    side = (width - right) / width
    tall = 1.05 if with_image else 2.6
    chart = figure.add_axes((side, 0.42 / height, right / width, tall / height))
    if not with_image:
        return panels, chart, None
    extra = figure.add_axes((side, (height - 1.75) / height, right / width, 1.5 / height))
    extra.set_axis_off()
    return panels, chart, extra


def _patch_row(panels, name: str, ranking: Patches, first: int) -> None:
    """名次 first 起的一行区块，上方写激活。"""
    for order, panel in enumerate(panels):
        crop: Tensor = ranking.crop(0, first + order)
        panel.imshow(crop.permute(1, 2, 0).clamp(0, 1).cpu().numpy())
        panel.set_title(f"{float(ranking.values[0, first + order]):.3g}", fontsize=10, pad=3)
    panels[0].text(
        -0.1, 0.5, name, transform=panels[0].transAxes, ha="right", va="center", fontsize=11.5
    )


def _histogram(chart, values: np.ndarray, k: int) -> None:
    """各图最大激活的分布；最强的 k 张在虚线以右。"""
    chart.hist(values, bins=24, color=CONTROL)
    chart.axvline(values[k - 1], color=PALETTE[1], linestyle="--", linewidth=1.4)
    silent = float((values <= 0).mean())
    chart.set_title(f"虚线以右是最强的 {k} 张；{silent:.0%} 的图上为 0", fontsize=10, pad=4)
    chart.set_xlabel("图上的最大激活", fontsize=10)
    chart.set_ylabel("图数", fontsize=10)
    chart.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    chart.tick_params(labelsize=9)
