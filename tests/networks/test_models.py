"""模型：真实权重认得真实照片，论文层名，状态，坏输入的说明。"""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from cnnlab.core.checks import is_chinese
from cnnlab.core.hooks import activations_of
from cnnlab.core.images import load_image
from cnnlab.core.relu_rules import override_relu_gradient
from cnnlab.networks.models import (
    available_models,
    load_model,
    resolve_target,
    target_scores,
    wrap_model,
)
from cnnlab.networks.squeezenet import SqueezeNet


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("panda", "giant panda"),
        ("koala", "koala"),
        ("polar_bear", "ice bear"),
        ("dog", "German shepherd"),
    ],
)
def test_photos_are_recognised(model, photo, name):
    best = model(load_image(photo, 224)).argmax(1).item()
    assert model.categories[best] == name


def test_seventeen_of_foolbox_photos_are_in_the_first_five(model):
    foolbox = pytest.importorskip("foolbox", reason="pip install foolbox：它带着 20 张有标签的照片")
    files = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))
    assert len(files) == 20
    hits = 0
    for file in files:
        label = int(file.stem.rsplit("_", 1)[1])
        hits += label in model(load_image(file, 227))[0].topk(5).indices
    assert hits >= 17


def test_layers_have_paper_names_in_order_of_computation(model):
    names = list(model.layers)
    assert names[:3] == ["conv1", "relu1", "pool1"] and names[-3:] == ["conv10", "relu10", "pool10"]
    order = [names.index(f"fire{k}") for k in range(2, 10)]
    assert order == sorted(order)
    assert names.index("fire5/expand3x3") < names.index("fire5") < names.index("fire6/squeeze1x1")
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.layers.values()) == 26


def test_expand1x1_comes_first_in_the_concatenation(model):
    from cnnlab.core.hooks import activations_of

    found = activations_of(
        model, load_image("panda", 64), ["fire4/expand1x1_relu", "fire4/expand3x3_relu", "fire4"]
    )
    assert torch.equal(found["fire4"][:, :128], found["fire4/expand1x1_relu"])
    assert torch.equal(found["fire4"][:, 128:], found["fire4/expand3x3_relu"])


def test_head_is_the_mean_of_the_rectified_class_map(model):
    from cnnlab.core.hooks import activations_of

    image = load_image("koala", 224)
    class_map = activations_of(model, image, model.class_map)["conv10"]
    assert torch.allclose(class_map.relu().mean((2, 3)), model(image), rtol=1e-5, atol=1e-5)


def test_state_is_frozen_eval_without_in_place_and_channels_last(model):
    assert not model.training and not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(getattr(module, "inplace", False) for module in model.modules())
    weight = model.layers["fire5/expand3x3"].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_caller_image_is_left_alone(model):
    image = load_image("dog", 96)
    before, strides = image.clone(), image.stride()
    model(image)
    assert torch.equal(image, before) and image.stride() == strides and not image.requires_grad


def test_normalisation_is_inside():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 12, bias=False))
    network[1].weight.data = torch.eye(12)
    wrapped = wrap_model(network, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.1))
    image = torch.rand(1, 3, 2, 2)
    mean, std = (
        torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1),
        torch.tensor([0.5, 0.25, 0.1]).view(3, 1, 1),
    )
    assert torch.allclose(wrapped(image).view(1, 3, 2, 2), (image - mean) / std, atol=1e-6)


def test_wrap_model_works_on_a_copy():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).train()
    before = copy.deepcopy(network.state_dict())
    wrapped = wrap_model(
        network,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        categories=list("abcde"),
        layers={"conv1": "0", "fc": "4"},
    )
    assert network.training and network[1].inplace and network[0].weight.requires_grad
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert list(wrapped.layers) == ["conv1", "fc"] and not wrapped.training
    assert wrapped.features(torch.rand(2, 3, 8, 8)).shape == (2, 4)
    with pytest.raises(ValueError, match="没有这些模块"):
        wrap_model(network, mean=(0.0,) * 3, std=(1.0,) * 3, layers={"conv1": "9"})


