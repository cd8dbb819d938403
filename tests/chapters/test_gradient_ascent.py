"""梯度上升：得分上升、网络不动、可以重做；量图像的尺子与手算一致。"""

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import cnnlab
from cnnlab import activations_of, load_model, optimize_image, receptive_field, resize, save_image
from cnnlab.chapters.gradient_ascent import (
    accentuate,
    channel_image,
    class_image,
    class_ranks,
    coarse_to_fine,
    photo_as_class,
    score_kept,
    scores_before_relu,
)
from cnnlab.core.measures import frequency_share, halve_and_restore, shuffle_blocks
from cnnlab.engine.ascent import Ascent, natural_statistics, random_crop
from cnnlab.engine.objectives import objective, waking
from cnnlab.engine.optimize import adam
from cnnlab.engine.parameterizations import PhaseImage, start_image
from cnnlab.engine.terms import channel, similarity
from cnnlab.pictures.class_gallery import (
    class_gallery,
    comparison_gallery,
    facet_gallery,
    layer_gallery,
)

QUICK = {"size": 64, "steps": 6}
PLAIN = Ascent(robust=False, parameterization="pixel")


@pytest.fixture(scope="module")
def squeezenet():
    return load_model()


def stripes(period: float, size: int = 64) -> torch.Tensor:
    wave = 0.5 + 0.4 * torch.cos(2 * math.pi * torch.arange(size) / period)
    return wave.expand(1, 3, size, size)


def test_score_rises_and_the_network_stays_as_it_was(squeezenet, assert_no_hooks):
    before = squeezenet.weights_hash()
    result = class_image(squeezenet, "zebra", size=64, steps=16, settings=Ascent(learning_rate=0.1))
    assert result.image.shape == (1, 3, 64, 64) and not result.image.requires_grad
    assert result.image.min() >= 0 and result.image.max() <= 1
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert squeezenet.weights_hash() == before and all(
        p.grad is None for p in squeezenet.parameters()
    )
    assert_no_hooks(squeezenet)


def test_targets_make_a_batch_and_names_match_indices(squeezenet):
    both = class_image(squeezenet, ["zebra", 130], **QUICK, settings=Ascent(robust=False))
    as_tensor = class_image(
        squeezenet, torch.tensor([340, 130]), **QUICK, settings=Ascent(robust=False)
    )
    assert both.image.shape[0] == 2 and torch.equal(both.image, as_tensor.image)
    alone = class_image(squeezenet, 340, settings=PLAIN, **QUICK)
    named = class_image(squeezenet, "zebra", settings=PLAIN, **QUICK)
    assert torch.equal(alone.image, named.image)


def test_same_seed_same_bits_and_another_seed_another_image(squeezenet):
    first, again = (class_image(squeezenet, 340, seed=3, **QUICK).image for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, class_image(squeezenet, 340, seed=4, **QUICK).image)


def test_global_random_state_is_untouched(squeezenet):
    before = torch.get_rng_state()
    class_image(squeezenet, 340, **QUICK)
    assert torch.equal(before, torch.get_rng_state())


def test_saved_picture_can_be_made_again(squeezenet, tmp_path):
    result = channel_image(
        squeezenet, "fire3", [1, 5], size=48, steps=3, seed=2, settings=Ascent(decay=1.5, views=2)
    )
    path = save_image(
        result.__class__(result.image[:1], result.history, result.settings),
        tmp_path / "channel.png",
    )
    assert torch.equal(cnnlab.reproduce(path).image, result.image)


