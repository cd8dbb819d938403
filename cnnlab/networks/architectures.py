"""结构：把 torchvision 的网络建出来，并把论文里的层名对到模块路径。

不管权重从哪里来；论文层名一律按执行先后排列。
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from cnnlab.networks.categories import Categories

Layers = dict[str, str]
VGG_STAGES = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


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


def paper_layers(name: str, network: nn.Module) -> tuple[Layers, str]:
    """`(论文层名 -> 模块路径, 倒数第二层的名字)`；后者的输出在位置上取平均就是特征向量。"""
    return _NAMERS[name](name, network)


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


def _name_alexnet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Krizhevsky 等，2012（2014 年的单卡版）。"""
    order = "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
    layers = {layer: f"features.{index}" for index, layer in enumerate(order.split())}
    classifier = {"fc6": 1, "relu6": 2, "fc7": 4, "relu7": 5, "fc8": 6}
    return layers | {layer: f"classifier.{index}" for layer, index in classifier.items()}, "relu7"


def _name_vgg(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Simonyan 与 Zisserman，2015：conv3_2 是第三段的第二个卷积。"""
    features = []
    for stage, depth in enumerate(VGG_STAGES[name], start=1):
        for index in range(1, depth + 1):
            features += [f"conv{stage}_{index}", f"relu{stage}_{index}"]
        features.append(f"pool{stage}")
    layers = {layer: f"features.{index}" for index, layer in enumerate(features)}
    classifier = {"fc6": 0, "relu6": 1, "fc7": 3, "relu7": 4, "fc8": 6}
    return layers | {layer: f"classifier.{index}" for layer, index in classifier.items()}, "relu7"


def _name_resnet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """He 等，2016：conv2_1 是第一段的第一个残差块（相加并过 ReLU 之后）。"""
    layers = {"conv1": "conv1", "bn1": "bn1", "relu1": "relu", "pool1": "maxpool"}
    for stage in range(1, 5):
        blocks = getattr(network, f"layer{stage}")
        layers |= {
            f"conv{stage + 1}_{index + 1}": f"layer{stage}.{index}" for index in range(len(blocks))
        }
    return layers | {"avgpool": "avgpool", "fc": "fc"}, "avgpool"


def _name_googlenet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Szegedy 等，2015：conv1 与 inception3a 都是 ReLU 之后的输出。"""
    order = """conv1 maxpool1 conv2 conv3 maxpool2 inception3a inception3b maxpool3 inception4a inception4b
        inception4c inception4d inception4e maxpool4 inception5a inception5b avgpool fc"""
    return {path.replace("maxpool", "pool"): path for path in order.split()}, "avgpool"


def _name_inception(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Szegedy 等，2016：层名照 TensorFlow 的写法（mixed5b 等），卷积块是 ReLU 之后的输出。"""
    order = """Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b
        Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c avgpool fc"""
    return {_inception_name(path): path for path in order.split()}, "avgpool"


def _inception_name(path: str) -> str:
    if path.startswith("Conv2d_"):
        return "conv" + path.split("_")[1]
    return path.lower().replace("mixed_", "mixed").replace("maxpool", "pool")


def _name_densenet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Huang 等，2017：dense1 是第一个稠密块的输出。"""
    layers = {
        "conv1": "features.conv0",
        "bn1": "features.norm0",
        "relu1": "features.relu0",
        "pool1": "features.pool0",
    }
    for stage in range(1, 5):
        layers[f"dense{stage}"] = f"features.denseblock{stage}"
        if stage < 4:
            layers[f"transition{stage}"] = f"features.transition{stage}"
    return layers | {
        "bn5": "features.norm5",
        "relu5": "relu5",
        "avgpool": "avgpool",
        "fc": "classifier",
    }, "avgpool"


def _name_mobilenet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Howard 等，2019：block1 到 block11 是倒残差块。"""
    layers = {"conv1": "features.0.0", "bn1": "features.0.1", "hswish1": "features.0.2"}
    layers |= {f"block{index}": f"features.{index}" for index in range(1, 12)}
    layers |= {"conv12": "features.12.0", "hswish12": "features.12.2", "avgpool": "avgpool"}
    return layers | {
        "fc1": "classifier.0",
        "hswish_fc1": "classifier.1",
        "fc2": "classifier.3",
    }, "hswish_fc1"


def _name_efficientnet(name: str, network: nn.Module) -> tuple[Layers, str]:
    """Tan 与 Le，2019：stage2 到 stage8 是论文表 1 里的各段。"""
    layers = {"conv1": "features.0.0", "bn1": "features.0.1", "swish1": "features.0.2"}
    layers |= {f"stage{index + 1}": f"features.{index}" for index in range(1, 8)}
    layers |= {"conv9": "features.8.0", "swish9": "features.8.2"}
    return layers | {"avgpool": "avgpool", "fc": "classifier.1"}, "avgpool"


_NAMERS: dict[str, Callable[[str, nn.Module], tuple[Layers, str]]] = {
    "alexnet": _name_alexnet,
    **dict.fromkeys(VGG_STAGES, _name_vgg),
    **dict.fromkeys(("resnet18", "resnet50"), _name_resnet),
    "googlenet": _name_googlenet,
    "inception_v3": _name_inception,
    "densenet121": _name_densenet,
    "mobilenet_v3_small": _name_mobilenet,
    "efficientnet_b0": _name_efficientnet,
}
