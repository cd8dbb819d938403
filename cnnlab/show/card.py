"""神经元的名片：一个通道是谁，在哪些图上强、哪些图上弱，一张图说完。

不搜索区块：那是 patches 的事。
"""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator
from torch import nn

from cnnlab.chapters.patches import Patches, ranked_patches
from cnnlab.core.arguments import checked
from cnnlab.show.figures import CONTROL, PALETTE, TEXT, WIDTH, Panels, drawing
from cnnlab.show.layers import field_text

PARTS = ("最强", "中间", "最弱")


@checked
@drawing
def neuron_card(model: nn.Module, layer: str, channel: int, images, *, k: int = 6) -> Panels:
    """一个通道的名片：最强、中间、最弱的各 k 个区块，各图最大激活的直方图。

    images：(N, 3, H, W) 或数据集，N 不小于 k。
    中间与最弱是对照：只看最强的，几乎总能编出一个故事（Borowski 等，2021）。
    返回区块的坐标轴（三行、每行 k 个），.figure 是整张名片。
    """
    if len(images) < k:
        raise ValueError(f"每行要 {k} 个区块，图像只有 {len(images)} 张：多给些图像，或减小 k")
    count = len(images)
    ranking = ranked_patches(model, images, layer, channel, count, part="top")
    page = plt.figure(figsize=(WIDTH, 18 / k + 2.6), layout="constrained")
    grid = page.add_gridspec(4, k, height_ratios=[1, 1, 1, 0.28 * k])
    panels = Panels()
    for row, first in enumerate((0, (count - k) // 2, count - k)):
        places = [page.add_subplot(grid[row, at], projection="cnnlab") for at in range(k)]
        _patch_row(places, PARTS[row], ranking, first)
        panels += places
    _histogram(page.add_subplot(grid[3, :]), ranking.values[0].cpu().numpy(), k)
    about = [f"{layer} 第 {channel} 通道", field_text(model, layer), f"{count} 张图"]
    page.suptitle(" · ".join(filter(None, about)), fontsize=12)
    return panels


def _patch_row(panels, name: str, ranking: Patches, first: int) -> None:
    """名次 first 起的一行区块，上方写激活。"""
    for order, panel in enumerate(panels, first):
        panel.imshow(ranking.crop(0, order).permute(1, 2, 0).clamp(0, 1).cpu().numpy())
        panel.set_title(f"{float(ranking.values[0, order]):.3g}", fontsize=TEXT, pad=3)
        panel.set(xticks=[], yticks=[])
    panels[0].set_ylabel(name, rotation=0, ha="right", va="center")


def _histogram(chart, values: np.ndarray, k: int) -> None:
    """各图最大激活的分布；最强的 k 张在虚线以右。"""
    chart.hist(values, bins=24, color=CONTROL)
    chart.axvline(values[k - 1], color=PALETTE[1], linestyle="--", linewidth=1.4)
    silent = float((values <= 0).mean())
    chart.set_title(f"虚线以右是最强的 {k} 张；{silent:.0%} 的图上为 0", fontsize=TEXT, pad=4)
    chart.set(xlabel="图上的最大激活", ylabel="图数")
    chart.yaxis.set_major_locator(MaxNLocator(4, integer=True))
