"""像素梯度的共用步骤：类型、模式、计算图，以及说得清楚的报错。"""

import pytest
import torch
from torch import nn

from cnnlab import covered_image, load_model, occlusion_map, photo, saliency_map
from cnnlab.engine.gradients import (
    class_outputs,
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


class _Flipped(nn.Module):
    """接在网络结尾的一层：得分取反，再加一点别的类的。"""

    def forward(self, scores):
        return scores.roll(1, 1) - scores


def test_a_layer_appended_to_the_head_is_explained_too():
    model, image = load_model(), photo("panda", 96)
    model.network.append(_Flipped())
    covered = covered_image(image, 32, 32)
    with torch.no_grad():
        expected = (model(image) - model(covered))[0, 388]
        chance = model(covered).softmax(1)[0, 388]
    drop = occlusion_map(model, image, 388, window=32, stride=32)[0, 1, 1]
    assert drop == pytest.approx(expected.item(), rel=1e-4) and expected.abs() > 1
    assert class_outputs(model, covered, 388, "probability").item() == pytest.approx(
        chance.item(), rel=1e-4
    )
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[0, 388], leaf)
    assert torch.allclose(saliency_map(model, image, 388, reduce=None), gradient, atol=1e-5)


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


def test_another_dtype_is_computed_in_the_models_type(tiny_cnn, photo):
    found = score_gradient(tiny_cnn, photo.double(), 2)
    assert found.dtype == torch.float64
    assert torch.equal(found.float(), score_gradient(tiny_cnn, photo, 2))


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
