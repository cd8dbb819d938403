"""EfficientNet-Lite0（Liu，2020）：随包的第二个网络，结构与 SqueezeNet 不同；子模块的名字就是层名。

只有定义和随包权重；归一化、类别名、冻结由 models 负责。
"""

from torch import Tensor, nn

from cnnlab.networks.architectures import Blueprint
from cnnlab.networks.categories import imagenet_categories
from cnnlab.networks.shipped import read_shipped

# TensorFlow 训练：输入是 (像素 - 127) / 128
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
# 每一段：块数、卷积核边长、步幅、展开几倍、输出的通道数
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _same(kernel: int, stride: int) -> nn.ZeroPad2d:
    """TensorFlow 的 SAME 填充：步幅 2 时右边、下边多补一行。"""
    before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
    return nn.ZeroPad2d((before, after, before, after))


class InvertedResidual(nn.Sequential):
    """倒残差块：1×1 展开，逐通道卷积，1×1 压回；尺寸和通道都不变时再加上输入。"""

    def __init__(self, channels: int, kernel: int, stride: int, expand: int, after: int):
        super().__init__()
        self.residual = stride == 1 and channels == after
        wide = channels * expand
        if expand > 1:
            self.expand = nn.Conv2d(channels, wide, 1, bias=False)
            self.expand_bn, self.expand_relu = _norm(wide), nn.ReLU6()
        self.pad = _same(kernel, stride)
        self.depthwise = nn.Conv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.depthwise_bn, self.depthwise_relu = _norm(wide), nn.ReLU6()
        self.project = nn.Conv2d(wide, after, 1, bias=False)
        self.project_bn = _norm(after)

    def forward(self, activation: Tensor) -> Tensor:
        changed = super().forward(activation)
        return changed + activation if self.residual else changed


class EfficientNetLite0(nn.Sequential):
    """EfficientNet-Lite0：(N, 3, H, W) → (N, 1000)；没有注意力分支，激活一律是 ReLU6。"""

    def __init__(self):
        super().__init__()
        self.pad1 = _same(3, 2)
        self.conv1 = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.bn1, self.relu1 = _norm(32), nn.ReLU6()
        channels, index = 32, 0
        for repeats, kernel, stride, expand, after in STAGES:
            for turn in range(repeats):
                index += 1
                shape = channels, kernel, stride if turn == 0 else 1, expand, after
                self.add_module(f"block{index}", InvertedResidual(*shape))
                channels = after
        self.conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self.bn_head, self.relu_head = _norm(1280), nn.ReLU6()
        self.avgpool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1280, 1000)


def blueprint(weights: str | None) -> Blueprint:
    """EfficientNet-Lite0（随包的 ImageNet 权重；None 为随机权重）连同层名（按计算的先后）、归一化、类别名。"""
    network = EfficientNetLite0()
    if weights is not None:
        network.load_state_dict(read_shipped("efficientnet_lite0")[0])
    silent = {"pad1", "flatten", "dropout"}
    layers = {name: name for name, _ in network.named_children() if name not in silent}
    return Blueprint(network, layers, MEAN, STD, imagenet_categories(), "avgpool")
