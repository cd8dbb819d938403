"""快速风格迁移：训练一个前馈网络，让它一次前向就给出迭代要几十上百步才得到的图。

不管训练循环本身（见 training）；损失的各项与图像神经风格迁移相同（见 terms）。
"""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.chapters.style_transfer import check_weights, content_layer_of
from cnnlab.chapters.texture import activations_at, texture_layers
from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import activations_of, device_of, evaluating, run_model
from cnnlab.engine.objectives import Objective, objective
from cnnlab.engine.priors import total_variation
from cnnlab.engine.terms import feature_distance, gram_distance, gram_matrix, image_prior
from cnnlab.engine.training import Training, cosine, fit, random_square
from cnnlab.networks.stylizers import StylizationNetwork
from cnnlab.pictures.photos import PhotoFolder

MINIMUM = 32
JITTER = 8  # 训练时输出随机移开至多这么多像素才交给损失网络
# 训练随包的网络时没有用的照片：只用来看、来量
STYLIZER_HELD_OUT = (
    "panda",
    "taj_mahal",
    "fish12",
    "windmill3",
    "red_panda",
    "scarlet_macaw",
    "dog",
    "horse",
    "koala",
    "crab",
    "owl",
    "neuschwanstein_castle",
    "eiffel_tower",
    "eiffel_tower_2",
    "great_wall",
    "opera_house",
    "fish5",
    "dam2",
    "cup",
    "volleyball",
    "scissors2",
    "orchestra",
)


@checked
def style_grams(model: nn.Module, styles, layers=None) -> dict[str, Tensor]:
    """每种风格在各层的 Gram 矩阵：{层名: (S, C, C)}。`styles` 是 (S, 3, H, W) 或尺寸可以不同的一列图。

    `layers` 默认与纹理合成的相同（见 texture_layers），"image" 指像素自己。
    """
    pictures = [
        check_images(each if each.dim() == 4 else each[None], minimum=MINIMUM) for each in styles
    ]
    if not pictures:
        raise ValueError("一张风格图也没有：styles 里至少要有一张")
    layers = texture_layers(model) if layers is None else list(layers)
    found = [activations_at(model, picture, layers) for picture in pictures]
    return {layer: torch.cat([gram_matrix(each[layer]) for each in found]) for layer in layers}


@checked
def stylization_loss(
    model: nn.Module,
    content: Tensor,
    grams: dict[str, Tensor],
    *,
    content_layer: str | None = None,
    content_weight: float = 1.0,
    style_weight: float = 20.0,
    tv: float = 0.1,
) -> Objective:
    """内容 + 风格 + 全变差，对一批里的各图求和：训练前馈网络与逐图迭代最小化的是同一个损失。

    `grams` 是 {层名: (1 或 N, C, C)}；风格项对各层取平均。权重为负，或内容与风格的权重都是 0：ValueError。
    """
    check_weights(content_weight, style_weight)
    content_layer = content_layer or content_layer_of(model)
    target = activations_of(model, content, content_layer)[content_layer]
    terms = [content_weight * feature_distance(target, content_layer)]
    terms += [
        style_weight / len(grams) * gram_distance(gram, layer) for layer, gram in grams.items()
    ]
    return objective(model, [*terms, tv * image_prior(total_variation)])


def content_reader(contents) -> tuple[int, Callable[[int], Tensor]]:
    """照片的张数，与读第几张的函数 → (1, 3, H, W)。`contents` 是张量、`ImageSet`，或放照片的文件夹。

    文件夹里的照片用到才读，多大的文件夹都行；打不开的跳过，警告里报出个数与名字，由下一张顶替。
    """
    if isinstance(contents, (str, Path)):
        return _folder_reader(Path(contents))
    images = check_images(getattr(contents, "images", contents), minimum=MINIMUM)
    return len(images), lambda index: images[index : index + 1]


def _folder_reader(root: Path) -> tuple[int, Callable[[int], Tensor]]:
    folder = PhotoFolder(root, size=None)
    folder.check_headers()
    folder.warn_of_broken()

    def read(index: int) -> Tensor:
        known = len(folder.broken)
        for place in [*range(index, len(folder)), *range(index)]:
            image = folder.read(place)
            if len(folder.broken) > known:
                folder.warn_of_broken()
            if image is not None:
                return image
        raise ValueError(f"{root} 里的 {len(folder)} 张照片没有一张读得出来")

    return len(folder), read


def content_crops(
    contents, *, batch_size: int = 4, size: int = 128
) -> Callable[[int, torch.Generator], Tensor]:
    """`fit` 要的批次 (batch_size, 3, size, size)：随机的照片上随机的方块，边长从 size 到短边，缩到 size，一半左右翻转。"""
    count, read = content_reader(contents)

    def piece(generator: torch.Generator) -> Tensor:
        image = read(int(torch.randint(count, (), generator=generator)))
        image = random_square(image, size, generator)
        return image.flip(-1) if torch.rand((), generator=generator) < 0.5 else image

    return lambda step, generator: torch.cat([piece(generator) for _ in range(batch_size)])