def test_centre_neuron_changes_only_its_receptive_field(squeezenet):
    size = 63
    result = channel_image(
        squeezenet,
        "fire2",
        3,
        "center",
        size=size,
        steps=4,
        settings=replace(PLAIN, start="grey", learning_rate=0.02),
    )
    height, width = activations_of(squeezenet, result.image, "fire2")["fire2"].shape[-2:]
    top, left, bottom, right = receptive_field(squeezenet, "fire2").box(
        height // 2, width // 2, (size, size)
    )
    changed = (result.image - 0.5).abs().sum((0, 1)) > 0
    inside = torch.zeros(size, size, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    assert changed.any() and not (changed & ~inside).any()


def test_views_average_the_gradient(squeezenet):
    once, thrice = (
        class_image(squeezenet, 340, **QUICK, settings=replace(PLAIN, views=views))
        for views in (1, 3)
    )
    # 没有随机变换时三份一样：平均与一份相同
    assert torch.allclose(once.image, thrice.image, atol=2e-2)
    assert thrice.history["loss"][0] == pytest.approx(once.history["loss"][0], rel=1e-4)


def test_natural_prior_is_one_on_photos_and_large_on_noise(squeezenet):
    terms = natural_statistics(squeezenet, size=64, layers={"conv1": 0.5, "fire2": 1.0})
    loss = objective(squeezenet, terms)
    photos = cnnlab.photos(size=64).images[::3]
    # 标准化之后的平方，对求统计量的那些照片平均，是 (n − 1) / n
    expected = 1.5 * (len(photos) - 1) / len(photos)
    assert float(loss(photos)) / len(photos) == pytest.approx(expected, rel=0.02)
    noise = start_image("noise", 64, sd=0.3)
    assert float(loss(noise)) > 5 * expected
    assert float(loss(optimize_image(noise, loss, steps=20, optimizer=adam(0.02)))) < 0.5 * float(
        loss(noise)
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("blur", 1.0),
        ("small_norm", 30.0),
        ("small_contribution", 30.0),
        ("tv", 5.0),
        ("l2_weight", 50.0),
        ("jitter_pixels", 4),
    ],
)
def test_every_regulariser_does_something(squeezenet, name, value):
    plain, changed = (
        class_image(squeezenet, 340, **QUICK, settings=settings).image
        for settings in (PLAIN, replace(PLAIN, **{name: value}))
    )
    assert not torch.equal(plain, changed)


def test_steps_zero_returns_the_start(squeezenet):
    result = class_image(squeezenet, 340, size=33, steps=0, settings=replace(PLAIN, start="grey"))
    assert result.image.shape == (1, 3, 33, 33) and bool((result.image == 0.5).all())


def test_bad_input_is_explained(squeezenet):
    with pytest.raises(ValueError, match="pixel"):
        Ascent(parameterization="wavelet")
    with pytest.raises(ValueError, match="像素"):
        Ascent(blur=1.0)
    with pytest.raises(ValueError, match="zebra"):
        class_image(squeezenet, "zebraa", **QUICK)
    with pytest.raises(ValueError, match="512 个通道"):
        channel_image(squeezenet, "fire9", 512, **QUICK)
    with pytest.raises(ValueError, match="fire99"):
        channel_image(squeezenet, "fire99", 0, **QUICK)


def test_a_channel_that_stays_silent_is_named(tiny_cnn):
    """通道 0 怎样也不亮：一批里只说它，别的照样长出图来。"""
    with torch.no_grad():
        tiny_cnn.conv1.bias[0] = -100
    with pytest.warns(RuntimeWarning, match=r"通道 \[0\] 在成图上仍处处为 0"):
        result = channel_image(tiny_cnn, "relu1", [0, 1], size=16, steps=2, settings=PLAIN)
    assert result.image[1].std() > 0.01


def test_a_channel_that_is_off_at_the_start_wakes_up(tiny_cnn):
    """起点上一个位置也不亮，梯度本来恰为 0：头几步放行，图像就动起来；本来亮着的通道逐位不变。"""
    start = channel_image(tiny_cnn, "conv1", [0, 1], size=16, steps=0, settings=PLAIN).image
    values = activations_of(tiny_cnn, start, "conv1")["conv1"]
    with torch.no_grad():
        tiny_cnn.conv1.bias[0] -= values[0, 0].max() + 0.01
    loss = objective(tiny_cnn, -channel("relu1", [0, 1]))
    leaf = start.clone().requires_grad_()
    (plain,) = torch.autograd.grad(loss(leaf), leaf)
    (woken,) = torch.autograd.grad(waking(tiny_cnn, loss)(leaf), leaf)
    assert not plain[0].any() and woken[0].any() and torch.equal(plain[1], woken[1])


