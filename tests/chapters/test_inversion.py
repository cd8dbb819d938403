"""特征反演：误差的定义、线性网络上的解、平滑项、两种参数化、解码网络，以及坏输入。"""

import pytest
import torch
from torch import nn

from cnnlab.chapters.inversion import (
    DECODER_HELD_OUT,
    FeatureDecoder,
    feature_error,
    fit_decoder,
    invert_features,
    load_decoder,
    luminance_and_color_error,
    varied,
)
from cnnlab.core.hooks import activations_of
from cnnlab.core.measures import correlation
from cnnlab.engine.priors import total_variation
from cnnlab.engine.results import reproduce


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 3, stride=2), nn.ReLU()
    )
    return layers.eval().requires_grad_(False)


@pytest.fixture
def image():
    coarse = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    return nn.functional.interpolate(coarse, (20, 25), mode="bilinear", align_corners=False)


def test_feature_error_is_zero_for_itself_one_for_silence_and_scale_free(network, image):
    assert torch.equal(feature_error(network, image, image, "1"), torch.zeros(2))
    identity = nn.Sequential(nn.Identity())
    assert torch.allclose(feature_error(identity, 0 * image, image, "0"), torch.ones(2))
    # 一个像素改动 d，误差就是 d / 范数
    changed = image.clone()
    changed[1, 0, 3, 4] += 0.25
    expected = 0.25 / image[1].flatten().norm()
    assert torch.allclose(
        feature_error(identity, changed, image, "0"),
        torch.stack([torch.tensor(0.0), expected]),
        atol=1e-6,
    )
    before = feature_error(network, changed, image, "1")
    network[0].weight.mul_(50)
    network[0].bias.mul_(50)
    assert torch.allclose(feature_error(network, changed, image, "1"), before, rtol=1e-4)


def test_luminance_and_color_are_told_apart(image):
    grey = (
        (image * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))
        .sum(1, keepdim=True)
        .expand_as(image)
    )
    bright, color = luminance_and_color_error(grey, image)
    assert torch.allclose(bright, torch.zeros(2), atol=1e-5) and torch.allclose(
        color, torch.ones(2), atol=1e-5
    )
    flat = (image - grey) + grey.mean((2, 3), keepdim=True)  # 颜色全对，亮度处处一样
    bright, color = luminance_and_color_error(flat, image)
    assert torch.allclose(bright, torch.ones(2), atol=1e-4) and torch.allclose(
        color, torch.zeros(2), atol=1e-4
    )
    assert luminance_and_color_error(image, grey)[1].isnan().all()


