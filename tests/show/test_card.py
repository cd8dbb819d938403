"""神经元的名片：三行真的按激活排，数写得对，错的参数不收。"""

import pytest
import torch
from matplotlib import pyplot as plt

from cnnlab.core.hooks import activations_of
from cnnlab.show.card import neuron_card


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_rows_are_the_strongest_the_middle_and_the_weakest_images(tiny_cnn, assert_no_hooks):
    images = torch.rand(12, 3, 16, 16) * torch.linspace(0.2, 1, 12).view(-1, 1, 1, 1)
    panels = neuron_card(tiny_cnn, "conv2", 3, images, k=3)
    best = (
        activations_of(tiny_cnn, images, "conv2")["conv2"][:, 3]
        .amax((1, 2))
        .sort(descending=True)
        .values
    )
    expected = [f"{value:.3g}" for rank in (0, 4, 9) for value in best[rank : rank + 3].tolist()]
    assert [panel.get_title() for panel in panels] == expected
    assert_no_hooks(tiny_cnn)


def test_identity_and_histogram(tiny_cnn):
    images = torch.rand(8, 3, 16, 16)
    figure = neuron_card(tiny_cnn, "conv2", 0, images, k=4).figure
    assert "conv2 第 0 通道" in figure.get_suptitle() and "8 张图" in figure.get_suptitle()
    assert sum(bar.get_height() for bar in figure.axes[-1].patches) == 8


def test_bad_arguments(tiny_cnn):
    with pytest.raises(ValueError, match="只有 2 张"):
        neuron_card(tiny_cnn, "conv2", 0, torch.rand(2, 3, 16, 16), k=3)
    with pytest.raises(TypeError, match="channel"):
        neuron_card(tiny_cnn, "conv2", [0, 1], torch.rand(4, 3, 16, 16), k=3)
