"""DeepDream：梯度等于激活、尺度、细节不丢、跟随、变焦、通道的增长，以及坏输入。"""

import pytest
import torch
from torch import nn

from cnnlab.chapters.deepdream import (
    change_wavelength,
    channel_growth,
    dream,
    dream_zoom,
    follow,
    octave_sizes,
)
from cnnlab.core.hooks import activations_of
from cnnlab.engine.objectives import objective
from cnnlab.engine.results import reproduce
from cnnlab.engine.terms import half_squared_norm


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
    return layers.eval().requires_grad_(False)


@pytest.fixture
def image():
    return torch.rand(1, 3, 67, 80, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25


def test_gradient_of_half_the_squared_norm_is_the_activation(network, image):
    network, image = network.double(), image.double()
    activation = activations_of(network, image.requires_grad_(), "3")["3"]
    (seeded,) = torch.autograd.grad(activation, image, activation.detach())
    (gradient,) = torch.autograd.grad(objective(network, half_squared_norm("3"))(image), image)
    assert torch.allclose(gradient, seeded, rtol=1e-10, atol=1e-12) and gradient.abs().sum() > 0


def test_no_step_returns_the_photo_exactly(network, image):
    result = dream(network, image, "3", steps=0, octaves=3, octave_scale=1.3)
    assert torch.equal(result.image, image)


def test_dreaming_strengthens_the_layer_and_stays_a_picture(network, image):
    before = image.clone()
    result = dream(network, image, "3", octaves=2, steps=4)
    strength = [activations_of(network, x, "3")["3"].square().sum() for x in (image, result.image)]
    assert strength[1] > 1.2 * strength[0]
    assert torch.equal(image, before)
    assert (
        result.image.shape == image.shape
        and result.image.min() >= -1e-6
        and result.image.max() <= 1 + 1e-6
    )
    assert len(result.history["loss"]) == 8 and result.history["sizes"][-1] == (67, 80)


def test_same_seed_same_dream_and_reproduce(image):
    from cnnlab.networks.models import load_model

    model = load_model()
    first = dream(model, image, "fire2", octaves=1, steps=2)
    assert torch.equal(first.image, dream(model, image, "fire2", octaves=1, steps=2).image)
    assert not torch.equal(
        first.image, dream(model, image, "fire2", octaves=1, steps=2, seed=1).image
    )
    assert torch.equal(reproduce(first).image, first.image)


def test_small_octaves_are_skipped_and_named(network, image):
    with pytest.warns(RuntimeWarning, match="跳过"):
        sizes = octave_sizes(network, image, "3", 5, 1.6)
    assert sizes[-1] == (67, 80) and all(min(size) >= 32 for size in sizes) and len(sizes) < 5


def test_step_does_not_depend_on_the_scale_of_the_network(network, image):
    before = dream(network, image, "1", octaves=1, steps=3).image
    network[0].weight.mul_(10)
    network[0].bias.mul_(10)
    assert torch.allclose(dream(network, image, "1", octaves=1, steps=3).image, before, atol=1e-5)


def test_channels_select_what_grows(network, image):
    chosen, other = (
        dream(network, image, "1", channels=[k], octaves=1, steps=5).image for k in (2, 0)
    )
    start, growth = channel_growth(network, image, chosen, "1")
    assert start.shape == growth.shape == (6,)
    assert growth[2] > 1.3 and growth[2] > 1.2 * channel_growth(network, image, other, "1")[1][2]


def test_follow_takes_the_best_match_at_every_position(network, image):
    guide = torch.rand(1, 3, 40, 31, generator=torch.Generator().manual_seed(2))
    features = activations_of(network, image, "3")["3"]
    library = activations_of(network, guide, "3")["3"].flatten(2)[0]
    by_hand = sum(
        (features[0, :, i, j] @ library).max()
        for i in range(features.shape[2])
        for j in range(features.shape[3])
    )
    value = objective(network, follow(network, guide, "3"))(image)
    assert torch.allclose(value, by_hand, rtol=1e-4)
    followed = dream(network, image, "3", guide=guide, octaves=1, steps=4)
    assert followed.history["loss"][-1] < followed.history["loss"][0]


def test_zoom_is_a_strip_of_frames(network, image):
    film = dream_zoom(network, image, "1", frames=3, octaves=1, steps=1)
    assert film.shape == (3, 3, 67, 80)
    assert not torch.equal(film[0], film[1])


def test_layer_without_gradient_is_reported(image):
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).requires_grad_(False)
    dead[0].bias.fill_(-100.0)
    with pytest.warns(RuntimeWarning, match="梯度恰好处处为 0"):
        result = dream(dead, image, "1", octaves=1, steps=2)
    assert torch.allclose(result.image, image)


def test_bad_input_is_explained(network, image):
    with pytest.raises(ValueError, match="octaves"):
        dream(network, image, "1", octaves=0)
    with pytest.raises(ValueError, match="octave_scale"):
        dream(network, image, "1", octave_scale=1.0)
    with pytest.raises(ValueError, match="没有名为"):
        dream(network, image, "fire5")
    with pytest.raises(ValueError, match="\\[0, 1\\]"):
        dream(network, image * 255, "1")
    with pytest.raises(ValueError, match="zoom"):
        dream_zoom(network, image, "1", zoom=0.9)


@pytest.mark.parametrize("period", [4, 8, 16])
def test_wavelength_of_stripes_is_their_period(period):
    across = torch.arange(64, dtype=torch.float32)
    stripes = torch.cos(2 * torch.pi * across / period).expand(2, 3, 48, 64)
    assert torch.allclose(change_wavelength(stripes), torch.tensor(float(period)), rtol=0.08)
    assert torch.allclose(
        change_wavelength(5 * stripes + 0.3), change_wavelength(stripes), rtol=1e-3
    )


def test_a_dream_stopped_between_scales_is_still_a_picture(network, image):
    taken = []

    def stop(step):
        taken.append(step)
        if len(taken) > 6:  # 最后一个尺度的第一步
            raise KeyboardInterrupt

    harsh = image.sub(0.25).mul(2).round()  # 只有黑白：增量放大之后再加上去会越界
    made = dream(network, harsh, "3", octaves=3, octave_scale=1.3, steps=3, on_step=stop).image
    assert len(taken) == 7 and made.shape == harsh.shape
    assert 0 <= made.min() and made.max() <= 1
