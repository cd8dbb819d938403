"""默认设置合成的纹理，由没有参与的网络来评：误差与同一张照片里的另一块比。三种样本书里没有。"""

import pytest
import torch
from skimage import data

from cnnlab import load_model, photo, resize, synthesize_texture
from cnnlab.chapters.texture import activations_at, texture_layers
from cnnlab.engine.terms import gram_matrix

# 照片、边长、两块的左上角 (左, 上)
PHOTOS = {
    "navajo": (128, (30, 100), (180, 100)),
    "great_pyramid": (80, (80, 90), (165, 105)),
    "sheep": (100, (0, 150), (250, 150)),
}


def sample_and_second(name):
    """一块样本，和同一张照片里的另一块。"""
    if name == "gravel":
        picture = (torch.from_numpy(data.gravel()) / 255).expand(1, 3, -1, -1)
        return [resize(picture[..., k : k + 256, k : k + 256], 160) for k in (0, 256)]
    side, *corners = PHOTOS[name]
    picture = photo(name)
    return [resize(picture[..., y : y + side, x : x + side], 128) for x, y in corners]


def error(judge, sample, picture):
    """评判的网络各层 ‖G − A‖² / ‖A‖² 之和。"""
    layers = texture_layers(judge)[1:]
    ours, theirs = (activations_at(judge, each, layers) for each in (picture, sample))
    total = 0.0
    for layer in layers:
        gram, goal = gram_matrix(ours[layer]), gram_matrix(theirs[layer])
        total += float((gram - goal).square().sum() / goal.square().sum())
    return total


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", [*PHOTOS, "gravel"])
def test_another_network_finds_the_texture_nearly_as_near_as_a_second_piece(name, seed):
    maker, judge = load_model("efficientnet_lite0"), load_model()
    sample, second = sample_and_second(name)
    made = synthesize_texture(maker, sample, sample.shape[-1], seed=seed).image
    fair = error(judge, sample, second)
    assert error(judge, sample, made) <= 2.5 * fair
    # 同色的噪声通不过
    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn(sample.shape, generator=generator)
    noise = sample.mean((2, 3), keepdim=True) + 0.1 * grain
    assert error(judge, sample, noise.clamp(0, 1)) > 2.5 * fair
