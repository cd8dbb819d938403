"""代码画的风格与纹理：同一 seed 同一幅、任意尺寸、有色彩、有多种尺度的笔触。"""

import numpy as np
import pytest
import torch

from cnnlab.pictures import photos as datasets
from cnnlab.pictures.brushes import (
    Dabs,
    canvas,
    colours,
    gradient,
    line_integral,
    noise,
    shrink,
    smoothstep,
)

EVERY = [(datasets.style_image, name) for name in datasets.style_names()]
EVERY += [(datasets.texture_image, name) for name in datasets.texture_names()]
NAMES = [name for _, name in EVERY]


def test_there_are_six_or_more_of_each():
    assert len(datasets.style_names()) >= 6 and len(datasets.texture_names()) >= 6
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("draw", "name"), EVERY, ids=NAMES)
def test_seed_decides_the_picture(draw, name):
    state = np.random.get_state()[1].copy()
    first = draw(name, 64, seed=3)
    assert torch.equal(first, draw(name, 64, seed=3))
    assert (first - draw(name, 64, seed=4)).abs().mean() > 0.02
    assert np.array_equal(state, np.random.get_state()[1])


@pytest.mark.parametrize(("draw", "name"), EVERY, ids=NAMES)
def test_odd_and_non_square_sizes(draw, name):
    for height, width in ((61, 97), (90, 33)):
        image = draw(name, (height, width))
        assert image.shape == (1, 3, height, width) and image.dtype == torch.float32
        assert image.is_contiguous()
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize(("draw", "name"), EVERY, ids=NAMES)
def test_rich_in_colour_and_without_big_flat_areas(draw, name):
    image = draw(name, 128)
    chroma = image.amax(1) - image.amin(1)
    assert chroma.mean() > 0.08
    assert image.std() > 0.1
    blocks = image.mean(1).unfold(1, 16, 16).unfold(2, 16, 16).flatten(3).std(-1)  # (1, 8, 8)
    assert (blocks > 0.01).float().mean() > 0.95


@pytest.mark.parametrize(("draw", "name"), EVERY, ids=NAMES)
def test_the_same_composition_at_twice_the_size(draw, name):
    small, large = draw(name, 72), torch.nn.functional.avg_pool2d(draw(name, 144), 2)
    coarse = [torch.nn.functional.avg_pool2d(image, 6).flatten() for image in (small, large)]
    assert torch.corrcoef(torch.stack(coarse))[0, 1] > 0.9


@pytest.mark.parametrize("name", datasets.texture_names())
def test_textures_look_alike_in_both_halves(name):
    image = datasets.texture_image(name, (96, 192))
    left, right = image[..., :96], image[..., 96:]
    assert (left.mean((2, 3)) - right.mean((2, 3))).abs().max() < 0.12


def test_unknown_names_and_sizes():
    with pytest.raises(ValueError, match=r"没有名为 'wave' 的风格；可用的有：waves"):
        datasets.style_image("wave")
    with pytest.raises(ValueError, match=r"没有名为 'pebble' 的纹理；可用的有：pebbles"):
        datasets.texture_image("pebble")
    for size in (4, (64, 2), 64.5):
        with pytest.raises((ValueError, TypeError), match="size"):
            datasets.style_image("waves", size)


def test_canvas_has_unit_short_side_and_shrink_averages():
    x, y, factor = canvas(10, 20)
    assert x.shape == (10 * factor, 20 * factor)
    assert np.isclose(x.mean(), 1) and np.isclose(y.mean(), 0.5)
    picture = np.arange(4 * 4 * 3, dtype=np.float32).reshape(4, 4, 3)
    assert np.allclose(shrink(picture, 2)[0, 0], picture[:2, :2].mean((0, 1)))


def test_gradient_passes_through_its_stops():
    stops = colours("000000 ff0000 ffffff")
    assert np.allclose(gradient(np.array([0, 0.25, 0.5, 1, 2]), stops)[:, 0], [0, 0.5, 1, 1, 1])
    assert np.allclose(smoothstep(0, 2, np.array([-1, 0, 1, 2, 3])), [0, 0, 0.5, 1, 1])


def test_noise_vanishes_on_the_lattice_and_is_continuous():
    x = np.linspace(0, 20, 4001, dtype=np.float32)
    values = noise(x, 0 * x + 0.5, np.random.default_rng(0))
    assert np.abs(np.diff(values)).max() < 0.03 and values.std() > 0.1
    lattice = np.arange(9, dtype=np.float32)
    assert np.abs(noise(lattice, lattice[::-1], np.random.default_rng(0))).max() < 1e-6


def test_line_integral_smooths_along_the_flow_only():
    picture = np.random.default_rng(0).random((40, 60, 1)).astype(np.float32)
    ones, zeros = np.ones((40, 60), np.float32), np.zeros((40, 60), np.float32)
    result = line_integral(picture, ones, zeros, 8)
    assert np.abs(np.diff(result, axis=1)).mean() < 0.4 * np.abs(np.diff(result, axis=0)).mean()
    stripes = np.repeat(np.arange(40, dtype=np.float32)[:, None, None], 60, 1)
    assert np.allclose(line_integral(stripes, ones, zeros, 8), stripes, atol=1e-3)


def test_dabs_place_each_pixel_inside_its_stroke():
    x, y, _ = canvas(40, 40)
    dabs = Dabs(
        x,
        y,
        np.random.default_rng(0),
        cell=0.1,
        direction=lambda a, b: 0 * a,
        length=1.0,
        width=0.5,
    )
    along = (x - dabs.x[dabs.stroke]) / 0.1
    across = (y - dabs.y[dabs.stroke]) / 0.05
    assert dabs.hit.mean() > 0.7
    assert np.allclose(along[dabs.hit], dabs.along[dabs.hit], atol=1e-3)
    assert np.allclose(across[dabs.hit], dabs.across[dabs.hit], atol=1e-3)
    assert ((along**2 + across**2)[dabs.hit] < 1.001).all()
