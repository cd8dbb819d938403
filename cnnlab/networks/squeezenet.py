"""SqueezeNet 1.1（Iandola 等，2016）：本书离线的默认网络，子模块用论文里的名字。

只有定义和随包权重；归一化、类别名、冻结由 models 负责。
"""

import itertools

import torch
from torch import Tensor, nn

from cnnlab.core.paths import DATA
from cnnlab.networks.architectures import Blueprint
from cnnlab.networks.categories import imagenet_categories

WEIGHTS = DATA / "squeezenet1_1.safetensors"
# 权重来自 Caffe：输入按 0–255 计，只减均值，不除标准差
MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
STD = (1 / 255, 1 / 255, 1 / 255)


def _in_turn(value: Tensor, *modules: nn.Module) -> Tensor:
    """几个模块依次算，结果和梯度与逐个调用逐位相同。没有钩子看着时省两处，conv1 到 fire3 的一次前向加反向快百分之六：

    ReLU 后面是最大池化就换个次序，先挑最大再截，数只剩四分之一；卷积、池化的输出没有别人要，ReLU 就地改它。
    """
    order = list(modules)
    for index, pair in enumerate(itertools.pairwise(modules)):
        if tuple(map(type, pair)) == (nn.ReLU, nn.MaxPool2d) and not any(map(_watched, pair)):
            order[index : index + 2] = reversed(pair)
    for before, module in zip((None, *order), order, strict=False):
        fresh = (
            type(before) in (nn.Conv2d, nn.MaxPool2d)
            and type(module) is nn.ReLU
            and isinstance(value, Tensor)
        )
        unseen = fresh and not (_watched(before) or _watched(module))
        value = value.relu_() if unseen else module(value)
    return value


def _watched(module: nn.Module) -> bool:
    """有没有钩子看着它的输入或输出；全局的钩子也算。"""
    hooks = (
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )
    return bool(hooks or nn.modules.module._has_any_global_hook())


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
        squeezed = _in_turn(activation, self.squeeze1x1, self.squeeze_relu)
        narrow = _in_turn(squeezed, self.expand1x1, self.expand1x1_relu)
        wide = _in_turn(squeezed, self.expand3x3, self.expand3x3_relu)
        return torch.cat((narrow, wide), 1)


class SqueezeNet(nn.Sequential):
    """SqueezeNet 1.1：(N, 3, H, W) → (N, 1000)；结尾是 conv10 → ReLU → 全局平均。"""

    # 记下的激活不会被原地改写（见 _in_turn）：记录时不必复制
    in_place_free = True

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

    def forward(self, image: Tensor) -> Tensor:
        return _in_turn(image, *self)


def squeezenet(weights: str | None = "default") -> SqueezeNet:
    """建一个 SqueezeNet 1.1；`weights="default"` 读随包的 ImageNet 权重，None 为随机权重。"""
    network = SqueezeNet()
    if weights is not None:
        from safetensors.torch import load_file

        network.load_state_dict(load_file(WEIGHTS))
    return network


def blueprint(weights: str | None = "default"):
    """SqueezeNet 1.1 连同论文层名（按计算的先后）、归一化、类别名。"""
    network = squeezenet(weights)
    layers = {}
    for name, module in network.named_children():
        layers |= {f"{name}/{part}": f"{name}.{part}" for part, _ in module.named_children()}
        layers[name] = name
    del layers["flatten"]
    options = {"mean": MEAN, "std": STD, "categories": imagenet_categories()}
    return Blueprint(
        module=network, layers=layers, penultimate="fire9", class_map="conv10", **options
    )
