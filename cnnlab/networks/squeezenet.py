"""SqueezeNet 1.1（Iandola 等，2016）：本书离线的默认网络，子模块用论文里的名字。

只有定义和随包权重；归一化、类别名、冻结由 models 负责。
"""

import torch
from torch import Tensor, nn

from cnnlab.networks.architectures import Blueprint
from cnnlab.networks.categories import imagenet_categories
from cnnlab.networks.shipped import read_shipped

# 权重来自 Caffe：输入按 0–255 计，只减均值，不除标准差
MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
STD = (1 / 255, 1 / 255, 1 / 255)


class Fire(nn.Module):
    """Fire 模块：先用 1×1 卷积压缩通道，再用 1×1 与 3×3 两路展开，按通道接起来。"""

    def __init__(self, channels: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeeze, 1)
        self.squeeze_relu = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_relu = nn.ReLU()
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_relu = nn.ReLU()

    def forward(self, activation: Tensor) -> Tensor:
        squeezed = self.squeeze_relu(self.squeeze1x1(activation))
        narrow = self.expand1x1_relu(self.expand1x1(squeezed))
        wide = self.expand3x3_relu(self.expand3x3(squeezed))
        return torch.cat((narrow, wide), 1)


class SqueezeNet(nn.Sequential):
    """SqueezeNet 1.1：(N, 3, H, W) → (N, 1000)；结尾是 conv10 → ReLU → 全局平均。"""

    def __init__(self):
        super().__init__()
        pool = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
        fires = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)}
        fires |= {6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(**pool)
        for index, shape in fires.items():
            self.add_module(f"fire{index}", Fire(*shape))
            if index in (3, 5):
                self.add_module(f"pool{index}", nn.MaxPool2d(**pool))
        self.drop9 = nn.Dropout(0.5)
        self.conv10 = nn.Conv2d(512, 1000, 1)
        self.relu10 = nn.ReLU()
        self.pool10 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()


def blueprint(weights: str | None) -> Blueprint:
    """SqueezeNet 1.1（随包的 ImageNet 权重；None 为随机权重）连同层名（按计算的先后）、归一化、类别名。"""
    network = SqueezeNet()
    if weights is not None:
        network.load_state_dict(read_shipped("squeezenet1_1")[0])
    layers = {}
    for name, module in network.named_children():
        layers |= {f"{name}/{part}": f"{name}.{part}" for part, _ in module.named_children()}
        layers[name] = name
    del layers["flatten"]
    return Blueprint(network, layers, MEAN, STD, imagenet_categories(), "fire9", "conv10")
