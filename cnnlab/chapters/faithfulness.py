"""这些图可信吗：把权重打乱、换一个类别、删去或放回像素、埋一条捷径，看解释的图变不变。

不发明新的解释方法，也不画图；捷径网络的训练与权重见 shortcut。
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from cnnlab.chapters.guided_backprop import deconvnet_gradient, guided_gradient
from cnnlab.chapters.occlusion import average_per_pixel, fill_image, occlusion_map
from cnnlab.chapters.saliency import (
    class_activation_map,
    grad_cam,
    gradient_times_input,
    integrated_gradients,
    reduce_channels,
    saliency_map,
    smooth_grad,
)
from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import evaluating, named_layers
from cnnlab.core.measures import sobel
from cnnlab.core.names import unknown
from cnnlab.core.values import masks
from cnnlab.engine.gradients import class_outputs
from cnnlab.networks.models import resolve_target


@checked
def cascade_layers(model: nn.Module) -> list[str]:
    """有权重的层，从输出往输入数：SqueezeNet 是 conv10、fire9 …… fire2、conv1；其余网络是各个带参数的模块。"""
    owners = [
        name for name, module in named_layers(model).items() if [*module.parameters(recurse=False)]
    ]
    return [*dict.fromkeys(name.split("/")[0] for name in owners)][::-1]


@checked
def edge_map(image: Tensor) -> Tensor:
    """边缘图 (N, H, W)：灰度图的 Sobel 梯度大小。它不看网络，是一切解释图的对照。"""
    return sobel(check_images(image)).norm(dim=1)


@checked(heat="N H W", mask=masks)
def mass_inside(heat: Tensor, mask: Tensor) -> Tensor:
    """图上正的部分有多少落在区域里 (N,)，0 到 1。`heat` (N, H, W)，`mask` 是同形状的布尔；没有正的部分是 NaN。"""
    if heat.shape != mask.shape:
        raise ValueError(f"热力图 {tuple(heat.shape)} 与区域 {tuple(mask.shape)} 应同形状")
    positive = heat.clamp_min(0)
    return (positive * mask).sum((1, 2)) / positive.sum((1, 2))


@checked(heat="N H W")
def deletion_curve(
    model: nn.Module,
    image: Tensor,
    target,
    heat: Tensor,
    *,
    steps: int = 10,
    fill="mean",
    output: Literal["score", "probability"] = "probability",
) -> Tensor:
    """删除曲线 (N, steps + 1)：从热力图最强处起，逐步把像素换成 `fill`，目标类的概率怎样降；降得快才好。

    第 k 个数是换掉 k/steps 的像素之后；`heat` (N, H, W) 从大到小，`fill` 见 occlusion.fill_image。
    output="score" 看得分。换过的图已不像照片，曲线也受它影响。（Petsiuk 等，2018；Hooker 等，2019）
    """
    image = check_images(image).detach()
    return _replacing(model, image, fill_image(image, fill), target, heat, steps, output)


@checked(heat="N H W")
def insertion_curve(
    model: nn.Module,
    image: Tensor,
    target,
    heat: Tensor,
    *,
    steps: int = 10,
    fill="mean",
    output: Literal["score", "probability"] = "probability",
) -> Tensor:
    """插入曲线 (N, steps + 1)：从 `fill` 起，按热力图由强到弱把像素放回去，目标类的概率怎样升；升得快才好。

    参数同 deletion_curve；两条曲线的端点相同，次序相反。（Petsiuk 等，2018）
    """
    image = check_images(image).detach()
    return _replacing(model, fill_image(image, fill), image, target, heat, steps, output)


@checked(curve="N steps")
def curve_area(curve: Tensor) -> Tensor:
    """曲线下的面积 (N,)：横轴从 0 到 1，梯形法。"""
    if curve.shape[1] < 2:
        raise ValueError(f"curve 是 {tuple(curve.shape)}，每条曲线至少要两个点")
    return (curve[:, 1:] + curve[:, :-1]).mean(1) / 2


@checked
def explain(
    model: nn.Module,
    image: Tensor,
    target,
    method: str,
    *,
    layer: str | None = None,
    rounds: int = 8,
) -> Tensor:
    """用 `method` 解释目标类，统一成一张热力图 (N, H, W)，越大越要紧。

    梯度一类取绝对值、跨通道取最大；类激活图、遮挡图保留正负。方法名见 METHODS，"edges" 是不看网络的对照。
    `layer` 只有 "grad_cam" 用；`rounds` 是平滑梯度的次数、积分梯度的步数；遮挡的窗是边长的三分之一，步幅是窗的一半。
    """
    if method not in METHODS:
        raise unknown("方法", method, METHODS)
    if method == "grad_cam" and layer is None:
        raise ValueError('方法 "grad_cam" 要用 layer 指明哪一层，例如 SqueezeNet 的 "fire9"')
    own = {
        "smooth_grad": {"samples": rounds},
        "integrated_gradients": {"steps": rounds},
        "grad_cam": {"layer": layer},
    }
    heat = METHODS[method](model, image, target, **own.get(method, {}))
    return reduce_channels(heat, "max") if heat.dim() == 4 else heat


def _replacing(
    model, start: Tensor, end: Tensor, target, heat: Tensor, steps: int, output: str
) -> Tensor:
    """从 `start` 到 `end`，按热力图由强到弱换像素，每一步目标类的得分或概率。"""
    if steps < 1:
        raise ValueError(f"steps 是 {steps}，至少 1 步")
    index = resolve_target(model, target, len(start)).to(start.device)
    pixels = heat[0].numel()
    order = heat.detach().flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).view(heat.shape).to(start.device)
    values = []
    with torch.no_grad(), evaluating(model):
        for step in range(steps + 1):
            changed = (rank < round(pixels * step / steps))[:, None]
            values.append(class_outputs(model, torch.where(changed, end, start), index, output))
    return torch.stack(values, 1)


def _occlusion(model: nn.Module, image: Tensor, target) -> Tensor:
    """遮挡的下降摊到每个像素上；窗是边长的三分之一，步幅是窗的一半。"""
    window = max(1, min(image.shape[-2:]) // 3)
    places = {"window": window, "stride": max(1, window // 2)}
    drop = occlusion_map(model, image, target, **places)
    return average_per_pixel(drop, image.shape[-2:], **places)


METHODS: dict[str, Callable] = {
    "gradient": saliency_map,
    "gradient_times_input": gradient_times_input,
    "smooth_grad": smooth_grad,
    "integrated_gradients": integrated_gradients,
    "guided": lambda model, image, target: guided_gradient(model, image, target=target),
    "deconvnet": lambda model, image, target: deconvnet_gradient(model, image, target=target),
    "class_activation_map": class_activation_map,
    "grad_cam": grad_cam,
    "occlusion": _occlusion,
    "edges": lambda model, image, target: edge_map(image),
}