def test_features_are_the_512_means_of_fire9(model):
    from cnnlab.core.hooks import activations_of

    image = load_image("panda", 128)
    features = model.features(image)
    assert features.shape == (1, 512)
    assert torch.allclose(features, activations_of(model, image, "fire9")["fire9"].mean((2, 3)))


def test_random_weights_follow_the_seed_and_leave_it_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = load_model(weights=None)
    assert torch.equal(torch.get_rng_state(), state)
    second = load_model(weights=None)
    torch.manual_seed(4)
    third = load_model(weights=None)
    weights = [each.layers["conv1"].weight for each in (first, second, third)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_weights_hash_knows_the_weights(model):
    assert (
        model.weights_hash()
        == load_model().weights_hash()
        != load_model(weights=None).weights_hash()
    )


def test_deep_copy_keeps_layers_inside_the_copy(model):
    twin = copy.deepcopy(model)
    twin.layers["conv1"].weight.zero_()
    assert (
        twin.network.conv1.weight.abs().sum() == 0 and model.layers["conv1"].weight.abs().sum() > 0
    )


def test_available_models_say_what_is_offline():
    infos = {info.name: info for info in available_models()}
    assert infos["squeezenet1_1"].offline and not infos["vgg19"].offline
    assert infos["vgg19"].megabytes > 500 and infos["squeezenet1_1"].licence == "MIT"


def test_targets(model):
    assert resolve_target(model, 388, 2).tolist() == [388, 388]
    assert (
        resolve_target(model, "giant panda", 1).tolist()
        == resolve_target(model, "大熊猫", 1).tolist()
        == [388]
    )
    assert resolve_target(model, ["koala", 1], 2).tolist() == [105, 1]
    assert resolve_target(model, torch.tensor([3, 4]), 2).tolist() == [3, 4]
    assert target_scores(torch.arange(6.0).view(2, 3), torch.tensor([2, 0])).tolist() == [2, 3]


@pytest.mark.parametrize("target", [1000, -1, True, 2.5, [1, 2, 3]])
def test_bad_targets_are_explained(model, target):
    with pytest.raises(ValueError, match=r"类别|目标"):
        resolve_target(model, target, 2)


def test_misspelt_category_names_the_nearest(model):
    with pytest.raises(ValueError, match="giant panda"):
        resolve_target(model, "giant pandda", 1)


def test_unknown_model_names_the_nearest():
    with pytest.raises(ValueError, match="squeezenet1_1"):
        load_model("squeezenet")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(1, 3, 1, 1), "太小"),
        (torch.rand(1, 3, 5, 5), "太小"),
        (torch.rand(1, 224, 224, 3), "permute"),
        (torch.rand(1, 1, 64, 64), "\\(N, 3, H, W\\)"),
        (torch.full((1, 3, 64, 64), float("nan")), "NaN"),
        (torch.rand(1, 3, 64, 64) * 255, "255"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "浮点"),
    ],
)
def test_bad_images_are_explained(model, image, words):
    with pytest.raises(ValueError, match=words):
        model(image)


def test_smallest_image_the_network_takes(model):
    assert SqueezeNet()(torch.rand(1, 3, 32, 32)).shape == (1, 1000)
    assert model(torch.rand(1, 3, 32, 32)).shape == (1, 1000)


def test_labels_and_top(model):
    (top,) = model.top(load_image("panda", 224), k=2)
    assert top[0][0] == "大熊猫 (giant panda)" and top[0][1] > 0.99 and len(top) == 2


@pytest.mark.parametrize(
    "watched", [("conv1",), ("relu1",), ("pool1",), ("conv1", "relu1", "pool1", "fire3", "pool3")]
)
def test_watched_layers_come_in_the_written_order(model, watched):
    image = torch.rand(1, 3, 96, 96)
    found = activations_of(model, image.requires_grad_(), watched)
    conv = model.layers["conv1"]((image - model.mean) / model.std)
    expected = {"conv1": conv, "relu1": conv.relu(), "pool1": model.layers["pool1"](conv.relu())}
    for name in found.keys() & expected.keys():
        assert torch.allclose(found[name], expected[name], rtol=1e-4, atol=1e-3)
    assert found.get("conv1", -conv).min() < 0


