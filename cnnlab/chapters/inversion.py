"""特征反演：从一层的激活找回图像；两种误差，以及一个训练出来的解码网络。

不画图；把目标换成 Gram 矩阵的是 texture，加上风格的是 style_transfer。
"""

import itertools
from pathlib import Path

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images
from cnnlab.core.hooks import activations_of, answers_where_asked, device_of
from cnnlab.core.images import stretched
from cnnlab.core.measures import luminance
from cnnlab.core.paths import DATA
from cnnlab.engine.descent import Descent
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimizers import adam
from cnnlab.engine.parameterizations import start_image
from cnnlab.engine.priors import jitter, l2
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import feature_distance, image_prior
from cnnlab.engine.training import Training, cosine, fit, random_square, shuffled_batches
from cnnlab.networks.shipped import load_shipped

DECODER_PATH = DATA / "inversion_decoder.safetensors"
# 解码网络训练时没见过的照片：评判它只用这些
DECODER_HELD_OUT = (
    "panda", "koala", "dog", "owl", "red_panda", "scarlet_macaw", "fish5", "fish12", "taj_mahal", "opera_house",
    "eiffel_tower", "eiffel_tower_2", "windmill3", "dam2", "volleyball", "cup",
)  # fmt: skip


@checked
@reproducible
def invert_features(
    model,
    image: Tensor,
    layer,
    *,
    tv=0.1,
    l2_weight=0.0,
    parameterization="fourier",
    decay=1.0,
    jitter_pixels=0,
    optimizer="lbfgs",
    steps=100,
    start="grey",
    on_step=None,
):
    """找一张图，使它在 `layer` 的激活与 `image` 的一样：Result，图像与 `image` 同形，取值 [0, 1]。

    最小化 ‖Φ(x) − Φ(image)‖² / ‖Φ(image)‖² + tv · TV(x) + l2_weight · L2(x)（离灰多远）；history 有每步的损失和各项的账。
    一批图一起优化。`parameterization` 是 "pixel" 或 "fourier"（`decay` 是谱的衰减，见 FourierImage）；
    `optimizer` 是 "lbfgs"、"adam"（步长 0.05）或 adam(…)。`jitter_pixels` 每步随机平移至多这么多像素，激活仍与没有平移的比：
    深层要它才不长条纹，浅层会变糊；它让每步的损失不同，要配 Adam。
    `start` 是起点的名字（见 start_image）或一张图，优化时只用到 `image` 的激活和大小。
    出处：Mahendran 与 Vedaldi，2015、2016。
    """
    check_images(image)
    if jitter_pixels and optimizer == "lbfgs":
        raise ValueError(
            f"jitter_pixels 是 {jitter_pixels}，每步的损失都不同，L-BFGS 会走乱；改用 optimizer='adam'"
        )
    optimizer = adam(0.05) if optimizer == "adam" else optimizer
    descent = Descent(None, parameterization, optimizer, tv=tv, decay=decay)
    target = activations_of(model, image.detach(), layer)[layer]
    terms = [feature_distance(target, layer), *descent.smoothness()]
    terms += [image_prior(l2, l2_weight)] if l2_weight else []
    loss = objective(model, terms, transform=jitter(jitter_pixels) if jitter_pixels else None)
    found = descent.run(_starting_image(start, image), loss, steps, on_step)
    return found, {"loss": loss.losses, **loss.ledger}


def _starting_image(start, image: Tensor) -> Tensor:
    """与 `image` 同形的起点：按名字取，或给定的图。"""
    if isinstance(start, str):
        start = start_image(start, tuple(image.shape[-2:]), n=len(image))[:, : image.shape[1]]
    if start.shape != image.shape:
        raise ValueError(f"起点的形状是 {tuple(start.shape)}，应与图像的 {tuple(image.shape)} 相同")
    return start.to(image).clamp(0, 1)


@checked(original="N C H W")
def feature_error(model: nn.Module, image: Tensor, original: Tensor, layer: str) -> Tensor:
    """相对特征误差 ‖Φ(image) − Φ(original)‖ / ‖Φ(original)‖，每张图一个数 (N,)；0 是完全一样，1 相当于猜全零。

    各层激活的大小差得远，除过才能比。出处：Mahendran 与 Vedaldi，2015。
    """
    found, target = (
        activations_of(model, each.detach(), layer)[layer].flatten(1) for each in (image, original)
    )
    size = target.norm(dim=1)
    if not (size > 0).all():
        raise ValueError(f"{layer} 的目标激活全是零，相对误差没有定义；换一层或换一张图")
    return (found - target).norm(dim=1) / size


