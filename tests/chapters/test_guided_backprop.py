"""引导式反向传播：手算的矩阵、Captum 的数、神经元与感受野、各种 ReLU 写法、拒绝管不到的激活。"""

import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, NeuronGuidedBackprop
from torch import nn
from torch.nn import functional

from cnnlab import load_model, max_activating_patches, receptive_field
from cnnlab.chapters.guided_backprop import (
    deconvnet_gradient,
    guided_gradient,
    guided_patches,
    ruled_gradient,
)
from cnnlab.chapters.saliency import saliency_map
from cnnlab.core.images import load_image
from cnnlab.core.relu_rules import override_relu_gradient

RULES = {"guided": guided_gradient, "deconvnet": deconvnet_gradient}

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


@pytest.fixture(scope="module")
def squeezenet():
    return load_model().double()


@pytest.fixture(scope="module")
def images():
    return torch.cat([load_image("panda", 64), load_image("dog", 64)]).double()


class ByHand(nn.Module):
    """得分 = Σ w·ReLU(绿通道 − 0.5)：回传给 ReLU 的梯度恰是 w。"""

    weight = torch.tensor([[3.0, 4.0], [-5.0, 6.0]])

    def forward(self, image):
        return (functional.relu(image[:, 1] - 0.5) * self.weight).flatten(1).sum(1, keepdim=True)


def test_two_by_two_by_hand():
    image = torch.zeros(1, 3, 2, 2)
    image[0, 1] = torch.tensor([[0.9, 0.1], [0.8, 0.5]])  # 前向：开、关、开、恰为 0
    assert guided_gradient(ByHand(), image, target=0)[0, 1].tolist() == [[3, 0], [0, 0]]
    assert deconvnet_gradient(ByHand(), image, target=0)[0, 1].tolist() == [[3, 4], [0, 6]]
    assert ruled_gradient(ByHand(), image, "plain", target=0)[0, 1].tolist() == [[3, 0], [-5, 0]]


def test_equals_the_plain_gradient_when_nothing_is_negative(tiny_cnn, photo):
    for parameter in tiny_cnn.parameters():
        parameter.abs_()
    assert torch.allclose(
        guided_gradient(tiny_cnn, photo, target=2), saliency_map(tiny_cnn, photo, 2, reduce=None)
    )


@pytest.mark.parametrize("rule", RULES)
def test_captum_on_squeezenet(squeezenet, images, rule, assert_no_hooks):
    target = torch.tensor([388, 235])
    peer = {"guided": GuidedBackprop, "deconvnet": Deconvolution}[rule](squeezenet)
    theirs = peer.attribute(images, target)
    mine = RULES[rule](squeezenet, images, target=target)
    assert theirs.abs().max() > 0 and (mine - theirs).abs().max() <= 1e-6 * theirs.abs().max()
    assert_no_hooks(squeezenet)


@pytest.mark.parametrize("seed", range(3))
def test_captum_on_random_networks(seed):
    torch.manual_seed(seed)
    body = [
        nn.Conv2d(3, 6, 3),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(6, 6, 3), nn.ReLU()),
        nn.MaxPool2d(2),
    ]
    network = (
        nn.Sequential(*body, nn.Flatten(), nn.Linear(6 * 36, 9), nn.ReLU(), nn.Linear(9, 4))
        .double()
        .eval()
    )
    image = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    for rule, peer in (("guided", GuidedBackprop), ("deconvnet", Deconvolution)):
        theirs = peer(network).attribute(image, 3)
        assert theirs.abs().max() > 0
        assert (
            RULES[rule](network, image, target=3) - theirs
        ).abs().max() <= 1e-6 * theirs.abs().max()


def test_one_neuron_equals_captum(squeezenet, images):
    theirs = NeuronGuidedBackprop(squeezenet, squeezenet.layers["fire4"]).attribute(
        images, (17, 3, 2)
    )
    mine = guided_gradient(squeezenet, images, layer="fire4", channel=17, position=(3, 2))
    assert theirs.abs().max() > 0 and (mine - theirs).abs().max() <= 1e-6 * theirs.abs().max()


