"""量图与比图：相关、秩相关、亮度、Sobel、高频的份额；缩小再放大、打散成块，是量之前对图做的事。

不管数从哪里来，也不画图。相关收张量、数组或列表，给 CPU 上的双精度张量。
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, finite_ends
from cnnlab.core.images import resize, stretched
from cnnlab.core.values import indices, label_codes, labels

LUMA = (0.299, 0.587, 0.114)  # 亮度的三个系数：ITU-R BT.601


@checked
def correlation(a, b) -> Tensor:
    """逐对的相关系数 (N,)，−1 到 1：a、b 同形状 (N, …)，每一对的全部数一起算；一维的一对得一个数。

    r = Σ(a−ā)(b−b̄) / (‖a−ā‖ ‖b−b̄‖)。有一边处处相同，相关没有定义，得 NaN。（Pearson，1896）
    """
    first, second = (each - each.mean(-1, keepdim=True) for each in _pairs(a, b))
    return (first * second).sum(-1) / (first.norm(dim=-1) * second.norm(dim=-1))


@checked
def rank_correlation(a, b) -> Tensor:
    """逐对的秩相关 (N,)，−1 到 1：只比哪里强哪里弱，不比数值。形状的约定与 correlation 相同。

    ρ = 名次的相关系数，并列的取平均名次；有一边处处相同得 NaN。（Spearman，1904）
    """
    return correlation(*(average_ranks(each) for each in _pairs(a, b)))


def average_ranks(values: Tensor) -> Tensor:
    """最后一维上各数的名次，从 0 起；并列的取平均名次。"""
    from scipy.stats import rankdata

    return torch.from_numpy(rankdata(values.cpu().numpy(), axis=-1) - 1).to(values.device)


def _pairs(a, b) -> list[Tensor]:
    """两组数各自摊成 (N, M)（一维的保持一维），双精度；先减去每行第一个数，处处相同的行就恰好是 0。"""
    pair = [torch.as_tensor(each).detach().cpu().double() for each in (a, b)]
    if pair[0].shape != pair[1].shape or not pair[0].dim() or not pair[0].numel():
        shapes = " 和 ".join(str(tuple(each.shape)) for each in pair)
        raise ValueError(f"要比较的两组数应同形状，(N, …) 或一维，且不空；得到 {shapes}")
    for each in pair:
        finite_ends(each, "要比较的数")
    rows = [each.flatten(1) if each.dim() > 1 else each for each in pair]
    return [each - each[..., :1] for each in rows]


@checked(image="N 3 H W")
def luminance(image: Tensor) -> Tensor:
    """亮度 Y = 0.299 R + 0.587 G + 0.114 B：(N, 3, H, W) → (N, 1, H, W)。"""
    return (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


@checked
def sobel(image: Tensor) -> Tensor:
    """Sobel 算子：灰度图在横、竖两个方向的变化 (N, 2, H, W)，边界重复最外一圈。

    横向的核是 [1 2 1]ᵀ ⊗ [−1 0 1] / 8，竖向是它的转置；亮度每像素变 1，响应就是 1。（Sobel 与 Feldman，1968）
    """
    grey = check_images(image, bounded=False).mean(1, keepdim=True)
    smooth, change = grey.new_tensor([1.0, 2.0, 1.0]) / 4, grey.new_tensor([-1.0, 0.0, 1.0]) / 2
    kernel = torch.stack([torch.outer(smooth, change), torch.outer(change, smooth)])[:, None]
    return functional.conv2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), kernel)


@checked
def frequency_share(image: Tensor, cutoff: float = 0.125) -> Tensor:
    """高频份额 (N,)：去掉均值之后，频率高于 `cutoff`（每像素的周期数）的能量占全部能量的多少。

    先乘一个汉宁窗：边缘不接的图不会因此凭空多出高频。照片的能量集中在低频，份额小。
    """
    height, width = image.shape[-2:]
    energy = torch.fft.fft2(faded(image)).abs().square().sum(1)
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    high = torch.hypot(rows, columns) > cutoff
    # 常数图减去均值只剩浮点误差：算作没有高频
    total = energy.sum((1, 2))
    return torch.where(total > 1e-6 * energy[0].numel(), energy[:, high].sum(1) / total, 0.0)


def faded(image: Tensor) -> Tensor:
    """减去各通道的均值，再乘汉宁窗：边缘渐隐为 0，求频谱时不因边缘不接而多出高频。"""
    height, width = (torch.hann_window(side, periodic=False) for side in image.shape[-2:])
    return (image - image.mean((2, 3), keepdim=True)) * torch.outer(height, width).to(image)


@checked
def halve_and_restore(image: Tensor) -> Tensor:
    """缩到一半再放大回原来的尺寸（双线性，缩小时先平滑）：只损失最细的那一层细节。"""
    height, width = image.shape[-2:]
    return stretched(resize(image, (height // 2, width // 2)), (height, width))


@checked
def shuffle_blocks(image: Tensor, side: int, seed: int = 0) -> Tensor:
    """把图切成 side×side 的块，随机换位（各图同一个次序）；不满一块的边留在原处。比块大的结构被打散，块里的不变。"""
    height, width = (length // side * side for length in image.shape[-2:])
    if not height * width:
        raise ValueError(f"块的边长 {side} 比图像 {tuple(image.shape[-2:])} 大；块应小于图像")
    blocks = functional.unfold(image[..., :height, :width], side, stride=side)
    order = torch.randperm(blocks.shape[-1], generator=torch.Generator().manual_seed(seed))
    out = image.clone()
    out[..., :height, :width] = functional.fold(
        blocks[..., order.to(blocks.device)], (height, width), side, stride=side
    )
    return out


@checked(crops="C k 3 H W")
def row_similarity(crops: Tensor, size: int = 8) -> Tensor:
    """每行区块彼此有多像，(C,)：缩成 size×size，各减去自己的平均，两两余弦的平均。

    `crops` 是 (C, k, 3, 高, 宽)。只看像素，不经过网络，所以不会自己证明自己。
    """
    if crops.shape[1] < 2:
        raise ValueError("每行只有一块，没有两两可比；k 至少是 2")
    small = resize(crops.flatten(0, 1), (size, size)).flatten(1)
    centred = functional.normalize(small - small.mean(1, keepdim=True), dim=1)
    rows = centred.unflatten(0, crops.shape[:2])
    k = crops.shape[1]
    cosines = rows @ rows.mT
    return (cosines.sum((1, 2)) - cosines.diagonal(dim1=1, dim2=2).sum(1)) / (k * (k - 1))


@checked(image_index=indices, labels=labels)
def row_agreement(image_index: Tensor, labels: Sequence) -> Tensor:
    """每行的照片两两同类的比例，(C,)：`image_index` 是 (C, k)，`labels` 是每张照片的类别。"""
    if image_index.dim() != 2 or image_index.shape[1] < 2:
        raise ValueError(f"image_index 是 {tuple(image_index.shape)}，应为 (C, k)，k 至少是 2")
    codes = label_codes(labels)[image_index.cpu()]
    k = codes.shape[1]
    return ((codes[:, :, None] == codes[:, None]).sum((1, 2)) - k) / (k * (k - 1))
