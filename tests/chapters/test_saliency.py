"""显著图一章：线性模型的手算值、有限差分、Captum 0.9 的数、完备性、分割、对抗的一步。"""

import math

import pytest
import torch
from captum.attr import InputXGradient, IntegratedGradients, Saliency
from torch import nn

from cnnlab import load_model
from cnnlab.chapters.occlusion import fill_image
from cnnlab.chapters.saliency import (
    adversarial_step,
    fooling_image,
    gradient_times_input,
    integrated_gradients,
    saliency_map,
    seeds_from_saliency,
    segment_from_saliency,
    smooth_grad,
)
from cnnlab.core.images import load_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


def random_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 25, 7),
    ]
    return nn.Sequential(*layers).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def squeezenet():
    return load_model().double()


@pytest.fixture(scope="module")
def pandas():
    return torch.cat([load_image("panda", 64), load_image("dog", 64)]).double()


def close(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    assert theirs.abs().amax() > 0
    return bool((mine - theirs).abs().amax() <= 1e-6 * theirs.abs().amax())


def test_linear_model_map_is_the_absolute_weight(linear_model, photo):
    weight = linear_model.linear.weight.view(5, 3, 32, 32)
    assert torch.allclose(saliency_map(linear_model, photo, 3)[0], weight[3].abs().amax(0))
    assert torch.allclose(
        saliency_map(linear_model, photo, 3, reduce="sum")[0], weight[3].abs().sum(0)
    )
    assert torch.allclose(saliency_map(linear_model, photo, 3, reduce=None)[0], weight[3])
    assert torch.allclose(gradient_times_input(linear_model, photo, 3), weight[3] * photo)


def test_gradient_agrees_with_finite_differences(squeezenet, pandas):
    signed = saliency_map(squeezenet, pandas[:1], 388, reduce=None)
    for place in [(0, 0, 20, 31), (0, 1, 40, 12), (0, 2, 33, 33), (0, 0, 5, 60), (0, 1, 50, 50)]:
        up, down = pandas[:1].clone(), pandas[:1].clone()
        up[place] += 1e-6
        down[place] -= 1e-6
        difference = (squeezenet(up) - squeezenet(down))[0, 388] / 2e-6
        assert abs(difference - signed[place]) < 1e-4 * signed.abs().max()


@pytest.mark.parametrize("seed", range(3))
def test_captum_on_random_networks(seed):
    network, image = random_network(seed), torch.rand(3, 3, 16, 16, dtype=torch.float64)
    target = torch.tensor([4, 0, 6])
    assert close(
        saliency_map(network, image, target, reduce=None),
        Saliency(network).attribute(image, target, abs=False),
    )
    assert close(
        saliency_map(network, image, target), Saliency(network).attribute(image, target).amax(1)
    )
    assert close(
        gradient_times_input(network, image, target),
        InputXGradient(network).attribute(image, target),
    )
    theirs = IntegratedGradients(network).attribute(
        image, 0.0, target, n_steps=9, method="riemann_middle"
    )
    assert close(integrated_gradients(network, image, target, steps=9), theirs)
    theirs = IntegratedGradients(network).attribute(
        image, 1 - image, target, n_steps=4, method="riemann_middle"
    )
    assert close(integrated_gradients(network, image, target, baseline=1 - image, steps=4), theirs)


def test_captum_on_squeezenet(squeezenet, pandas):
    target = torch.tensor([388, 235])
    assert close(
        saliency_map(squeezenet, pandas, target, reduce=None),
        Saliency(squeezenet).attribute(pandas, target, abs=False),
    )
    theirs = IntegratedGradients(squeezenet).attribute(
        pandas, 0.5, target, n_steps=5, method="riemann_middle"
    )
    assert close(integrated_gradients(squeezenet, pandas, target, baseline=0.5, steps=5), theirs)


def test_integrated_gradients_are_complete_and_zero_at_the_baseline(squeezenet, pandas):
    image = pandas[:1].clone()
    image[..., :10, :] = 0.5
    found = integrated_gradients(squeezenet, image, 388, baseline=0.5, steps=64)
    expected = (squeezenet(image) - squeezenet(torch.full_like(image, 0.5)))[0, 388]
    assert abs(found.sum() - expected) < 0.02 * expected.abs()
    assert (found[..., :10, :] == 0).all() and found.abs().sum() > 0


def test_integrated_gradients_of_a_quadratic_by_hand():
    class Quadratic(nn.Module):
        def forward(self, image):
            return (image**2).flatten(1).sum(1, keepdim=True)

    image = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    # 中点法对一次的梯度没有误差，一步就够
    assert torch.allclose(integrated_gradients(Quadratic(), image, 0, steps=1), image**2)
    assert torch.allclose(
        integrated_gradients(Quadratic(), image, 0, baseline=(0.2, 0.4, 0.6), steps=3).sum(),
        (image**2).sum() - 16 * 0.56,
    )


def test_baselines():
    image = torch.rand(2, 3, 4, 5)
    assert (fill_image(image, 0.25) == 0.25).all()
    assert torch.equal(
        fill_image(image, (0.1, 0.2, 0.3))[1, :, 2, 2], torch.tensor([0.1, 0.2, 0.3])
    )
    for wrong in (2.0, (0.1, 0.2), torch.zeros(3, 3, 4, 5)):
        with pytest.raises(ValueError):
            fill_image(image, wrong)


def test_smooth_grad(tiny_cnn, linear_model, photo):
    plain = saliency_map(tiny_cnn, photo, 2)
    assert torch.allclose(smooth_grad(tiny_cnn, photo, 2, samples=1, noise=0), plain)
    assert torch.allclose(
        smooth_grad(linear_model, photo, 2, samples=3),
        saliency_map(linear_model, photo, 2),
        atol=1e-5,
    )
    state = torch.get_rng_state()
    first, again, other = (
        smooth_grad(tiny_cnn, photo, 2, samples=2, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    # 带符号的梯度先平均再取绝对值：不大于先取绝对值再平均
    signed = smooth_grad(tiny_cnn, photo, 2, samples=2, seed=1, reduce=None)
    assert torch.equal(signed.abs().amax(1), first)


def test_smooth_grad_noise_follows_the_range_of_each_image():
    class Spy(nn.Module):
        def forward(self, image):
            seen.append(image.detach().clone())
            return image.flatten(1).sum(1, keepdim=True)

    seen = []
    image = torch.rand(2, 3, 64, 64) * torch.tensor([1.0, 0.2]).view(2, 1, 1, 1)
    smooth_grad(Spy(), image, 0, samples=4, noise=0.1)
    spread = torch.stack([each - image for each in seen]).std((0, 2, 3, 4))
    assert torch.allclose(spread, torch.tensor([0.1, 0.02]), rtol=0.05)


def test_a_constant_image_gives_finite_maps(tiny_cnn):
    grey = torch.full((1, 3, 32, 32), 0.5)
    assert torch.allclose(
        smooth_grad(tiny_cnn, grey, 1, samples=2), saliency_map(tiny_cnn, grey, 1)
    )
    assert (integrated_gradients(tiny_cnn, grey, 1, baseline=0.5, steps=2) == 0).all()
    assert torch.isfinite(gradient_times_input(tiny_cnn, grey, 1)).all()


def disc(size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """绿底上一个红圆盘，和圆盘的掩码。"""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = (row - 40) ** 2 + (column - 52) ** 2 < 22**2
    image = torch.where(
        inside,
        torch.tensor([0.8, 0.2, 0.1])[:, None, None],
        torch.tensor([0.2, 0.6, 0.3])[:, None, None],
    )
    grain = 0.03 * torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    return (image + grain)[None], inside


def test_segmentation_of_a_disc_from_scattered_seeds():
    image, inside = disc()
    heat = torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(1)) * (0.2 + inside)
    mask = segment_from_saliency(image, heat)
    assert mask.dtype == torch.bool and mask.shape == (96, 96)
    assert (mask & inside).sum() / (mask | inside).sum() > 0.9
    assert torch.equal(mask, segment_from_saliency(image, heat[0]))


def test_averaging_before_the_seeds_joins_scattered_points():
    image, inside = disc()
    heat = (
        torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(2)) < 0.02 + 0.1 * inside
    ).float()
    averaged = seeds_from_saliency(image, heat, window=9) == 1
    assert inside[averaged].float().mean() > 0.99 > 0.9 > inside[heat[0] > 0].float().mean()


def test_seeds_are_the_quantiles_of_the_paper():
    heat = torch.arange(100.0).view(10, 10)
    marks = seeds_from_saliency(torch.rand(1, 3, 10, 10), heat)
    assert (marks == 1).sum() == 5 and (marks == -1).sum() == 30
    assert heat[marks == 1].min() == 95 and heat[marks == -1].max() == 29


@pytest.mark.parametrize(
    ("heat", "match"),
    [
        (torch.zeros(1, 8, 8), "处处相同"),
        (torch.full((1, 8, 8), float("nan")), "NaN"),
        (torch.rand(1, 8, 9), "对不上"),
        (torch.rand(2, 8, 8), "对不上"),
    ],
)
def test_bad_maps_for_segmentation(heat, match):
    with pytest.raises(ValueError, match=match):
        segment_from_saliency(torch.rand(1, 3, 8, 8), heat)


def test_sparse_map_still_gives_seeds_of_both_kinds():
    heat = torch.zeros(1, 20, 20)
    heat[0, 5, 5:9] = 1
    marks = seeds_from_saliency(torch.rand(1, 3, 20, 20), heat)
    assert (marks == 1).sum() == 4 and (marks == -1).sum() == 396


def test_adversarial_step_of_a_linear_model_by_hand(linear_model):
    image = torch.full((1, 3, 32, 32), 0.5)
    weight = linear_model.linear.weight[3]
    moved = adversarial_step(linear_model, image, 3, grey_levels=2)
    assert torch.allclose((moved - image).abs(), torch.full_like(image, 2 / 255), atol=1e-7)
    drop = (linear_model(image) - linear_model(moved))[0, 3]
    assert torch.allclose(drop, 2 / 255 * weight.abs().sum(), rtol=1e-4)
    edge = adversarial_step(linear_model, torch.ones(1, 3, 32, 32), 3)
    assert edge.min() >= 0 and edge.max() <= 1


def test_fooling_image_stays_close_and_fools(squeezenet, pandas):
    image = load_image("panda", 128).double()
    assert squeezenet(image).argmax(1) == 388
    fooled = fooling_image(squeezenet, image, "cannon", grey_levels=4, steps=12)
    assert (
        (fooled - image).abs().max() <= 4 / 255 + 1e-9 and fooled.min() >= 0 and fooled.max() <= 1
    )
    assert squeezenet.label(int(squeezenet(fooled).argmax())) == squeezenet.label(
        squeezenet.categories.index_of("cannon")
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda model, image: saliency_map(model, image, 0, reduce="mean"),
        lambda model, image: saliency_map(model, image * 255, 0),
        lambda model, image: saliency_map(model, image[0], 0),
        lambda model, image: smooth_grad(model, image, 0, samples=0),
        lambda model, image: smooth_grad(model, image, 0, noise=-1),
        lambda model, image: integrated_gradients(model, image, 0, steps=0),
        lambda model, image: adversarial_step(model, image, 0, grey_levels=-1),
        lambda model, image: fooling_image(model, image, 0, grey_levels=0),
        lambda model, image: fooling_image(model, image, 77),
        lambda model, image: segment_from_saliency(
            image, image[:, 0], foreground=0.2, background=0.3
        ),
        lambda model, image: segment_from_saliency(image, image[:, 0], window=4),
    ],
)
def test_bad_input_is_a_value_error(tiny_cnn, photo, call):
    with pytest.raises(ValueError):
        call(tiny_cnn, photo)


def test_score_not_probability_is_differentiated(squeezenet, pandas):
    """概率接近 1 时它的梯度近于 0，得分的不是。"""

    class Probability(nn.Module):
        def forward(self, image):
            return squeezenet(image).softmax(1)

    image = load_image("panda", 224).double()
    probability = float(squeezenet(image).softmax(1)[0, 388].detach())
    assert probability > 0.999
    ratio = (
        saliency_map(Probability(), image, 388).max() / saliency_map(squeezenet, image, 388).max()
    )
    assert 0 < ratio < 5e-3 and math.isfinite(ratio)
