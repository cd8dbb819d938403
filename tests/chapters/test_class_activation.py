"""类激活图与 Grad-CAM：平均值即得分、Captum 的数、torchvision 的网络、拒绝没有定义的结尾。"""

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from cnnlab import load_model
from cnnlab.chapters.saliency import class_activation_map, grad_cam
from cnnlab.core.images import load_image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:captum")


@pytest.fixture(scope="module")
def squeezenet():
    return load_model().double()


@pytest.fixture(scope="module")
def images():
    return torch.cat([load_image("panda", 96), load_image("dog", 96)]).double()


def test_squeezenet_map_averages_to_the_score(squeezenet, images):
    grid = class_activation_map(squeezenet, images, [388, 235], upsample=False)
    scores = squeezenet(images)
    assert torch.allclose(grid.mean((1, 2)), torch.stack([scores[0, 388], scores[1, 235]]))
    assert (grid >= 0).all() and grid.shape[0] == 2 and grid.shape[1] > 1
    assert class_activation_map(squeezenet, images, [388, 235]).shape == (2, 96, 96)


def test_pooling_and_linear_head_averages_to_the_score_without_bias(tiny_cnn, photo):
    for target in range(5):
        grid = class_activation_map(tiny_cnn, photo, target, upsample=False)
        assert grid.shape == (1, 16, 16)
        assert torch.allclose(
            grid.mean() + tiny_cnn.linear.bias[target], tiny_cnn(photo)[0, target], atol=1e-5
        )
    weight, activation = tiny_cnn.linear.weight[2], tiny_cnn[:5](photo)
    expected = (weight[:, None, None] * activation[0]).sum(0)
    assert torch.allclose(
        class_activation_map(tiny_cnn, photo, 2, upsample=False)[0], expected, atol=1e-6
    )


@pytest.mark.parametrize("layer", ["fire4", "fire9", "conv10"])
def test_grad_cam_equals_captum(squeezenet, images, layer):
    target = torch.tensor([388, 235])
    mine = grad_cam(squeezenet, images, target, layer)
    theirs = LayerGradCam(squeezenet, squeezenet.layers[layer]).attribute(
        images, target, relu_attributions=True
    )
    assert theirs.abs().max() > 0
    grid = grad_cam(squeezenet, images, target, layer, upsample=False)
    assert (grid - theirs[:, 0]).abs().max() <= 1e-6 * theirs.abs().max()
    enlarged = LayerAttribution.interpolate(theirs, (96, 96), "bilinear")[:, 0]
    assert (mine - enlarged).abs().max() <= 1e-6 * enlarged.abs().max()


def test_grad_cam_equals_captum_on_random_networks():
    for seed in range(3):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 5, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(5, 6, 3),
            nn.Flatten(),
            nn.Linear(6 * 64, 4),
        ).double()
        image = torch.rand(2, 3, 12, 12, dtype=torch.float64)
        for layer in ("0", "2"):
            theirs = LayerGradCam(network, dict(network.named_modules())[layer]).attribute(
                image, 2, relu_attributions=True
            )[:, 0]
            mine = grad_cam(network, image, 2, layer, upsample=False)
            assert (mine - theirs).abs().max() <= 1e-6 * theirs.abs().max().clamp_min(1e-12)


def test_grad_cam_of_a_pooling_and_linear_head_is_the_rectified_map(tiny_cnn, photo):
    cam = class_activation_map(tiny_cnn, photo, 1, upsample=False)
    gradient = grad_cam(tiny_cnn, photo, 1, "relu2", upsample=False)
    assert torch.allclose(gradient * 256, cam.relu(), atol=1e-5)


def test_bad_input(tiny_cnn, photo, assert_no_hooks):
    with pytest.raises(ValueError, match="conv2"):
        grad_cam(tiny_cnn, photo, 0, "conv")
    with pytest.raises(ValueError, match="卷积层"):
        grad_cam(tiny_cnn, photo, 0, "linear")
    for call in (class_activation_map, lambda *each: grad_cam(*each, "conv2")):
        with pytest.raises(ValueError):
            call(tiny_cnn, photo, 5)
        with pytest.raises(ValueError):
            call(tiny_cnn, photo.byte(), 0)
    assert_no_hooks(tiny_cnn)
