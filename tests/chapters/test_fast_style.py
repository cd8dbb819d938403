"""快速风格迁移：网络的形状与不变性、损失、训练、坏文件、存取，以及随包的网络。"""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab.chapters.fast_style import (
    STYLIZER_HELD_OUT,
    break_even,
    content_crops,
    content_reader,
    equal_steps,
    moved_together,
    period_energy,
    style_grams,
    stylization_loss,
    stylize,
    train_stylizer,
)
from cnnlab.core.images import save_image
from cnnlab.core.paths import DATA
from cnnlab.networks.models import load_model, wrap_model
from cnnlab.networks.stylizers import (
    ConditionalNorm,
    StylizationNetwork,
    load_stylizer,
    save_stylizer,
    smooth,
    stylizer_names,
)
from cnnlab.pictures.photos import photos, style_image


def noise(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def small_network(n_styles=1, **options):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = StylizationNetwork(n_styles, widths=(4, 6, 8), blocks=1, **options)
        for parameter in network.last.norm.parameters():
            nn.init.normal_(parameter)
    return network


@pytest.fixture(scope="module")
def small_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()
        )
    return wrap_model(layers, mean=[0.5] * 3, std=[0.25] * 3)


SMALL = {"style_layers": ("1", "3"), "content_layer": "3", "size": 32, "batch_size": 2}


def test_norm_equals_the_library_and_blends_scale_and_shift():
    activation = noise((2, 3, 5, 7)) * 3 + 4
    norm = ConditionalNorm(3, 2)
    with torch.no_grad():
        norm.scale.copy_(noise((2, 3), 1))
        norm.shift.copy_(noise((2, 3), 2))
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    expected = functional.instance_norm(activation)
    for index, (first, second) in enumerate(weights):
        scale = first * norm.scale[0] + second * norm.scale[1]
        shift = first * norm.shift[0] + second * norm.shift[1]
        wanted = expected[index] * scale[:, None, None] + shift[:, None, None]
        assert torch.allclose(norm(activation, weights)[index], wanted, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (50, 34)])
@pytest.mark.parametrize(
    "options", [{}, {"normalization": "batch", "padding": "zero"}, {"normalization": "none"}]
)
def test_output_keeps_size_and_range(size, options):
    output = stylize(small_network(**options), noise((2, 3, *size)))
    assert (
        output.shape == (2, 3, *size)
        and output.min() > 0
        and output.max() < 1
        and not output.requires_grad
    )


def test_instance_norm_ignores_the_rest_of_the_batch_and_batch_norm_in_training_does_not():
    images = noise((3, 3, 32, 32))
    network = small_network().train()
    assert torch.allclose(network(images)[0], network(images[:1])[0], atol=1e-5)
    network = small_network(normalization="batch").train()
    assert not torch.allclose(network(images)[0], network(images[:1])[0], atol=1e-2)


def test_reflection_has_no_frame_on_a_constant_and_zero_padding_has():
    flat = torch.full((1, 3, 48, 48), 0.3)
    spread = {
        padding: (
            stylize(small_network(padding=padding), flat).amax((2, 3))
            - stylize(small_network(padding=padding), flat).amin((2, 3))
        ).max()
        for padding in ("reflect", "zero")
    }
    assert spread["reflect"] < 1e-3 and spread["zero"] > 0.05


def test_style_is_an_index_a_list_or_a_blend():
    network, images = small_network(3), noise((2, 3, 32, 32))
    both = stylize(network, images, [0, 2])
    assert torch.allclose(both[0], stylize(network, images[:1], 0)[0], atol=1e-6)
    assert torch.allclose(both[1], stylize(network, images[1:], [0.0, 0.0, 1.0])[0], atol=1e-6)
    middle = stylize(network, images[:1], [0.5, 0.5, 0.0])
    assert not torch.allclose(middle, stylize(network, images[:1], 0), atol=1e-3)
    for wrong in (3, -1, [0, 1, 2], [0.5, 0.5], torch.ones(3, 3)):
        with pytest.raises(ValueError, match="style 是"):
            stylize(network, images, wrong)


@pytest.mark.parametrize("name", ["content_weight", "style_weight", "tv"])
def test_negative_weights_are_refused_before_any_training(small_model, name):
    grams = style_grams(small_model, [noise((3, 40, 36), 2)], ("1", "3"))
    with pytest.raises(ValueError, match=name):
        stylization_loss(
            small_model, noise((1, 3, 32, 32)), grams, content_layer="3", **{name: -1.0}
        )
    network = small_network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=name):
        train_stylizer(
            network,
            small_model,
            noise((4, 3, 40, 40)),
            [noise((3, 40, 40))],
            steps=2,
            **{**SMALL, name: -1.0},
        )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_zero_weights_leave_the_other_term_and_two_zeros_are_refused(small_model):
    content, image = noise((1, 3, 32, 32)), noise((1, 3, 32, 32), 1)
    grams = style_grams(small_model, [noise((3, 40, 36), 2)], ("1", "3"))
    options = {"content_layer": "3", "tv": 0}
    parts = [
        stylization_loss(
            small_model,
            content,
            grams,
            content_weight=content_weight,
            style_weight=style_weight,
            **options,
        )(image)
        for content_weight, style_weight in ((1, 1), (1, 0), (0, 1))
    ]
    assert torch.allclose(parts[0], parts[1] + parts[2]) and min(parts) > 0
    with pytest.raises(ValueError, match="都是 0"):
        stylization_loss(small_model, content, grams, content_weight=0, style_weight=0, **options)


