"""得分对像素的梯度：显著图、引导式反向传播共用的一次前向、一次反向。

不管梯度怎样取绝对值、怎样合并通道、画成什么图。
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import evaluating
from cnnlab.networks.models import checked_scores, resolve_target, target_scores


@contextmanager
def pixel_leaf(model: nn.Module, image: Tensor) -> Iterator[Tensor]:
    """在 with 之内：模型是评估模式、梯度打开，得到 `image` 的一份要梯度的副本；调用者的张量不动。"""
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield image.detach().clone().requires_grad_()


@checked
def class_scores(model: nn.Module, image: Tensor, target) -> Tensor:
    """每张图自己目标类的得分 (N,)，在计算图上；`target` 是类别号、类名，或每张图一个。

    像素可以超出 [0, 1]（加噪声时会），但必须有限。
    """
    target = resolve_target(model, target, len(check_images(image, bounded=False)))
    return target_scores(checked_scores(model, image), target)


def class_outputs(model: nn.Module, image: Tensor, target, output: str) -> Tensor:
    """每张图自己目标类的得分（output="score"）或 softmax 之后的概率（"probability"），(N,)；"all" 是全部得分 (N, K)。"""
    scores = checked_scores(model, image)
    if output == "all":
        return scores
    values = scores.softmax(1) if output == "probability" else scores
    return target_scores(values, resolve_target(model, target, len(image)))


def gradient_of(value: Tensor, leaf: Tensor) -> Tensor:
    """`value` 之和对 `leaf` 的梯度；两者不相连时说清楚原因。"""
    gradient = (
        torch.autograd.grad(value.sum(), leaf, allow_unused=True)[0]
        if value.requires_grad
        else None
    )
    if gradient is None:
        raise ValueError(
            "这个数对图像没有梯度：模型在 no_grad 里计算，或把图像变成了不在计算图上的数（如 numpy）；改掉那一处再试"
        )
    return gradient


@checked
def score_gradient(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类得分对像素的梯度 (N, 3, H, W)，带符号，不带计算图。"""
    with pixel_leaf(model, image) as leaf:
        return gradient_of(class_scores(model, leaf, target), leaf)


def explaining(function: Callable) -> Callable:
    """装饰器，站在算法前面：核对图像，模型换到评估模式，打开梯度；函数里的 `image` 是一份要梯度的副本。

    算完一切复原，调用者的张量不动。图像不合 [0, 1] 的约定：ValueError。
    """

    @functools.wraps(function)
    def run(model: nn.Module, image: Tensor, *arguments, **options):
        with pixel_leaf(model, check_images(image)) as leaf:
            return function(model, leaf, *arguments, **options)

    return run
