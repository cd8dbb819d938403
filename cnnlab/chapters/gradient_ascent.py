"""梯度上升：合成使一个类的得分或一个通道的激活最大的图像，量它有多自然、得分有多经得起变换。

不画图；从照片簇出发与优化代码见 facets，放大整层激活见 deepdream。
"""

import json

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.core.hooks import activations_of
from cnnlab.core.images import load_image
from cnnlab.core.paths import DATA
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.parameterizations import FourierImage, PixelImage, start_image
from cnnlab.engine.priors import (
    clamp,
    clip_small_contribution,
    clip_small_norm,
    compose,
    gaussian_blur,
    jitter,
    l2,
    random_rotate,
    robust_transforms,
    total_variation,
)
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import Term, class_score, image_prior
from cnnlab.engine.terms import channel as channel_term
from cnnlab.networks.models import resolve_target, target_scores
from cnnlab.pictures.photos import ImageSet, photos

GALLERY_FOLDER = DATA / "class_images"
# 自然先验看这几层的统计量：层 -> 权重
STATISTIC_LAYERS = {
    "conv1": 0.5,
    "fire2": 1.0,
    "fire3": 1.0,
    "fire4": 1.0,
    "fire6": 1.0,
    "fire8": 0.5,
}


@reproducible
def class_image(
    model,
    target,
    *,
    size=224,
    steps=256,
    learning_rate=0.05,
    parameterization="fourier",
    start="noise",
    decay=1.0,
    robust=True,
    crop=0.0,
    views=1,
    natural=0.0,
    l2_weight=0.0,
    tv=0.0,
    blur=0.0,
    small_norm=0.0,
    small_contribution=0.0,
    jitter_pixels=0,
    seed=0,
    on_step=None,
):
    """使目标类得分最大的图像：Result，image 为 (N, 3, size, size)，history 有每项的值。

    最大化 s_c(T(x)) − Σ λ·先验；得分取 softmax（及结尾的 ReLU）之前的。`target` 是一个类，或每张图一个的列表。
    `parameterization` 为 "fourier"（`start` 只能是 "noise"；`decay` 是高频减慢的程度）或 "pixel"。
    `robust` 加补边、移位、缩放、旋转；`crop` 改为随机取景：每次看边长 crop 到 1 倍的一个方块，放大到原来的尺寸。
    `views` 是每步平均几次随机变换；`natural` 是照片统计量先验的权重（层名是 SqueezeNet 的）。
    `blur`（σ，每 4 步）、`small_norm`、`small_contribution`（百分位）只用于像素；每样都可以单独开。
    出处：Erhan 等，2009；Simonyan 等，2014；Yosinski 等，2015；Olah 等，2017。
    """
    targets = (
        [target]
        if isinstance(target, int | str)
        else target.tolist()
        if isinstance(target, Tensor)
        else list(target)
    )
    options = {
        key: value for key, value in locals().items() if key not in ("model", "target", "targets")
    }
    return _ascend(model, class_score(targets * views), len(targets), **options)


@reproducible
def channel_image(
    model,
    layer,
    channel,
    position=None,
    *,
    size=128,
    steps=128,
    learning_rate=0.05,
    parameterization="fourier",
    start="noise",
    decay=1.0,
    robust=True,
    crop=0.0,
    views=1,
    natural=0.0,
    l2_weight=0.0,
    tv=0.0,
    blur=0.0,
    small_norm=0.0,
    small_contribution=0.0,
    jitter_pixels=0,
    seed=0,
    on_step=None,
):
    """使一个通道的激活最大的图像：Result，image 为 (N, 3, size, size)；其余参数同 `class_image`。

    `channel` 是通道号，或每张图一个的列表。`position` 为 None 取全图平均；"center" 取正中的一个神经元，
    (行, 列) 取一处；看一个神经元时用 robust=False，否则它会在变换里移来移去。出处：Erhan 等，2009。
    """
    channels = [channel] if isinstance(channel, int) else list(channel)
    options = {
        key: value
        for key, value in locals().items()
        if key not in ("model", "layer", "channel", "channels", "position")
    }
    return _ascend(model, channel_term(layer, channels * views, position), len(channels), **options)


