"""随包的网络由读者直接调用：给错的输入得到一句中文，说出能照着写的改法；给对的不受影响。"""

import pytest
import torch

from cnnlab.networks.digit_networks import ImageGenerator, load_digit_network
from cnnlab.networks.models import load_model
from cnnlab.networks.shortcut_networks import load_shortcut_network
from cnnlab.networks.stylizers import ConditionalNorm, StylizationNetwork

CLASSIFIERS = ["classifier", "second_classifier", "lecture_classifier"]


def rand(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 28, 28), r"\(N, 1, H, W\)；先变成灰度：image.mean\(1, keepdim=True\)"),
        ((1, 4, 28, 28), r"image\[:, :3\].mean"),
        ((1, 1, 224, 224), r"resize\(image, 28\)"),
        ((28, 28), r"image\[None, None\]"),
        ((1, 28, 28), r"image\[None\]"),
        ((1, 28, 28, 1), "permute"),
        ((0, 1, 28, 28), "空的"),
    ],
)
def test_a_digit_network_says_what_it_takes(name, shape, words):
    with pytest.raises(ValueError, match=words):
        load_digit_network(name)(rand(*shape))


@pytest.mark.parametrize("given", [None, "3", [1.0], rand(1, 1, 28, 28).numpy()])
def test_what_is_no_tensor_is_told(given):
    with pytest.raises(TypeError, match=r"load_image|张量"):
        load_digit_network("classifier")(given)
    with pytest.raises(TypeError, match=r"load_image|张量"):
        load_model().top(given)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((2, 64), "code_size 要相同，一个是 128，一个是 64"), ((128,), r"\(N, code_size\)")],
)
def test_the_generator_names_the_length_of_its_code(shape, words):
    with pytest.raises(ValueError, match=words):
        load_digit_network("generator")(rand(*shape))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 3, 4, 4), "图像太小"),
        ((1, 3, 3, 40), "图像太小"),
        ((3, 32, 32), r"image\[None\]"),
        ((1, 1, 32, 32), "expand"),
    ],
)
def test_a_stylizer_says_what_it_takes(shape, words):
    with pytest.raises(ValueError, match=words):
        StylizationNetwork(widths=(4, 4, 4), blocks=1)(rand(*shape))


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("waves", "style 应是序号"),
        (None, "style 应是序号"),
        (2, "0 与 1 之间"),
        ([0, 1, 0], r"style 是 \[0, 1, 0\]"),
        ([float("nan"), 1.0], "NaN"),
        ([], r"style 是 \[\]"),
    ],
)
def test_a_style_that_is_none(style, words):
    network = StylizationNetwork(2, widths=(4, 4, 4), blocks=1)
    with pytest.raises((TypeError, ValueError), match=words):
        network(rand(2, 3, 16, 16), style)


def test_one_layer_of_a_stylizer_tells_both_shapes():
    with pytest.raises(ValueError, match=r"activation 是 \(1, 3, 5, 5\).*weights 是 \(1, 2\)"):
        ConditionalNorm(4, 2)(rand(1, 3, 5, 5), rand(1, 2))


def test_gradients_functions_and_other_precisions_go_through():
    network = load_shortcut_network()
    image = rand(2, 3, 16, 16).requires_grad_()
    network(image).sum().backward()
    assert image.grad.abs().sum() > 0
    generator = ImageGenerator(4, width=4).eval()
    jacobian = torch.func.jacrev(generator)(rand(1, 4))
    assert jacobian.shape == (1, 1, 28, 28, 1, 4)
    assert load_digit_network("classifier").double()(rand(1, 1, 28, 28)).dtype == torch.float64
    images = rand(2, 1, 28, 28)
    classifier = load_digit_network("classifier").float()
    one_by_one = torch.func.vmap(lambda image: classifier(image[None])[0])(images)
    assert torch.allclose(one_by_one, classifier(images), atol=1e-5)
    assert torch.equal(
        torch.export.export(classifier, (images,)).module()(images), classifier(images)
    )