def test_loss_is_content_style_and_smoothness(small_model):
    content, image = noise((2, 3, 32, 32)), noise((2, 3, 32, 32), 1)
    grams = style_grams(small_model, [noise((3, 40, 36), 2)], ("1", "3"))
    value = stylization_loss(
        small_model, content, grams, content_layer="3", content_weight=2, style_weight=3, tv=0.5
    )(image)
    features, target = ({}, {})
    for place, source in ((features, image), (target, content)):
        place["1"] = functional.relu(small_model.layers["0"]((source - 0.5) / 0.25))
        place["3"] = functional.relu(small_model.layers["2"](place["1"]))
    total = 0
    for index in range(2):
        total += (
            2
            * (features["3"][index] - target["3"][index]).square().sum()
            / target["3"][index].square().sum()
        )
        for layer in ("1", "3"):
            rows = features[layer][index].flatten(1)
            gram = rows @ rows.T / rows.numel()
            total += 1.5 * (gram - grams[layer][0]).square().sum() / grams[layer].square().sum()
        total += (
            0.5
            * sum(image[index].diff(dim=axis).square().sum() for axis in (1, 2))
            / image[index].numel()
        )
    assert torch.allclose(value, total, rtol=1e-4)


def test_training_lowers_the_loss_and_leaves_the_loss_network_alone(small_model):
    network, before = (
        small_network(2),
        {key: value.clone() for key, value in small_model.state_dict().items()},
    )
    record = train_stylizer(
        network,
        small_model,
        noise((6, 3, 40, 40)),
        [noise((3, 32, 32), 3), noise((1, 3, 64, 48), 4)],
        steps=30,
        learning_rate=5e-3,
        **SMALL,
    )
    assert sum(record.losses[-5:]) < 0.8 * sum(record.losses[:5])
    assert all(torch.equal(value, before[key]) for key, value in small_model.state_dict().items())
    assert all(
        parameter.grad is None
        for module in (network, small_model)
        for parameter in module.parameters()
    )