def _ascend(
    model,
    term: Term,
    count: int,
    *,
    size,
    steps,
    learning_rate,
    parameterization,
    start,
    decay,
    seed,
    on_step,
    **options,
):
    """两种合成共用的一段：起点、各项、变换、投影，交给唯一的优化循环。"""
    device = next(iter(model.buffers()), next(iter(model.parameters()), torch.empty(0))).device
    generator = torch.Generator().manual_seed(seed)
    if parameterization == "fourier":
        if start != "noise" or any(
            options[key] for key in ("blur", "small_norm", "small_contribution")
        ):
            raise ValueError(
                '傅里叶参数只从 "noise" 出发，也不用模糊和截小值（它们作用在像素上）；改用 parameterization="pixel"'
            )
        picture, projections = FourierImage(size, n=count, decay=decay, seed=seed), None
    elif parameterization == "pixel":
        picture = PixelImage(start_image(start, size, n=count, seed=seed))
        projections = _projections(options)
    else:
        raise ValueError(f'没有名为 {parameterization!r} 的参数化；可用 "fourier" 或 "pixel"')
    terms = [-(1 / options["views"]) * term, *_priors(options)]
    if options["natural"]:
        terms += [
            options["natural"] / options["views"] * each
            for each in natural_statistics(model, size=size)
        ]
    loss = objective(model, terms, transform=_transform(options, generator))
    image = optimize_image(
        picture.to(device),
        loss,
        steps=steps,
        optimizer=adam(learning_rate),
        after_step=projections,
        on_step=on_step,
    )
    return image, {"loss": loss.losses, **loss.ledger}


def _priors(options: dict) -> list[Term]:
    priors = {
        "l2": (l2, options["l2_weight"]),
        "tv": (lambda image: total_variation(image, power=1), options["tv"]),
    }
    return [
        image_prior(function, weight, name=name)
        for name, (function, weight) in priors.items()
        if weight
    ]


def _projections(options: dict) -> list:
    makers = {
        "blur": gaussian_blur,
        "small_norm": clip_small_norm,
        "small_contribution": clip_small_contribution,
    }
    return [make(options[key]) for key, make in makers.items() if options[key]] + [clamp()]


def _transform(options: dict, generator: torch.Generator):
    """每步送进网络之前的随机变换：`views` 份叠成一批，梯度因此是各份的平均。"""
    moves = (
        [jitter(options["jitter_pixels"], generator=generator)] if options["jitter_pixels"] else []
    )
    if options["crop"]:
        moves += [
            random_crop(options["crop"], generator=generator),
            random_rotate(generator=generator),
            jitter(8, generator=generator),
        ]
    elif options["robust"]:
        moves.append(robust_transforms(generator=generator))
    if options["views"] == 1:
        return compose(*moves) if moves else None

    def several(image: Tensor) -> Tensor:
        seen = [compose(*moves)(image) for _ in range(options["views"])]
        return torch.cat(
            [
                functional.interpolate(each, image.shape[-2:], mode="bilinear", align_corners=False)
                for each in seen
            ]
        )

    return several


def random_crop(smallest: float, *, generator: torch.Generator):
    """随机取景：边长 smallest 到 1 倍的方块，位置随机，放大到原来的尺寸；一半的时候左右翻转，一半的时候缩小再放大。"""
    if not 0 < smallest <= 1:
        raise ValueError(f"取景的最小比例是 {smallest}，应在 (0, 1]")

    def crop(image: Tensor) -> Tensor:
        share, down, across, flip, soften = torch.rand(5, generator=generator).tolist()
        height, width = (
            round(side * (smallest + (1 - smallest) * share)) for side in image.shape[-2:]
        )
        top, left = (
            round(down * (image.shape[-2] - height)),
            round(across * (image.shape[-1] - width)),
        )
        seen = image[..., top : top + height, left : left + width]
        seen = functional.interpolate(seen, image.shape[-2:], mode="bilinear", align_corners=False)
        seen = halve_and_restore(seen) if soften < 0.5 else seen
        return seen.flip(-1) if flip < 0.5 else seen

    return crop


def natural_statistics(
    model: nn.Module, *, size: int = 224, layers: dict[str, float] = STATISTIC_LAYERS
) -> list[Term]:
    """自然先验：各层每个通道的均值、标准差离照片的有多远（以照片之间的标准差为单位，平方后对通道平均），每层一项。

    `layers` 是 {层: 权重}；默认的层名是 SqueezeNet 的。

    照片的统计量取自随书照片（三张取一张）。出处：Yin 等，Dreaming to Distill，2020（那里用批归一化里存的统计量）。
    """
    images = photos(size=size).images[::3]
    device = next(iter(model.buffers()), torch.empty(0)).device
    seen = [activations_of(model, chunk.to(device), list(layers)) for chunk in images.split(24)]
    return [
        weight * _statistics_term(layer, torch.cat([_statistics(part[layer]) for part in seen]))
        for layer, weight in layers.items()
    ]


