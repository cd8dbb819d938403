"""图像神经风格迁移：内容项 + 风格项 + 平滑项，从内容图出发；多种风格、保留颜色、多尺度。

不管纹理项怎样算，见 texture；不训练网络，见 fast_style。
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnlab.chapters.texture import (
    activations_at,
    add_history,
    noise_like,
    reduced,
    texture_layers,
    texture_terms,
    weight_list,
)
from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, describe
from cnnlab.core.images import resize
from cnnlab.core.measures import LUMA
from cnnlab.core.names import unknown
from cnnlab.engine.descent import Descent, several_scales
from cnnlab.engine.objectives import objective
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import Term, feature_distance

# 内容用哪一层：比最深的风格层浅，留得住轮廓，又不管颜色的小起伏
CONTENT_LAYERS = {"vgg": "relu4_2", "squeezenet": "fire4", "efficientnet_lite0": "block5"}


@checked
@dataclass(frozen=True)
class Painting(Descent):
    """风格迁移的走法：在 Descent 之外，还有看哪些层（默认按网络选）、各风格层的权重（默认都是 1）。

    `start` 是 "content"（默认）、"noise"、"style" 或一张图。
    """

    start: str | Tensor | None = "content"
    content_layer: str | None = None
    style_layers: Sequence[str] | None = None
    layer_weights: Sequence[float] | None = None


@checked
@reproducible
def transfer_style(
    model,
    content,
    styles,
    *,
    style_weights=None,
    content_weight=1.0,
    style_weight=8.0,
    style_size=None,
    preserve_color=False,
    scales=2,
    steps=60,
    on_step=None,
    settings: Painting = Painting(),
):
    """把 `styles` 的笔触和颜色画到 `content` 上：Result，图像与 content 同形，history 有损失与各项的账。

    最小化 α‖Φ(x) − Φ(内容)‖²/‖Φ(内容)‖² + (β/L) Σ_l ‖G_l(x) − Σ_k w_k A_lk‖²/‖·‖² + tv · TV，w 归一到和为 1。
    `styles` 是一张图或一组图，`style_size` 是它们的短边（默认与内容的短边相同），笔触随之变大变小。
    `preserve_color`：True 只取结果的明暗，颜色用内容的；"match" 先把风格图的颜色调成内容的。
    `scales` 个尺度从小到大，每个走 `steps` 步，短边不到 32 的尺度略去；起点、层、表示、优化器、tv 在 `settings` 里。
    出处：Gatys 等，2016。
    """
    check_images(content)
    check_weights(content_weight, style_weight)
    styles, mix = prepare_styles(styles, style_weights, content, style_size, preserve_color)
    image, history = starting_image(settings.start, content, styles[0]), {"loss": []}
    size = content.shape[-2:]
    for factor in several_scales(scales, (*size, *styles[0].shape[-2:])):
        image, target = reduced(image, size, factor), reduced(content, size, factor)
        smaller = [reduced(style, style.shape[-2:], factor) for style in styles]
        terms = content_terms(model, target, settings.content_layer, content_weight)
        terms += style_terms(
            model, smaller, mix, settings.style_layers, style_weight, settings.layer_weights
        )
        loss = objective(model, terms + settings.smoothness())
        image = settings.run(image, loss, steps, on_step)
        add_history(history, loss)
    return keep_chroma(image, content) if preserve_color is True else image, history


@checked
def content_terms(
    model: nn.Module, content: Tensor, layer: str | None, weight: float
) -> list[Term]:
    """内容项：与特征反演同一项；权重为 0 时没有。"""
    if weight == 0:
        return []
    layer = content_layer_of(model) if layer is None else layer
    return [weight * feature_distance(activations_at(model, content, [layer])[layer], layer)]


@checked
def style_terms(
    model: nn.Module, styles: list[Tensor], mix: list[float], layers, weight: float, shares=None
) -> list[Term]:
    """风格项：与纹理合成同样的几项，各层按 `shares` 加权（默认一样）、取平均再乘 `weight`；权重为 0 时没有。"""
    if weight == 0:
        return []
    layers = texture_layers(model) if layers is None else list(layers)
    terms = texture_terms(model, styles, layers, mix=mix, layer_weights=shares)
    return [weight / len(layers) * term for term in terms]


@checked
def content_layer_of(model: nn.Module) -> str:
    """默认的内容层；认得的网络见 CONTENT_LAYERS，别的要自己给。"""
    for layer in CONTENT_LAYERS.values():
        if layer in getattr(model, "layers", {}):
            return layer
    raise ValueError("这个网络没有默认的内容层；用 Painting(content_layer=…) 给出一个中间层的名字")


def check_weights(content_weight: float, style_weight: float) -> None:
    """不能既没有内容又没有风格。"""
    if content_weight == style_weight == 0:
        raise ValueError("content_weight 与 style_weight 都是 0，没有目标可循；至少一个要大于 0")


def prepare_styles(
    styles, weights, content: Tensor, size, preserve_color
) -> tuple[list[Tensor], list[float]]:
    """一组风格图，短边缩到 `size`，必要时先换成内容的颜色；以及归一到和为 1 的权重。"""
    styles = [styles] if isinstance(styles, Tensor) else styles
    if not isinstance(styles, list | tuple):
        raise TypeError(f"styles 应是一张图或一组图，得到 {describe(styles)}")
    if not styles:
        raise ValueError("一种风格也没有；styles 至少给一张图")
    if preserve_color not in (False, True, "match"):
        raise ValueError(f"preserve_color 是 {describe(preserve_color)}；可用 False、True、'match'")
    side = min(content.shape[-2:]) if size is None else size
    if side < 32:
        raise ValueError(
            f"风格图的短边是 {side}，太小：深层只剩一两个位置，Gram 矩阵没有意义；至少 32"
        )
    scaled = [_shorter_side(check_images(style)[:1].detach().to(content), side) for style in styles]
    if preserve_color == "match":
        scaled = [match_color(style, content) for style in scaled]
    weights = weight_list(weights, len(styles), "style_weights")
    return scaled, [weight / sum(weights) for weight in weights]


def _shorter_side(image: Tensor, side: int) -> Tensor:
    scale = side / min(image.shape[-2:])
    return resize(image, tuple(max(side, round(length * scale)) for length in image.shape[-2:]))


def starting_image(start, content: Tensor, style: Tensor) -> Tensor:
    """起点：内容图、白噪声、缩放到同样大小的风格图，或给定的图。"""
    if isinstance(start, Tensor):
        return resize(check_images(start).detach(), content.shape[-2:])
    if start not in ("content", "noise", "style"):
        raise unknown("起点", start, ("content", "noise", "style"), hint="，或给一张图")
    if start == "content":
        return content.detach()
    size = tuple(content.shape[-2:])
    one = noise_like(style, size, seed=0) if start == "noise" else resize(style, size)
    return one.expand(len(content), -1, -1, -1)


# 明暗与两个色差轴（BT.601 的 YIQ）
_YIQ = torch.tensor([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@checked(content="N C H W")
def keep_chroma(image: Tensor, content: Tensor) -> Tensor:
    """明暗取 `image` 的，两个色差取 `content` 的，截到 [0, 1]。出处：Gatys、Bethge 等，2016。"""
    matrix = _YIQ.to(image)
    light, color = (
        torch.einsum("ij,njhw->nihw", matrix, each) for each in (image, content.to(image))
    )
    mixed = torch.cat([light[:, :1], color[:, 1:]], 1)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), mixed).clamp(0, 1)


@checked(content="M C h w")
def match_color(style: Tensor, content: Tensor) -> Tensor:
    """把风格图的颜色线性地调到与内容图同均值、同协方差，截到 [0, 1]。出处：Gatys 等，2017。"""
    (mean, root), (goal, goal_root) = _color_statistics(style), _color_statistics(content)
    matrix = goal_root @ torch.linalg.inv(root)
    flat = (style.detach().cpu().flatten(2)[0].double() - mean[:, None]).T @ matrix.T + goal
    return flat.T.reshape(style.shape).to(style).clamp(0, 1)


def _color_statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    """三个通道的均值 (3,) 与协方差的对称平方根 (3, 3)；灰度图的协方差不满秩，加一点点对角。"""
    pixels = image.detach().cpu().double().transpose(0, 1).flatten(1)
    values, vectors = torch.linalg.eigh(
        torch.cov(pixels) + 1e-6 * torch.eye(3, dtype=torch.float64)
    )
    return pixels.mean(1), vectors @ torch.diag(values.sqrt()) @ vectors.T