def test_fooling_image_stays_near_the_photo(squeezenet):
    photo = cnnlab.photo("panda", 96)
    before = photo.clone()
    fooled = photo_as_class(squeezenet, photo, "zebra", steps=10, step_size=0.004)
    assert torch.equal(photo, before) and (fooled - photo).abs().max() <= 1.1 * 10 * 0.004
    assert scores_before_relu(squeezenet, fooled, "zebra") > scores_before_relu(
        squeezenet, photo, "zebra"
    )


def test_frequency_share_of_gratings():
    assert frequency_share(stripes(4)) > 0.98 and frequency_share(stripes(16)) < 0.02
    assert frequency_share(torch.full((2, 3, 16, 16), 0.3)).tolist() == [0, 0]


def test_shuffled_blocks_keep_their_insides_and_the_margin():
    image = torch.arange(2 * 3 * 6 * 8).float().view(2, 3, 6, 8)
    mixed = shuffle_blocks(image, 4, seed=1)
    before, after = (
        sorted(each[0, 0, :4, start : start + 4].flatten().tolist() for start in (0, 4))
        for each in (image, mixed)
    )
    assert before == after and torch.equal(mixed[..., 4:, :], image[..., 4:, :])
    assert torch.equal(
        shuffle_blocks(image[..., :4, :4], 4), image[..., :4, :4]
    ) and not torch.equal(shuffle_blocks(image, 1), image)
    with pytest.raises(ValueError, match="块"):
        shuffle_blocks(image, 7)


def test_halving_keeps_smooth_and_loses_checks():
    smooth, checks = stripes(32), stripes(2)
    assert (halve_and_restore(smooth) - smooth).abs().max() < 0.05
    assert halve_and_restore(checks).std() < 0.1 * checks.std()
    assert halve_and_restore(torch.rand(1, 3, 31, 45)).shape == (1, 3, 31, 45)


def test_score_kept_and_ranks_by_hand(linear_model, photo):
    scores = linear_model(photo)[0]
    assert scores_before_relu(linear_model, photo, 2)[0] == scores[2]
    assert class_ranks(linear_model, photo, int(scores.argmax())).tolist() == [1]
    assert class_ranks(linear_model, photo, int(scores.argmin())).tolist() == [5]
    halved = linear_model(halve_and_restore(photo))[0, 2] / scores[2]
    assert score_kept(linear_model, photo, 2)[0] == pytest.approx(halved.item(), rel=1e-5)
    assert score_kept(linear_model, photo, 2, change=lambda image: image)[0] == 1


def test_random_crop_keeps_the_size_and_stays_inside():
    ramp = torch.linspace(0, 1, 40).expand(1, 3, 30, 40)
    seen = random_crop(0.5, generator=torch.Generator().manual_seed(0))
    views = [seen(ramp) for _ in range(20)]
    assert all(view.shape == ramp.shape for view in views)
    spans = torch.tensor([float(view.max() - view.min()) for view in views])
    assert spans.min() > 0.45 and spans.max() <= 1 and spans.std() > 0.05
    assert torch.equal(
        random_crop(1.0, generator=torch.Generator().manual_seed(1))(torch.ones(1, 3, 8, 8)),
        torch.ones(1, 3, 8, 8),
    )
    with pytest.raises(ValueError, match="smallest"):
        random_crop(0.0, generator=torch.Generator())


def test_gallery_is_recognised_after_halving_and_shifting(squeezenet):
    gallery = class_gallery()
    assert gallery.images.shape == (10, 3, 336, 336) and len(set(gallery.names)) == 10
    changed = halve_and_restore(gallery.images).roll((6, 6), (2, 3))
    assert (class_ranks(squeezenet, changed, list(gallery.names)) == 1).all()
    wrong = [*gallery.names[1:], gallery.names[0]]
    assert (class_ranks(squeezenet, changed, wrong) == 1).sum() == 0


