"""terms：每一项与手算、双重循环、自动求导的独立写法相等。"""

import pytest
import torch

from cnnlab.core.hooks import activations_of
from cnnlab.engine import terms
from cnnlab.engine.objectives import objective
from cnnlab.networks.models import wrap_model


def value_of(term, a):
    """层 "a" 的激活是 a 时这一项的值；图像与它同长宽。"""
    return term.value({"a": a, "image": torch.zeros(len(a), 3, *a.shape[2:] or (1, 1))})


@pytest.fixture
def activation():
    return torch.rand(2, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_channel_takes_the_mean_the_center_one_place_or_a_flat_unit(activation):
    assert torch.isclose(
        value_of(terms.channel("a", 2), a=activation), activation[:, 2].mean((1, 2)).sum()
    )
    assert torch.isclose(
        value_of(terms.channel("a", 2, "center"), a=activation), activation[:, 2, 1, 2].sum()
    )
    assert torch.isclose(
        value_of(terms.channel("a", 1, (0, 4)), a=activation), activation[:, 1, 0, 4].sum()
    )
    assert torch.isclose(
        value_of(terms.channel("a", [3, 0]), a=activation),
        activation[0, 3].mean() + activation[1, 0].mean(),
    )
    assert torch.isclose(
        value_of(terms.channel("a", 1), a=activation[..., 0, 0]), activation[:, 1, 0, 0].sum()
    )


@pytest.mark.parametrize(
    ("channel", "position", "message"),
    [(4, None, "4 个通道"), ([0, 1, 2], None, "3 个通道"), (0, (3, 0), "3×5")],
)
def test_channel_refuses_what_is_not_there(activation, channel, position, message):
    with pytest.raises(ValueError, match=message):
        value_of(terms.channel("a", channel, position), a=activation)


def test_class_score_resolves_names_and_one_target_per_image(tiny_cnn, photo):
    model = wrap_model(
        tiny_cnn, mean=(0.0,) * 3, std=(1.0,) * 3, categories=["甲", "乙", "丙", "丁", "戊"]
    )
    images = torch.cat([photo, 1 - photo])
    scores = tiny_cnn(images)
    assert torch.isclose(objective(model, terms.class_score("丙"))(images), scores[:, 2].sum())
    assert torch.isclose(
        objective(model, terms.class_score([0, 4]))(images), scores[0, 0] + scores[1, 4]
    )
    logs = scores.log_softmax(1)
    assert torch.isclose(
        objective(model, terms.log_probability(["乙", 4]))(images), logs[0, 1] + logs[1, 4]
    )
    with pytest.raises(ValueError, match="己"):
        objective(model, terms.class_score("己"))(images)


def test_gradient_of_half_squared_norm_is_the_activation(activation):
    activation.requires_grad_()
    value = value_of(terms.half_squared_norm("a"), a=activation)
    (gradient,) = torch.autograd.grad(value, activation)
    assert torch.equal(gradient, activation.detach())
    assert torch.isclose(value, activation.square().sum() / 2)
    (gradient,) = torch.autograd.grad(
        value_of(terms.half_squared_norm("a", [1, 3]), a=activation), activation
    )
    assert (
        torch.equal(gradient[:, [1, 3]], activation.detach()[:, [1, 3]])
        and gradient[:, [0, 2]].abs().sum() == 0
    )


def test_feature_distance_is_relative_and_zero_at_its_target(activation):
    target = activation[:1]
    term = terms.feature_distance(target, "a")
    assert float(value_of(term, a=target)) == 0
    assert torch.isclose(value_of(term, a=0 * target), torch.tensor(1.0, dtype=torch.float64))
    absolute = terms.feature_distance(target, "a", relative=False)
    assert torch.isclose(
        value_of(absolute, a=activation), (activation[1] - target[0]).square().sum()
    )
    with pytest.raises(ValueError, match="尺寸"):
        value_of(term, a=activation[..., :2])
    with pytest.raises(ValueError, match="全为 0"):
        terms.feature_distance(0 * target, "a")


def test_gram_matrix_equals_a_double_loop_and_is_psd(activation):
    gram = terms.gram_matrix(activation, "none")
    for i in range(4):
        for j in range(4):
            assert torch.isclose(gram[1, i, j], (activation[1, i] * activation[1, j]).sum())
    assert torch.linalg.eigvalsh(gram).min() > -1e-9
    assert torch.allclose(terms.gram_matrix(activation), gram / 60)
    assert torch.allclose(terms.gram_matrix(activation, "hw"), gram / 15)
    shuffled = activation.flatten(2)[..., torch.randperm(15)].view_as(activation)
    assert torch.allclose(terms.gram_matrix(shuffled), gram / 60)
    with pytest.raises(ValueError, match="chw"):
        terms.gram_matrix(activation, "wh")


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_closed_form_gram_gradient_equals_autograd(activation, relative, channels_last):
    target = terms.gram_matrix(torch.rand(1, 4, 6, 7, dtype=torch.float64))
    format_ = torch.channels_last if channels_last else torch.contiguous_format
    activation = activation.contiguous(memory_format=format_).requires_grad_()
    value = 3 * value_of(terms.gram_distance(target, "a", relative=relative), a=activation)
    difference = (terms.gram_matrix(activation) - target).square().sum()
    expected = 3 * difference / (target.square().sum() if relative else 1)
    assert torch.isclose(value, expected)
    gradients = [torch.autograd.grad(each, activation)[0] for each in (value, expected)]
    assert torch.allclose(*gradients, rtol=1e-10)


def test_gram_distance_refuses_other_channels_and_a_zero_target(activation):
    with pytest.raises(ValueError, match="层的通道应相同"):
        value_of(terms.gram_distance(torch.ones(1, 3, 3), "a"), a=activation)
    with pytest.raises(ValueError, match="全为 0"):
        terms.gram_distance(torch.zeros(1, 4, 4), "a")


def test_weights_multiply_and_a_prior_is_a_term(photo):
    term = 2 * -terms.image_prior(torch.mean, 0.5, name="平均")
    assert term.weight == -1.0 and term.name == "平均"
    assert torch.isclose(objective(None, term)(photo), -photo.mean())


def test_a_batch_is_optimised_as_its_images_alone(tiny_cnn, photo):
    target = activations_of(tiny_cnn, photo, "conv2")["conv2"]
    images = torch.cat([photo.flip(-1), 1 - photo]).requires_grad_()
    loss = objective(
        tiny_cnn, [terms.feature_distance(target, "conv2"), -terms.channel("conv1", 3)]
    )
    (together,) = torch.autograd.grad(loss(images), images)
    for index in range(2):
        alone = images[index : index + 1].detach().requires_grad_()
        assert torch.allclose(
            torch.autograd.grad(loss(alone), alone)[0][0], together[index], atol=1e-7
        )
