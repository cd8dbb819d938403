"""练习共用的两种梯度：自动求导与逐个数的差分，应当一致。"""

import torch

from cnnlab.check.fixtures import TinyNet, classified
from cnnlab.check.gradients import (
    central_differences,
    class_probabilities,
    gradient_of,
    pixel_differences,
    pixel_gradient,
)


def test_differences_agree_with_autograd():
    image, target, model = classified([1, 3], (4, 5), 1, TinyNet(seed=2))
    assert torch.allclose(
        pixel_gradient(image, target, model), pixel_differences(image, target, model), atol=1e-7
    )

    def energy(moved):
        return model(moved).square().sum()

    found = central_differences(energy, image)
    assert not found.requires_grad and image.grad is None
    assert torch.allclose(found, gradient_of(energy, image), atol=1e-6)


def test_probabilities_are_of_the_asked_class():
    image, target, model = classified([1, 3], (4, 5), 1)
    wanted = model(image).softmax(1)[[0, 1], target]
    assert torch.equal(class_probabilities(model, image, target), wanted)