def test_gallery_is_recognised_by_a_network_that_never_saw_it_made():
    gallery, second = class_gallery(), load_model("efficientnet_lite0")
    ranks = class_ranks(second, resize(gallery.images, (224, 224)), list(gallery.names))
    assert (ranks == 1).sum() >= 6 and ranks.max() <= 5


def test_gallery_is_smooth_and_every_picture_has_its_own_layout():
    images = class_gallery().images
    shares = frequency_share(images)
    assert shares.mean() <= 0.07 and shares.max() <= 0.09
    coarse = torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 8).flatten(1)
    rows, columns = torch.triu_indices(10, 10, 1)
    assert torch.corrcoef(coarse)[rows, columns].mean() <= 0.2


def edge_against_middle(images: torch.Tensor) -> tuple[float, float]:
    """四边一圈（36 像素）与中间之比：亮度，起伏；都是各图的平均。"""
    grey, middle = images.mean(1), torch.zeros(images.shape[-2:], dtype=torch.bool)
    middle[36:-36, 36:-36] = True
    edge, inner = grey[:, ~middle], grey[:, middle]
    return (edge.mean(1) / inner.mean(1)).mean(), (edge.std(1) / inner.std(1)).mean()


def test_gallery_has_no_vignette():
    images = class_gallery().images
    assert all(0.85 < ratio < 1.15 for ratio in edge_against_middle(images))
    ramp = torch.linspace(-1, 1, 336)
    far = (ramp[:, None].square() + ramp.square()).sqrt().clamp(max=1)
    darkened, greyed = images * (1 - 0.5 * far), images.lerp(torch.tensor(0.5), 0.5 * far)
    assert edge_against_middle(darkened)[0] < 0.85 and edge_against_middle(greyed)[1] < 0.85


def sharpest_line(images: torch.Tensor) -> float:
    """相邻两列（两行）之差，按各图平均：最大的一处是居中的几倍；各图同一处有接缝，它就大。"""
    grey = images.mean(1)
    across, down = grey.diff(dim=2).abs().mean((0, 1)), grey.diff(dim=1).abs().mean((0, 2))
    return max(float(each.max() / each.median()) for each in (across, down))


def test_gallery_has_no_seam():
    images = class_gallery().images
    assert sharpest_line(images) < 1.6
    assert sharpest_line(images.roll((40, 40), (2, 3))) > 2


SHAPES = {
    "ablation": (4, 3, 128, 128),
    "phase": (3, 3, 192, 192),
    "layout": (3, 3, 128, 128),
    "diversity": (4, 3, 128, 128),
}


def test_the_other_galleries_have_what_the_chapter_shows():
    layers = layer_gallery()
    assert all(images.shape == (3, 3, 144, 144) for _, images in layers.values())
    for kind, shape in SHAPES.items():
        assert {images.shape for images in comparison_gallery(kind).values()} == {shape}
    assert min(images.std((1, 2, 3)).min() for _, images in layers.values()) > 0.05


def test_facets_are_recognised_and_keep_the_layout_of_their_starts(squeezenet):
    """四张都被两个网络认作宫殿；明暗布局像自己的起点，不像别的起点。"""
    names, images = facet_gallery()
    assert images.shape == (4, 3, 336, 336) and frequency_share(images).max() <= 0.09
    small, monuments = resize(images, (224, 224)), cnnlab.photos("monuments")
    for model in (squeezenet, load_model("efficientnet_lite0")):
        assert class_ranks(model, small, "palace").max() <= 2
    starts = [torch.cat([monuments[name] for name in each]).mean(0) for each in names]
    layouts = [resize(each, (16, 16)).mean(1).flatten(1) for each in (small, torch.stack(starts))]
    likeness, own = torch.corrcoef(torch.cat(layouts))[:4, 4:], torch.eye(4, dtype=torch.bool)
    assert likeness[own].mean() > likeness[~own].mean() + 0.25


