"""调用者自己的怪网络：得分坏了、不止收一张图、整数的得分，都有一句中文；它自己抛的错原样放过。"""

import pytest
import torch
from torch import nn

from cnnlab import class_ranks, deletion_curve, grad_cam, saliency_map, stylize, wrap_model

IMAGE = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Odd(nn.Module):
    """一个卷积层，得分经 `change` 改过。"""

    def __init__(self, change):
        super().__init__()
        self.conv1, self.change = nn.Conv2d(3, 4, 3), change

    def forward(self, image):
        return self.change(self.conv1(image).relu().mean((2, 3)))


class TwoInputs(nn.Module):
    def forward(self, image, mask):
        return (image * mask).mean((2, 3))


CALLS = {
    "显著图": lambda model: saliency_map(model, IMAGE, 1),
    "Grad-CAM": lambda model: grad_cam(model, IMAGE, 1, "conv1"),
    "删除曲线": lambda model: deletion_curve(model, IMAGE, 1, IMAGE[:, 0], steps=1),
    "名次": lambda model: class_ranks(model, IMAGE, 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda scores: scores * float("nan"), "得分里有 NaN"),
        (lambda scores: scores.round().long(), "得到 .* int64；先把它包成"),
        (lambda scores: {"logits": scores}, "得到 dict；先把它包成"),
        (lambda scores: scores.detach().numpy(), "得到 ndarray；先把它包成"),
    ],
    ids=["NaN", "整数", "字典", "numpy"],
)
def test_scores_that_are_no_scores(call, change, words):
    with pytest.raises(ValueError, match=words):
        call(Odd(change))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_model_of_two_inputs_is_to_be_wrapped(wrapped):
    model = wrap_model(TwoInputs(), mean=[0.5] * 3, std=[0.5] * 3) if wrapped else TwoInputs()
    with pytest.raises(ValueError, match=r"TwoInputs 不能这样调用.*包成只收图像"):
        saliency_map(model, IMAGE, 1)
    with pytest.raises(ValueError, match="Odd 不能这样调用"):
        stylize(Odd(nn.Identity()), torch.rand(1, 3, 32, 32))


def test_the_models_own_error_comes_through():
    def broken(scores):
        raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match=r"^my own$"):
        saliency_map(Odd(broken), IMAGE, 1)
