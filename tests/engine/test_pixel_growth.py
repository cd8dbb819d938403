"""逐像素生长：与逐窗口、逐点的循环逐像素相同；灰度与彩色；照抄的区域。"""

import numpy as np
import pytest
import torch

from cnnlab.chapters.texture import efros_leung
from cnnlab.engine.pixel_growth import Canvas, copied_regions, gaussian, nth_true


def grow_by_loop(sample, size, window, seed):
    """同一规则，一个像素接一个像素、一个窗口接一个窗口、一个点接一个点地算。"""
    canvas = Canvas(sample, size, window, seed)
    radius, weights = window // 2, gaussian(window).astype(int).tolist()
    levels = np.rint(np.clip(sample, 0, 1).astype(np.float64) * 4095).astype(int)
    values = np.zeros((*canvas.filled.shape, len(levels)), int)
    seeded = canvas.filled
    values[seeded] = levels[:, canvas.sources[seeded][:, 0], canvas.sources[seeded][:, 1]].T
    height, width = sample.shape[1:]
    while not canvas.full:
        for row, column in zip(*canvas.front(), strict=True):
            known = [
                (i, j)
                for i in range(window)
                for j in range(window)
                if canvas.filled[row - radius + i, column - radius + j]
            ]
            distances = []
            for top in range(height - window + 1):
                for left in range(width - window + 1):
                    total = 0
                    for i, j in known:
                        for channel in range(len(levels)):
                            gap = (
                                levels[channel, top + i, left + j]
                                - values[row - radius + i, column - radius + j, channel]
                            )
                            total += weights[i][j] * int(gap) ** 2
                    distances.append(total)
            index = nth_true(
                10 * np.array(distances) <= 11 * min(distances), canvas.chance[row, column]
            )
            source = index // (width - window + 1) + radius, index % (width - window + 1) + radius
            canvas.sources[row, column], values[row, column], canvas.filled[row, column] = (
                source,
                levels[:, source[0], source[1]],
                True,
            )
    return canvas.sources[radius:-radius, radius:-radius]


@pytest.mark.parametrize("grey", [True, False])
def test_growth_equals_the_plain_loop_pixel_by_pixel(grey):
    sample = torch.rand(1, 3, 10, 9, generator=torch.Generator().manual_seed(0))
    sample = sample.mean(1, keepdim=True).expand(1, 3, 10, 9).contiguous() if grey else sample
    picture, sources = efros_leung(sample, (12, 11), 5, seed=3, return_sources=True)
    by_loop = grow_by_loop(sample[0].numpy(), (12, 11), 5, 3)
    assert np.array_equal(sources.numpy(), by_loop)
    assert torch.equal(picture, sample[:, :, by_loop[..., 0], by_loop[..., 1]])


def test_stripes_of_period_two_go_on_exactly():
    sample = torch.zeros(1, 3, 12, 12)
    sample[..., ::2] = 1
    picture = efros_leung(sample, 20, 5)
    assert torch.equal(picture[..., 2:], picture[..., :-2]) and torch.equal(
        picture[..., 1:], 1 - picture[..., :-1]
    )


def test_same_seed_same_picture_and_the_global_generator_is_untouched():
    sample = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, other = (efros_leung(sample, 14, 5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state()) and np.array_equal(
        numpy_before, np.random.get_state()[1]
    )


def test_each_ring_reports_the_picture_so_far():
    sample = torch.rand(1, 3, 10, 9, generator=torch.Generator().manual_seed(0))
    seen = []
    whole, sources = efros_leung(sample, (12, 11), 5, return_sources=True, on_step=seen.append)
    assert torch.equal(whole, efros_leung(sample, (12, 11), 5))
    assert [step.index for step in seen] == list(range(len(seen))) and len(seen) >= 5
    empty = [step.loss for step in seen]
    assert empty == sorted(empty, reverse=True) and empty[0] > 0.5 and empty[-1] == 0
    assert torch.equal(seen[-1].image, whole) and (sources >= 0).all()
    # 长过的不再改动，空着的是白的
    for step in seen:
        grown = (step.image == whole).all(1)
        assert (step.image.amin(1)[~grown] == 1).all()
        assert float(1 - grown.float().mean()) == pytest.approx(step.loss, abs=1e-6)


def test_an_interrupt_keeps_what_has_grown():
    sample = torch.rand(1, 3, 10, 9, generator=torch.Generator().manual_seed(0))

    def stop(step):
        if step.index == 2:
            raise KeyboardInterrupt

    whole = efros_leung(sample, 13, 5)
    part, sources = efros_leung(sample, 13, 5, return_sources=True, on_step=stop)
    grown = (sources >= 0).all(-1)
    assert 9 < int(grown.sum()) < 13 * 13
    assert torch.equal(part[..., grown], whole[..., grown]) and (part[..., ~grown] == 1).all()
    assert (sources[~grown] == -1).all()


def test_copied_regions_by_hand():
    sources = np.stack(np.mgrid[:4, :5], -1)
    assert copied_regions(sources).tolist() == [20]
    sources[:, 3:] += 7
    assert copied_regions(sources).tolist() == [12, 8]
    sources[0, 0] = (50, 50)
    assert copied_regions(sources).tolist() == [11, 8, 1]


def test_bad_input_is_explained():
    sample = torch.rand(1, 3, 12, 12)
    with pytest.raises(ValueError, match="奇数"):
        efros_leung(sample, 20, 4)
    with pytest.raises(ValueError, match="装不下"):
        efros_leung(sample, 20, 13)
    with pytest.raises(ValueError, match="应为一张"):
        efros_leung(torch.rand(2, 3, 12, 12), 20, 5)