def test_support_lies_in_the_receptive_field(squeezenet, images):
    top, left, bottom, right = receptive_field(squeezenet, "fire3").box(6, 8, (64, 64))
    for rule in RULES.values():
        found = torch.zeros(64, 64, dtype=torch.bool)
        for channel in range(0, 128, 8):
            found |= (
                (rule(squeezenet, images, layer="fire3", channel=channel, position=(6, 8)) != 0)
                .any(1)
                .any(0)
            )
        rows, columns = found.nonzero(as_tuple=True)
        assert (
            top <= rows.min()
            and rows.max() < bottom
            and left <= columns.min()
            and columns.max() < right
        )
        assert found.sum() > 50


def test_position_max_and_whole_channel(tiny_cnn, photo):
    activation = tiny_cnn[:5](photo)[0, 3]
    row, column = divmod(int(activation.argmax()), activation.shape[1])
    strongest = guided_gradient(tiny_cnn, photo, layer="relu2", channel=3, position="max")
    assert torch.equal(
        strongest,
        guided_gradient(tiny_cnn, photo, layer="relu2", channel=3, position=(row, column)),
    )
    whole = guided_gradient(tiny_cnn, photo, layer="conv2", channel=3)
    parts = [
        guided_gradient(tiny_cnn, photo, layer="conv2", channel=3, position=(i, j))
        for i in range(16)
        for j in range(16)
    ]
    # conv2 之后没有 ReLU：平均的引导式梯度不等于引导式梯度的平均，除非各处的回传都不变号
    assert whole.shape == parts[0].shape and 256 * whole.abs().sum() > strongest.abs().sum()
    activation = tiny_cnn[:4](leaf := photo.clone().requires_grad_())[:, 3]
    (wanted,) = torch.autograd.grad(activation.mean(), leaf)
    plain = ruled_gradient(tiny_cnn, photo, "plain", layer="conv2", channel=3)
    assert torch.allclose(plain, wanted, atol=1e-7)
    assert guided_gradient(tiny_cnn, photo, layer="linear", channel=2).equal(
        guided_gradient(tiny_cnn, photo, target=2)
    )


class Tricky(nn.Module):
    """同一个网络，ReLU 的写法可换；有重复使用、嵌套和残差。"""

    def __init__(self, rectify):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.rectify = rectify

    def forward(self, image):
        value = self.rectify(self.first(image))
        value = self.rectify(self.second(value) + value)
        return self.rectify(self.second(value) - 0.1).mean((2, 3))


