"""少见而合理的用法：单通道的网络、带计算图的照片、一步也不走；以及认真的人会写错的几种参数。"""

import pytest
import torch
from torch import nn

import cnnlab
from cnnlab import Ascent, load_model


@pytest.fixture
def grey_network():
    """看灰度图的小网络；它的三通道孪生把三个通道平均，别的都一样。"""
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU()
    )
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    network.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    return network.eval().requires_grad_(False)


@pytest.fixture
def greys():
    return torch.rand(2, 1, 33, 41, generator=torch.Generator().manual_seed(1))


def test_patches_of_a_one_channel_network(grey_network, greys):
    patches = cnnlab.max_activating_patches(grey_network, greys, "3", [0, 2], k=2)
    assert patches.crops.shape == (2, 2, 1, 8, 8)
    top, left, bottom, right = patches.boxes[0, 0].tolist()
    seen = greys[patches.image_index[0, 0], :, top:bottom, left:right]
    assert (bottom - top, right - left) == (8, 8) and torch.equal(patches.crops[0, 0], seen)
    i, j = patches.positions[0, 0].tolist()
    maps = cnnlab.activations_of(grey_network, greys, "3")["3"]
    assert maps[patches.image_index[0, 0], 0, i, j] == patches.values[0, 0]


def test_expanded_kernels_of_a_one_channel_network(grey_network, greys):
    local = cnnlab.expanded_kernels(grey_network, "3", [1], image=greys[:1])
    leaf = greys[:1].clone().requires_grad_()
    neuron = cnnlab.activations_of(grey_network, leaf, "3")["3"][0, 1, 6, 8]
    gradient = torch.autograd.grad(neuron, leaf)[0][0]
    assert local.shape == (1, 1, 8, 8)
    assert torch.allclose(local[0], gradient[:, 11:19, 15:23])
    assert cnnlab.expanded_kernels(grey_network, "3").shape == (5, 1, 8, 8)


def test_gratings_for_a_one_channel_network(grey_network):
    tuning = cnnlab.orientation_tuning(grey_network, "0", angles=4)
    colour = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))
    colour[0].weight.data = grey_network[0].weight.expand(-1, 3, -1, -1) / 3
    colour[0].bias.data = grey_network[0].bias
    assert torch.allclose(tuning, cnnlab.orientation_tuning(colour, "0", angles=4), atol=1e-5)


def test_a_grey_photo_is_inverted(grey_network, greys):
    found = cnnlab.invert_features(grey_network, greys, "0", steps=30).image

    def error(image):
        seen = cnnlab.activations_of(grey_network, image.mean(1, keepdim=True), "0")["0"]
        return (seen - cnnlab.activations_of(grey_network, greys, "0")["0"]).norm()

    assert error(found) < 0.3 * error(torch.full_like(greys, 0.5))


def test_a_grey_photo_is_segmented_like_the_same_photo_with_three_channels(greys):
    photo = greys[:1].clone()
    photo[..., 8:24, 10:30] = 0.9
    heat = (photo[:, 0] - 0.5).clamp_min(0)
    mask = cnnlab.segment_from_saliency(photo, heat, window=3)
    assert torch.equal(
        mask, cnnlab.segment_from_saliency(photo.expand(-1, 3, -1, -1), heat, window=3)
    )
    assert mask.any() and not mask.all()


def test_receptive_fields_of_the_second_network():
    network = load_model("efficientnet_lite0")
    field = cnnlab.receptive_field(network, "block3")
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = cnnlab.activations_of(network, image, "block3")["block3"]
    gradient = torch.autograd.grad(seen[0, :, 5, 6].sum(), image)[0][0].abs().sum(0)
    rows, columns = (gradient.sum(axis).nonzero()[:, 0] for axis in (1, 0))
    top, left, bottom, right = field.box(5, 6, 96)
    assert (field.size, field.stride) == (19, 4)
    assert rows.min() >= top and rows.max() < bottom
    assert columns.min() >= left and columns.max() < right


@pytest.mark.parametrize(
    "make",
    [
        lambda model, photo: cnnlab.dream(model, photo, "fire2", steps=1, octaves=1),
        lambda model, photo: cnnlab.transfer_style(
            model, photo, [photo], preserve_color=True, steps=1, scales=1
        ),
        lambda model, photo: cnnlab.synthesize_texture(model, photo, 64, steps=0, scales=1),
    ],
    ids=["dream", "style", "texture"],
)
def test_the_result_is_not_in_the_graph_of_the_photo(make):
    leaf = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    result = make(load_model(), leaf)
    assert not result.image.requires_grad and leaf.requires_grad and leaf.grad is None


def test_no_step_with_a_cooling_rate_gives_the_start():
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    made = cnnlab.accentuate(load_model(), photo, "zebra", steps=0).image
    assert torch.allclose(made, photo, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": ((60, 48, 1, 0.05),)}, "边长要大于 80"),
        ({"stages": ((90, 48, 2.5, 0.05),)}, "stages 里的步数 是 2.5"),
        ({"stages": ((90, 48, -1, 0.05),)}, "stages 里的步数 是 -1"),
    ],
)
def test_stages_that_leave_no_picture_are_refused(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        cnnlab.coarse_to_fine(load_model(), "zebra", **options)


@pytest.mark.parametrize("position", ["middle", -1, (0,), 1.5])
def test_positions_say_what_can_be_typed(position):
    with pytest.raises((ValueError, TypeError), match=r"position.*center"):
        cnnlab.channel_image(load_model(), "fire2", 3, position, size=40, steps=1)


def test_words_of_the_caller_are_in_the_refusal():
    model, photo = load_model(), torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match="crop 是 2"):
        Ascent(crop=2.0)
    with pytest.raises(ValueError, match="start 是 'x'"):
        cnnlab.invert_features(model, photo, "fire2", start="x")
    with pytest.raises(ValueError, match="fill 是 None"):
        cnnlab.covered_image(photo, 0, 0, window=5, fill=None)
    with pytest.raises(ValueError, match=r"没有通道 \[-1\]"):
        cnnlab.dream(model, photo, "fire2", channels=[-1], steps=1, octaves=1)
    with pytest.raises(ValueError, match=r"没有 fire2.*natural=0"):
        natural = Ascent(natural=1)
        cnnlab.class_image(load_model("efficientnet_lite0"), 3, size=48, settings=natural)
    with pytest.raises(ValueError, match="要一一对应"):
        cnnlab.facet_starts(photo.expand(4, -1, -1, -1), torch.rand(4, 5), torch.tensor([0, 1]))


def test_what_does_not_belong_together_is_refused():
    model, photo = load_model(), torch.rand(2, 3, 64, 64)
    patches = cnnlab.max_activating_patches(model, photo, "fire2", [1, 2], k=1)
    with pytest.raises(ValueError, match=r"没有通道 \[5\]；有的是 \[1, 2\]"):
        patches.rows([2, 5])
    with pytest.raises(ValueError, match="边长是 5，fire2/squeeze1x1 的感受野是 7"):
        cnnlab.predicted_maps(model, photo, "fire2/squeeze1x1", torch.ones(2, 3, 5, 5))
    with pytest.raises(ValueError, match="channels 要相同，一个是 512"):
        cnnlab.load_decoder()(torch.ones(1, 5, 3, 3))
    with pytest.raises(ValueError, match="查询有 3 个，库只有 2 个"):
        cnnlab.found_again(torch.eye(3), torch.eye(3)[:2])
