"""网络的回答：照片在上，下面是它最有把握的几个名字和概率。

不管网络怎样算：收到的是 `model.top` 的结果。画法仿 Krizhevsky 等（2012）的图 4。
"""

import numpy as np
from matplotlib import pyplot as plt

from cnnlab.core.arguments import checked
from cnnlab.show.figures import PALETTE, WIDTH, Panels, describe, drawing
from cnnlab.show.plotting import _rows


@checked
@drawing
def show_answers(images, answers, *, count: int = 5, caption: str = "", alt: str = "") -> Panels:
    """每张照片一列：照片，下面是前 `count` 个名字的概率（横条，0 到 1）；返回各格的坐标轴。

    images：(N, 3, H, W)；answers：每张一列 (名字, 概率)，就是 `model.top(images, k)` 的结果，N 至多 8。
    caption 是图注，alt 是替代文字（不给就用图注）。
    """
    pictures = _rows(images, 8)[0]
    if len(answers) != len(pictures):
        raise ValueError(f"照片有 {len(pictures)} 张，回答有 {len(answers)} 份：要一一对应")
    wide = min(2.4, WIDTH / len(pictures))
    _, axes = plt.subplots(
        2, len(pictures), figsize=(wide * len(pictures), wide + 0.3 * count),
        height_ratios=[wide, 0.3 * count], layout="constrained", squeeze=False,
        subplot_kw={"projection": "cnnlab"},
    )  # fmt: skip
    for picture, top, above, below in zip(pictures, answers, *axes, strict=True):
        above.imshow(np.clip(picture, 0, 1), vmin=0, vmax=1)  # 缩放的舍入可以略出界
        above.set_axis_off()
        below.set_axis_off()
        below.set(xlim=(0, 1), ylim=(count - 0.4, -0.6))
        for order, (name, value) in enumerate(top[:count]):
            below.barh(order, value, 0.86, color=PALETTE[4], alpha=0.75)
            below.text(0.01, order, name.split(" (")[0], va="center")
            below.text(1, order, f"{value:.2f}", va="center", ha="right")
    panels = Panels(axes.flatten())
    describe(panels.figure, caption, alt)
    return panels
