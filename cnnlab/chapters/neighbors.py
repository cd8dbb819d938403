"""最近邻：把图像变成向量，在向量里找最近的几张，再看找得对不对。

不画图，也不降维（见 embedding.py）。
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cnnlab.chapters.patches import image_batches
from cnnlab.core.arguments import checked
from cnnlab.core.checks import as_maps, check_images
from cnnlab.core.hooks import activations_of, layer_names
from cnnlab.core.images import resize
from cnnlab.core.values import label_codes, labels
from cnnlab.networks.models import check_features

# 一次算多少个查询、库里多少行：得分矩阵留在缓存附近，内存与库的大小无关
BLOCK, ROWS = 1024, 4096
Metric = Literal["euclidean", "cosine"]


class Neighbors(NamedTuple):
    """最近的 k 个，由近到远：距离 (Q, k) 和在库里的下标 (Q, k)。"""

    distance: Tensor
    index: Tensor


class Retrieval(NamedTuple):
    """检索得分：k 个近邻里同类的比例，随机抽邻居的期望，总猜最大一类的得分，以及每个查询各自的得分 (N,)。"""

    score: float
    chance: float
    majority: float
    each: Tensor


@checked
def extract_features(model: nn.Module, images, layer: str | Sequence[str] | None = None) -> Tensor:
    """每张图的特征向量 (N, D)。

    不给 `layer` 时取倒数第二层：SqueezeNet 是 fire9 各通道的平均（512 个数），AlexNet 是 fc7（4096 个数）。
    给一层时，有位置的激活在各位置上取平均；给几层就依次接起来。`images` 是 (N, 3, H, W)，取值 [0, 1]，
    或按下标取图的数据集（如 `PhotoFolder`，用到才读）。
    """
    if layer is None:
        check_features(model, "，或写明 layer=层名")
    vectors = []
    for _, batch in image_batches(images):
        batch = batch.detach()
        with torch.no_grad():
            if layer is None:
                vectors.append(model.features(batch))
            else:
                vectors.append(torch.cat([*pooled(model, batch, layer).values()], 1))
    return torch.cat(vectors)


@checked
def pixel_vectors(images: Tensor, size: int = 32) -> Tensor:
    """像素空间的向量 (N, 3·size·size)：把图缩成 size×size，再展平。"""
    return resize(check_images(images), (size, size)).flatten(1)


@checked(query="N D", gallery="M D")
def nearest_neighbors(
    query: Tensor,
    gallery: Tensor,
    k: int = 5,
    metric: Metric = "euclidean",
    *,
    exclude_self: bool = False,
) -> Neighbors:
    """库 (M, D) 里离每个查询 (Q, D) 最近的 k 个，距离相同时下标小的在前。

    公式：‖q − g‖² = ‖q‖² + ‖g‖² − 2⟨q, g⟩，向量先移到库的中心，分块做矩阵乘法；cosine 是 1 − ⟨q, g⟩ / (‖q‖‖g‖)，零向量与谁都是 1。
    选出的 k 个再按定义重算距离，所以相同的向量距离恰为 0。`exclude_self`：查询就是库本身，第 i 个不算自己的邻居。
    """
    _check_count(query, gallery, k, exclude_self)
    query, gallery = query.detach(), gallery.detach()
    found = []
    for start in range(0, len(query), BLOCK):
        block = query[start : start + BLOCK]
        index = _candidates(block, gallery, k, metric, start if exclude_self else None)
        exact = _distance(block[:, None], gallery[index], metric)
        distance, order = exact.sort(dim=1, stable=True)
        found.append((distance, index.gather(1, order)))
    return Neighbors(*(torch.cat(parts) for parts in zip(*found, strict=True)))


@checked(features="N D", labels=labels)
def retrieval_score(
    features: Tensor, labels: Sequence, k: int = 1, metric: Metric = "euclidean"
) -> Retrieval:
    """检索得分：每张图的 k 个近邻（不算自己）里，与它同类的平均占多少；连同随机水平。

    `features` 是 (N, D)，`labels` 是 N 个类别名或类别号。随机水平是随便抽一张别的图恰好同类的概率。
    """
    if len(labels) != len(features):
        raise ValueError(f"有 {len(features)} 个向量，却有 {len(labels)} 个类别")
    codes = label_codes(labels)
    index = nearest_neighbors(features, features, k, metric, exclude_self=True).index.cpu()
    each = (codes[index] == codes[:, None]).float().mean(1)
    counts = codes.bincount().double()
    chance = (counts * (counts - 1)).sum() / (len(codes) * (len(codes) - 1))
    return Retrieval(each.mean().item(), chance.item(), (counts.max() / len(codes)).item(), each)


@checked(query="N D", gallery="M D")
def found_again(query: Tensor, gallery: Tensor, metric: Metric = "euclidean") -> Tensor:
    """第 i 个查询的最近邻是不是库里的第 i 个，(N,) 布尔：变过样的照片还找得到原照吗。"""
    if len(query) > len(gallery):
        raise ValueError(
            f"查询有 {len(query)} 个，库只有 {len(gallery)} 个：第 i 个查询要有库里的第 i 个"
        )
    index = nearest_neighbors(query, gallery, 1, metric).index[:, 0]
    return index == torch.arange(len(query), device=index.device)


def _candidates(query: Tensor, gallery: Tensor, k: int, metric: str, start: int | None) -> Tensor:
    """最近的 k 个的下标，从小到大排；`start` 是这批查询在库里的起点（不算自己时）。"""
    if metric == "cosine":
        query, gallery = (nn.functional.normalize(each, dim=1) for each in (query, gallery))
    scores, places = [], []
    for first, score in _scores(query, gallery):
        if start is not None:
            own = start + torch.arange(len(query), device=score.device) - first
            inside = (own >= 0) & (own < score.shape[1])
            score[inside.nonzero()[:, 0], own[inside]] = torch.inf
        best = score.topk(min(k, score.shape[1]), dim=1, largest=False)
        scores.append(best.values)
        places.append(best.indices + first)
    chosen = torch.cat(scores, 1).topk(k, dim=1, largest=False).indices
    return torch.cat(places, 1).gather(1, chosen).sort(dim=1).values


def _scores(query: Tensor, gallery: Tensor) -> Iterator[tuple[int, Tensor]]:
    """库一段一段地来：这一段从第几个起，各查询与它们的距离（Q, 段长）；只用来排名次。

    查询很少时直接算；多时展开成 ‖g − c‖² − 2⟨q − c, g − c⟩，‖q − c‖² 不影响名次，略去。
    先移到库的中心 c：离原点远的一团点，平方相减会丢精度。
    """
    if len(query) <= 4:
        yield 0, torch.cdist(query, gallery, compute_mode="donot_use_mm_for_euclid_dist")
        return
    centre, buffer = gallery.mean(0), gallery.new_empty(ROWS, gallery.shape[1])
    for first, rows in zip(range(0, len(gallery), ROWS), gallery.split(ROWS), strict=True):
        # 每段用同一块内存：反复申请大块内存比减法还慢
        moved = torch.sub(rows, centre, out=buffer[: len(rows)])
        squared = moved.norm(dim=1).square()
        yield first, torch.addmm(squared, query - centre, moved.T, alpha=-2)


def _distance(query: Tensor, near: Tensor, metric: str) -> Tensor:
    """按定义的距离：(Q, 1, D)、(Q, k, D) → (Q, k)。"""
    if metric == "euclidean":
        return (near - query).norm(dim=2)
    near, query = (nn.functional.normalize(each, dim=2) for each in (near, query))
    return (1 - (near * query).sum(2)).clamp(0, 2)


def pooled(model: nn.Module, batch: Tensor, layers: str | Sequence[str]) -> dict[str, Tensor]:
    """各层在各位置上的平均 {层: (N, C)}。"""
    names = layer_names(layers)
    found = activations_of(model, batch, names)
    return {name: as_maps(found[name], name, batch).mean((2, 3)) for name in names}


def _check_count(query: Tensor, gallery: Tensor, k: int, exclude_self: bool) -> None:
    if exclude_self and len(query) != len(gallery):
        raise ValueError(
            f"exclude_self 要查询就是库本身，可是查询有 {len(query)} 个，库有 {len(gallery)} 个"
        )
    if k + exclude_self > len(gallery):
        raise ValueError(
            f"要 {k + exclude_self} 个（连同自己），库里只有 {len(gallery)} 个；k 应在 1 到库的大小之间"
        )
