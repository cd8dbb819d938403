"""得分对像素的梯度：显著图、引导式反向传播共用的一次前向、一次反向。

不管梯度怎样取绝对值、怎样合并通道、画成什么图。
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.hooks import evaluating, find_layer, input_of
from cnnlab.core.images import check_images
from cnnlab.networks.models import resolve_target, target_scores


def check_same_kind(model: nn.Module, image: Tensor) -> None:
    """图像的类型、设备要与模型的参数一致，否则说清楚哪里不一致、怎样换。"""
    parameter = next(iter(model.parameters()), image)
    for what, mine, theirs in (
        ("类型", image.dtype, parameter.dtype),
        ("设备", image.device, parameter.device),
    ):
        if mine != theirs:
            raise ValueError(
                f"图像的{what}是 {mine}，模型参数的{what}是 {theirs}；用 image.to({str(theirs)!r}) 那样换成一致的"
            )


@contextmanager
def pixel_leaf(model: nn.Module, image: Tensor) -> Iterator[Tensor]:
    """在 with 之内：模型是评估模式、梯度打开，得到 `image` 的一份要梯度的副本；调用者的张量不动。

    像素可以超出 [0, 1]（加噪声时会），但必须有限；类型、设备要与模型的参数一致，否则 ValueError。
    """
    check_same_kind(model, check_images(image, bounded=False))
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield image.detach().clone().requires_grad_()


def class_scores(model: nn.Module, image: Tensor, target) -> Tensor:
    """每张图自己目标类的得分 (N,)，在计算图上；`target` 是类别号、类名，或每张图一个。"""
    target = resolve_target(model, target, len(image))
    return target_scores(checked_scores(model, image), target)


def asked_scores(model: nn.Module, image: Tensor, target) -> Tensor:
    """每张图自己目标类的得分 (N,)，与 `class_scores` 同值；以类别图结尾的网络只算问到的类，省下前向的近两成。

    S_t = 平均 ReLU(w_t · A + b_t)，A 是进入最后那个 1×1 卷积的激活。别的网络照常算出全部得分再取。
    """
    layer = getattr(model, "class_map", None)
    if layer is None:
        return class_scores(model, image, target)
    asked, places = (
        resolve_target(model, target, len(image)).to(image.device).unique(return_inverse=True)
    )
    head = find_layer(model, layer)
    maps = functional.conv2d(input_of(model, image, layer), head.weight[asked], head.bias[asked])
    return target_scores(maps.relu().mean((2, 3)), places)


def asked_outputs(model: nn.Module, image: Tensor, target, output: str) -> Tensor:
    """每张图自己目标类的得分（output="score"）或 softmax 之后的概率（"probability"），(N,)。"""
    if output == "score":
        return asked_scores(model, image, target)
    return target_scores(
        checked_scores(model, image).softmax(1), resolve_target(model, target, len(image))
    )


def checked_scores(model: nn.Module, image: Tensor) -> Tensor:
    """模型的得分 (N, K)；输出不是这个形状时说清楚。"""
    scores = model(image)
    if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(image):
        found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(
            f"模型的输出应是 (N, K) 个得分，得到 {found}；先把它包成只输出得分的 nn.Module"
        )
    return scores


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


def score_gradient(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类得分对像素的梯度 (N, 3, H, W)，带符号，不带计算图。"""
    with pixel_leaf(model, image) as leaf:
        return gradient_of(asked_scores(model, leaf, target), leaf)
