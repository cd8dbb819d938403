"""忠实度的检验：随机化、秩相关、删除与插入曲线、区域里的份额；与手算或独立的实现对照。"""

import math

import pytest
import torch
from torch import nn

from cnnlab.chapters.faithfulness import (
    METHODS,
    cascade_layers,
    curve_area,
    deletion_curve,
    edge_map,
    explain,
    insertion_curve,
    mass_inside,
)
from cnnlab.core.hooks import activations_of
from cnnlab.networks.random_twins import randomize_layers


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_randomize_one_layer_keeps_the_scale_and_the_rest(tiny_cnn):
    before = state(tiny_cnn)
    changed = randomize_layers(tiny_cnn, "linear")
    assert all(torch.equal(value, before[name]) for name, value in tiny_cnn.state_dict().items())
    for name, value in changed.state_dict().items():
        if name.startswith("linear"):
            assert not torch.allclose(value, before[name])
            assert torch.allclose(value.mean(), before[name].mean(), atol=1e-5)
            assert torch.allclose(
                value.std(unbiased=False), before[name].std(unbiased=False), rtol=1e-4
            )
        else:
            assert torch.equal(value, before[name])


def test_randomize_is_repeatable_and_changes_everything_by_default(tiny_cnn):
    first, again, other = (
        randomize_layers(tiny_cnn),
        randomize_layers(tiny_cnn),
        randomize_layers(tiny_cnn, seed=1),
    )
    for a, b, c, original in zip(
        *(m.parameters() for m in (first, again, other, tiny_cnn)), strict=True
    ):
        assert torch.equal(a, b) and not torch.equal(a, c) and not torch.equal(a, original)
    random_state = torch.get_rng_state()
    randomize_layers(tiny_cnn)
    assert torch.equal(torch.get_rng_state(), random_state)
    with pytest.raises(ValueError, match="linear"):
        randomize_layers(tiny_cnn, "liner")


def test_randomized_copy_has_its_own_layers(tiny_cnn, photo):
    changed = randomize_layers(tiny_cnn, ["conv1"])
    a, b = (activations_of(model, photo, "conv1")["conv1"] for model in (tiny_cnn, changed))
    assert not torch.allclose(a, b)


def test_cascade_runs_from_the_output_to_the_input(tiny_cnn):
    assert cascade_layers(tiny_cnn) == ["linear", "conv2", "conv1"]


def test_cascade_of_squeezenet_goes_by_fire_modules():
    from cnnlab import load_model

    with torch.random.fork_rng():
        model = load_model(weights=None)
    assert cascade_layers(model) == ["conv10", *(f"fire{n}" for n in range(9, 1, -1)), "conv1"]
    changed = randomize_layers(model, "fire9")
    pairs = zip(model.network.parameters(), changed.network.parameters(), strict=True)
    moved = sum(not torch.equal(a, b) for a, b in pairs)
    assert 3 <= moved <= 6  # fire9 的三个卷积的权重（偏置可能原来就是常数）


def test_edge_map_of_a_step():
    image = torch.zeros(1, 3, 6, 8)
    image[..., 4:] = 1
    edges = edge_map(image)[0]
    assert torch.equal(edges[2], torch.tensor([0, 0, 0, 0.5, 0.5, 0, 0, 0]))
    assert torch.allclose(edge_map(image.transpose(2, 3))[0], edges.T)
    assert (edge_map(torch.full((1, 3, 5, 5), 0.3)) == 0).all()


def test_mass_inside_by_hand():
    heat = torch.tensor([[[1.0, 3.0], [-5.0, 0.0]]])
    mask = torch.tensor([[[False, True], [True, False]]])
    assert mass_inside(heat, mask).item() == 0.75
    assert math.isnan(mass_inside(-heat.abs(), mask).item())
    with pytest.raises(ValueError, match="同形状"):
        mass_inside(heat, mask[:, :1])


class Pixel(nn.Module):
    """得分 0 是红色通道之和，得分 1 是 0。"""

    def forward(self, image):
        total = image[:, 0].sum((1, 2))
        return torch.stack([total, torch.zeros_like(total)], 1)


def test_deletion_and_insertion_by_hand():
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[0.1, 0.4], [0.2, 0.3]])
    heat = image[:, 0].clone()
    options = {"steps": 4, "fill": "black", "output": "score"}
    down = deletion_curve(Pixel(), image, 0, heat, **options)
    assert torch.allclose(down, torch.tensor([[1.0, 0.6, 0.3, 0.1, 0.0]]))
    up = insertion_curve(Pixel(), image, 0, heat, **options)
    assert torch.allclose(up, torch.tensor([[0.0, 0.4, 0.7, 0.9, 1.0]]))
    # 梯形法：(1.0 + 0.0)/2 与中间三个数之和的四分之一
    assert curve_area(down).item() == pytest.approx((0.5 + 0.6 + 0.3 + 0.1) / 4)
    # 最好的次序比反过来的次序降得快
    assert curve_area(down) < curve_area(deletion_curve(Pixel(), image, 0, -heat, **options))


def test_curves_end_where_they_should(tiny_cnn, photo, assert_no_hooks):
    tiny_cnn.train()
    before = photo.clone()
    heat = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(1))
    down, up = (
        curve(tiny_cnn, photo, 2, heat, steps=3) for curve in (deletion_curve, insertion_curve)
    )
    assert tiny_cnn.training and torch.equal(photo, before)
    tiny_cnn.eval()
    with torch.no_grad():
        whole = tiny_cnn(photo).softmax(1)[0, 2]
        blank = tiny_cnn(photo.mean((2, 3), keepdim=True).expand_as(photo)).softmax(1)[0, 2]
    assert torch.allclose(down[0, [0, -1]], torch.stack([whole, blank])) and torch.allclose(
        up[0, [-1, 0]], down[0, [0, -1]]
    )
    assert_no_hooks(tiny_cnn)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_one_map_an_image(method, tiny_cnn, photo, assert_no_hooks):
    images = torch.cat([photo, photo.flip(3)])
    heat = explain(tiny_cnn, images, [1, 3], method, layer="relu2", rounds=3)
    assert heat.shape == (2, 32, 32) and torch.isfinite(heat).all() and not heat.requires_grad
    alone = explain(tiny_cnn, images[1:], 3, method, layer="relu2", rounds=3)
    if method != "smooth_grad":  # 噪声按整批取，单张时不同
        assert torch.allclose(heat[1:], alone, atol=1e-5)
    assert_no_hooks(tiny_cnn)


def test_edges_ignore_the_network(tiny_cnn, photo):
    assert torch.equal(
        explain(tiny_cnn, photo, 0, "edges"), explain(randomize_layers(tiny_cnn), photo, 3, "edges")
    )


def test_bad_input_is_explained(tiny_cnn, photo):
    heat = torch.rand(1, 32, 32)
    for call, words in (
        (lambda: explain(tiny_cnn, photo, 0, "gradients"), "gradient"),
        (lambda: explain(tiny_cnn, photo, 0, "grad_cam"), "layer"),
        (lambda: deletion_curve(tiny_cnn, photo, 0, heat[:, :16]), "对不上：H 要相同"),
        (lambda: deletion_curve(tiny_cnn, photo, 0, heat * math.nan), "有限|NaN"),
        (lambda: insertion_curve(tiny_cnn, photo, 0, heat, output="logit"), "probability"),
        (lambda: deletion_curve(tiny_cnn, photo, 9, heat), "9"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