WRITINGS = {
    "in_place": nn.ReLU(inplace=True),
    "nested": nn.Sequential(nn.Sequential(nn.ReLU())),
    "functional": functional.relu,
    "functional_in_place": lambda value: functional.relu(value, inplace=True),
    "method": lambda value: value.relu(),
    "method_in_place": lambda value: value.relu_(),
    "clamp": lambda value: value.clamp(min=0),
    "clamp_min": lambda value: torch.clamp_min(value, 0),
}


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("rule", RULES)
def test_every_writing_of_relu_gives_the_same(writing, rule):
    torch.manual_seed(0)
    reference, image = Tricky(nn.ReLU()).double(), torch.rand(1, 3, 8, 8, dtype=torch.float64)
    other = Tricky(WRITINGS[writing]).double()
    other.load_state_dict(reference.state_dict(), strict=False)
    expected = RULES[rule](reference, image, target=1)
    assert torch.allclose(RULES[rule](other, image, target=1), expected, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(expected, saliency_map(reference, image, 1, reduce=None))


@pytest.mark.parametrize(
    "rectify",
    [
        lambda value: torch.maximum(value, torch.zeros_like(value)),
        lambda value: torch.where(value > 0, value, 0.0),
        lambda value: functional.threshold(value, 0.0, 0.0),
        lambda value: torch.clamp(value, 0, 1),
        nn.GELU(),
        nn.LeakyReLU(),
        nn.ELU(),
    ],
)
def test_activations_that_cannot_be_ruled_are_refused(rectify, assert_no_hooks):
    model = Tricky(rectify)
    for rule in RULES.values():
        with pytest.raises(ValueError, match=r"nn\.ReLU"):
            rule(model, torch.rand(1, 3, 8, 8), target=0)
    assert_no_hooks(model)


@pytest.mark.parametrize("activation", [nn.SiLU, nn.ReLU6, nn.Hardswish])
def test_smooth_activations_are_defined(activation):
    torch.manual_seed(1)
    model, image = Tricky(activation(inplace=True)), torch.rand(1, 3, 8, 8)
    guided, plain = (
        guided_gradient(model, image, target=0),
        saliency_map(model, image, 0, reduce=None),
    )
    assert torch.isfinite(guided).all() and not torch.allclose(guided, plain)


def test_compiled_models_are_refused():
    with pytest.warns(FutureWarning):
        scripted = torch.jit.script(
            nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        )
    with pytest.raises(ValueError, match="ReLU"):
        guided_gradient(scripted, torch.rand(1, 3, 8, 8), target=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "恰给一种"),
        ({"target": 0, "layer": "conv1"}, "恰给一种"),
        ({"layer": "conv9", "channel": 0}, "conv1"),
        ({"layer": "conv1"}, "channel=通道号"),
        ({"layer": "conv1", "channel": 8}, "在 0 与 7 之间"),
        ({"layer": "conv1", "channel": 0, "position": (0, 32)}, "32 列"),
        ({"layer": "conv1", "channel": 0, "position": "centre"}, "max"),
        ({"target": 5}, "超出范围"),
    ],
)
def test_bad_input(tiny_cnn, photo, options, match, assert_no_hooks):
    with pytest.raises(ValueError, match=match):
        guided_gradient(tiny_cnn, photo, **options)
    assert_no_hooks(tiny_cnn)


def test_guided_patches_line_up_with_the_patches(tiny_cnn):
    images = torch.rand(5, 3, 16, 16)
    patches = max_activating_patches(tiny_cnn, images, "conv2", channels=[3, 7], k=2)
    tiles = guided_patches(tiny_cnn, patches, "conv2")
    assert tiles.shape == patches.crops.shape and tiles.min() >= 0 and tiles.max() <= 1
    index, (row, column) = int(patches.image_index[1, 0]), patches.positions[1, 0].tolist()
    whole = guided_gradient(
        tiny_cnn, images[index : index + 1], layer="conv2", channel=7, position=(row, column)
    )
    top, left, bottom, right = patches.boxes[1, 0].tolist()
    start = [int(each) for each in patches.receptive.start(row, column)]
    inside = tiles[1, 0][:, top - start[0] : bottom - start[0], left - start[1] : right - start[1]]
    assert torch.allclose(
        inside, 0.5 + 0.5 * whole[0, :, top:bottom, left:right] / whole.abs().max(), atol=1e-6
    )
    # 剪掉的都是零：整块的绝对值之和与整张图的相同
    assert torch.allclose(
        (tiles[1, 0] - 0.5).abs().sum(), 0.5 * whole.abs().sum() / whole.abs().max(), rtol=1e-4
    )


@pytest.mark.parametrize("rule", RULES)
def test_second_derivatives_through_the_rules_agree_with_differences(rule):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 1)
    ).double()
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)

    def guided_sum(create_graph=False):
        leaf = image.clone().requires_grad_()
        with override_relu_gradient(network, rule):
            score = network(leaf).sum()
        return torch.autograd.grad(score, leaf, create_graph=create_graph)[0].square().sum()

    weight = network[5].weight
    (derivative,) = torch.autograd.grad(guided_sum(create_graph=True), weight)
    place = int(derivative.abs().argmax())
    with torch.no_grad():
        weight.view(-1)[place] += 1e-6
    above = guided_sum()
    with torch.no_grad():
        weight.view(-1)[place] -= 2e-6
    assert derivative.abs().max() > 0
    assert torch.allclose((above - guided_sum()) / 2e-6, derivative.view(-1)[place], rtol=1e-4)


