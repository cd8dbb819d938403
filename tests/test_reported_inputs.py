"""别的工具的公开错误报告里的情形，在这里要么算得对，要么一句话说清。"""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

import cnnlab
from cnnlab import (
    adversarial_step,
    class_activation_map,
    conditional_affinities,
    dream,
    extract_features,
    grad_cam,
    max_activating_patches,
    receptive_field,
    retrieval_score,
    wrap_model,
)
from cnnlab.engine.ascent import Ascent


class Move(nn.Module):
    """换维度的次序。"""

    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, value):
        return value.permute(*self.order)


@pytest.fixture
def channels_last():
    """像 Swin：中间的激活是 (N, h, w, C)。"""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 8, 8),
        nn.ReLU(),
        Move(0, 2, 3, 1),
        nn.LayerNorm(16),
        Move(0, 3, 1, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


def test_channels_last_activations_are_refused_and_the_moved_ones_taken(channels_last):
    image = torch.rand(1, 3, 64, 64)
    for call in (
        lambda: grad_cam(channels_last, image, 1, "3"),
        lambda: max_activating_patches(channels_last, image, "3", [1], k=1),
        lambda: dream(channels_last, image, "3", channels=[1], octaves=1, steps=1),
        lambda: cnnlab.channel_image(channels_last, "3", 1, size=64, steps=1),
        lambda: extract_features(channels_last, image, "3"),
    ):
        with pytest.raises(ValueError, match=r"通道在|\(N, C, h, w\)"):
            call()
    assert grad_cam(channels_last, image, 1, "4", upsample=False).shape == (1, 8, 8)
    assert extract_features(channels_last, image, "4").shape[0] == 1


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 1), nn.Flatten()],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5)],
        [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 5)],
        [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)],
        [nn.Flatten(), nn.Linear(8 * 30 * 30, 5)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)],
    ],
)
def test_class_activation_map_of_other_heads_is_refused(head):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *head).eval()
    with pytest.raises(ValueError, match="grad_cam"):
        class_activation_map(network, torch.rand(1, 3, 32, 32), 1)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.485, 0.456, 406), (0.229, 0.224, 0.225)),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4)),
        ((0.5,) * 3, (-0.2, 0.2, 0.2)),
        ((0.5,) * 3, (0, 0, 0)),
        ((math.nan, 0.5, 0.5), (0.2,) * 3),
        ((-0.5, 0.5, 0.5), (0.2,) * 3),
    ],
)
def test_a_normalisation_that_cannot_be_is_refused(tiny_cnn, mean, std):
    with pytest.raises(ValueError, match=r"mean|std"):
        wrap_model(tiny_cnn, mean=mean, std=std)


def test_receptive_field_of_index_tensors_is_right_or_refused():
    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, image):
            order = torch.arange(image.shape[2] - 1, -1, -1)
            return self.conv(image[:, :, order])

    with pytest.raises(ValueError):
        receptive_field(Shuffled(), "conv", image_size=16)


def test_equal_rows_never_end_the_process():
    program = """
import torch, cnnlab
for x in (torch.zeros(40, 3), torch.ones(40, 3), torch.full((40, 3), 1e-42), torch.rand(1, 3).repeat(40, 1)):
    try:
        assert cnnlab.tsne(x, 5).isfinite().all()
    except ValueError as error:
        assert "相同" in str(error), error
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_nothing_makes_nan_without_a_word(linear_model, photo):
    rows = torch.rand(12, 3)
    for call, words in (
        (lambda: conditional_affinities(torch.ones(9, 3), 3), "相同"),
        (lambda: retrieval_score(rows, list(range(12)), k=0), "k 是 0"),
        (lambda: cnnlab.neighbor_purity(rows, list(range(12)), k=0), "k 是 0"),
        (lambda: adversarial_step(linear_model, photo, 1, grey_levels=math.nan), "grey_levels"),
        (lambda: cnnlab.correlation(rows * math.nan, rows), "NaN"),
        (lambda: cnnlab.total_variation(photo * 1e30), "溢出"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_networks_of_one_channel_are_seen_like_others():
    network = cnnlab.load_digit_network("classifier")
    image, label = cnnlab.digits(1)
    quick = {"steps": 2, "settings": Ascent(robust=False)}
    assert cnnlab.saliency_map(network, image, label).shape == (1, 28, 28)
    assert cnnlab.class_image(network, 3, size=28, **quick).image.shape == (1, 3, 28, 28)
    layer = next(name for name, each in network.named_modules() if isinstance(each, nn.Conv2d))
    made = cnnlab.channel_image(network, layer, 1, size=28, **quick).image
    assert made.isfinite().all() and (made.amax(1) - made.amin(1)).max() < 0.1
    assert dream(network, image, layer, octaves=1, steps=2).image.shape == image.shape


def test_a_misspelt_or_missing_argument_is_named():
    with pytest.raises(ValueError, match="perplexity"):
        cnnlab.tsne(torch.rand(20, 3), perplexty=5)
    with pytest.raises(TypeError, match="target"):
        cnnlab.saliency_map(nn.Identity(), torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda: cnnlab.class_image(None, 1, jitter=3), "settings=Ascent(jitter_pixels=…)"),
        (lambda: cnnlab.class_image(None, 1, robust=False), "settings=Ascent(robust=…)"),
        (lambda: cnnlab.transfer_style(None, 1, 2, start="noise"), "settings=Painting(start=…)"),
        (lambda: cnnlab.synthesize_texture(None, 1, 2, optimiser=1), "Descent(optimizer=…)"),
    ],
)
def test_an_argument_that_lives_in_settings_is_shown_there(call, advice):
    with pytest.raises(ValueError) as told:
        call()
    assert advice in str(told.value)


def test_sizes_that_do_not_fit_together_are_named():
    with pytest.raises(ValueError, match="query 与 gallery 对不上：D 要相同"):
        cnnlab.nearest_neighbors(torch.rand(3, 4), torch.rand(5, 6))


def test_an_error_of_the_readers_own_function_passes_unchanged(photo):
    class Mine(Exception):
        pass

    def loss(image):
        raise Mine("我的错")

    with pytest.raises(Mine):
        cnnlab.optimize_image(photo, loss, steps=1)
    with pytest.raises(ZeroDivisionError):
        cnnlab.finite_difference(lambda image: 1 / 0, photo, (0, 0, 0, 0))
