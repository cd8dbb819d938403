"""比较两组数：相关系数与秩相关，一对一个数。

不管数从哪里来，也不画图；收张量、数组或列表，给 CPU 上的双精度张量。
"""

import torch
from torch import Tensor


def correlation(a, b) -> Tensor:
    """逐对的相关系数 (N,)，−1 到 1：a、b 同形状 (N, …)，每一对的全部数一起算；一维的一对得一个数。

    r = Σ(a−ā)(b−b̄) / (‖a−ā‖ ‖b−b̄‖)。有一边处处相同，相关没有定义，得 NaN。（Pearson，1896）
    """
    first, second = (each - each.mean(-1, keepdim=True) for each in _pairs(a, b))
    return (first * second).sum(-1) / (first.norm(dim=-1) * second.norm(dim=-1))


def rank_correlation(a, b) -> Tensor:
    """逐对的秩相关 (N,)，−1 到 1：只比哪里强哪里弱，不比数值。形状的约定与 correlation 相同。

    ρ = 名次的相关系数，并列的取平均名次；有一边处处相同得 NaN。（Spearman，1904）
    """
    return correlation(*(average_ranks(each) for each in _pairs(a, b)))


def average_ranks(values: Tensor) -> Tensor:
    """最后一维上各数的名次，从 0 起；并列的取平均名次。"""
    ordered, order = values.sort(dim=-1)
    count = values.shape[-1]
    place = torch.arange(count, device=values.device).expand(values.shape)
    opens = torch.ones_like(ordered, dtype=torch.bool)  # 一组并列的值从哪里开始
    opens[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = torch.where(opens, place, 0).cummax(-1).values
    last = torch.where(opens.roll(-1, -1), place, count - 1).flip(-1).cummin(-1).values.flip(-1)
    return torch.zeros(values.shape, dtype=torch.float64, device=values.device).scatter(
        -1, order, (first + last).double() / 2
    )


def _pairs(a, b) -> list[Tensor]:
    """两组数各自摊成 (N, M)（一维的保持一维），双精度；先减去每行第一个数，处处相同的行就恰好是 0。"""
    pair = [torch.as_tensor(each).detach().cpu().double() for each in (a, b)]
    if pair[0].shape != pair[1].shape or not pair[0].dim() or not pair[0].numel():
        shapes = " 和 ".join(str(tuple(each.shape)) for each in pair)
        raise ValueError(f"要比较的两组数应同形状，(N, …) 或一维，且不空；得到 {shapes}")
    rows = [each.flatten(1) if each.dim() > 1 else each for each in pair]
    return [each - each[..., :1] for each in rows]