@pytest.mark.parametrize("parameterization", ["pixel", "fourier"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_an_injective_layer_is_inverted(network, image, parameterization, optimizer):
    # 32 个 3×3 的核看 27 个数：激活里什么也没丢
    result = invert_features(
        network, image, "0", tv=0, parameterization=parameterization, optimizer=optimizer, steps=150
    )
    assert result.image.shape == image.shape and result.image.min() >= 0 and result.image.max() <= 1
    assert correlation(result.image, image).min() > (0.995 if optimizer == "lbfgs" else 0.95)
    assert result.history["loss"][-1] < 0.05 * result.history["loss"][0]


def test_smoothing_smooths_and_the_ledger_adds_up(network, image):
    rough, smooth = (invert_features(network, image, "3", tv=tv, steps=30) for tv in (0.0, 30.0))
    assert total_variation(smooth.image) < 0.2 * total_variation(rough.image)
    parts = [values for name, values in smooth.history.items() if name != "loss"]
    assert len(parts) == 2 and smooth.history["loss"][-1] == pytest.approx(
        sum(part[-1] for part in parts)
    )
    assert len(rough.history) == 2  # 没有平滑项时只有一项


def test_only_the_activation_of_the_image_is_used(network, image):
    # 红色通道对网络不可见：改动它，反演的结果逐位不变
    network[0].weight[:, 0] = 0
    other = image.clone()
    other[:, 0] = 1 - other[:, 0]
    first, second = (invert_features(network, each, "1", steps=5).image for each in (image, other))
    assert torch.equal(first, second)


def test_nothing_of_the_caller_is_touched(network, image):
    before, state = image.clone(), torch.get_rng_state()
    invert_features(network, image, "3", steps=2)
    assert (
        torch.equal(image, before)
        and torch.equal(torch.get_rng_state(), state)
        and not image.requires_grad
    )
    assert all(parameter.grad is None for parameter in network.parameters())


def test_same_seed_same_picture_and_reproduce(image):
    from cnnlab.networks.models import load_model

    model, larger = load_model(), nn.functional.interpolate(image[:1], (40, 47))
    first = invert_features(model, larger, "fire2", steps=3)
    assert torch.equal(first.image, invert_features(model, larger, "fire2", steps=3).image)
    assert not torch.equal(
        first.image, invert_features(model, larger, "fire2", steps=3, start="noise").image
    )
    assert torch.equal(reproduce(first).image, first.image)


def test_no_step_returns_the_start(network, image):
    start = 1 - image
    for parameterization in ("pixel", "fourier"):
        result = invert_features(
            network, image, "3", steps=0, start=start, parameterization=parameterization
        )
        assert torch.equal(result.image, start)


def test_a_decoder_learns_what_one_pixel_per_channel_says():
    # 激活就是 16×16 格子的平均颜色：解码网络应当学会把颜色放回原处
    grid = nn.Sequential(nn.AvgPool2d(16))
    images = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(images, (64, 64))
    decoder = FeatureDecoder(3, size=64, width=24)
    torch.manual_seed(0)
    record = fit_decoder(
        decoder, grid, images[:20], "0", steps=60, batch_size=8, learning_rate=1e-2
    )
    assert not decoder.training and record.losses[-1] < 0.6 * record.losses[0]
    with torch.no_grad():
        features = activations_of(grid, images[20:], "0")["0"]
        right = correlation(decoder(features), images[20:]).mean()
        wrong = correlation(decoder(features.roll(1, 0)), images[20:]).mean()
    assert right > 0.5 and right > wrong + 0.4


def test_varied_pictures_depend_on_the_generator_only(image):
    def draw(seed):
        return varied(image, 5, 16, torch.Generator().manual_seed(seed))

    assert (
        draw(1).shape == (5, 3, 16, 16)
        and torch.equal(draw(1), draw(1))
        and not torch.equal(draw(1), draw(2))
    )
    assert draw(1).min() >= 0 and draw(1).max() <= 1


def test_the_shipped_decoder_beats_the_answer_for_another_photo():
    from cnnlab.chapters.inversion import DECODER_PATH
    from cnnlab.networks.models import load_model
    from cnnlab.pictures.photos import photo

    assert DECODER_PATH.stat().st_size < 1e6
    model, decoder = load_model(), load_decoder()
    pictures = torch.cat([photo(name, size=(96, 96)) for name in DECODER_HELD_OUT])
    with torch.no_grad():
        guess = decoder(activations_of(model, pictures, "fire8")["fire8"])
    assert guess.shape == pictures.shape
    assert (
        correlation(guess, pictures).median()
        > correlation(guess.roll(1, 0), pictures).median() + 0.2
    )


def test_bad_input_is_explained(network, image):
    with pytest.raises(ValueError, match="parameterization"):
        invert_features(network, image, "1", parameterization="wavelet")
    with pytest.raises(ValueError, match="优化器"):
        invert_features(network, image, "1", optimizer="lbfg")
    with pytest.raises(ValueError, match="tv"):
        invert_features(network, image, "1", tv=-1)
    with pytest.raises(ValueError, match="steps"):
        invert_features(network, image, "1", steps=-1)
    with pytest.raises(ValueError, match="没有名为"):
        invert_features(network, image, "fire5")
    with pytest.raises(ValueError, match="\\[0, 1\\]"):
        invert_features(network, image * 255, "1")
    with pytest.raises(ValueError, match="起点"):
        invert_features(network, image, "1", start=image[:1])
    with pytest.raises(ValueError, match="全是零"):
        feature_error(nn.Sequential(nn.ReLU()), image, image * 0, "0")
    with pytest.raises(ValueError, match="16 的倍数"):
        FeatureDecoder(4, size=50)
    with pytest.raises(ValueError, match="训练"):
        load_decoder("nowhere.safetensors")


def test_a_layer_that_says_nothing_is_reported(image):
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).requires_grad_(False)
    dead[0].bias.fill_(-100.0)
    with pytest.raises(ValueError, match="目标激活全为 0"):
        invert_features(dead, image, "1", steps=2)


def test_jitter_compares_the_shifted_picture_with_the_unshifted_activation_and_is_seeded(
    network, image
):
    options = {"optimizer": "adam", "steps": 6, "tv": 0}
    plain = invert_features(network, image, "1", **options)
    first, again = (
        invert_features(network, image, "1", jitter_pixels=3, **options) for _ in range(2)
    )
    assert torch.equal(first.image, again.image) and not torch.equal(first.image, plain.image)
    # 平移之后对不上，损失比不动时降得少
    assert min(first.history["loss"]) > min(plain.history["loss"])


def test_l2_pulls_the_picture_towards_grey_and_keeps_its_own_account(network, image):
    far, near = (
        invert_features(network, image, "1", l2_weight=weight, steps=15) for weight in (0.0, 50.0)
    )
    assert (near.image - 0.5).abs().mean() < 0.5 * (far.image - 0.5).abs().mean()
    assert "l2" in near.history and "l2" not in far.history


@pytest.mark.parametrize(
    "options",
    [{"jitter_pixels": -1}, {"jitter_pixels": 2}, {"l2_weight": -1.0}, {"l2_weight": float("nan")}],
)
def test_jitter_needs_adam_and_no_prior_is_negative(network, image, options):
    with pytest.raises(
        ValueError, match="adam" if options.get("jitter_pixels") == 2 else next(iter(options))
    ):
        invert_features(network, image, "1", **options)
