"""efficientnet_lite0：自己的定义与随包的权重，得分与来源的 float32 网络相差不到 0.01。"""

import pytest
import torch
from torch import nn

from cnnlab.chapters.patches import receptive_field
from cnnlab.networks.efficientnet_lite0 import EfficientNetLite0
from cnnlab.networks.models import load_model
from cnnlab.pictures.photos import photo

# 来源的网络（efficientnet-lite-pytorch 0.1.0，float32）给出的前三名和得分
ORIGINAL = {
    "panda": {388: 9.7382, 387: 3.6590, 384: 3.0702},
    "chameleon": {47: 6.0855, 42: 5.9654, 377: 5.6121},
    "petra": {663: 12.5187, 698: 8.9882, 884: 7.7935},
}


@pytest.fixture(scope="module")
def model():
    return load_model("efficientnet_lite0")


@pytest.mark.parametrize("name", ORIGINAL)
def test_scores_are_those_of_the_source(model, name):
    with torch.no_grad():
        scores = model(photo(name, 224))[0]
    assert scores.topk(3).indices.tolist() == list(ORIGINAL[name])
    for index, score in ORIGINAL[name].items():
        assert scores[index].item() == pytest.approx(score, abs=0.01)


def test_weights_are_float32_and_frozen(model):
    assert {each.dtype for each in model.parameters()} == {torch.float32}
    assert not any(each.requires_grad for each in model.parameters())


def test_every_relu_is_a_module_of_its_own():
    relus = [module for module in EfficientNetLite0().modules() if isinstance(module, nn.ReLU6)]
    assert len(relus) == 2 + 15 * 2 + 1


def test_random_weights_differ_from_the_shipped(model):
    untrained = load_model("efficientnet_lite0", weights=None)
    assert not torch.equal(untrained.network.fc.weight, model.network.fc.weight)


def test_the_padding_is_lopsided_at_stride_two(model):
    """步幅 2 的 SAME 填充只补右边和下边：第一个位置看见 0 到 3。"""
    assert receptive_field(model, "conv1").box(0, 0, (224, 224)) == (0, 0, 3, 3)