def test_resumed_training_equals_the_unbroken(tmp_path, small_model):
    contents, style = noise((6, 3, 40, 40)), [noise((3, 32, 32), 3)]
    whole, broken = small_network(), small_network()
    train_stylizer(whole, small_model, contents, style, steps=6, **SMALL)

    def interrupt(step):
        if step.index == 2:
            raise KeyboardInterrupt

    options = {"checkpoint": tmp_path / "half.pt", **SMALL}
    assert train_stylizer(
        broken, small_model, contents, style, steps=6, on_step=interrupt, **options
    ).interrupted
    again = small_network()
    record = train_stylizer(again, small_model, contents, style, steps=6, **options)
    assert record.steps == 6 and not record.interrupted
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_crops_depend_on_the_generator_alone_and_stay_inside():
    contents = noise((3, 3, 40, 60))
    draw = content_crops(contents, batch_size=3, size=32)
    first, again = (draw(0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert (
        torch.equal(first, again)
        and first.shape == (3, 3, 32, 32)
        and first.min() >= 0
        and first.max() <= 1
    )
    assert not torch.equal(first, draw(0, torch.Generator().manual_seed(6)))


def test_folder_skips_counts_and_names_broken_files(tmp_path):
    for index in range(3):
        save_image(noise((1, 3, 40, 50), index), tmp_path / "sub" / f"good{index}.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "words.png").write_text("不是图片")
    (tmp_path / "notes.txt").write_text("不算")
    with pytest.warns(UserWarning, match="跳过 2 个.*empty.jpg.*words.png"):
        count, read = content_reader(tmp_path)
    assert count == 3 and read(1).shape == (1, 3, 40, 50)


def test_half_a_photo_is_noticed_when_it_is_read(tmp_path):
    save_image(photos(size=64).images[:1], tmp_path / "a.jpg")
    save_image(photos(size=64).images[1:2], tmp_path / "b.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    _, read = content_reader(tmp_path)
    with pytest.warns(UserWarning, match=r"跳过 1 个.*a.jpg"):
        image = read(0)
    assert torch.equal(image, read(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(0)  # 同一个文件只说一次


def test_empty_or_missing_folders_and_wrong_styles_are_refused(tmp_path, small_model):
    with pytest.raises(ValueError, match="没有能读的照片"):
        content_reader(tmp_path)
    with pytest.raises(ValueError, match="没有文件夹"):
        content_reader(tmp_path / "nowhere")
    images = noise((2, 3, 40, 40))
    with pytest.raises(ValueError, match="一张风格图也没有"):
        style_grams(small_model, [])
    with pytest.raises(ValueError, match="太小"):
        style_grams(small_model, [noise((3, 8, 8))])
    with pytest.raises(ValueError, match=r"2 种.*1 张"):
        train_stylizer(small_network(2), small_model, images, [images[0]], steps=1, **SMALL)
    with pytest.raises(ValueError, match="太小"):
        stylize(small_network(), noise((1, 3, 16, 40)))
    with pytest.raises(ValueError, match="normalization"):
        StylizationNetwork(normalization="layer")
    with pytest.raises(ValueError, match="n_styles"):
        StylizationNetwork(0)


def test_grey_style_trains(small_model):
    grey = noise((1, 1, 40, 40), 2).expand(1, 3, -1, -1)
    record = train_stylizer(
        small_network(), small_model, noise((3, 3, 40, 40)), grey, steps=3, **SMALL
    )
    assert len(record.losses) == 3


def test_saved_network_comes_back_with_its_settings(tmp_path):
    network, image = small_network(2), noise((1, 3, 32, 32))
    path = save_stylizer(
        network, "mine", names=["a", "b"], settings={"steps": "3"}, folder=tmp_path
    )
    loaded = load_stylizer("mine", folder=tmp_path)
    assert (
        path.name == "stylizer_mine.safetensors"
        and loaded.styles == ("a", "b")
        and loaded.settings == {"steps": "3"}
    )
    assert torch.allclose(stylize(loaded, image, 1), stylize(network, image, 1), atol=5e-3)
    assert (
        not any(parameter.requires_grad for parameter in loaded.parameters())
        and not loaded.training
    )
    with pytest.raises(ValueError, match="可用的有：mine"):
        load_stylizer("min", folder=tmp_path)


def test_equal_steps_is_the_first_step_that_is_as_good():
    assert equal_steps([5.0, 4.0, 3.0, 3.5, 2.0], 3.2) == 2
    assert equal_steps([5.0, 4.0, 3.0], 4.0) == 1
    assert equal_steps([5.0, 4.0], 3.0) is None


def test_shipped_network_has_learnt_each_of_its_styles():
    network, model = load_stylizer(), load_model()
    assert len(network.styles) >= 3
    images = photos(size=96)
    held_out = images[[images.index(name) for name in STYLIZER_HELD_OUT[:2]]].images
    for index, name in enumerate(network.styles):
        grams = style_grams(model, style_image(name, int(network.settings["style_size"])))
        loss = stylization_loss(
            model, held_out, grams, style_weight=float(network.settings["style_weight"])
        )
        output = stylize(network, held_out, index)
        assert loss(output) < 0.75 * loss(held_out)
        wrong = stylize(network, held_out, (index + 1) % len(network.styles))
        assert loss(output) < loss(wrong)


def test_smoothing_is_the_binomial_filter_and_removes_the_finest_grid():
    activation = noise((2, 3, 6, 9))
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (row[:, None] * row).expand(3, 1, 3, 3)
    padded = functional.pad(activation, (1, 1, 1, 1), mode="reflect")
    expected = functional.conv2d(padded, kernel, groups=3)
    assert torch.allclose(smooth(activation, "reflect"), expected, atol=1e-6)
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    assert smooth(stripes, "reflect").abs().max() < 1e-6


def test_shipped_network_leaves_no_grid_of_its_stride():
    network, images = load_stylizer(), photos(size=256)
    held_out = images[[images.index(name) for name in STYLIZER_HELD_OUT]].images
    for style in range(network.n_styles):
        pictures = stylize(network, held_out, style)
        assert max(period_energy(pictures, period) for period in (2, 4)) <= 2


def test_shipped_files_are_at_most_a_megabyte():
    for name in stylizer_names():
        assert (DATA / f"stylizer_{name}.safetensors").stat().st_size < 1e6


def test_training_pays_from_the_first_picture_that_makes_up_for_it():
    assert break_even(100, 1, 3) == 50 and break_even(101, 1, 3) == 51
    count = break_even(37.5, 0.02, 1.4)
    assert 37.5 + count * 0.02 <= count * 1.4
    assert 37.5 + (count - 1) * 0.02 > (count - 1) * 1.4
    with pytest.raises(ValueError, match="不划算"):
        break_even(100, 3, 3)


def test_batches_that_move_together_lose_the_same_rim():
    rows = torch.arange(64.0)[:, None].expand(1, 3, 64, 48)
    columns = torch.arange(48.0)[None].expand(1, 3, 64, 48)
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        moved_rows, moved_columns = moved_together(rows, columns)
        assert moved_rows.shape == moved_columns.shape
        assert moved_rows.shape[-2] < 64 and moved_rows.shape[-1] < 48
        assert (moved_rows.diff(dim=-2) == 1).all() and (moved_columns.diff(dim=-1) == 1).all()
        seen.add((moved_rows.min().item(), moved_columns.min().item()))
    assert len(seen) > 3
