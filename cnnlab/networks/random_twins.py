"""随机的双胞胎：结构相同、权重随机的网络，做对照用。

不管拿它与什么相比。
"""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import find_layer


@checked
def randomize_layers(
    model: nn.Module, layers: str | Sequence[str] | None = None, *, seed: int = 0
) -> nn.Module:
    """一份副本，其中 `layers` 各层的每组参数换成高斯随机数，均值、标准差与原来相同；原模型不动。

    None 是全部的层。归一化层的统计量不动。没有这一层：ValueError。（Adebayo 等，2018）
    """
    names = [None] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    shuffled = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in names:
            part = shuffled if name is None else find_layer(shuffled, name)
            for parameter in part.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                values = parameter.cpu().double()
                spread = values.std(unbiased=False)
                noise = (noise - noise.mean()) / noise.std(unbiased=False).clamp_min(1e-12) * spread
                parameter.copy_(noise + values.mean())
    return shuffled


@checked
def randomized_copy(model: nn.Module, seed: int = 0) -> nn.Module:
    """结构相同、权重全部随机的副本：randomize_layers 用在每一层。原模型不动。"""
    return randomize_layers(model, seed=seed)
