"""风格迁移：两头恰好是反演与纹理，混合的证明，颜色，起点，尺度，坏输入。"""

import pytest
import torch
from torch import nn

from cnnlab.chapters.style_transfer import (
    Painting,
    keep_chroma,
    match_color,
    prepare_styles,
    style_terms,
    transfer_style,
)
from cnnlab.chapters.texture import synthesize_texture
from cnnlab.core.hooks import activations_of
from cnnlab.engine.descent import Descent
from cnnlab.engine.objectives import objective
from cnnlab.engine.terms import feature_distance, gram_distance, gram_matrix


def picture(seed, size=(40, 48)):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
    )
    return layers.eval().requires_grad_(False)


LAYERS = {"content_layer": "4", "style_layers": ["1", "4"]}
OPTIONS = {"settings": Painting(**LAYERS)}


def test_content_weight_zero_is_texture_synthesis(network):
    content, style, start = picture(0), picture(1), picture(2)
    styled = transfer_style(
        network, content, style, content_weight=0, style_weight=2, steps=8, style_size=40,
        settings=Painting(start, **LAYERS),
    )  # fmt: skip
    texture = synthesize_texture(
        network, style, (40, 48), ["1", "4"], steps=8, rounds=1, settings=Descent(start)
    )
    assert (
        torch.equal(styled.image, texture.image)
        and styled.history["loss"] == texture.history["loss"]
    )
    assert "feature_distance 4" not in styled.history


def test_style_weight_zero_is_feature_inversion(network):
    content, start = picture(0), picture(2)
    styled = transfer_style(
        network,
        content,
        picture(1),
        style_weight=0,
        content_weight=2,
        steps=8,
        settings=Painting(start, "pixel", **LAYERS),
    )
    target = activations_of(network, content, "4")["4"]
    inversion = objective(network, 2 * feature_distance(target, "4"))
    assert styled.history["loss"][0] == pytest.approx(float(inversion(start)), rel=1e-6)
    assert styled.history["loss"][-1] < 0.5 * styled.history["loss"][0] and list(
        styled.history
    ) == ["loss", "feature_distance 4"]


def test_mixing_grams_and_mixing_losses_have_equal_gradients_when_the_weights_sum_to_one(network):
    network, image = network.double(), picture(3).double().requires_grad_()
    styles, mix = [picture(4).double(), picture(5).double()], [0.3, 0.7]
    grams = [gram_matrix(activations_of(network, style, "4")["4"]) for style in styles]
    separate = objective(
        network,
        [w * gram_distance(g, "4", relative=False) for w, g in zip(mix, grams, strict=True)],
    )
    together = objective(
        network,
        gram_distance(sum(w * g for w, g in zip(mix, grams, strict=True)), "4", relative=False),
    )
    losses = separate(image), together(image)
    first, second = (torch.autograd.grad(loss, image)[0] for loss in losses)
    assert torch.allclose(first, second, rtol=1e-10, atol=1e-16) and losses[0] > 1.01 * losses[1]
    (term,) = style_terms(network, styles, mix, ["4"], 1.0)
    assert torch.isclose(
        objective(network, term)(image),
        losses[1] / sum(w * g for w, g in zip(mix, grams, strict=True)).square().sum(),
    )


def test_one_style_with_all_the_weight_is_that_style_alone(network):
    content, styles = picture(0), [picture(1), picture(6)]
    mixed = transfer_style(network, content, styles, style_weights=[3, 0], steps=3, **OPTIONS)
    alone = transfer_style(network, content, styles[0], steps=3, **OPTIONS)
    assert torch.allclose(mixed.image, alone.image, atol=1e-6)


def test_sizes_of_content_and_styles_may_differ_and_scales_add_up(network):
    content = torch.cat([picture(0, (64, 70)), picture(7, (64, 70))])
    before = content.clone()
    result = transfer_style(
        network,
        content,
        [picture(1, (70, 80)), picture(6, (90, 66))],
        style_size=64,
        scales=2,
        steps=4,
        **OPTIONS,
    )
    assert result.image.shape == content.shape and len(result.history["loss"]) == 8
    assert torch.equal(content, before) and result.image.min() >= 0 and result.image.max() <= 1


def test_colour_is_kept(network):
    content, style = 0.2 + 0.6 * picture(0), picture(1)
    kept = transfer_style(network, content, style, steps=4, preserve_color=True, **OPTIONS).image
    matrix = torch.tensor([[0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    chroma = [torch.einsum("ij,njhw->nihw", matrix, each) for each in (kept, content)]
    assert torch.quantile((chroma[0] - chroma[1]).abs(), 0.5) < 1e-5
    assert torch.allclose(keep_chroma(content, content), content, atol=1e-6)


def test_matched_colours_have_the_mean_and_covariance_of_the_content():
    content = 0.3 + 0.2 * picture(0) * torch.tensor([1.0, 0.5, 0.8]).view(1, 3, 1, 1)
    matched = match_color(picture(1), content)
    for statistic in (lambda x: x.mean((0, 2, 3)), lambda x: torch.cov(x[0].flatten(1))):
        assert torch.allclose(statistic(matched), statistic(content), atol=1e-4)
    grey = picture(1).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.isfinite(match_color(grey, content)).all()


@pytest.mark.parametrize("start", ["content", "noise", "style"])
def test_every_start_goes_downhill(network, start):
    result = transfer_style(
        network, picture(0), picture(1), steps=15, settings=Painting(start, **LAYERS)
    )
    assert result.history["loss"][-1] < result.history["loss"][0]


def test_weights_are_normalised():
    for weights, mix in (([1, 3], [0.25, 0.75]), (None, [0.5, 0.5])):
        assert prepare_styles([picture(1)] * 2, weights, picture(0), None, False)[1] == mix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"styles": []}, "一种风格也没有"),
        ({"style_weights": [1, 2]}, "一一对应"),
        ({"style_weights": [-1]}, "不小于 0"),
        ({"style_size": 8}, "太小"),
        ({"content_weight": -1}, "content_weight"),
        ({"content_weight": 0, "style_weight": 0}, "没有目标"),
        ({"settings": Painting("photo", **LAYERS)}, "起点"),
        ({"preserve_color": "hue"}, "preserve_color"),
        ({"settings": Painting()}, "内容层"),
    ],
)
def test_bad_input_is_explained(network, options, message):
    arguments = {"styles": picture(1), **OPTIONS, **options}
    with pytest.raises(ValueError, match=message):
        transfer_style(network, picture(0), arguments.pop("styles"), steps=1, **arguments)
