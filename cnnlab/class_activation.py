"""类激活图与梯度加权类激活图：用最后的激活图说明一类的证据在哪里。

不管像素上的梯度，那是 saliency 的事。
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.gradients import class_scores, gradient_of, pixel_leaf
from cnnlab.hooks import find_layer, record_activations
from cnnlab.images import check_images
from cnnlab.models import resolve_target, target_scores


def class_activation_map(model: nn.Module, image: Tensor, target, *, upsample: bool = True) -> Tensor:
    """类激活图：最后的激活图按目标类的权重相加，(N, H, W)，带符号。

    M = Σ_k w_tk A_k；原来的网格上平均，再加偏置，恰是得分。SqueezeNet 的分类卷积本身就是 M（ReLU 之后）。
    upsample=False 得原来的网格 (N, h, w)，否则双线性放大到图像大小。
    结尾不是“全局平均池化 + 线性层”（或“分类卷积 + 平均”）的网络没有这张图：ValueError。（Zhou 等，2016）
    """
    index = resolve_target(model, target, len(check_images(image)))
    network = getattr(model, "network", model)
    names = [name for name, _ in network.named_modules() if name]
    with pixel_leaf(model, image) as leaf, torch.no_grad(), record_activations(network, names) as recorded:
        scores = model(leaf)
    target_scores(scores, index)
    maps = {name: each for name, each in recorded.items() if isinstance(each, Tensor) and each.dim() == 4}
    heat = _from_class_maps(maps, scores, index)
    if heat is None:
        heat = _from_linear_head(network, maps, scores, index)
    return _enlarge(heat, image) if upsample else heat


def _from_class_maps(maps: dict[str, Tensor], scores: Tensor, index: Tensor) -> Tensor | None:
    """结尾是“K 张类别图，各自平均”：目标类的那一张。"""
    found = [each for each in maps.values() if each.shape[1] == scores.shape[1] and _same(each.mean((2, 3)), scores)]
    if not found:
        return None
    widest = max(found, key=lambda each: each[0, 0].numel())
    return widest[torch.arange(len(index)), index]


def _from_linear_head(network: nn.Module, maps: dict[str, Tensor], scores: Tensor, index: Tensor) -> Tensor:
    """结尾是“全局平均池化 + 线性层”：池化之前的激活图（也试它的 ReLU），按该类的权重相加。"""
    linear = [each for each in network.modules() if isinstance(each, nn.Linear) and each.out_features == scores.shape[1]]
    for head in linear[-1:]:
        found = []
        for each in maps.values():
            if each.shape[1] == head.in_features:
                found += [form for form in (each, each.relu()) if _same(head(form.mean((2, 3))), scores)]
        if found:
            widest = max(found, key=lambda each: each[0, 0].numel())
            return torch.einsum("nc,nchw->nhw", head.weight[index].detach(), widest)
    raise ValueError(
        "类激活图只对结尾是“全局平均池化 + 一个线性层”（或 SqueezeNet 那样“分类卷积 + 平均”）的网络有定义，"
        f"{type(network).__name__} 的结尾不是；出路：grad_cam(model, image, target, layer) 对任何卷积层都能算"
    )


def _same(value: Tensor, scores: Tensor) -> bool:
    """两组得分在单精度的误差之内相等。"""
    return torch.allclose(value, scores, rtol=1e-3, atol=1e-4 * float(scores.abs().amax()))


def grad_cam(model: nn.Module, image: Tensor, target, layer: str, *, upsample: bool = True) -> Tensor:
    """梯度加权类激活图：任一卷积层的激活图，按得分对它的平均梯度加权，只留正的，(N, H, W)。

    M = ReLU(Σ_k α_k A_k)，α_k = (1/hw) Σ_ij ∂S_t/∂A_kij。双线性放大到图像大小，不作归一化；
    upsample=False 得该层的网格 (N, h, w)。层名不存在、该层没有空间维度：ValueError。（Selvaraju 等，2017）
    """
    find_layer(model, layer)
    check_images(image)
    with pixel_leaf(model, image) as leaf, record_activations(model, layer) as recorded:
        score = class_scores(model, leaf, target)
        activation = recorded.get(layer)
        if not isinstance(activation, Tensor) or activation.dim() != 4:
            found = "没有用到" if activation is None else f"的输出是 {tuple(getattr(activation, 'shape', ()))}"
            raise ValueError(f"层 {layer!r} {found}，应是 (N, C, h, w) 的激活图；换一个卷积层")
        gradient = gradient_of(score, activation)
    heat = (gradient.mean((2, 3), keepdim=True) * activation.detach()).sum(1).relu()
    return _enlarge(heat, image) if upsample else heat


def _enlarge(heat: Tensor, image: Tensor) -> Tensor:
    return functional.interpolate(heat[:, None], image.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
