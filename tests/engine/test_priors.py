"""priors：手算的全变差、保持均值的模糊、变换的范围、投影恰好改动该改的像素。"""

import math

import pytest
import torch

from cnnlab.engine import priors


def loop_total_variation(image, power):
    """逐像素的双重循环：没有右邻或下邻时那个差当作 0。"""
    total, (count, channels, height, width) = 0.0, image.shape
    for n in range(count):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    across = (
                        float(image[n, c, i, j + 1] - image[n, c, i, j]) if j + 1 < width else 0.0
                    )
                    down = (
                        float(image[n, c, i + 1, j] - image[n, c, i, j]) if i + 1 < height else 0.0
                    )
                    total += (across**2 + down**2) ** (power / 2)
    return total / (channels * height * width)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 3.0])
def test_total_variation_equals_the_loop_borders_included(power):
    image = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert math.isclose(
        float(priors.total_variation(image, power=power)),
        loop_total_variation(image, power),
        rel_tol=2e-3,
    )
    assert abs(float(priors.total_variation(torch.full((1, 3, 4, 4), 0.3), power=power))) < 1e-9


def test_total_variation_by_hand_and_its_gradient():
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0, 0] = 2.0
    assert float(priors.total_variation(image)) == 8 / 4
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(priors.total_variation, image)
    assert torch.autograd.gradcheck(lambda each: priors.total_variation(each, power=1.0), image)


def test_l2_by_hand():
    assert math.isclose(float(priors.l2(torch.full((2, 3, 4, 4), 0.7))), 2 * 0.04, rel_tol=1e-5)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_blur_keeps_the_mean_and_equals_the_direct_sum(sigma):
    image = torch.rand(1, 3, 9, 14, dtype=torch.float64)
    blurred = priors.blur(image, sigma)
    assert torch.allclose(blurred.mean((2, 3)), image.mean((2, 3)), atol=1e-12)
    radius = math.ceil(4 * sigma)
    kernel = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-radius, radius + 1)]
    fold = lambda i, n: min(i % (2 * n), 2 * n - 1 - i % (2 * n))
    row = sum(
        weight * image[0, 0, fold(2 + k, 9)]
        for k, weight in zip(range(-radius, radius + 1), kernel, strict=True)
    ) / sum(kernel)
    value = sum(
        weight * row[fold(0 + k, 14)]
        for k, weight in zip(range(-radius, radius + 1), kernel, strict=True)
    ) / sum(kernel)
    assert torch.allclose(blurred[0, 0, 2, 0], value, atol=1e-12)
    assert torch.equal(priors.blur(image, 0), image)


def test_gaussian_blur_acts_every_so_many_steps(photo):
    project = priors.gaussian_blur(1.0, every=4)
    changed = [not torch.equal(project(photo, photo, index), photo) for index in range(8)]
    assert changed == [False, False, False, True] * 2


def test_jitter_is_a_roll_within_its_range():
    image = torch.arange(3 * 9 * 11.0).view(1, 3, 9, 11)
    move = priors.jitter(2, generator=torch.Generator().manual_seed(0))
    seen = set()
    for _ in range(200):
        moved = move(image)
        row, column = divmod(int((moved[0, 0] == 0).nonzero()[0] @ torch.tensor([11, 1])), 11)
        seen.add(((row + 4) % 9 - 4, (column + 5) % 11 - 5))
        assert torch.equal(moved.flatten().sort().values, image.flatten())
    assert {abs(value) for pair in seen for value in pair} == {0, 1, 2} and len(seen) == 25


def test_random_scale_changes_the_size_within_its_range():
    scale = priors.random_scale(0.5, 1.5, generator=torch.Generator().manual_seed(0))
    sizes = {tuple(scale(torch.rand(1, 3, 20, 40)).shape[-2:]) for _ in range(100)}
    heights = {height for height, _ in sizes}
    assert min(heights) >= 10 and max(heights) <= 30 and len(heights) > 10
    assert torch.allclose(scale(torch.full((1, 3, 8, 8), 0.3)), torch.tensor(0.3))