class OwnReLU(torch.autograd.Function):
    @staticmethod
    def forward(context, value):
        context.save_for_backward(value)
        return value.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        return gradient * (context.saved_tensors[0] > 0)


def assigned(value):
    value = value.clone()
    value[value < 0] = 0
    return value


NOTHING = torch.zeros(())
WRITINGS_OF_ALL_KINDS = {
    "torch.relu": torch.relu,
    "torch.relu_": lambda x: torch.relu_(x.clone()),
    "relu_": lambda x: functional.relu_(x.clone()),
    "ReLU6": nn.ReLU6(),
    "hardtanh": lambda x: functional.hardtanh(x, 0.0, 100.0),
    "threshold_": lambda x: functional.threshold_(x.clone(), 0, 0),
    "Threshold": nn.Threshold(0, 0),
    "clip": lambda x: torch.clip(x, min=0),
    "clip_": lambda x: x.clone().clip_(0),
    "clamp 张量": lambda x: torch.clamp(x, min=NOTHING),
    "maximum": lambda x: torch.maximum(x, NOTHING),
    "fmax": lambda x: torch.fmax(x, NOTHING),
    "minimum": lambda x: -torch.minimum(-x, NOTHING),
    "where": lambda x: torch.where(x > 0, x, NOTHING),
    "乘门": lambda x: x * (x > 0),
    "乘浮点的门": lambda x: (x > 0).to(x.dtype) * x,
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "赋值": assigned,
    "自己的 Function": OwnReLU.apply,
    "stack amax": lambda x: torch.stack([x, torch.zeros_like(x)]).amax(0),
    "stack sort": lambda x: torch.stack([x, torch.zeros_like(x)]).sort(0).values[1],
    "stack topk": lambda x: torch.stack([x, torch.zeros_like(x)]).topk(1, 0).values[0],
    "abs": lambda x: (x + x.abs()) / 2,
    "sqrt": lambda x: (x + (x * x).sqrt()) / 2,
    "sign": lambda x: x * (x.sign() + 1) / 2,
    "addcmul": lambda x: torch.addcmul(torch.zeros_like(x), x, (x > 0).to(x.dtype)),
    "lerp": lambda x: torch.lerp(torch.zeros_like(x), x, (x > 0).to(x.dtype)),
    "logaddexp": lambda x: torch.logaddexp(x * 1e4, NOTHING.to(x.dtype)) / 1e4,
    "softplus": lambda x: functional.softplus(x, beta=1e4),
    "celu": functional.celu,
    "sigmoid": lambda x: x * torch.sigmoid(1e4 * x),
    "aten": torch.ops.aten.relu,
    "einsum": lambda x: torch.einsum("abcd,abcd->abcd", x, (x > 0).to(x.dtype)),
}


@pytest.mark.parametrize("writing", WRITINGS_OF_ALL_KINDS)
def test_no_writing_of_relu_slips_through(writing):
    """算得与 nn.ReLU 相同，或说明原因；从不悄悄给出普通梯度。"""
    torch.manual_seed(0)
    reference, image = Tricky(nn.ReLU()).double(), torch.rand(1, 3, 8, 8, dtype=torch.float64)
    reference.first.bias.data += 0.3
    reference.second.bias.data += 0.3
    other = Tricky(WRITINGS_OF_ALL_KINDS[writing]).double()
    other.load_state_dict(reference.state_dict(), strict=False)
    expected = guided_gradient(reference, image, target=1)
    plain = saliency_map(reference, image, 1, reduce=None)
    assert not torch.allclose(expected, plain, rtol=1e-2)
    try:
        found = guided_gradient(other, image, target=1)
    except ValueError as error:
        assert "nn.ReLU" in str(error)
    else:
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-12)


def test_a_network_without_activations_is_linear_and_guided_is_plain():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    ).eval()
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(
        guided_gradient(model, image, target=1), saliency_map(model, image, 1, reduce=None)
    )
