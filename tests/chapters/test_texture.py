"""纹理：Gram 矩阵的性质、带位移的 Gram、合成让损失下降、层的权重、坏输入。"""

import pytest
import torch
from torch import nn

from cnnlab.chapters.texture import (
    gram_matrix,
    moved_rounds,
    noise_like,
    shifted_gram,
    shifted_terms,
    synthesize_texture,
    texture_layers,
    texture_terms,
)
from cnnlab.engine.descent import Descent, several_scales
from cnnlab.engine.objectives import objective
from cnnlab.engine.results import reproduce


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


@pytest.fixture
def sample():
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(1))


def test_gram_equals_a_double_loop_ignores_positions_and_is_positive_semidefinite():
    features = torch.randn(
        2, 4, 5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    gram = gram_matrix(features)
    for n in range(2):
        for i in range(4):
            for j in range(4):
                assert torch.isclose(gram[n, i, j], (features[n, i] * features[n, j]).sum() / 60)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(3))
    shuffled = features.flatten(2)[..., order].view_as(features)
    assert torch.allclose(gram_matrix(shuffled), gram, rtol=1e-12)
    assert torch.linalg.eigvalsh(gram).min() > -1e-12
    assert torch.allclose(gram_matrix(features, "hw"), 4 * gram) and torch.allclose(
        gram_matrix(features, "none"), 60 * gram
    )


def test_shifted_gram_by_hand_zero_shift_and_no_wrapping():
    row = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0]]).view(1, 2, 1, 3)
    assert torch.equal(shifted_gram(row, (0, 1))[0], torch.tensor([[10.0, 19.0], [26.0, 50.0]]) / 4)
    assert torch.allclose(shifted_gram(row, (0, 0)), gram_matrix(row))
    assert torch.equal(shifted_gram(row, (0, -1)), shifted_gram(row, (0, 1)).transpose(1, 2))
    with pytest.raises(ValueError, match="位移"):
        shifted_gram(row, (1, 0))


def test_shifted_gram_sees_the_period_of_a_chessboard():
    board = (torch.arange(8)[:, None] // 2 + torch.arange(8) // 2) % 2 * 2.0 - 1
    values = [shifted_gram(board[None, None], (0, step)).item() for step in range(5)]
    assert values == [1, 0, -1, 0, 1] or (values[0] == values[4] == 1 and values[2] == -1)


def test_terms_vanish_at_the_sample_and_are_linear_in_the_weights(network, sample):
    layers = ["image", "1", "4"]
    at_sample = objective(
        network,
        texture_terms(network, [sample], layers) + shifted_terms(network, sample, ["1"], [(0, 3)]),
    )
    assert at_sample(sample) < 1e-9
    other = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(4))
    once = objective(network, texture_terms(network, [sample], layers))(other)
    thrice = objective(network, texture_terms(network, [sample], layers, layer_weights=[3, 3, 3]))(
        other
    )
    assert once > 1e-3 and torch.isclose(thrice, 3 * once)


@pytest.mark.parametrize("parameterization", ["fourier", "pixel"])
def test_synthesis_comes_close_to_the_sample_and_touches_nothing(network, parameterization):
    sample = torch.rand(1, 3, 66, 80, generator=torch.Generator().manual_seed(1))
    before = sample.clone()
    result = synthesize_texture(
        network,
        sample,
        (64, 70),
        layers=["image", "1", "4"],
        steps=30,
        scales=2,
        settings=Descent(parameterization=parameterization),
    )
    assert (
        result.image.shape == (1, 3, 64, 70) and 0 <= result.image.min() and result.image.max() <= 1
    )
    assert len(result.history["loss"]) == 60
    assert result.history["loss"][-1] < 0.05 * result.history["loss"][30]
    parts = [entries for name, entries in result.history.items() if name != "loss"]
    assert result.history["loss"] == pytest.approx([sum(each) for each in zip(*parts, strict=True)])
    assert torch.equal(sample, before) and not any(
        parameter.requires_grad for parameter in network.parameters()
    )


def test_rounds_share_the_steps_and_move_the_picture(network):
    plan = moved_rounds(10, 4, seed=0)
    assert sum(count for count, _ in plan) == 10 and max(count for count, _ in plan) == 3
    assert plan[0][1] == (0, 0) and len({move for _, move in plan}) > 1
    assert plan == moved_rounds(10, 4, seed=0) and plan != moved_rounds(10, 4, seed=1)
    assert moved_rounds(7, 1, seed=0) == [(7, (0, 0))] and moved_rounds(0, 4, seed=0) == [
        (0, (0, 0))
    ]
    with pytest.raises(ValueError, match="rounds"):
        synthesize_texture(network, torch.rand(1, 3, 40, 40), 40, ["1"], rounds=0)


def test_scales_too_small_to_see_are_left_out():
    assert several_scales(3, (128, 200)) == [4, 2, 1] and several_scales(3, (100, 100)) == [2, 1]
    assert several_scales(2, (20, 20)) == [1]


def test_same_seed_same_texture_and_reproduce():
    from cnnlab.networks.models import load_model

    model, sample = (
        load_model(),
        torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(5)),
    )
    first, second, other = (
        synthesize_texture(model, sample, 40, ["relu1"], steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first.image, second.image) and not torch.equal(first.image, other.image)
    assert torch.equal(reproduce(first).image, first.image)
    assert texture_layers(model)[:2] == ["image", "relu1"]


def test_noise_has_the_colour_of_the_sample(sample):
    noise = noise_like(sample * torch.tensor([1.0, 0.4, 0.6]).view(1, 3, 1, 1), (50, 60), 0)
    assert torch.allclose(noise.mean((0, 2, 3)), torch.tensor([0.5, 0.2, 0.3]), atol=0.03)


def test_bad_input_is_explained(network, sample):
    with pytest.raises(ValueError, match="纹理层"):
        synthesize_texture(network, sample, 32)
    with pytest.raises(ValueError, match="layer_weights"):
        synthesize_texture(network, sample, 32, ["1"], layer_weights=[-1])
    with pytest.raises(ValueError, match="parameterization"):
        Descent(parameterization="wavelet")