def test_rotate_by_a_right_angle_is_rot90(monkeypatch):
    image = torch.rand(1, 3, 8, 8)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator=None: torch.tensor(1.0))
    turned = priors.random_rotate(90.0)(image)
    assert torch.allclose(turned, image.rot90(1, (2, 3)), atol=1e-5) or torch.allclose(
        turned, image.rot90(-1, (2, 3)), atol=1e-5
    )


def test_rotate_keeps_a_circle_round_on_an_oblong_image():
    rows, columns = torch.meshgrid(
        torch.arange(40.0) - 19.5, torch.arange(80.0) - 39.5, indexing="ij"
    )
    disk = torch.exp(-(rows**2 + columns**2) / 50)[None, None].expand(1, 3, -1, -1)
    turned = priors.random_rotate(45.0, generator=torch.Generator().manual_seed(1))(disk)
    assert torch.allclose(turned, disk, atol=0.02)


def test_pad_and_compose_in_order(photo):
    padded = priors.compose(priors.pad(2, value=0.25), lambda image: 2 * image)(photo)
    assert padded.shape[-1] == photo.shape[-1] + 4 and float(padded[0, 0, 0, 0]) == 0.5
    assert torch.equal(padded[..., 2:-2, 2:-2], 2 * photo)


def test_random_transforms_repeat_with_their_generator_and_leave_the_global_state(photo):
    state = torch.get_rng_state()
    first, second = (
        priors.robust_transforms(generator=torch.Generator().manual_seed(4))(photo)
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, photo)


def test_center_bias_crops_near_the_center_and_refuses_a_larger_window():
    image = torch.arange(100.0).view(1, 1, 1, 100).expand(1, 3, 100, 100)
    crop = priors.center_bias(20, spread=0.1, generator=torch.Generator().manual_seed(0))
    lefts = torch.stack([crop(image)[0, 0, 0, 0] for _ in range(200)])
    assert abs(float(lefts.mean()) - 40) < 2 and 5 < float(lefts.std()) < 11
    assert crop(image).shape == (1, 3, 20, 20)
    with pytest.raises(ValueError, match="窗口"):
        crop(torch.rand(1, 3, 10, 30))


def test_center_mask_changes_only_the_gradient(photo):
    image = photo.requires_grad_()
    masked = priors.center_mask(0.2)(image)
    assert torch.allclose(masked, image)
    (gradient,) = torch.autograd.grad(masked.sum(), image)
    assert float(gradient[0, 0, 16, 16]) > 0.98 and float(gradient[0, 0, 0, 0]) < 0.01


def test_clips_reset_exactly_the_smallest_pixels():
    image = torch.full((1, 3, 1, 4), 0.5)
    image[0, :, 0] += torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    clipped = priors.clip_small_norm(50)(image, image, 0)
    assert torch.allclose(clipped[0, 0, 0], torch.tensor([0.5, 0.9, 0.5, 0.8]))
    gradient = torch.ones_like(image) * torch.tensor([10.0, 0.1, 10.0, 1.0])
    clipped = priors.clip_small_contribution(50)(image, gradient, 0)
    assert torch.allclose(clipped[0, 0, 0], torch.tensor([0.6, 0.5, 0.7, 0.5]))
    # 左边的像素三个通道的贡献相消，右边的同号：先加起来，再取绝对值
    image = torch.tensor([[0.9, 0.6], [0.1, 0.6], [0.5, 0.6]]).view(1, 3, 1, 2)
    clipped = priors.clip_small_contribution(50)(image, torch.ones_like(image), 0)
    assert torch.equal(clipped[..., 0], torch.full((1, 3, 1), 0.5))
    assert torch.equal(clipped[..., 1], image[..., 1])
    with pytest.raises(ValueError, match="percentile"):
        priors.clip_small_norm(100)


def test_clamp_wants_the_lower_bound_first():
    with pytest.raises(ValueError, match="次序"):
        priors.clamp(1, 0)


def test_clamp_is_idempotent():
    project = priors.clamp()
    image = project(torch.randn(1, 3, 4, 4), None, 0)
    assert (
        float(image.min()) >= 0
        and float(image.max()) <= 1
        and torch.equal(project(image, None, 1), image)
    )
