"""显著图一章：得分对像素的梯度，由它来的平滑梯度、积分梯度、分割和对抗的一步，以及类激活图。

不管网络怎样建成，也不管图怎样上色。
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.chapters.occlusion import fill_image
from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, check_maps, check_single
from cnnlab.core.hooks import record_activations, run_model
from cnnlab.core.images import stretched
from cnnlab.engine.gradients import (
    class_scores,
    explaining,
    gradient_of,
    pixel_leaf,
    score_gradient,
)
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.networks.models import checked_scores, resolve_target, target_scores


@checked
@explaining
def saliency_map(
    model: nn.Module, image: Tensor, target, *, reduce: Literal["max", "sum"] | None = "max"
) -> Tensor:
    """显著图：每个像素变一点点，目标类的得分会变多少。

    M = max_c |∂S_t/∂x_c|；S_t 是 softmax 之前的得分。`image` (N, 3, H, W)；
    reduce="max" 或 "sum" 得 (N, H, W)，不小于 0；None 得带符号的梯度 (N, 3, H, W)。
    目标类不存在、图像不合约定：ValueError。（Simonyan 等，2014）
    """
    score = class_scores(model, image, target)
    gradient = gradient_of(score, image)
    return reduce_channels(gradient, reduce)


def reduce_channels(gradient: Tensor, reduce: str | None) -> Tensor:
    """把 (N, 3, H, W) 的梯度合并成 (N, H, W)：各通道绝对值的最大或之和；None 原样返回。"""
    if reduce is None:
        return gradient
    size = gradient.abs()
    return size.amax(1) if reduce == "max" else size.sum(1)


@checked
@explaining
def gradient_times_input(model: nn.Module, image: Tensor, target) -> Tensor:
    """梯度 × 输入：把“变一点会怎样”乘上“现在是多少”，带符号 (N, 3, H, W)。

    A = x · ∂S_t/∂x，x 取 [0, 1]：黑色像素处恒为 0。（Shrikumar 等，2017）
    """
    return image.detach() * gradient_of(class_scores(model, image, target), image)


@checked
def smooth_grad(
    model: nn.Module,
    image: Tensor,
    target,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    reduce: Literal["max", "sum"] | None = "max",
) -> Tensor:
    """平滑梯度：给图像加 `samples` 次高斯噪声，带符号的梯度先平均，再合并通道。

    σ = noise · (max x − min x)，每张图各算各的；噪声不截断。noise=0 或常数图像就是普通的显著图。
    形状与 `reduce` 同 saliency_map；同一个 `seed` 结果相同，全局随机数状态不动。（Smilkov 等，2017）
    """
    low, high = check_images(image).detach().flatten(1).aminmax(dim=1)
    sigma = noise * (high - low)[:, None, None, None]
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(image)
    for _ in range(samples):
        step = torch.randn(image.shape, generator=generator, dtype=image.dtype).to(image.device)
        total += score_gradient(model, image.detach() + sigma * step, target)
    return reduce_channels(total / samples, reduce)


@checked
def integrated_gradients(
    model: nn.Module, image: Tensor, target, *, baseline=0.0, steps: int = 64
) -> Tensor:
    """积分梯度：从基线图像走直线到 `image`，沿路的梯度取平均，再乘位移；带符号 (N, 3, H, W)。

    A = (x − x₀) · (1/m) Σ_k ∂S_t/∂x 在 x₀ + (k − ½)/m · (x − x₀) 处，即中点法。
    完备性：全部 A 之和 ≈ S_t(x) − S_t(x₀)，步数 m 越大越准。
    `baseline` 是 [0, 1] 的灰度、三个数的颜色，或别的图，见 occlusion.fill_image。（Sundararajan 等，2017）
    """
    if steps < 1:
        raise ValueError(f"steps 是 {steps}，至少要 1 步")
    image = check_images(image).detach()
    start = fill_image(image, baseline)
    total = torch.zeros_like(image)
    for k in range(steps):
        total += score_gradient(model, start + (k + 0.5) / steps * (image - start), target)
    return (image - start) * total / steps


@checked(saliency="H W | N H W")
def segment_from_saliency(
    image: Tensor,
    saliency: Tensor,
    *,
    foreground: float = 0.95,
    background: float = 0.30,
    window: int = 9,
) -> Tensor:
    """由显著图分割：最亮的 5% 作前景种子、最暗的 30% 作背景种子，余下由 GrabCut 按颜色定；(H, W) 布尔掩码。

    一次一张：`image` (1, 3, H, W)，`saliency` (1, H, W) 或 (H, W)。取种子前先在 `window` 见方的窗里取平均
    （原文没有这一步；window=1 即不平均）。显著图处处相同（如全零）时没有种子可取：ValueError。
    （分位数：Simonyan 等，2014，原文用 GraphCut；GrabCut：Rother 等，2004）
    """
    import cv2

    check_single(image, "image")
    marks = seeds_from_saliency(image, saliency, foreground, background, window)
    color = image[0].detach().cpu().float().expand(3, -1, -1)  # 灰度的照片，三种颜色相同
    pixels = (color.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    kinds = torch.tensor([cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_FGD], dtype=torch.uint8)
    labels = kinds[marks + 1].numpy()
    cv2.setRNGSeed(0)  # GrabCut 的聚类用 OpenCV 自己的随机数：定住它，同样的输入给同样的掩码
    bgr = pixels.flip(2).contiguous().numpy()
    cv2.grabCut(bgr, labels, None, None, None, 5, cv2.GC_INIT_WITH_MASK)  # 5 轮
    return torch.from_numpy((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))


def seeds_from_saliency(
    image: Tensor,
    saliency: Tensor,
    foreground: float = 0.95,
    background: float = 0.30,
    window: int = 1,
) -> Tensor:
    """GrabCut 的种子 (H, W)：1 为前景，−1 为背景，0 为待定；按（平均过的）显著图的分位数取。"""
    if not 0 < background < foreground < 1 or window < 1 or window % 2 == 0:
        raise ValueError(
            f"要 0 < background < foreground < 1、window 为正奇数，得到 {background}、{foreground}、{window}"
        )
    heat = saliency.detach().cpu().double().reshape(1, 1, *image.shape[-2:])
    if heat.max() <= heat.min():
        raise ValueError(
            "显著图处处相同，分不出前景和背景的种子；查一查这一类的得分是不是恒为 0、对图像没有梯度，换一个目标类别再算"
        )
    heat = functional.avg_pool2d(heat, window, 1, window // 2, count_include_pad=False)[0, 0]
    low, high = torch.quantile(heat, torch.tensor([background, foreground], dtype=heat.dtype))
    return (heat > high).long() - ((heat <= low) & (heat < heat.max())).long()


@checked
def adversarial_step(
    model: nn.Module, image: Tensor, target, *, grey_levels: float = 1.0
) -> Tensor:
    """沿梯度的符号走一步：每个像素最多变 `grey_levels` 个灰度（一个灰度 = 1/255），目标类的得分下降。

    x′ = clip(x − ε·sign(∂S_t/∂x), 0, 1)，ε = grey_levels/255。
    （Goodfellow 等，2015）
    """
    sign = score_gradient(model, check_images(image), target).sign()
    return (image.detach() - grey_levels / 255 * sign).clamp(0, 1)


@checked
def fooling_image(
    model: nn.Module, image: Tensor, target, *, grey_levels: float = 4.0, steps: int = 20
) -> Tensor:
    """愚弄图像：每个像素离原图不超过 `grey_levels` 个灰度，却尽量像 `target` 类；(N, 3, H, W)。

    max S_t − max_{k≠t} S_k，|x′ − x| ≤ ε；用 Adam 走 `steps` 步，每步之后截回原图附近。
    不保证成功，核对预测再用。（Szegedy 等，2014；Madry 等，2018）
    """
    if grey_levels == 0:
        raise ValueError("grey_levels 是 0，应大于 0、不大于 255：原图附近得有地方可走")
    radius = grey_levels / 255
    with pixel_leaf(model, check_images(image)) as leaf:
        origin = leaf.detach()
        index = resolve_target(model, target, len(origin)).to(origin.device)

        def stay_close(moved: Tensor, gradient: Tensor, step: int) -> Tensor:
            return torch.minimum(torch.maximum(moved, origin - radius), origin + radius).clamp(0, 1)

        def loss(moved: Tensor) -> Tensor:
            return -target_margins(checked_scores(model, moved), index).sum()

        return optimize_image(
            origin, loss, steps=steps, optimizer=adam(radius / 8), after_step=stay_close
        )


def target_margins(scores: Tensor, target: Tensor) -> Tensor:
    """目标类的得分减去其余类中最高的得分 (N,)：大于 0 就认作目标类。"""
    own = target_scores(scores, target)
    return own - scores.scatter(1, target[:, None], float("-inf")).amax(1)


# 类激活图：用最后的激活图说明一类的证据在哪里


@checked
def class_activation_map(
    model: nn.Module, image: Tensor, target, *, upsample: bool = True
) -> Tensor:
    """类激活图：最后的激活图按目标类的权重相加，(N, H, W)，带符号。

    M = Σ_k w_tk A_k；原来的网格上平均，再加偏置，恰是得分。SqueezeNet 的分类卷积本身就是 M（ReLU 之后）。
    upsample=False 得原来的网格 (N, h, w)，否则双线性放大到图像大小。
    结尾不是“全局平均池化 + 线性层”（或“分类卷积 + 平均”）的网络没有这张图：ValueError。（Zhou 等，2016）
    """
    index = resolve_target(model, target, len(check_images(image)))
    network = getattr(model, "network", model)
    names = [name for name, _ in network.named_modules() if name]
    with (
        pixel_leaf(model, image) as leaf,
        torch.no_grad(),
        record_activations(network, names) as recorded,
    ):
        scores = checked_scores(model, leaf)
    target_scores(scores, index)
    tensors = [each for each in recorded.values() if isinstance(each, Tensor) and each.dim() == 4]
    maps = [each for each in tensors if each[0, 0].numel() > 1]
    heat = _from_class_maps(maps, scores, index)
    if heat is None:
        heat = _from_linear_head(network, maps, scores, index)
    return _enlarge(heat, image) if upsample else heat


def _from_class_maps(maps: list[Tensor], scores: Tensor, index: Tensor) -> Tensor | None:
    """结尾是“K 张类别图，各自平均”：目标类的那一张。"""
    wide = [each for each in maps if each.shape[1] == scores.shape[1]]
    found = [each for each in wide if _same(each.mean((2, 3)), scores)]
    if not found:
        return None
    return max(found, key=_positions)[torch.arange(len(index)), index]


def _positions(maps: Tensor) -> int:
    return maps[0, 0].numel()


def _from_linear_head(
    network: nn.Module, maps: list[Tensor], scores: Tensor, index: Tensor
) -> Tensor:
    """结尾是“全局平均池化 + 线性层”：池化之前的激活图（也试它的 ReLU），按该类的权重相加。"""
    linear = [each for each in network.modules() if isinstance(each, nn.Linear)]
    for head in [each for each in linear if each.out_features == scores.shape[1]][-1:]:
        wide = [each for each in maps if each.shape[1] == head.in_features]
        forms = wide + [each.relu() for each in wide]
        found = [each for each in forms if _same(run_model(head, each.mean((2, 3))), scores)]
        if found:
            widest = max(found, key=_positions)
            weight = head.weight.detach().to(widest)[index]
            return torch.einsum("nc,nchw->nhw", weight, widest)
    raise ValueError(
        "类激活图只对结尾是“全局平均池化 + 一个线性层”（或 SqueezeNet 那样“分类卷积 + 平均”）的网络有定义，"
        f"{type(network).__name__} 的结尾不是；出路：grad_cam(model, image, target, layer) 对任何卷积层都能算"
    )


def _same(value: Tensor, scores: Tensor) -> bool:
    """两组得分在单精度的误差之内相等；全是 0 的得分说明不了什么。"""
    return bool(scores.any()) and torch.allclose(
        value, scores, rtol=1e-3, atol=1e-4 * float(scores.abs().amax())
    )


@checked
@explaining
def grad_cam(
    model: nn.Module, image: Tensor, target, layer: str, *, upsample: bool = True
) -> Tensor:
    """梯度加权类激活图：任一卷积层的激活图，按得分对它的平均梯度加权，只留正的，(N, H, W)。

    M = ReLU(Σ_k α_k A_k)，α_k = (1/hw) Σ_ij ∂S_t/∂A_kij。双线性放大到图像大小，不作归一化；
    upsample=False 得该层的网格 (N, h, w)。层名不存在、该层没有空间维度：ValueError。（Selvaraju 等，2017）
    """
    with record_activations(model, layer) as recorded:
        score = class_scores(model, image, target)
    activation = check_maps(recorded.get(layer), layer, image)
    weight = gradient_of(score, activation).mean((2, 3), keepdim=True)
    heat = (weight * activation.detach()).sum(1).relu()
    return _enlarge(heat, image) if upsample else heat


def _enlarge(heat: Tensor, image: Tensor) -> Tensor:
    return stretched(heat[:, None], image.shape[-2:])[:, 0]