def test_a_relu_rule_acts_before_the_pooling_as_written(model):
    seen = []

    def rule(gradient, slope):
        seen.append(slope.shape[-1])
        return gradient * slope

    leaf = torch.rand(1, 3, 64, 64).requires_grad_()
    with override_relu_gradient(model, rule):
        model(leaf)[0, 3].backward()
    assert seen[-1] == 31  # conv1 之后、池化之前


def test_a_backward_hook_on_a_relu_still_fires(model):
    fired = []
    handle = model.layers["relu1"].register_full_backward_hook(
        lambda module, *gradients: fired.append(gradients[0][0].shape[-1])
    )
    try:
        model(torch.rand(1, 3, 64, 64).requires_grad_())[0, 3].backward()
    finally:
        handle.remove()
    assert fired == [31]


@pytest.mark.parametrize("kind", ["forward", "pre", "global"])
def test_a_hook_of_the_readers_own_keeps_the_values_before_the_relu(model, kind):
    network, kept = model.network, []
    keep = lambda module, inputs, *output: kept.append((output or inputs)[0])
    if kind == "global":
        handle = nn.modules.module.register_module_forward_hook(
            lambda module, *rest: keep(module, *rest) if module is network.fire2.expand3x3 else None
        )
    elif kind == "forward":
        handle = network.fire2.expand3x3.register_forward_hook(keep)
    else:
        handle = network.fire2.expand3x3_relu.register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            network(torch.rand(1, 3, 96, 96))
    finally:
        handle.remove()
    assert len(kept) == 1 and (kept[0] < 0).any()


def test_a_relu_swapped_for_something_else_is_the_one_that_runs():
    network = SqueezeNet().eval()
    network.fire2.expand1x1_relu = nn.Threshold(0.0, 7.0)
    with torch.no_grad():
        value = network.fire2(torch.rand(1, 64, 8, 8))
    assert (value[:, :64] == 7).any()


def test_children_called_one_by_one_leave_what_the_caller_holds():
    network = SqueezeNet().eval()
    with torch.no_grad():
        before = network.conv1(torch.rand(1, 3, 64, 64))
        copy = before.clone()
        network.relu1(before)
    assert torch.equal(before, copy)


def test_name_is_the_chinese_one_and_weight_is_a_copy():
    model = load_model(weights=None)
    index = model.categories.index_of("giant panda")
    assert model.name(index) == model.name(torch.tensor(index)) == "大熊猫"
    weight = model.weight("conv1")
    weight.zero_()
    assert weight.shape == (64, 3, 3, 3) and model.layers["conv1"].weight.abs().sum() > 0
    assert not weight.requires_grad
    for call, words in (
        (lambda: model.weight("relu1"), "没有权重"),
        (lambda: model.weight("conv99"), "conv99"),
        (lambda: model.name(1000), "1000"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    plain = wrap_model(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), mean=[0] * 3, std=[1] * 3)
    assert plain.name(1) == "1"


def test_a_wrapped_network_keeps_its_precision_and_takes_any_picture():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).half()
    model = wrap_model(network, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    for image in (torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8).double()):
        scores = model(image)
        assert scores.shape == (2, 4) and scores.dtype == torch.float32


def test_class_numbers_that_are_not_there_are_told(model, tiny_cnn, photo):
    few = wrap_model(tiny_cnn, mean=(0.5,) * 3, std=(0.25,) * 3, categories=["甲", "乙"])
    assert model.name("giant panda") == "大熊猫"
    for wrong in (
        lambda: few.top(photo),
        lambda: few.name(4),
        lambda: model.name(None),
        lambda: model.label(None),
        lambda: model(photo.to_sparse()),
        lambda: model(photo.to("meta")),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            wrong()
        assert is_chinese(caught.value)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", 5.5])
def test_a_device_that_is_not_here_is_told_before_loading(device):
    with pytest.raises(ValueError, match="没有这个设备；写 'cpu'"):
        load_model(device=device)
