"""多侧面与自然先验：一个类有几副面孔；优化代码而不是像素，图像由生成网络给出。

不画图；像素上的梯度上升见 gradient_ascent。
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cnnlab.chapters.embedding import tsne
from cnnlab.chapters.neighbors import extract_features
from cnnlab.core.arguments import checked
from cnnlab.core.hooks import activations_of, device_of
from cnnlab.core.images import stretched
from cnnlab.core.values import indices
from cnnlab.engine.ascent import natural_statistics
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import adam, optimize_image
from cnnlab.engine.parameterizations import CodeImage, FourierImage
from cnnlab.engine.priors import center_bias, compose, jitter, random_rotate
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import Term, class_score
from cnnlab.engine.training import Training, cosine, fit, shuffled_batches

# 偏向中心的三个阶段：(占总步数的份额, 窗口占画布的比例, 窗口中心的散布)
CENTER_PHASES = ((0.4, 0.7, 0.2), (0.35, 0.85, 0.2), (0.25, 1.0, 0.0))


@checked
def photo_features(model: nn.Module, images: Tensor) -> Tensor:
    """每张照片的特征 (N, D)：倒数第二层在各位置上的平均，长度归一。"""
    return functional.normalize(extract_features(model, images), dim=1)


@checked(features="N D")
def cluster_photos(
    features: Tensor, facets: int, *, reduce: Literal["pca", "tsne"] | None = "pca", seed: int = 0
) -> Tensor:
    """把照片的特征 (N, D) 分成 `facets` 簇，得到标签 (N,)；簇按大小排，0 最大。

    `reduce` 先降维再做 k 均值："pca"（至多 10 维）、"tsne"（2 维）或 None。出处：Nguyen 等，2016。
    """
    from sklearn.cluster import KMeans

    if facets > len(features):
        raise ValueError(f"facets 是 {facets}，应在 1 与照片张数 {len(features)} 之间")
    means = KMeans(facets, n_init=10, random_state=seed).fit(_reduced(features, reduce, seed))
    labels = torch.from_numpy(means.labels_).long()
    order = labels.bincount(minlength=facets).argsort(descending=True, stable=True)
    return order.argsort()[labels]


def _reduced(features: Tensor, reduce: str | None, seed: int):
    points = features.detach().cpu().double().numpy()
    if reduce == "pca":
        from sklearn.decomposition import PCA

        return PCA(min(10, *points.shape), random_state=seed).fit_transform(points)
    # 三张以下没有近邻可言，就用它们自己
    if reduce is None or len(points) < 4:
        return points
    return tsne(features, min(30, (len(points) - 1) / 3), seed, steps=1000).double().numpy()


@checked(features="N D", labels=indices)
def facet_starts(images: Tensor, features: Tensor, labels: Tensor, *, nearest: int = 8) -> Tensor:
    """每一簇的起点 (K, 3, H, W)：离簇中心最近的 `nearest` 张照片的平均。"""
    if not len(images) == len(features) == len(labels):
        raise ValueError(
            f"照片 {len(images)} 张、特征 {len(features)} 行、标签 {len(labels)} 个：要一一对应"
        )
    starts, features, labels = [], features.cpu(), labels.cpu()
    for facet in range(int(labels.max()) + 1):
        members = (labels == facet).nonzero()[:, 0]
        if not len(members):
            raise ValueError(f"标签里没有第 {facet} 簇：标签要从 0 起连续编号")
        center = features[members].mean(0)
        order = (features[members] - center).norm(dim=1).argsort()
        starts.append(images[members[order[:nearest]].to(images.device)].mean(0))
    return torch.stack(starts)


@checked
@reproducible
def class_facets(
    model,
    target,
    images: Tensor,
    *,
    facets=4,
    nearest=8,
    labels=None,
    steps=160,
    natural=10.0,
    seed=0,
    on_step=None,
):
    """一个类的几个侧面，每簇照片一张图：Result，image 为 (K, 3, H, W)。

    照片的特征聚成 `facets` 簇，从每簇平均照片出发梯度上升；随机窗口先只看画布中部，
    再逐阶段放宽，放大到画布的尺寸才送进网络；`natural` 是照片统计量先验的权重。
    `labels` 给定时不再聚类（要别的聚法，用 cluster_photos 聚好了给）。history["labels"] 是每张照片的簇。出处：Nguyen、Yosinski、Clune，2016。
    """
    features = photo_features(model, images)
    if labels is None:
        labels = cluster_photos(features, facets, seed=seed)
    labels = torch.as_tensor(labels)
    starts = facet_starts(images, features, labels, nearest=nearest)
    picture, size, losses = FourierImage(image=starts), starts.shape[-2:], []
    shared = {"generator": torch.Generator().manual_seed(seed)}
    statistics = natural_statistics(model, size=min(size)) if natural else []
    terms = [-class_score(target), *(natural * term for term in statistics)]
    for share, window, spread in CENTER_PHASES:
        crop = center_bias(round(min(size) * window), spread=spread, **shared)
        enlarge = partial(stretched, size=size)
        moves = compose(jitter(8, **shared), random_rotate(5, **shared), crop, enlarge)
        loss, part = objective(model, terms, transform=moves), round(steps * share)
        optimize_image(picture, loss, steps=part, optimizer=adam(0.05), on_step=on_step)
        losses += loss.losses
    with torch.no_grad():
        return picture().contiguous(), {"loss": losses, "labels": labels.tolist()}


@checked
@reproducible
def code_image(
    model,
    target,
    generator: nn.Module,
    *,
    code_l2=0.02,
    spread=3.0,
    radius=0.9,
    steps=100,
    learning_rate=0.1,
    seed=0,
    on_step=None,
):
    """优化代码而不是像素，图像 = generator(code)：Result，image 为 (N, C, H, W)，history["code"] 是代码。

    最小化 −得分 + code_l2 · ‖z‖²，z = (code − 均值) / 标准差；每步之后把代码截到 [0, 均值 + spread 个标准差]，
    再把 ‖z‖ 截到训练时中位数的 `radius` 倍。三个统计量取自 `generator.code_mean`、`code_std`、`code_radius`；`target` 是一个目标，或每张图一个的列表。
    出处：Nguyen 等，2016（DGN-AM）。
    """
    mean, std = generator.code_mean, generator.code_std
    count = 1 if isinstance(target, int | str) else len(target)
    noise = torch.randn(count, len(mean), generator=torch.Generator().manual_seed(seed)).to(mean)
    module = CodeImage(generator, (mean + 0.001 * std * noise).clamp_min(0))
    prior = Term("code_l2", ("image",), lambda values: ((module.code - mean) / std).square().sum())
    loss = objective(model, [-class_score(target), code_l2 * prior])

    def bounded(code, gradient, index):
        z = (torch.minimum(code.clamp_min(0), mean + spread * std) - mean) / std
        return mean + std * z * (
            radius * generator.code_radius / z.norm(dim=1, keepdim=True).clamp_min(1e-6)
        ).clamp_max(1)

    image = optimize_image(
        module,
        loss,
        steps=steps,
        optimizer=adam(learning_rate),
        after_step=bounded,
        on_step=on_step,
    )
    return image.cpu(), {"code": module.code.detach().cpu(), **loss.ledger}


@checked
def fit_generator(
    generator: nn.Module,
    model: nn.Module,
    images: Tensor,
    layer: str,
    *,
    steps: int,
    code_noise: float = 0.0,
    seed: int = 0,
    on_step: Callable | None = None,
) -> Training:
    """教 `generator` 把 `model` 在 `layer` 上的代码变回图像（就地训练，在 `model` 的设备上），得到训练的记录。

    损失 = 像素的交叉熵 + 0.3 × 代码的相对误差；代码的统计量写进 generator。
    `code_noise` 给输入的代码加噪声（最大的标准差，以代码的标准差计）：没见过的代码也被画成见过的样子。
    出处：Dosovitskiy 与 Brox，2016（这里没有对抗损失）。
    """
    generator.to(device_of(model))
    codes = torch.cat([_code(model, chunk, layer) for chunk in images.split(256)]).detach()
    mean, std = codes.mean(0), codes.std(0).clamp_min(0.1 * codes.std())
    generator.code_mean.copy_(mean)
    generator.code_std.copy_(std)
    generator.code_radius.copy_(((codes - mean) / std).norm(dim=1).median())

    def loss(network, batch):
        image, code = batch
        made = network(_noisy(code, code_noise * codes.std()) if code_noise else code)
        likeness = functional.binary_cross_entropy(made, image)
        distance = (_code(model, made, layer) - code).square().mean() / codes.square().mean()
        return likeness + 0.3 * distance

    batches = shuffled_batches(images, codes, batch_size=min(64, len(images)), seed=seed)
    options = {"learning_rate": 2e-3, "schedule": cosine, "seed": seed, "on_step": on_step}
    training = fit(generator, loss, batches, steps=steps, **options)
    generator.eval().requires_grad_(False)
    return training


def _noisy(code: Tensor, largest: Tensor) -> Tensor:
    """每个代码加噪声，噪声的标准差在 0 与 `largest` 之间均匀抽。"""
    share, noise = torch.rand(len(code), 1), torch.randn(code.shape)
    return (code + largest * (share * noise).to(code)).clamp_min(0)


def _code(model: nn.Module, image: Tensor, layer: str) -> Tensor:
    return activations_of(model, image, layer)[layer].flatten(1)


@checked(images="N C H W", gallery="M C H W")
def nearest_distance(images: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """每张图到最近的真图的欧氏距离 (N,)，与那张真图的序号 (N,)。"""
    distance, index = torch.cdist(images.flatten(1), gallery.flatten(1)).min(1)
    return distance, index
