"""损失的各项：目标类得分、通道、½‖a‖²、特征距离、Gram 距离、图像先验。

不管前向，也不管怎样合成：那是 objectives 的事。每一项都是要变小的量；要变大就写 `-channel(...)`：负号在项里，不在循环里。
每一项都对一批里的各图求和，所以一批里的每张图都和单独优化时一样。
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_maps, check_tensor, two_wholes, wholes
from cnnlab.core.hooks import channel_list
from cnnlab.core.values import number
from cnnlab.networks.models import resolve_target, target_scores

Values = dict[str, Tensor]
Normalize = Literal["chw", "hw", "none"]


@dataclass(frozen=True)
class Term:
    """损失里的一项：`weight` × `value(values)`；`layers` 是它要的层。

    values 里有 "image"、要的各层，需要时有 "scores"（ReLU 之前的类得分 (N, K)）。
    `-term` 与 `2 * term` 改权重；`bind(model)` 供要等网络才定得下来的项用。
    """

    name: str
    layers: tuple[str, ...]
    value: Callable[[Values], Tensor] | None
    weight: float = 1.0
    bind: Callable[[nn.Module], "Term"] | None = None
    __array_ufunc__ = None  # numpy 的数组 * 项：由 __rmul__ 说明，不逐个去乘

    def __mul__(self, factor: float) -> "Term":
        return replace(self, weight=self.weight * number(factor, "项的倍数"))

    __rmul__ = __mul__

    def __neg__(self) -> "Term":
        return self * -1.0

    def __add__(self, other):
        raise TypeError("项只能取负、乘一个数；几项放进一个列表：objective(model, [甲, -乙])")

    __radd__ = __sub__ = __rsub__ = __truediv__ = __add__

    def bound(self, model: nn.Module | None) -> "Term":
        """有了网络之后的这一项。"""
        return self.weight * self.bind(model) if self.bind else self


@checked
def class_score(target) -> Term:
    """目标类在 softmax 之前的得分；结尾带 ReLU 的网络（SqueezeNet）取 ReLU 之前的类别图的平均。

    `target` 是类别号、类名，或每张图一个的列表。出处：Simonyan 等，2014。
    """
    return _of_class(f"class_score {target}", target, lambda scores: scores)


@checked
def log_probability(target) -> Term:
    """目标类的对数概率（得分取 ReLU 之前的）：别的类得分高，它就低。`target` 同 `class_score`。"""
    return _of_class(f"log_probability {target}", target, lambda scores: scores.log_softmax(1))


def _of_class(name: str, target, measure: Callable[[Tensor], Tensor]) -> Term:
    """各图目标类的 measure(得分) 之和；类名要等有了网络才认得。"""

    def bind(model: nn.Module) -> Term:
        resolve = lru_cache(maxsize=None)(lambda n: resolve_target(model, target, n))

        def value(values: Values) -> Tensor:
            scores = measure(values["scores"])
            return target_scores(scores, resolve(len(scores))).sum()

        return Term(name, ("scores",), value)

    return Term(name, ("scores",), None, bind=bind)


@checked
def channel(layer: str, channel, position=None) -> Term:
    """一个通道的激活：`position` 为 None 取全图平均，"center" 取正中，(行, 列) 取一处。

    `channel` 是通道号，或每张图一个的列表；没有空间位置的层（N, K）取第 channel 个数。
    """
    channels = wholes(channel, "channel", 0)
    if position is not None and not (isinstance(position, str) and position == "center"):
        position = two_wholes(position, 'position（可用 (行, 列)、"center" 或 None）')

    def value(values: Values) -> Tensor:
        activation = _maps(values, layer)
        chosen = channel_list(channels, activation.shape[1])
        if len(chosen) not in (1, len(activation)):
            raise ValueError(
                f"给了 {len(chosen)} 个通道，图像却有 {len(activation)} 张；给一个，或每张图一个"
            )
        chosen = chosen * (len(activation) // len(chosen))
        numbers = activation if activation.dim() == 2 else _at(activation, position, layer)
        return numbers[range(len(chosen)), chosen].sum()

    shown = channels[0] if len(channels) == 1 else channels
    place = "" if position is None else f"@{position}"
    return Term(f"channel {layer}:{shown}{place}", (layer,), value)


def _maps(values: Values, layer: str) -> Tensor:
    """一层的激活；是图时，通道要在第二维。"""
    activation = check_tensor(values[layer], layer)
    return activation if activation.dim() == 2 else check_maps(activation, layer, values["image"])


def _at(activation: Tensor, position, layer: str) -> Tensor:
    """(N, C, h, w) 在一个位置上的值，或全图平均：(N, C)。"""
    if position is None:
        return average_position(activation)
    height, width = activation.shape[-2:]
    row, column = (height // 2, width // 2) if position == "center" else position
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"位置 {position} 超出范围：{layer} 在这张图上是 {height}×{width}")
    return activation.movedim(1, -1)[:, row, column]


def average_position(activation: Tensor) -> Tensor:
    """各位置的平均，(N, C, h, w) → (N, C)。"""
    # 通道放在最后：激活多半是 channels_last，反传的梯度就不必再换布局
    return activation.movedim(1, -1).mean((1, 2))


@checked
def half_squared_norm(layer: str, channels=None) -> Term:
    """½ Σ a²，对激活的梯度恰好是激活自己：这就是 DeepDream 放大的东西。

    `channels` 为 None 取全部通道，否则只取这一个或这几个。出处：Mordvintsev 等，2015。
    """

    def value(values: Values) -> Tensor:
        activation = values[layer] if channels is None else _maps(values, layer)
        amount = activation.detach()
        if channels is not None:
            kept = channel_list(channels, amount.shape[1])
            amount = torch.zeros_like(amount)
            amount[:, kept] = activation.detach()[:, kept]
        return with_gradient(activation, amount.square().sum() / 2, amount)

    return Term(f"half_squared_norm {layer}", (layer,), value)


@checked(target="...")
def feature_distance(target: Tensor, layer: str, *, relative: bool = True) -> Term:
    """激活离目标激活有多远：‖Φ(x) − Φ₀‖² / ‖Φ₀‖²；`relative=False` 时不除，是平方和。

    `target` 是那一层的目标激活 (1 或 N, C, h, w)，即 `activations_of(model, photo, layer)[layer]`。
    出处：Mahendran 与 Vedaldi，2015。
    """
    target = target.detach()
    sizes = target.flatten(1).square().sum(1) if relative else target.new_ones(len(target))
    if not bool((sizes > 0).all()):
        raise ValueError(f"{layer} 的目标激活全为 0，相对误差没有意义；换一层，或用 relative=False")

    def value(values: Values) -> Tensor:
        activation = values[layer]
        _check_target(f"{layer} 的激活", activation.shape, target)
        wanted, size = target.to(activation), sizes.to(activation)
        return ((activation - wanted).square().flatten(1).sum(1) / size).sum()

    return Term(f"feature_distance {layer}", (layer,), value)


@checked(activation="N C h w")
def gram_matrix(activation: Tensor, normalize: Normalize = "chw") -> Tensor:
    """Gram 矩阵 G = F Fᵀ / 除数，(N, C, C)，F 是 (C, H·W) 的激活。

    除数："chw" 为 C·H·W（每个元素的平均），"hw" 为 H·W（每个位置的平均，不随图像大小变），"none" 为 1。
    出处：Gatys 等，2015（原文不除，把 4C²(HW)² 放在损失里）。
    """
    features = activation.flatten(2)
    return features @ features.mT / _divisor(activation, normalize)


def _divisor(activation: Tensor, normalize: str) -> int:
    count, height, width = activation.shape[1:]
    return {"chw": count * height * width, "hw": height * width, "none": 1}[normalize]


def _check_target(what: str, shape: tuple[int, ...], target: Tensor) -> None:
    """目标与现在的同形；目标只有一张时，一批各图都比它。"""
    if tuple(shape[1:]) != target.shape[1:] or len(target) not in (1, shape[0]):
        raise ValueError(
            f"{what}是 {tuple(shape)}，目标是 {tuple(target.shape)}：图的尺寸、层的通道应相同，目标有一张或一样多张"
        )


@checked(target="N C C")
def gram_distance(
    target: Tensor, layer: str, *, normalize: Normalize = "chw", relative: bool = True
) -> Term:
    """Gram 矩阵离目标有多远：‖G − A‖² / ‖A‖²；`relative=False` 时不除。

    `target` 是 `gram_matrix(激活, normalize)`，(1 或 N, C, C)；两张图的尺寸可以不同。出处：Gatys 等，2015。
    """
    target = target.detach()
    sizes = target.flatten(1).square().sum(1)
    if not bool((sizes > 0).all()):
        raise ValueError(f"{layer} 的目标 Gram 矩阵全为 0；换一层或换一张图")
    scale = 1 / sizes if relative else torch.ones_like(sizes)

    def value(values: Values) -> Tensor:
        activation = check_maps(values[layer], layer, values["image"])
        count, channels = activation.shape[:2]
        _check_target(f"{layer} 的 Gram 矩阵", (count, channels, channels), target)
        features, divisor = activation.detach().flatten(2), _divisor(activation, normalize)
        wanted, weight = target.to(features), scale.to(features)
        difference = features @ features.mT / divisor - wanted
        distance = (difference.square().sum((1, 2)) * weight).sum()
        # ∂‖FFᵀ/d − A‖²/∂F = (4/d) (FFᵀ/d − A) F：照公式算，比自动求导少两次矩阵乘法；
        # 写成 (Fᵀ (FFᵀ/d − A))ᵀ，结果就仍是 channels_last
        slope = (features.mT @ (4 / divisor * weight.view(-1, 1, 1) * difference)).mT
        return with_gradient(activation, distance, slope.view_as(activation))

    return Term(f"gram_distance {layer}", (layer,), value)


def with_gradient(x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """数值是 `value`（一个数）、对 `x` 的梯度是 `gradient`（与 x 同形）：公式和它的导数并排写出来。"""
    return _WithGradient.apply(x, value, gradient)


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(context, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        context.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, upstream: Tensor):
        return context.saved_tensors[0] * upstream, None, None


@checked
def similarity(layer: str, views: int = 1) -> Term:
    """一批里各图彼此有多像：`layer` 的 Gram 矩阵两两的余弦之和；变小就是各不相同。

    一批由 `views` 份叠成时，只比同一份里的各图。出处：Olah 等，2017。
    """

    def value(values: Values) -> Tensor:
        maps = check_maps(values[layer], layer, values["image"])
        grams = functional.normalize(gram_matrix(maps).flatten(1), dim=1)
        if len(grams) % views:
            raise ValueError(f"一批 {len(grams)} 张不能分成 {views} 份一样多的；改 views")
        parts = grams.unflatten(0, (views, -1))
        cosines = parts @ parts.transpose(1, 2)
        return cosines.triu(1).sum()

    return Term(f"similarity {layer}", (layer,), value)


@checked
def image_prior(
    function: Callable[[Tensor], Tensor], weight: float = 1.0, *, name: str | None = None
) -> Term:
    """把图像的函数（如 `total_variation`、`l2`）变成一项。"""
    return Term(
        name or getattr(function, "__name__", "image_prior"),
        ("image",),
        lambda values: function(values["image"]),
        weight,
    )
