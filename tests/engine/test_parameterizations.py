"""parameterizations：起点的统计、往返、谱的衰减、参数只有图像自己。"""

import pytest
import torch

from cnnlab.engine.parameterizations import (
    COLOR_MATRIX,
    CodeImage,
    FourierImage,
    PixelImage,
    start_image,
)


def radial_power(image):
    """低频（半径 ≤ 1/16）与高频（半径 ≥ 1/4）的平均功率之比。"""
    power = torch.fft.fft2(image - image.mean((2, 3), keepdim=True)).abs().square().mean((0, 1))
    rows, columns = (
        torch.fft.fftfreq(image.shape[-2])[:, None],
        torch.fft.fftfreq(image.shape[-1])[None],
    )
    radius = (rows.square() + columns.square()).sqrt()
    return float(power[(radius > 0) & (radius <= 1 / 16)].mean() / power[radius >= 1 / 4].mean())


def test_starts_have_the_stated_statistics():
    assert torch.equal(start_image("grey", (3, 5)), torch.full((1, 3, 3, 5), 0.5))
    assert start_image("zero", 4, n=2).abs().max() == 0
    noise = start_image("noise", 64, sd=0.05)
    assert abs(float(noise.mean()) - 0.5) < 0.005 and abs(float(noise.std()) - 0.05) < 0.003
    assert torch.equal(noise, start_image("noise", 64, sd=0.05)) and not torch.equal(
        noise, start_image("noise", 64, sd=0.05, seed=1)
    )


def test_pink_noise_has_power_at_low_frequencies_and_white_has_not():
    white, pink = start_image("noise", 64, n=4), start_image("pink", 64, n=4)
    assert 0.7 < radial_power(white) < 1.4
    assert radial_power(pink) > 20
    assert abs(float(pink.std()) - 0.1) < 0.01


@pytest.mark.parametrize(("start", "size"), [("rainbow", 8), ("grey", 0)])
def test_bad_starts_are_refused(start, size):
    with pytest.raises(ValueError, match=r"start|size"):
        start_image(start, size)


def test_pixel_image_is_a_copy(photo):
    image = PixelImage(photo)
    assert torch.equal(image(), photo)
    image.pixels.data.zero_()
    assert photo.abs().sum() > 0
    with pytest.raises(ValueError, match=r"image\[None\]"):
        PixelImage(photo[0])


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 17, 24), (1, 3, 24, 17)])
def test_fourier_image_starts_from_any_image(shape):
    picture = 0.05 + 0.9 * torch.rand(shape, generator=torch.Generator().manual_seed(3))
    image = FourierImage(image=picture)
    assert torch.allclose(image(), picture, atol=1e-5)
    assert len(list(image.parameters())) == 1


def test_fourier_image_is_deterministic_bounded_and_falls_off():
    image = FourierImage(64, n=2, seed=5, sd=0.1)().detach()
    assert image.shape == (2, 3, 64, 64) and float(image.min()) > 0 and float(image.max()) < 1
    assert torch.equal(image, FourierImage(64, n=2, seed=5, sd=0.1)())
    assert radial_power(image) > 20
    assert radial_power(FourierImage(64, n=2, sd=0.1, decay=0)().detach()) < 3


def test_same_size_of_step_in_the_spectrum_moves_low_frequencies_further():
    image = FourierImage(32, sd=0.0)
    changes = []
    for frequency in (1, 12):
        with torch.no_grad():
            image.spectrum.zero_()[0, 0, frequency, 0, 0] = 1.0
        changes.append(float((image() - 0.5).detach().norm()))
    assert 8 < changes[0] / changes[1] < 16


def test_a_start_of_one_pixel_is_a_number_and_a_picture_to_255_is_refused(photo):
    assert torch.equal(start_image("pink", 1), torch.full((1, 3, 1, 1), 0.5))
    with pytest.raises(ValueError, match="除以 255"):
        FourierImage(image=photo * 255)


def test_fourier_image_wants_a_size_or_an_image(photo):
    with pytest.raises(ValueError, match="size 或 image"):
        FourierImage()
    with pytest.raises(ValueError, match="size 或 image"):
        FourierImage(8, image=photo)


def test_columns_of_the_color_matrix_are_orthogonal_axes():
    matrix = torch.tensor(COLOR_MATRIX)
    product = matrix.T @ matrix
    assert float((product - product.diag().diag()).abs().max()) < 2e-3
    assert abs(float(matrix.norm(dim=0).max()) - 1) < 2e-3


def test_code_image_has_only_the_code_as_parameter():
    network = torch.nn.Linear(4, 3 * 2 * 2)
    code = torch.ones(1, 4)
    image = CodeImage(lambda each: network(each).view(-1, 3, 2, 2), code)
    assert [name for name, _ in image.named_parameters()] == ["code"]
    assert torch.equal(image(), network(code).view(1, 3, 2, 2))
    assert [name for name, _ in CodeImage(network, code).named_parameters()] == ["code"]
