"""像素梯度的共用步骤：类型、模式、计算图，以及说得清楚的报错。"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab import load_model
from cnnlab.engine.gradients import (
    asked_scores,
    class_scores,
    gradient_of,
    pixel_leaf,
    score_gradient,
)


def test_linear_model_gives_its_weights_for_each_image_its_own_target(linear_model, photo):
    images = torch.cat([photo, 1 - photo])
    found = score_gradient(linear_model, images, [3, 1])
    weight = linear_model.linear.weight.view(5, 3, 32, 32)
    assert torch.allclose(found[0], weight[3]) and torch.allclose(found[1], weight[1])
    assert not found.requires_grad


def test_asked_scores_are_the_scores_of_the_asked_classes_alone(assert_no_hooks):
    """类别图只算问到的几类，数值与全部算出再取相同；梯度也相同，其余照旧。"""
    model, target = load_model().double().train(), torch.tensor([388, 7, 388])
    images = torch.rand(
        3, 3, 64, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    ).requires_grad_()
    widths, convolution = [], functional.conv2d
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            functional, "conv2d", lambda *given: widths.append(len(given[1])) or convolution(*given)
        )
        found = asked_scores(model, images, target)
    expected = class_scores(model.eval(), images, target)
    assert widths[-1] == 2 and 1000 not in widths
    assert torch.allclose(found, expected, rtol=1e-10)
    assert torch.allclose(
        gradient_of(found, images), gradient_of(expected, images), rtol=1e-8, atol=1e-14
    )
    assert_no_hooks(model)


def test_a_leaf_of_the_caller_is_left_alone(tiny_cnn, photo):
    photo.requires_grad_()
    total = photo.sum()
    score_gradient(tiny_cnn, photo, 2)
    assert photo.grad is None and photo.requires_grad
    total.backward()
    assert torch.equal(photo.grad, torch.ones_like(photo))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_inside_no_grad_and_inference_mode(tiny_cnn, photo, context):
    expected = score_gradient(tiny_cnn, photo, 2)
    with context():
        assert torch.equal(score_gradient(tiny_cnn, photo.clone(), 2), expected)
        assert not torch.is_grad_enabled()


def test_train_mode_dropout_and_batch_norm_do_not_act_and_come_back():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Flatten(), nn.Linear(144, 2)
    ).train()
    image, before = (
        torch.rand(1, 3, 8, 8),
        {name: each.clone() for name, each in network.state_dict().items()},
    )
    first, second = (score_gradient(network, image, 1) for _ in range(2))
    assert torch.equal(first, second) and first.abs().sum() > 0
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_another_dtype_is_refused_with_the_way_out(tiny_cnn, photo):
    with pytest.raises(ValueError, match=r"float32.*float64"):
        score_gradient(tiny_cnn.double(), photo, 0)
    assert score_gradient(tiny_cnn, photo.double(), 0).dtype == torch.float64


def test_a_score_without_a_gradient_is_explained(photo):
    class Detached(nn.Module):
        @torch.no_grad()
        def forward(self, image):
            return image.mean((2, 3))

    class Constant(nn.Module):
        def forward(self, image):
            return torch.ones(1, 3, requires_grad=True) * 2

    for network in (Detached(), Constant()):
        with pytest.raises(ValueError, match="没有梯度"):
            score_gradient(network, photo, 0)


def test_outputs_that_are_not_scores_are_refused(photo):
    for output in (
        lambda image: image,
        lambda image: (image.mean((2, 3)),),
        lambda image: image.mean((1, 2, 3)),
    ):
        network = nn.Module()
        network.forward = output
        with pytest.raises(ValueError, match=r"\(N, K\)"):
            score_gradient(network, photo, 0)


@pytest.mark.parametrize("target", [5, -1, 1.5, "zebra", [0, 1]])
def test_bad_targets(tiny_cnn, photo, target):
    with pytest.raises(ValueError):
        score_gradient(tiny_cnn, photo, target)


def test_mode_is_restored_after_an_exception(tiny_cnn, photo):
    tiny_cnn.train()
    with pytest.raises(ValueError), pixel_leaf(tiny_cnn, photo) as leaf:
        assert not tiny_cnn.training and leaf.requires_grad
        class_scores(tiny_cnn, leaf, 99)
    assert tiny_cnn.training
    with pytest.raises(ValueError, match="没有梯度"):
        gradient_of(torch.ones(2), photo)