def test_gallery_settings_name_the_weights_they_were_made_with(squeezenet):
    for settings in class_gallery().attribution:
        assert json.loads(settings)["weights"] == squeezenet.weights_hash()


def test_coarse_to_fine_cuts_the_margin_and_repeats(squeezenet):
    stages = ((40, 48, 3, 0.05), (64, 48, 3, 0.02))
    settings = Ascent(crop=0.3, views=2, margin=8, cooling=True, decay=1.2)
    once, again = (
        coarse_to_fine(squeezenet, ["zebra", 130], stages=stages, seed=4, settings=settings)
        for _ in range(2)
    )
    assert once.image.shape == (2, 3, 48, 48) and torch.equal(once.image, again.image)
    assert len(once.history["loss"]) == 6
    assert torch.equal(cnnlab.reproduce(once).image, once.image)


def test_coarse_to_fine_starts_from_given_pictures(squeezenet, photo):
    start, before = photo.clone(), photo.clone()
    stages = ((40, 48, 0, 0.05),)
    settings = Ascent(crop=0.3, margin=4, decay=1.2)
    made = coarse_to_fine(squeezenet, 340, stages=stages, start=start, settings=settings)
    grown = resize(photo, (40, 40))[..., 4:-4, 4:-4]
    assert torch.equal(start, before) and (made.image - grown).abs().mean() < 0.05
    assert torch.equal(cnnlab.reproduce(made).image, made.image)
    with pytest.raises(ValueError, match="起点有 1 张"):
        coarse_to_fine(squeezenet, [340, 130], stages=stages, start=start)


def test_cooling_ends_with_steps_of_zero_length(squeezenet):
    seen = []
    settings = replace(PLAIN, cooling=True, learning_rate=0.1)
    class_image(squeezenet, 340, size=48, steps=12, settings=settings, on_step=seen.append)
    moves = [(b.image - a.image).abs().mean() for a, b in pairwise(seen)]
    assert moves[-1] < 0.2 * moves[0]


def test_accentuation_keeps_the_photo_the_more_the_larger_keep(squeezenet):
    photo = cnnlab.photo("panda", 96)
    before = photo.clone()
    settings = Ascent(crop=0.5, views=2, cooling=True)
    loose, tight = (
        accentuate(squeezenet, photo, "zebra", keep=keep, steps=12, settings=settings).image
        for keep in (0.0, 2000.0)
    )
    assert torch.equal(photo, before) and loose.shape == photo.shape
    assert (tight - photo).square().mean() < (loose - photo).square().mean()
    assert scores_before_relu(squeezenet, loose, "zebra") > scores_before_relu(
        squeezenet, photo, "zebra"
    )


def test_phase_image_has_the_spectrum_of_the_photos():
    images = cnnlab.photos(size=48).images[:12]
    made = PhaseImage(images, n=2, seed=1)
    inside = torch.logit(made().detach())
    planes = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(made.matrix), inside)
    spectrum = torch.fft.rfft2(planes, norm="ortho").abs()
    # 实数图像里自己与自己共轭的几列随相位变，别的列都恰是照片的平均
    assert torch.allclose(
        spectrum[..., 1:-1], made.magnitude[..., 1:-1].expand_as(spectrum[..., 1:-1]), rtol=1e-2
    )


def test_similarity_is_one_for_a_pair_of_equal_pictures(squeezenet):
    image = cnnlab.photo("panda", 64)
    loss = objective(squeezenet, similarity("fire3"))
    assert float(loss(image.repeat(2, 1, 1, 1))) == pytest.approx(1, rel=1e-4)


def test_natural_prior_is_taken_at_the_size_of_the_picture(squeezenet):
    settings = Ascent(natural=5.0)
    made = class_image(squeezenet, "zebra", size=(48, 64), steps=1, settings=settings)
    assert made.image.shape == (1, 3, 48, 64)