@checked(original="N C H W")
def luminance_and_color_error(image: Tensor, original: Tensor) -> tuple[Tensor, Tensor]:
    """亮度误差与颜色误差，各 (N,)，都是相对的均方根误差。

    亮度：‖Y − Y₀‖ / ‖Y₀ − Y₀ 的平均‖，1 相当于猜一张均匀的灰。
    颜色：‖(x − Y) − (x₀ − Y₀)‖ / ‖x₀ − Y₀‖，1 相当于猜一张黑白照片；黑白的原图没有颜色误差，给 NaN。
    处处同样亮的原图没有亮度误差，也给 NaN。
    """
    bright, target = luminance(image), luminance(original)
    color, wanted = (image - bright).flatten(1), (original - target).flatten(1)
    spread = (target - target.mean((2, 3), keepdim=True)).flatten(1).norm(dim=1)
    chroma = wanted.norm(dim=1)
    error = (color - wanted).norm(dim=1)
    colorful = chroma > 1e-4 * wanted.shape[1] ** 0.5
    gap = (bright - target).flatten(1).norm(dim=1)
    return (
        torch.where(spread > 0, gap / spread, torch.nan),
        torch.where(colorful, error / chroma, torch.nan),
    )


class FeatureDecoder(nn.Module):
    """学出来的反演：(N, channels, h, w) 的激活 → (N, 3, size, size) 的图，取值 (0, 1)。

    激活先拉到 size/16，再两次“放大 2 倍、卷积”，最后双线性放大到 size：细节本来就猜不出，不必花力气。出处：Dosovitskiy 与 Brox，2016。
    """

    @checked
    def __init__(self, channels: int, *, size: int = 96, width: int = 96):
        super().__init__()
        if size % 16:
            raise ValueError(f"size 是 {size}，应为 16 的倍数")
        self.size, self.channels = size, channels
        self.register_buffer("level", torch.ones(channels))  # 各通道的典型大小，训练时量出
        widths = [width, width, 2 * width // 3, width // 2]
        layers = [nn.Conv2d(channels, width, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Upsample(scale_factor=2)] if index else []
            convolution = nn.Conv2d(before, after, 3, padding=1)
            layers += [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(after, 3, 3, padding=1))

    @checked(activation="N channels h w")
    @answers_where_asked
    def forward(self, activation: Tensor) -> Tensor:
        scaled, side = activation / self.level.view(1, -1, 1, 1), self.size // 16
        planes = self.layers(stretched(scaled, (side, side)))
        return torch.sigmoid(stretched(planes, (self.size, self.size)))


def fit_decoder(
    decoder: FeatureDecoder,
    model: nn.Module,
    images: Tensor,
    layer: str,
    *,
    steps: int = 1000,
    batch_size: int = 32,
    variations: int = 8,
    learning_rate: float = 3e-3,
    checkpoint=None,
    seed: int = 0,
    on_step=None,
) -> Training:
    """训练解码网络（就地，在 `model` 的设备上）：从 `model` 在 `layer` 的激活猜回图像，最小化像素误差平方的平均；得到训练的记录。

    先从 `images` (N, 3, H, W) 做出 N · `variations` 张变体（随机裁剪、翻转、改变颜色的增益），激活只算一遍。
    `model` 不变，解码网络最后回到评估模式。出处：Dosovitskiy 与 Brox，2016。
    """
    check_images(images)
    decoder.to(device_of(model))
    generator = torch.Generator().manual_seed(seed)
    pictures = varied(images, variations * len(images), decoder.size, generator)
    with torch.no_grad():
        features = torch.cat(
            [activations_of(model, part, layer)[layer] for part in pictures.split(64)]
        )
        decoder.level.copy_(features.square().mean((0, 2, 3)).sqrt().clamp_min(1e-3))

    def loss(network, batch):
        feature, picture = batch
        return (network(feature) - picture).square().mean()

    batches = shuffled_batches(features, pictures, batch_size=batch_size, seed=seed)
    record = fit(
        decoder, loss, batches, steps=steps, learning_rate=learning_rate, schedule=cosine, checkpoint=checkpoint,
        seed=seed, on_step=on_step,
    )  # fmt: skip
    decoder.eval()
    return record


def varied(images: Tensor, count: int, size: int, generator: torch.Generator) -> Tensor:
    """随机取 `count` 张，各自随机裁出一个方块（边长不小于 size）、翻转、改变各通道的增益，缩到 size。"""

    def number(high: int) -> int:
        return int(torch.randint(high, (), generator=generator))

    found = []
    for _ in range(count):
        picture = random_square(images[number(len(images))][None], size, generator)
        picture = picture.flip(-1) if number(2) else picture
        gain = 1 + 0.15 * (2 * torch.rand(1, 3, 1, 1, generator=generator) - 1)
        found.append((picture * gain.to(picture)).clamp(0, 1))
    return torch.cat(found)


@checked
def load_decoder(path=DECODER_PATH) -> FeatureDecoder:
    """随包带来的解码网络（SqueezeNet 的 fire8 → 96 像素的图）：冻结、评估模式；训练它见 tools/train_inversion_decoder.py。"""
    path = Path(path)
    make = lambda state, about: FeatureDecoder(len(state["level"]))
    return load_shipped(path.stem, make, folder=path.parent)
