"""激活图：把一层的输出一片片画出来，找出沉默的通道，检验“这个通道在找什么”。

不画图；卷积核见 middle_layers，最大激活区块见 patches。
"""

from typing import Literal

import torch
from torch import Tensor

from cnnlab.core.arguments import checked
from cnnlab.core.images import stretched
from cnnlab.core.values import masks


@checked(activation="C h w | N C h w")
def activation_tiles(activation: Tensor, scale: Literal["each", "common"] = "each") -> Tensor:
    """把激活 (C, h, w) 或 (N, C, h, w) 变成能当灰度图画的数，形状不变，取值 [0, 1]。

    scale="each"：每张激活图各自从最小到最大拉伸，看形状；处处相同的图画成 0。
    scale="common"：同一张照片的全部通道除以同一个最大值（负的画成 0），通道之间强弱可比。
    """
    activation = activation.detach()
    tiny = torch.finfo(activation.dtype).tiny
    if scale == "common":
        positive = activation.clamp_min(0)
        return positive / positive.amax((-3, -2, -1), keepdim=True).clamp_min(tiny)
    low, high = activation.amin((-2, -1), keepdim=True), activation.amax((-2, -1), keepdim=True)
    return (activation - low) / (high - low).clamp_min(tiny)


@checked(activation="C h w | N C h w")
def dead_channels(activation: Tensor) -> Tensor:
    """哪些通道在哪张图上一声不响：布尔的 (N, C)，整张激活图没有一个正数为真。

    某一列对所有图都为真，这个通道才算在这批图上“死了”。`activation` 是 (N, C, h, w) 或 (C, h, w)。
    """
    return ~(activation.detach() > 0).flatten(-2).any(-1)


@checked
def auc(positive: Tensor, negative: Tensor) -> Tensor:
    """任取一正一负，正的分数更高的机会：(n, …) 与 (m, …) → (…)，0.5 为分不开，1 为全分开；平手算半次。

    AUC = P(s⁺ > s⁻) + ½ P(s⁺ = s⁻)，不用选阈值。
    """
    wins = sum((one > negative).sum(0) + 0.5 * (one == negative).sum(0) for one in positive)
    return wins / (len(positive) * len(negative))


@checked(positive="n C", negative="m C")
def pick_and_test(positive: Tensor, negative: Tensor) -> tuple[float, float]:
    """在一半样本上挑 AUC 最高的通道，在另一半上考它：(挑选时的 AUC, 考试的 AUC)，两半对调后取平均。

    positive (n, C)，negative (m, C)：每个样本、每个通道的分数；按次序的奇偶分成两半，n、m 至少是 2。
    """
    if min(len(positive), len(negative)) < 2:
        raise ValueError(
            f"分成两半至少各要 2 个样本，得到 {len(positive)} 个正、{len(negative)} 个负"
        )
    halves = [auc(positive[first::2], negative[first::2]) for first in (0, 1)]
    picked = [
        torch.stack([chosen.max(), other[chosen.argmax()]])
        for chosen, other in (halves, halves[::-1])
    ]
    learnt, tested = torch.stack(picked).mean(0).tolist()
    return learnt, tested


@checked(activation="N C h w", mask=masks)
def mask_iou(activation: Tensor, mask: Tensor, share: float | None = None) -> Tensor:
    """每个通道最亮的区域与掩码的交并比 (C,)。

    activation (N, C, h, w)，mask (N, H, W) 布尔；激活图先双线性放大到掩码的大小。
    每个通道一条门槛，使全部图上有 `share` 的位置超过它；不给就取掩码占的份额，这样完全对上时交并比为 1。
    IoU = |A ∩ M| / |A ∪ M|，各图合起来算。来源：Bau 等（2017）。
    """
    if mask.dim() != 3 or len(mask) != len(activation):
        raise ValueError(
            f"mask 要 (N, H, W)，一张激活配一张；得到 {tuple(mask.shape)} 与 {tuple(activation.shape)}"
        )
    wanted = mask.flatten().float()
    count = max(1, round((float(wanted.mean()) if share is None else share) * len(wanted)))
    found = []
    for channel in activation.detach().transpose(0, 1):
        large = stretched(channel[:, None], mask.shape[1:]).flatten()
        threshold = large.kthvalue(len(large) - count + 1).values
        bright = ((large >= threshold) & (large > large.min())).float()
        shared = bright @ wanted
        found.append(shared / (bright.sum() + wanted.sum() - shared).clamp_min(1))
    return torch.stack(found)
