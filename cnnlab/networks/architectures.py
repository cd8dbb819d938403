"""结构：把 torchvision 的网络建出来，并把论文里的层名对到模块路径。

不管权重从哪里来；论文层名一律按执行先后排列。
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from cnnlab.networks.categories import Categories

# 每一段有几个卷积、几个残差块
VGG_STAGES = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
RESNET_STAGES = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}


@dataclass(frozen=True)
class Blueprint:
    """建好的网络与用好它所需的一切；`layers` 是论文层名到模块路径，按执行先后排列。"""

    module: nn.Module
    layers: dict[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    categories: Categories | None
    penultimate: str | None = None
    class_map: str | None = None


def torchvision_network(name: str, classes: int = 1000) -> nn.Module:
    """torchvision 的网络，随机权重；函数式的 ReLU 换成模块，辅助分类器去掉，参数名不变。"""
    from torchvision import models

    inception = name in ("googlenet", "inception_v3")
    options = {"aux_logits": False, "init_weights": False} if inception else {}
    network = models.get_model(name, weights=None, num_classes=classes, **options)
    if inception:
        _name_the_relus(network)
    if name == "densenet121":
        return _sequential_densenet(network)
    return network


def paper_layers(name: str) -> dict[str, str]:
    """论文层名 -> 模块路径，按执行先后；倒数第二个的输出在位置上取平均就是特征向量。"""
    if name in VGG_STAGES:
        return _vgg_layers(VGG_STAGES[name])
    if name in RESNET_STAGES:
        return _resnet_layers(RESNET_STAGES[name])
    return dict(pair.split("=") for pair in _LAYERS[name].split())


def _vgg_layers(stages: tuple[int, ...]) -> dict[str, str]:
    """Simonyan 与 Zisserman，2015：conv3_2 是第三段的第二个卷积。"""
    features = []
    for stage, depth in enumerate(stages, start=1):
        for index in range(1, depth + 1):
            features += [f"conv{stage}_{index}", f"relu{stage}_{index}"]
        features.append(f"pool{stage}")
    layers = {layer: f"features.{index}" for index, layer in enumerate(features)}
    classifier = {"fc6": 0, "relu6": 1, "fc7": 3, "relu7": 4, "fc8": 6}
    return layers | {layer: f"classifier.{index}" for layer, index in classifier.items()}


def _resnet_layers(stages: tuple[int, ...]) -> dict[str, str]:
    """He 等，2016：conv2_1 是第一段的第一个残差块（相加并过 ReLU 之后）。"""
    layers = {"conv1": "conv1", "bn1": "bn1", "relu1": "relu", "pool1": "maxpool"}
    for stage, depth in enumerate(stages, start=1):
        layers |= {
            f"conv{stage + 1}_{index + 1}": f"layer{stage}.{index}" for index in range(depth)
        }
    return layers | {"avgpool": "avgpool", "fc": "fc"}


def current_name(key: str) -> str | None:
    """权重文件里的参数名换成现在的写法；辅助分类器的参数不要，返回 None。"""
    key = key.replace("module.", "")
    key = re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", key)
    return None if re.match(r"(aux\d|AuxLogits)\.", key) else key


def _name_the_relus(network: nn.Module) -> None:
    """GoogLeNet 与 Inception 的卷积块用函数式 ReLU，换成同名参数的三个模块。"""
    for parent in list(network.modules()):
        for child_name, child in list(parent.named_children()):
            if type(child).__name__ == "BasicConv2d":
                parts = OrderedDict(conv=child.conv, bn=child.bn, relu=nn.ReLU())
                setattr(parent, child_name, nn.Sequential(parts))


def _sequential_densenet(network: nn.Module) -> nn.Module:
    """DenseNet 末尾的函数式 ReLU 与池化写成模块，参数名不变。"""
    head = {"relu5": nn.ReLU(), "avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    parts = OrderedDict(features=network.features, **head, classifier=network.classifier)
    return nn.Sequential(parts)


# 论文层名=模块路径，一个网络一段，按执行先后
_LAYERS = {
    # Krizhevsky 等，2012（2014 年的单卡版）
    "alexnet": """conv1=features.0 relu1=features.1 pool1=features.2 conv2=features.3 relu2=features.4
        pool2=features.5 conv3=features.6 relu3=features.7 conv4=features.8 relu4=features.9
        conv5=features.10 relu5=features.11 pool5=features.12
        fc6=classifier.1 relu6=classifier.2 fc7=classifier.4 relu7=classifier.5 fc8=classifier.6""",
    # Szegedy 等，2015：conv1 与 inception3a 都是 ReLU 之后的输出
    "googlenet": """conv1=conv1 pool1=maxpool1 conv2=conv2 conv3=conv3 pool2=maxpool2
        inception3a=inception3a inception3b=inception3b pool3=maxpool3
        inception4a=inception4a inception4b=inception4b inception4c=inception4c
        inception4d=inception4d inception4e=inception4e pool4=maxpool4
        inception5a=inception5a inception5b=inception5b avgpool=avgpool fc=fc""",
    # Szegedy 等，2016：层名照 TensorFlow 的写法，卷积块是 ReLU 之后的输出
    "inception_v3": """conv1a=Conv2d_1a_3x3 conv2a=Conv2d_2a_3x3 conv2b=Conv2d_2b_3x3 pool1=maxpool1
        conv3b=Conv2d_3b_1x1 conv4a=Conv2d_4a_3x3 pool2=maxpool2 mixed5b=Mixed_5b mixed5c=Mixed_5c
        mixed5d=Mixed_5d mixed6a=Mixed_6a mixed6b=Mixed_6b mixed6c=Mixed_6c mixed6d=Mixed_6d
        mixed6e=Mixed_6e mixed7a=Mixed_7a mixed7b=Mixed_7b mixed7c=Mixed_7c avgpool=avgpool fc=fc""",
    # Huang 等，2017：dense1 是第一个稠密块的输出
    "densenet121": """conv1=features.conv0 bn1=features.norm0 relu1=features.relu0 pool1=features.pool0
        dense1=features.denseblock1 transition1=features.transition1
        dense2=features.denseblock2 transition2=features.transition2
        dense3=features.denseblock3 transition3=features.transition3
        dense4=features.denseblock4 bn5=features.norm5 relu5=relu5 avgpool=avgpool fc=classifier""",
    # Howard 等，2019：block1 到 block11 是倒残差块
    "mobilenet_v3_small": """conv1=features.0.0 bn1=features.0.1 hswish1=features.0.2
        block1=features.1 block2=features.2 block3=features.3 block4=features.4 block5=features.5
        block6=features.6 block7=features.7 block8=features.8 block9=features.9 block10=features.10
        block11=features.11 conv12=features.12.0 hswish12=features.12.2 avgpool=avgpool
        fc1=classifier.0 hswish_fc1=classifier.1 fc2=classifier.3""",
    # Tan 与 Le，2019：stage2 到 stage8 是论文表 1 里的各段
    "efficientnet_b0": """conv1=features.0.0 bn1=features.0.1 swish1=features.0.2
        stage2=features.1 stage3=features.2 stage4=features.3 stage5=features.4 stage6=features.5
        stage7=features.6 stage8=features.7 conv9=features.8.0 swish9=features.8.2
        avgpool=avgpool fc=classifier.1""",
}
