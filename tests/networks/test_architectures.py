"""architectures：论文层名照执行先后、形状照论文，改写过的结构与 torchvision 的算得一样。"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cnnlab.networks import architectures
from cnnlab.networks.zoo import HALF, IMAGENET_MEAN, IMAGENET_STD, ZOO, build

# 名字: (图像边长, 层数, {层: 形状}, 特征维数)；形状照各论文的表，边长小的按比例
EXPECTED = {
    "alexnet": (
        224,
        18,
        {"conv1": (64, 55, 55), "relu5": (256, 13, 13), "pool5": (256, 6, 6), "fc8": (1000,)},
        4096,
    ),
    "vgg11": (
        64,
        26,
        {"conv1_1": (64, 64, 64), "conv3_2": (256, 16, 16), "pool5": (512, 2, 2)},
        4096,
    ),
    "vgg16": (64, 36, {"relu4_3": (512, 8, 8), "conv5_3": (512, 4, 4), "fc6": (4096,)}, 4096),
    "vgg19": (64, 42, {"relu4_4": (512, 8, 8), "conv5_4": (512, 4, 4), "relu7": (4096,)}, 4096),
    "resnet18": (
        224,
        14,
        {"conv1": (64, 112, 112), "conv2_2": (64, 56, 56), "conv5_2": (512, 7, 7)},
        512,
    ),
    "resnet50": (
        224,
        22,
        {"conv2_3": (256, 56, 56), "conv4_6": (1024, 14, 14), "conv5_3": (2048, 7, 7)},
        2048,
    ),
    "googlenet": (
        224,
        18,
        {"conv3": (192, 56, 56), "inception4c": (512, 14, 14), "inception5b": (1024, 7, 7)},
        1024,
    ),
    "densenet121": (
        224,
        15,
        {"dense1": (256, 56, 56), "transition1": (128, 28, 28), "relu5": (1024, 7, 7)},
        1024,
    ),
    "mobilenet_v3_small": (
        224,
        20,
        {"conv1": (16, 112, 112), "block3": (24, 28, 28), "conv12": (576, 7, 7)},
        1024,
    ),
    "efficientnet_b0": (
        224,
        14,
        {"stage4": (40, 28, 28), "stage8": (320, 7, 7), "conv9": (1280, 7, 7)},
        1280,
    ),
    "inception_v3": (
        299,
        20,
        {"mixed5d": (288, 35, 35), "mixed6e": (768, 17, 17), "mixed7c": (2048, 8, 8)},
        2048,
    ),
    "efficientnet_lite0": (
        224,
        24,
        {"conv1": (32, 112, 112), "block16": (320, 7, 7), "fc": (1000,)},
        1280,
    ),
    "alexnet_places365": (224, 18, {"conv1": (64, 55, 55), "fc8": (365,)}, 4096),
    "resnet18_places365": (224, 14, {"conv5_2": (512, 7, 7), "fc": (365,)}, 512),
}


def quiet(module: nn.Module) -> nn.Module:
    """评估模式、关掉原地操作：与 VisionModel 里一样。"""
    for part in module.modules():
        if getattr(part, "inplace", False):
            part.inplace = False
    return module.eval()


def calls(
    module: nn.Module, layers: dict[str, str], image: torch.Tensor
) -> list[tuple[str, tuple[int, ...]]]:
    """一次前向里依次跑过的有名字的层和它们输出的形状。"""
    done: list[tuple[str, tuple[int, ...]]] = []
    for layer, path in layers.items():
        part = module.get_submodule(path)
        part.register_forward_hook(
            lambda *call, layer=layer: done.append((layer, tuple(call[2].shape[1:])))
        )
    with torch.no_grad():
        module(image)
    return done


@pytest.mark.parametrize("name", EXPECTED)
def test_layers_run_once_each_in_their_order_with_the_papers_shapes(name):
    size, count, shapes, width = EXPECTED[name]
    blueprint = build(name, None)
    done = calls(quiet(blueprint.module), blueprint.layers, torch.rand(1, 3, size, size))
    assert [layer for layer, _ in done] == list(blueprint.layers) and len(done) == count
    measured = dict(done)
    assert {layer: measured[layer] for layer in shapes} == shapes
    assert measured[blueprint.penultimate][0] == width


def test_every_entry_has_its_expectation():
    assert set(EXPECTED) == set(ZOO) - {"squeezenet1_1"}


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_the_rebuilt_inceptions_compute_what_torchvision_computes(name):
    from torchvision import models

    image = torch.rand(1, 3, 96, 96)
    blueprint = build(name, None)
    original = models.get_model(
        name, weights=None, transform_input=True, aux_logits=False, init_weights=False
    )
    original.load_state_dict(blueprint.module.state_dict())
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    half, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in HALF)
    assert (blueprint.mean, blueprint.std) == HALF
    with torch.no_grad():
        ours = blueprint.module.eval()((image - half) / spread)
        torch.testing.assert_close(
            ours, original.eval()((image - mean) / std), rtol=1e-3, atol=1e-4
        )


def test_the_rebuilt_densenet_computes_what_torchvision_computes():
    from torchvision import models

    blueprint, image = build("densenet121", None), torch.rand(1, 3, 64, 64)
    original = models.densenet121(weights=None)
    original.load_state_dict(blueprint.module.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(blueprint.module.eval()(image), original.eval()(image))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "densenet121"])
def test_no_relu_is_left_that_hooks_cannot_see(name, monkeypatch):
    def functional(*arguments, **options):
        raise AssertionError("函数式 ReLU")

    module = quiet(build(name, None).module)
    image = torch.rand(1, 3, 96, 96)
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, activation: activation.clamp(min=0))
    monkeypatch.setattr(torch.nn.functional, "relu", functional)
    monkeypatch.setattr(torch, "relu", functional)
    assert module(image).shape == (1, 1000)


@pytest.mark.parametrize(
    ("written", "now"),
    [
        ("features.module.0.weight", "features.0.weight"),
        ("module.layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        (
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        (
            "features.denseblock4.denselayer16.conv.2.weight",
            "features.denseblock4.denselayer16.conv2.weight",
        ),
        ("features.transition1.norm.weight", "features.transition1.norm.weight"),
        ("aux1.conv.conv.weight", None),
        ("AuxLogits.fc.bias", None),
    ],
)
def test_old_parameter_names(written, now):
    assert architectures.current_name(written) == now
