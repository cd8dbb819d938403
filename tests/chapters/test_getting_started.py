"""开始之前：有限差分、数卷积核、相关、Sobel、认回照片。"""

import pytest
import torch
from torch import nn

from cnnlab import load_model
from cnnlab.chapters.getting_started import (
    altered_photos,
    best_correlations,
    count_kernels,
    finite_difference,
    layer_probe,
    map_correlations,
)
from cnnlab.core.measures import sobel


def cubic(image):
    return (image**3).sum()


@pytest.fixture
def image():
    return torch.rand(1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_finite_difference_of_a_quadratic_is_exact(image):
    assert finite_difference(
        lambda x: (x**2).sum(), image, (0, 1, 2, 3), step=0.5
    ) == pytest.approx(2 * float(image[0, 1, 2, 3]))


def test_error_falls_with_the_square_of_the_step(image):
    exact = 3 * float(image[0, 2, 1, 4]) ** 2
    errors = [
        finite_difference(cubic, image, (0, 2, 1, 4), step=step) - exact for step in (1e-1, 1e-2)
    ]
    assert errors[0] == pytest.approx(1e-2, rel=1e-6)  # 三次函数的误差恰是步长的平方
    assert errors[0] / errors[1] == pytest.approx(100, rel=1e-4)


def test_agrees_with_autograd_on_a_network(tiny_cnn, photo):
    network, image = tiny_cnn.double(), photo.double().requires_grad_()
    gradient = torch.autograd.grad(network(image)[0, 2], image)[0]
    for position in [(0, 0, 3, 4), (0, 1, 30, 31), (0, 2, 16, 0)]:
        measured = finite_difference(lambda x: network(x)[0, 2], image, position, step=1e-6)
        assert measured == pytest.approx(float(gradient[position]), rel=1e-4, abs=1e-8)
    assert image.grad is None and image.requires_grad


def test_finite_difference_leaves_the_image_alone_and_explains_bad_input(image):
    before = image.clone()
    finite_difference(cubic, image, (0, 0, 0, 0))
    assert torch.equal(image, before)
    with pytest.raises(ValueError, match="大于 0"):
        finite_difference(cubic, image, (0, 0, 0, 0), step=0)
    with pytest.raises(ValueError, match="4 个下标"):
        finite_difference(cubic, image, (0, 0, 0))


def test_kernels_of_the_default_network():
    kernels = count_kernels(load_model(weights=None))
    assert len(kernels) == 26 and sum(layer.count for layer in kernels) == 3944
    assert kernels[0] == ("conv1", 64, (3, 3, 3)) and kernels[-1] == ("conv10", 1000, (512, 1, 1))


def test_kernels_of_a_plain_module_and_of_groups():
    network = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Sequential(nn.Conv2d(6, 2, (1, 5)))
    )
    assert count_kernels(network) == [("0", 6, (2, 3, 3)), ("2.0", 2, (6, 1, 5))]


def test_map_correlations_by_hand():
    base = torch.randn(2, 1, 6, 6)
    other = torch.randn(2, 1, 6, 6)
    activation = torch.cat([base, 3 * base + 1, -base, torch.zeros_like(base), other], 1)
    found = map_correlations(activation)
    expected = torch.tensor([1.0, 1.0, -1.0, 0.0])
    assert torch.allclose(found[0, :4], expected, atol=1e-5)
    assert float(found[0, 4]) == pytest.approx(
        float(torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]), abs=1e-5
    )
    assert torch.allclose(found, found.T)


def test_sobel_measures_the_slope():
    ramp = torch.arange(8.0).expand(1, 3, 6, 8) / 8
    horizontal, vertical = sobel(ramp)[0]
    assert torch.allclose(horizontal[:, 1:-1], torch.tensor(1 / 8)) and torch.allclose(
        vertical, torch.zeros(6, 8), atol=1e-6
    )
    assert torch.allclose(sobel(ramp.transpose(2, 3))[0, 1], horizontal.T)
    assert sobel(torch.full((2, 3, 5, 5), 0.3)).abs().max() < 1e-6


def test_best_correlations_finds_the_copy():
    reference = torch.randn(3, 2, 8, 8)
    small = nn.functional.avg_pool2d(reference, 2)
    activation = torch.cat([torch.randn(3, 1, 4, 4), -2 * small[:, 1:]], 1)
    found = best_correlations(activation, reference)
    assert found.shape == (2,) and float(found[1]) == pytest.approx(1, abs=1e-5) and found[0] < 0.6


def test_altered_photos():
    image = torch.rand(2, 3, 5, 7)
    moved = 61 % 7  # 循环移动：宽 7 的图移 61 个像素
    assert torch.equal(altered_photos(image)[..., moved:], image[..., :-moved] / 2)
    assert torch.equal(altered_photos(image)[..., :moved], image[..., -moved:] / 2)


def test_layer_probe_with_known_answers():
    """conv 之后按图平均：平移无妨，变暗则乱；除以自己的亮度之后就都认得。"""

    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.colour, self.ratio = nn.Identity(), nn.Identity()

        def forward(self, image):
            colour = self.colour(image)
            return self.ratio(colour / colour.mean((1, 2, 3), keepdim=True)).mean((2, 3))

    colours = torch.tensor([[0.2, 0.1, 0.1], [0.1, 0.05, 0.06], [0.4, 0.2, 0.21], [0.8, 0.5, 0.4]])
    gallery = colours[:, :, None, None].expand(-1, -1, 6, 6)
    found = layer_probe(Normalised(), altered_photos(gallery), gallery, ["colour", "ratio"])
    assert found["ratio"] == 1 and found["colour"] < 1
    with pytest.raises(ValueError, match="对不上"):
        layer_probe(Normalised(), gallery[:2], gallery, ["colour"])
