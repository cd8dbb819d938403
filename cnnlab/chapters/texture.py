"""纹理合成：最近邻逐像素生长（Efros–Leung），Gram 矩阵，神经纹理，带位移的 Gram 矩阵。

不管内容，见 style_transfer；Gram 矩阵和 Gram 距离两项本身在 terms；逐像素生长的内部在 growth。
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cnnlab.core.arguments import checked
from cnnlab.core.checks import check_images, check_single
from cnnlab.core.hooks import activations_of
from cnnlab.core.images import resize
from cnnlab.core.values import pair
from cnnlab.engine.descent import Descent, several_scales
from cnnlab.engine.objectives import objective
from cnnlab.engine.optimize import Step
from cnnlab.engine.pixel_growth import grow_pixels
from cnnlab.engine.results import reproducible
from cnnlab.engine.terms import Term, gram_distance, gram_matrix

__all__ = ["efros_leung", "gram_matrix", "shifted_gram", "synthesize_texture"]

# 各网络用来描述纹理的层，由浅到深；"image" 是像素自己，管颜色。VGG 的是 Gatys 等的五层
TEXTURE_LAYERS = {
    "efficientnet_lite0": ("image", "bn1", "block1", "block2", "block3", "block5"),
    "vgg": ("image", "relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "squeezenet": ("image", "relu1", "fire2", "fire3", "fire4", "fire5", "fire6", "fire7"),
}

MOVE = 16  # 每轮移开不到这么多像素：各网络这几层的步幅都不超过它


@checked
def efros_leung(
    sample: Tensor,
    size,
    window: int = 11,
    *,
    seed: int = 0,
    return_sources: bool = False,
    on_step=None,
):
    """从 3×3 的种子一圈圈长出 (1, 3, 高, 宽) 的纹理：每个新像素抄样本里邻域与它最像的那个点。

    距离 d = Σ 已填(q) · 高斯(q) · ‖邻域(q) − 样本窗(q)‖²，在 d ≤ 1.1 · 最小值的候选里任取一个。
    `sample` (1, 3, H, W)；`size` 是边长或 (高, 宽)；`window` 是奇数。同一 `seed` 同一张图。
    `return_sources=True` 时另给每个像素抄自样本的哪一行哪一列，(高, 宽, 2)。
    `on_step` 每长完一圈收到一个 `Step`：image 是到那时的图，loss 是还空着的几分之几。
    按 Ctrl-C 时给出已经长出来的，空着的地方是白的，出处是 −1。出处：Efros 与 Leung，1999。
    """
    _check_growth(sample, size, window)
    height, width = pair(size)

    def ring(count: int, sources) -> None:
        on_step(Step(count, float((sources[..., 0] < 0).mean()), _copied(sample, sources)))

    levels = sample[0].detach().cpu().numpy()
    sources = grow_pixels(levels, (height, width), window, seed, None if on_step is None else ring)
    picture = _copied(sample, sources)
    return (picture, torch.from_numpy(sources)) if return_sources else picture


def _check_growth(sample: Tensor, size, window: int) -> None:
    check_single(sample, "sample")
    if window % 2 == 0 or window < 3 or min(pair(size)) < 3:
        raise ValueError(f"window 是 {window}、size 是 {size}：窗口应是不小于 3 的奇数，图至少 3×3")
    if min(sample.shape[-2:]) < window + 1:
        raise ValueError(
            f"样本 {tuple(sample.shape[-2:])} 装不下 {window}×{window} 的窗口；把 window 改小，或换大一些的样本"
        )


def _copied(sample: Tensor, sources) -> Tensor:
    """照出处从样本里抄来的图；还没有出处的地方是白的。"""
    rows, columns = torch.from_numpy(sources).to(sample.device).unbind(-1)
    picture = sample.detach()[:, :, rows.clamp(min=0), columns.clamp(min=0)]
    return picture.masked_fill(rows < 0, 1)


@checked
@reproducible
def synthesize_texture(
    model,
    sample,
    size,
    layers=None,
    *,
    layer_weights=None,
    shifts=(),
    steps=160,
    scales=3,
    rounds=4,
    seed=0,
    on_step=None,
    settings: Descent = Descent(),
):
    """从噪声合成与 `sample` 纹理相同的图：Result，图像 (1, 3, 高, 宽)，history 有损失与各项的账。

    最小化 Σ_l w_l ‖G_l(x) − G_l(样本)‖² / ‖G_l(样本)‖² + tv · TV(x)。
    `layers` 默认按网络选，"image" 指像素自己；`layer_weights` 每层一个，默认全为 1；`shifts` 是一组 (下, 右) 位移（像素），
    另加这些位移的 Gram。`scales` 个尺度从小到大，相邻差一倍，每个走 `steps` 步，短边不到 32 的尺度略去。
    每个尺度的步数分成 `rounds` 轮，每轮把图循环移开几个像素再看：不移，对上的只是网络的网格。
    起点（默认噪声）、表示、优化器、tv 在 `settings` 里。出处：Gatys 等，2015（原文用像素、一个尺度）。
    """
    check_single(sample, "sample")
    size = pair(size)
    layers = [layers] if isinstance(layers, str) else list(layers or texture_layers(model))
    start = settings.start
    image = noise_like(sample, size, seed) if start is None else check_images(start)
    history = {"loss": []}
    for factor in several_scales(scales, (*size, *sample.shape[-2:])):
        image, target = reduced(image, size, factor), reduced(sample, sample.shape[-2:], factor)
        moves = [(down / factor, right / factor) for down, right in shifts]
        terms = texture_terms(model, [target], layers, layer_weights=layer_weights)
        terms += shifted_terms(model, target, layers, moves) + settings.smoothness()
        for count, move in moved_rounds(steps, rounds, seed):
            loss = objective(model, terms, transform=lambda x, move=move: x.roll(move, (2, 3)))
            image = settings.run(image, loss, count, on_step)
            add_history(history, loss)
    return image, history


def moved_rounds(steps: int, rounds: int, seed: int) -> list[tuple[int, tuple[int, int]]]:
    """把 `steps` 步分成几轮：每轮的步数和位移。第一轮不移，以后随机移开不到 MOVE 个像素。"""
    rounds = max(1, min(rounds, steps))
    generator = torch.Generator().manual_seed(seed)
    later = torch.randint(MOVE, (rounds - 1, 2), generator=generator).tolist()
    moves = [(0, 0), *map(tuple, later)]
    return [(steps // rounds + (k < steps % rounds), move) for k, move in enumerate(moves)]


def reduced(image: Tensor, size, factor: int) -> Tensor:
    """`image` 缩放到 `size` 的几分之一。"""
    return resize(image, tuple(side // factor for side in size))


@checked
def texture_layers(model: nn.Module) -> list[str]:
    """描述纹理的默认层，由浅到深，第一个是像素自己；认得的网络见 TEXTURE_LAYERS，别的要自己给。"""
    names = getattr(model, "layers", {})
    for candidates in TEXTURE_LAYERS.values():
        if all(name in names for name in candidates[1:]):
            return list(candidates)
    raise ValueError("这个网络没有默认的纹理层；用 layers=[…] 给出几个由浅到深的层名")


@checked
def texture_terms(
    model: nn.Module, samples: Sequence[Tensor], layers, *, mix=(1.0,), layer_weights=None
) -> list[Term]:
    """每层一项 Gram 距离，目标是各样本的 Gram 矩阵按 `mix` 加权的和。"""
    weights = weight_list(layer_weights, len(layers), "layer_weights")
    seen = [activations_at(model, each, layers) for each in samples]
    terms = []
    for layer, weight in zip(layers, weights, strict=True):
        grams = [part * gram_matrix(each[layer]) for part, each in zip(mix, seen, strict=True)]
        terms += [weight * gram_distance(sum(grams), layer)] if weight else []
    return terms


def weight_list(weights: Sequence[float] | None, count: int, name: str) -> list[float]:
    """`count` 个权重，默认都是 1；个数不对、有负的、全为 0 时说明。"""
    numbers = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(numbers) != count or min(numbers) < 0 or sum(numbers) == 0:
        raise ValueError(f"{name} 是 {weights}：应给 {count} 个不小于 0 的数，一一对应，不能全为 0")
    return numbers


@checked
def activations_at(model: nn.Module, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """各层的激活；名字 "image" 给出图像自己。"""
    image, inside = image.detach(), [layer for layer in layers if layer != "image"]
    return {"image": image} | (activations_of(model, image, inside) if inside else {})


@checked(activation="N C h w")
def shifted_gram(activation: Tensor, shift: tuple[int, int]) -> Tensor:
    """隔着位移 δ = (下, 右) 的 Gram 矩阵：G_δ[i, j] = Σ_p F_i(p) F_j(p + δ) / (C · 点数)，(N, C, C)。

    只算两端都在图内的点，不首尾相接；δ = (0, 0) 就是 `gram_matrix`。出处：Berger 与 Memisevic，2017。
    """
    height, width = activation.shape[-2:]
    if abs(shift[0]) >= height or abs(shift[1]) >= width:
        raise ValueError(f"位移 {tuple(shift)} 不小于激活的尺寸 {(height, width)}，没有成对的点")
    first, second = _overlap(activation, shift), _overlap(activation, (-shift[0], -shift[1]))
    pairs = first.flatten(2) @ second.flatten(2).transpose(1, 2)
    return pairs / (activation.shape[1] * first.shape[-1] * first.shape[-2])


def _overlap(activation: Tensor, shift: tuple[int, int]) -> Tensor:
    """还有伙伴的那些点：p 与 p + shift 都在图内的 p。"""
    (down, right), (height, width) = shift, activation.shape[-2:]
    return activation[
        ..., max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)
    ]


def shifted_terms(model: nn.Module, sample: Tensor, layers, shifts) -> list[Term]:
    """每个位移、每层一项带位移的 Gram 距离；位移按层的步长换算，换算后为 0 或超出激活的略去。"""
    terms = []
    for layer, activation in (activations_at(model, sample, layers) if shifts else {}).items():
        stride = sample.shape[-1] / activation.shape[-1]
        steps = dict.fromkeys(
            (round(down / stride), round(right / stride)) for down, right in shifts
        )
        for step in steps:
            if step != (0, 0) and all(
                2 * abs(move) < side for move, side in zip(step, activation.shape[-2:], strict=True)
            ):
                terms.append(_shifted_distance(shifted_gram(activation, step), layer, step))
    return terms


def _shifted_distance(target: Tensor, layer: str, shift: tuple[int, int]) -> Term:
    size = float(target.square().sum())

    def distance(values) -> Tensor:
        found = shifted_gram(values[layer], shift)
        return (found - target.to(found.device)).square().sum() / size

    return Term(f"shifted_gram {layer}:{shift}", (layer,), distance)


def noise_like(sample: Tensor, size: tuple[int, int], seed: int, *, sd: float = 0.1) -> Tensor:
    """平均颜色与样本相同的白噪声，(1, 3, 高, 宽)。"""
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed)).to(sample)
    return (sample.mean((0, 2, 3)).view(1, 3, 1, 1) + sd * noise).clamp(0, 1)


def add_history(history: dict, loss) -> None:
    """把一个尺度的账接到 history 后面："loss" 是各项之和。"""
    for name, entries in {"loss": loss.losses, **loss.ledger}.items():
        history.setdefault(name, []).extend(entries)
