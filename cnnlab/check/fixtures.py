"""练习共用的小网络和小张量：float64、固定种子、不用真权重。

不知道任何练习；新增一种网络之前先看这三种能不能用。
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def noise(shape: Sequence[int], seed: int = 0) -> Tensor:
    """标准正态的 float64 张量，种子固定。"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def uniform(shape: Sequence[int], seed: int = 0) -> Tensor:
    """[0, 1) 上均匀的 float64 张量，当图像用。"""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(tuple(shape), generator=generator, dtype=torch.float64)


def permuted(parameter: Tensor, generator: torch.Generator) -> Tensor:
    """同样的数，打乱次序。"""
    order = torch.randperm(parameter.numel(), generator=generator)
    return parameter.flatten()[order].view_as(parameter)


def in_range(image: Tensor) -> bool:
    """像素全在 [0, 1] 里。"""
    return image.min() >= 0 and image.max() <= 1


def _build(kind: type, *sizes: int, **options) -> nn.Module:
    # 不走默认的随机初始化：建网络也不动全局随机数
    return nn.utils.skip_init(kind, *sizes, dtype=torch.float64, **options)


def _fill(module: nn.Module, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(drawn * scale)


class TinyNet(nn.Module):
    """卷积 3→4、原地 ReLU、步幅 2 的卷积 4→6、原地 ReLU、随机失活、平均、线性；评估模式。

    原地 ReLU 和随机失活是故意放的：忘了 clone 或忘了 eval 都会露出来。
    图像至少 (N, 3, 3, 3)；要训练模式就写 TinyNet().train()。nested 为真时，第一道 ReLU 套在一层
    nn.Sequential 里，像 Fire 模块里的那样。
    """

    def __init__(
        self,
        classes: int = 5,
        seed: int = 1958,
        inplace: bool = True,
        dropout: float = 0.5,
        nested: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = _build(nn.Conv2d, 3, 4, 3, padding=1)
        self.relu1 = nn.Sequential(nn.ReLU(inplace)) if nested else nn.ReLU(inplace)
        self.conv2 = _build(nn.Conv2d, 4, 6, 3, stride=2)
        self.relu2 = nn.ReLU(inplace)
        self.dropout = nn.Dropout(dropout)
        self.linear = _build(nn.Linear, 6, classes)
        _fill(self, seed, 0.5)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.relu1(self.conv1(image))
        hidden = self.dropout(self.relu2(self.conv2(hidden)))
        return self.linear(hidden.mean((2, 3)))


def in_training() -> TinyNet:
    """正在训练的 TinyNet：训练模式（不失活，结果仍是确定的），参数上有别人的梯度。"""
    model = TinyNet(seed=12, dropout=0.0).train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def classified(
    targets, size: Sequence[int], seed: int, model: nn.Module | None = None, draw=uniform
):
    """一批高宽为 size 的图、各自的类别、一个网络（缺省是 TinyNet）。"""
    image = draw((len(targets), 3, *size), seed)
    return image, torch.tensor(targets), model or TinyNet()


class WindowNet(nn.Module):
    """得分 0 是绿色通道第 3–4 行、第 5–6 列（从 0 数）四个像素之和，得分 1 是它的相反数。

    没有参数；遮挡图、显著图和引导图都能手算。图像至少 (N, 3, 5, 7)。
    """

    def forward(self, image: Tensor) -> Tensor:
        total = image[:, 1, 3:5, 5:7].sum((1, 2))
        return torch.stack([total, -total], dim=1)


class CamNet(nn.Module):
    """1×1 卷积、ReLU、整图平均，与 SqueezeNet 的头同一结构；评估模式。"""

    def __init__(self, classes: int = 4, seed: int = 1974) -> None:
        super().__init__()
        self.conv = _build(nn.Conv2d, 3, classes, 1)
        self.relu = nn.ReLU()
        _fill(self, seed, 1.0)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        return self.relu(self.conv(image)).mean((2, 3))
