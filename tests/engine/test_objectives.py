"""objectives：只算到最深的一层；账本相加就是损失；份额相加是一；用过之后什么也不留。"""

import numpy as np
import pytest
import torch
from torch import nn

from cnnlab.core.checks import is_chinese
from cnnlab.engine.objectives import objective
from cnnlab.engine.priors import blur, l2, total_variation
from cnnlab.engine.terms import (
    channel,
    class_score,
    feature_distance,
    gram_distance,
    gram_matrix,
    half_squared_norm,
    image_prior,
    similarity,
)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, value):
        self.calls += 1
        return value


@pytest.fixture
def counted(tiny_cnn):
    tiny_cnn.add_module("counter", Counting())
    return tiny_cnn


def test_forward_stops_at_the_deepest_layer_needed(counted, photo, assert_no_hooks):
    loss = objective(counted, [-channel("conv1", 0), half_squared_norm("relu2")])
    assert loss.layers == ["conv1", "relu2"]
    loss(photo)
    assert counted.counter.calls == 0
    objective(counted, -class_score(1))(photo)
    assert counted.counter.calls == 1
    assert_no_hooks(counted)


def test_one_forward_per_evaluation_whatever_the_number_of_terms(tiny_cnn, photo):
    tiny_cnn.conv1 = nn.Sequential(Counting(), tiny_cnn.conv1)
    objective(
        tiny_cnn,
        [-class_score(0), -class_score(1), channel("conv2", 1), half_squared_norm("relu1")],
    )(photo)
    assert tiny_cnn.conv1[0].calls == 1


def test_ledger_adds_up_to_the_loss_and_names_repeated_terms(tiny_cnn, photo):
    loss = objective(
        tiny_cnn,
        [
            -channel("conv1", 0),
            2 * image_prior(l2),
            image_prior(l2),
            image_prior(total_variation, 3.0),
        ],
    )
    totals = [float(loss(photo)), float(loss(1 - photo))]
    assert list(loss.ledger) == ["channel conv1:0", "l2 #1", "l2 #2", "total_variation"]
    for index, total in enumerate(totals):
        assert abs(sum(entries[index] for entries in loss.ledger.values()) - total) < 1e-6
    assert loss.losses == pytest.approx(totals, abs=1e-6)
    assert loss.ledger["l2 #1"][0] == pytest.approx(2 * float(l2(photo)))


def test_transform_reaches_the_network_and_not_the_priors(tiny_cnn, photo):
    loss = objective(
        tiny_cnn, [channel("conv1", 0), image_prior(l2)], transform=lambda image: 0 * image
    )
    loss(photo)
    assert loss.ledger["l2"][0] == pytest.approx(float(l2(photo)))
    assert loss.ledger["channel conv1:0"][0] == pytest.approx(
        float(tiny_cnn.conv1(0 * photo)[:, 0].mean()), abs=1e-6
    )


def test_rectified_head_is_read_before_its_relu(photo):
    class Head(nn.Module):
        class_map = "conv"

        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 2, 1), nn.ReLU()
            nn.init.constant_(self.conv.weight, -1.0)

        def forward(self, image):
            return self.relu(self.conv(image)).mean((2, 3))

    model, image = Head().requires_grad_(False), photo.requires_grad_()
    assert float(model(image).abs().max()) == 0
    loss = objective(model, -class_score(0))
    (gradient,) = torch.autograd.grad(loss(image), image)
    assert float(gradient.abs().min()) > 0


def test_model_is_left_as_it_was_also_after_an_error(tiny_cnn, photo, assert_no_hooks):
    tiny_cnn.train()
    with pytest.raises(ValueError, match="conv9"):
        objective(tiny_cnn, channel("conv9", 0))(photo)
    with pytest.raises(ValueError, match="没有通道"):
        objective(tiny_cnn, channel("conv1", 99))(photo)
    assert tiny_cnn.training
    assert_no_hooks(tiny_cnn)


def test_wrong_terms_are_refused(tiny_cnn):
    with pytest.raises(ValueError, match="至少"):
        objective(tiny_cnn, [])
    with pytest.raises(TypeError, match="image_prior"):
        objective(tiny_cnn, [l2])


def refusal(call) -> Exception:
    """调用时抛出的错。"""
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    return caught.value


TWO = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: class_score(3) + class_score(4),
        lambda: sum([class_score(3), class_score(4)]),
        lambda: class_score(3) - image_prior(l2),
        lambda: class_score(3) / 2,
        lambda: class_score(3) * "a",
        lambda: class_score(3) * float("nan"),
        lambda: class_score(3) * class_score(4),
        lambda: np.ones(2) * class_score(3),
        lambda: channel("conv1", 1.0),
        lambda: channel("conv1", "3"),
        lambda: channel("conv1", None),
        lambda: channel("conv1", 3, "middle"),
        lambda: channel("conv1", 3, (1,)),
        lambda: channel("conv1", 3, (0.5, 0)),
        lambda: objective(None, image_prior(lambda image: None))(TWO),
        lambda: objective(None, image_prior(lambda image: 1.0))(TWO),
        lambda: objective(None, image_prior(lambda image: image.mean((1, 2, 3))))(TWO),
        lambda: objective(None, image_prior(l2), transform=[blur]),
        lambda: gram_distance(torch.rand(1, 8, 5), "conv1"),
    ],
)
def test_terms_are_scaled_and_listed_and_anything_else_is_told(wrong):
    assert is_chinese(refusal(wrong))


@pytest.mark.parametrize(
    "term",
    [
        half_squared_norm("conv1", [9999]),
        half_squared_norm("conv1", -1),
        feature_distance(torch.cat([TWO, TWO[:1]]), "conv1"),
        gram_distance(gram_matrix(torch.cat([TWO, TWO[:1]])), "conv1"),
        similarity("conv1", views=3),
        similarity("fc"),
        gram_distance(torch.rand(1, 5, 5), "fc"),
    ],
    ids=lambda term: term.name,
)
def test_a_term_that_does_not_fit_the_batch_or_the_layer_is_told(tiny_cnn, photo, term):
    assert is_chinese(refusal(lambda: objective(tiny_cnn, term)(torch.cat([photo, photo]))))


def test_numbers_of_numpy_and_torch_are_channels_places_and_weights(tiny_cnn, photo):
    plain = objective(tiny_cnn, 2 * channel("conv1", 3, (1, 1)))(photo)
    for three, place, two in (
        (np.int64(3), np.array([1, 1]), np.float32(2)),
        (torch.tensor(3), torch.tensor([1, 1]), torch.tensor(2.0)),
    ):
        term = two * channel("conv1", three, place)
        assert term.name == "channel conv1:3@(1, 1)" and isinstance(term.weight, float)
        assert torch.equal(objective(tiny_cnn, term)(photo), plain)
