"""梯度类的方法在 torchvision 的网络上（随机权重，经 wrap_model）：能用，或说清楚为什么不能；用后一切照旧。"""

import pytest
import torch
from torch import nn

from cnnlab import wrap_model
from cnnlab.chapters.guided_backprop import deconvnet_gradient, guided_gradient, ruled_gradient
from cnnlab.chapters.saliency import (
    adversarial_step,
    class_activation_map,
    fooling_image,
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    saliency_map,
    smooth_grad,
)

NETWORKS = [
    "alexnet",
    "vgg16",
    "resnet18",
    "googlenet",
    "densenet121",
    "mobilenet_v3_small",
    "efficientnet_b0",
]
WITH_MAP = ["resnet18", "googlenet", "densenet121", "efficientnet_b0"]


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    import torchvision

    torch.manual_seed(0)
    options = {"init_weights": False, "aux_logits": False} if request.param == "googlenet" else {}
    options = {"init_weights": False} if request.param == "vgg16" else options
    network = getattr(torchvision.models, request.param)(weights=None, **options)
    model = wrap_model(network, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    model.architecture = request.param
    return model


@pytest.fixture
def unchanged(model, assert_no_hooks):
    """训练模式的网络，测试之后模式、梯度、钩子都应与之前相同。"""
    model.train()
    modes = [module.training for module in model.modules()]
    yield model
    assert_no_hooks(model)
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-2, atol=1e-3 * float(second.abs().max()))


def test_saliency_family(unchanged):
    image, target = torch.rand(2, 3, 64, 64), [3, 700]
    signed = saliency_map(unchanged, image, target, reduce=None)
    assert signed.shape == image.shape and signed.abs().sum() > 0
    # 两张图互不相干：各自单算也一样
    assert close(signed[1:], saliency_map(unchanged, image[1:], 700, reduce=None))
    smooth = smooth_grad(unchanged, image, target, samples=1)
    assert smooth.shape == (2, 64, 64) and torch.isfinite(smooth).all() and not smooth.requires_grad
    for each in (
        integrated_gradients(unchanged, image, target, steps=1),
        gradient_times_input(unchanged, image, target),
    ):
        assert each.shape == image.shape and torch.isfinite(each).all() and each.abs().sum() > 0
    assert adversarial_step(unchanged, image, target).shape == image.shape
    assert (fooling_image(unchanged, image, target, steps=1) - image).abs().max() <= 4 / 255 + 1e-6


def test_guided_and_deconvnet(unchanged):
    image, target = torch.rand(2, 3, 64, 64), [1, 2]
    layer = [path for path, module in unchanged.layers.items() if isinstance(module, nn.Conv2d)][3]
    plain = saliency_map(unchanged, image, target, reduce=None)
    for rule in (guided_gradient, deconvnet_gradient):
        found = rule(unchanged, image, target=target)
        assert found.shape == image.shape and torch.isfinite(found).all() and found.abs().sum() > 0
        assert not close(found, plain)
        assert rule(unchanged, image, layer=layer, channel=1, position="max").shape == image.shape
    assert close(ruled_gradient(unchanged, image, "plain", target=target), plain)


def test_class_activation_map_or_a_refusal(unchanged):
    image = torch.rand(2, 3, 96, 96)
    if unchanged.architecture not in WITH_MAP:
        with pytest.raises(ValueError, match="grad_cam"):
            class_activation_map(unchanged, image, 0)
        return
    heat = class_activation_map(unchanged, image, [3, 900], upsample=False)
    bias = [module for module in unchanged.network.modules() if isinstance(module, nn.Linear)][
        -1
    ].bias
    with torch.no_grad():
        scores = unchanged.eval()(image)
    unchanged.train()
    assert heat.shape == (2, 3, 3)
    assert close(
        heat.mean((1, 2)), torch.stack([scores[0, 3] - bias[3], scores[1, 900] - bias[900]])
    )


def test_grad_cam(unchanged):
    layers = [path for path, module in unchanged.layers.items() if isinstance(module, nn.Conv2d)]
    heat = grad_cam(unchanged, torch.rand(2, 3, 64, 64), [1, 2], layers[-1])
    assert heat.shape == (2, 64, 64) and (heat >= 0).all() and torch.isfinite(heat).all()
