"""测试共用的小网络和小图片。

不管任何一个模块的内容：那些在 test_<模块>.py 里；笔记本的设置在 book/conftest.py 里。
"""

import os

os.environ.setdefault("CNNLAB_PROFILE", "quick")
os.environ.setdefault("CNNLAB_BARS", "0")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def tiny_cnn() -> nn.Module:
    """两个卷积层的小分类网络：收 [0, 1] 的图片，给 5 个类别的得分。冻结，评估模式。"""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential()
    network.add_module("conv1", nn.Conv2d(3, 8, 3, padding=1))
    network.add_module("relu1", nn.ReLU())
    network.add_module("pool1", nn.MaxPool2d(2))
    network.add_module("conv2", nn.Conv2d(8, 16, 3, padding=1))
    network.add_module("relu2", nn.ReLU())
    network.add_module("pool2", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("linear", nn.Linear(16, 5))
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
    return network.eval().requires_grad_(False)


@pytest.fixture
def linear_model() -> nn.Module:
    """得分是 32×32 图片的线性函数：梯度处处等于权重。冻结，评估模式。"""
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    network.add_module("linear", nn.Linear(3 * 32 * 32, 5))
    with torch.no_grad():
        network.linear.weight.copy_(torch.randn(5, 3 * 32 * 32, generator=generator))
        network.linear.bias.copy_(torch.randn(5, generator=generator))
    return network.eval().requires_grad_(False)


@pytest.fixture
def photo() -> torch.Tensor:
    """一张 32×32 的“照片”：(1, 3, 32, 32)，RGB，[0, 1]，粗细两种起伏。"""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 3, 4, 4, generator=generator)
    fine = torch.rand(1, 3, 32, 32, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear", align_corners=False)
    return (0.8 * smooth + 0.2 * fine).clamp(0, 1)


def count_hooks(module: nn.Module) -> int:
    """一个网络里所有前向、反向钩子的个数。"""
    return sum(
        len(getattr(child, name))
        for child in module.modules()
        for name in (
            "_forward_hooks",
            "_forward_pre_hooks",
            "_backward_hooks",
            "_backward_pre_hooks",
        )
    )


@pytest.fixture
def assert_no_hooks():
    """给出一个函数：网络里还有钩子就失败。"""

    def check(module: nn.Module) -> None:
        assert count_hooks(module) == 0, f"网络里还留着 {count_hooks(module)} 个钩子"

    return check