def _statistics(activation: Tensor) -> Tensor:
    """每个通道的均值与标准差 (N, 2C)。"""
    return torch.cat([activation.mean((2, 3)), activation.std((2, 3))], 1)


def _statistics_term(layer: str, measured: Tensor) -> Term:
    center, spread = measured.mean(0), measured.std(0)
    spread = spread.clamp_min(1e-3 * float(spread.max()))

    def distance(values) -> Tensor:
        return ((_statistics(values[layer]) - center) / spread).square().mean(1).sum()

    return Term(f"natural {layer}", (layer,), distance)


def photo_as_class(
    model: nn.Module, image: Tensor, target, *, steps: int = 20, step_size: float = 0.002
) -> Tensor:
    """照片几乎不变、却被认成 `target` 的图像 (N, 3, H, W)：同一个梯度上升，从照片出发，每步约动 `step_size`。

    出处：Szegedy 等，2014；Nguyen 等，2015。
    """
    loss = objective(model, -class_score(target))
    return optimize_image(image, loss, steps=steps, optimizer=adam(step_size), after_step=clamp())


def class_gallery() -> ImageSet:
    """随书的十张类图像（由 tools/make_class_images.py 合成）：images (10, 3, 224, 224)，names 是类名，attribution 是设置。"""
    settings = json.loads((GALLERY_FOLDER / "settings.json").read_text(encoding="utf-8"))
    images = torch.cat([load_image(GALLERY_FOLDER / f"{name}.webp") for name in settings])
    return ImageSet(
        images,
        tuple(settings),
        ("class_image",) * len(settings),
        tuple(map(json.dumps, settings.values())),
    )


# 量一张合成的图


def frequency_share(image: Tensor, cutoff: float = 0.125) -> Tensor:
    """高频份额 (N,)：去掉均值之后，频率高于 `cutoff`（每像素的周期数）的能量占全部能量的多少。

    先乘一个汉宁窗：边缘不接的图不会因此凭空多出高频。照片的能量集中在低频，份额小。
    """
    height, width = image.shape[-2:]
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(
        width, periodic=False
    )
    centred = image - image.mean((2, 3), keepdim=True)
    energy = torch.fft.fft2(centred * window.to(image)).abs().square().sum(1)
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    high = (rows.square() + columns.square()).sqrt() > cutoff
    # 常数图减去均值只剩浮点误差：算作没有高频
    total = energy.sum((1, 2))
    return torch.where(total > 1e-6 * energy[0].numel(), energy[:, high].sum(1) / total, 0.0)


def halve_and_restore(image: Tensor) -> Tensor:
    """缩到一半再放大回原来的尺寸（双线性，缩小时先平滑）：只损失最细的那一层细节。"""
    height, width = image.shape[-2:]
    small = functional.interpolate(
        image, (height // 2, width // 2), mode="bilinear", align_corners=False, antialias=True
    )
    return functional.interpolate(small, (height, width), mode="bilinear", align_corners=False)


def scores_before_relu(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类在 softmax 及结尾的 ReLU 之前的得分 (N,)，即 `class_image` 所最大化的数。"""
    targets = resolve_target(model, target, len(image))
    class_map = getattr(model, "class_map", None)
    with torch.no_grad():
        scores = (
            activations_of(model, image, class_map)[class_map].mean((2, 3))
            if class_map
            else model(image)
        )
        return target_scores(scores, targets)


def score_kept(model: nn.Module, image: Tensor, target, change=halve_and_restore) -> Tensor:
    """图像经 `change` 之后，目标类得分剩下几成 (N,)。"""
    return scores_before_relu(model, change(image), target) / scores_before_relu(
        model, image, target
    )


def class_ranks(model: nn.Module, image: Tensor, target) -> Tensor:
    """目标类的得分在全部类里排第几 (N,)，1 为最高。"""
    targets = resolve_target(model, target, len(image))
    with torch.no_grad():
        scores = model(image)
    return (scores > target_scores(scores, targets)[:, None]).sum(1) + 1


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
