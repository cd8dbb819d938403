"""引导式反向传播一章：改写 ReLU 的回传规则，再对一个类别或一个神经元求像素的梯度。

规则本身在 hooks；这里只管对什么求、何时拒绝。
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from cnnlab.chapters.patches import image_at
from cnnlab.core.arguments import checked
from cnnlab.core.checks import describe, two_wholes, whole
from cnnlab.core.hooks import activations_of
from cnnlab.core.relu_rules import override_relu_gradient, refuse_unruled
from cnnlab.engine.gradients import class_scores, explaining, gradient_of


@checked
def guided_gradient(
    model: nn.Module, image: Tensor, *, target=None, layer=None, channel=None, position=None
) -> Tensor:
    """引导式反向传播：ReLU 只放行“前向大于 0 且传回的梯度也大于 0”的地方，得 (N, 3, H, W)，带符号。

    对谁求：`target` 一类的得分；或 `layer`、`channel` 指定的通道，`position=(行, 列)` 取其中一个神经元，
    "max" 取每张图激活最大的那个，None 取整个通道的平均。两种目标恰给一种。
    有 ReLU 类的激活没法按规则回传时 ValueError，不会悄悄给出普通梯度。（Springenberg 等，2015）
    """
    return ruled_gradient(
        model, image, "guided", target=target, layer=layer, channel=channel, position=position
    )


@checked
def deconvnet_gradient(
    model: nn.Module, image: Tensor, *, target=None, layer=None, channel=None, position=None
) -> Tensor:
    """反卷积网络的梯度：ReLU 只看传回的梯度是否大于 0，不看前向；其余同 guided_gradient。

    最大池化按前向的位置回传，即论文的 switches。（Zeiler 与 Fergus，2014）
    """
    return ruled_gradient(
        model, image, "deconvnet", target=target, layer=layer, channel=channel, position=position
    )


@checked
@explaining
def ruled_gradient(
    model: nn.Module, image: Tensor, rule, *, target=None, layer=None, channel=None, position=None
) -> Tensor:
    """按 `rule`（"plain"、"deconvnet"、"guided" 或函数）回传的像素梯度 (N, 3, H, W)。"""
    with override_relu_gradient(model, rule):
        value = explained_value(model, image, target, layer, channel, position)
        refuse_unruled(value)  # 有一处激活没按规则回传，就报错
        return gradient_of(value, image)


def explained_value(model: nn.Module, image: Tensor, target, layer, channel, position) -> Tensor:
    """对谁求梯度 (N,)：目标类的得分，或 `layer` 里的一个神经元、一个通道；恰给一种。"""
    if (target is None) == (layer is None) or (layer is None) != (channel is None):
        raise ValueError("对谁求梯度要恰给一种：target=类别，或 layer=层名加 channel=通道号")
    if layer is None:
        return class_scores(model, image, target)
    return neuron_values(activations_of(model, image, layer)[layer], channel, position)


@checked
def guided_patches(model: nn.Module, patches, layer: str) -> Tensor:
    """最大激活区块（`Patches`）旁边的那一半图：同一个神经元的引导式梯度，剪到同样的感受野，(C, k, 3, 高, 宽)。

    T = ½ + ½ g / max |g|：每块除以自己的最大绝对值，0 是中灰，图像之外也是中灰；全零的梯度画成一片灰。
    `layer` 是求这些区块时的层。（Springenberg 等，2015）
    """
    rows = []
    for row, channel in enumerate(patches.channels):
        tiles = []
        for rank in range(patches.values.shape[1]):
            image = image_at(patches.images, int(patches.image_index[row, rank]))
            place = {"channel": channel, "position": patches.positions[row, rank].tolist()}
            found = guided_gradient(model, image[None], layer=layer, **place)
            tile = 0.5 + 0.5 * found / found.abs().amax().clamp_min(torch.finfo(found.dtype).tiny)
            alone = replace(patches, images=tile, image_index=torch.zeros_like(patches.image_index))
            tiles.append(alone.crop(row, rank))
        rows.append(torch.stack(tiles))
    return torch.stack(rows)


def neuron_values(activation: Tensor, channel, position=None) -> Tensor:
    """每张图的一个数 (N,)：一个神经元（position 为 (行, 列) 或 "max"），或整个通道的平均（None）。

    `activation` 是 (N, C, h, w)；没有空间维度的 (N, C) 直接取第 `channel` 个数。
    """
    chosen = activation[:, whole(channel, "channel", 0, activation.shape[1] - 1)]
    if chosen.dim() == 1:
        return chosen
    if position is None:
        return chosen.flatten(1).mean(1)
    if isinstance(position, str):
        if position != "max":
            raise ValueError(
                f'position 是 {describe(position)}；可用 (行, 列)、"max" 或 None（整个通道）'
            )
        return chosen.flatten(1).amax(1)
    row, column = two_wholes(position, "position")
    height, width = chosen.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"position 是 ({row}, {column})，这一层只有 {height} 行 {width} 列，从 0 数起"
        )
    return chosen[:, row, column]