@checked
def train_stylizer(
    network: StylizationNetwork,
    model: nn.Module,
    contents,
    styles,
    *,
    steps: int = 700,
    batch_size: int = 4,
    size: int = 128,
    learning_rate: float = 2e-3,
    checkpoint=None,
    seed: int = 0,
    on_step=None,
    **weights,
) -> Training:
    """训练前馈网络（就地，在 `model` 的设备上）；`styles` 与网络的风格一样多，一批里的图轮流用各种风格。

    `weights` 交给 `stylization_loss`。损失网络 `model` 只传梯度，权重不动。出处：Johnson 等，2016。
    交给它之前，输出与照片一同随机移开几个像素：它的步幅偏爱与自己网格对齐的花纹，不移就会画进图里。
    """
    grams = style_grams(model, styles, weights.pop("style_layers", None))
    given = len(next(iter(grams.values())))
    if given != network.n_styles:
        raise ValueError(f"网络有 {network.n_styles} 种风格，styles 却有 {given} 张图；应当一样多")
    network.to(device_of(model))
    pieces = content_crops(contents, batch_size=batch_size, size=size)

    def batches(step, generator):
        first = step * batch_size
        return pieces(step, generator), torch.arange(first, first + batch_size) % network.n_styles

    def loss(network, batch):
        content, style = batch[0].to(device_of(model)), batch[1]
        chosen = {layer: gram[style] for layer, gram in grams.items()}
        made, content = moved_together(network(content, style), content)
        return stylization_loss(model, content, chosen, **weights)(made) / len(content)

    options = {"learning_rate": learning_rate, "schedule": cosine, "save_every": 50}
    options |= {"checkpoint": checkpoint, "seed": seed, "on_step": on_step}
    return fit(network, loss, batches, steps=steps, **options)


def moved_together(*batches: Tensor) -> list[Tensor]:
    """几批同样大的图，裁去同一圈：裁在哪里是随机的，至多移开 JITTER 个像素。"""
    sides = batches[0].shape[-2:]
    slack = min(JITTER, min(sides) // 8)
    top, left = torch.randint(slack, (2,)).tolist()
    height, width = (side - slack for side in sides)
    return [batch[..., top : top + height, left : left + width] for batch in batches]


@checked
def stylize(network: nn.Module, image: Tensor, style=0) -> Tensor:
    """把一批图风格化，一次前向：(N, 3, H, W)，尺寸不变。`style` 同网络的前向：序号，或混合权重。"""
    check_images(image, minimum=MINIMUM)
    with evaluating(network), torch.no_grad():
        return run_model(network, image, style)


@checked
def equal_steps(losses, loss: float) -> int | None:
    """逐图迭代的损失 `losses`（第 0 个是起点）第一次不高于 `loss` 是在第几步；一直高于它则为 None。"""
    return next((index for index, value in enumerate(losses) if value <= loss), None)


@checked
def break_even(training: float, fast: float, slow: float) -> int:
    """画多少张图之后训练才划算：最小的 n，使 training + n·fast ≤ n·slow（都以秒计）。"""
    if fast >= slow:
        raise ValueError(f"前馈一张要 {fast:g} 秒，不比逐图迭代的 {slow:g} 秒快，训练永远不划算")
    return math.ceil(training / (slow - fast))


@checked
def period_energy(images: Tensor, period: int) -> float:
    """一批图在周期 `period` 像素处的能量，是附近各周期的几倍；1 左右是没有这个周期。

    各图的亮度乘汉宁窗、求功率谱、取平均。横、竖、斜三处 (N/p, 0)、(0, N/p)、(N/p, N/p) 各取 3×3 格，
    除以沿同一方向前后 5 至 9 格的几何平均（照片的谱随频率下降，前后一平均就抵消），取三处里最大的。
    """
    side = min(images.shape[-2:])
    grey = images[..., :side, :side].mean(1)
    window = torch.hann_window(side, device=images.device)
    grey = (grey - grey.mean((1, 2), keepdim=True)) * window[:, None] * window
    power = torch.fft.fft2(grey).abs().square().mean(0)
    if not power.max() > 0:
        raise ValueError("图像处处相同，没有任何周期的能量")

    def around(down: int, right: int, move: int) -> Tensor:
        place = (1 - down * (side // period + move), 1 - right * (side // period + move))
        return power.roll(place, (0, 1))[:3, :3].mean()

    ratios = []
    for down, right in ((1, 0), (0, 1), (1, 1)):
        near = [around(down, right, move) for move in (-9, -7, -5, 5, 7, 9)]
        ratios.append(around(down, right, 0) / torch.stack(near).log().mean().exp())
    return max(ratios).item()
