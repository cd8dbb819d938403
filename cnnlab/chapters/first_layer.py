"""第一个卷积层：把卷积核画成图，量它们的方向选择性，看图像块与卷积核像不像。

不画图；更深的层见 middle_layers。
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.hooks import activations_of, as_seen


@checked(weight="O C k k")
def kernel_tiles(weight: Tensor, scale: Literal["each", "common"] = "each") -> Tensor:
    """把 (O, 3, k, k) 的卷积核变成可以直接看的图 (O, 3, k, k)，取值 [0, 1]，0 对应中灰。

    scale="each"：每个核除以自己的最大绝对值，看形状；scale="common"：全部除以同一个数，强弱可比。
    常数 0 的核画成中灰。
    """
    if weight.shape[1] != 3:
        raise ValueError(
            f"kernel_tiles 画的是接 RGB 图像的卷积核 (O, 3, k, k)，得到 {tuple(weight.shape)}；更深的层用 kernel_planes"
        )
    size = weight.detach().abs()
    largest = size.amax((1, 2, 3), keepdim=True) if scale == "each" else size.amax()
    return 0.5 + 0.5 * weight.detach() / largest.clamp_min(torch.finfo(weight.dtype).tiny)


@checked
def grating(angle: float, period: float, phase: float = 0.0, size: int = 64) -> Tensor:
    """一张灰色正弦光栅 (1, 3, size, size)：条纹的法线方向为 `angle`（弧度），周期为 `period` 像素。

    g(x, y) = ½ + ½ cos(2π (x cos θ + y sin θ) / T + φ)
    """
    steps = torch.arange(size, dtype=torch.float32)
    along = steps[None, :] * math.cos(angle) + steps[:, None] * math.sin(angle)
    wave = 0.5 + 0.5 * torch.cos(2 * math.pi * along / period + phase)
    return wave.expand(1, 3, size, size)


@checked
def orientation_tuning(
    model: nn.Module,
    layer: str,
    *,
    angles: int = 16,
    periods=(3, 4, 6, 8),
    phases: int = 8,
    size: int = 64,
) -> Tensor:
    """每个通道对各方向光栅的响应 (C, angles)；方向（条纹的法线）均匀分布在 [0, π)。

    响应是激活图中部的最大值减去对均匀灰图的响应，对周期和相位取最大：步幅大于 1 时，各位置凑不齐各个相位。
    出处：光栅刺激见 Hubel 与 Wiesel（1962）。
    """

    def middle(images):
        activation = activations_of(model, as_seen(model, images), layer)[layer]
        rows, columns = activation.shape[-2:]
        margin = columns // 4
        return activation[..., margin : rows - margin, margin : columns - margin]

    shifts = [2 * math.pi * step / phases for step in range(phases)]
    baseline = middle(torch.full((1, 3, size, size), 0.5)).mean((0, 2, 3))
    curves = []
    for step in range(angles):
        angle = math.pi * step / angles
        stripes = [grating(angle, period, phase, size) for period in periods for phase in shifts]
        curves.append(middle(torch.cat(stripes)).amax((0, 2, 3)) - baseline)
    return torch.stack(curves, 1)  # (C, angles)


@checked(tuning="C angles")
def orientation_index(tuning: Tensor) -> Tensor:
    """方向选择指数 (C,)：0 为对各方向一视同仁，1 为只认一个方向。

    s = |Σ r(θ) e^{2iθ}| / Σ r(θ)；角度取两倍，因为光栅转 180° 还是它自己。
    """
    response = tuning.clamp_min(0)
    angle = (2 * math.pi * torch.arange(tuning.shape[1]) / tuning.shape[1]).to(response)
    vector = torch.polar(response, angle.expand_as(response)).sum(1)
    return vector.abs() / response.sum(1).clamp_min(1e-12)


@checked(weight="O C k k", image="N C H W")
def match_patches(weight: Tensor, image: Tensor, stride: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """每个位置上图像块与卷积核的内积、余弦和图像块的范数，形状 (N, O, h, w)、(N, O, h, w)、(N, 1, h, w)。

    ⟨w, p⟩ = ‖w‖ ‖p‖ cos(w, p)：响应大，可以因为像，也可以只因为图像块的范数大。
    `image` 是卷积层真正看到的输入（归一化之后）。
    """
    response = functional.conv2d(image, weight, stride=stride)
    norm = functional.conv2d(image.square(), torch.ones_like(weight[:1]), stride=stride).sqrt()
    kernel_norm = weight.flatten(1).norm(dim=1).view(1, -1, 1, 1)
    return response, response / (kernel_norm * norm).clamp_min(1e-12), norm


@checked(kernels="O k k")
def gabor_similarity(kernels: Tensor) -> Tensor:
    """每个灰度核 (O, k, k) 与最像它的 Gabor 函数的相似度 (O,)：余弦的平方，1 为完全相同。

    G(x, y) = exp(−(x² + y²) / 2σ²) cos(2π (x cos θ + y sin θ) / T + φ)，在方向、周期、相位、宽度、中心的网格上取最好的一个。
    出处：Gabor 函数描述简单细胞，见 Jones 与 Palmer（1987）。
    """
    size = kernels.shape[-1]
    axis = torch.linspace(-1, 1, size)
    shifts = torch.linspace(-0.5, 0.5, 5) if size > 3 else torch.zeros(1)
    angles, periods = torch.linspace(0, math.pi, 13)[:-1], torch.tensor([0.7, 1.0, 1.5, 2.2, 3.2])
    phases, widths = torch.tensor([0, math.pi / 2]), torch.tensor([0.3, 0.5, 0.8])
    grid = torch.cartesian_prod(angles, periods, phases, widths, shifts, shifts)
    theta, period, phase, sigma, x0, y0 = grid.T[..., None, None]
    x, y = axis[None, None, :] - x0, axis[None, :, None] - y0
    gabors = torch.exp(-(x**2 + y**2) / (2 * sigma**2)) * torch.cos(
        2 * math.pi * (x * theta.cos() + y * theta.sin()) / period + phase
    )
    gabors, kernels = (
        functional.normalize(each.flatten(1) - each.mean((1, 2))[:, None])
        for each in (gabors.to(kernels), kernels)
    )
    return (kernels @ gabors.T).square().amax(1)
