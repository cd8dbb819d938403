"""体检：每种毛病都造一个来查，健康的不误报，查完什么也没变。"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from cnnlab.show.doctor import doctor


def texts(report) -> str:
    return repr(report)


class Loose(nn.Module):
    """函数形式的 ReLU 两处，同一个 nn.ReLU 用两次。"""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.relu = nn.ReLU()

    def forward(self, image):
        value = self.relu(functional.relu(self.first(image)))
        return self.relu(self.second(value).relu()).mean((2, 3))


class Headed(nn.Module):
    """给 tiny_cnn 换一个末尾：function 作用在得分上。"""

    def __init__(self, body, function):
        super().__init__()
        self.body, self.function = body, function

    def forward(self, image):
        return self.function(self.body(image))


def test_a_healthy_model_has_no_findings(tiny_cnn):
    report = doctor(tiny_cnn, torch.rand(1, 3, 64, 64))
    assert report.findings == () and report.healthy and "没有发现问题" in report._repr_html_()


def test_in_place_functional_and_reused_activations_are_named(tiny_cnn):
    tiny_cnn.relu1.inplace = True
    assert "relu1" in texts(doctor(tiny_cnn)) and "原地" in texts(doctor(tiny_cnn))
    report = texts(doctor(Loose().requires_grad_(False)))
    assert "函数形式的 ReLU，在 最外层的 forward（2 次）" in report
    assert "同一个 ReLU 模块用了几次：relu（2 次）" in report
    inner = nn.Sequential(nn.Conv2d(3, 3, 1), Loose()).requires_grad_(False)
    assert "函数形式的 ReLU，在 1（2 次）" in texts(doctor(inner))


def test_untraceable_model_says_so():
    class Branching(nn.Module):
        def forward(self, image):
            return image.mean((2, 3)) if image.sum() > 0 else image.amax((2, 3))

    assert "追踪不了" in texts(doctor(Branching()))


def test_training_mode_is_reported_only_where_it_matters(tiny_cnn):
    model = nn.Sequential(tiny_cnn, nn.Dropout(), nn.BatchNorm1d(5)).requires_grad_(False)
    report = texts(doctor(model))
    assert "随机失活在训练模式" in report and "批量归一化在训练模式" in report
    assert doctor(model.eval()).findings == ()
    assert doctor(tiny_cnn.train()).findings == ()


def test_parameters_wanting_gradients_and_broken_ones(tiny_cnn):
    tiny_cnn.conv1.weight.requires_grad_(True)
    assert "1 组参数要求梯度" in texts(doctor(tiny_cnn))
    with torch.no_grad():
        tiny_cnn.conv2.bias[3] = float("nan")
    report = doctor(tiny_cnn)
    assert "conv2.bias" in texts(report) and not report.healthy


def test_left_over_hooks_are_counted(tiny_cnn):
    handle = tiny_cnn.conv2.register_forward_hook(lambda *_: None)
    assert "conv2（1 个）" in texts(doctor(tiny_cnn))
    handle.remove()
    assert doctor(tiny_cnn).findings == ()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.rand(3, 64, 64), r"image[None]"),
        (torch.rand(1, 64, 64, 3), "permute(0, 3, 1, 2)"),
        (torch.rand(1, 1, 64, 64), "expand"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "除以 255"),
        (torch.rand(1, 3, 64, 64) * 255, "除以 255"),
        (torch.randn(1, 3, 64, 64), "归一化由模型完成"),
        (torch.rand(1, 3, 64, 64) * 1.5, "clamp"),
        (torch.rand(1, 3, 64, 64) / 255, "除了两次"),
        (torch.full((1, 3, 64, 64), 0.5), "纯色"),
        (torch.full((1, 3, 64, 64), float("nan")), "NaN"),
        (torch.rand(1, 3, 32, 32), "32×32"),
        ([[1]], "load_image"),
    ],
)
def test_each_defect_of_an_image_has_its_advice(tiny_cnn, image, words):
    assert words in texts(doctor(tiny_cnn, image))


def test_probabilities_dead_classes_and_cut_gradients(tiny_cnn):
    image = torch.rand(1, 3, 64, 64)
    assert "像是概率" in texts(doctor(Headed(tiny_cnn, lambda scores: scores.softmax(1)), image))
    bias = torch.tensor([0.0, -1e3, -1e3, 0.0, 0.0])
    report = texts(doctor(Headed(tiny_cnn, lambda scores: torch.relu(scores.abs() + bias)), image))
    assert "5 个类别中有 2 个得分恰为 0" in report and "类别 1" in report
    assert "没有梯度" in texts(doctor(Headed(tiny_cnn, lambda scores: scores.detach()), image))
    assert "恰好为零" in texts(doctor(Headed(tiny_cnn, lambda scores: scores * 0), image))
    assert "前向报错" in texts(doctor(Headed(tiny_cnn, lambda scores: 1 / 0), image))
    assert "(N, K)" in texts(doctor(Headed(tiny_cnn, lambda scores: scores[..., None]), image))


def test_the_check_up_changes_nothing():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    image = torch.rand(2, 3, 64, 64, requires_grad=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    doctor(model, image)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training and all(module.training for module in model.modules())
    assert image.grad is None and all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_model_must_be_a_module():
    with pytest.raises(TypeError, match=r"nn\.Module"):
        doctor(lambda image: image)
